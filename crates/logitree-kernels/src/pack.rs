//! Weight matrices, repacked so that one vector holds the same column of 16 rows.
//!
//! With rows in lanes, a matrix product needs no horizontal sums: each output element is one chain
//! of fused multiply-adds over `k`, in order, whatever the width of the batch. That is what
//! makes results independent of the batch, the thread count and the instruction set.
//!
//! Layout: tiles of 16 rows; within a tile blocks along `k`; within a block
//!
//! ```text
//! unquantised   [k][16] elements
//! quantised     d [16] f16, (m [16] f16), then per 32 columns:
//!               sub-scales [1 or 2][16] i8, (sub-minima [1 or 2][16] u8)      K formats only
//!               low bits  [4·low ][16] bytes: column k is at byte k mod 4·low, bits low·(k div 4·low)
//!               high bits [4·high][16] bytes, likewise
//! ```
//!
//! It holds the same bits as the file, so it is as large (K formats: 3 % larger).

use crate::buffer::Memory;
use crate::quant::{Block, Layout, unpack};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::Parts;
use crate::{Compute, DType};

/// Packed bytes written between two reports of progress.
const PART: usize = 16 << 20;

/// A matrix `[rows, cols]` ready for products with activations.
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

fn block_bytes(dtype: DType) -> usize {
    match Layout::of(dtype) {
        None => dtype.block_bytes() * LANES,
        Some(l) => header_bytes(&l) + dtype.block_len() / 32 * group_bytes(&l),
    }
}

fn header_bytes(l: &Layout) -> usize {
    if l.has_min { 4 * LANES } else { 2 * LANES }
}

fn scale_bytes(l: &Layout) -> usize {
    let sub = if l.sub_scales { 32 / l.scale_len * LANES } else { 0 };
    if l.has_min { 2 * sub } else { sub }
}

fn group_bytes(l: &Layout) -> usize {
    scale_bytes(l) + 4 * (l.low + l.high) * LANES
}

impl PackedMatrix {
    /// Packs `[rows, cols]` elements of a row-major matrix, rows padded with zeros to whole tiles.
    pub fn pack(
        compute: &mut Compute,
        dtype: DType,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<PackedMatrix, PackError> {
        PackedMatrix::pack_in_parts(compute, dtype, rows, cols, bytes, |_| ())
    }

    /// As [`PackedMatrix::pack`]; calls `done` with each part of `bytes` that has been read, so that a mapped file need
    /// not be in memory beside its packed form.
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
        let tile_bytes = cols / dtype.block_len() * block_bytes(dtype);
        let mut data = Memory::zeroed(tiles * tile_bytes)?;
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

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Packed bytes of columns `k0 .. k0 + k` of a tile, roughly; none past the end of the matrix.
    pub(crate) fn packed(&self, tile: usize, k0: usize, k: usize) -> &[u8] {
        if tile >= self.tiles() {
            return &[];
        }
        let [from, to] = [k0, k0 + k].map(|k| k.min(self.cols) * self.tile_bytes / self.cols);
        &self.data[tile * self.tile_bytes..][from..to]
    }

    /// Adds products of `T` tiles from `tile` on with `C` activation vectors `x`, `[k][C]`, to sums that start at zero:
    /// `[C][T]` vectors. For batches so narrow that de-quantised weights are used once: they stay in registers.
    #[inline(always)]
    pub(crate) fn dot<S: Simd, const T: usize, const C: usize>(&self, s: S, tile: usize, x: &[f32], out: &mut [f32]) {
        assert!(x.len() == self.cols * C && out.len() == C * T * LANES);
        let bytes = &self.data[tile * self.tile_bytes..][..T * self.tile_bytes];
        macro_rules! groups {
            ($low:literal, $high:literal) => {
                s.vectorize(DotGroups::<T, C, $low, $high> { matrix: self, bytes, x, out })
            };
        }
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => s.vectorize(DotFloats::<T, C> { matrix: self, bytes, x, out }),
            DType::Q4_0 | DType::Q4_1 | DType::Q4_K => groups!(4, 0),
            DType::Q5_0 | DType::Q5_1 | DType::Q5_K => groups!(4, 1),
            DType::Q8_0 => groups!(8, 0),
            DType::Q2_K => groups!(2, 0),
            DType::Q3_K => groups!(2, 1),
            DType::Q6_K => groups!(4, 2),
        }
    }

