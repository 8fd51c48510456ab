//! Products of packed matrices with a batch of activation vectors.
//!
//! ```text
//! for strip of T tiles (16 T rows):            handed out to threads
//!   for block of k that fits the second cache:
//!     de-quantise the block into f32           paid once per batch
//!     for group of C columns:
//!       for part of the block:
//!         acc[C][T] = Σ weights[k][T] · x[k][C]   C · T registers, k in order; added to the parts before
//! ```
//!
//! 1. Lanes are rows, so no lane is wasted on a narrow batch and no sum is horizontal.
//! 2. Activations are packed as `[k / 16][C][16]`, so the inner loop reads them as one stream and writers fill
//!    whole cache lines.
//! 3. T and C are chosen for few loads per multiply-add, because a neighbour on the same core takes load slots rather
//!    than arithmetic.
//! 4. Each element is a sum of sums over parts of a row, which are the same for every T, C and width ([`part`]).
//! 5. The last block stores its sums straight into the output.
//! 6. While one block is multiplied, the packed bytes of the next are prefetched, a line per turn of the loop.
//!    Otherwise de-quantising would wait for memory.
//!
//! A batch of up to [`NARROW`] columns uses each weight so rarely that blocks do not pay: there, weights go from packed
//! bytes into products without passing through memory, in the same order.

use crate::micro::{Before, Micro, NARROW, Place, Sums};
use crate::pack::{Decode, RUN};
use crate::panels::{Coded, Panels};
use crate::pieces::{PieceStrip, Registers};
use crate::rounded::RoundedStrip;
use crate::simd::{LANES, Simd, Task};
use crate::strips::{Strip, TileRange, first_bytes, first_of, shares};
use crate::team::Parts;
use crate::{Arithmetic, Backend, Compute, PackedMatrix};

/// f32 values of a de-quantised block: 80 KiB, most of which lie in the second cache. Blocks that fit the first cache
/// are slower, because sums would pass through memory more often.
const BLOCK: usize = 20480;
/// f32 values of a block of unquantised weights. Its packed form is large, and the block and the packed bytes of the
/// next one, which are prefetched meanwhile, should fit the first cache together.
const UNQUANTISED: usize = 4096;

/// Most columns whose products are one chain of multiply-adds. The sums of such parts of a row are added in order. So
/// rounding errors do not grow with the length of a row, and the order does not depend on how a backend forms its blocks:
/// with four tiles a block is a part, with fewer tiles it is several.
const PART: usize = 320;
/// [`PART`] of unquantised weights.
const UNQUANTISED_PART: usize = 64;

/// One product: `out[column][row] = Σ_k matrix[row][k] · x[column][k]`.
pub struct Product<'a> {
    /// The weights.
    pub matrix: &'a PackedMatrix,
    /// `[columns][rows]`.
    pub out: &'a mut [f32],
}

/// Multiplies several matrices with the same activations.
///
/// Before it returns, it prefetches the first weights of `then`, the matrices of the next call: attention or a norm
/// runs in between, which hides the latency.
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
            // This strip ends with the matrix's last tile, whose padding rows must not reach the output.
            strip.run(backend);
            for (column, acc) in scratch.acc.chunks_exact(size).take(columns).enumerate() {
                // SAFETY: strips cover disjoint rows.
                let out = unsafe { out.part(column * stride + first, stride - first) };
                out.copy_from_slice(&acc[..out.len()]);
            }
        },
    );
}

impl Strip<'_> {
    /// Computes the strip into `acc`, `[column][16 · tiles]`.
    pub(crate) fn run(self, backend: Backend) {
        self.dispatch(backend, None);
    }

    /// Computes the strip into `out[column · stride + start ..][.. 16 · tiles]`, with `acc` as scratch memory.
    ///
    /// # Safety
    /// No other thread may touch these elements.
    pub(crate) unsafe fn run_into(self, backend: Backend, out: Parts<'_, f32>, start: usize, stride: usize) {
        self.dispatch(backend, Some((out, start, stride)));
    }

    fn dispatch(self, backend: Backend, out: Option<Place<'_>>) {
        let matrix = self.tiles.matrix;
        match (self.x.coded(), matrix.form()) {
            (Some(Coded::Bits8(x)), Some(form)) => {
                let unit = backend.dot_unit().expect("`Compute::with` refuses this arithmetic without it");
                unit.dispatch(RoundedStrip { x, form, out, strip: self });
            }
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

/// A [`Strip`] in f32.
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
        let part = part(matrix, shape.k);
        if shape.columns <= NARROW {
            let before = if part < shape.k { Before::Add } else { Before::Nothing };
            let sums = Sums { before, memory: acc, out: self.out };
            let x = &floats[..shape.columns * shape.padded()];
            let narrow = Decode { matrix, tile, k0: 0, k: shape.k, part, x, sums, weights: &mut [] };
            return narrow.run(s, tiles, shape.columns);
        }
        let weights = weights.at_least(BLOCK).as_chunks_mut::<LANES>().0;
        // All blocks get about the same length, so that none is too short to be worth its start.
        let most = if matrix.is_quantised() { BLOCK } else { UNQUANTISED };
        let (parts, most) = (shape.k.div_ceil(part), most / size / part);
        let block = part * parts.div_ceil(parts.div_ceil(most));
        for k0 in (0..shape.k).step_by(block) {
            let k = block.min(shape.k - k0);
            for (t, weights) in weights[..tiles * k].chunks_exact_mut(k).enumerate() {
                Decode::into(matrix, tile + t, k0, weights).run(s, 1, 0);
            }
            // The next weights are prefetched: this strip's next block, or the first block of the next strip. Each
            // group of columns fetches its share of the tiles.
            let end = k0 + k == shape.k;
            let ahead = if end { first_bytes(next, block) } else { here.bytes(k0 + k, block) };
            let pieces = ahead.iter().take_while(|piece| !piece.is_empty()).count();
            let share = pieces.div_ceil(shape.groups).next_power_of_two();
            for g in 0..shape.groups {
                let (first, width) = shape.group(g);
                let x = &floats[first * shape.padded() + k0 * width..][..k.next_multiple_of(LANES) * width];
                let ahead = ahead[..pieces].get(g * share..(g + 1) * share).unwrap_or_default();
                for at in (0..k).step_by(part) {
                    let n = part.min(k - at);
                    let last = end && at + n == k;
                    let sums = Sums {
                        before: if k0 + at > 0 { Before::Add } else { Before::Nothing },
                        memory: &mut acc[first * size..(first + width) * size],
                        out: self
                            .out
                            .filter(|_| last)
                            .map(|(out, start, stride)| (out, start + first * stride, stride)),
                    };
                    let mut lines = [&[][..]; 4];
                    for (lines, piece) in lines.iter_mut().zip(ahead) {
                        *lines = &piece[piece.len() * at / k..piece.len() * (at + n) / k];
                    }
                    let x = &x[at * width..][..n.next_multiple_of(LANES) * width];
                    let weights = &weights[at..tiles * k];
                    Micro { weights, stride: k, x, k: n, ahead: &lines[..ahead.len()], sums }.run(s, tiles, width);
                }
            }
        }
    }
}

/// Columns of a part of a row that has a sum of its own. All parts get about the same length, so that none is too short
/// to be worth its start.
pub(crate) fn part(matrix: &PackedMatrix, columns: usize) -> usize {
    let most = if matrix.is_quantised() { PART } else { UNQUANTISED_PART };
    columns.div_ceil(columns.div_ceil(most)).next_multiple_of(RUN)
}
