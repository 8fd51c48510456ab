//! The folders where models and runs are kept.

use super::catalogue::Known;
use crate::error::{Context, Result};
use std::path::PathBuf;

/// The folder for models: `LOGITREE_CACHE`, else a folder in the user's cache folder.
///
/// # Errors
/// If there is no home folder and the variable is not set.
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

/// The folder for what the user makes: `LOGITREE_DATA`, else a folder in the user's data folder.
///
/// # Errors
/// If there is no home folder and the variable is not set.
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
    base.map(|b| b.join("logitree")).context("no home folder: set LOGITREE_DATA to a folder for runs")
}

/// The path of a known model in the cache; the file need not exist.
///
/// # Errors
/// As for [`cache_dir`].
pub fn path_of(known: &Known) -> Result<PathBuf> {
    Ok(cache_dir()?.join(known.file))
}
