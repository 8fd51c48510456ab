//! Products of packed matrices with a batch of activation vectors.
//!
//! ```text
//! for strip of T tiles (16 T rows):            handed out to threads
//!   for block of k that fits L1:
//!     de-quantise the block into f32           paid once per batch
//!     for group of C columns:
//!       acc[C][T] += weights[k][T] · x[k][C]   C · T registers, k in order
//! ```
//!
//! Tricks: (1) rows in lanes, so no lane is wasted on a narrow batch and no sum is horizontal;
//! (2) activations packed `[k][C]`, so the inner loop reads two streams; (3) a narrow batch takes
//! more tiles at once, to keep enough independent chains in flight; (4) accumulators pass through
//! memory between blocks unrounded, so blocking does not change the sum; (5) the next block's packed bytes
//! are prefetched during the products, or de-quantising would wait for memory.

use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::{Parts, PerThread, Team};
use crate::{Backend, PackedMatrix};

/// f32 values of the de-quantised block kept in L1: 16 KiB.
const BLOCK: usize = 4096;
/// Most tiles taken at once.
const MAX_TILES: usize = 8;

/// Threads, instruction set and scratch memory for running kernels.
pub struct Compute {
    pub(crate) team: Team,
    pub(crate) backend: Backend,
    pub(crate) scratch: PerThread<Scratch>,
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// De-quantised block, `[tile][k][16]`.
    pub(crate) weights: Vec<Lanes<f32>>,
    /// Accumulators of a strip, `[column][16 · tiles]`.
    pub(crate) acc: Vec<f32>,
    /// Whatever else a kernel needs.
    pub(crate) work: Vec<f32>,
    /// More of it.
    pub(crate) more: Vec<f32>,
}

/// Grows a buffer to `len` elements without clearing what is there.
pub(crate) fn at_least<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

impl Compute {
    /// Runs on the given backend with a team of `threads`.
    pub fn new(backend: Backend, threads: usize) -> Compute {
        Compute::with_team(backend, Team::new(threads))
    }

    /// Runs on the fastest backend with all cores.
    pub fn detect() -> Compute {
        Compute::with_team(Backend::detect(), Team::all_cores())
    }

    fn with_team(backend: Backend, team: Team) -> Compute {
        let scratch = PerThread::new(team.threads(), |_| Scratch::default());
        Compute { team, backend, scratch }
    }

    /// The instruction set in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Number of threads in use.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }
}

/// A batch of activation vectors, `[columns][k]`, packed for the micro-kernel in groups of
/// neighbouring columns: `[group][k][columns of the group]`.
#[derive(Default)]
pub struct Panels {
    columns: usize,
    k: usize,
    groups: usize,
    data: Vec<f32>,
}

impl Panels {
    /// Takes this shape, keeping the allocation. The content is unspecified.
    pub fn reset(&mut self, compute: &Compute, columns: usize, k: usize) {
        *self = Panels {
            columns,
            k,
            groups: columns.div_ceil(compute.backend.cols()),
            data: std::mem::take(&mut self.data),
        };
        at_least(&mut self.data, columns * k);
    }

    /// Number of activation vectors.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// First column and width of a group; the first groups are one wider if it must be.
    fn group(&self, g: usize) -> (usize, usize) {
        let (width, wider) = (self.columns / self.groups, self.columns % self.groups);
        (g * width + g.min(wider), width + usize::from(g < wider))
    }

    fn group_of(&self, column: usize) -> (usize, usize) {
        let (width, wider) = (self.columns / self.groups, self.columns % self.groups);
        let g = if column < wider * (width + 1) { column / (width + 1) } else { (column - wider) / width };
        self.group(g)
    }

    /// Sets one activation vector, `[k]`.
    pub fn set(&mut self, column: usize, x: &[f32]) {
        let writer = self.writer();
        // SAFETY: `self` is borrowed exclusively and only one column is written.
        unsafe { writer.set(column, 0, x) };
    }

    /// Copies one activation vector out, `[k]`.
    pub fn get(&self, column: usize, x: &mut [f32]) {
        assert!(column < self.columns && x.len() == self.k);
        let (first, width) = self.group_of(column);
        let group = &self.data[first * self.k..][..width * self.k];
        for (x, row) in x.iter_mut().zip(group.chunks_exact(width)) {
            *x = row[column - first];
        }
    }

