//! How the columns of a batch are grouped.
//!
//! Kernels keep the sums of a group of neighbouring columns in registers, so a batch is cut into groups: as few as
//! possible, of about the same width. A batch of 13 columns in groups of up to 6 becomes 5 + 4 + 4.

use crate::simd::LANES;

/// The shape of a batch of activations, `[columns][k]`, and its groups of columns. The first `wider` groups have
/// `width + 1` columns and the others `width`.
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

    /// Elements for which a column has room: `k`, rounded up to whole vectors.
    pub(crate) fn padded(&self) -> usize {
        self.k.next_multiple_of(LANES)
    }

    /// Where the 16 elements of a column from `k0` on begin in `[group][k / 16][columns of the group][16]`, and the
    /// distance to the column's next 16. `k0` must be a multiple of 16.
    pub(crate) fn place(&self, column: usize, k0: usize) -> (usize, usize) {
        let (first, width) = self.group_of(column);
        (first * self.padded() + k0 * width + (column - first) * LANES, width * LANES)
    }
}
