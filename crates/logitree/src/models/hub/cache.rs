//! The Hub's cache on disk, laid out as Python's `huggingface_hub` does, which uses the same files.
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

/// The cache.
pub(super) struct Cache {
    root: PathBuf,
    symlinks: bool,
}

impl Cache {
    pub(super) fn new(settings: &Settings) -> Cache {
        Cache { root: settings.cache.clone(), symlinks: settings.symlinks }
    }

    /// Everything of a repository.
    pub(super) fn folder(&self, repo: &str) -> PathBuf {
        self.root.join(folder_name(repo))
    }

    /// The files of a commit.
    pub(super) fn snapshot(&self, repo: &str, commit: &str) -> PathBuf {
        self.folder(repo).join("snapshots").join(commit)
    }

    /// A file's content.
    pub(super) fn blob(&self, repo: &str, blob: &str) -> PathBuf {
        self.folder(repo).join("blobs").join(blob)
    }

    /// The commit that a revision was when it was last looked up.
    pub(super) fn commit(&self, repo: &str, revision: &str) -> Option<String> {
        if spec::is_commit(revision) {
            return Some(revision.into());
        }
        let text = fs::read_to_string(self.folder(repo).join("refs").join(revision)).ok()?;
        // It becomes a path.
        Some(text.trim().to_owned()).filter(|c| spec::is_commit(c))
    }

    /// Remembers which commit a revision is.
    pub(super) fn remember(&self, repo: &str, revision: &str, commit: &str) -> io::Result<()> {
        if self.commit(repo, revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder(repo).join("refs").join(revision);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        in_one_step(&path, |part| fs::write(part, commit))
    }

    /// Keeps other processes, Python's too, from fetching the same content until the file is closed.
    pub(super) fn lock(&self, repo: &str, blob: &str, events: &dyn Events) -> Result<File, HubError> {
        let folder = self.root.join(".locks").join(folder_name(repo));
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        let path = folder.join(format!("{blob}.lock"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        // As Python makes them: a group may share the cache.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o664);
        let file = options.open(&path).map_err(HubError::io(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            // Some network drives have no locks. Content is checked either way; it may be fetched twice.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        events.status("waiting for another process that fetches the same file");
        file.lock().map_err(HubError::io(&path))?;
        Ok(file)
    }

    /// Puts content that is in the cache into a commit, under a path. Where links are impossible a `new` content is moved
    /// there, and one that other commits may have is copied.
    pub(super) fn link(&self, repo: &str, blob: &str, commit: &str, file: &str, new: bool) -> Result<(), HubError> {
        let place = self.snapshot(repo, commit).join(file);
        if place.is_file() {
            return Ok(());
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        // A link to content that is gone.
        match fs::remove_file(&place) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(HubError::io(&place)(e)),
            _ => {}
        }
        let up = "../".repeat(2 + file.matches('/').count());
        let target: PathBuf = Path::new(&up).join("blobs").join(blob);
        if self.symlinks {
            match symlink(&target, &place) {
                Ok(()) => return Ok(()),
                // Another process was faster.
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

/// Makes a file that others never see unfinished.
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
    // Links with `/` in them lead nowhere there.
    let target: PathBuf = target.to_string_lossy().replace('/', "\\").into();
    std::os::windows::fs::symlink_file(target, place)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
