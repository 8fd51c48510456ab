//! Activations as three bf16 numbers each: the arithmetic of [`crate::Arithmetic::Bf16x3`].
//!
//! An f32 has 24 bits of precision and a bf16 number 8, so `x = high + middle + low`, exactly. Weights are bf16
//! numbers: codes of up to 8 bits, which are scaled afterwards, or weights that are stored so. A product of two bf16
//! numbers is exact in f32, so only sums are rounded: as in a chain of f32 multiply-adds, and less often. The sum of a
//! sub-block, or of 32 weights that are not quantised, is
//!
//! ```text
//! for piece in high, middle, low:
//!   sum += Σ piece[2 r] · weight[2 r]  +  Σ piece[2 r + 1] · weight[2 r + 1]      two chains over r
//! ```
//!
//! and `scale · sum + offset · Σ x` is added to the output's sum so far. AMX does this in three instructions for 16
//! columns and 16 rows of weights. Other backends do it step by step and slower than they multiply f32; they have it to
//! repeat and check records that were made with AMX.
//!
//! AMX treats numbers too small to be normal as zero. Therefore all backends take activations below [`LEAST`] as zero:
//! then products with codes, and their sums, are either normal or zero in any order. Weights that are stored in bf16
//! can be smaller than codes. If their sums fall below 2^-126, AMX makes them zero and other backends do not: this is
//! the one case in which bits can differ.

mod strip;
mod tiled;

use crate::bf16::{HIGH, join};
use crate::buffer::Buffer;
use crate::groups::Shape;
use crate::pack::RUN;
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::Parts;
pub(crate) use strip::PieceStrip;
pub(crate) use tiled::Registers;

/// Widest group of columns: a tile register has 16 rows.
const COLUMNS: usize = LANES;

/// Groups of columns that are multiplied with the weights of one run before those of the next run are unpacked. The
/// sums and activations of so many groups fit the first cache.
const CHUNK: usize = 4;

/// bf16 numbers that an activation is split into.
const PIECES: usize = 3;

/// Sums that are kept of a run's activations: of all 32, of the first 16 and of the last 16.
const TOTALS: usize = 3;

/// 2^-80: smaller activations are taken as zero.
const LEAST: f32 = f32::from_bits((127 - 80) << 23);

/// A batch of activations in pieces.
#[derive(Default)]
pub(crate) struct Pieces {
    shape: Shape,
    /// `[chunk][run][group][PIECES][columns of the group]` of 32 bf16 numbers, which lie in [`crate::pack::pair`]s.
    /// This is the order in which products read them.
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

    /// Rows of a group's run, `[PIECES][columns]`, and the row after them: all groups are multiplied with the width of
    /// the first, so those that are a column narrower read one row too many.
    #[inline(always)]
    fn rows(&self, group: &Group, run: usize) -> &[Lanes<f32>] {
        &self.rows.as_chunks().0[group.at(run) * PIECES..][..PIECES * group.columns + 1]
    }

    /// For each column of a group the sum of a run's activations: of all 32 (`which` is 0), of the first 16 (1) or of
    /// the last 16 (2).
    #[inline(always)]
    fn totals(&self, group: &Group, run: usize, which: usize) -> &[f32] {
        &self.totals[group.at(run) * TOTALS + which * group.columns..][..group.columns]
    }
}

/// Neighbouring columns that are multiplied together, and where their runs lie.
struct Group {
    first: usize,
    columns: usize,
    /// How many runs of columns lie before the group's first one.
    start: usize,
    /// How many runs of columns lie between one run of the group and its next.
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

/// Where [`Cut`] writes.
pub(crate) struct PieceWriter<'a> {
    shape: Shape,
    rows: Parts<'a, f32>,
    totals: Parts<'a, f32>,
}

/// Cuts the activations of some runs of a column into pieces.
pub(crate) struct Cut<'a, 'b> {
    /// Whoever makes this task promises that nobody else touches these runs of the column.
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
            // SAFETY: whoever made this task promised that nobody else touches these runs of the column.
            unsafe { totals.scatter(at * TOTALS + column, width, &[halves[0] + halves[1], halves[0], halves[1]]) };
            for piece in 0..PIECES {
                // SAFETY: as above.
                let row = unsafe { rows.part((at * PIECES + piece * width + column) * LANES, LANES) };
                // Each piece is the upper half of what is left. After two pieces 8 bits are left, which the third holds
                // exactly.
                s.store(row.first_chunk_mut().expect("16 of 16"), s.bitcast(join(s, s.bits(low), s.bits(high))));
                low = s.sub(low, s.bitcast(s.and(s.bits(low), s.splat_i32(HIGH))));
                high = s.sub(high, s.bitcast(s.and(s.bits(high), s.splat_i32(HIGH))));
            }
        }
    }
}

/// `x`, with zero for numbers that are smaller than [`LEAST`].
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::F) -> S::F {
    let bits = s.bits(x);
    // Positive numbers are ordered as their bits are, so for smaller numbers the difference of the bits is negative.
    // Its sign bit less one is 0 for them and all ones for the others: the mask.
    let size = s.and(bits, s.splat_i32(i32::MAX));
    let smaller = s.shr(s.add_i32(size, s.splat_i32(-(LEAST.to_bits() as i32))), 31);
    s.bitcast(s.and(bits, s.add_i32(smaller, s.splat_i32(-1))))
}
