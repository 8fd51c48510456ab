//! Products of whole numbers: quantised weights stay the codes they are, and activations become codes too.
//!
//! Each column's activations are cut into runs of 32, `x ≈ step · code`. With `weight = scale · code + offset` the products of a
//! sub-block of weights become
//!
//! ```text
//! Σ weight · x  ≈  scale · (step · Σ code · code)  +  offset · (step · Σ code of x)
//! ```
//!
//! where the sums are of whole numbers: exact in any order. Sub-blocks are added in f32, in order; so the bits depend neither on
//! the batch nor on the instruction set. [`crate::digits`] has codes of 24 bits, [`crate::rounded`] of 8.
//!
//! A block of weights is unpacked once per batch: into codes, four columns a word, and f32 scales.

use crate::digits::{self, Digits};
use crate::matmul::{Panels, Strip};
use crate::micro::{Place, Sums};
use crate::pack::{Form, RUN};
use crate::rounded::{self, Rounded};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::Team;
use crate::{Arithmetic, Backend};

/// f32 values of the unpacked block: 16 KiB.
const BLOCK: usize = 4032;

/// Activations as codes, grouped as their [`Panels`] are.
pub(crate) enum Coded {
    Bits24(Digits),
    Bits8(Rounded),
}

impl Coded {
    /// None where activations stay as they are.
    pub(crate) fn new(arithmetic: Arithmetic) -> Option<Coded> {
        match arithmetic {
            Arithmetic::F32 => None,
            Arithmetic::Bits24 => Some(Coded::Bits24(Digits::default())),
            Arithmetic::Bits8 => Some(Coded::Bits8(Rounded::default())),
        }
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        match self {
            Coded::Bits24(_) => Arithmetic::Bits24,
            Coded::Bits8(_) => Arithmetic::Bits8,
        }
    }

    /// Takes all columns of `x`, whose length must be a multiple of 32.
    pub(crate) fn encode(&mut self, backend: Backend, team: &mut Team, x: &Panels) {
        match self {
            Coded::Bits24(digits) => digits.encode(backend, team, x),
            Coded::Bits8(rounded) => rounded.encode(backend, team, x),
        }
    }
}

/// An unpacked block and what is to be done with it for one group of columns.
pub(crate) struct Block<'a, 'b> {
    pub(crate) form: Form,
    /// `[tile][run][record][16]`, see [`Form::record`].
    pub(crate) weights: &'a [Lanes<f32>],
    /// Bytes that will be needed soon.
    pub(crate) ahead: [&'a [u8]; 4],
    pub(crate) sums: Sums<'a, 'b>,
}

impl Block<'_, '_> {
    /// Fetches a part of what will be needed soon, the `i`th of `n`.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(s: S, ahead: &[&[u8]; 4], i: usize, n: usize) {
        for piece in ahead {
            let pace = piece.len() / n;
            for line in (i * pace..(i + 1) * pace).step_by(64) {
                s.prefetch(piece.as_ptr().wrapping_add(line));
            }
        }
    }
}

/// A [`Strip`] of a quantised matrix.
pub(crate) struct CodedStrip<'a, 'b> {
    pub(crate) strip: Strip<'a>,
    pub(crate) x: &'a Coded,
    pub(crate) form: Form,
    pub(crate) out: Option<Place<'b>>,
}

impl Task for CodedStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CodedStrip {
            strip: Strip { matrix, x: Panels { shape, .. }, tile, tiles, registers, weights, acc, .. },
            x,
            form,
            out,
        } = self;
        assert_eq!(matrix.cols(), shape.k, "inner dimension of a matrix product");
        let size = tiles * LANES;
        let acc = acc.at_least(shape.columns * size);
        let (weights, scratch) = weights.at_least(BLOCK + digits::SCRATCH).split_at_mut(BLOCK);
        let mut registers = if let Coded::Bits24(_) = x { registers.shaped(form, shape) } else { None };
        let record = form.record();
        let most = BLOCK / LANES / (tiles * record);
        let all = shape.k / RUN;
        for run in (0..all).step_by(most) {
            let runs = most.min(all - run);
            let last = run + runs == all;
            let weights = &mut weights.as_chunks_mut::<LANES>().0[..tiles * runs * record];
            for (t, weights) in weights.chunks_exact_mut(runs * record).enumerate() {
                matrix.unpack(s, tile + t, run, matches!(x, Coded::Bits24(_)), weights);
            }
            // What each tile needs next, as in the products of f32.
            let (next, from) = if last { (tile + tiles, 0) } else { (tile, run + runs) };
            let span = matrix.span(from * RUN, most * RUN);
            let share = tiles.div_ceil(shape.groups);
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let mut ahead: [&[u8]; 4] = [&[]; 4];
                let wanted = (next + g * share..matrix.tiles().min(next + tiles)).take(share);
                for (t, piece) in wanted.zip(&mut ahead) {
                    *piece = &matrix.tile(t)[span.clone()];
                }
                let sums = Sums {
                    resume: run > 0,
                    memory: &mut acc[first * size..(first + width) * size],
                    out: out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let block = Block { form, weights, ahead, sums };
                match x {
                    Coded::Bits24(x) => digits::multiply(
                        s,
                        registers.as_deref_mut(),
                        block,
                        x.runs(shape, g, run, runs),
                        tiles,
                        width,
                        scratch,
                    ),
                    Coded::Bits8(x) => rounded::multiply(s, block, x.runs(shape, g, run, runs), tiles, width),
                }
            }
        }
    }
}
