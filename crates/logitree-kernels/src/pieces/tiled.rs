//! Products on the tile registers of AMX.
//!
//! A left matrix is the pieces of one run of a group of up to 16 columns, three tile registers; a right matrix is one
//! run of 16 rows of weights. Weights that are bf16 numbers accumulate in tile registers over all runs of a block
//! ([`Plain`]). Codes have a scale for each sub-block, so their products leave the tile registers after each
//! ([`Scaled`]):
//!
//! ```text
//! for run, for group, for sub-block of the run:
//!   load the left matrix
//!   for tile of weights:
//!     store the products of the step before to memory, clear the register, multiply
//!     sums[column][tile] += scale · product + offset · Σ x      of the step before, while the tile unit multiplies
//!   unpack a run that comes later                               once per run, also meanwhile
//! ```

use super::{CHUNK, Group, PIECES, Pieces};
use crate::Backend;
use crate::groups::Shape;
use crate::micro::fetch;
use crate::pack::{Form, PAIRS, PackedMatrix, RUN};
use crate::simd::{LANES, Lanes, Simd, Task, TileUnit, Tiles};

/// The tile registers of a thread, if its backend has any. They are taken when the first product wants them. Whoever
/// does other work should release them before: while they are held, AVX-512 is slower.
pub(crate) struct Registers {
    unit: Option<TileUnit>,
    /// The registers with the rows and bytes for which they are configured. They are kept, because configuring takes as
    /// long as dozens of products.
    held: Option<(Tiles, [usize; 2])>,
}

impl Registers {
    pub(crate) fn new(backend: Backend) -> Registers {
        Registers { unit: backend.tile_unit(), held: None }
    }

    /// Gives the registers back to the CPU until they are wanted again.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// The registers, configured for weights of this form and columns that are grouped like this.
    pub(super) fn shaped(&mut self, form: Option<Form>, shape: &Shape) -> Option<&mut Tiles> {
        let unit = self.unit?;
        // The first group is one of the widest. A narrower group reads past its end into the next one; those results
        // are not used.
        let size = [shape.group(0).1, 2 * RUN / form.map_or(1, |form| form.subs)];
        if self.held.as_ref().is_none_or(|(_, held)| *held != size) {
            // The old value is dropped first, because dropping it after the new one was made would release the new one.
            self.release();
            self.held = Some((unit.configure(size[0], size[1]), size));
        }
        self.held.as_mut().map(|(tiles, _)| tiles)
    }
}

/// Runs of a strip and what is needed to multiply them with all columns.
pub(super) struct Block<'a> {
    pub(super) matrix: &'a PackedMatrix,
    /// First tile of the strip.
    pub(super) tile: usize,
    pub(super) run: usize,
    pub(super) runs: usize,
    pub(super) x: &'a Pieces,
    /// Room for unpacked weights, `[slot][tile][record][16]`, see [`Form::record`].
    pub(super) weights: &'a mut [Lanes<f32>],
    /// Runs for which there is room. With up to [`CHUNK`] groups it is a ring: a later run takes the place of one that
    /// is done.
    pub(super) slots: usize,
    /// Room for the products of four tiles.
    pub(super) products: &'a mut [Lanes<f32>],
    /// `[group][columns + 1][tiles][16]`. They start at zero if the block begins with run 0.
    pub(super) sums: &'a mut [f32],
    /// Packed bytes to prefetch.
    pub(super) ahead: [&'a [u8]; 4],
}

pub(super) struct Tiled<'a, 'b> {
    pub(super) registers: &'b mut Tiles,
    pub(super) block: Block<'a>,
}

impl Tiled<'_, '_> {
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(self, s: S, tiles: usize, form: Option<Form>) {
        macro_rules! shape {
            ($t:literal) => {
                match form.map(|form| (form.subs, form.min)) {
                    None => s.vectorize(Plain::<$t>(self)),
                    Some((1, false)) => s.vectorize(Scaled::<$t, 1, false>(self)),
                    Some((1, true)) => s.vectorize(Scaled::<$t, 1, true>(self)),
                    Some((_, false)) => s.vectorize(Scaled::<$t, 2, false>(self)),
                    Some((_, true)) => s.vectorize(Scaled::<$t, 2, true>(self)),
                }
            };
        }
        match tiles {
            1 => shape!(1),
            2 => shape!(2),
            3 => shape!(3),
            4 => shape!(4),
            tiles => unreachable!("{tiles} tiles"),
        }
    }
}

