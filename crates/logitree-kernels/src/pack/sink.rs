//! Where de-quantised weights go: into products, into memory, into digits, or into their largest size.

use crate::micro::Sums;
use crate::simd::{LANES, Lanes, Simd};

/// What is to be done with weights; opened inside the function that is compiled for the instruction set.
pub(crate) trait Target {
    type Output;
    type Sink<S: Simd>: Sink<S, Output = Self::Output>;
    /// Whether the packed bytes are to be fetched ahead.
    const FETCH: bool;
    /// Checks sizes for `k` columns.
    fn open<S: Simd>(self, s: S, k: usize) -> Self::Sink<S>;
}

/// Takes the weights of `T` tiles, in order of columns; methods must be `#[inline(always)]`.
pub(crate) trait Sink<S: Simd> {
    type Output;
    /// The weights of column `i` of tile `t`.
    ///
    /// # Safety
    /// `t` is a tile and `i` a column of those asked for.
    unsafe fn one(&mut self, s: S, t: usize, i: usize, w: S::F);
    /// The weights of columns `i` to `i + 3`; `i` is a multiple of 4.
    ///
    /// # Safety
    /// As for [`Self::one`], for all four.
    #[inline(always)]
    unsafe fn four(&mut self, s: S, t: usize, i: usize, w: [S::F; 4]) {
        // SAFETY: the caller vouches for the columns.
        unsafe {
            self.one(s, t, i, w[0]);
            self.one(s, t, i + 1, w[1]);
            self.one(s, t, i + 2, w[2]);
            self.one(s, t, i + 3, w[3]);
        }
    }
    fn finish(self, s: S) -> Self::Output;
}

/// Products of `T` tiles with `C` activation vectors.
pub(crate) struct Products<'a, 'b, const T: usize, const C: usize> {
    /// Activations, `[k][C]`.
    pub(crate) x: &'a [f32],
    pub(crate) sums: Sums<'a, 'b>,
}

pub(crate) struct ProductSink<'a, 'b, S: Simd, const T: usize, const C: usize> {
    acc: [[S::F; T]; C],
    x: &'a [f32],
    sums: Sums<'a, 'b>,
}

impl<'a, 'b, const T: usize, const C: usize> Target for Products<'a, 'b, T, C> {
    type Output = ();
    type Sink<S: Simd> = ProductSink<'a, 'b, S, T, C>;
    const FETCH: bool = true;
    #[inline(always)]
    fn open<S: Simd>(self, s: S, k: usize) -> Self::Sink<S> {
        assert!(self.x.len() == k * C);
        ProductSink { acc: self.sums.start(s), x: self.x, sums: self.sums }
    }
}

impl<S: Simd, const T: usize, const C: usize> Sink<S> for ProductSink<'_, '_, S, T, C> {
    type Output = ();
    #[inline(always)]
    unsafe fn one(&mut self, s: S, t: usize, i: usize, w: S::F) {
        for c in 0..C {
            // SAFETY: the caller vouches for the place; `open` checked that there are k activations of C columns.
            let x = unsafe { *self.x.get_unchecked(i * C + c) };
            self.acc[c][t] = s.fma(w, s.splat(x), self.acc[c][t]);
        }
    }
    #[inline(always)]
    fn finish(self, s: S) {
        self.sums.finish(s, &self.acc);
    }
}

/// Memory for one tile's weights, `[k][16]`.
pub(crate) struct IntoMemory<'a>(pub(crate) &'a mut [Lanes<f32>]);

impl Target for IntoMemory<'_> {
    type Output = ();
    type Sink<S: Simd> = Self;
    const FETCH: bool = false;
    #[inline(always)]
    fn open<S: Simd>(self, _: S, k: usize) -> Self {
        assert!(self.0.len() == k);
        self
    }
}

impl<S: Simd> Sink<S> for IntoMemory<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn one(&mut self, s: S, _: usize, i: usize, w: S::F) {
        // SAFETY: `open` checked that there is room for k columns.
        s.store(unsafe { self.0.get_unchecked_mut(i) }, w);
    }
    #[inline(always)]
    fn finish(self, _: S) {}
}

/// The largest size of each of a tile's rows; NaN if one is not finite.
pub(crate) struct Largest;

pub(crate) struct LargestSink<S: Simd> {
    most: S::F,
    /// NaN as soon as a weight is not finite.
    damage: S::F,
}

impl Target for Largest {
    type Output = Lanes<f32>;
    type Sink<S: Simd> = LargestSink<S>;
    const FETCH: bool = true;
    #[inline(always)]
    fn open<S: Simd>(self, s: S, _: usize) -> LargestSink<S> {
        LargestSink { most: s.splat(0.0), damage: s.splat(0.0) }
    }
}

