//! Weight matrices, repacked so that one vector holds the same column of 16 rows.
//!
//! With rows in lanes, a matrix product needs no horizontal sums: each output element is one chain
//! of fused multiply-adds for each part of `k`, in order, and the sum of these, whatever the width of the
//! batch. That is what makes results independent of the batch, the thread count and the instruction set.
//!
//! Layout: tiles of 16 rows; within a tile blocks along `k`; within a block
//!
//! ```text
//! f32, f16      [k][16] elements
//! bf16          [pair][16][2] elements: columns 4 i and 4 i + 2, then 4 i + 1 and 4 i + 3; padded to whole fours
//! quantised     d [16] f16, (m [16] f16), then per 32 columns:
//!               sub-scales [1 or 2][16] i8, (sub-minima [1 or 2][16] u8)      K formats only
//!               low bits  [low ][16] u32: four neighbouring columns in the lowest bits of a word's four bytes, the
//!                                         next four in the bits above; 8 bits with 128 added, unsigned like the others
//!               high bits [high][16] u32, likewise
//! ```
//!
//! Packed weights hold the same bits as the file, so they are as large (K formats: up to 4 % larger, Q2_K 19 %).

mod decode;
mod format;
mod unpack;

use crate::buffer::Memory;
use crate::quant::{Block, Layout, unpack};
use crate::simd::LANES;
use crate::team::Parts;
use crate::{Arithmetic, Compute, DType};
pub(crate) use decode::Decode;
use std::ops::Range;

/// A run: the columns whose codes are packed together, and which other arithmetics than f32 multiply together.
pub(crate) const RUN: usize = 32;

/// What a run of 32 columns of a quantised matrix holds once it is unpacked.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// How many sub-blocks with a scale of their own a run has: 1 or 2.
    pub(crate) subs: usize,
    /// True if sub-blocks have an offset, false if codes have a bias instead.
    pub(crate) min: bool,
    /// Subtracted from unsigned codes.
    pub(crate) bias: i32,
}

impl Form {
    /// Vectors that hold a run of a tile whose codes take `codes` vectors: the codes, then the scales and the offsets
    /// of the sub-blocks.
    pub(crate) fn record(self, codes: usize) -> usize {
        codes + self.subs * (1 + usize::from(self.min))
    }
}

/// Vectors that hold a run's codes as bytes: a lane has those of four neighbouring columns.
pub(crate) const BYTES: usize = 8;

/// Vectors that hold a run's codes, or weights, in bf16: a lane has those of two columns, see [`pair`].
pub(crate) const PAIRS: usize = 16;

/// The two columns whose bf16 numbers are in a lane of the `i`th vector.
pub(crate) const fn pair(i: usize) -> [usize; 2] {
    let first = i / 2 * 4 + i % 2;
    [first, first + 2]
}

/// Packed bytes after which [`PackedMatrix::pack_in_parts`] gives back what it has read.
const PART: usize = 16 << 20;

/// A matrix `[rows, cols]` of weights, repacked for products with activations.
pub struct PackedMatrix {
    dtype: DType,
    rows: usize,
    cols: usize,
    tile_bytes: usize,
    data: Memory,
}

/// Why a matrix cannot be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The bytes do not match the shape.
    #[error("{rows} x {cols} elements of {dtype} do not match {bytes} bytes")]
    Size {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Storage type.
        dtype: DType,
        /// Bytes given.
        bytes: usize,
    },
    /// The system has no memory for it.
    #[error("no memory for the packed weights: {0}")]
    Memory(#[from] std::io::Error),
}

const fn block_bytes(dtype: DType) -> usize {
    match Layout::of(dtype) {
        None => dtype.block_bytes() * LANES,
        Some(l) => header_bytes(&l) + dtype.block_len() / 32 * group_bytes(&l),
    }
}

const fn header_bytes(l: &Layout) -> usize {
    if l.has_min || l.power_scale { 4 * LANES } else { 2 * LANES }
}

const fn scale_bytes(l: &Layout) -> usize {
    let sub = if l.sub_scales { 32 / l.scale_len * LANES } else { 0 };
    if l.has_min { 2 * sub } else { sub }
}

