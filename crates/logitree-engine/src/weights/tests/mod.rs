//! Tests with correct, damaged and malicious files.

mod builder;
mod configs;
mod folder;
mod gguf;
mod hostile;
mod mixtures;
mod models;
mod quant;

use super::{Weights, WeightsError};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Writes a file into a fresh folder.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Opens a file and calls every function that depends on what the file says.
fn use_all(path: &Path) -> Result<usize, WeightsError> {
    let weights = Weights::open(path)?;
    let config = weights.config()?;
    let ends = weights.end_tokens()?;
    let mut total = weights.bytes() as usize + weights.parameters() as usize + weights.quantisation().len();
    if let Some(gguf) = weights.gguf() {
        for (key, _) in gguf.metadata() {
            total += gguf.strings(key).map_or(0, |s| s.iter().map(|s| s.len()).sum());
            total += gguf.i64s(key).map_or(0, |n| n.len());
            total += gguf.f32s(key).map_or(0, |n| n.len());
            total += gguf.str(key).map_or(0, str::len);
        }
        for name in gguf.tensor_names() {
            total += gguf.tensor(name)?.map_or(0, |t| t.data.iter().map(|&b| usize::from(b & 1)).sum());
        }
    }
    Ok(total + config.layers.len() + ends.len())
}

/// The error of a file, which must name it.
fn error(path: &Path) -> String {
    let message = use_all(path).expect_err("this file is wrong").to_string();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(message.contains(name), "{message:?} does not name {name}");
    message
}
