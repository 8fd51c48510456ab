//! De-quantising: from packed bytes to weights in registers, and from there into sums or into memory.
//!
//! ```text
//! for group of 32 columns, for sub-block:
//!   scale[T], offset[T]                        of each tile's 16 rows, exact in f32
//!   for word of low bits (4, 8 or 16 columns):
//!     for column of the word:
//!       w[T] = code · scale + offset           one fused multiply-add: the format's exact value
//!       C = 0:  store w                        into a block, for `micro.rs`
//!       C > 0:  acc[C][T] += w[T] · x[C]       columns in order, as in `micro.rs`
//! ```
//!
//! 1. The packed layout puts the bits of a code where one shift and one mask find them in all lanes; formats are types,
//!    so that shifts and masks are constants.
//! 2. Where codes have no minimum they become the fraction of a number from 1 on, which needs no conversion to f32 (see
//!    [`code`]).
//! 3. Packed bytes are prefetched [`AHEAD`] of their use, because processors do not recognise four streams that are
//!    read at once.

use super::PackedMatrix;
use super::format::{BF16, F16, F32, Format, lanes, scale_of, shifted};
use super::format::{IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
use crate::DType;
use crate::bf16::halves;
use crate::micro::{Before, Sums, by_shape};
use crate::simd::{LANES, Lanes, Simd, Task};
use std::marker::PhantomData;

/// De-quantises columns `k0 .. k0 + k` of `T` tiles. For a narrow batch, weights go straight into the products with its
/// `C` activation vectors. For a wider one they go into memory, a tile at a time, which is `C = 0`.
pub(crate) struct Decode<'a, 'b> {
    pub(crate) matrix: &'a PackedMatrix,
    /// First of the `T` tiles.
    pub(crate) tile: usize,
    /// First column. For quantised formats `k0` and `k` are multiples of 32.
    pub(crate) k0: usize,
    pub(crate) k: usize,
    /// Columns that have a sum of their own, see [`crate::matmul::part`]. It is a multiple of 32, and counts only if `C > 0`.
    pub(crate) part: usize,
    /// Activations, `[k / 16][C][16]`.
    pub(crate) x: &'a [f32],
    /// Sums of the products. If there are several parts, the last one is added to the others in memory.
    pub(crate) sums: Sums<'a, 'b>,
    /// Where weights go if `C = 0`, `[k][16]`.
    pub(crate) weights: &'a mut [Lanes<f32>],
}

/// How far ahead of its use a tile's packed memory is fetched, in bytes.
const AHEAD: usize = 2048;

impl<'a> Decode<'a, '_> {
    /// De-quantises a tile into memory, `[k][16]`.
    pub(crate) fn into(matrix: &'a PackedMatrix, tile: usize, k0: usize, weights: &'a mut [Lanes<f32>]) -> Self {
        let sums = Sums { before: Before::Nothing, memory: &mut [], out: None };
        Decode { matrix, tile, k0, k: weights.len(), part: weights.len(), x: &[], sums, weights }
    }

    /// De-quantises `tiles` tiles, for products with `columns` columns or, if that is 0, into memory.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S, tiles: usize, columns: usize) {
        match self.matrix.dtype {
            DType::F32 => self.floats::<S, F32>(s, tiles, columns),
            DType::F16 => self.floats::<S, F16>(s, tiles, columns),
            DType::BF16 => self.floats::<S, BF16>(s, tiles, columns),
            DType::Q4_0 => self.groups::<S, Q4_0>(s, tiles, columns),
            DType::Q4_1 => self.groups::<S, Q4_1>(s, tiles, columns),
            DType::Q5_0 => self.groups::<S, Q5_0>(s, tiles, columns),
            DType::Q5_1 => self.groups::<S, Q5_1>(s, tiles, columns),
            DType::Q8_0 => self.groups::<S, Q8_0>(s, tiles, columns),
            DType::Q2_K => self.groups::<S, Q2_K>(s, tiles, columns),
            DType::Q3_K => self.groups::<S, Q3_K>(s, tiles, columns),
            DType::Q4_K => self.groups::<S, Q4_K>(s, tiles, columns),
            DType::Q5_K => self.groups::<S, Q5_K>(s, tiles, columns),
            DType::Q6_K => self.groups::<S, Q6_K>(s, tiles, columns),
            DType::IQ4_NL => self.groups::<S, IQ4_NL>(s, tiles, columns),
            DType::IQ4_XS => self.groups::<S, IQ4_XS>(s, tiles, columns),
            DType::MXFP4 => self.groups::<S, MXFP4>(s, tiles, columns),
        }
    }

    #[inline(always)]
    fn floats<S: Simd, F: Format>(self, s: S, tiles: usize, columns: usize) {
        macro_rules! shape {
            ($t:literal, $c:literal) => {
                s.vectorize(Floats::<F, $t, $c>(self, PhantomData))
            };
        }
        match columns {
            0 => shape!(1, 0),
            _ => by_shape!(S::NARROW_TILES, tiles, columns, shape, 1 2 3),
        }
    }

    #[inline(always)]
    fn groups<S: Simd, F: Format>(self, s: S, tiles: usize, columns: usize) {
        macro_rules! shape {
            ($t:literal, $c:literal) => {
                s.vectorize(Groups::<F, $t, $c>(self, PhantomData))
            };
        }
        match columns {
            0 => shape!(1, 0),
            _ => by_shape!(S::NARROW_TILES, tiles, columns, shape, 1 2 3),
        }
    }
}

