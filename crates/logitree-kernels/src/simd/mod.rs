//! Thin SIMD shims: one algorithm, several instruction sets.
//!
//! Every kernel is written once, generic over [`Simd`], whose vectors always have 16 f32 lanes
//! (one AVX-512 register, two AVX2 registers, four NEON registers, or an array). All operations
//! are lane-wise and correctly rounded, multiply-add is always fused, and horizontal sums are
//! taken in lane order. **So every backend computes the same bits.**
//!
//! A backend value can only be obtained from [`Backend::available`]'s checks: holding one proves
//! that the CPU has the instructions.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_amx.rs"]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::Arithmetic;
pub(crate) use amx::{TileUnit, Tiles};

/// Lanes of a vector, rows of a weight tile, keys of an attention block.
pub(crate) const LANES: usize = 16;

/// One f32 or integer per lane, in memory.
pub(crate) type Lanes<T> = [T; LANES];

/// The operations kernels are made of.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// 16 f32 lanes.
    type F: Copy;
    /// 16 i32 lanes.
    type I: Copy;
    /// Weight tiles that the micro-kernel multiplies at once: enough chains to hide the latency of a multiply-add, few
    /// enough for the registers, and as few loads per multiply-add as that allows.
    const TILES: usize;
    /// The same for batches of up to [`crate::micro::NARROW`] columns, whose sums take fewer registers.
    const NARROW_TILES: usize;

    /// Runs a task in a function compiled for this instruction set.
    fn vectorize<T: Task>(self, task: T) -> T::Output;

    /// As [`Self::vectorize`], for tasks that call [`Self::dot`]. Only a backend for which [`Backend::has_dots`] holds may run them.
    fn vectorize_dots<T: Task>(self, _: T) -> T::Output {
        unreachable!("this backend has no products of bytes")
    }

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
    /// Logical shift to the right.
    fn shr(self, a: Self::I, shift: u32) -> Self::I;
    fn shl(self, a: Self::I, shift: u32) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Whether [`Self::byte`] is a single instruction.
    const BYTE: bool = false;

    /// Byte `j` of each lane.
    #[inline(always)]
    fn byte(self, a: Self::I, j: usize) -> Self::I {
        self.and(self.shr(a, 8 * j as u32), self.splat_i32(0xff))
    }

    /// Wraps around.
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The f32 with these bits.
    fn bitcast(self, a: Self::I) -> Self::F;
    /// The bits of an f32.
    fn bits(self, a: Self::F) -> Self::I;

    /// Adds the products of four unsigned bytes of `a` with four signed ones of `b`, lane by lane.
    /// Only for [`Self::vectorize_dots`].
    #[inline(always)]
    fn dot(self, _sum: Self::I, _a: Self::I, _b: Self::I) -> Self::I {
        unreachable!("this backend has no products of bytes")
    }

    /// The upper half of each lane of `low` as the lower one, beside the upper half of `high`.
    #[inline(always)]
    fn join_halves(self, low: Self::I, high: Self::I) -> Self::I {
        self.or(self.shr(low, 16), self.and(high, self.splat_i32(-0x1_0000)))
    }

    /// Sum of the lanes: one half is added to the other, then a half of that, and so on.
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

    /// Lanes 0, 1, 4, 5, … of both, one after the other, and lanes 2, 3, 6, 7, … of both.
    #[inline(always)]
    fn unzip_pairs(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        let from = [self.array(a), self.array(b)];
        let mut to = [[0.0; LANES]; 2];
        for (i, x) in from.as_flattened().iter().enumerate() {
            to[i / 2 % 2][i / 4 * 2 + i % 2] = *x;
        }
        [self.load(&to[0]), self.load(&to[1])]
    }

    /// Whether [`Self::lookup`] is there.
    const LOOKUP: bool = false;

    /// For each of the two 16-bit numbers of a lane the entry of a table of 64 with that number, of which the lowest 6 bits count;
    /// with `SMALL` of the first 32, of which 5 bits count.
    #[inline(always)]
    fn lookup<const SMALL: bool>(self, _table: &[Lanes<u32>; 2], _index: Self::I) -> Self::I {
        unreachable!("this backend has no tables")
    }

    /// Asks for the cache line at `p` ahead of its use. Only a hint: `p` may be anything.
    #[inline(always)]
    fn prefetch(self, _p: *const u8) {}

    /// The same into the second cache, for what will be needed later than would fit the first one.
    #[inline(always)]
    fn prefetch_second(self, _p: *const u8) {}

    /// Transposes a 16 × 16 block: row `i` is read from `rows[i]`, lane `j` of output `i` is element `i` of row `j`.
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

