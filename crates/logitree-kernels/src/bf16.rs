//! Two bf16 numbers in each lane of 32 bits.

use crate::simd::Simd;

/// The upper halves of two f32 (given as bits), which are bf16 numbers: that of `low` in the lower half of a lane, that
/// of `high` in the upper. The lower halves are cut off.
#[inline(always)]
pub(crate) fn join<S: Simd>(s: S, low: S::I, high: S::I) -> S::I {
    s.join_halves(low, high)
}

/// Mask for the upper half of a lane: those bits of an f32 which a bf16 number keeps.
pub(crate) const HIGH: i32 = -0x1_0000;

/// The two bf16 numbers of each lane as f32: that of the lower half, then that of the upper.
#[inline(always)]
pub(crate) fn halves<S: Simd>(s: S, pair: S::I) -> [S::F; 2] {
    [s.bitcast(s.shl(pair, 16)), s.bitcast(s.and(pair, s.splat_i32(HIGH)))]
}
