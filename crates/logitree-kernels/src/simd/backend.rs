//! Which instruction sets this CPU has, and how kernels are run on one of them.

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{ByteDots, DotTask, Simd, Task, TileUnit, scalar};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::Arithmetic;

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

/// The portable backend, which every CPU can run.
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
    /// The backends that this CPU can run, fastest first. The portable one is always among them.
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

    /// The fastest backend of this CPU.
    pub fn detect() -> Backend {
        Backend::available()[0]
    }

    /// True if this backend can multiply bytes. VNNI has an instruction for it, on 512 bits or, beside AVX2, on 256;
    /// the portable backend multiplies them one by one, for comparison. Other backends have no kernel for it.
    pub fn has_dots(self) -> bool {
        self.dot_unit().is_some()
    }

    /// The proof that this backend can multiply bytes, if it can, see [`Backend::has_dots`].
    pub(crate) fn dot_unit(self) -> Option<DotUnit> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) | Kind::Avx512 if is_x86_feature_detected!("avx512vnni") => {
                // SAFETY: the backend proves AVX-512, and the CPU was asked for the rest.
                Some(DotUnit::Avx512(unsafe { avx512::Vnni::assume() }))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 if is_x86_feature_detected!("avxvnni") => {
                // SAFETY: the backend proves AVX2, and the CPU was asked for the rest.
                Some(DotUnit::Avx2(unsafe { avx2::Vnni::assume() }))
            }
            Kind::Scalar => Some(DotUnit::Scalar(scalar::Scalar)),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    /// The proof that this backend has tile registers, if it has them.
    pub(crate) fn tile_unit(self) -> Option<TileUnit> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(unit) => Some(unit),
            _ => None,
        }
    }

    /// The arithmetic in which this backend is fastest, among those that are as exact as f32.
    pub fn arithmetic(self) -> Arithmetic {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) => Arithmetic::Bf16x3,
            _ => Arithmetic::F32,
        }
    }

    /// The name in output and files: `amx`, `avx512`, `avx2`, `neon` or `scalar`.
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

    /// Runs a task in a function that is compiled for this instruction set.
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
            Kind::Scalar => Simd::vectorize(scalar::Scalar, task),
        }
    }
}

/// Proof that the CPU can multiply bytes with the vectors of a backend.
#[derive(Clone, Copy)]
pub(crate) enum DotUnit {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Vnni),
    Scalar(scalar::Scalar),
}

impl DotUnit {
    /// Runs a task in a function that is compiled for the instruction set with products of bytes.
    pub(crate) fn dispatch<T: DotTask>(self, task: T) -> T::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx512(vnni) => vnni.vectorize(task),
            #[cfg(target_arch = "x86_64")]
            DotUnit::Avx2(vnni) => vnni.vectorize(task),
            // Both kinds of tasks run on this type, so the trait is named.
            DotUnit::Scalar(scalar) => ByteDots::vectorize(scalar, task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{LANES, Lanes};

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
        let want = Simd::vectorize(scalar::Scalar, Everything(&values));
        for backend in Backend::available() {
            assert_eq!(backend.dispatch(Everything(&values)), want, "{}", backend.name());
        }
    }
}
