//! Products of packed matrices with a batch of activation vectors.
//!
//! ```text
//! for strip of T tiles (16 T rows):            handed out to threads
//!   for block of k that fits the cache:
//!     de-quantise the block into f32           paid once per batch
//!     for group of C columns:
//!       acc[C][T] += weights[k][T] · x[k][C]   C · T registers, k in order
//! ```
//!
//! Tricks: (1) rows in lanes, so no lane is wasted on a narrow batch and no sum is horizontal;
//! (2) activations packed as `[k][C]`, so the inner loop reads them as one stream; (3) T and C chosen for
//! few loads per multiply-add: a neighbour on the same core takes load slots, not arithmetic;
//! (4) accumulators pass through memory between blocks unrounded, so blocking does not change the sum;
//! (5) the last block stores straight into the output; (6) the next block's bytes are fetched during the
//! products, a line per turn of the loop, or de-quantising would wait for memory.

use crate::buffer::Buffer;
use crate::micro::{Micro, Place, Sums};
use crate::pack::{Decode, NARROW};
use crate::panels::{Coded, Panels};
use crate::pieces::{PieceStrip, Registers};
use crate::rounded::RoundedStrip;
use crate::simd::{LANES, Simd, Task};
use crate::team::{Parts, PerThread, Team};
use crate::{Arithmetic, Backend, PackedMatrix};

/// f32 values of the de-quantised block: 32 KiB.
const BLOCK: usize = 8192;

/// Threads, instruction set and scratch memory for running kernels.
pub struct Compute {
    pub(crate) team: Team,
    pub(crate) backend: Backend,
    pub(crate) scratch: PerThread<Scratch>,
    arithmetic: Arithmetic,
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// De-quantised block, `[tile][k][16]`.
    pub(crate) weights: Buffer,
    /// Accumulators of a strip, `[column][16 · tiles]`.
    pub(crate) acc: Buffer,
    /// Whatever else a kernel needs.
    pub(crate) work: Buffer,
    /// More of it.
    pub(crate) more: Buffer,
    /// Activations of a few columns, to be set.
    pub(crate) rows: Buffer,
}

impl Compute {
    /// Runs on the given backend with a team of `threads`, in f32.
    pub fn new(backend: Backend, threads: usize) -> Compute {
        Compute::with_team(backend, Team::new(threads))
    }

    /// Runs on the fastest backend with all cores, in its own arithmetic.
    pub fn detect() -> Compute {
        let backend = Backend::detect();
        let compute = Compute::with_team(backend, Team::all_cores());
        Compute { arithmetic: backend.arithmetic(), ..compute }
    }

    fn with_team(backend: Backend, team: Team) -> Compute {
        let scratch = PerThread::new(team.threads(), |_| Scratch::default());
        Compute { team, backend, scratch, arithmetic: Arithmetic::F32 }
    }

    /// Runs in this arithmetic; `None` for [`Arithmetic::Bits8`] without [`Backend::has_dots`].
    pub fn with(mut self, arithmetic: Arithmetic) -> Option<Compute> {
        self.arithmetic = arithmetic;
        (arithmetic != Arithmetic::Bits8 || self.backend.has_dots()).then_some(self)
    }

    /// Runs in f32.
    pub fn in_f32(self) -> Compute {
        Compute { arithmetic: Arithmetic::F32, ..self }
    }

