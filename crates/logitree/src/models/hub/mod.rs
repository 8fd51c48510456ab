//! Models of the Hugging Face Hub by name, in the cache that Python's `huggingface_hub` uses too.
//!
//! This is our own client over `ureq`, which logitree depends on anyway. We considered the `hf-hub` crate: version 1.0
//! adds an async HTTP stack, Xet and C++ (cmake), more than 300 packages for a dozen requests; version 0.5 ignores
//! `HF_TOKEN` and offline mode. Either would still need the checks below. The task itself is small: two kinds of
//! request, and a folder's layout.
//!
//! * [`spec`]: names, and the check whether a name may become a path. No name from a server becomes one unchecked.
//! * [`settings`]: the environment. * [`client`]: requests. * [`download`]: bytes. * [`cache`]: the layout.
//! * [`wanted`]: which files the engine reads.

mod cache;
mod client;
mod download;
mod error;
mod settings;
mod spec;
mod url;
mod wanted;

pub use client::{Address, Client};
pub use error::HubError;
pub use settings::Settings;
pub use spec::Spec;

use super::catalogue::{Extent, megabytes};
use super::hash;
use crate::events::Events;
use cache::Cache;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The Hub and its cache.
pub struct Hub {
    client: Client,
    cache: Cache,
    settings: Settings,
    events: Arc<dyn Events>,
    /// Whether the user has been told that something is being fetched.
    announced: Cell<bool>,
}

impl Hub {
    /// Opens the Hub with the settings of the environment.
    ///
    /// # Errors
    /// If a setting is not valid.
    pub fn from_environment(events: &Arc<dyn Events>) -> Result<Hub, HubError> {
        let settings = Settings::from_environment()?;
        let (client, cache) = (Client::new(&settings, events), Cache::new(&settings));
        Ok(Hub { client, cache, settings, events: events.clone(), announced: Cell::new(false) })
    }

    /// Fetches the missing files of a model and returns its folder or GGUF file. If the Hub cannot be reached, the
    /// copy in the cache is used, if it is complete.
    pub fn fetch(&self, spec: &Spec, extent: Extent) -> Result<PathBuf, HubError> {
        let cached = self.cached(spec, extent);
        if self.settings.offline {
            let cache = self.settings.cache.clone();
            return cached.map_err(|missing| HubError::Offline { cache, missing });
        }
        match (self.online(spec, extent, cached.is_err()), cached) {
            (Err(e), Ok(path)) if e.lets_the_cache_stand_in() => {
                let commit = self.cache.commit(&spec.repo, &spec.revision).unwrap_or_default();
                self.events.note(&e.to_string());
                self.events.note(&format!("using {spec} as it is in the cache (commit {commit})"));
                Ok(path)
            }
            (outcome, _) => outcome,
        }
    }

    /// The path of a model, and whether the model is in the cache. If not, the path is where it would be. Makes no
    /// request.
    pub fn locate(&self, spec: &Spec) -> (PathBuf, bool) {
        match self.cached(spec, Extent::Whole) {
            Ok(path) => (path, true),
            Err(_) => (self.cache.folder(&spec.repo), false),
        }
    }

    /// The path of a model in the cache; the error says what is missing.
    fn cached(&self, spec: &Spec, extent: Extent) -> Result<PathBuf, String> {
        let Spec { repo, revision, file, quantisation } = spec;
        let commit = self.cache.commit(repo, revision).ok_or_else(|| format!("{repo}@{revision}"))?;
        let snapshot = self.cache.snapshot(repo, &commit);
        let chosen = match quantisation {
            // Choose among the files in the cache only. The Hub may have more, but it is not asked here.
            Some(q) => wanted::of_quantisation(repo, q, &names_in(&snapshot)).map_err(|e| e.to_string())?,
            None => None,
        };
        let file = file.as_ref().or(chosen.as_ref());
        let check = |name: &str| match snapshot.join(name).is_file() {
            true => Ok(()),
            false => Err(format!("{name} of {repo}@{revision}")),
        };
        if let Some(file) = file {
            wanted::parts(file).iter().try_for_each(|part| check(part))?;
            return Ok(snapshot.join(file));
        }
        check("tokenizer.json")?;
        if extent == Extent::Whole {
            check("config.json")?;
            let index = snapshot.join(wanted::INDEX);
            if check(wanted::WHOLE).is_err() && index.is_file() {
                wanted::shards(&index)?.iter().try_for_each(|shard| check(shard))?;
            } else {
                check(wanted::WHOLE)?;
            }
        }
        Ok(snapshot)
    }