impl<S: Simd> Sink<S> for LargestSink<S> {
    type Output = Lanes<f32>;
    #[inline(always)]
    unsafe fn one(&mut self, s: S, _: usize, _: usize, w: S::F) {
        self.most = s.max(s.max(w, s.sub(s.splat(0.0), w)), self.most);
        self.damage = s.fma(w, s.splat(0.0), self.damage);
    }
    #[inline(always)]
    fn finish(self, s: S) -> Lanes<f32> {
        s.array(s.add(self.most, self.damage))
    }
}

/// Columns of a block of digits: what one instruction on tiles takes.
pub(crate) const CHUNK: usize = 64;
/// Vectors of a chunk: three digits of four columns a lane.
pub(crate) const CHUNK_LANES: usize = 3 * CHUNK / 4;

/// The digits of one tile's weights in fixed point, see [`crate::fixed`]: `[chunk][digit][quad][16]` of four columns a lane.
/// Columns that fill up the last chunk are unspecified.
pub(crate) struct IntoDigits<'a, M> {
    /// Power of two for each row.
    pub(crate) scale: &'a Lanes<f32>,
    /// Added to scaled weights: leaves the digits in the fraction.
    pub(crate) offset: f32,
    /// Room for a power of two of chunks: if for fewer than there are, later ones take the place of earlier ones.
    pub(crate) out: &'a mut [[Lanes<f32>; CHUNK_LANES]],
    /// Does something with them meanwhile.
    pub(crate) meanwhile: M,
}

/// Work on chunks of digits amid the making of later ones; methods must be `#[inline(always)]`.
pub(crate) trait Meanwhile {
    /// All quads before this one, and this one, are there.
    fn after(&mut self, quad: usize, digits: &[[Lanes<f32>; CHUNK_LANES]]);
    /// So many quads are all.
    fn finish(self, quads: usize, digits: &[[Lanes<f32>; CHUNK_LANES]]);
}

/// Nothing.
impl Meanwhile for () {
    #[inline(always)]
    fn after(&mut self, _: usize, _: &[[Lanes<f32>; CHUNK_LANES]]) {}
    #[inline(always)]
    fn finish(self, _: usize, _: &[[Lanes<f32>; CHUNK_LANES]]) {}
}

pub(crate) struct DigitSink<'a, S: Simd, M> {
    scale: S::F,
    offset: S::F,
    /// Weights of the last columns, if their number is no multiple of 4.
    rest: [S::F; 4],
    k: usize,
    out: &'a mut [[Lanes<f32>; CHUNK_LANES]],
    meanwhile: M,
}

impl<'a, M: Meanwhile> Target for IntoDigits<'a, M> {
    type Output = ();
    type Sink<S: Simd> = DigitSink<'a, S, M>;
    const FETCH: bool = true;
    #[inline(always)]
    fn open<S: Simd>(self, s: S, k: usize) -> DigitSink<'a, S, M> {
        assert!(self.out.len().is_power_of_two());
        let IntoDigits { out, meanwhile, .. } = self;
        let rest = [s.splat(0.0); 4];
        DigitSink { scale: s.load(self.scale), offset: s.splat(self.offset), rest, k, out, meanwhile }
    }
}

impl<S: Simd, M: Meanwhile> Sink<S> for DigitSink<'_, S, M> {
    type Output = ();
    #[inline(always)]
    unsafe fn one(&mut self, _: S, _: usize, i: usize, w: S::F) {
        self.rest[i % 4] = w;
    }
    #[inline(always)]
    unsafe fn four(&mut self, s: S, _: usize, i: usize, w: [S::F; 4]) {
        let digits = s.digits([
            s.fma(w[0], self.scale, self.offset),
            s.fma(w[1], self.scale, self.offset),
            s.fma(w[2], self.scale, self.offset),
            s.fma(w[3], self.scale, self.offset),
        ]);
        const QUADS: usize = CHUNK / 4;
        let place = i / CHUNK & (self.out.len() - 1);
        // SAFETY: a chunk of `out`, whose length is a power of two.
        let chunk = unsafe { self.out.get_unchecked_mut(place) };
        for (d, digit) in digits.into_iter().enumerate() {
            s.store(&mut chunk[d * QUADS + i / 4 % QUADS], digit);
        }
        self.meanwhile.after(i / 4, self.out);
    }
    #[inline(always)]
    fn finish(mut self, s: S) {
        if !self.k.is_multiple_of(4) {
            // SAFETY: column k - 1 is one of these.
            unsafe { self.four(s, 0, self.k / 4 * 4, self.rest) };
        }
        self.meanwhile.finish(self.k.div_ceil(4), self.out);
    }
}

const _: () = assert!(LANES == 16, "a lane holds four bytes of a row of a tile of 64 bytes");
