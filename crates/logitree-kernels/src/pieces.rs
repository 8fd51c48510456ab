//! Activations as three bf16 numbers each: the arithmetic of [`crate::Arithmetic::Bf16x3`].
//!
//! An f32 has 24 bits of precision and a bf16 number 8, so `x = high + middle + low`, exactly. Weights are bf16 numbers: codes
//! of up to 8 bits, which are scaled afterwards, or weights that are stored so. A product of two bf16 numbers is exact
//! in f32, so only sums are rounded: as in a chain of f32 multiply-adds, and less often. The sum of a sub-block, or of 32 weights
//! that are not quantised, is
//!
//! ```text
//! for piece in high, middle, low:
//!   sum += Σ piece[2 r] · weight[2 r]  +  Σ piece[2 r + 1] · weight[2 r + 1]      two chains over r
//! ```
//!
//! and `scale · sum + offset · Σ x` is added to what is before it. That is what AMX does in three instructions for 16 columns
//! and 16 rows of weights. Other backends do it step by step, slower than they multiply f32: for records that were made with AMX.
//!
//! AMX takes numbers that are not normal for zero. Activations below [`LEAST`] count as zero for all; so the products
//! with codes and their sums are either normal or zero, whatever their order. Weights that are stored in bf16 may be as small as they
//! like: sums of theirs below 2^-126 are zero with AMX and not elsewhere, the one case in which bits can differ.

mod strip;
mod tiled;

use crate::Backend;
use crate::buffer::Buffer;
use crate::matmul::{Panels, Shape};
use crate::pack::{HIGH, RUN, join, pair};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::{Parts, Team};
pub(crate) use strip::PieceStrip;
pub(crate) use tiled::Registers;

/// Widest group of columns: rows of a tile.
const COLUMNS: usize = LANES;

/// bf16 numbers of an activation.
const PIECES: usize = 3;

/// Sums of a run's activations: of all, of the first 16 and of the last 16.
const TOTALS: usize = 3;

/// Runs of columns cut in one go, about.
const SHARE: usize = 64;

/// 2^-80: what is smaller counts as zero.
const LEAST: f32 = f32::from_bits((127 - 80) << 23);

/// A batch of activations in pieces.
#[derive(Default)]
pub(crate) struct Pieces {
    shape: Shape,
    /// `[group][run][PIECES][columns of the group]` of 32 bf16 numbers, in [`pair`]s.
    rows: Buffer,
    /// `[group][run][TOTALS][columns of the group]`.
    totals: Vec<f32>,
}

impl Pieces {
    /// See [`crate::coded::Coded::encode`].
    pub(crate) fn encode(&mut self, backend: Backend, team: &mut Team, x: &Panels) {
        let shape = Shape::new(x.shape.columns, x.shape.k, COLUMNS);
        let runs = shape.k / RUN;
        self.shape = shape;
        let rows = self.rows.at_least((shape.columns * runs * PIECES + 1) * LANES);
        self.totals.resize(shape.columns * runs * TOTALS, 0.0);
        let share = SHARE.div_ceil(shape.group(0).1);
        let shares = runs.div_ceil(share);
        let (rows, totals) = (Parts::new(rows), Parts::new(&mut self.totals));
        team.each(shape.groups * shares, |_, i| {
            let (g, run) = (i / shares, i % shares * share);
            let (first, width) = shape.group(g);
            let here = share.min(runs - run);
            let at = first * runs + run * width;
            // SAFETY: shares are disjoint.
            let (rows, totals) = unsafe {
                (
                    rows.part(at * PIECES * LANES, here * PIECES * width * LANES),
                    totals.part(at * TOTALS, here * TOTALS * width),
                )
            };
            backend.dispatch(Cut { x, first, width, run, rows: rows.as_chunks_mut().0, totals });
        });
    }