/// Calls `$run!(t)` for each `t` below `T`, which is 4 at most. It is not a loop, because the number of a register is
/// part of an instruction and so must be a literal.
macro_rules! each_tile {
    ($T:ident, $run:ident) => {
        $run!(0);
        if $T > 1 {
            $run!(1);
        }
        if $T > 2 {
            $run!(2);
        }
        if $T > 3 {
            $run!(3);
        }
    };
}

/// Loads the pieces of a run as the left matrix, beginning `bytes` bytes into each of their rows.
///
/// # Safety
/// `bytes` and the bytes of a row for which the registers are configured must not reach beyond 64.
#[inline(always)]
unsafe fn load_left(registers: &mut Tiles, rows: &[Lanes<f32>], columns: usize, bytes: usize) {
    assert!(rows.len() > PIECES * columns);
    let mut pieces = [std::ptr::null(); PIECES];
    for (i, piece) in pieces.iter_mut().enumerate() {
        *piece = rows[i * columns..].as_ptr().cast::<u8>().wrapping_add(bytes);
    }
    // SAFETY: the registers are configured for the rows of these columns or for one row more, and it exists (checked
    // above).
    unsafe { registers.load_left(pieces) };
}

/// Products with weights that are bf16 numbers: a group's sums stay in tile registers for the whole block.
struct Plain<'a, 'b, const T: usize>(Tiled<'a, 'b>);

impl<const T: usize> Task for Plain<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiled { registers, block: Block { matrix, tile, run, runs, x, sums, ahead, .. } } = self.0;
        let size = PAIRS * size_of::<Lanes<f32>>();
        let mut tiles: [&[u8]; T] = [&[]; T];
        for t in 0..T {
            tiles[t] = &matrix.tile(tile + t)[run * size..][..runs * size];
        }
        let steps = x.shape.groups * runs;
        for g in 0..x.shape.groups {
            let group = Group::new(&x.shape, g);
            let columns = group.columns;
            let sums = &mut sums[(group.first + g) * T * LANES..][..(columns + 1) * T * LANES];
            macro_rules! begin {
                ($t:literal) => {
                    if run == 0 {
                        registers.zero($t);
                    } else {
                        // SAFETY: `sums` has 16 sums of this tile for each column and for one column more.
                        unsafe { registers.load($t, sums.as_ptr().add($t * LANES), T * LANES) };
                    }
                };
            }
            each_tile!(T, begin);
            for i in 0..runs {
                // SAFETY: rows are loaded from their beginning, and the registers are configured for up to 64 bytes.
                unsafe { load_left(registers, x.rows(&group, run + i), columns, 0) };
                fetch(s, &ahead, g * runs + i, steps);
                macro_rules! multiply {
                    ($t:literal) => {
                        // SAFETY: tile t < T has 16 vectors for this run.
                        unsafe { registers.multiply($t, tiles[$t].as_ptr().add(i * size)) };
                    };
                }
                each_tile!(T, multiply);
            }
            macro_rules! end {
                ($t:literal) => {
                    // SAFETY: the sums are stored where they were loaded from.
                    unsafe { registers.store($t, sums.as_mut_ptr().add($t * LANES), T * LANES) };
                };
            }
            each_tile!(T, end);
        }
    }
}

/// Products with codes. Each of the `SUBS` sub-blocks of a run has a scale and, if `MIN`, an offset.
struct Scaled<'a, 'b, const T: usize, const SUBS: usize, const MIN: bool>(Tiled<'a, 'b>);

/// A sub-block of a run and a group of columns that are being multiplied.
#[derive(Clone, Copy)]
struct Step<'a> {
    /// Index of the run's weights.
    weights: usize,
    sub: usize,
    /// Index of the first column's sums.
    sums: usize,
    /// The sum of the sub-block's activations for each column.
    totals: &'a [f32],
}

