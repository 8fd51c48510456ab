//! The one memory map.

use crate::error::{DAMAGED, WeightsError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A weight file as it was opened.
#[derive(Clone, Copy)]
pub struct Content<'w> {
    /// Where it was.
    pub path: &'w Path,
    /// All of it: mapped, so that the file may have been replaced or removed since.
    pub bytes: &'w [u8],
    /// When it was changed last before it was opened, if the system tells.
    pub modified: Option<SystemTime>,
}

/// A read-only map of a whole file.
pub(crate) struct Map {
    path: PathBuf,
    map: memmap2::Mmap,
    modified: Option<SystemTime>,
}

/// Whether a file is what Git leaves in place of a large one that it has not fetched: a text of three short lines.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/") && bytes.len() <= 1024
}

/// Fails if `bytes`, of the file `path`, are such a pointer.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    if !is_lfs_pointer(bytes) {
        return Ok(());
    }
    let problem = "is a Git LFS pointer: the file itself was not fetched";
    Err(WeightsError::field(path, "contents", problem, "run `git lfs pull` in its folder, or download the file"))
}

impl Map {
    /// Maps a file that is not empty.
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let file = std::fs::File::open(path).map_err(WeightsError::io(path))?;
        let metadata = file.metadata().map_err(WeightsError::io(path))?;
        if metadata.len() == 0 {
            return Err(WeightsError::field(path, "length", "the file is empty", DAMAGED));
        }
        // SAFETY: the map is read-only and every range taken from it is checked against its length. Should
        // another program change the file meanwhile, weights change with it; one that truncates it ends this
        // process. That is the price of not copying gigabytes, as all engines that map their models pay it.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(WeightsError::io(path))?;
        refuse_pointer(path, &map)?;
        Ok(Map { path: path.into(), map, modified: metadata.modified().ok() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is mapped, whatever has become of the file at the path since.
    pub(crate) fn content(&self) -> Content<'_> {
        Content { path: &self.path, bytes: &self.map, modified: self.modified }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// If `data` lies in this map, tells the system that it is not needed for now. Reading it again stays
    /// possible and costs a page fault.
    pub(crate) fn release(&self, data: &[u8]) {
        // Compares addresses: nothing is read through them.
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
            // Advice only: failure costs memory, never an answer.
            drop(advised);
        }
    }
}