    /// De-quantises columns `k0 .. k0 + out.len()` of a tile; both must be multiples of 32 for
    /// quantised formats.
    #[inline(always)]
    pub(crate) fn decode<S: Simd>(&self, s: S, tile: usize, k0: usize, out: &mut [Lanes<f32>]) {
        let bytes = &self.data[tile * self.tile_bytes..][..self.tile_bytes];
        macro_rules! groups {
            ($low:literal, $high:literal) => {
                s.vectorize(DecodeGroups::<$low, $high> { dtype: self.dtype, bytes, k0, out })
            };
        }
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => s.vectorize(DecodeFloats { dtype: self.dtype, bytes, k0, out }),
            DType::Q4_0 | DType::Q4_1 | DType::Q4_K => groups!(4, 0),
            DType::Q5_0 | DType::Q5_1 | DType::Q5_K => groups!(4, 1),
            DType::Q8_0 => groups!(8, 0),
            DType::Q2_K => groups!(2, 0),
            DType::Q3_K => groups!(2, 1),
            DType::Q6_K => groups!(4, 2),
        }
    }
}

/// Packs up to 16 rows into one tile.
fn pack_tile(dtype: DType, rows: &[u8], row_bytes: usize, out: &mut [u8]) {
    let Some(layout) = Layout::of(dtype) else {
        return match dtype.block_bytes() {
            2 => pack_elements::<2>(rows, row_bytes, out),
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

/// Packs elements of `N` bytes.
fn pack_elements<const N: usize>(rows: &[u8], row_bytes: usize, out: &mut [u8]) {
    let out = out.as_chunks_mut::<N>().0;
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (element, out) in row.as_chunks::<N>().0.iter().zip(out[lane..].iter_mut().step_by(LANES)) {
            *out = *element;
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
        let mut planes = [[0; 32]; LANES];
        for (plane, block) in planes.iter_mut().zip(blocks) {
            let codes = block.codes[32 * g..].first_chunk().expect("a block is whole groups");
            match bits {
                8 => *plane = *codes,
                4 => pack_plane::<4>(codes, skip, plane),
                2 => pack_plane::<2>(codes, skip, plane),
                1 => pack_plane::<1>(codes, skip, plane),
                _ => {}
            }
        }
        transpose_bytes(&planes, out);
    }
}

/// Packs `BITS` bits of each of 32 codes, after `skip` bits, into the first `4 · BITS` bytes of `plane`.
fn pack_plane<const BITS: usize>(codes: &[u8; 32], skip: usize, plane: &mut [u8; 32]) {
    let n = 4 * BITS;
    for i in 0..8 / BITS {
        for j in 0..n {
            plane[j] |= (codes[j + i * n] >> skip & ((1 << BITS) - 1)) << (BITS * i);
        }
    }
}

/// `out[column][lane] = rows[lane][column]`, as many columns as `out` holds.
fn transpose_bytes(rows: &[[u8; 32]; LANES], out: &mut [u8]) {
    let columns = out.len() / LANES;
    for column in (0..columns).step_by(8) {
        for lane in [0, 8] {
            // Eight rows of eight bytes; each stage swaps the off-diagonal halves of ever smaller squares.
            let mut x: [u64; 8] = std::array::from_fn(|i| u64::from_le_bytes(rows[lane + i].as_chunks().0[column / 8]));
            for (step, shift, mask) in
                [(4, 32, 0xffff_ffff), (2, 16, 0x0000_ffff_0000_ffff), (1, 8, 0x00ff_00ff_00ff_00ff)]
            {
                for i in (0..8).filter(|i| i & step == 0) {
                    let swap = ((x[i] >> shift) ^ x[i + step]) & mask;
                    x[i + step] ^= swap;
                    x[i] ^= swap << shift;
                }
            }
            for (i, x) in x.iter().enumerate().take(columns - column) {
                out[(column + i) * LANES + lane..][..8].copy_from_slice(&x.to_le_bytes());
            }
        }
    }
}

struct DecodeFloats<'a> {
    dtype: DType,
    bytes: &'a [u8],
    k0: usize,
    out: &'a mut [Lanes<f32>],
}

impl Task for DecodeFloats<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.dtype.block_bytes() * LANES;
        let bytes = &self.bytes[self.k0 * size..][..self.out.len() * size];
        for (out, b) in self.out.iter_mut().zip(bytes.chunks_exact(size)) {
            let v = match self.dtype {
                DType::F32 => s.load(cast(b)),
                DType::F16 => s.load_f16(cast(b)),
                _ => s.load_bf16(cast(b)),
            };
            s.store(out, v);
        }
    }
}

