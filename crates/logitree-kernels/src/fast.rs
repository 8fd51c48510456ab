//! Products with activations rounded to 8 bits: the approximate mode.
//!
//! Each column's activations are cut into runs of 32, `x ≈ step · code` with whole codes from -127 to 127. With
//! `weight = scale · code + offset` the products of a sub-block of weights become
//!
//! ```text
//! Σ weight · x  ≈  scale · (step · Σ code · code)  +  offset · (step · Σ code of x)
//! ```
//!
//! where the sums are of whole numbers: exact in any order, four products per lane and instruction. Sub-blocks are added
//! in f32, in order; so the bits depend neither on the batch nor on the instruction set, as in the exact mode.
//!
//! A block of weights is unpacked once per batch, here too: into codes, four columns a word, and f32 scales.

use crate::buffer::Buffer;
use crate::matmul::{Panels, Shape};
use crate::micro::{Sums, by_shape};
use crate::pack::{Groups, PackedMatrix, RUN};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::{Parts, Team};

/// Words of a run of one column: 8 of four codes each, the sums of the first and the last 16 codes, and the bits of the step.
const WORDS: usize = 11;

/// Activations rounded to 8 bits, grouped as their [`Panels`] are.
#[derive(Default)]
pub(crate) struct Rounded {
    /// `[group][run][WORDS][columns of the group]`.
    data: Vec<i32>,
}

/// Runs rounded in one go.
const PIECE: usize = 8;

impl Rounded {
    /// Rounds all columns of `x`, whose length must be a multiple of 32.
    pub(crate) fn round(&mut self, backend: crate::Backend, team: &mut Team, x: &Panels) {
        let shape = x.shape;
        let runs = shape.k / RUN;
        self.data.resize(shape.columns * runs * WORDS, 0);
        let pieces = runs.div_ceil(PIECE);
        let data = Parts::new(&mut self.data);
        team.each(shape.groups * pieces, |_, i| {
            let (g, run) = (i / pieces, i % pieces * PIECE);
            let (first, width) = shape.group(g);
            let runs_here = PIECE.min(runs - run);
            let x = &x.data[first * shape.k + run * RUN * width..][..runs_here * RUN * width];
            // SAFETY: pieces are disjoint.
            let out = unsafe { data.part((first * runs + run * width) * WORDS, runs_here * WORDS * width) };
            backend.dispatch(Round { x, width, out });
        });
    }

    /// A group's runs from `run` on.
    fn runs(&self, shape: Shape, g: usize, run: usize, runs: usize) -> &[i32] {
        let (first, width) = shape.group(g);
        &self.data[(first * (shape.k / RUN) + run * width) * WORDS..][..runs * WORDS * width]
    }
}

/// Rounds `[run][32][width]` activations into `[run][WORDS][width]`.
struct Round<'a> {
    x: &'a [f32],
    width: usize,
    out: &'a mut [i32],
}

impl Task for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.width {
            1 => self.columns::<1>(),
            2 => self.columns::<2>(),
            3 => self.columns::<3>(),
            4 => self.columns::<4>(),
            5 => self.columns::<5>(),
            6 => self.columns::<6>(),
            width => unreachable!("{width} columns"),
        }
    }
}

impl Round<'_> {
    #[inline(always)]
    fn columns<const C: usize>(self) {
        let runs = self.x.as_chunks::<C>().0.as_chunks::<RUN>().0;
        for (x, out) in runs.iter().zip(self.out.as_chunks_mut::<C>().0.as_chunks_mut::<WORDS>().0) {
            let (mut most, mut damage) = ([0.0f32; C], [0.0f32; C]);
            for x in x {
                for c in 0..C {
                    most[c] = most[c].max(x[c].abs());
                    // Zero, unless a number is not finite: that must not be rounded away.
                    damage[c] += x[c] * 0.0;
                }
            }
            let mut inverse = [0.0; C];
            for c in 0..C {
                inverse[c] = if most[c] > 0.0 { 127.0 / most[c] } else { 0.0 };
                out[WORDS - 1][c] = (most[c] / 127.0 + damage[c]).to_bits() as i32;
            }
            let mut sums = [[0; C]; 2];
            for (word, x) in x.as_chunks::<4>().0.iter().enumerate() {
                let mut codes = [0; C];
                for (i, x) in x.iter().enumerate() {
                    for c in 0..C {
                        let code = (x[c] * inverse[c]).round_ties_even() as i32;
                        sums[word / 4][c] += code;
                        codes[c] |= (code & 0xff) << (8 * i);
                    }
                }
                out[word] = codes;
            }
            [out[8], out[9]] = sums;
        }
    }
}

