//! Products of digits on the tiles of AMX.

use super::{DIGITS, MORE, Runs, SCALES, SUMS, whole};
use crate::Backend;
use crate::coded::Block;
use crate::matmul::Shape;
use crate::pack::{Form, RUN};
use crate::simd::{LANES, Lanes, Simd, Task, TileUnit, Tiles};

/// The tile registers of a thread, if its backend has any and as soon as they are wanted. To be dropped before other work:
/// while they are held, AVX-512 is slower.
pub(crate) struct Registers {
    unit: Option<TileUnit>,
    /// With the rows and bytes they are configured for, which takes as long as dozens of products.
    held: Option<(Tiles, [usize; 2])>,
}

impl Registers {
    pub(crate) fn new(backend: Backend) -> Registers {
        Registers { unit: backend.tile_unit(), held: None }
    }

    /// Gives them back until they are wanted again.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// For the products of strips of this form with columns grouped like that.
    pub(crate) fn shaped(&mut self, form: Form, shape: &Shape) -> Option<&mut Tiles> {
        let unit = self.unit?;
        // The first group is one of the widest; others leave some rows of theirs to what happens to follow.
        let size = [DIGITS * shape.group(0).1, RUN / form.subs];
        if self.held.as_ref().is_none_or(|(_, held)| *held != size) {
            // First, because releasing the old ones would release the new ones too.
            self.release();
            self.held = Some((unit.configure(size[0], size[1]), size));
        }
        self.held.as_mut().map(|(tiles, _)| tiles)
    }
}

/// Products of a block with a group of `C` columns. A backend with tile registers takes one tile of weights at a time, or four.
pub(super) struct Tiled<'a, 'b, const T: usize, const C: usize, const SUBS: usize, const MIN: bool> {
    pub(super) registers: &'a mut Tiles,
    pub(super) block: Block<'a, 'b>,
    pub(super) x: Runs<'a>,
    pub(super) scratch: &'a mut [f32],
}

impl<const T: usize, const C: usize, const SUBS: usize, const MIN: bool> Task for Tiled<'_, '_, T, C, SUBS, MIN> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiled { registers, block: Block { weights, ahead, sums, .. }, x: Runs { rows, scales }, scratch } = self;
        let record = const { 8 + SUBS * (1 + MIN as usize) };
        let runs = (rows.len() - MORE) / (DIGITS * C);
        assert!(runs > 0 && rows.len() == runs * DIGITS * C + MORE && scales.len() == runs * SCALES * C);
        assert!(weights.len() == T * runs * record);
        let (products, _) = scratch.as_chunks_mut::<LANES>().0.as_chunks_mut::<SUMS>();
        let products: &mut [[Lanes<f32>; SUMS]; T] = products.first_chunk_mut().expect("as large as SCRATCH");
        let mut acc = sums.start::<S, T, C>(s);
        // A step is a sub-block. Its sums are stored, and then taken, while those of the next one are made.
        let steps = runs * SUBS;
        macro_rules! load {
            ($step:expr) => {
                let (run, sub) = ($step / SUBS, $step % SUBS);
                // SAFETY: rows of a run before `runs` and MORE after it, and the second half of each if there are two.
                unsafe { registers.load(rows.as_ptr().add(run * DIGITS * C).cast::<u8>().add(sub * RUN / 2)) };
            };
        }
        macro_rules! multiply {
            ($t:expr, $step:expr) => {
                let (run, sub) = ($step / SUBS, $step % SUBS);
                // SAFETY: the codes of a sub-block of tile t < T, 8 or 4 vectors, in a run before `runs`.
                unsafe { registers.multiply($t, weights.as_ptr().add(($t * runs + run) * record + sub * 4).cast()) };
            };
        }
        macro_rules! take {
            ($t:expr, $step:expr, $steps:expr, $totals:expr) => {
                let (run, sub) = ($step / SUBS, $step % SUBS);
                let at = ($t * runs + run) * record + 8 + sub;
                // SAFETY: scale and offset of a sub-block of tile t < T in a run before `runs`.
                let scale = s.load(unsafe { weights.get_unchecked(at) });
                // SAFETY: as above.
                let offset = s.load(unsafe { weights.get_unchecked(at + if MIN { SUBS } else { 0 }) });
                for c in 0..C {
                    let [high, middle, low] = [&products[$t][c], &products[$t][C + c], &products[$t][2 * C + c]]
                        .map(|row| row.map(f32::to_bits));
                    let y = s.mul(whole(s, s.load_u32(&high), s.load_u32(&middle), s.load_u32(&low)), $steps[c]);
                    acc[c][$t] = s.fma(scale, y, acc[c][$t]);
                    if MIN {
                        acc[c][$t] = s.fma(offset, s.splat($totals[c]), acc[c][$t]);
                    }
                }
            };
        }
        // Steps and sums of activations of a step.
        macro_rules! scales_of {
            ($step:expr) => {{
                let (run, sub) = ($step / SUBS, $step % SUBS);
                let scales = &scales.as_chunks::<C>().0.as_chunks::<SCALES>().0[run];
                let mut steps = [s.splat(0.0); C];
                for c in 0..C {
                    steps[c] = s.splat(scales[0][c]);
                }
                (steps, &scales[if SUBS == 1 { 1 } else { 2 + sub }])
            }};
        }
        // Written out, because loops with assembly in them are not unrolled, and sums would not stay in registers.
        macro_rules! each_tile {
            ($do:ident) => {
                $do!(0);
                if T == 4 {
                    $do!(1);
                    $do!(2);
                    $do!(3);
                }
            };
        }
        load!(0);
        macro_rules! begin {
            ($t:literal) => {
                multiply!($t, 0);
            };
        }
        each_tile!(begin);
        for step in 1..steps {
            load!(step);
            Block::fetch(s, &ahead, step - 1, steps);
            let (scale, total) = scales_of!(step - 1);
            macro_rules! go_on {
                ($t:literal) => {
                    registers.store($t, &mut products[$t]);
                    multiply!($t, step);
                    take!($t, step - 1, scale, total);
                };
            }
            each_tile!(go_on);
        }
        Block::fetch(s, &ahead, steps - 1, steps);
        let (scale, total) = scales_of!(steps - 1);
        macro_rules! end {
            ($t:literal) => {
                registers.store($t, &mut products[$t]);
                take!($t, steps - 1, scale, total);
            };
        }
        each_tile!(end);
        sums.finish(s, &acc);
    }
}
