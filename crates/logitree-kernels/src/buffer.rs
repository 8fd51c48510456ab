//! Memory that starts on a cache line.

use memmap2::{MmapMut, MmapRaw};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

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

/// Bytes that live as long as the model. They come straight from the system, in large pages where it has them: weights
/// are read from beginning to end in every step, and each small page would cost a walk through the page table.
pub(crate) struct Memory {
    map: Arc<MmapRaw>,
    start: usize,
    len: usize,
}

impl Memory {
    /// Memory with a map of its own.
    ///
    /// # Errors
    /// If the system has no more memory.
    pub(crate) fn zeroed(len: usize) -> std::io::Result<Memory> {
        let map = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        // This is only a wish. A system without large pages refuses it, and small pages work too.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Memory { map: Arc::new(map.into()), start: 0, len })
    }
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the map, which is zeroed and lives as long as this does. Nobody else has the range:
        // a map is either this memory's own or cut into ranges by a `Slab`, which hands out each of them once.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.start), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.start), self.len) }
    }
}

/// Memory for many matrices that are each smaller than a large page, such as those of experts: they share maps, because
/// the system puts a map of its own into small pages, and giving out each of these costs more than packing what it
/// holds.
#[derive(Default)]
pub(crate) struct Slab {
    map: Option<Arc<MmapRaw>>,
    used: usize,
}

impl Slab {
    /// Bytes of a shared map.
    const BYTES: usize = 64 << 20;
    /// Memory of this size or more has a map of its own, so that little is left over at the end of a shared one.
    const LARGE: usize = 8 << 20;

    /// Memory that starts on a cache line.
    ///
    /// # Errors
    /// If the system has no more memory.
    pub(crate) fn zeroed(&mut self, len: usize) -> std::io::Result<Memory> {
        if len >= Slab::LARGE {
            return Memory::zeroed(len);
        }
        let map = match &self.map {
            Some(map) if len <= map.len() - self.used => Arc::clone(map),
            _ => {
                self.used = 0;
                Arc::clone(self.map.insert(Memory::zeroed(Slab::BYTES)?.map))
            }
        };
        let start = self.used;
        self.used = (start + len).next_multiple_of(64).min(map.len());
        Ok(Memory { map, start, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_slab_is_zeroed_disjoint_and_starts_on_a_cache_line() {
        let mut slab = Slab::default();
        let sizes = [1, 64, 65, Slab::LARGE - 1, Slab::LARGE, 3 << 20, Slab::LARGE - 1];
        let mut all: Vec<Memory> = sizes.iter().cycle().take(40).map(|&len| slab.zeroed(len).unwrap()).collect();
        for (i, memory) in all.iter_mut().enumerate() {
            assert!(memory.as_ptr().addr().is_multiple_of(64) && memory.iter().all(|&byte| byte == 0));
            memory.fill(i as u8 + 1);
        }
        for (i, memory) in all.iter().enumerate() {
            assert_eq!(memory.len(), sizes[i % sizes.len()]);
            assert!(memory.iter().all(|&byte| byte == i as u8 + 1));
        }
        // This memory stays valid after the others that shared its map were dropped.
        let last = all.swap_remove(2);
        drop((slab, all));
        assert!(last.iter().all(|&byte| byte == 3));
    }
}
