//! Activations as whole numbers of 24 bits, multiplied exactly: the arithmetic of [`crate::Arithmetic::Bits24`].
//!
//! A run's step is a power of two with which its largest activation just fits into 24 bits: what is rounded away is at
//! most two of that one's last bits. A whole number is three digits from -128 to 127, `65536 high + 256 middle + low`; bytes
//! that can be multiplied with the codes of weights. The sums of a sub-block's products with each digit are exact, and meet in
//! f32. So there are fewer roundings than in a chain of multiply-adds, and results are as near to the exact ones, or nearer.
//!
//! AMX multiplies five columns at once, three digits of each, with 16 rows of weights. Other backends do the same one column
//! at a time, slower than they multiply f32: for records that were made with AMX.

mod tiled;

use crate::Backend;
use crate::coded::Block;
use crate::matmul::{Panels, Shape};
use crate::micro::{Sums, by_shape};
use crate::pack::RUN;
use crate::simd::{LANES, Simd, Task, Tiles};
use crate::team::{Parts, Team};
pub(crate) use tiled::Registers;
use tiled::Tiled;

/// Widest group of columns: their digits are the rows of a tile.
pub(crate) const COLUMNS: usize = 5;

const DIGITS: usize = 3;

/// Largest number that three digits make.
const LARGEST: f32 = 8_355_711.0;

/// f32 values a strip needs for the sums of its tiles.
pub(crate) const SCRATCH: usize = 4 * SUMS * LANES;

/// Vectors of a tile's sums.
const SUMS: usize = 16;

/// Values of a run of one column: its step, and the sums of all, the first 16 and the last 16 of its activations.
const SCALES: usize = 4;

/// Rows at the end that may be read, and whose products are not used: groups have as many columns as the first, or one less.
const MORE: usize = DIGITS;

/// Runs taken in one go.
const PIECE: usize = 8;

/// One digit of a run's activations, lowest column first.
#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
struct Row([i8; RUN]);

/// Activations as digits.
#[derive(Default)]
pub(crate) struct Digits {
    /// `[group][run][digit, highest first][columns of the group]`.
    rows: Vec<Row>,
    /// `[group][run][SCALES][columns of the group]`.
    scales: Vec<f32>,
}

/// Some runs of a group of columns.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    rows: &'a [Row],
    scales: &'a [f32],
}

impl Digits {
    /// See [`crate::coded::Coded::encode`].
    pub(crate) fn encode(&mut self, backend: Backend, team: &mut Team, x: &Panels) {
        let shape = x.shape;
        let runs = shape.k / RUN;
        self.rows.resize(shape.columns * runs * DIGITS + MORE, Row::default());
        self.scales.resize(shape.columns * runs * SCALES, 0.0);
        let pieces = runs.div_ceil(PIECE);
        let (rows, scales) = (Parts::new(&mut self.rows), Parts::new(&mut self.scales));
        team.each(shape.groups * pieces, |_, i| {
            let (g, run) = (i / pieces, i % pieces * PIECE);
            let (first, width) = shape.group(g);
            let runs_here = PIECE.min(runs - run);
            let x = &x.data[first * shape.k + run * RUN * width..][..runs_here * RUN * width];
            let at = first * runs + run * width;
            // SAFETY: pieces are disjoint.
            let (rows, scales) = unsafe {
                (
                    rows.part(at * DIGITS, runs_here * DIGITS * width),
                    scales.part(at * SCALES, runs_here * SCALES * width),
                )
            };
            backend.dispatch(Round { x, width, rows, scales });
        });
    }

    /// A group's runs from `run` on.
    pub(crate) fn runs(&self, shape: &Shape, g: usize, run: usize, runs: usize) -> Runs<'_> {
        let (first, width) = shape.group(g);
        let at = first * (shape.k / RUN) + run * width;
        Runs {
            rows: &self.rows[at * DIGITS..][..runs * DIGITS * width + MORE],
            scales: &self.scales[at * SCALES..][..runs * SCALES * width],
        }
    }
}

/// Cuts `[run][32][width]` activations into digits.
struct Round<'a> {
    x: &'a [f32],
    width: usize,
    rows: &'a mut [Row],
    scales: &'a mut [f32],
}

impl Task for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Round { x, width, rows, scales } = self;
        for ((x, rows), scales) in x
            .chunks_exact(RUN * width)
            .zip(rows.chunks_exact_mut(DIGITS * width))
            .zip(scales.chunks_exact_mut(SCALES * width))
        {
            for c in 0..width {
                // Plain loops, which become vectors one by one.
                let mut run = [0.0; RUN];
                for i in 0..RUN {
                    run[i] = x[i * width + c];
                }
                let mut most = 0;
                for x in run {
                    // Bits of positive numbers are ordered as the numbers are, and infinity and NaN come last.
                    most = most.max(x.abs().to_bits());
                }
                let (step, inverse) = step_of(f32::from_bits(most));
                if step.is_nan() {
                    run = [0.0; RUN];
                }
                let mut whole = [0; RUN];
                for i in 0..RUN {
                    // SAFETY: it is finite, and below 2^23, because that is how the step is made.
                    whole[i] = unsafe { (run[i] * inverse).round_ties_even().to_int_unchecked::<i32>() };
                }
                let (first, second) = whole.split_at(RUN / 2);
                let halves: [i32; 2] = [first.iter().sum(), second.iter().sum()];
                // The lowest byte as a signed digit; what it leaves is a multiple of 256.
                for digit in (0..DIGITS).rev() {
                    let row = &mut rows[digit * width + c].0;
                    for i in 0..RUN {
                        row[i] = whole[i] as i8;
                        whole[i] = (whole[i] - i32::from(row[i])) >> 8;
                    }
                }
                let sums = [halves[0] + halves[1], halves[0], halves[1]];
                scales[c] = step;
                for (i, sum) in sums.into_iter().enumerate() {
                    scales[(1 + i) * width + c] = sum as f32 * step;
                }
            }
        }
    }
}