/// Computes `tiles` tiles of a quantised matrix for all columns.
pub(crate) struct FastStrip<'a, 'b> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) shape: Shape,
    pub(crate) x: &'a Rounded,
    pub(crate) tile: usize,
    pub(crate) tiles: usize,
    pub(crate) weights: &'a mut Buffer,
    /// `[column][16 · tiles]`.
    pub(crate) acc: &'a mut [f32],
    /// See [`Sums::out`].
    pub(crate) out: Option<(Parts<'b, f32>, usize, usize)>,
}

/// f32 values of the unpacked block: 24 KiB.
const BLOCK: usize = 6144;

impl FastStrip<'_, '_> {
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S, form: Groups) {
        let FastStrip { matrix, shape, x, tile, tiles, weights, acc, out } = self;
        let weights = weights.at_least(BLOCK).as_chunks_mut::<LANES>().0;
        let record = form.record();
        let most = BLOCK / LANES / (tiles * record);
        let all = shape.k / RUN;
        for run in (0..all).step_by(most) {
            let runs = most.min(all - run);
            let last = run + runs == all;
            let weights = &mut weights[..tiles * runs * record];
            for (t, weights) in weights.chunks_exact_mut(runs * record).enumerate() {
                matrix.unpack(s, tile + t, run, weights);
            }
            // What each tile needs next, as in the exact mode.
            let (next, span) = if last { (tile + tiles, matrix.span(0, most * RUN)) } else { (tile, matrix.span((run + runs) * RUN, most * RUN)) };
            let share = tiles.div_ceil(shape.groups);
            for g in 0..shape.groups {
                let mut ahead: [&[u8]; 4] = [&[]; 4];
                let mut pieces = 0;
                for t in (next + g * share..matrix.tiles().min(next + tiles)).take(share) {
                    ahead[pieces] = &matrix.tile(t)[span.clone()];
                    pieces += 1;
                }
                let ahead = &ahead[..pieces];
                let (first, width) = shape.group(g);
                let size = tiles * LANES;
                let sums = Sums {
                    resume: run > 0,
                    memory: &mut acc[first * size..(first + width) * size],
                    out: out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let dots = Dots { form, weights, x: x.runs(shape, g, run, runs), ahead, sums };
                match (form.subs, form.min) {
                    (1, false) => dots.run::<S, 1, false>(s, tiles, width),
                    (1, true) => dots.run::<S, 1, true>(s, tiles, width),
                    (_, false) => dots.run::<S, 2, false>(s, tiles, width),
                    (_, true) => dots.run::<S, 2, true>(s, tiles, width),
                }
            }
        }
    }
}

/// Products of an unpacked block with a group of columns.
struct Dots<'a, 'b> {
    form: Groups,
    /// `[T][run][record][16]`, see [`Groups::record`].
    weights: &'a [Lanes<f32>],
    /// `[run][WORDS][C]`.
    x: &'a [i32],
    ahead: &'a [&'a [u8]],
    sums: Sums<'a, 'b>,
}

impl Dots<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const SUBS: usize, const MIN: bool>(self, s: S, tiles: usize, columns: usize) {
        macro_rules! shape {
            ($t:literal, $c:literal) => {
                s.vectorize_dots(ShapedDots::<$t, $c, SUBS, MIN>(self))
            };
        }
        by_shape!(S, tiles, columns, shape, 1 2 3 4 5 6)
    }
}

struct ShapedDots<'a, 'b, const T: usize, const C: usize, const SUBS: usize, const MIN: bool>(Dots<'a, 'b>);

impl<const T: usize, const C: usize, const SUBS: usize, const MIN: bool> Task for ShapedDots<'_, '_, T, C, SUBS, MIN> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Dots { form, weights, x, ahead, sums } = self.0;
        let x = x.as_chunks::<C>().0.as_chunks::<WORDS>().0;
        let record = const { 8 + SUBS * (1 + MIN as usize) };
        let runs = x.len();
        assert!(weights.len() == T * runs * record);
        let mut acc = sums.start::<S, T, C>(s);
        let pace = ahead.first().map_or(0, |piece| piece.len() / runs);
        for (run, x) in x.iter().enumerate() {
            for piece in ahead {
                for line in (run * pace..(run + 1) * pace).step_by(64) {
                    s.prefetch(piece.as_ptr().wrapping_add(line));
                }
            }
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
                        acc[c][t] = s.fma(s.load(weight(t, 8 + sub)), scaled, acc[c][t]);
                        if MIN {
                            let total = s.splat(step * total[c] as f32);
                            acc[c][t] = s.fma(s.load(weight(t, 8 + SUBS + sub)), total, acc[c][t]);
                        }
                    }
                }
            }
        }
        sums.finish(s, &acc);
    }
}
