//! From packed bytes to weights: into memory for wide batches, straight into sums for narrow ones.

use super::{PackedMatrix, block_bytes, group_bytes, header_bytes, scale_bytes};
use crate::DType;
use crate::quant::Layout;
use crate::simd::{LANES, Lanes, Simd, Task};

/// `$floats` for an unquantised format, else `$groups!(low, high)`: the code bits of the format as constants.
macro_rules! by_format {
    ($dtype:expr, $floats:expr, $groups:ident) => {
        match $dtype {
            DType::F32 | DType::F16 | DType::BF16 => $floats,
            DType::Q4_0 | DType::Q4_1 | DType::Q4_K => $groups!(4, 0),
            DType::Q5_0 | DType::Q5_1 | DType::Q5_K => $groups!(4, 1),
            DType::Q8_0 => $groups!(8, 0),
            DType::Q2_K => $groups!(2, 0),
            DType::Q3_K => $groups!(2, 1),
            DType::Q6_K => $groups!(4, 2),
        }
    };
}

impl PackedMatrix {
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
        by_format!(self.dtype, s.vectorize(DotFloats::<T, C> { matrix: self, bytes, x, out }), groups)
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
        by_format!(self.dtype, s.vectorize(DecodeFloats { dtype: self.dtype, bytes, k0, out }), groups)
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
            s.store(out, float(s, self.dtype, b));
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

/// One vector of an unquantised format.
#[inline(always)]
fn float<S: Simd>(s: S, dtype: DType, bytes: &[u8]) -> S::F {
    match dtype {
        DType::F32 => s.load(cast(bytes)),
        DType::F16 => s.load_f16(cast(bytes)),
        _ => s.load_bf16(cast(bytes)),
    }
}

/// The code of which `byte` holds the low bits at place `i`, and `top` the high bits at place `j`.
#[inline(always)]
fn code<S: Simd, const LOW: usize, const HIGH: usize>(s: S, byte: S::I, top: S::I, i: usize, j: usize) -> S::I {
    let low = s.bits(byte, (i * LOW) as u32, (1 << LOW) - 1);
    if HIGH == 0 {
        return low;
    }
    s.or(low, s.shl(s.bits(top, (j * HIGH) as u32, (1 << HIGH) - 1), LOW as u32))
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
                let code = code::<S, LOW, HIGH>(s, byte, top, i, m + i * n / step);
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
                let w = float(s, dtype, b);
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
                                let byte = s.load_u8(&codes[t][j]);
                                let top = if HIGH > 0 { s.load_u8(&codes[t][n + first]) } else { byte };
                                let code = code::<S, LOW, HIGH>(s, byte, top, i, m + i * n / step);
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