/// The power of two in whose multiples a run is written whose largest number is `most`, and its inverse. NaN if that is not
/// finite, which must not be rounded away.
#[inline(always)]
fn step_of(most: f32) -> (f32, f32) {
    if !most.is_finite() {
        return (f32::NAN, 0.0);
    }
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    // A run of nothing but numbers below 2^-80 is written in steps of 2^-102: so its products do not underflow.
    let exponent = ((most.to_bits() >> 23) as i32 - 127).max(-80) - 22;
    let exponent = exponent + i32::from(most * power(-exponent) > LARGEST);
    (power(exponent), power(-exponent))
}

/// Products of a block with a group of `columns`.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    s: S,
    registers: Option<&mut Tiles>,
    block: Block<'_, '_>,
    x: Runs<'_>,
    tiles: usize,
    columns: usize,
    scratch: &mut [f32],
) {
    if let Some(registers) = registers {
        macro_rules! shape {
            ($t:literal, $c:literal) => {
                match (block.form.subs, block.form.min) {
                    (1, false) => s.vectorize(Tiled::<$t, $c, 1, false> { registers, block, x, scratch }),
                    (1, true) => s.vectorize(Tiled::<$t, $c, 1, true> { registers, block, x, scratch }),
                    (_, false) => s.vectorize(Tiled::<$t, $c, 2, false> { registers, block, x, scratch }),
                    (_, true) => s.vectorize(Tiled::<$t, $c, 2, true> { registers, block, x, scratch }),
                }
            };
        }
        return by_shape!(S, tiles, columns, shape, 1 2 3 4 5);
    }
    macro_rules! shape {
        ($t:literal, $c:literal) => {
            s.vectorize(Column::<$t> { block, x, columns })
        };
    }
    by_shape!(S, tiles, 1, shape, 1)
}

/// Whole numbers from the sums of their digits' products.
#[inline(always)]
fn whole<S: Simd>(s: S, high: S::I, middle: S::I, low: S::I) -> S::F {
    let low = s.to_f32(s.add_i32(low, s.shl(middle, 8)));
    s.fma(s.to_f32(high), s.splat(65536.0), low)
}

/// Products on any backend, one column after the other.
struct Column<'a, 'b, const T: usize> {
    block: Block<'a, 'b>,
    x: Runs<'a>,
    columns: usize,
}

impl<const T: usize> Task for Column<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Column { block: Block { form, weights, sums, .. }, x: Runs { rows, scales }, columns } = self;
        let (subs, record) = (form.subs, form.record());
        let runs = (rows.len() - MORE) / (DIGITS * columns);
        assert!(weights.len() == T * runs * record);
        for c in 0..columns {
            let sums = Sums {
                resume: sums.resume,
                memory: &mut sums.memory[c * T * LANES..(c + 1) * T * LANES],
                out: sums.out.map(|(out, start, stride)| (out, start + c * stride, stride)),
            };
            let mut acc = sums.start::<S, T, 1>(s);
            for step in 0..runs * subs {
                let (run, sub) = (step / subs, step % subs);
                let scales = &scales[run * SCALES * columns..][..SCALES * columns];
                let total = scales[if subs == 1 { 1 } else { 2 + sub } * columns + c];
                for t in 0..T {
                    let weights = &weights[(t * runs + run) * record..][..record];
                    let mut digits = [s.splat_i32(0); DIGITS];
                    for word in sub * 8 / subs..(sub + 1) * 8 / subs {
                        let w = s.load_u32(&weights[word].map(f32::to_bits));
                        for d in 0..DIGITS {
                            let x = rows[(run * DIGITS + d) * columns + c].0.as_chunks::<4>().0[word];
                            let x = s.splat_i32(i32::from_le_bytes(x.map(|x| x as u8)));
                            digits[d] = s.dot_signed(digits[d], w, x);
                        }
                    }
                    let y = s.mul(whole(s, digits[0], digits[1], digits[2]), s.splat(scales[c]));
                    acc[0][t] = s.fma(s.load(&weights[8 + sub]), y, acc[0][t]);
                    if form.min {
                        acc[0][t] = s.fma(s.load(&weights[8 + subs + sub]), s.splat(total), acc[0][t]);
                    }
                }
            }
            sums.finish(s, &acc);
        }
    }
}
