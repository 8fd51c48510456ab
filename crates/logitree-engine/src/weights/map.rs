//! Memory maps of weight files.

use crate::error::{DAMAGED, WeightsError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A weight file with its contents at the time when it was opened.
#[derive(Clone, Copy)]
pub struct Content<'w> {
    /// The path of the file when it was opened.
    pub path: &'w Path,
    /// All bytes of the file. They are mapped, so they stay readable even if the file at `path` has been replaced or
    /// removed.
    pub bytes: &'w [u8],
    /// Time of the last change before the file was opened, if the system provides it.
    pub modified: Option<SystemTime>,
}

/// A read-only map of a whole file.
pub(crate) struct Map {
    path: PathBuf,
    map: memmap2::Mmap,
    modified: Option<SystemTime>,
}

/// Whether a file is a Git LFS pointer: a text of three short lines in place of a large file that has not been fetched.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/") && bytes.len() <= 1024
}

/// Fails if `bytes`, the contents of the file `path`, are a Git LFS pointer.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    if !is_lfs_pointer(bytes) {
        return Ok(());
    }
    let problem = "is a Git LFS pointer: the file itself was not fetched";
    Err(WeightsError::field(path, "contents", problem, "run `git lfs pull` in its folder, or download the file"))
}

impl Map {
    /// Maps a file, which must not be empty.
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let file = std::fs::File::open(path).map_err(WeightsError::io(path))?;
        let metadata = file.metadata().map_err(WeightsError::io(path))?;
        if metadata.len() == 0 {
            return Err(WeightsError::field(path, "length", "the file is empty", DAMAGED));
        }
        // SAFETY: the map is read-only, and every range taken from it is checked against its length. If another program
        // changes the file meanwhile, the weights change with it; if it truncates the file, this process is killed. All
        // engines that map their models accept this instead of copying gigabytes.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(WeightsError::io(path))?;
        refuse_pointer(path, &map)?;
        Ok(Map { path: path.into(), map, modified: metadata.modified().ok() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The mapped contents, which do not depend on what is at the path now.
    pub(crate) fn content(&self) -> Content<'_> {
        Content { path: &self.path, bytes: &self.map, modified: self.modified }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// If `data` lies in this map, tells the operating system that its pages are not needed for now. They can still be
    /// read, at the cost of a page fault.
    pub(crate) fn release(&self, data: &[u8]) {
        // The addresses are only compared; nothing is read through them.
        let start = (data.as_ptr() as usize).wrapping_sub(self.map.as_ptr() as usize);
        if start >= self.map.len() || data.len() > self.map.len() - start {
            return;
        }
        #[cfg(unix)]
        {
            // SAFETY: the map is shared, read-only and backed by a file, so a dropped page is read from the
            // file again and holds the same bytes: slices that borrow it stay valid and unchanged.
            #[allow(unsafe_code)]
            let advised =
                unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, data.len()) };
            // A failure is ignored, because this is only advice: it costs memory but does not change results.
            drop(advised);
        }
    }
}
