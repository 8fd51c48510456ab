//! The Hub's cache on disk, in the layout of Python's `huggingface_hub`, so that both programs share the same files.
//!
//! ```text
//! models--OWNER--NAME/refs/REVISION            the commit's id
//! models--OWNER--NAME/blobs/ETAG               content
//! models--OWNER--NAME/snapshots/COMMIT/PATH    link to ../../blobs/ETAG
//! .locks/models--OWNER--NAME/ETAG.lock         held while ETAG is fetched
//! ```

use super::{HubError, Settings, spec};
use crate::events::Events;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The Hub's cache folder.
pub(super) struct Cache {
    root: PathBuf,
    symlinks: bool,
}

impl Cache {
    pub(super) fn new(settings: &Settings) -> Cache {
        Cache { root: settings.cache.clone(), symlinks: settings.symlinks }
    }

    /// The folder of a repository.
    pub(super) fn folder(&self, repo: &str) -> PathBuf {
        self.root.join(folder_name(repo))
    }

    /// The folder with the files of one commit.
    pub(super) fn snapshot(&self, repo: &str, commit: &str) -> PathBuf {
        self.folder(repo).join("snapshots").join(commit)
    }

    /// The file with this content (`blob` is its `ETag`).
    pub(super) fn blob(&self, repo: &str, blob: &str) -> PathBuf {
        self.folder(repo).join("blobs").join(blob)
    }

    /// The id of the commit that a revision named when it was last looked up; `None` if it never was.
    pub(super) fn commit(&self, repo: &str, revision: &str) -> Option<String> {
        if spec::is_commit(revision) {
            return Some(revision.into());
        }
        let text = fs::read_to_string(self.folder(repo).join("refs").join(revision)).ok()?;
        // The text becomes part of a path, so it must be a commit's id and nothing else.
        Some(text.trim().to_owned()).filter(|c| spec::is_commit(c))
    }

    /// Stores which commit a revision names.
    pub(super) fn remember(&self, repo: &str, revision: &str, commit: &str) -> io::Result<()> {
        if self.commit(repo, revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder(repo).join("refs").join(revision);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        in_one_step(&path, |part| fs::write(part, commit))
    }

    /// Locks a blob, so that no other process (Python's included) fetches it until the returned file is closed.
    pub(super) fn lock(&self, repo: &str, blob: &str, events: &dyn Events) -> Result<File, HubError> {
        let folder = self.root.join(".locks").join(folder_name(repo));
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        let path = folder.join(format!("{blob}.lock"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        // The same permissions as Python's locks: a group of users may share the cache.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o664);
        let file = options.open(&path).map_err(HubError::io(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            // Some network drives have no locks. Then two processes may fetch the same file, but each still checks its
            // content.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        events.status("waiting for another process that fetches the same file");
        file.lock().map_err(HubError::io(&path))?;
        Ok(file)
    }

    /// Makes a blob appear in a commit's snapshot under the path `file`. If links are impossible, a `new` blob is
    /// moved there, and an older one, which other commits may use, is copied.
    pub(super) fn link(&self, repo: &str, blob: &str, commit: &str, file: &str, new: bool) -> Result<(), HubError> {
        let place = self.snapshot(repo, commit).join(file);
        if place.is_file() {
            return Ok(());
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        // Remove a link whose blob no longer exists.
        match fs::remove_file(&place) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(HubError::io(&place)(e)),
            _ => {}
        }
        let up = "../".repeat(2 + file.matches('/').count());
        let target: PathBuf = Path::new(&up).join("blobs").join(blob);
        if self.symlinks {
            match symlink(&target, &place) {
                Ok(()) => return Ok(()),
                // Another process made the link first.
                Err(_) if place.is_file() => return Ok(()),
                Err(_) => {}
            }
        }
        let blob = self.blob(repo, blob);
        let moved =
            if new { fs::rename(&blob, &place) } else { in_one_step(&place, |part| fs::copy(&blob, part).map(drop)) };
        moved.map_err(HubError::io(&place))
    }
}

fn folder_name(repo: &str) -> String {
    format!("models--{}", repo.replace('/', "--"))
}

/// Makes a file under a temporary name and renames it, so that other processes never see it unfinished.
fn in_one_step(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.tmp", std::process::id()));
    let part = PathBuf::from(part);
    let made = make(&part).and_then(|()| fs::rename(&part, path));
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made
}

#[cfg(unix)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    // On Windows, a link whose target contains `/` does not resolve.
    let target: PathBuf = target.to_string_lossy().replace('/', "\\").into();
    std::os::windows::fs::symlink_file(target, place)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