impl<const T: usize, const SUBS: usize, const MIN: bool> Task for Scaled<'_, '_, T, SUBS, MIN> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiled { registers, block: Block { matrix, tile, run, runs, x, weights, slots, products, sums, ahead } } =
            self.0;
        let record = const { PAIRS + SUBS * (1 + MIN as usize) };
        let weights = &mut weights[..slots * T * record];
        let products: &mut [[Lanes<f32>; LANES]; T] =
            products.as_chunks_mut().0.first_chunk_mut().expect("room for four tiles");
        let sums = sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<T>().0;
        if run == 0 {
            sums.as_flattened_mut().fill([0.0; LANES]);
        }
        macro_rules! unpack {
            ($run:expr) => {
                let weights = &mut weights[$run % slots * T * record..][..T * record];
                for (t, weights) in weights.chunks_exact_mut(record).enumerate() {
                    matrix.unpack::<S, true>(s, tile + t, run + $run, weights);
                }
            };
        }
        // The products of a step are stored and scaled while the tile unit makes those of the next step.
        macro_rules! take {
            ($t:expr, $step:expr) => {
                let Step { weights: first, sub, sums: column, totals } = $step;
                let at = first + $t * record + PAIRS + sub;
                let scale = s.load(&weights[at]);
                let offset = s.load(&weights[at + if MIN { SUBS } else { 0 }]);
                let sums = &mut sums[column..][..totals.len()];
                for ((sums, product), total) in sums.iter_mut().zip(&products[$t]).zip(totals) {
                    let mut sum = s.fma(scale, s.load(product), s.load(&sums[$t]));
                    if MIN {
                        sum = s.fma(offset, s.splat(*total), sum);
                    }
                    s.store(&mut sums[$t], sum);
                }
            };
        }
        macro_rules! store {
            ($t:expr) => {
                // SAFETY: the products of a tile take 16 vectors.
                unsafe { registers.store($t, products[$t].as_mut_ptr().cast(), LANES) };
            };
        }
        let steps = x.shape.groups * runs * SUBS;
        let many = x.shape.groups > CHUNK;
        let mut done = 0;
        let mut before: Option<Step<'_>> = None;
        unpack!(0);
        if runs > 1 {
            unpack!(1);
        }
        for chunk in (0..x.shape.groups).step_by(CHUNK) {
            let groups: [Group; CHUNK] = std::array::from_fn(|g| Group::new(&x.shape, chunk + g));
            for i in 0..runs {
                let first_weight = i % slots * T * record;
                for (g, group) in (chunk..x.shape.groups).zip(&groups) {
                    let columns = group.columns;
                    let rows = x.rows(group, run + i);
                    for sub in 0..SUBS {
                        // SAFETY: with one sub-block whole rows are loaded, with two a half of each row.
                        unsafe { load_left(registers, rows, columns, sub * RUN) };
                        fetch(s, &ahead, done, steps);
                        // Activations of about the next step are prefetched if there are many columns: they do not all
                        // fit the first cache.
                        let soon = rows.as_ptr().wrapping_add(PIECES * LANES).cast::<u8>();
                        macro_rules! go_on {
                            ($t:literal) => {
                                if many {
                                    for line in ($t..PIECES * LANES).step_by(T) {
                                        s.prefetch(soon.wrapping_add(64 * line));
                                    }
                                }
                                if before.is_some() {
                                    store!($t);
                                }
                                registers.zero($t);
                                let codes = weights[first_weight + $t * record..][..PAIRS].as_ptr();
                                // SAFETY: a run's codes take 16 vectors, and a sub-block's all of them or one half.
                                unsafe { registers.multiply($t, codes.add(sub * PAIRS / 2).cast()) };
                                if let Some(before) = before {
                                    take!($t, before);
                                }
                            };
                        }
                        each_tile!(T, go_on);
                        let totals = x.totals(group, run + i, if SUBS == 1 { 0 } else { 1 + sub });
                        before = Some(Step { weights: first_weight, sub, sums: group.first + g, totals });
                        done += 1;
                    }
                }
                // A later run is unpacked here, while the tile unit multiplies.
                if chunk == 0 && i + 2 < runs {
                    unpack!(i + 2);
                }
            }
        }
        if let Some(before) = before {
            macro_rules! end {
                ($t:literal) => {
                    store!($t);
                    take!($t, before);
                };
            }
            each_tile!(T, end);
        }
    }
}
