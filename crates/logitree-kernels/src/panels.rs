//! Batches of activation vectors, in the forms that products take.
//!
//! Whoever computes activations (a norm, attention, a gate) writes them straight into panels, column by column and from
//! several threads; nothing is copied or converted when a product begins.

use crate::buffer::Buffer;
use crate::groups::Shape;
use crate::micro::GROUP;
use crate::pack::RUN;
use crate::pieces::{Cut, PieceWriter, Pieces};
use crate::rounded::{Round, Rounded, RoundedWriter};
use crate::simd::LANES;
use crate::team::Parts;
use crate::{Arithmetic, Backend, Compute, PackedMatrix};

/// A batch of activation vectors, `[columns][k]`. It holds them as f32, in the form of the [`Arithmetic`] of a
/// [`Compute`], or in both forms, as the matrices that they are multiplied with need.
#[derive(Default)]
pub struct Panels {
    pub(crate) shape: Shape,
    backend: Backend,
    /// `[group][k / 16][columns of the group][16]`: the inner loop reads a group as one stream, and 16 elements of a
    /// column are a cache line of their own.
    floats: Buffer,
    coded: Option<Coded>,
    /// True if `floats` is in use; if not, it keeps its memory.
    holds_floats: bool,
    /// True if `coded` is in use.
    holds_coded: bool,
}

/// Activations in the form of an arithmetic other than f32.
pub(crate) enum Coded {
    Bf16x3(Pieces),
    Bits8(Rounded),
}

impl Coded {
    fn new(arithmetic: Arithmetic) -> Option<Coded> {
        match arithmetic {
            Arithmetic::F32 => None,
            Arithmetic::Bf16x3 => Some(Coded::Bf16x3(Pieces::default())),
            Arithmetic::Bits8 => Some(Coded::Bits8(Rounded::default())),
        }
    }

    fn arithmetic(&self) -> Arithmetic {
        match self {
            Coded::Bf16x3(_) => Arithmetic::Bf16x3,
            Coded::Bits8(_) => Arithmetic::Bits8,
        }
    }
}

impl Panels {
    /// Gives the batch this shape and the forms that `compute` needs for products with these matrices; without
    /// matrices, f32 alone. Memory is kept where it is large enough. The elements are unspecified until they are set.
    ///
    /// # Panics
    /// If a matrix does not have `k` columns.
    pub fn reset(&mut self, compute: &Compute, columns: usize, k: usize, matrices: &[&PackedMatrix]) {
        assert!(matrices.iter().all(|m| m.cols() == k), "inner dimension of a matrix product");
        let arithmetic = compute.arithmetic();
        self.shape = Shape::new(columns, k, GROUP);
        self.backend = compute.backend;
        self.holds_coded = matrices.iter().any(|m| m.multiplies_in(arithmetic));
        self.holds_floats = !self.holds_coded || matrices.iter().any(|m| !m.multiplies_in(arithmetic));
        if self.holds_floats {
            self.floats.at_least(columns * self.shape.padded());
        }
        if self.holds_coded {
            let held = self.coded.take().filter(|coded| coded.arithmetic() == arithmetic);
            self.coded = held.or_else(|| Coded::new(arithmetic));
            match &mut self.coded {
                None => {}
                Some(Coded::Bf16x3(pieces)) => pieces.reset(columns, k),
                Some(Coded::Bits8(rounded)) => rounded.reset(columns, k),
            }
        }
    }

    /// Number of activation vectors.
    pub fn columns(&self) -> usize {
        self.shape.columns
    }

    /// Sets one activation vector, `[k]`.
    ///
    /// # Panics
    /// If the column does not exist or `x` does not have `k` elements.
    pub fn set(&mut self, column: usize, x: &[f32]) {
        assert_eq!(x.len(), self.shape.k, "length of an activation vector");
        let writer = self.writer();
        // SAFETY: `self` is borrowed exclusively and only one column is written.
        unsafe { writer.set(column, 0, x) };
    }

