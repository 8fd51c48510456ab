//! SHA-256 of model files. Hashes are cached on disk, because hashing 250 MB takes longer than loading them.

use super::folders::cache_dir;
use crate::error::{Context, Result};
use crate::events::Events;
use logitree_engine::weights::{Content, Weights};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The SHA-256 of a file's content as it is now, in hexadecimal.
///
/// # Errors
/// If the file cannot be read.
pub fn content_sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// How a downloaded file differs from what was announced: in size, or in its hash if that is known. `None` if it does
/// not.
pub(super) fn mismatch(
    path: &Path,
    bytes: u64,
    sha256: Option<&str>,
    events: &dyn Events,
) -> io::Result<Option<String>> {
    let size = fs::metadata(path)?.len();
    if size != bytes {
        return Ok(Some(format!("{size} bytes instead of {bytes}")));
    }
    let Some(sha256) = sha256 else { return Ok(None) };
    events.status("  checking sha256");
    let hash = content_sha256(path)?;
    Ok((hash != sha256).then(|| format!("sha256 is {hash}, not {sha256}")))
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a model's weights as they are mapped in memory, even if the files have changed since. Of several
/// files, it is the hash of their hashes, in the given order.
pub fn weights_sha256(weights: &Weights) -> String {
    let hashes: Vec<String> = weights.contents().iter().map(mapped).collect();
    match &hashes[..] {
        [one] => one.clone(),
        many => hex(&Sha256::digest(many.join("\n").as_bytes())),
    }
}

/// The hash of a mapped file, cached under the path, size and modification time that it had when it was opened.
fn mapped(content: &Content<'_>) -> String {
    let note = note_of(content.path, content.bytes.len() as u64, content.modified);
    known(note.as_deref()).unwrap_or_else(|| {
        let hash = sha256_of(content.bytes);
        write_note(note, &hash);
        hash
    })
}

/// The SHA-256 of a file, cached under its path, size and modification time.
///
/// # Errors
/// If the file cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let note = note(path).with_context(|| path.display().to_string())?;
    if let Some(hash) = known(note.as_deref()) {
        return Ok(hash);
    }
    let hash = content_sha256(path).with_context(|| path.display().to_string())?;
    write_note(note, &hash);
    Ok(hash)
}

fn known(note: Option<&Path>) -> Option<String> {
    fs::read_to_string(note?).ok().filter(|hash| hash.len() == 64)
}

fn write_note(note: Option<PathBuf>, hash: &str) {
    // The note only saves time later. If the cache cannot be written, hashing is repeated, so the failure is ignored.
    let Some(note) = note else { return };
    let _ = note.parent().map(fs::create_dir_all);
    let _ = fs::write(note, hash);
}

/// Caches a hash that is already known, so that the file need not be hashed later.
pub(super) fn remember(path: &Path, hash: &str) {
    if let Ok(note) = note(path) {
        write_note(note, hash);
    }
}

/// The path of the note with a file's hash; `None` if there is no cache folder.
fn note(path: &Path) -> io::Result<Option<PathBuf>> {
    let meta = fs::metadata(path)?;
    Ok(note_of(path, meta.len(), meta.modified().ok()))
}

fn note_of(path: &Path, length: u64, modified: Option<SystemTime>) -> Option<PathBuf> {
    let changed = modified.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let key = format!("{}\n{length}\n{}", full.display(), changed.map_or(0, |d| d.as_nanos()));
    Some(cache_dir().ok()?.join("hashes").join(hex(&Sha256::digest(key.as_bytes()))))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
