//! Products of packed matrices with a batch of activation vectors.
//!
//! ```text
//! for strip of T tiles (16 T rows):            handed out to threads
//!   for block of k that fits the second cache:
//!     de-quantise the block into f32           paid once per batch
//!     for group of C columns:
//!       acc[C][T] += weights[k][T] · x[k][C]   C · T registers, k in order
//! ```
//!
//! Tricks: (1) rows in lanes, so no lane is wasted on a narrow batch and no sum is horizontal;
//! (2) activations packed as `[k / 16][C][16]`, so the inner loop reads them as one stream and writers fill
//! whole cache lines; (3) T and C chosen for few loads per multiply-add: a neighbour on the same core takes
//! load slots, not arithmetic; (4) accumulators pass through memory between blocks unrounded, so blocking does
//! not change the sum; (5) the last block stores straight into the output; (6) the next block's bytes are
//! fetched during the products, a line per turn of the loop, or de-quantising would wait for memory.

use crate::buffer::Buffer;
use crate::micro::{Micro, NARROW, Place, Sums};
use crate::pack::{Decode, RUN};
use crate::panels::{Coded, Panels};
use crate::pieces::{PieceStrip, Registers};
use crate::rounded::RoundedStrip;
use crate::simd::{LANES, Simd, Task};
use crate::strips::{TileRange, first_bytes, first_of, shares};
use crate::team::{Parts, PerThread, Team};
use crate::{Arithmetic, Backend, PackedMatrix};

/// f32 values of a de-quantised block: 80 KiB, most of it in the second cache. Blocks that fit the first one are slower, because sums
/// pass through memory between blocks.
const BLOCK: usize = 20480;
/// The same for unquantised weights: the next block's bytes, which are fetched meanwhile, are many, and both should fit the first cache.
const UNQUANTISED: usize = 4096;

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

/// Multiplies several matrices with the same activations. The first weights of `then`, which are multiplied next, are
/// fetched at the end: what comes between takes long enough for them to arrive.
///
/// # Panics
/// If shapes do not match.
pub fn matmul(compute: &mut Compute, x: &Panels, products: &mut [Product<'_>], then: &[&PackedMatrix]) {
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
    let threads = compute.threads();
    let (work, ends) = shares(&matrices, compute.arithmetic(), most, threads);
    let scratch = &compute.scratch;
    compute.team.each_with(
        &ends,
        || Registers::new(backend),
        |registers, thread, i| {
            let (p, tiles) = work[i];
            let (matrix, out) = targets[p];
            let next = match ends.iter().position(|&end| end == i + 1) {
                Some(thread) => first_of(then, most, thread, threads),
                None => work.get(i + 1).map(|work| work.1),
            };
            // SAFETY: `thread` is this thread's own index.
            let scratch = unsafe { scratch.get(thread) };
            let (weights, acc) = (&mut scratch.weights, &mut scratch.acc);
            let (first, size, stride) = (tiles.first * LANES, tiles.count * LANES, matrix.rows());
            let strip = Strip { tiles, next, x, registers, weights, acc };
            if first + size <= stride {
                // SAFETY: strips cover disjoint rows.
                unsafe { strip.run_into(backend, out, first, stride) };
                return;
            }
            // The last tile is padded: only real rows may leave.
            strip.run(backend);
            for (column, acc) in scratch.acc.chunks_exact(size).take(columns).enumerate() {
                // SAFETY: strips cover disjoint rows.
                let out = unsafe { out.part(column * stride + first, stride - first) };
                out.copy_from_slice(&acc[..out.len()]);
            }
        },
    );
}

/// Computes tiles for all columns.
pub(crate) struct Strip<'a> {
    pub(crate) tiles: TileRange<'a>,
    /// Those whose weights are to be fetched meanwhile.
    pub(crate) next: Option<TileRange<'a>>,
    pub(crate) x: &'a Panels,
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
        let matrix = self.tiles.matrix;
        match (self.x.coded(), matrix.form()) {
            (Some(Coded::Bits8(x)), Some(form)) => backend.dispatch(RoundedStrip { x, form, out, strip: self }),
            (Some(Coded::Bf16x3(x)), _) if matrix.multiplies_in(Arithmetic::Bf16x3) => {
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
        let Strip { tiles: here, next, x, weights, acc, .. } = self.strip;
        let TileRange { matrix, first: tile, count: tiles } = here;
        let shape = x.shape;
        let floats = x.floats();
        let size = tiles * LANES;
        let acc = acc.at_least(shape.columns * size);
        if shape.columns <= NARROW {
            let sums = Sums { resume: false, memory: acc, out: self.out };
            let x = &floats[..shape.columns * shape.padded()];
            return Decode { matrix, tile, k0: 0, k: shape.k, x, sums, weights: &mut [] }.run(s, tiles, shape.columns);
        }
        let weights = weights.at_least(BLOCK).as_chunks_mut::<LANES>().0;
        // Blocks of about the same length.
        let most = if matrix.is_quantised() { BLOCK } else { UNQUANTISED };
        let block = shape.k.div_ceil(shape.k.div_ceil(most / size)).next_multiple_of(RUN);
        for k0 in (0..shape.k).step_by(block) {
            let k = block.min(shape.k - k0);
            let last = k0 + k == shape.k;
            for (t, weights) in weights[..tiles * k].chunks_exact_mut(k).enumerate() {
                Decode::into(matrix, tile + t, k0, weights).run(s, 1, 0);
            }
            // What is needed next: this strip's next block or the next strip's first. The groups share it out.
            let ahead = if last { first_bytes(next, block) } else { here.bytes(k0 + k, block) };
            let pieces = ahead.iter().take_while(|piece| !piece.is_empty()).count();
            let share = pieces.div_ceil(shape.groups).next_power_of_two();
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let sums = Sums {
                    resume: k0 > 0,
                    memory: &mut acc[first * size..(first + width) * size],
                    out: self.out.filter(|_| last).map(|(out, start, stride)| (out, start + first * stride, stride)),
                };
                let x = &floats[first * shape.padded() + k0 * width..][..k.next_multiple_of(LANES) * width];
                let ahead = ahead[..pieces].get(g * share..(g + 1) * share).unwrap_or_default();
                Micro { weights: &weights[..tiles * k], x, k, ahead, sums }.run(s, tiles, width);
            }
        }
    }
}
