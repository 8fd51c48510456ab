//! Which tiles are computed together, and by which thread.
//!
//! A strip is a few neighbouring tiles of a matrix, as many as the inner loop takes at once. It is the unit of work:
//! the strips of all matrices of a call form one list, of which each thread is given a run with about as many tiles as
//! the others'.

use crate::buffer::Buffer;
use crate::panels::Panels;
use crate::pieces::Registers;
use crate::{Arithmetic, PackedMatrix};

/// Neighbouring tiles of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct TileRange<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> TileRange<'a> {
    /// The next range of the same size, or what is left of the matrix. `None` at its end.
    pub(crate) fn neighbours(self) -> Option<TileRange<'a>> {
        let first = self.first + self.count;
        let count = self.count.min(self.matrix.tiles() - first);
        (count > 0).then_some(TileRange { first, count, ..self })
    }

    /// Packed bytes of columns `k0 .. k0 + k` of each tile, up to four tiles. Columns beyond the last are left out.
    pub(crate) fn bytes(self, k0: usize, k: usize) -> [&'a [u8]; 4] {
        let span = self.matrix.span(k0, k);
        let mut bytes: [&[u8]; 4] = [&[]; 4];
        for (bytes, tile) in bytes.iter_mut().zip(self.first..self.first + self.count) {
            *bytes = &self.matrix.tile(tile)[span.clone()];
        }
        bytes
    }
}

/// The products of a few tiles with all columns, and the memory they need.
pub(crate) struct Strip<'a> {
    pub(crate) tiles: TileRange<'a>,
    /// The tiles that this thread multiplies next: their weights are prefetched meanwhile.
    pub(crate) next: Option<TileRange<'a>>,
    pub(crate) x: &'a Panels,
    pub(crate) registers: &'a mut Registers,
    pub(crate) weights: &'a mut Buffer,
    pub(crate) acc: &'a mut Buffer,
}

/// Packed bytes of the first `k` columns of each tile.
pub(crate) fn first_bytes(tiles: Option<TileRange<'_>>, k: usize) -> [&[u8]; 4] {
    tiles.map_or([&[]; 4], |tiles| tiles.bytes(0, k))
}

/// Cuts all tiles of these matrices into strips. Returns the strips, each with the index of its matrix, and for each
/// thread where its run of strips ends. The runs have the same number of tiles, as nearly as the sizes of strips allow.
pub(crate) fn shares<'a>(
    matrices: &[&'a PackedMatrix],
    arithmetic: Arithmetic,
    most: usize,
    threads: usize,
) -> (Vec<(usize, TileRange<'a>)>, Vec<usize>) {
    let all: usize = matrices.iter().map(|matrix| matrix.tiles()).sum();
    let mut work = Vec::with_capacity(all / most + matrices.len() + threads);
    let mut ends = vec![0; threads];
    let mut before = 0;
    for (p, matrix) in matrices.iter().enumerate() {
        let sizes = Sizes::of(matrix, arithmetic, most);
        let mut tile = 0;
        while tile < matrix.tiles() {
            let thread = (before + tile) * threads / all;
            let left = ((thread + 1) * all).div_ceil(threads) - before - tile;
            // A smaller strip than a step would take as long as a step, so the thread gets the rest of the step too.
            let left = left.next_multiple_of(sizes.step());
            for tiles in strips(matrix, tile, left.min(matrix.tiles() - tile), sizes) {
                work.push((p, tiles));
                ends[(before + tiles.first) * threads / all] = work.len();
            }
            tile = (tile + left).min(matrix.tiles());
        }
        before += matrix.tiles();
    }
    // A thread without strips has an empty run, which ends where the run before it does.
    for i in 1..threads {
        ends[i] = ends[i].max(ends[i - 1]);
    }
    (work, ends)
}

/// The first strip that [`shares`] gives a thread, or one that overlaps it: this is only used to prefetch weights.
pub(crate) fn first_of<'a>(
    matrices: &[&'a PackedMatrix],
    most: usize,
    thread: usize,
    threads: usize,
) -> Option<TileRange<'a>> {
    let all: usize = matrices.iter().map(|matrix| matrix.tiles()).sum();
    let mut first = (thread * all).div_ceil(threads);
    for matrix in matrices {
        if first < matrix.tiles() {
            return Some(TileRange { matrix, first, count: most.min(matrix.tiles() - first) });
        }
        first -= matrix.tiles();
    }
    None
}

/// The numbers of tiles that a strip may have, given the largest.
#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    /// The strip has `n` tiles, `n / 2`, or 1.
    Halves(usize),
    /// The strip has any number of tiles up to `n`.
    UpTo(usize),
}

impl Sizes {
    pub(crate) fn of(matrix: &PackedMatrix, arithmetic: Arithmetic, most: usize) -> Sizes {
        match arithmetic {
            Arithmetic::Bf16x3 if matrix.multiplies_in(arithmetic) => Sizes::UpTo(most),
            _ => Sizes::Halves(most),
        }
    }

    /// The smallest number of tiles for which a tile takes about as little time as in the largest strip.
    fn step(self) -> usize {
        match self {
            Sizes::Halves(most) => most.div_ceil(2),
            Sizes::UpTo(_) => 1,
        }
    }
}

/// Cuts tiles `first .. first + count` into strips. With [`Sizes::UpTo`] they have about the same size, with
/// [`Sizes::Halves`] each is as large as it can be.
pub(crate) fn strips(
    matrix: &PackedMatrix,
    first: usize,
    count: usize,
    sizes: Sizes,
) -> impl Iterator<Item = TileRange<'_>> {
    let end = first + count;
    let mut first = first;
    std::iter::from_fn(move || {
        let left = end - first;
        let count = match sizes {
            Sizes::Halves(most) if left >= most => most,
            Sizes::Halves(most) if left >= most.div_ceil(2) => most.div_ceil(2),
            Sizes::Halves(_) => left.min(1),
            Sizes::UpTo(most) => left.checked_div(left.div_ceil(most)).unwrap_or(0),
        };
        let tiles = TileRange { matrix, first, count };
        first += count;
        (count > 0).then_some(tiles)
    })
}