    /// For several threads writing different columns.
    pub(crate) fn writer(&mut self) -> PanelWriter<'_> {
        let shape = Panels { columns: self.columns, k: self.k, groups: self.groups, data: Vec::new() };
        PanelWriter { shape, data: Parts::new(&mut self.data) }
    }

    fn group_data(&self, g: usize) -> (&[f32], usize, usize) {
        let (first, width) = self.group(g);
        (&self.data[first * self.k..][..width * self.k], first, width)
    }
}

/// Writes columns of [`Panels`].
pub(crate) struct PanelWriter<'a> {
    shape: Panels,
    data: Parts<'a, f32>,
}

impl PanelWriter<'_> {
    /// Sets elements `k0 .. k0 + x.len()` of a column.
    ///
    /// # Safety
    /// No two threads may write the same elements at the same time.
    pub(crate) unsafe fn set(&self, column: usize, k0: usize, x: &[f32]) {
        assert!(column < self.shape.columns && k0 + x.len() <= self.shape.k);
        let (first, width) = self.shape.group_of(column);
        let start = first * self.shape.k + k0 * width + (column - first);
        for (i, &x) in x.iter().enumerate() {
            // SAFETY: element by element, since columns of a group interleave; the caller keeps them apart.
            unsafe { self.data.part(start + i * width, 1)[0] = x };
        }
    }
}

/// One product: `out[column][row] = Σ_k matrix[row][k] · x[column][k]`.
pub struct Product<'a> {
    /// The weights.
    pub matrix: &'a PackedMatrix,
    /// `[columns][rows]`.
    pub out: &'a mut [f32],
}

/// Multiplies several matrices with the same activations.
///
/// # Panics
/// If shapes do not match.
pub fn matmul(compute: &mut Compute, x: &Panels, products: &mut [Product<'_>]) {
    if x.columns == 0 {
        return;
    }
    let backend = compute.backend;
    let strip = backend.dispatch(StripTiles { columns: x.columns });
    let targets: Vec<(&PackedMatrix, Parts<'_, f32>)> = products
        .iter_mut()
        .map(|p| {
            assert_eq!(p.out.len(), x.columns * p.matrix.rows(), "output of a matrix product");
            (p.matrix, Parts::new(p.out))
        })
        .collect();
    let strips: Vec<(usize, usize)> =
        (0..targets.len()).flat_map(|p| (0..targets[p].0.tiles()).step_by(strip).map(move |tile| (p, tile))).collect();
    let scratch = &compute.scratch;
    compute.team.each(strips.len(), |thread, i| {
        let (p, tile) = strips[i];
        let (matrix, out) = targets[p];
        let tiles = strip.min(matrix.tiles() - tile);
        // SAFETY: `thread` is this thread's own index.
        let scratch = unsafe { scratch.get(thread) };
        backend.dispatch(Strip { matrix, x, tile, tiles, weights: &mut scratch.weights, acc: &mut scratch.acc });
        let first = tile * LANES;
        let rows = (tiles * LANES).min(matrix.rows() - first);
        for (column, acc) in scratch.acc.chunks_exact(tiles * LANES).take(x.columns).enumerate() {
            // SAFETY: strips cover disjoint rows.
            unsafe { out.part(column * matrix.rows() + first, rows) }.copy_from_slice(&acc[..rows]);
        }
    });
}

/// Tiles per strip for a batch of this width.
pub(crate) struct StripTiles {
    pub(crate) columns: usize,
}

impl Task for StripTiles {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        // Enough chains to hide the latency of an FMA, within the register file.
        match self.columns {
            1 | 2 => (4 * S::TILES).min(MAX_TILES),
            3..=5 => 2 * S::TILES,
            _ => S::TILES,
        }
    }
}

/// Computes `tiles` tiles for all columns into `acc`, `[column][16 · tiles]`.
pub(crate) struct Strip<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) x: &'a Panels,
    pub(crate) tile: usize,
    pub(crate) tiles: usize,
    pub(crate) weights: &'a mut Vec<Lanes<f32>>,
    pub(crate) acc: &'a mut Vec<f32>,
}