/// Plain numbers that may be read from packed bytes.
trait Plain {}
impl Plain for f32 {}
impl Plain for u16 {}
impl Plain for u8 {}
impl Plain for i8 {}

/// Views the first `16 · size` bytes as 16 numbers. Packed data starts on a cache line and all
/// parts of it are multiples of 16 bytes long.
#[inline(always)]
fn cast<T: Plain>(bytes: &[u8]) -> &Lanes<T> {
    assert!(bytes.len() >= size_of::<Lanes<T>>() && bytes.as_ptr().cast::<T>().is_aligned());
    // SAFETY: long enough and aligned (checked above); any bytes are valid numbers. The data is
    // little-endian, as are all targets with a SIMD backend.
    unsafe { &*bytes.as_ptr().cast() }
}

struct DecodeGroups<'a, const LOW: usize, const HIGH: usize> {
    dtype: DType,
    bytes: &'a [u8],
    k0: usize,
    out: &'a mut [Lanes<f32>],
}

impl<const LOW: usize, const HIGH: usize> Task for DecodeGroups<'_, LOW, HIGH> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Some(layout) = Layout::of(self.dtype) else { return };
        let groups = self.dtype.block_len() / 32;
        let (block_bytes, group_bytes) = (block_bytes(self.dtype), group_bytes(&layout));
        let (header_bytes, scale_bytes) = (header_bytes(&layout), scale_bytes(&layout));
        for (i, out) in self.out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let group = self.k0 / 32 + i;
            let block = &self.bytes[group / groups * block_bytes..][..block_bytes];
            let (scales, codes) =
                block[header_bytes + group % groups * group_bytes..][..group_bytes].split_at(scale_bytes);
            let (scale, offset) = scales_of(s, &layout, &block[..header_bytes], scales);
            decode_group::<S, LOW, HIGH>(s, codes, scale, offset, out);
        }
    }
}

/// Scale and offset of both halves of a group: `weight = scale · code + offset`.
#[inline(always)]
fn scales_of<S: Simd>(s: S, l: &Layout, header: &[u8], scales: &[u8]) -> ([S::F; 2], [S::F; 2]) {
    let d = s.load_f16(cast(header));
    let mut scale = [d; 2];
    let mut offset = [s.splat(0.0); 2];
    if l.sub_scales {
        let halves = 32 / l.scale_len;
        for h in 0..2 {
            scale[h] = s.mul(d, s.to_f32(s.load_i8(cast(&scales[h % halves * LANES..]))));
        }
        if l.has_min {
            let m = s.sub(s.splat(0.0), s.load_f16(cast(&header[2 * LANES..])));
            for h in 0..2 {
                offset[h] = s.mul(m, s.to_f32(s.load_u8(cast(&scales[(halves + h % halves) * LANES..]))));
            }
        }
    } else if l.has_min {
        offset = [s.load_f16(cast(&header[2 * LANES..])); 2];
    }
    if l.bias != 0.0 {
        // scale · (code - bias) = scale · code - scale · bias: both products are exact.
        for h in 0..2 {
            offset[h] = s.mul(scale[h], s.splat(-l.bias));
        }
    }
    (scale, offset)
}

#[inline(always)]
fn decode_group<S: Simd, const LOW: usize, const HIGH: usize>(
    s: S,
    codes: &[u8],
    scale: [S::F; 2],
    offset: [S::F; 2],
    out: &mut [Lanes<f32>; 32],
) {
    // Whole rows of 16, cut once to lengths that are constants: no check is left in the loops.
    let codes = codes.as_chunks::<LANES>().0;
    let n = 4 * LOW;
    let (low, high) = (&codes[..n], &codes[n..n + 4 * HIGH]);
    if LOW == 8 {
        for k in 0..32 {
            let codes = s.load_i8(cast(&low[k]));
            s.store(&mut out[k], s.mul(scale[0], s.to_f32(codes)));
        }
        return;
    }
    // Bytes that share a high byte, so that its shifts are constants: HIGH divides LOW.
    let step = if HIGH > 0 { 4 * HIGH } else { n };
    for first in 0..step {
        let top = if HIGH > 0 { s.load_u8(&high[first]) } else { s.load_u8(&low[first]) };
        for m in 0..n / step {
            let byte = s.load_u8(&low[first + m * step]);
            for i in 0..8 / LOW {
                let mut code = s.bits(byte, (i * LOW) as u32, (1 << LOW) - 1);
                if HIGH > 0 {
                    let bits = s.bits(top, ((m + i * n / step) * HIGH) as u32, (1 << HIGH) - 1);
                    code = s.or(code, s.shl(bits, LOW as u32));
                }
                // Column first + m · step + i · n; which half it lies in depends on i alone, since n divides 16.
                let half = i * n / 16;
                s.store(&mut out[first + m * step + i * n], s.fma(s.to_f32(code), scale[half], offset[half]));
            }
        }
    }
}

