//! Activations rounded to 8 bits: the arithmetic of [`crate::Arithmetic::Bits8`].
//!
//! Each column's activations are cut into runs of 32, `x ≈ step · code` with whole numbers from -127 to 127. With
//! `weight = scale · code + offset` the products of a sub-block of weights become
//!
//! ```text
//! Σ weight · x  ≈  scale · (step · Σ code · code)  +  offset · (step · Σ code of x)
//! ```
//!
//! where the sums are of whole numbers: exact in any order; four products are one instruction per lane. Sub-blocks are added in
//! f32, in order; so the bits depend neither on the batch nor on the instruction set.
//!
//! A block of weights is unpacked once per batch: into codes, four columns a word, and f32 scales.

use crate::matmul::Strip;
use crate::micro::{Place, Sums, by_shape, fetch};
use crate::pack::{BYTES, Form, RUN};
use crate::panels::{Panels, Shape};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::strips::{TileRange, first_bytes};
use crate::team::Parts;

/// f32 values of the unpacked block: 16 KiB.
const BLOCK: usize = 4032;

/// Words of a run of one column: 8 of four codes each, the sums of the first and the last 16 codes, and the bits of the step.
const WORDS: usize = 11;

/// Added to a small number, it leaves the nearest whole one, ties to even, in the sum's lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Activations rounded to 8 bits, grouped as their [`Panels`] are.
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

    /// A group's runs from `run` on.
    fn runs(&self, shape: &Shape, g: usize, run: usize, runs: usize) -> &[i32] {
        let (first, width) = shape.group(g);
        &self.data[(first * (shape.k / RUN) + run * width) * WORDS..][..runs * WORDS * width]
    }
}

/// For [`Round`].
pub(crate) struct RoundedWriter<'a> {
    shape: Shape,
    data: Parts<'a, i32>,
}

/// Rounds runs of a column.
pub(crate) struct Round<'a, 'b> {
    /// Nobody else may touch these runs of the column.
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
            // Bits of positive numbers are ordered as the numbers are, and infinity and NaN come last.
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
            // What is not finite must not be rounded away.
            let step = if most.is_finite() { most / 127.0 } else { f32::NAN };
            words[WORDS - 1] = step.to_bits() as i32;
            let start = (first * (shape.k / RUN) + (run + i) * width) * WORDS + column - first;
            // SAFETY: whoever made this vouches for its runs of the column.
            unsafe { data.scatter(start, width, &words) };
        }
    }
}

/// A [`Strip`] of a quantised matrix.
pub(crate) struct RoundedStrip<'a, 'b> {
    pub(crate) strip: Strip<'a>,
    pub(crate) x: &'a Rounded,
    pub(crate) form: Form,
    pub(crate) out: Option<Place<'b>>,
}

impl Task for RoundedStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let RoundedStrip {
            strip: Strip { tiles: here, next, x: Panels { shape, .. }, weights, acc, .. },
            x,
            form,
            out,
        } = self;
        let TileRange { matrix, first: tile, count: tiles } = here;
        let size = tiles * LANES;
        let acc = acc.at_least(shape.columns * size);
        let weights = weights.at_least(BLOCK);
        let record = form.record(BYTES);
        let most = BLOCK / LANES / (tiles * record);
        let all = shape.k / RUN;
        for run in (0..all).step_by(most) {
            let runs = most.min(all - run);
            let last = run + runs == all;
            let weights = &mut weights.as_chunks_mut::<LANES>().0[..tiles * runs * record];
            for (t, weights) in weights.chunks_exact_mut(runs * record).enumerate() {
                matrix.unpack::<S, false>(s, tile + t, run, weights);
            }
            // As in the products of f32.
            let ahead = if last { first_bytes(next, most * RUN) } else { here.bytes((run + runs) * RUN, most * RUN) };
            let share = tiles.div_ceil(shape.groups);
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let ahead = ahead.get(g * share..(g + 1) * share).unwrap_or_default();
                let sums = Sums {
                    resume: run > 0,
                    memory: &mut acc[first * size..(first + width) * size],
                    out: out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let block = Block { form, weights, ahead, sums };
                multiply(s, block, x.runs(shape, g, run, runs), tiles, width);
            }
        }
    }
}