/// [`Decode`] of an unquantised format.
struct Floats<'a, 'b, F, const T: usize, const C: usize>(Decode<'a, 'b>, PhantomData<F>);

impl<F: Format, const T: usize, const C: usize> Task for Floats<'_, '_, F, T, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Decode { k0, k, .. } = self.0;
        let (tiles, mut sink) = self.0.start::<S, T, C>(s);
        if const { matches!(F::DTYPE, DType::BF16) } {
            assert!(k0.is_multiple_of(4));
            for i in (0..k).step_by(4) {
                let at = (k0 + i) * F::BLOCK;
                if C > 0 {
                    sink.enter(s, i);
                    fetch_ahead(s, &tiles, at, 4 * F::BLOCK);
                }
                for t in 0..T {
                    // SAFETY: column k0 + i is a column of tile t < T, and columns are packed as whole fours.
                    let (even, odd) = unsafe { (lanes(tiles[t], at), lanes(tiles[t], at + 4 * LANES)) };
                    let (even, odd) = (halves(s, s.load_u32(even)), halves(s, s.load_u32(odd)));
                    for (j, w) in [even[0], odd[0], even[1], odd[1]].into_iter().enumerate().take(k - i) {
                        // SAFETY: i + j < k and t < T.
                        unsafe { sink.take(s, t, i + j, w) };
                    }
                }
            }
            return sink.finish(s);
        }
        for i in 0..k {
            if C > 0 {
                sink.enter(s, i);
            }
            for t in 0..T {
                // SAFETY: i < k and t < T, so tile t has column k0 + i.
                unsafe {
                    let at = (k0 + i) * F::BLOCK;
                    let w = match F::DTYPE {
                        DType::F32 => s.load(lanes(tiles[t], at)),
                        _ => s.load_f16(lanes(tiles[t], at)),
                    };
                    sink.take(s, t, i, w);
                }
            }
        }
        sink.finish(s);
    }
}

/// [`Decode`] of a quantised format.
struct Groups<'a, 'b, F, const T: usize, const C: usize>(Decode<'a, 'b>, PhantomData<F>);

impl<F: Format, const T: usize, const C: usize> Task for Groups<'_, '_, F, T, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Decode { k0, k, .. } = self.0;
        assert!(k0.is_multiple_of(32) && k.is_multiple_of(32));
        let (tiles, mut sink) = self.0.start::<S, T, C>(s);
        for i in 0..k / 32 {
            let groups = const { F::DTYPE.block_len() / 32 };
            let (block, group) = ((k0 / 32 + i) / groups * F::BLOCK, (k0 / 32 + i) % groups);
            let group = block + F::HEADER + group * F::GROUP;
            if C > 0 {
                sink.enter(s, 32 * i);
            }
            if C > 0 && T == 1 {
                fetch_ahead(s, &tiles, group, F::GROUP);
            }
            for sub in 0..const { 32 / F::LAYOUT.scale_len } {
                let mut scale = [s.splat(0.0); T];
                let mut offset = scale;
                for t in 0..T {
                    // SAFETY: the group's columns come before k0 + k, so it lies within the tile's bytes.
                    (scale[t], offset[t]) = unsafe { scale_of_code::<S, F>(s, tiles[t], block, group, sub) };
                }
                for unit in 0..const { F::LAYOUT.scale_len / F::UNIT } {
                    let first = sub * F::LAYOUT.scale_len + unit * F::UNIT;
                    if C > 0 && T > 1 {
                        // Each word fetches its share of a group: the lines of four whole groups at once would be more
                        // misses than a core can have in flight.
                        let share = const { F::GROUP * F::UNIT / 32 };
                        fetch_ahead(s, &tiles, group + first / F::UNIT * share, share);
                    }
                    let mut words = [(s.splat_i32(0), s.splat_i32(0)); T];
                    for t in 0..T {
                        // SAFETY: as above.
                        words[t] = unsafe { words_of::<S, F>(s, tiles[t], group + F::SCALES, first) };
                    }
                    // Columns are written out by a macro. In a loop that the compiler does not unroll, shifts would be
                    // left to run time.
                    macro_rules! four {
                        ($plane:literal: $($j:literal)+) => {
                            let mut codes = [s.splat_i32(0); T];
                            for t in 0..T {
                                codes[t] = plane::<S, F>(s, words[t], $plane);
                            }
                            $(
                                for t in 0..T {
                                    let w = s.fma(code::<S, F>(s, codes[t], $plane, $j), scale[t], offset[t]);
                                    // SAFETY: the column comes before k, and t < T.
                                    unsafe { sink.take(s, t, 32 * i + first + 4 * $plane + $j, w) };
                                }
                            )+
                        };
                    }
                    four!(0: 0 1 2 3);
                    if const { F::UNIT > 4 } {
                        four!(1: 0 1 2 3);
                    }
                    if const { F::UNIT > 8 } {
                        four!(2: 0 1 2 3);
                        four!(3: 0 1 2 3);
                    }
                }
            }
        }
        sink.finish(s);
    }
}

