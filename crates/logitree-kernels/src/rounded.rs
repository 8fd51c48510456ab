//! Activations rounded to 8 bits: the arithmetic of [`crate::Arithmetic::Bits8`].
//!
//! Each column's activations are cut into runs of 32, `x ≈ step · code` with whole numbers from -127 to 127. With
//! `weight = scale · code + offset` the products of a sub-block of weights become
//!
//! ```text
//! Σ weight · x  ≈  scale · (step · Σ code · code)  +  offset · (step · Σ code of x)
//! ```
//!
//! where the sums are of whole numbers and so exact in any order; one instruction makes four products per lane.
//! Sub-blocks are added in f32, in order, so the bits depend neither on the batch nor on the instruction set.
//!
//! A block of weights is unpacked once per batch: into codes, four columns a word, and f32 scales.

mod strip;

use crate::groups::Shape;
use crate::pack::RUN;
use crate::simd::{Simd, Task};
use crate::team::Parts;
pub(crate) use strip::RoundedStrip;

/// Words that hold a run of one column: 8 words of four codes each, the sums of the first and of the last 16 codes, and
/// the bits of the step, an f32.
const WORDS: usize = 11;

/// 1.5 · 2^23. The sum of it and a small number has the nearest whole number (ties to even) in its lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Activations rounded to 8 bits, in the same groups of columns as those in f32.
#[derive(Default)]
pub(crate) struct Rounded {
    /// `[group][run][WORDS][columns of the group]`.
    data: Vec<i32>,
}

impl Rounded {
    pub(crate) fn reset(&mut self, columns: usize, k: usize) {
        self.data.resize(columns * k / RUN * WORDS, 0);
    }

    pub(crate) fn writer(&mut self, shape: Shape) -> RoundedWriter<'_> {
        RoundedWriter { shape, data: Parts::new(&mut self.data) }
    }

    /// `runs` runs of a group, from `run` on: `[run][WORDS][columns of the group]`.
    fn runs(&self, shape: &Shape, g: usize, run: usize, runs: usize) -> &[i32] {
        let (first, width) = shape.group(g);
        &self.data[(first * (shape.k / RUN) + run * width) * WORDS..][..runs * WORDS * width]
    }
}

/// Where [`Round`] writes.
pub(crate) struct RoundedWriter<'a> {
    shape: Shape,
    data: Parts<'a, i32>,
}

/// Rounds the activations of some runs of a column.
pub(crate) struct Round<'a, 'b> {
    /// Whoever makes this task promises that nobody else touches these runs of the column.
    pub(crate) to: &'a RoundedWriter<'b>,
    pub(crate) column: usize,
    /// First of the runs.
    pub(crate) run: usize,
    pub(crate) runs: &'a [[f32; RUN]],
}

impl Task for Round<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Round { to: RoundedWriter { shape, data }, column, run, runs } = self;
        let (first, width) = shape.group_of(column);
        for (i, x) in runs.iter().enumerate() {
            // The largest size is found among bits: those of positive numbers are ordered as the numbers are, and
            // infinity and NaN come last, so that neither is overlooked.
            let most = f32::from_bits(x.iter().fold(0, |most, x| most.max(x.abs().to_bits())));
            let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
            let codes: [i8; RUN] = x.map(|x| (x * inverse + ROUND).to_bits() as i8);
            let mut words = [0; WORDS];
            for (word, codes) in words.iter_mut().zip(codes.as_chunks::<4>().0) {
                *word = i32::from_le_bytes(codes.map(|code| code as u8));
            }
            for (half, codes) in codes.as_chunks::<{ RUN / 2 }>().0.iter().enumerate() {
                words[8 + half] = codes.iter().map(|&code| i32::from(code)).sum();
            }
            // An infinity or a NaN has no 8-bit code, so the step becomes NaN and spoils the results that depend on it.
            let step = if most.is_finite() { most / 127.0 } else { f32::NAN };
            words[WORDS - 1] = step.to_bits() as i32;
            let start = (first * (shape.k / RUN) + (run + i) * width) * WORDS + column - first;
            // SAFETY: whoever made this task promised that nobody else touches these runs of the column.
            unsafe { data.scatter(start, width, &words) };
        }
    }
}
