//! SHA-256 of model files, remembered: hashing 250 MB takes longer than loading them.

use super::cache_dir;
use crate::message;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Hash of a file's content, in hexadecimal.
fn file_sha256(path: &Path) -> io::Result<String> {
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

/// How a downloaded file differs from what it should be, if it does: in size, or in its hash where that is known.
pub(super) fn mismatch(path: &Path, bytes: u64, sha256: Option<&str>) -> io::Result<Option<String>> {
    let size = fs::metadata(path)?.len();
    if size != bytes {
        return Ok(Some(format!("{size} bytes instead of {bytes}")));
    }
    let Some(sha256) = sha256 else { return Ok(None) };
    message::line("  checking sha256");
    let hash = file_sha256(path)?;
    Ok((hash != sha256).then(|| format!("sha256 is {hash}, not {sha256}")))
}

/// Hash of bytes, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Hash of a model's files; of several, the hash of their hashes in the order given.
pub fn sha256(files: &[PathBuf]) -> Result<String> {
    let hashes = files.iter().map(|f| remembered(f)).collect::<Result<Vec<_>>>()?;
    match &hashes[..] {
        [one] => Ok(one.clone()),
        many => Ok(hex(&Sha256::digest(many.join("\n").as_bytes()))),
    }
}

/// A file's hash, looked up by path, size and time of change.
fn remembered(path: &Path) -> Result<String> {
    let note = note(path).with_context(|| path.display().to_string())?;
    if let Some(hash) = note.and_then(|note| fs::read_to_string(note).ok())
        && hash.len() == 64
    {
        return Ok(hash);
    }
    let hash = file_sha256(path).with_context(|| path.display().to_string())?;
    remember(path, &hash);
    Ok(hash)
}

/// Saves hashing a file whose hash is known.
pub(super) fn remember(path: &Path, hash: &str) {
    // Only a shortcut for the next time: a cache that cannot be written costs seconds, not the run.
    let Ok(Some(note)) = note(path) else { return };
    let _ = note.parent().map(fs::create_dir_all);
    let _ = fs::write(note, hash);
}

/// Where a file's hash is noted; nowhere if there is no cache.
fn note(path: &Path) -> io::Result<Option<PathBuf>> {
    let meta = fs::metadata(path)?;
    let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let key = format!("{}\n{}\n{}", full.display(), meta.len(), changed.map_or(0, |d| d.as_nanos()));
    Ok(cache_dir().ok().map(|dir| dir.join("hashes").join(hex(&Sha256::digest(key.as_bytes())))))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
