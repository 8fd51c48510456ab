//! Reads a header from first to last byte, and checks every length against the number of bytes left.

use crate::error::{DAMAGED, WeightsError};
use std::ops::Range;
use std::path::Path;

/// A position in a mapped file.
pub(super) struct Cursor<'a> {
    pub(super) path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { path, bytes, at: 0 }
    }

    /// Number of bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error about `field`, for files that contradict themselves.
    pub(super) fn damaged(&self, field: &str, problem: impl Into<String>) -> WeightsError {
        WeightsError::field(self.path, field, problem, DAMAGED)
    }

    pub(super) fn take(&mut self, n: usize, field: &str) -> Result<&'a [u8], WeightsError> {
        if n > self.left() {
            let (at, left) = (self.at, self.left());
            return Err(self.damaged(field, format!("needs {n} bytes at offset {at}, but the file ends after {left}")));
        }
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], WeightsError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, field: &str) -> Result<u32, WeightsError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &str) -> Result<u64, WeightsError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// Reads a count of entries that take at least `least` bytes each. It is checked against the bytes left, so that
    /// memory allocated for the entries is in proportion to the size of the file.
    pub(super) fn count(&mut self, least: usize, field: &str) -> Result<usize, WeightsError> {
        let n = self.u64(field)?;
        let room = self.left() / least;
        match usize::try_from(n) {
            Ok(n) if n <= room => Ok(n),
            _ => Err(self.damaged(field, format!("the count is {n}, but the rest of the file has room for {room}"))),
        }
    }

    /// Reads a string (u64 length, then the bytes), and returns the position of its bytes.
    pub(super) fn string(&mut self, field: &str) -> Result<Range<usize>, WeightsError> {
        let len = self.count(1, field)?;
        let start = self.at;
        self.take(len, field)?;
        Ok(start..self.at)
    }

    /// Reads a string that must be UTF-8 and have at most `longest` bytes.
    pub(super) fn name(&mut self, longest: usize, field: &str) -> Result<&'a str, WeightsError> {
        let start = self.at;
        let range = self.string(field)?;
        if range.len() > longest {
            let problem = format!("the name at offset {start} has {} bytes, more than {longest}", range.len());
            return Err(self.damaged(field, problem));
        }
        std::str::from_utf8(&self.bytes[range])
            .map_err(|_| self.damaged(field, format!("the name at offset {start} is not UTF-8")))
    }
}