    /// Copies one activation vector out, `[k]`.
    ///
    /// # Panics
    /// If the batch does not hold f32, the column does not exist, or `x` does not have `k` elements.
    pub fn get(&self, column: usize, x: &mut [f32]) {
        assert!(column < self.shape.columns && x.len() == self.shape.k);
        let (start, stride) = self.shape.place(column, 0);
        for (x, piece) in x.chunks_mut(LANES).zip(self.floats()[start..].chunks(stride)) {
            x.copy_from_slice(&piece[..x.len()]);
        }
    }

    /// The activations as f32.
    pub(crate) fn floats(&self) -> &[f32] {
        assert!(self.holds_floats, "activations for products in f32");
        &self.floats
    }

    /// The activations in another arithmetic's form, if the batch holds it.
    pub(crate) fn coded(&self) -> Option<&Coded> {
        self.coded.as_ref().filter(|_| self.holds_coded)
    }

    /// A writer that several threads may use at once, each for elements of its own.
    pub(crate) fn writer(&mut self) -> PanelWriter<'_> {
        PanelWriter {
            shape: self.shape,
            backend: self.backend,
            floats: self.holds_floats.then(|| Parts::new(&mut self.floats)),
            coded: self.coded.as_mut().filter(|_| self.holds_coded).map(|coded| match coded {
                Coded::Bf16x3(pieces) => CodedWriter::Bf16x3(pieces.writer()),
                Coded::Bits8(rounded) => CodedWriter::Bits8(rounded.writer(self.shape)),
            }),
        }
    }

    /// Checks that a product of `compute` with this matrix finds activations of its length and in its form.
    ///
    /// # Panics
    /// If the activations have another length, or are not held in that form.
    pub(crate) fn check(&self, compute: &Compute, matrix: &PackedMatrix) {
        assert_eq!(matrix.cols(), self.shape.k, "inner dimension of a matrix product");
        let held = match self.coded().map(Coded::arithmetic) {
            Some(arithmetic) if matrix.multiplies_in(arithmetic) => arithmetic,
            _ if self.holds_floats => Arithmetic::F32,
            _ => panic!("activations for products with other matrices"),
        };
        let wanted = if matrix.multiplies_in(compute.arithmetic()) { compute.arithmetic() } else { Arithmetic::F32 };
        assert_eq!(held, wanted, "arithmetic of activations");
    }
}

/// Writes columns of [`Panels`].
pub(crate) struct PanelWriter<'a> {
    shape: Shape,
    backend: Backend,
    floats: Option<Parts<'a, f32>>,
    coded: Option<CodedWriter<'a>>,
}

enum CodedWriter<'a> {
    Bf16x3(PieceWriter<'a>),
    Bits8(RoundedWriter<'a>),
}

impl PanelWriter<'_> {
    /// Sets elements `k0 .. k0 + x.len()` of a column. `k0` and the length must be multiples of 16 for f32 (the length
    /// only before the end of the column), and of 32 for other forms.
    ///
    /// # Safety
    /// No two threads may write the same elements at the same time.
    pub(crate) unsafe fn set(&self, column: usize, k0: usize, x: &[f32]) {
        assert!(column < self.shape.columns && k0 + x.len() <= self.shape.k);
        if let Some(floats) = &self.floats {
            assert!(k0.is_multiple_of(LANES), "activations come in pieces");
            let (mut start, stride) = self.shape.place(column, k0);
            let (pieces, rest) = x.as_chunks::<LANES>();
            for piece in pieces {
                // SAFETY: the caller promises that no other thread writes these elements.
                unsafe { floats.part(start, LANES) }.copy_from_slice(piece);
                start += stride;
            }
            if !rest.is_empty() {
                // SAFETY: as above.
                unsafe { floats.part(start, rest.len()) }.copy_from_slice(rest);
            }
        }
        let Some(coded) = &self.coded else { return };
        let (runs, rest) = x.as_chunks();
        assert!(k0.is_multiple_of(RUN) && rest.is_empty(), "activations come in runs");
        let run = k0 / RUN;
        match coded {
            CodedWriter::Bf16x3(to) => self.backend.dispatch(Cut { to, column, run, runs }),
            CodedWriter::Bits8(to) => self.backend.dispatch(Round { to, column, run, runs }),
        }
    }
}
