//! NEON backend: four registers per vector.

use super::{Lanes, Simd, Task};
use half::f16;
use std::arch::aarch64::*;

/// Proof that the CPU has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU must have NEON.
    pub(super) unsafe fn assume() -> Self {
        Neon(())
    }
}

#[inline(never)]
#[target_feature(enable = "neon")]
fn enter<T: Task>(simd: Neon, task: T) -> T::Output {
    task.run(simd)
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];

#[inline(always)]
fn each(f: impl Fn(usize) -> float32x4_t) -> F {
    std::array::from_fn(f)
}

#[inline(always)]
fn bitmask(f: impl Fn(usize) -> uint32x4_t) -> u32 {
    const WEIGHTS: [u32; 4] = [1, 2, 4, 8];
    (0..4).fold(0, |m, i| {
        // SAFETY: only reached from methods of `Neon`, whose value proves the CPU has NEON; WEIGHTS has four elements.
        m | unsafe { vaddvq_u32(vandq_u32(f(i), vld1q_u32(WEIGHTS.as_ptr()))) } << (4 * i)
    })
}

// SAFETY of every block below: `self` proves that the CPU has the instructions, and references to
// 16-element arrays are valid for the loads and stores made through them.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Neon {
    type F = F;
    type I = I;
    /// A vector is four registers, so with 6 columns there are 24 accumulators, 4 registers of weights and an
    /// activation: 29 of 32.
    const TILES: usize = 1;
    /// With 3 columns there are again 24 accumulators; one tile alone would have too few chains to hide the latency.
    const NARROW_TILES: usize = 2;

    fn vectorize<T: Task>(self, task: T) -> T::Output {
        unsafe { enter(self, task) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        unsafe { [vdupq_n_s32(x); 4] }
    }
    #[inline(always)]
    fn load(self, p: &Lanes<f32>) -> Self::F {
        unsafe { each(|i| vld1q_f32(p.as_ptr().add(4 * i))) }
    }
    #[inline(always)]
    fn store(self, p: &mut Lanes<f32>, v: Self::F) {
        unsafe {
            for i in 0..4 {
                vst1q_f32(p.as_mut_ptr().add(4 * i), v[i]);
            }
        }
    }
    #[inline(always)]
    fn load_f16(self, p: &Lanes<u16>) -> Self::F {
        unsafe {
            let floats: Lanes<f32> = p.map(|h| f16::from_bits(h).to_f32());
            each(|i| vld1q_f32(floats.as_ptr().add(4 * i)))
        }
    }
    #[inline(always)]
    fn load_u32(self, p: &Lanes<u32>) -> Self::I {
        unsafe { std::array::from_fn(|i| vreinterpretq_s32_u32(vld1q_u32(p.as_ptr().add(4 * i)))) }
    }
    #[inline(always)]
    fn load_u8(self, p: &Lanes<u8>) -> Self::I {
        unsafe {
            let v = vld1q_u8(p.as_ptr());
            let (lo, hi) = (vmovl_u8(vget_low_u8(v)), vmovl_u8(vget_high_u8(v)));
            [
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(lo))),
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(hi))),
            ]
        }
    }
    #[inline(always)]
    fn load_i8(self, p: &Lanes<i8>) -> Self::I {
        unsafe {
            let v = vld1q_s8(p.as_ptr());
            let (lo, hi) = (vmovl_s8(vget_low_s8(v)), vmovl_s8(vget_high_s8(v)));
            [
                vmovl_s16(vget_low_s16(lo)),
                vmovl_s16(vget_high_s16(lo)),
                vmovl_s16(vget_low_s16(hi)),
                vmovl_s16(vget_high_s16(hi)),
            ]
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vaddq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vsubq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vmulq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vdivq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { each(|i| vfmaq_f32(c[i], a[i], b[i])) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i])) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { each(|i| vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i])) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe { each(|i| vrndnq_f32(a[i])) }
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        unsafe { each(|i| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(n[i]), vdupq_n_s32(127))))) }
    }
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> u32 {
        unsafe { bitmask(|i| vcgtq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> u32 {
        unsafe { bitmask(|i| vcgeq_f32(a[i], b[i])) }
    }
    #[inline(always)]
    fn zero_where_gt(self, a: Self::F, b: Self::F, x: Self::F) -> Self::F {
        unsafe { each(|i| vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x[i]), vcgtq_f32(a[i], b[i])))) }
    }
    #[inline(always)]
    fn bitcast(self, a: Self::I) -> Self::F {
        unsafe { each(|i| vreinterpretq_f32_s32(a[i])) }
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        unsafe { std::array::from_fn(|i| vreinterpretq_s32_f32(a[i])) }
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        unsafe { each(|i| vcvtq_f32_s32(a[i])) }
    }
    #[inline(always)]
    fn shr(self, a: Self::I, shift: u32) -> Self::I {
        unsafe {
            let by = vdupq_n_s32(-(shift as i32));
            std::array::from_fn(|i| vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a[i]), by)))
        }
    }
    #[inline(always)]
    fn and(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { std::array::from_fn(|i| vandq_s32(a[i], b[i])) }
    }
    #[inline(always)]
    fn shl(self, a: Self::I, shift: u32) -> Self::I {
        unsafe { std::array::from_fn(|i| vshlq_s32(a[i], vdupq_n_s32(shift as i32))) }
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { std::array::from_fn(|i| vorrq_s32(a[i], b[i])) }
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { std::array::from_fn(|i| vaddq_s32(a[i], b[i])) }
    }
}