/// Work to be compiled once per instruction set; `run` must be `#[inline(always)]`.
pub(crate) trait Task {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

/// The portable one, which every CPU has.
impl Default for Backend {
    fn default() -> Backend {
        Backend(Kind::Scalar)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// AVX-512 with the tiles of AMX beside it.
    #[cfg(target_arch = "x86_64")]
    Amx(TileUnit),
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Backend {
    /// What this CPU can run, fastest first; never empty.
    pub fn available() -> Vec<Backend> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
            {
                found.extend(TileUnit::detect().map(|unit| Backend(Kind::Amx(unit))));
                found.push(Backend(Kind::Avx512));
            }
            if avx2 {
                found.push(Backend(Kind::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Backend(Kind::Neon));
        }
        found.push(Backend(Kind::Scalar));
        found
    }

    /// The fastest available backend.
    pub fn detect() -> Backend {
        Backend::available()[0]
    }

    /// Whether it can multiply bytes: VNNI is an instruction for it, on 512 bits or, with AVX2, on 256; the portable backend
    /// does it one by one, for comparison. The others have no kernel for it.
    pub fn has_dots(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) | Kind::Avx512 => is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => is_x86_feature_detected!("avxvnni"),
            Kind::Scalar => true,
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// Its tile registers, if it has any.
    pub(crate) fn tile_unit(self) -> Option<TileUnit> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(unit) => Some(unit),
            _ => None,
        }
    }

    /// The arithmetic in which it is fastest, among those that are as exact as f32.
    pub fn arithmetic(self) -> Arithmetic {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) => Arithmetic::Bf16x3,
            _ => Arithmetic::F32,
        }
    }

    /// Name for output and files: `amx`, `avx512`, `avx2`, `neon` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) => "amx",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            Kind::Scalar => "scalar",
        }
    }

    pub(crate) fn dispatch<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            // SAFETY: `available` is the only maker of these values and checked the CPU.
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) | Kind::Avx512 => unsafe { avx512::Avx512::assume() }.vectorize(task),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::Avx2::assume() }.vectorize(task),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { neon::Neon::assume() }.vectorize(task),
            Kind::Scalar => scalar::Scalar.vectorize(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on a grid of awkward values.
    struct Everything<'a>(&'a [f32]);
    impl Task for Everything<'_> {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<u32> {
            let mut out = Vec::new();
            let bytes: Lanes<u8> = std::array::from_fn(|i| (i * 37 + 5) as u8);
            let halves: Lanes<u16> = std::array::from_fn(|i| (i * 4099 + 1) as u16 & 0xfbff);
            for a in self.0.as_chunks::<LANES>().0 {
                for b in self.0.as_chunks::<LANES>().0 {
                    let (x, y) = (s.load(a), s.load(b));
                    let small = s.max(s.min(s.round(x), s.splat(127.0)), s.splat(-126.0));
                    let [even, odd] = s.unzip_pairs(x, y);
                    let vectors = [
                        s.add(x, y),
                        s.sub(x, y),
                        s.mul(x, y),
                        s.div(x, y),
                        s.fma(x, y, x),
                        s.max(x, y),
                        s.min(x, y),
                        s.round(x),
                        s.zero_where_gt(x, y, s.sub(x, y)),
                        s.exp2i(small),
                        s.load_f16(&halves),
                        s.to_f32(s.load_i8(&bytes.map(|b| b as i8))),
                        s.to_f32(s.or(s.and(s.shr(s.load_u8(&bytes), 3), s.splat_i32(7)), s.shl(s.load_u8(&bytes), 4))),
                        s.to_f32(s.or(s.byte(s.bits(x), 0), s.byte(s.bits(x), 1))),
                        s.to_f32(s.or(s.byte(s.bits(x), 2), s.byte(s.bits(x), 3))),
                        s.bitcast(s.add_i32(s.load_u8(&bytes), s.load_i8(&bytes.map(|b| b as i8)))),
                        even,
                        odd,
                        s.splat(s.total(x)),
                        s.bitcast(s.and(s.bits(s.sub(x, y)), s.splat_i32(-0x1_0000))),
                        s.bitcast(s.shr(s.load_u32(a.each_ref().map(|x| x.to_bits()).first_chunk().unwrap()), 1)),
                    ];
                    out.extend(vectors.iter().flat_map(|&v| s.array(v)).map(f32::to_bits));
                    out.extend([s.gt(x, y), s.ge(x, y)]);
                }
            }
            let block: Vec<Lanes<f32>> = (0..16).map(|i| std::array::from_fn(|j| (i * 16 + j) as f32)).collect();
            let mut transposed = vec![0.0; 256];
            s.transpose(std::array::from_fn(|i| &block[i]), &mut transposed);
            out.extend(transposed.iter().map(|x| x.to_bits()));
            out
        }
    }

    #[test]
    fn all_backends_compute_the_same_bits() {
        let values: Vec<f32> =
            [0.0, 1.0, -1.5, 0.5, 2.5, -2.5, 3e-39, 1e30, -7.25, 1e-20, 126.5, -126.5, 8.0, 1.1, 0.3, -0.0]
                .into_iter()
                .chain((0..48).map(|i| (i as f32 - 20.3) * 1.37))
                .collect();
        let want = scalar::Scalar.vectorize(Everything(&values));
        for backend in Backend::available() {
            assert_eq!(backend.dispatch(Everything(&values)), want, "{}", backend.name());
        }
    }
}
