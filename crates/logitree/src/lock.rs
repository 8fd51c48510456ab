//! Who writes a file or a folder: one process at a time, so that two never destroy each other's work.
//!
//! Locks are the operating system's: they end with their process, however it ends. Readers are not locked out.

use crate::error::{Context, Result, fail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The file in a locked folder; it says who holds the lock and stays when that ends.
const NOTE: &str = ".lock";

/// Tries to lock an open file until it is closed; false if another process, or another opening, holds it.
///
/// Some network drives have no locks: there the answer is true, as nobody can be asked.
pub fn try_own(file: &File) -> bool {
    // On Windows a lock would keep readers out; `for_writing` keeps only other writers out.
    cfg!(windows) || !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Options that open a file to write, where the system can keep other writers out from the beginning.
pub fn for_writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    // FILE_SHARE_READ and FILE_SHARE_DELETE.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 4);
    options
}

/// Locks an open file until it is closed.
///
/// # Errors
///
/// Another process writes it.
pub fn own(file: &File, path: &Path) -> Result<()> {
    if !try_own(file) {
        fail!(Conflict, "another logitree is writing {}: wait until it ends, or end it", path.display());
    }
    Ok(())
}

/// A folder that this process alone writes to, until this is dropped.
pub struct Folder {
    path: PathBuf,
    _note: File,
}

impl Folder {
    /// Holds a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made, or another process holds it; then that process is named.
    pub fn hold(path: &Path) -> Result<Folder> {
        if path.exists() && !path.is_dir() {
            fail!(Input, "{} is a file: name a folder", path.display());
        }
        std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let place = path.join(NOTE);
        let note = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&place);
        let mut note = note.with_context(|| format!("cannot write to the folder {}", path.display()))?;
        if let Err(TryLockError::WouldBlock) = note.try_lock() {
            let mut holder = String::new();
            // Where the holder cannot be read, it is not named.
            let _ = Read::by_ref(&mut note).take(100).read_to_string(&mut holder);
            let holder = holder.lines().next().map_or(String::new(), |h| format!(" ({h})"));
            fail!(
                Conflict,
                "another logitree{holder} writes to the folder {}: end it, or name another folder",
                path.display()
            );
        }
        // A note for people; the lock is what counts, so a full disk does no harm.
        let _ = note.set_len(0).and_then(|()| writeln!(note, "process {}", std::process::id()));
        Ok(Folder { path: path.into(), _note: note })
    }

    /// Whether this folder was held once and its holder is gone without having removed it.
    pub fn is_left_behind(path: &Path) -> bool {
        // Links are somebody else's idea.
        let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
        is_folder && File::options().write(true).open(path.join(NOTE)).is_ok_and(|note| note.try_lock().is_ok())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_and_says_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        let first = Folder::hold(&path).unwrap();
        let refused = Folder::hold(&path).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(!Folder::is_left_behind(&path));
        drop(first);
        assert!(Folder::is_left_behind(&path) && !Folder::is_left_behind(folder.path()));
        assert!(Folder::hold(&path).is_ok());
        assert!(Folder::hold(&path.join(NOTE)).err().unwrap().to_string().contains("is a file"));
    }
}
