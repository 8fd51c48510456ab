//! The operations that kernels are made of.

/// Lanes of a vector, and therefore rows of a weight tile and positions of an attention block.
pub(crate) const LANES: usize = 16;

/// One f32 or integer per lane, in memory.
pub(crate) type Lanes<T> = [T; LANES];

/// The vectors of an instruction set and the operations on them. All of them work lane by lane unless they say
/// otherwise.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// 16 f32 lanes.
    type F: Copy;
    /// 16 i32 lanes.
    type I: Copy;
    /// Weight tiles that the micro-kernel multiplies at once: enough chains to hide the latency of a multiply-add, few
    /// enough for the registers, and as few loads per multiply-add as that allows.
    const TILES: usize;
    /// [`Self::TILES`] for batches of up to [`crate::micro::NARROW`] columns, whose sums take fewer registers.
    const NARROW_TILES: usize;

    /// Runs a task in a function compiled for this instruction set.
    fn vectorize<T: Task>(self, task: T) -> T::Output;

    fn splat(self, x: f32) -> Self::F;
    fn splat_i32(self, x: i32) -> Self::I;
    fn load(self, p: &Lanes<f32>) -> Self::F;
    fn store(self, p: &mut Lanes<f32>, v: Self::F);
    fn load_f16(self, p: &Lanes<u16>) -> Self::F;
    fn load_u32(self, p: &Lanes<u32>) -> Self::I;
    fn load_u8(self, p: &Lanes<u8>) -> Self::I;
    fn load_i8(self, p: &Lanes<i8>) -> Self::I;

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Nearest integer, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// `2^n` for whole `n` in `[-126, 127]`.
    fn exp2i(self, n: Self::F) -> Self::F;
    /// Bit `i` is set iff `a[i] > b[i]`.
    fn gt(self, a: Self::F, b: Self::F) -> u32;
    /// Bit `i` is set iff `a[i] >= b[i]`.
    fn ge(self, a: Self::F, b: Self::F) -> u32;
    /// `x[i]`, but zero where `a[i] > b[i]`.
    fn zero_where_gt(self, a: Self::F, b: Self::F, x: Self::F) -> Self::F;

    fn to_f32(self, a: Self::I) -> Self::F;
    /// Shifts to the right and fills up with zeros.
    fn shr(self, a: Self::I, shift: u32) -> Self::I;
    fn shl(self, a: Self::I, shift: u32) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// True if [`Self::byte`] is a single instruction.
    const BYTE: bool = false;

    /// Byte `j` of each lane.
    #[inline(always)]
    fn byte(self, a: Self::I, j: usize) -> Self::I {
        self.and(self.shr(a, 8 * j as u32), self.splat_i32(0xff))
    }

    /// `a + b`, which wraps around.
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The f32 with these bits.
    fn bitcast(self, a: Self::I) -> Self::F;
    /// The bits of an f32.
    fn bits(self, a: Self::F) -> Self::I;

    /// Each lane gets the upper half of `low`'s lane as its lower half and the upper half of `high`'s lane as its upper
    /// half.
    #[inline(always)]
    fn join_halves(self, low: Self::I, high: Self::I) -> Self::I {
        self.or(self.shr(low, 16), self.and(high, self.splat_i32(-0x1_0000)))
    }

    /// The sum of all lanes: the upper eight are added to the lower eight, then of those the upper four to the lower
    /// four, and so on.
    #[inline(always)]
    fn total(self, v: Self::F) -> f32 {
        let mut x = self.array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[half + i];
            }
        }
        x[0]
    }

    /// Returns lanes 0, 1, 4, 5, … of `a` followed by those of `b`, and lanes 2, 3, 6, 7, … of `a` followed by those of
    /// `b`.
    #[inline(always)]
    fn unzip_pairs(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        let from = [self.array(a), self.array(b)];
        let mut to = [[0.0; LANES]; 2];
        for (i, x) in from.as_flattened().iter().enumerate() {
            to[i / 2 % 2][i / 4 * 2 + i % 2] = *x;
        }
        [self.load(&to[0]), self.load(&to[1])]
    }

    /// True if the backend has [`Self::lookup`].
    const LOOKUP: bool = false;

    /// Replaces each of the two 16-bit numbers of a lane by the entry of the table of 64 that its lowest 6 bits name.
    /// If `SMALL`, only the first 32 entries and the lowest 5 bits are used.
    #[inline(always)]
    fn lookup<const SMALL: bool>(self, _table: &[Lanes<u32>; 2], _index: Self::I) -> Self::I {
        unreachable!("this backend has no tables")
    }

    /// Prefetches the cache line at `p`. This is only a hint, so `p` may be any address.
    #[inline(always)]
    fn prefetch(self, _p: *const u8) {}

    /// Prefetches the cache line at `p` into the second cache, if the first would be full before it is used.
    #[inline(always)]
    fn prefetch_second(self, _p: *const u8) {}

    /// Transposes a 16 × 16 block: `out[16 i + j]` becomes `rows[j][i]`.
    #[inline(always)]
    fn transpose(self, rows: [&Lanes<f32>; LANES], out: &mut [f32]) {
        for (i, out) in out[..LANES * LANES].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            for j in 0..LANES {
                out[j] = rows[j][i];
            }
        }
    }

    fn array(self, v: Self::F) -> Lanes<f32> {
        let mut a = [0.0; LANES];
        self.store(&mut a, v);
        a
    }
}

/// Work that is compiled once per instruction set. `run` must be `#[inline(always)]`: it becomes part of a function
/// that is compiled for the instruction set, and what does not inline into that function is compiled without it.
pub(crate) trait Task {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Products of bytes on the vectors of a [`Simd`]. Only some CPUs have an instruction for them, so this is a witness of
/// its own: whoever holds a value has the instruction.
pub(crate) trait ByteDots: Copy + Send + Sync + 'static {
    /// The backend whose vectors are multiplied.
    type Simd: Simd;

    fn simd(self) -> Self::Simd;

    /// Runs a task in a function compiled for the instruction set and for [`Self::dot`].
    fn vectorize<T: DotTask>(self, task: T) -> T::Output;

    /// Adds to each lane of `sum` the products of the lane's four unsigned bytes of `a` with its four signed bytes of
    /// `b`.
    fn dot(
        self,
        sum: <Self::Simd as Simd>::I,
        a: <Self::Simd as Simd>::I,
        b: <Self::Simd as Simd>::I,
    ) -> <Self::Simd as Simd>::I;
}

/// A [`Task`] that multiplies bytes; `run` must be `#[inline(always)]`.
pub(crate) trait DotTask {
    type Output;
    fn run<D: ByteDots>(self, dots: D) -> Self::Output;
}
