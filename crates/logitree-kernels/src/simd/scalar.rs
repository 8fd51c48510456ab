//! Portable backend on plain arrays. It is slow on CPUs without hardware FMA, but computes the same bits.

use super::{ByteDots, DotTask, LANES, Lanes, Simd, Task};
use half::f16;

#[derive(Clone, Copy)]
pub(crate) struct Scalar;

#[inline(always)]
fn map(a: Lanes<f32>, b: Lanes<f32>, f: impl Fn(f32, f32) -> f32) -> Lanes<f32> {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn mask(a: Lanes<f32>, b: Lanes<f32>, f: impl Fn(f32, f32) -> bool) -> u32 {
    (0..LANES).fold(0, |m, i| m | (f(a[i], b[i]) as u32) << i)
}

impl Simd for Scalar {
    type F = Lanes<f32>;
    type I = Lanes<i32>;
    const TILES: usize = 1;
    const NARROW_TILES: usize = 1;

    fn vectorize<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, p: &Lanes<f32>) -> Self::F {
        *p
    }
    #[inline(always)]
    fn store(self, p: &mut Lanes<f32>, v: Self::F) {
        *p = v;
    }
    #[inline(always)]
    fn load_f16(self, p: &Lanes<u16>) -> Self::F {
        p.map(|h| f16::from_bits(h).to_f32())
    }
    #[inline(always)]
    fn load_u32(self, p: &Lanes<u32>) -> Self::I {
        p.map(|x| x as i32)
    }
    #[inline(always)]
    fn load_u8(self, p: &Lanes<u8>) -> Self::I {
        p.map(i32::from)
    }
    #[inline(always)]
    fn load_i8(self, p: &Lanes<i8>) -> Self::I {
        p.map(i32::from)
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    // Max and min follow x86: if the comparison is false, and so also for NaN, they give the second operand.
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        map(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> u32 {
        mask(a, b, |a, b| a > b)
    }
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> u32 {
        mask(a, b, |a, b| a >= b)
    }
    #[inline(always)]
    fn zero_where_gt(self, a: Self::F, b: Self::F, x: Self::F) -> Self::F {
        std::array::from_fn(|i| if a[i] > b[i] { 0.0 } else { x[i] })
    }
    #[inline(always)]
    fn bitcast(self, a: Self::I) -> Self::F {
        a.map(|a| f32::from_bits(a as u32))
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        a.map(|a| a.to_bits() as i32)
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    fn shr(self, a: Self::I, shift: u32) -> Self::I {
        a.map(|a| (a as u32 >> shift) as i32)
    }
    #[inline(always)]
    fn and(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn shl(self, a: Self::I, shift: u32) -> Self::I {
        a.map(|a| a << shift)
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
}

/// Every CPU can multiply bytes one by one.
impl ByteDots for Scalar {
    type Simd = Scalar;

    #[inline(always)]
    fn simd(self) -> Scalar {
        self
    }
    fn vectorize<T: DotTask>(self, task: T) -> T::Output {
        task.run(self)
    }
    #[inline(always)]
    fn dot(self, sum: Lanes<i32>, a: Lanes<i32>, b: Lanes<i32>) -> Lanes<i32> {
        std::array::from_fn(|i| {
            let products = a[i].to_le_bytes().into_iter().zip(b[i].to_le_bytes());
            products.fold(sum[i], |sum, (a, b)| sum + i32::from(a) * i32::from(b as i8))
        })
    }
}
