//! Softmax over positions that come in blocks: sums of weighted values, each relative to its block's largest score.

use crate::math::exp;
use crate::simd::{LANES, Simd};

/// What the sums of a block are relative to, for one query and head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The largest score.
    pub(crate) largest: f32,
    /// Sum of the weights `exp(score - largest)`.
    pub(crate) total: f64,
}

impl Scale {
    /// The query sees nothing in the block.
    pub(crate) const NONE: Scale = Scale { largest: f32::MIN, total: 0.0 };
}

/// Adds the sums of the next block to those of the blocks before.
#[inline(always)]
pub(crate) fn add<S: Simd>(s: S, (scale, sums): (&mut Scale, &mut [f32]), (next, more): (Scale, &[f32])) {
    if next.total == 0.0 {
        return;
    }
    if scale.total == 0.0 {
        *scale = next;
        sums.copy_from_slice(more);
        return;
    }
    let largest = scale.largest.max(next.largest);
    let factor = |of: Scale| exp(s, s.splat(of.largest - largest));
    let (before, after) = (factor(*scale), factor(next));
    let first = |v: S::F| f64::from(s.array(v)[0]);
    *scale = Scale { largest, total: scale.total * first(before) + next.total * first(after) };
    for (sum, more) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(more.as_chunks().0) {
        let v = s.fma(s.load(more), after, s.mul(s.load(sum), before));
        s.store(sum, v);
    }
}

/// Turns sums of weighted values into means.
#[inline(always)]
pub(crate) fn finish<S: Simd>(s: S, scale: Scale, sums: &mut [f32]) {
    let factor = s.splat((1.0 / scale.total) as f32);
    for sum in sums.as_chunks_mut::<LANES>().0 {
        let v = s.mul(s.load(sum), factor);
        s.store(sum, v);
    }
}