impl Task for Strip<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Strip { matrix, x, tile, tiles, weights, acc } = self;
        assert_eq!(matrix.cols(), x.k, "inner dimension of a matrix product");
        let weights = at_least(weights, BLOCK / LANES);
        let acc = at_least(acc, x.columns * tiles * LANES);
        acc.fill(0.0);
        let block = BLOCK / (LANES * tiles.next_power_of_two());
        for k0 in (0..x.k).step_by(block) {
            let k = block.min(x.k - k0);
            for t in 0..tiles {
                matrix.decode(s, tile + t, k0, &mut weights[t * k..(t + 1) * k]);
            }
            // What is de-quantised next: this strip's next block, or the next strip's first.
            let (next_tile, next_k) = if k0 + k < x.k { (tile, k0 + k) } else { (tile + tiles, 0) };
            for g in 0..x.groups {
                // Its bytes are fetched while this block is multiplied, a share before each group.
                for t in 0..tiles {
                    let bytes = matrix.packed(next_tile + t, next_k, block);
                    let (from, to) = (bytes.len() * g / x.groups, bytes.len() * (g + 1) / x.groups);
                    bytes[from..to].iter().step_by(64).for_each(|b| s.prefetch(b));
                }
                let (data, first, width) = x.group_data(g);
                micro(
                    s,
                    tiles,
                    width,
                    Streams {
                        weights: &weights[..tiles * k],
                        x: &data[k0 * width..(k0 + k) * width],
                        k,
                        acc: &mut acc[first * tiles * LANES..(first + width) * tiles * LANES],
                    },
                );
            }
        }
    }
}

/// Operands of the micro-kernel: weights `[T][k][16]`, activations `[k][C]`, accumulators `[C][T][16]`.
struct Streams<'a> {
    weights: &'a [Lanes<f32>],
    x: &'a [f32],
    k: usize,
    acc: &'a mut [f32],
}

struct Micro<'a, const T: usize, const C: usize>(Streams<'a>);

impl<const T: usize, const C: usize> Task for Micro<'_, T, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Streams { weights, x, k, acc } = self.0;
        assert!(weights.len() == T * k && x.len() == k * C && acc.len() == C * T * LANES);
        let memory = acc.as_chunks_mut::<LANES>().0;
        let mut acc = [[s.splat(0.0); T]; C];
        for c in 0..C {
            for t in 0..T {
                acc[c][t] = s.load(&memory[c * T + t]);
            }
        }
        for i in 0..k {
            let mut w = [s.splat(0.0); T];
            for t in 0..T {
                // SAFETY: i < k and t < T, and the slice has T · k elements.
                w[t] = s.load(unsafe { weights.get_unchecked(t * k + i) });
            }
            for c in 0..C {
                // SAFETY: i < k and c < C, and the slice has k · C elements.
                let x = s.splat(unsafe { *x.get_unchecked(i * C + c) });
                for t in 0..T {
                    acc[c][t] = s.fma(w[t], x, acc[c][t]);
                }
            }
        }
        for c in 0..C {
            for t in 0..T {
                s.store(&mut memory[c * T + t], acc[c][t]);
            }
        }
    }
}

/// Runs the micro-kernel for `tiles` × `columns`.
#[inline(always)]
fn micro<S: Simd>(s: S, tiles: usize, columns: usize, streams: Streams<'_>) {
    macro_rules! pick {
        ($($t:literal: $($c:literal)+;)+) => {
            match (tiles, columns) {
                $($(($t, $c) => s.vectorize(Micro::<$t, $c>(streams)),)+)+
                _ => odd_tiles(s, tiles, columns, streams),
            }
        };
    }
    pick! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        4: 1 2 3 4 5;
        8: 1 2;
    }
}

/// The last strip of a matrix may hold 3, 5, 6 or 7 tiles: one at a time.
fn odd_tiles<S: Simd>(s: S, tiles: usize, columns: usize, streams: Streams<'_>) {
    let Streams { weights, x, k, acc } = streams;
    let mut one = [0.0; 12 * LANES];
    for t in 0..tiles {
        for c in 0..columns {
            one[c * LANES..][..LANES].copy_from_slice(&acc[(c * tiles + t) * LANES..][..LANES]);
        }
        let acc_t = &mut one[..columns * LANES];
        micro(s, 1, columns, Streams { weights: &weights[t * k..(t + 1) * k], x, k, acc: acc_t });
        for c in 0..columns {
            acc[(c * tiles + t) * LANES..][..LANES].copy_from_slice(&one[c * LANES..][..LANES]);
        }
    }
}