/// An unpacked block and what is to be done with it for one group of columns.
struct Block<'a, 'b> {
    form: Form,
    /// `[tile][run][record][16]`, see [`Form::record`].
    weights: &'a [Lanes<f32>],
    /// Bytes that will be needed soon.
    ahead: &'a [&'a [u8]],
    sums: Sums<'a, 'b>,
}

/// Products of a block with a group of `columns`, `[run][WORDS][columns]`.
#[inline(always)]
fn multiply<S: Simd>(s: S, block: Block<'_, '_>, x: &[i32], tiles: usize, columns: usize) {
    macro_rules! shape {
        ($t:literal, $c:literal) => {
            match (block.form.subs, block.form.min) {
                (1, false) => s.vectorize_dots(Dots::<$t, $c, 1, false> { block, x }),
                (1, true) => s.vectorize_dots(Dots::<$t, $c, 1, true> { block, x }),
                (_, false) => s.vectorize_dots(Dots::<$t, $c, 2, false> { block, x }),
                (_, true) => s.vectorize_dots(Dots::<$t, $c, 2, true> { block, x }),
            }
        };
    }
    by_shape!(S::TILES, tiles, columns, shape, 1 2 3 4 5 6)
}

struct Dots<'a, 'b, const T: usize, const C: usize, const SUBS: usize, const MIN: bool> {
    block: Block<'a, 'b>,
    x: &'a [i32],
}

impl<const T: usize, const C: usize, const SUBS: usize, const MIN: bool> Task for Dots<'_, '_, T, C, SUBS, MIN> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dots { block: Block { form, weights, ahead, sums }, x } = self;
        let x = x.as_chunks::<C>().0.as_chunks::<WORDS>().0;
        let record = const { BYTES + SUBS * (1 + MIN as usize) };
        let runs = x.len();
        assert!(weights.len() == T * runs * record);
        let mut acc = sums.start::<S, T, C>(s);
        for (run, x) in x.iter().enumerate() {
            fetch(s, ahead, run, runs);
            // SAFETY: t < T, run < runs and i < record, and there are so many weights (checked above).
            let weight = |t: usize, i: usize| unsafe { weights.get_unchecked((t * runs + run) * record + i) };
            for sub in 0..SUBS {
                let mut dots = [[s.splat_i32(0); T]; C];
                let mut total = [0; C];
                for c in 0..C {
                    total[c] = if SUBS == 1 { x[8][c] + x[9][c] } else { x[8 + sub][c] };
                    if !MIN {
                        dots[c] = [s.splat_i32(-form.bias * total[c]); T];
                    }
                }
                for word in sub * (8 / SUBS)..(sub + 1) * (8 / SUBS) {
                    let mut w = [s.splat_i32(0); T];
                    for t in 0..T {
                        w[t] = s.load_u32(&weight(t, word).map(f32::to_bits));
                    }
                    for c in 0..C {
                        let x = s.splat_i32(x[word][c]);
                        for t in 0..T {
                            dots[c][t] = s.dot(dots[c][t], w[t], x);
                        }
                    }
                }
                for c in 0..C {
                    let step = f32::from_bits(x[WORDS - 1][c] as u32);
                    for t in 0..T {
                        let scaled = s.mul(s.to_f32(dots[c][t]), s.splat(step));
                        acc[c][t] = s.fma(s.load(weight(t, BYTES + sub)), scaled, acc[c][t]);
                        if MIN {
                            let total = s.splat(step * total[c] as f32);
                            acc[c][t] = s.fma(s.load(weight(t, BYTES + SUBS + sub)), total, acc[c][t]);
                        }
                    }
                }
            }
        }
        sums.finish(s, &acc);
    }
}
