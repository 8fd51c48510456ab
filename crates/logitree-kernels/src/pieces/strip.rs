//! A strip of a matrix with activations in pieces.
//!
//! ```text
//! for block of runs of 32 columns:
//!   for chunk of groups of columns, for run of the block, for group:
//!     unpack the run's codes into bf16, unless a group before has done it
//!     products of the run with the group, added to sums[group]      `tiled.rs` with AMX, `Portable` without
//! copy the sums to the output
//! ```

use super::tiled::{Block, Tiled};
use super::{CHUNK, Group, PIECES, Pieces};
use crate::bf16::halves;
use crate::micro::Place;
use crate::pack::{Form, PAIRS, PackedMatrix, RUN};
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::strips::{Strip, TileRange, first_bytes};

/// f32 values of the unpacked block: 30 KiB.
const BLOCK: usize = 7616;

/// Unpacked runs of weights that are held at once where each run is used only once: the one that is multiplied, the one
/// before it, whose scales are still needed, and two that are being unpacked.
const RING: usize = 4;

/// f32 values of the products of four tiles with a group of 16 columns.
const PRODUCTS: usize = 4 * LANES * LANES;

/// A [`Strip`] of a matrix whose weights are bf16 numbers or codes.
pub(crate) struct PieceStrip<'a, 'b> {
    pub(crate) strip: Strip<'a>,
    pub(crate) x: &'a Pieces,
    pub(crate) out: Option<Place<'b>>,
}

impl Task for PieceStrip<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PieceStrip { strip: Strip { tiles: here, next, registers, weights, acc, .. }, x, out } = self;
        let TileRange { matrix, first: tile, count: tiles } = here;
        let shape = &x.shape;
        let size = tiles * LANES;
        // A group's sums are `[columns][tiles][16]` and one column more, which takes the results of the row too many
        // that narrower groups read (see `Pieces::rows`).
        let room = (shape.columns + shape.groups) * size;
        let (weights, rest) = weights.at_least(BLOCK + PRODUCTS + room).split_at_mut(BLOCK);
        let (products, sums) = rest.split_at_mut(PRODUCTS);
        let (weights, products) = (weights.as_chunks_mut::<LANES>().0, products.as_chunks_mut::<LANES>().0);
        let form = matrix.form();
        let mut registers = registers.shaped(form, shape);
        let record = form.map_or(PAIRS, |form| form.record(PAIRS));
        let all = shape.k / RUN;
        // Up to CHUNK groups are multiplied with a run one after the other, and then the run is not needed any more: a
        // ring of a few runs does, and the whole strip is one block. With more groups, a block of runs is kept for all
        // chunks.
        let once = shape.groups <= CHUNK && registers.is_some();
        let slots = if once { RING } else { BLOCK / LANES / (tiles * record) };
        let most = if once { all } else { slots };
        for run in (0..all).step_by(most) {
            let runs = most.min(all - run);
            let after = run + runs;
            let ahead = if after < all {
                here.bytes(after * RUN, most * RUN)
            } else {
                first_bytes(next, if once { usize::MAX } else { most * RUN })
            };
            let (weights, products, sums) = (&mut *weights, &mut *products, &mut *sums);
            let block = Block { matrix, tile, run, runs, x, weights, slots, products, sums, ahead };
            match &mut registers {
                Some(registers) => Tiled { registers, block }.multiply(s, tiles, form),
                None => s.vectorize(Portable { block, tiles, form }),
            }
        }
        let acc = acc.at_least(shape.columns * size);
        for g in 0..shape.groups {
            let (first, width) = shape.group(g);
            for (c, sums) in sums[(first + g) * size..].chunks_exact(size).take(width).enumerate() {
                let to = match &out {
                    // SAFETY: whoever made the place promised that nobody else touches these elements.
                    Some((out, start, stride)) => unsafe { out.part(start + (first + c) * stride, size) },
                    None => &mut acc[(first + c) * size..][..size],
                };
                for (to, sum) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(sums.as_chunks::<LANES>().0) {
                    s.store(to, s.load(sum));
                }
            }
        }
    }
}

/// Multiplies a block on any backend, one column after the other, to the same bits as AMX.
struct Portable<'a> {
    block: Block<'a>,
    tiles: usize,
    form: Option<Form>,
}

impl Task for Portable<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Portable { block: Block { matrix, tile, run, runs, x, weights, sums, .. }, tiles, form } = self;
        let record = form.map_or(PAIRS, |form| form.record(PAIRS));
        let subs = form.map_or(1, |form| form.subs);
        let sums = sums.as_chunks_mut::<LANES>().0;
        for t in 0..tiles {
            let weights = &mut weights[..runs * record];
            fill(s, matrix, tile + t, run, form, weights);
            for g in 0..x.shape.groups {
                let group = Group::new(&x.shape, g);
                let columns = group.columns;
                for c in 0..columns {
                    let sum = &mut sums[(group.first + g + c) * tiles + t];
                    let mut acc = if run == 0 { s.splat(0.0) } else { s.load(sum) };
                    for (i, weights) in weights.chunks_exact(record).enumerate() {
                        let rows = x.rows(&group, run + i);
                        for sub in 0..subs {
                            let mut y = if form.is_some() { s.splat(0.0) } else { acc };
                            for piece in 0..PIECES {
                                let row = &rows[piece * columns + c];
                                let mut chains = [s.splat(0.0); 2];
                                for i in sub * PAIRS / subs..(sub + 1) * PAIRS / subs {
                                    let weights = halves(s, s.bits(s.load(&weights[i])));
                                    let x = halves(s, s.splat_i32(row[i].to_bits() as i32));
                                    for half in 0..2 {
                                        chains[half] = s.fma(x[half], weights[half], chains[half]);
                                    }
                                }
                                y = s.add(y, s.add(chains[0], chains[1]));
                            }
                            acc = match form {
                                None => y,
                                Some(_) => s.fma(s.load(&weights[PAIRS + sub]), y, acc),
                            };
                            if form.is_some_and(|form| form.min) {
                                let total = x.totals(&group, run + i, if subs == 1 { 0 } else { 1 + sub })[c];
                                acc = s.fma(s.load(&weights[PAIRS + subs + sub]), s.splat(total), acc);
                            }
                        }
                    }
                    s.store(sum, acc);
                }
            }
        }
    }
}

/// Unpacks the runs of a tile. Weights that are bf16 numbers are copied, because they lie in pairs already.
#[inline(always)]
fn fill<S: Simd>(s: S, matrix: &PackedMatrix, tile: usize, run: usize, form: Option<Form>, weights: &mut [Lanes<f32>]) {
    if form.is_some() {
        return matrix.unpack::<S, true>(s, tile, run, weights);
    }
    let size = PAIRS * size_of::<Lanes<f32>>();
    let from = &matrix.tile(tile)[run * size..][..weights.len() / PAIRS * size];
    for (bytes, weight) in from.as_chunks::<4>().0.iter().zip(weights.as_flattened_mut()) {
        *weight = f32::from_le_bytes(*bytes);
    }
}