    fn online(&self, spec: &Spec, extent: Extent, patience: bool) -> Result<PathBuf, HubError> {
        let Spec { repo, revision, file, quantisation } = spec;
        let listing = self.client.listing(repo, revision, patience)?;
        let (commit, files) = (&listing.commit, &listing.files);
        let snapshot = self.cache.snapshot(repo, commit);
        let named = format!("{repo}@{revision}");
        let chosen = match quantisation {
            Some(q) => wanted::of_quantisation(&named, q, files)?,
            None => None,
        };
        let file = file.as_ref().or(chosen.as_ref());
        let get = |name: &str| {
            if !files.iter().any(|f| f == name) {
                let instead = wanted::ggufs(repo, files).filter(|_| file.is_some()).unwrap_or_default();
                return Err(HubError::NoFile { repo: named.clone(), file: name.into(), instead });
            }
            self.get(repo, commit, name)
        };
        let path = match file {
            Some(file) => {
                wanted::parts(file).iter().try_for_each(|part| get(part))?;
                snapshot.join(file)
            }
            None => {
                wanted::companions(&named, extent, files)?.into_iter().try_for_each(&get)?;
                if extent == Extent::Whole {
                    let refuse = |problem: String| HubError::Unsupported { repo: named.clone(), problem };
                    logitree_engine::config::of_folder(&snapshot).map_err(|e| refuse(e.to_string()))?;
                    if !files.iter().any(|f| f == wanted::WHOLE) {
                        get(wanted::INDEX)?;
                        let shards = wanted::shards(&snapshot.join(wanted::INDEX)).map_err(refuse)?;
                        shards.iter().try_for_each(|shard| get(shard))?;
                    } else {
                        get(wanted::WHOLE)?;
                    }
                }
                snapshot
            }
        };
        // Store the commit only now: until all its files are here, the previous complete commit is used offline. A
        // failure is ignored, because in a read-only cache only this shortcut is lost.
        let _ = self.cache.remember(repo, revision, commit);
        Ok(path)
    }

    /// Fetches a file into a commit's snapshot, if it is not there.
    fn get(&self, repo: &str, commit: &str, file: &str) -> Result<(), HubError> {
        if self.cache.snapshot(repo, commit).join(file).is_file() {
            return Ok(());
        }
        let address = Address { repo, revision: commit, file: Some(file) };
        let info = self.client.info(&address)?;
        let blob = self.cache.blob(repo, &info.blob);
        let _lock = self.cache.lock(repo, &info.blob, &*self.events)?;
        // The blob may be here already because another commit has the same file. One of a different size is damaged.
        let here = fs::metadata(&blob).is_ok_and(|m| m.len() == info.size);
        if !here {
            self.download(&address, &info, &blob)?;
        }
        self.cache.link(repo, &info.blob, commit, file, !here)
    }

    fn download(&self, address: &Address, info: &client::FileInfo, blob: &PathBuf) -> Result<(), HubError> {
        let file = address.file.unwrap_or_default();
        if !self.announced.replace(true) {
            self.events.status(&format!("fetching {} from {}", address.repo, self.settings.endpoint));
        }
        if info.size >= 1_000_000 {
            self.events.status(&format!("  {file}, {}", megabytes(info.size)));
        }
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        let mut part = blob.clone().into_os_string();
        part.push(".incomplete");
        let part = PathBuf::from(part);
        // A small file is named by Git's hash, which is not checked. So it is never resumed: the old part is removed,
        // and the file is fetched in one piece.
        let sha256 = Some(info.blob.as_str()).filter(|b| b.len() == 64);
        if sha256.is_none() && part.exists() {
            fs::remove_file(&part).map_err(HubError::io(&part))?;
        }
        self.client.download(address, info.size, &part, file)?;
        if let Some(problem) = hash::mismatch(&part, info.size, sha256, &*self.events).map_err(HubError::io(&part))? {
            fs::remove_file(&part).map_err(HubError::io(&part))?;
            return Err(HubError::Wrong { file: file.into(), problem });
        }
        fs::rename(&part, blob).map_err(HubError::io(blob))?;
        if let Some(sha256) = sha256 {
            hash::remember(blob, sha256);
        }
        Ok(())
    }
}

/// Paths of all files in a snapshot, its subfolders included, with `/` as on the Hub.
fn names_in(snapshot: &Path) -> Vec<String> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut names = Vec::new();
    for path in entries(snapshot) {
        let inner: Vec<PathBuf> = if path.is_dir() { entries(&path).collect() } else { vec![path] };
        let name = |p: &PathBuf| Some(p.strip_prefix(snapshot).ok()?.to_str()?.replace('\\', "/"));
        names.extend(inner.iter().filter_map(name));
    }
    names
}
