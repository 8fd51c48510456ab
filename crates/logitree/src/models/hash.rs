//! SHA-256 of model files, remembered: hashing 250 MB takes longer than loading them.

use super::cache_dir;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Hash of a file's content, in hexadecimal.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(|| path.display().to_string())? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hex(&hasher.finalize()))
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
    let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
    let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let key = format!("{}\n{}\n{}", full.display(), meta.len(), changed.map_or(0, |d| d.as_nanos()));
    let note = cache_dir()?.join("hashes").join(hex(&Sha256::digest(key.as_bytes())));
    if let Ok(hash) = fs::read_to_string(&note)
        && hash.len() == 64
    {
        return Ok(hash);
    }
    let hash = file_sha256(path)?;
    // Only a shortcut for the next time: a cache that cannot be written costs seconds, not the run.
    let _ = note.parent().map(fs::create_dir_all);
    let _ = fs::write(&note, &hash);
    Ok(hash)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
