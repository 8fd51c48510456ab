//! A strip of a matrix with activations rounded to 8 bits.
//!
//! ```text
//! for block of runs of 32 columns that fits the first cache:
//!   unpack the runs' codes into bytes                                paid once per batch
//!   for group of C columns, for run, for sub-block of the run:
//!     dots[C][T]  = Σ code of w · code of x                          whole numbers
//!     acc[C][T]  += scale · (step[C] · dots) + offset · (step[C] · Σ code of x)
//! ```

use super::{Rounded, WORDS};
use crate::micro::{Before, Place, Sums, by_shape, fetch};
use crate::pack::{BYTES, Form, RUN};
use crate::panels::Panels;
use crate::simd::{ByteDots, DotTask, LANES, Lanes, Simd};
use crate::strips::{Strip, TileRange, first_bytes};

/// f32 values of the unpacked block: 16 KiB, so that it stays in the first cache beside activations and sums.
const BLOCK: usize = 4032;

/// A [`Strip`] of a quantised matrix.
pub(crate) struct RoundedStrip<'a, 'b> {
    pub(crate) strip: Strip<'a>,
    pub(crate) x: &'a Rounded,
    pub(crate) form: Form,
    pub(crate) out: Option<Place<'b>>,
}

impl DotTask for RoundedStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<D: ByteDots>(self, dots: D) {
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
                matrix.unpack::<_, false>(dots.simd(), tile + t, run, weights);
            }
            // As for products in f32, the groups of columns share out what is to be prefetched.
            let ahead = if last { first_bytes(next, most * RUN) } else { here.bytes((run + runs) * RUN, most * RUN) };
            let share = tiles.div_ceil(shape.groups);
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let ahead = ahead.get(g * share..(g + 1) * share).unwrap_or_default();
                let sums = Sums {
                    before: if run > 0 { Before::GoOn } else { Before::Nothing },
                    memory: &mut acc[first * size..(first + width) * size],
                    out: out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let block = Block { form, weights, ahead, sums };
                multiply(dots, block, x.runs(shape, g, run, runs), tiles, width);
            }
        }
    }
}

/// An unpacked block, and what is prefetched and summed up while it is multiplied with one group of columns.
struct Block<'a, 'b> {
    form: Form,
    /// `[tile][run][record][16]`, see [`Form::record`].
    weights: &'a [Lanes<f32>],
    /// Packed bytes to prefetch.
    ahead: &'a [&'a [u8]],
    sums: Sums<'a, 'b>,
}

/// Multiplies a block with a group of activations `x`, `[run][WORDS][columns]`.
#[inline(always)]
fn multiply<D: ByteDots>(dots: D, block: Block<'_, '_>, x: &[i32], tiles: usize, columns: usize) {
    macro_rules! shape {
        ($t:literal, $c:literal) => {
            match (block.form.subs, block.form.min) {
                (1, false) => dots.vectorize(Dots::<$t, $c, 1, false> { block, x }),
                (1, true) => dots.vectorize(Dots::<$t, $c, 1, true> { block, x }),
                (_, false) => dots.vectorize(Dots::<$t, $c, 2, false> { block, x }),
                (_, true) => dots.vectorize(Dots::<$t, $c, 2, true> { block, x }),
            }
        };
    }
    by_shape!(<D::Simd as Simd>::TILES, tiles, columns, shape, 1 2 3 4 5 6)
}

struct Dots<'a, 'b, const T: usize, const C: usize, const SUBS: usize, const MIN: bool> {
    block: Block<'a, 'b>,
    x: &'a [i32],
}

impl<const T: usize, const C: usize, const SUBS: usize, const MIN: bool> DotTask for Dots<'_, '_, T, C, SUBS, MIN> {
    type Output = ();
    #[inline(always)]
    fn run<D: ByteDots>(self, unit: D) {
        let s = unit.simd();
        let Dots { block: Block { form, weights, ahead, sums }, x } = self;
        let x = x.as_chunks::<C>().0.as_chunks::<WORDS>().0;
        let record = const { BYTES + SUBS * (1 + MIN as usize) };
        let runs = x.len();
        assert!(weights.len() == T * runs * record);
        let mut acc = sums.start::<_, T, C>(s);
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
                            dots[c][t] = unit.dot(dots[c][t], w[t], x);
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
        sums.finish(s, acc);
    }
}