    /// How activations enter products with weights that are not f32 or f16.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
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
    let columns = x.columns();
    if columns == 0 {
        return;
    }
    let backend = compute.backend;
    let most = backend.tiles(columns);
    let targets: Vec<(&PackedMatrix, Parts<'_, f32>)> = products
        .iter_mut()
        .map(|p| {
            assert_eq!(p.out.len(), columns * p.matrix.rows(), "output of a matrix product");
            x.check(compute, p.matrix);
            (p.matrix, Parts::new(p.out))
        })
        .collect();
    let matrices: Vec<&PackedMatrix> = targets.iter().map(|target| target.0).collect();
    let (work, ends) = shares(&matrices, compute.arithmetic(), most, compute.threads());
    let scratch = &compute.scratch;
    compute.team.each_with(
        &ends,
        || Registers::new(backend),
        |registers, thread, i| {
            let Work { matrix: p, tile, tiles } = work[i];
            let (matrix, out) = targets[p];
            // SAFETY: `thread` is this thread's own index.
            let scratch = unsafe { scratch.get(thread) };
            let (weights, acc) = (&mut scratch.weights, &mut scratch.acc);
            let (first, stride) = (tile * LANES, matrix.rows());
            let strip = Strip { matrix, x, tile, tiles, registers, weights, acc };
            if first + tiles * LANES <= stride {
                // SAFETY: strips cover disjoint rows.
                unsafe { strip.run_into(backend, out, first, stride) };
                return;
            }
            // The last tile is padded: only real rows may leave.
            strip.run(backend);
            for (column, acc) in scratch.acc.chunks_exact(tiles * LANES).take(columns).enumerate() {
                // SAFETY: strips cover disjoint rows.
                let out = unsafe { out.part(column * stride + first, stride - first) };
                out.copy_from_slice(&acc[..out.len()]);
            }
        },
    );
}

/// Neighbouring tiles of one of several matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Work {
    matrix: usize,
    tile: usize,
    tiles: usize,
}

/// Cuts all tiles of these matrices into strips, for each thread as many tiles as for the others, as near as strips allow; and
/// where each thread's strips end.
fn shares(matrices: &[&PackedMatrix], arithmetic: Arithmetic, most: usize, threads: usize) -> (Vec<Work>, Vec<usize>) {
    let all: usize = matrices.iter().map(|matrix| matrix.tiles()).sum();
    let mut work = Vec::with_capacity(all / most + matrices.len() + threads);
    let mut ends = vec![0; threads];
    let mut before = 0;
    for (p, matrix) in matrices.iter().enumerate() {
        let sizes = Sizes::of(matrix, arithmetic, most);
        let mut tile = 0;
        while tile < matrix.tiles() {
            // Strips of one size only are not cut where a thread's share ends: a smaller one would take as long.
            let thread = (before + tile) * threads / all;
            let left = match sizes {
                Sizes::UpTo(_) => ((thread + 1) * all).div_ceil(threads) - before - tile,
                Sizes::Only(_) => usize::MAX,
            };
            for (tile, tiles) in strips(tile, left.min(matrix.tiles() - tile), sizes) {
                work.push(Work { matrix: p, tile, tiles });
                ends[(before + tile) * threads / all] = work.len();
            }
            tile = tile.saturating_add(left).min(matrix.tiles());
        }
        before += matrix.tiles();
    }
    // A thread without any ends where the one before it does.
    for i in 1..threads {
        ends[i] = ends[i].max(ends[i - 1]);
    }
    (work, ends)
}

/// How many tiles a strip may have.
#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    /// So many, or one.
    Only(usize),
    /// Any number up to this.
    UpTo(usize),
}

impl Sizes {
    pub(crate) fn of(matrix: &PackedMatrix, arithmetic: Arithmetic, most: usize) -> Sizes {
        match arithmetic {
            Arithmetic::Bf16x3 if matrix.multiplies_in(arithmetic) => Sizes::UpTo(most),
            _ => Sizes::Only(most),
        }
    }
}

/// Cuts tiles `first .. first + count` into strips `(tile, tiles)`: of about the same size, or of the only one there is and what
/// remains at the end one by one.
pub(crate) fn strips(first: usize, count: usize, sizes: Sizes) -> impl Iterator<Item = (usize, usize)> {
    let end = first + count;
    let mut tile = first;
    std::iter::from_fn(move || {
        let left = end - tile;
        let tiles = match sizes {
            Sizes::Only(most) if left >= most => most,
            Sizes::Only(_) => left.min(1),
            Sizes::UpTo(most) => left.checked_div(left.div_ceil(most)).unwrap_or(0),
        };
        tile += tiles;
        (tiles > 0).then(|| (tile - tiles, tiles))
    })
}