/// Prefetches `bytes` bytes of each tile, [`AHEAD`] of `from`. Beyond the end of a tile these are bytes of the tiles
/// that this thread takes next (see [`crate::team::Team::each`]). Processors do not recognise by themselves that four
/// tiles are read at once; a single tile gains from this, too.
#[inline(always)]
fn fetch_ahead<S: Simd, const T: usize>(s: S, tiles: &[&[u8]; T], from: usize, bytes: usize) {
    let at = from + AHEAD;
    let at = if at < tiles[0].len() { at } else { at + (T - 1) * tiles[0].len() };
    for t in 0..T {
        for line in (0..bytes).step_by(64) {
            s.prefetch(tiles[t].as_ptr().wrapping_add(at + line));
        }
    }
}

/// Where de-quantised weights go: into products with `C` activation vectors or, if `C` is 0, into memory.
struct Sink<'a, 'b, S: Simd, const T: usize, const C: usize> {
    acc: [[S::F; T]; C],
    part: usize,
    /// The first column after this part.
    end: usize,
    x: &'a [f32],
    sums: Sums<'a, 'b>,
    weights: &'a mut [Lanes<f32>],
}

impl<'a, 'b> Decode<'a, 'b> {
    /// Checks all sizes. Returns the packed bytes of each tile, which hold column `k0 + k` and all before it, and a
    /// sink for `T` tiles of `k` columns.
    #[inline(always)]
    fn start<S: Simd, const T: usize, const C: usize>(self, s: S) -> ([&'a [u8]; T], Sink<'a, 'b, S, T, C>) {
        let Decode { matrix, tile, k0, k, part, x, sums, weights } = self;
        assert!(
            k0 + k <= matrix.cols
                && x.len() == k.next_multiple_of(LANES) * C
                && (C > 0 || (T == 1 && weights.len() == k))
        );
        let mut tiles: [&[u8]; T] = [&[]; T];
        for t in 0..T {
            tiles[t] = matrix.tile(tile + t);
        }
        (tiles, Sink { acc: sums.start(s), part, end: part, x, sums, weights })
    }
}

impl<S: Simd, const T: usize, const C: usize> Sink<'_, '_, S, T, C> {
    /// Column `i` is the next one. If it begins a part, the sums of the part before it are put away.
    #[inline(always)]
    fn enter(&mut self, s: S, i: usize) {
        if i == self.end {
            self.sums.put_away(s, &mut self.acc, self.end == self.part);
            self.end += self.part;
        }
    }

    /// Takes the weight of column `i` of tile `t`.
    ///
    /// # Safety
    /// `t < T` and `i < k`.
    #[inline(always)]
    unsafe fn take(&mut self, s: S, t: usize, i: usize, w: S::F) {
        // SAFETY: the caller promises `t < T` and `i < k`; `start` checked that there are k activations, or k weights
        // of one tile.
        unsafe {
            if C == 0 {
                s.store(self.weights.get_unchecked_mut(i), w);
            }
            for c in 0..C {
                let x = *self.x.get_unchecked((i / LANES * C + c) * LANES + i % LANES);
                self.acc[c][t] = s.fma(w, s.splat(x), self.acc[c][t]);
            }
        }
    }

