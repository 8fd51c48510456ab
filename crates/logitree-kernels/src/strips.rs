//! Which tiles are computed together, and by whom.

use crate::{Arithmetic, PackedMatrix};

/// Neighbouring tiles of a matrix, computed together.
#[derive(Clone, Copy)]
pub(crate) struct TileRange<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> TileRange<'a> {
    /// As many after them, as far as there are any.
    pub(crate) fn neighbours(self) -> Option<TileRange<'a>> {
        let first = self.first + self.count;
        let count = self.count.min(self.matrix.tiles() - first);
        (count > 0).then_some(TileRange { first, count, ..self })
    }

    /// Packed bytes of columns `k0 .. k0 + k`, as far as they exist, of up to four tiles.
    pub(crate) fn bytes(self, k0: usize, k: usize) -> [&'a [u8]; 4] {
        let span = self.matrix.span(k0, k);
        let mut bytes: [&[u8]; 4] = [&[]; 4];
        for (bytes, tile) in bytes.iter_mut().zip(self.first..self.first + self.count) {
            *bytes = &self.matrix.tile(tile)[span.clone()];
        }
        bytes
    }
}

/// Packed bytes of the first `k` columns of each tile.
pub(crate) fn first_bytes(tiles: Option<TileRange<'_>>, k: usize) -> [&[u8]; 4] {
    tiles.map_or([&[]; 4], |tiles| tiles.bytes(0, k))
}

/// Cuts all tiles of these matrices into strips, with the index of their matrix: for each thread as many tiles as for the
/// others, as near as strips allow; and where each thread's strips end.
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
            // A strip smaller than a step would take as long.
            let left = left.next_multiple_of(sizes.step());
            for tiles in strips(matrix, tile, left.min(matrix.tiles() - tile), sizes) {
                work.push((p, tiles));
                ends[(before + tiles.first) * threads / all] = work.len();
            }
            tile = (tile + left).min(matrix.tiles());
        }
        before += matrix.tiles();
    }
    // A thread without any ends where the one before it does.
    for i in 1..threads {
        ends[i] = ends[i].max(ends[i - 1]);
    }
    (work, ends)
}

/// About the first strip that [`shares`] gives a thread.
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

/// How many tiles a strip may have.
#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    /// So many, half as many, or one.
    Halves(usize),
    /// Any number up to this.
    UpTo(usize),
}

impl Sizes {
    pub(crate) fn of(matrix: &PackedMatrix, arithmetic: Arithmetic, most: usize) -> Sizes {
        match arithmetic {
            Arithmetic::Bf16x3 if matrix.multiplies_in(arithmetic) => Sizes::UpTo(most),
            _ => Sizes::Halves(most),
        }
    }

    /// The smallest that is about as fast, tile by tile, as the largest.
    fn step(self) -> usize {
        match self {
            Sizes::Halves(most) => most.div_ceil(2),
            Sizes::UpTo(_) => 1,
        }
    }
}

/// Cuts tiles `first .. first + count` into strips: of about the same size, or as large as possible.
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
