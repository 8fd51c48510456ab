//! Finds a model by its name: a known model, a path, a model on the Hub, or one of another program.

mod catalogue;
mod elsewhere;
mod folders;
mod hash;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod pull;

pub use catalogue::{DEFAULT, Extent, KNOWN, Known, Source, known, megabytes};
pub use elsewhere::{Found, found, in_folder};
pub use folders::{cache_dir, data_dir, path_of};
pub use hash::{content_sha256, sha256, sha256_of, weights_sha256};

use crate::error::{Context, Result, fail};
use crate::events::Events;
#[cfg(feature = "hub")]
use hub::{Hub, Spec};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a model stands for.
enum Model {
    Known(&'static Known),
    /// A path that exists.
    Path(PathBuf),
    #[cfg(feature = "hub")]
    Hub(Spec),
}

fn find(name: &str) -> Result<Model> {
    if let Some(known) = known(name) {
        return Ok(Model::Known(known));
    }
    match elsewhere::of_ollama(name) {
        Some(Ok(path)) => return Ok(Model::Path(path)),
        Some(Err(names)) => {
            let has = if names.is_empty() { "no model".into() } else { names.join(", ") };
            fail!(NotFound, "no model {name:?}: Ollama has {has} on this machine");
        }
        None => {}
    }
    if Path::new(name).exists() {
        return Ok(Model::Path(name.into()));
    }
    #[cfg(feature = "hub")]
    if let Some(spec) = Spec::parse(name)? {
        return Ok(Model::Hub(spec));
    }
    let names: Vec<&str> = KNOWN.iter().map(|k| k.name).collect();
    fail!(
        NotFound,
        "no model {name:?}: it is neither a known name ({}) nor an existing .gguf file or folder with config.json, nor OWNER/REPO, OWNER/REPO:QUANTISATION or hf:OWNER/REPO/FILE.gguf on the Hugging Face Hub, nor ollama:NAME",
        names.join(", ")
    )
}

/// The path of a model's files. A known model or a model on the Hub is fetched if it is missing.
///
/// # Errors
/// If there is no such model, or it cannot be fetched.
pub fn resolve(name: &str, extent: Extent, events: &Arc<dyn Events>) -> Result<PathBuf> {
    match find(name)? {
        Model::Known(known) => {
            let path = path_of(known)?;
            if !path.exists() {
                let size = megabytes(known.bytes);
                events.status(&format!("{name} is not here yet: fetching {size} ({})", known.licence));
                fetch(known, events)?;
            }
            Ok(path)
        }
        Model::Path(path) => Ok(path),
        #[cfg(feature = "hub")]
        Model::Hub(spec) => {
            let path = Hub::from_environment(events)?.fetch(&spec, extent);
            path.with_context(|| format!("{name:?} is no file or folder here; on the Hugging Face Hub"))
        }
    }
}

#[cfg(feature = "hub")]
fn fetch(known: &Known, events: &Arc<dyn Events>) -> Result<()> {
    pull::pull(known, events).map(drop)
}

#[cfg(not(feature = "hub"))]
fn fetch(known: &Known, _: &Arc<dyn Events>) -> Result<()> {
    fail!(NotFound, "{} is not here, and this build fetches nothing (its feature `hub` is off)", known.name)
}

/// The model that a file names, used when the user names none. Nothing is fetched for it: whoever wrote the file must
/// not be able to make this program download something.
///
/// # Errors
/// If the model is not on this machine.
pub fn named_by(file: &str, name: &str, events: &Arc<dyn Events>) -> Result<String> {
    let ask = || {
        format!(
            "{file} was made with the model {name:?}, which is not here: name the model with `model` (one on the Hugging Face Hub is then fetched)"
        )
    };
    // A path that begins like this may be on another machine, which would be contacted just by looking.
    if name.starts_with("//") || name.starts_with("\\\\") {
        fail!(NotFound, "{}", ask());
    }
    match find(name).with_context(ask)? {
        Model::Known(known) if path_of(known)?.exists() => Ok(name.into()),
        Model::Path(_) => Ok(name.into()),
        Model::Known(_) => fail!(NotFound, "{}", ask()),
        #[cfg(feature = "hub")]
        Model::Hub(spec) => match Hub::from_environment(events)?.locate(&spec) {
            // Return the path, not the name: with the name, the Hub would be asked for a newer version.
            (path, true) => Ok(path.to_str().with_context(ask)?.into()),
            (_, false) => fail!(NotFound, "{}", ask()),
        },
    }
}

/// The path of a model, and whether the model is there. If not, the path is where it would be. Nothing is fetched.
///
/// # Errors
/// If this cannot be the name of a model.
pub fn locate(name: &str, events: &Arc<dyn Events>) -> Result<(PathBuf, bool)> {
    Ok(match find(name)? {
        Model::Known(known) => {
            let path = path_of(known)?;
            let here = path.exists();
            (path, here)
        }
        Model::Path(path) => (path, true),
        #[cfg(feature = "hub")]
        Model::Hub(spec) => Hub::from_environment(events)?.locate(&spec),
    })
}

/// What this machine can tell about its access to the Hugging Face Hub.
pub struct HubStatus {
    /// The Hub's address.
    pub endpoint: String,
    /// Whether there is an access token.
    pub token: bool,
    /// Whether the Hub answers, or why not; `None` if downloads are turned off, so that it was not asked.
    pub reached: Option<Result<(), String>>,
}

/// Asks the Hub whether it answers.
///
/// # Errors
/// If a variable of the environment makes no sense.
#[cfg(feature = "hub")]
pub fn hub_status(events: &Arc<dyn Events>) -> Result<HubStatus> {
    let settings = hub::Settings::from_environment()?;
    let reached = (!settings.offline).then(|| hub::Client::new(&settings, events).reach().map_err(|e| e.to_string()));
    Ok(HubStatus { endpoint: settings.endpoint.clone(), token: settings.token.is_some(), reached })
}

/// Removes a known model from the cache. Returns the number of bytes freed, or `None` if it was not there.
///
/// # Errors
/// If it is not a known model, or cannot be removed. Models of other programs and of the Hub's cache are never
/// removed.
pub fn remove(name: &str) -> Result<Option<u64>> {
    let Some(known) = known(name) else {
        fail!(
            Unsupported,
            "{name:?} is no known model: others' files are theirs to remove (of the Hub's cache, `hf cache rm` does it)"
        )
    };
    let path = path_of(known)?;
    let mut freed = None;
    for path in [path.clone(), path.with_file_name(format!("{}.part", known.file))] {
        match std::fs::metadata(&path) {
            Ok(m) => {
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                freed = Some(freed.unwrap_or(0) + m.len());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("cannot remove {}", path.display())),
        }
    }
    Ok(freed)
}
