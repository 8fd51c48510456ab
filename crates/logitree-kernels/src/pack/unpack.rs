//! Unpacks packed bytes into codes in memory, as products in arithmetics other than f32 take them.

use super::format::{Format, lanes, scale_of, shifted};
use super::format::{IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
use super::{BYTES, PAIRS, PackedMatrix, RUN};
use crate::DType;
use crate::bf16::join;
use crate::simd::{LANES, Lanes, Simd, Task};
use std::marker::PhantomData;

impl PackedMatrix {
    /// Unpacks the runs of a tile from `run` on, as many as `out` has room for: `[run][record][16]`, see
    /// [`super::Form`]. If `WIDE`, codes become bf16 numbers without their bias, otherwise unsigned bytes with it.
    #[inline(always)]
    pub(crate) fn unpack<S: Simd, const WIDE: bool>(&self, s: S, tile: usize, run: usize, out: &mut [Lanes<f32>]) {
        macro_rules! unpack {
            ($($name:ident)+) => {
                match self.dtype {
                    $(DType::$name => s.vectorize(Unpack::<$name, WIDE> { matrix: self, tile, run, out, format: PhantomData }),)+
                    DType::F32 | DType::F16 | DType::BF16 => unreachable!("unquantised formats have no codes"),
                }
            };
        }
        unpack!(Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4)
    }
}

/// See [`PackedMatrix::unpack`].
struct Unpack<'a, F, const WIDE: bool> {
    matrix: &'a PackedMatrix,
    tile: usize,
    run: usize,
    out: &'a mut [Lanes<f32>],
    format: PhantomData<F>,
}

impl<F: Format, const WIDE: bool> Task for Unpack<'_, F, WIDE> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Unpack { matrix, tile, run, out, .. } = self;
        let l = const { F::LAYOUT };
        let subs = const { RUN / F::LAYOUT.scale_len };
        let words = const { if WIDE { PAIRS } else { BYTES } };
        let record = words + subs * const { 1 + F::LAYOUT.has_min as usize };
        let bytes = matrix.tile(tile);
        assert!((run + out.len() / record) * RUN <= matrix.cols);
        for (i, out) in out.chunks_exact_mut(record).enumerate() {
            let groups = const { F::DTYPE.block_len() / RUN };
            let (block, group) = ((run + i) / groups * F::BLOCK, (run + i) % groups);
            let group = block + F::HEADER + group * F::GROUP;
            let (low, high) = (group + F::SCALES, group + F::SCALES + 4 * l.low * LANES);
            for word in 0..8 {
                // SAFETY: the group is one of this tile's (checked above).
                let mut codes = unsafe { plane::<S>(s, bytes, low, l.low, word, 0) };
                if l.high > 0 {
                    // SAFETY: as above.
                    let above = unsafe { plane::<S>(s, bytes, high, l.high, word, l.low) };
                    let mask = const { (((1 << F::LAYOUT.high) - 1) << F::LAYOUT.low) * 0x0101_0101 };
                    codes = s.or(s.and(codes, s.splat_i32(!mask)), s.and(above, s.splat_i32(mask)));
                }
                // A table repeats its codes until it is full, so bits above those of a code do not matter and stay.
                let lookup = const { WIDE && S::LOOKUP && F::BITS <= 6 };
                if !lookup {
                    codes = s.and(codes, s.splat_i32(const { (((1u32 << F::BITS) - 1) * 0x0101_0101) as i32 }));
                }
                if WIDE {
                    let [first, second] = if lookup {
                        let table = const { &table(F::BITS, if F::LAYOUT.has_min { 0 } else { F::BIAS as i32 }) };
                        if const { F::BITS <= 5 } {
                            [s.lookup::<true>(table, codes), s.lookup::<true>(table, s.shr(codes, 8))]
                        } else {
                            [s.lookup::<false>(table, codes), s.lookup::<false>(table, s.shr(codes, 8))]
                        }
                    } else {
                        pairs_of(s, codes, if l.has_min { 0.0 } else { F::BIAS })
                    };
                    s.store(&mut out[2 * word], s.bitcast(first));
                    s.store(&mut out[2 * word + 1], s.bitcast(second));
                } else {
                    s.store(&mut out[word], s.bitcast(codes));
                }
            }
            for sub in 0..subs {
                // SAFETY: as above.
                let (scale, offset) = unsafe { scale_of::<S, F>(s, bytes, block, group, sub) };
                s.store(&mut out[words + sub], scale);
                if l.has_min {
                    s.store(&mut out[words + subs + sub], offset);
                }
            }
        }
    }
}

/// A table from codes of `bits` bits to bf16 numbers without their bias, two entries in a word. It repeats the codes
/// until it has 64 entries.
const fn table(bits: usize, bias: i32) -> [Lanes<u32>; 2] {
    let mut table = [[0; LANES]; 2];
    let mut i = 0;
    while i < 4 * LANES {
        let code = i as i32 & ((1 << bits) - 1);
        let bf16 = ((code - bias) as f32).to_bits() >> 16;
        table[i / (2 * LANES)][i / 2 % LANES] |= bf16 << (i % 2 * 16);
        i += 1;
    }
    table
}

/// Subtracts `bias` from the four unsigned bytes of each lane and returns them as pairs of bf16 numbers: the first byte
/// and the third, then the second and the fourth. This is exact, because bf16 has all whole numbers below 256.
#[inline(always)]
fn pairs_of<S: Simd>(s: S, bytes: S::I, bias: f32) -> [S::I; 2] {
    let above = s.shr(bytes, 16);
    // Both pairs are written out. A closure might not be inlined, and then is not compiled for the instruction set.
    [join(s, lowest(s, bytes, bias), lowest(s, above, bias)), join(s, second(s, bytes, bias), second(s, above, bias))]
}

/// The lowest byte less `bias`, as the bits of an f32. A byte in the lowest bits of 2^23 makes it `2^23 + byte`, from
/// which `2^23 + bias` is subtracted.
#[inline(always)]
fn lowest<S: Simd>(s: S, bytes: S::I, bias: f32) -> S::I {
    let sum = s.or(s.and(bytes, s.splat_i32(0xff)), s.splat_i32(0x4b00_0000));
    s.bits(s.sub(s.bitcast(sum), s.splat(8_388_608.0 + bias)))
}

/// The second byte less `bias`, as the bits of an f32. It stays where it is, 8 bits higher, and so makes `2^15 + byte`
/// of 2^15.
#[inline(always)]
fn second<S: Simd>(s: S, bytes: S::I, bias: f32) -> S::I {
    let sum = s.or(s.and(bytes, s.splat_i32(0xff00)), s.splat_i32(0x4700_0000));
    s.bits(s.sub(s.bitcast(sum), s.splat(32_768.0 + bias)))
}

/// Columns `4 word .. 4 word + 4` of codes of `n` bits that begin at `at`, one in each byte of a lane, shifted to bit
/// `to`. Other bits of the bytes are not cleared.
///
/// # Safety
/// The group must lie within `bytes`.
#[inline(always)]
unsafe fn plane<S: Simd>(s: S, bytes: &[u8], at: usize, n: usize, word: usize, to: usize) -> S::I {
    // SAFETY: the caller promises that the group lies within `bytes`.
    let bits = unsafe { s.load_u32(lanes(bytes, at + word * n / 8 * 4 * LANES)) };
    shifted(s, bits, word * n % 8, to)
}
