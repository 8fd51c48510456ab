//! The inner loop of products in f32: the sums of `T` tiles of 16 rows × `C` columns stay in registers.
//!
//! ```text
//! acc[C][T] = 0
//! for i in 0..k:
//!   w[T] = weights[T][i]                       a vector of 16 rows each
//!   for c in 0..C: acc[c][T] += w[T] · x[c][i]      one multiply-add per vector, x in all lanes
//! store acc, added to the sums of the columns before
//! ```
//!
//! Each element of `acc` is one chain of fused multiply-adds in order of `k`, whatever T and C are: this is why results
//! do not depend on the width of the batch. T and C are constants, so that the compiler keeps `acc` in registers.

use crate::Backend;
use crate::simd::{LANES, Lanes, Simd, Task};
use crate::team::Parts;

/// Widest group of columns whose sums are kept in registers.
pub(crate) const GROUP: usize = 6;

/// Widest batch whose weights go from packed bytes straight into products. In wider batches a weight is needed more
/// than once, and the smallest group of columns has `NARROW` or more of them: batches of 7 are cut into 4 and 3.
pub(crate) const NARROW: usize = 3;

/// Steps of `k` per turn of the innermost loop.
const UNROLL: usize = 4;

impl Backend {
    /// Most tiles of a strip, for a batch of this width.
    pub(crate) fn tiles(self, columns: usize) -> usize {
        struct Tiles(usize);
        impl Task for Tiles {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                if self.0 <= NARROW { S::NARROW_TILES } else { S::TILES }
            }
        }
        self.dispatch(Tiles(columns))
    }
}

/// Calls `$run!(T, C)` with the number of tiles and of columns as constants. The number of columns is one of those
/// listed. The number of tiles is a strip's: `$most`, half as many, or one; shapes with more tiles than that are not
/// even compiled.
macro_rules! by_shape {
    ($most:expr, $tiles:expr, $columns:expr, $run:ident, $($c:literal)+) => {
        match ($tiles, $columns) {
            $((1, $c) => $run!(1, $c),)+
            $((2, $c) if const { $most >= 2 } => $run!(2, $c),)+
            $((4, $c) if const { $most == 4 } => $run!(4, $c),)+
            (tiles, columns) => unreachable!("{tiles} tiles x {columns} columns"),
        }
    };
}
pub(crate) use by_shape;

/// What becomes of the sums in memory, which are those of the columns before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// There are none: these are the first columns.
    Nothing,
    /// The chains of multiply-adds go on from them.
    GoOn,
    /// New sums start at zero, and are added to them at their end.
    Add,
}

/// Where the sums of a block begin and where they go.
pub(crate) struct Sums<'a, 'b> {
    pub(crate) before: Before,
    /// `[C][T][16]`.
    pub(crate) memory: &'a mut [f32],
    /// If there is a place, sums are stored there rather than in `memory`.
    pub(crate) out: Option<Place<'b>>,
}

/// `(out, start, stride)`: the sums of column `c` go to `out[start + c · stride ..][.. 16 · T]`. Whoever makes a place
/// promises that no other thread touches these elements.
pub(crate) type Place<'b> = (Parts<'b, f32>, usize, usize);

impl Sums<'_, '_> {
    #[inline(always)]
    pub(crate) fn start<S: Simd, const T: usize, const C: usize>(&self, s: S) -> [[S::F; T]; C] {
        let mut acc = [[s.splat(0.0); T]; C];
        if self.before == Before::GoOn {
            let memory = self.memory.as_chunks::<LANES>().0;
            for c in 0..C {
                for t in 0..T {
                    acc[c][t] = s.load(&memory[c * T + t]);
                }
            }
        }
        acc
    }