    /// Rows of a group's run, `[PIECES][columns]`, and one more: groups are multiplied as if they were as wide as the first.
    #[inline(always)]
    fn rows(&self, g: usize, run: usize) -> &[Lanes<f32>] {
        let (first, columns) = self.shape.group(g);
        &self.rows.as_chunks().0[(first * (self.shape.k / RUN) + run * columns) * PIECES..][..PIECES * columns + 1]
    }

    /// Sums of a run's activations for each column of a group: of all, of the first 16 or of the last 16.
    #[inline(always)]
    fn totals(&self, g: usize, run: usize, which: usize) -> &[f32] {
        let (first, columns) = self.shape.group(g);
        let at = (first * (self.shape.k / RUN) + run * columns) * TOTALS + which * columns;
        &self.totals[at..][..columns]
    }
}

/// Cuts runs from `run` on of a group of columns.
struct Cut<'a> {
    x: &'a Panels,
    first: usize,
    width: usize,
    run: usize,
    rows: &'a mut [Lanes<f32>],
    totals: &'a mut [f32],
}

impl Task for Cut<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Cut { x, first, width, run, rows, totals } = self;
        let mut block = [[0.0; 2 * LANES]; RUN];
        let mut halves = [[[0.0; LANES]; LANES]; 2];
        let cut = rows.chunks_exact_mut(PIECES * width).zip(totals.chunks_exact_mut(TOTALS * width));
        for (i, (rows, totals)) in cut.enumerate() {
            gather(x, first, width, (run + i) * RUN, &mut block);
            let row = |k: usize| block[k].first_chunk().expect("32 columns");
            let mut sums = [s.splat(0.0); 2];
            for k in 0..RUN {
                sums[k / (RUN / 2)] = s.add(sums[k / (RUN / 2)], s.load(row(k)));
            }
            for (totals, sum) in totals.chunks_exact_mut(width).zip([s.add(sums[0], sums[1]), sums[0], sums[1]]) {
                totals.copy_from_slice(&s.array(sum)[..width]);
            }
            for (half, out) in halves.iter_mut().enumerate() {
                s.transpose(std::array::from_fn(|i| row(pair(i)[half])), out.as_flattened_mut());
            }
            for c in 0..width {
                let mut low = normal(s, &halves[0][c]);
                let mut high = normal(s, &halves[1][c]);
                for piece in 0..PIECES {
                    // What is left after two pieces has 8 bits.
                    s.store(&mut rows[piece * width + c], s.bitcast(join(s, s.bits(low), s.bits(high))));
                    low = s.sub(low, s.bitcast(s.and(s.bits(low), s.splat_i32(HIGH))));
                    high = s.sub(high, s.bitcast(s.and(s.bits(high), s.splat_i32(HIGH))));
                }
            }
        }
    }
}

/// Zero instead of what is smaller than [`LEAST`].
#[inline(always)]
fn normal<S: Simd>(s: S, x: &Lanes<f32>) -> S::F {
    let bits = s.bits(s.load(x));
    // Positive numbers are ordered as their bits are: the difference of a smaller one's is negative.
    let size = s.and(bits, s.splat_i32(i32::MAX));
    let smaller = s.shr(s.add_i32(size, s.splat_i32(-(LEAST.to_bits() as i32))), 31);
    s.bitcast(s.and(bits, s.add_i32(smaller, s.splat_i32(-1))))
}

/// Copies elements `k0 .. k0 + 32` of columns `first .. first + width` into `[k][columns]`.
#[inline(always)]
fn gather(x: &Panels, first: usize, width: usize, k0: usize, block: &mut [[f32; 2 * LANES]; RUN]) {
    let mut done = 0;
    while done < width {
        let (group, columns) = x.shape.group_of(first + done);
        let skipped = first + done - group;
        let from = &x.data[group * x.shape.k + k0 * columns + skipped..];
        for (k, block) in block.iter_mut().enumerate() {
            // More than a group's columns: those of the next group replace the rest.
            block[done..done + LANES].copy_from_slice(&from[k * columns..][..LANES]);
        }
        done += columns - skipped;
    }
}