const fn group_bytes(l: &Layout) -> usize {
    scale_bytes(l) + 4 * (l.low + l.high) * LANES
}

impl PackedMatrix {
    /// Packs `[rows, cols]` elements of a row-major matrix. Rows are padded with zeros to whole tiles.
    ///
    /// # Errors
    /// If `bytes` does not have the size of such a matrix, or the system has no memory for it.
    pub fn pack(
        compute: &mut Compute,
        dtype: DType,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<PackedMatrix, PackError> {
        PackedMatrix::pack_in_parts(compute, dtype, rows, cols, bytes, |_| ())
    }

    /// Does what [`PackedMatrix::pack`] does, and calls `done` with each part of `bytes` that has been read, so that a
    /// mapped file need not be in memory beside its packed form.
    ///
    /// # Errors
    /// As for [`PackedMatrix::pack`].
    pub fn pack_in_parts(
        compute: &mut Compute,
        dtype: DType,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        mut done: impl FnMut(&[u8]),
    ) -> Result<PackedMatrix, PackError> {
        let size_error = || PackError::Size { rows, cols, dtype, bytes: bytes.len() };
        let row_bytes = dtype.row_bytes(cols).ok_or_else(size_error)?;
        if row_bytes.checked_mul(rows) != Some(bytes.len()) || rows == 0 || cols == 0 {
            return Err(size_error());
        }
        let tiles = rows.div_ceil(LANES);
        let blocks = if dtype == DType::BF16 { cols.next_multiple_of(4) } else { cols / dtype.block_len() };
        let tile_bytes = blocks * block_bytes(dtype);
        let mut data = compute.slab.zeroed(tiles * tile_bytes)?;
        let part_tiles = (PART / tile_bytes).max(1);
        for (part, packed) in bytes.chunks(part_tiles * LANES * row_bytes).zip(data.chunks_mut(part_tiles * tile_bytes))
        {
            let packed = Parts::new(packed);
            let tiles = part.len().div_ceil(LANES * row_bytes);
            compute.team.each(tiles, |_, tile| {
                // SAFETY: each tile is handed out once, and tiles do not overlap.
                let out = unsafe { packed.part(tile * tile_bytes, tile_bytes) };
                let rows = &part[tile * LANES * row_bytes..];
                pack_tile(dtype, &rows[..rows.len().min(LANES * row_bytes)], row_bytes, out);
            });
            done(part);
        }
        Ok(PackedMatrix { dtype, rows, cols, tile_bytes, data })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// True if the matrix's weights are codes with scales.
    pub(crate) fn is_quantised(&self) -> bool {
        self.form().is_some()
    }

    /// True if products with this matrix are computed in this arithmetic, false if they are computed in f32 in spite of
    /// it.
    pub fn multiplies_in(&self, arithmetic: Arithmetic) -> bool {
        match arithmetic {
            Arithmetic::F32 => false,
            Arithmetic::Bf16x3 => self.is_quantised() || (self.dtype == DType::BF16 && self.cols.is_multiple_of(RUN)),
            Arithmetic::Bits8 => self.is_quantised(),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The form of the matrix's runs; `None` if it is not quantised.
    pub(crate) fn form(&self) -> Option<Form> {
        let l = Layout::of(self.dtype)?;
        let bias = if l.low == 8 { 128 } else { l.bias as i32 };
        Some(Form { subs: RUN / l.scale_len, min: l.has_min, bias })
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Packed bytes of a tile.
    pub(crate) fn tile(&self, tile: usize) -> &[u8] {
        &self.data[tile * self.tile_bytes..][..self.tile_bytes]
    }

    /// About where columns `k0 .. k0 + k` lie in a tile's packed bytes, to prefetch them. Columns beyond the last are
    /// left out.
    pub(crate) fn span(&self, k0: usize, k: usize) -> Range<usize> {
        let [from, to] = [k0, k0 + k].map(|k| k.min(self.cols) * self.tile_bytes / self.cols);
        from..to
    }
}

/// Packs up to 16 rows into one tile.
fn pack_tile(dtype: DType, rows: &[u8], row_bytes: usize, out: &mut [u8]) {
    let Some(layout) = Layout::of(dtype) else {
        return match dtype {
            DType::BF16 => pack_pairs(rows, row_bytes, out),
            DType::F16 => pack_elements::<2>(rows, row_bytes, out),
            _ => pack_elements::<4>(rows, row_bytes, out),
        };
    };
    let mut blocks: [Block; LANES] = Default::default();
    for (b, out) in out.chunks_exact_mut(block_bytes(dtype)).enumerate() {
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
            unpack(dtype, &row[b * dtype.block_bytes()..][..dtype.block_bytes()], &mut blocks[lane]);
        }
        let (header, groups) = out.split_at_mut(header_bytes(&layout));
        for (lane, block) in blocks.iter().enumerate() {
            if layout.power_scale {
                header[4 * lane..][..4].copy_from_slice(&block.power.to_le_bytes());
                continue;
            }
            header[2 * lane..][..2].copy_from_slice(&block.d.to_le_bytes());
            if layout.has_min {
                header[2 * (LANES + lane)..][..2].copy_from_slice(&block.m.to_le_bytes());
            }
        }
        for (g, out) in groups.chunks_exact_mut(group_bytes(&layout)).enumerate() {
            pack_group(&layout, &blocks, g, out);
        }
    }
}

/// Packs unquantised elements of `N` bytes into one tile.
fn pack_elements<const N: usize>(rows: &[u8], row_bytes: usize, out: &mut [u8]) {
    let out = out.as_chunks_mut::<N>().0;
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (element, out) in row.as_chunks::<N>().0.iter().zip(out[lane..].iter_mut().step_by(LANES)) {
            *out = *element;
        }
    }
}

/// Packs bf16 elements into one tile.
fn pack_pairs(rows: &[u8], row_bytes: usize, out: &mut [u8]) {
    let pairs = out.as_chunks_mut::<4>().0.as_chunks_mut::<LANES>().0;
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        let row = row.as_chunks::<2>().0;
        for (i, out) in pairs.iter_mut().enumerate() {
            let [low, high] = pair(i).map(|column| row.get(column).copied().unwrap_or_default());
            out[lane] = [low[0], low[1], high[0], high[1]];
        }
    }
}

/// Packs columns `32 g .. 32 g + 32` of a block.
fn pack_group(layout: &Layout, blocks: &[Block; LANES], g: usize, out: &mut [u8]) {
    let (scales, codes) = out.split_at_mut(scale_bytes(layout));
    let sub = if layout.sub_scales { 32 / layout.scale_len } else { 0 };
    for j in 0..sub {
        for (lane, block) in blocks.iter().enumerate() {
            scales[j * LANES + lane] = block.scales[g * sub + j] as u8;
            if layout.has_min {
                scales[(sub + j) * LANES + lane] = block.mins[g * sub + j];
            }
        }
    }
    let (low, high) = codes.split_at_mut(4 * layout.low * LANES);
    for (bits, skip, out) in [(layout.low, 0, low), (layout.high, layout.low, high)] {
        for (lane, block) in blocks.iter().enumerate() {
            let codes = block.codes[32 * g..].first_chunk().expect("a block is whole groups");
            let words = match bits {
                8 => pack_bits::<8>(&codes.map(|signed| signed ^ 0x80), skip),
                4 => pack_bits::<4>(codes, skip),
                2 => pack_bits::<2>(codes, skip),
                1 => pack_bits::<1>(codes, skip),
                _ => break,
            };
            let out = out.as_chunks_mut::<4>().0;
            for (word, out) in words.iter().zip(out[lane..].iter_mut().step_by(LANES)) {
                *out = word.to_le_bytes();
            }
        }
    }
}

/// Packs `BITS` bits of each of 32 codes into the first `BITS` words, leaving out the lowest `skip` bits of each code.
fn pack_bits<const BITS: usize>(codes: &[u8; 32], skip: usize) -> [u32; 8] {
    let mut words = [0; 8];
    for (i, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
        let (word, plane) = (i * BITS / 8, i * BITS % 8);
        words[word] |= (u32::from_le_bytes(*codes) >> skip & (((1 << BITS) - 1) * 0x0101_0101)) << plane;
    }
    words
}