    #[inline(always)]
    fn finish(self, s: S) {
        self.sums.finish(s, self.acc);
    }
}

/// The words with the low and with the high bits of a group's columns from `first` on. The group's codes begin at `at`,
/// and `first` is a multiple of [`Format::UNIT`].
///
/// # Safety
/// The group must lie within `bytes`.
#[inline(always)]
unsafe fn words_of<S: Simd, F: Format>(s: S, bytes: &[u8], at: usize, first: usize) -> (S::I, S::I) {
    let (n, m) = const { (F::LAYOUT.low, F::LAYOUT.high) };
    let word = |bit: usize| at + bit / 32 * 4 * LANES;
    // SAFETY: the caller promises that the group lies within `bytes`.
    unsafe {
        let low = s.load_u32(lanes(bytes, word(first * n)));
        if m == 0 {
            return (low, low);
        }
        let high = s.load_u32(lanes(bytes, word(32 * n + first * m)));
        (low, s.shr(high, (first / 4 * m % 8) as u32))
    }
}

/// The codes of columns `4 plane .. 4 plane + 4` of these words, one in each byte of a lane. If the format has no high
/// bits, the word is returned as it is, and [`code`] looks for the bits where they are.
#[inline(always)]
fn plane<S: Simd, F: Format>(s: S, (low, high): (S::I, S::I), plane: usize) -> S::I {
    let (n, m) = const { (F::LAYOUT.low, F::LAYOUT.high) };
    if m == 0 {
        return low;
    }
    let low = moved(s, low, plane * n, 0, ((1 << n) - 1) * 0x0101_0101);
    s.or(low, moved(s, high, plane * m, n, ((1 << m) - 1) * 0x0101_0101))
}

/// True if codes need no unpacking: each is one byte and the backend widens bytes in one instruction.
const fn whole<S: Simd, F: Format>() -> bool {
    S::BYTE && (F::LAYOUT.high > 0 || F::LAYOUT.low == 8)
}

/// The code of the `j`th column of a [`plane`], as f32. If the format has no minima and codes are not [`whole`] bytes,
/// the code is put into the fraction of a number from 1 on: the result is `1 + code / 2^BITS`. This saves the
/// conversion to f32, and the 1 is taken out again by the offset, where it costs no precision (see [`scale_of_code`]).
#[inline(always)]
fn code<S: Simd, F: Format>(s: S, codes: S::I, plane: usize, j: usize) -> S::F {
    if const { whole::<S, F>() } {
        return s.to_f32(s.byte(codes, j));
    }
    let to = if F::LAYOUT.has_min { 0 } else { 23 - F::BITS };
    let plane = if F::LAYOUT.high == 0 { plane * F::LAYOUT.low } else { 0 };
    let code = moved(s, codes, 8 * j + plane, to, (1 << F::BITS) - 1);
    if F::LAYOUT.has_min { s.to_f32(code) } else { s.bitcast(s.or(code, s.splat_i32(0x3f80_0000))) }
}

/// Takes the bits of `mask` that begin at bit `from` and moves them to bit `to`. All other bits become zero.
#[inline(always)]
fn moved<S: Simd>(s: S, x: S::I, from: usize, to: usize, mask: u32) -> S::I {
    s.and(shifted(s, x, from, to), s.splat_i32((mask << to) as i32))
}

/// Scale and offset like those of [`scale_of`], but for codes as [`code`] returns them: with their bias and, for some
/// formats, as `1 + code / 2^BITS`.
///
/// # Safety
/// As for [`scale_of`].
#[inline(always)]
unsafe fn scale_of_code<S: Simd, F: Format>(
    s: S,
    bytes: &[u8],
    block: usize,
    group: usize,
    sub: usize,
) -> (S::F, S::F) {
    // SAFETY: the caller promises that the block lies within `bytes`.
    let (scale, offset) = unsafe { scale_of::<S, F>(s, bytes, block, group, sub) };
    if F::LAYOUT.has_min {
        return (scale, offset);
    }
    if const { whole::<S, F>() } {
        // The product with the bias is exact, because the bias is a power of two.
        return (scale, s.mul(scale, s.splat(-F::BIAS)));
    }
    // scale · (code - bias) = 2^BITS scale · (1 + code / 2^BITS) - (2^BITS + bias) scale. All three products are exact,
    // because 2^BITS + bias is 3 times a power of two.
    let range = const { (1 << F::BITS) as f32 };
    (s.mul(scale, s.splat(range)), s.mul(scale, s.splat(-range - F::BIAS)))
}
