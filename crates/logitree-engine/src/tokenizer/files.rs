//! Reads a file of a model folder.

use super::error::{TokenizerError, file};
use crate::weights::is_lfs_pointer;
use std::io::Read;
use std::path::Path;

/// Largest accepted file in bytes. The largest known files have 35 MB.
const MAX_BYTES: u64 = 1 << 29;

/// Reads the whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |reason| TokenizerError::Read { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(file(path, "length", format!("more than {MAX_BYTES} bytes")));
    }
    if is_lfs_pointer(&bytes) {
        let problem = "is a Git LFS pointer, the file itself was not fetched: run `git lfs pull` in its folder";
        return Err(file(path, "contents", problem));
    }
    Ok(bytes)
}
