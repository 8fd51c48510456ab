//! Locks on files and folders: only one process writes to each at a time, so that two never destroy each other's work.
//!
//! The locks are those of the operating system, so they end with their process, even if it is killed. Readers are not
//! locked out.

use crate::error::{Context, Result, fail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The file in a locked folder. It contains the process that holds the lock, and stays after the lock is released.
const NOTE: &str = ".lock";

/// Tries to lock an open file until it is closed. Returns false if another process, or another opening, holds the
/// lock.
///
/// Some network drives have no locks: there the answer is true, as there is no way to know.
pub fn try_own(file: &File) -> bool {
    // On Windows a lock would also keep readers out, so [`for_writing`] is used there: it keeps out only other
    // writers.
    cfg!(windows) || !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Options for opening a file to write. On Windows they already keep other writers out.
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
/// If another process is writing the file.
pub fn own(file: &File, path: &Path) -> Result<()> {
    if !try_own(file) {
        fail!(Conflict, "another logitree is writing {}: wait until it ends, or end it", path.display());
    }
    Ok(())
}

/// A folder that only this process may write to, until this is dropped.
pub struct Folder {
    path: PathBuf,
    _note: File,
}

impl Folder {
    /// Locks a folder. It is made if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or another process holds it; then the message names that process.
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
            // If the note cannot be read, the message does not name the process.
            let _ = Read::by_ref(&mut note).take(100).read_to_string(&mut holder);
            let holder = holder.lines().next().map_or(String::new(), |h| format!(" ({h})"));
            fail!(
                Conflict,
                "another logitree{holder} writes to the folder {}: end it, or name another folder",
                path.display()
            );
        }
        // The note only informs people. The lock works without it, so a failure to write (a full disk) is ignored.
        let _ = note.set_len(0).and_then(|()| writeln!(note, "process {}", std::process::id()));
        Ok(Folder { path: path.into(), _note: note })
    }

    /// Whether this folder was locked once and its process has ended without removing it.
    pub fn is_left_behind(path: &Path) -> bool {
        // Do not follow a link: its folder was not made by this program.
        let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
        is_folder && File::options().write(true).open(path.join(NOTE)).is_ok_and(|note| note.try_lock().is_ok())
    }

    /// The path of the folder.
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
