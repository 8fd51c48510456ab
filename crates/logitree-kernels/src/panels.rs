//! Batches of activation vectors, in the forms that products take.

use crate::buffer::Buffer;
use crate::micro::GROUP;
use crate::pack::RUN;
use crate::pieces::{Cut, PieceWriter, Pieces};
use crate::rounded::{Round, Rounded, RoundedWriter};
use crate::simd::LANES;
use crate::team::Parts;
use crate::{Arithmetic, Backend, Compute, PackedMatrix};

/// A batch of activation vectors, `[columns][k]`: for products in f32, in the [`Arithmetic`] of a [`Compute`], or both.
#[derive(Default)]
pub struct Panels {
    pub(crate) shape: Shape,
    backend: Backend,
    /// `[group][k / 16][columns of the group][16]`: groups of neighbouring columns, as the micro-kernel takes them, and written
    /// in whole cache lines.
    floats: Buffer,
    coded: Option<Coded>,
    /// Which of the two have a content.
    holds_floats: bool,
    holds_coded: bool,
}

/// Activations as other numbers.
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

/// How columns are grouped: the first `wider` groups have one column more than the others.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) columns: usize,
    pub(crate) k: usize,
    pub(crate) groups: usize,
    width: usize,
    wider: usize,
}

impl Shape {
    pub(crate) fn new(columns: usize, k: usize, most: usize) -> Shape {
        let groups = columns.div_ceil(most);
        let (width, wider) = columns.checked_div(groups).map_or((0, 0), |width| (width, columns % groups));
        Shape { columns, k, groups, width, wider }
    }

    /// First column and width of a group.
    pub(crate) fn group(&self, g: usize) -> (usize, usize) {
        (g * self.width + g.min(self.wider), self.width + usize::from(g < self.wider))
    }

    /// The group of a column.
    pub(crate) fn index_of(&self, column: usize) -> usize {
        let wide = self.wider * (self.width + 1);
        if column < wide { column / (self.width + 1) } else { (column - self.wider) / self.width }
    }

    /// First column and width of a column's group.
    pub(crate) fn group_of(&self, column: usize) -> (usize, usize) {
        self.group(self.index_of(column))
    }

    /// Elements for which a column has place.
    pub(crate) fn padded(&self) -> usize {
        self.k.next_multiple_of(LANES)
    }

    /// Where 16 elements of a column from `k0` on lie, a multiple of 16, and how far apart such pieces are.
    fn place(&self, column: usize, k0: usize) -> (usize, usize) {
        let (first, width) = self.group_of(column);
        (first * self.padded() + k0 * width + (column - first) * LANES, width * LANES)
    }
}

impl Panels {
    /// Takes this shape, keeping allocations, for products of `compute` with these matrices; in f32 if there are none. The content
    /// is unspecified.
    ///
    /// # Panics
    /// If a matrix has not `k` columns.
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
    /// If there is no such column or `x` has not `k` elements.
    pub fn set(&mut self, column: usize, x: &[f32]) {
        assert_eq!(x.len(), self.shape.k, "length of an activation vector");
        let writer = self.writer();
        // SAFETY: `self` is borrowed exclusively and only one column is written.
        unsafe { writer.set(column, 0, x) };
    }

    /// Copies one activation vector out, `[k]`.
    ///
    /// # Panics
    /// If they are not for products in f32.
    pub fn get(&self, column: usize, x: &mut [f32]) {
        assert!(column < self.shape.columns && x.len() == self.shape.k);
        let (start, stride) = self.shape.place(column, 0);
        for (x, piece) in x.chunks_mut(LANES).zip(self.floats()[start..].chunks(stride)) {
            x.copy_from_slice(&piece[..x.len()]);
        }
    }

    /// For products in f32.
    pub(crate) fn floats(&self) -> &[f32] {
        assert!(self.holds_floats, "activations for products in f32");
        &self.floats
    }

    /// For products in another arithmetic, if there are any.
    pub(crate) fn coded(&self) -> Option<&Coded> {
        self.coded.as_ref().filter(|_| self.holds_coded)
    }

    /// For several threads writing different columns.
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

    /// # Panics
    /// If they are not for products of `compute` with this matrix.
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
    /// Sets elements `k0 .. k0 + x.len()` of a column: both multiples of 32 where `k` is.
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
                // SAFETY: the caller keeps elements apart.
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