impl Backend {
    /// Tiles per strip for a batch of this width.
    pub(crate) fn tiles(self, columns: usize) -> usize {
        struct Tiles(usize);
        impl Task for Tiles {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::tiles(self.0)
            }
        }
        self.dispatch(Tiles(columns))
    }
}

/// Computes `tiles` tiles, one or as many as [`Backend::tiles`] says, for all columns.
pub(crate) struct Strip<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) x: &'a Panels,
    pub(crate) tile: usize,
    pub(crate) tiles: usize,
    pub(crate) registers: &'a mut Registers,
    pub(crate) weights: &'a mut Buffer,
    pub(crate) acc: &'a mut Buffer,
}

impl Strip<'_> {
    /// Into `acc`, `[column][16 · tiles]`.
    pub(crate) fn run(self, backend: Backend) {
        self.dispatch(backend, None);
    }

    /// Into `out[column · stride + start ..][.. 16 · tiles]`; `acc` is only scratch.
    ///
    /// # Safety
    /// No other thread may touch these elements.
    pub(crate) unsafe fn run_into(self, backend: Backend, out: Parts<'_, f32>, start: usize, stride: usize) {
        self.dispatch(backend, Some((out, start, stride)));
    }

    fn dispatch(self, backend: Backend, out: Option<Place<'_>>) {
        match (self.x.coded(), self.matrix.form()) {
            (Some(Coded::Bits8(x)), Some(form)) => backend.dispatch(RoundedStrip { x, form, out, strip: self }),
            (Some(Coded::Bf16x3(x)), _) if self.matrix.multiplies_in(Arithmetic::Bf16x3) => {
                backend.dispatch(PieceStrip { x, out, strip: self });
            }
            _ => {
                self.registers.release();
                backend.dispatch(RunStrip { strip: self, out });
            }
        }
    }
}

/// See [`Strip`].
struct RunStrip<'a, 'b> {
    strip: Strip<'a>,
    out: Option<Place<'b>>,
}

impl Task for RunStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Strip { matrix, x, tile, tiles, weights, acc, .. } = self.strip;
        let shape = x.shape;
        let floats = x.floats();
        let size = tiles * LANES;
        let acc = acc.at_least(shape.columns * size);
        if shape.columns <= NARROW {
            let sums = Sums { resume: false, memory: acc, out: self.out };
            let x = &floats[..shape.columns * shape.k];
            return Decode { matrix, tile, k0: 0, k: shape.k, x, sums, weights: &mut [] }.run(s, tiles, shape.columns);
        }
        let weights = weights.at_least(BLOCK).as_chunks_mut::<LANES>().0;
        let block = BLOCK / size;
        for k0 in (0..shape.k).step_by(block) {
            let k = block.min(shape.k - k0);
            let last = k0 + k == shape.k;
            for (t, weights) in weights[..tiles * k].chunks_exact_mut(k).enumerate() {
                Decode::into(matrix, tile + t, k0, weights).run(s, 1, 0);
            }
            // What each tile needs next: this strip's next block or the next strip's first. The groups share it out.
            let (next, span) =
                if last { (tile + tiles, matrix.span(0, block)) } else { (tile, matrix.span(k0 + k, block)) };
            let share = if next < matrix.tiles() { tiles.div_ceil(shape.groups).next_power_of_two() } else { 0 };
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let sums = Sums {
                    resume: k0 > 0,
                    memory: &mut acc[first * size..(first + width) * size],
                    out: self.out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let x = &floats[first * shape.k + k0 * width..][..k * width];
                let mut ahead: [&[u8]; 4] = [&[]; 4];
                let ahead = if g * share < tiles { &mut ahead[..share] } else { &mut [] };
                for (t, piece) in (next + g * share..matrix.tiles()).zip(&mut *ahead) {
                    *piece = &matrix.tile(t)[span.clone()];
                }
                Micro { weights: &weights[..tiles * k], x, ahead, sums }.run(s, tiles, width);
            }
        }
    }
}