/// See [`PackedMatrix::dot`].
struct DotFloats<'a, const T: usize, const C: usize> {
    matrix: &'a PackedMatrix,
    /// `T` tiles.
    bytes: &'a [u8],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<const T: usize, const C: usize> Task for DotFloats<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let dtype = self.matrix.dtype;
        let size = dtype.block_bytes() * LANES;
        let mut acc = [[s.splat(0.0); T]; C];
        for (k, x) in self.x.as_chunks::<C>().0.iter().enumerate() {
            for t in 0..T {
                let b = &self.bytes[t * self.matrix.tile_bytes + k * size..][..size];
                let w = match dtype {
                    DType::F32 => s.load(cast(b)),
                    DType::F16 => s.load_f16(cast(b)),
                    _ => s.load_bf16(cast(b)),
                };
                for c in 0..C {
                    acc[c][t] = s.fma(w, s.splat(x[c]), acc[c][t]);
                }
            }
        }
        store_sums(s, &acc, self.out);
    }
}

/// See [`PackedMatrix::dot`].
struct DotGroups<'a, const T: usize, const C: usize, const LOW: usize, const HIGH: usize> {
    matrix: &'a PackedMatrix,
    /// `T` tiles.
    bytes: &'a [u8],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<const T: usize, const C: usize, const LOW: usize, const HIGH: usize> Task for DotGroups<'_, T, C, LOW, HIGH> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackedMatrix { dtype, tile_bytes, .. } = *self.matrix;
        let Some(layout) = Layout::of(dtype) else { return };
        let groups = dtype.block_len() / 32;
        let (block_bytes, group_bytes) = (block_bytes(dtype), group_bytes(&layout));
        let (header_bytes, scale_bytes) = (header_bytes(&layout), scale_bytes(&layout));
        let mut acc = [[s.splat(0.0); T]; C];
        let x = self.x.as_chunks::<C>().0.as_chunks::<32>().0;
        for (group, x) in x.iter().enumerate() {
            let mut scale = [[s.splat(0.0); 2]; T];
            let mut offset = scale;
            let mut codes: [&[Lanes<u8>]; T] = [&[]; T];
            for t in 0..T {
                let block = &self.bytes[t * tile_bytes + group / groups * block_bytes..][..block_bytes];
                let at = header_bytes + group % groups * group_bytes;
                let (scales, rest) = block[at..at + group_bytes].split_at(scale_bytes);
                (scale[t], offset[t]) = scales_of(s, &layout, &block[..header_bytes], scales);
                codes[t] = &rest.as_chunks::<LANES>().0[..4 * (LOW + HIGH)];
            }
            // Columns in order, as everywhere: plane by plane.
            let n = 4 * LOW;
            let step = if HIGH > 0 { 4 * HIGH } else { n };
            for i in 0..8 / LOW {
                let half = if LOW == 8 { 0 } else { i * n / 16 };
                for m in 0..n / step {
                    for first in 0..step {
                        let j = first + m * step;
                        for t in 0..T {
                            let w = if LOW == 8 {
                                s.mul(scale[t][0], s.to_f32(s.load_i8(cast(&codes[t][j]))))
                            } else {
                                let mut code = s.bits(s.load_u8(&codes[t][j]), (i * LOW) as u32, (1 << LOW) - 1);
                                if HIGH > 0 {
                                    let top = s.load_u8(&codes[t][n + first]);
                                    let bits = s.bits(top, ((m + i * n / step) * HIGH) as u32, (1 << HIGH) - 1);
                                    code = s.or(code, s.shl(bits, LOW as u32));
                                }
                                s.fma(s.to_f32(code), scale[t][half], offset[t][half])
                            };
                            for c in 0..C {
                                acc[c][t] = s.fma(w, s.splat(x[j + i * n][c]), acc[c][t]);
                            }
                        }
                    }
                }
            }
        }
        store_sums(s, &acc, self.out);
    }
}

#[inline(always)]
fn store_sums<S: Simd, const T: usize, const C: usize>(s: S, acc: &[[S::F; T]; C], out: &mut [f32]) {
    for (out, &sum) in out.as_chunks_mut().0.iter_mut().zip(acc.as_flattened()) {
        s.store(out, sum);
    }
}
