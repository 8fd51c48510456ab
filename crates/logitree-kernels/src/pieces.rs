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

use crate::buffer::Buffer;
use crate::pack::{HIGH, RUN, join};
use crate::panels::Shape;
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::Parts;
pub(crate) use strip::PieceStrip;
pub(crate) use tiled::Registers;

/// Widest group of columns: rows of a tile.
const COLUMNS: usize = LANES;

/// Groups of columns that meet a run's weights before the next run's are taken: their sums and activations fit the first cache.
const CHUNK: usize = 4;

/// bf16 numbers of an activation.
const PIECES: usize = 3;

/// Sums of a run's activations: of all, of the first 16 and of the last 16.
const TOTALS: usize = 3;

/// 2^-80: what is smaller counts as zero.
const LEAST: f32 = f32::from_bits((127 - 80) << 23);

/// A batch of activations in pieces.
#[derive(Default)]
pub(crate) struct Pieces {
    shape: Shape,
    /// `[chunk][run][group][PIECES][columns of the group]` of 32 bf16 numbers, in [`crate::pack::pair`]s: in the order in which
    /// they are read.
    rows: Buffer,
    /// `[chunk][run][group][TOTALS][columns of the group]`.
    totals: Vec<f32>,
}

impl Pieces {
    pub(crate) fn reset(&mut self, columns: usize, k: usize) {
        let runs = k / RUN;
        self.shape = Shape::new(columns, k, COLUMNS);
        self.rows.at_least((columns * runs * PIECES + 1) * LANES);
        self.totals.resize(columns * runs * TOTALS, 0.0);
    }

    pub(crate) fn writer(&mut self) -> PieceWriter<'_> {
        PieceWriter { shape: self.shape, rows: Parts::new(&mut self.rows), totals: Parts::new(&mut self.totals) }
    }

    /// Rows of a group's run, `[PIECES][columns]`, and one more: groups are multiplied as if they were as wide as the first.
    #[inline(always)]
    fn rows(&self, group: &Group, run: usize) -> &[Lanes<f32>] {
        &self.rows.as_chunks().0[group.at(run) * PIECES..][..PIECES * group.columns + 1]
    }

    /// Sums of a run's activations for each column of a group: of all, of the first 16 or of the last 16.
    #[inline(always)]
    fn totals(&self, group: &Group, run: usize, which: usize) -> &[f32] {
        &self.totals[group.at(run) * TOTALS + which * group.columns..][..group.columns]
    }
}

/// Neighbouring columns that are multiplied together, and where their runs lie.
struct Group {
    first: usize,
    columns: usize,
    /// Columns' runs before the group's first, and from one run of it to the next.
    start: usize,
    step: usize,
}

impl Group {
    #[inline(always)]
    fn new(shape: &Shape, g: usize) -> Group {
        let (first, columns) = shape.group(g);
        let chunk = g / CHUNK * CHUNK;
        let [start, end] = [chunk, shape.groups.min(chunk + CHUNK)].map(|g| shape.group(g).0);
        Group { first, columns, start: start * (shape.k / RUN) + first - start, step: end - start }
    }

    #[inline(always)]
    fn at(&self, run: usize) -> usize {
        self.start + run * self.step
    }
}

/// For [`Cut`].
pub(crate) struct PieceWriter<'a> {
    shape: Shape,
    rows: Parts<'a, f32>,
    totals: Parts<'a, f32>,
}

/// Cuts runs of a column.
pub(crate) struct Cut<'a, 'b> {
    /// Nobody else may touch these runs of the column.
    pub(crate) to: &'a PieceWriter<'b>,
    pub(crate) column: usize,
    /// First of the runs.
    pub(crate) run: usize,
    pub(crate) runs: &'a [[f32; RUN]],
}

impl Task for Cut<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Cut { to: PieceWriter { shape, rows, totals }, column, run, runs } = self;
        let group = Group::new(shape, shape.index_of(column));
        let column = column - group.first;
        for (i, x) in runs.iter().enumerate() {
            let (at, width) = (group.at(run + i), group.columns);
            let x = x.as_chunks::<LANES>().0;
            let (first, last) = (s.load(&x[0]), s.load(&x[1]));
            let [mut low, mut high] = s.unzip_pairs(first, last);
            low = normal(s, low);
            high = normal(s, high);
            let halves = [s.total(first), s.total(last)];
            // SAFETY: whoever made this vouches for its runs of the column.
            unsafe { totals.scatter(at * TOTALS + column, width, &[halves[0] + halves[1], halves[0], halves[1]]) };
            for piece in 0..PIECES {
                // SAFETY: as above.
                let row = unsafe { rows.part((at * PIECES + piece * width + column) * LANES, LANES) };
                // What is left after two pieces has 8 bits.
                s.store(row.first_chunk_mut().expect("16 of 16"), s.bitcast(join(s, s.bits(low), s.bits(high))));
                low = s.sub(low, s.bitcast(s.and(s.bits(low), s.splat_i32(HIGH))));
                high = s.sub(high, s.bitcast(s.and(s.bits(high), s.splat_i32(HIGH))));
            }
        }
    }
}

/// Zero instead of what is smaller than [`LEAST`].
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::F) -> S::F {
    let bits = s.bits(x);
    // Positive numbers are ordered as their bits are: the difference of a smaller one's is negative.
    let size = s.and(bits, s.splat_i32(i32::MAX));
    let smaller = s.shr(s.add_i32(size, s.splat_i32(-(LEAST.to_bits() as i32))), 31);
    s.bitcast(s.and(bits, s.add_i32(smaller, s.splat_i32(-1))))
}