    /// Adds these sums to those in memory, or, if they are the first, stores them there. New sums begin at zero.
    #[inline(always)]
    pub(crate) fn put_away<S: Simd, const T: usize, const C: usize>(
        &mut self,
        s: S,
        acc: &mut [[S::F; T]; C],
        first: bool,
    ) {
        let memory = self.memory.as_chunks_mut::<LANES>().0;
        for c in 0..C {
            for t in 0..T {
                let memory = &mut memory[c * T + t];
                let sum = if first { acc[c][t] } else { s.add(s.load(memory), acc[c][t]) };
                s.store(memory, sum);
                acc[c][t] = s.splat(0.0);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn finish<S: Simd, const T: usize, const C: usize>(self, s: S, mut acc: [[S::F; T]; C]) {
        if self.before == Before::Add {
            let memory = self.memory.as_chunks::<LANES>().0;
            for c in 0..C {
                for t in 0..T {
                    acc[c][t] = s.add(s.load(&memory[c * T + t]), acc[c][t]);
                }
            }
        }
        for c in 0..C {
            let to = match &self.out {
                // SAFETY: whoever made the place promised that nobody else touches these elements.
                Some((out, start, stride)) => unsafe { out.part(start + c * stride, T * LANES) },
                None => &mut self.memory[c * T * LANES..][..T * LANES],
            };
            let to = to.as_chunks_mut::<LANES>().0;
            for t in 0..T {
                s.store(&mut to[t], acc[c][t]);
            }
        }
    }
}

/// Prefetches the `i`th of `n` parts of each of these slices, which the next strip or block will read.
#[inline(always)]
pub(crate) fn fetch<S: Simd>(s: S, ahead: &[&[u8]], i: usize, n: usize) {
    for piece in ahead {
        let pace = piece.len() / n;
        for line in (i * pace..(i + 1) * pace).step_by(64) {
            s.prefetch_second(piece.as_ptr().wrapping_add(line));
        }
    }
}

/// Products of a block of de-quantised weights with a group of columns.
pub(crate) struct Micro<'a, 'b> {
    /// `[T][stride][16]`; the first `k` of each tile are multiplied.
    pub(crate) weights: &'a [Lanes<f32>],
    /// Columns from one tile to the next.
    pub(crate) stride: usize,
    /// `[k / 16][C][16]`.
    pub(crate) x: &'a [f32],
    pub(crate) k: usize,
    /// Packed bytes to prefetch: 0, 1, 2 or 4 slices of the same length.
    pub(crate) ahead: &'a [&'a [u8]],
    pub(crate) sums: Sums<'a, 'b>,
}

impl Micro<'_, '_> {
    /// Multiplies `tiles` × `columns`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S, tiles: usize, columns: usize) {
        macro_rules! shape {
            ($t:literal, $c:literal) => {
                match self.ahead.len() {
                    0 => s.vectorize(Shaped::<$t, $c, 0>(self)),
                    1 => s.vectorize(Shaped::<$t, $c, 1>(self)),
                    2 => s.vectorize(Shaped::<$t, $c, 2>(self)),
                    _ => s.vectorize(Shaped::<$t, $c, 4>(self)),
                }
            };
        }
        by_shape!(S::TILES, tiles, columns, shape, 3 4 5 6)
    }
}

/// [`Micro`] for `T` tiles and `C` columns that prefetches `P` slices.
struct Shaped<'a, 'b, const T: usize, const C: usize, const P: usize>(Micro<'a, 'b>);

impl<const T: usize, const C: usize, const P: usize> Task for Shaped<'_, '_, T, C, P> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Micro { weights, stride, x, k, ahead, sums } = self.0;
        let x = x.as_chunks::<LANES>().0.as_chunks::<C>().0;
        assert!(k <= stride && weights.len() >= (T - 1) * stride + k && x.len() == k.div_ceil(LANES));
        let mut acc = sums.start::<S, T, C>(s);
        // This is a macro, because a closure might not be inlined, and then is not compiled for the instruction set.
        macro_rules! step {
            ($i:expr, $x:expr, $j:expr) => {
                let (i, x, j) = ($i, $x, $j);
                let mut w = [s.splat(0.0); T];
                for t in 0..T {
                    // SAFETY: t < T and i < k, so there is such a weight (checked above).
                    w[t] = s.load(unsafe { weights.get_unchecked(t * stride + i) });
                }
                for c in 0..C {
                    let x = s.splat(x[c][j]);
                    for t in 0..T {
                        acc[c][t] = s.fma(w[t], x, acc[c][t]);
                    }
                }
            };
        }
        let mut fetch = [std::ptr::null::<u8>(); P];
        for p in 0..P {
            fetch[p] = ahead[p].as_ptr();
        }
        let pace = if P == 0 { 0 } else { ahead[0].len() / (k / UNROLL).max(1) };
        for (b, x) in x[..k / LANES].iter().enumerate() {
            for turn in 0..LANES / UNROLL {
                for p in 0..P {
                    s.prefetch(fetch[p].wrapping_add((b * (LANES / UNROLL) + turn) * pace));
                }
                for u in 0..UNROLL {
                    let j = turn * UNROLL + u;
                    step!(b * LANES + j, x, j);
                }
            }
        }
        for j in 0..k % LANES {
            step!(k / LANES * LANES + j, &x[k / LANES], j);
        }
        sums.finish(s, acc);
    }
}
