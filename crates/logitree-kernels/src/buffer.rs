//! Memory that starts on a cache line.

use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// A cache line of f32: one vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A growing buffer of f32, kept between kernels to spare allocations. It starts on a cache line, because a vector that
/// straddles two of them costs two loads.
#[derive(Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// The first `len` elements. If there are fewer, the buffer grows; elements that exist keep their values.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; 16]));
        }
        &mut self[..len]
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is 16 f32 without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 16) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }
}

/// Bytes that live as long as the model. They come straight from the system, in large pages where it has them: weights are read
/// from beginning to end in every step, and each small page would cost a walk through the page table.
pub(crate) struct Memory(MmapMut);

impl Memory {
    /// # Errors
    /// If the system has no more memory.
    pub(crate) fn zeroed(len: usize) -> std::io::Result<Memory> {
        let map = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        // This is only a wish. A system without large pages refuses it, and small pages work too.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Memory(map))
    }
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
