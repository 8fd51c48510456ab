//! AVX2 backend: two registers per vector.

use super::{ByteDots, DotTask, LANES, Lanes, Simd, Task};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have the features named on the type.
    pub(super) unsafe fn assume() -> Self {
        Avx2(())
    }
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn enter<T: Task>(simd: Avx2, task: T) -> T::Output {
    task.run(simd)
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn enter_dots<T: DotTask>(vnni: Vnni, task: T) -> T::Output {
    task.run(vnni)
}

/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub(crate) struct F(__m256, __m256);
/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub(crate) struct I(__m256i, __m256i);

/// Transposes an 8 × 8 block. Loads put halves of two rows together, which spares one of the three steps of exchanges.
///
/// # Safety
/// The CPU must have AVX2, and each row must have 8 elements.
#[inline(always)]
unsafe fn transpose8(rows: [*const f32; 8]) -> [__m256; 8] {
    // SAFETY: the caller guarantees AVX2 and the elements.
    unsafe {
        // These are loops, because closures might not be inlined, and then are not compiled for AVX2.
        // First come elements 0..4 of rows i and i + 4, then elements 4..8.
        let mut r = [_mm256_setzero_ps(); 8];
        for i in 0..8 {
            let (row, at) = (i % 4, i / 4 * 4);
            let low = _mm256_castps128_ps256(_mm_loadu_ps(rows[row].add(at)));
            r[i] = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(rows[row + 4].add(at)));
        }
        let mut a = r;
        for i in 0..8 {
            let (x, y) = (r[i & !1], r[i | 1]);
            a[i] = if i & 1 == 0 { _mm256_unpacklo_ps(x, y) } else { _mm256_unpackhi_ps(x, y) };
        }
        for i in 0..8 {
            let (base, j) = (i & !3, (i >> 1) & 1);
            let (x, y) = (_mm256_castps_pd(a[base + j]), _mm256_castps_pd(a[base + 2 + j]));
            r[i] = _mm256_castpd_ps(if i & 1 == 0 { _mm256_unpacklo_pd(x, y) } else { _mm256_unpackhi_pd(x, y) });
        }
        r
    }
}

// SAFETY of every block below: `self` proves that the CPU has the instructions, and references to
// 16-element arrays are valid for the unaligned loads and stores made through them.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type F = F;
    type I = I;
    /// A vector is two registers, so with 6 columns there are 12 accumulators, 2 registers of weights and an
    /// activation: 15 of 16.
    const TILES: usize = 1;
    const NARROW_TILES: usize = 1;

    fn vectorize<T: Task>(self, task: T) -> T::Output {
        unsafe { enter(self, task) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        unsafe { F(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        unsafe { I(_mm256_set1_epi32(x), _mm256_set1_epi32(x)) }
    }
    #[inline(always)]
    fn load(self, p: &Lanes<f32>) -> Self::F {
        unsafe { F(_mm256_loadu_ps(p.as_ptr()), _mm256_loadu_ps(p.as_ptr().add(8))) }
    }
    #[inline(always)]
    fn store(self, p: &mut Lanes<f32>, v: Self::F) {
        unsafe {
            _mm256_storeu_ps(p.as_mut_ptr(), v.0);
            _mm256_storeu_ps(p.as_mut_ptr().add(8), v.1);
        }
    }
    #[inline(always)]
    fn load_f16(self, p: &Lanes<u16>) -> Self::F {
        unsafe {
            F(
                _mm256_cvtph_ps(_mm_loadu_si128(p.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(p.as_ptr().add(8).cast())),
            )
        }
    }
    #[inline(always)]
    fn load_u32(self, p: &Lanes<u32>) -> Self::I {
        unsafe { I(_mm256_loadu_si256(p.as_ptr().cast()), _mm256_loadu_si256(p.as_ptr().add(8).cast())) }
    }
    #[inline(always)]
    fn load_u8(self, p: &Lanes<u8>) -> Self::I {
        unsafe {
            I(
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.as_ptr().cast())),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.as_ptr().add(8).cast())),
            )
        }
    }
    #[inline(always)]
    fn load_i8(self, p: &Lanes<i8>) -> Self::I {
        unsafe {
            I(
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.as_ptr().cast())),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.as_ptr().add(8).cast())),
            )
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { F(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { F(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe {
            F(
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a.0),
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a.1),
            )
        }
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        unsafe {
            F(
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
                    _mm256_cvtps_epi32(n.0),
                    _mm256_set1_epi32(127),
                ))),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
                    _mm256_cvtps_epi32(n.1),
                    _mm256_set1_epi32(127),
                ))),
            )
        }
    }
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> u32 {
        unsafe {
            (_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0))
                | _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1)) << 8) as u32
        }
    }
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> u32 {
        unsafe {
            (_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a.0, b.0))
                | _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a.1, b.1)) << 8) as u32
        }
    }
    #[inline(always)]
    fn zero_where_gt(self, a: Self::F, b: Self::F, x: Self::F) -> Self::F {
        unsafe {
            F(
                _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0), x.0),
                _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1), x.1),
            )
        }
    }
    #[inline(always)]
    fn bitcast(self, a: Self::I) -> Self::F {
        unsafe { F(_mm256_castsi256_ps(a.0), _mm256_castsi256_ps(a.1)) }
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        unsafe { I(_mm256_castps_si256(a.0), _mm256_castps_si256(a.1)) }
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        unsafe { F(_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
    }
    #[inline(always)]
    fn shr(self, a: Self::I, shift: u32) -> Self::I {
        unsafe {
            I(
                _mm256_srlv_epi32(a.0, _mm256_set1_epi32(shift as i32)),
                _mm256_srlv_epi32(a.1, _mm256_set1_epi32(shift as i32)),
            )
        }
    }
    #[inline(always)]
    fn and(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { I(_mm256_and_si256(a.0, b.0), _mm256_and_si256(a.1, b.1)) }
    }
    #[inline(always)]
    fn shl(self, a: Self::I, shift: u32) -> Self::I {
        unsafe {
            I(
                _mm256_sllv_epi32(a.0, _mm256_set1_epi32(shift as i32)),
                _mm256_sllv_epi32(a.1, _mm256_set1_epi32(shift as i32)),
            )
        }
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { I(_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
    }
    const BYTE: bool = true;
    #[inline(always)]
    fn byte(self, a: Self::I, j: usize) -> Self::I {
        unsafe {
            // The shuffle takes byte j of each lane and puts zeros above it.
            let first = _mm256_set1_epi32(0x8080_8000_u32 as i32 + j as i32);
            let from = _mm256_add_epi32(first, _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12));
            match j {
                0 => self.and(a, self.splat_i32(0xff)),
                3 => self.shr(a, 24),
                _ => I(_mm256_shuffle_epi8(a.0, from), _mm256_shuffle_epi8(a.1, from)),
            }
        }
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { I(_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    fn prefetch_second(self, p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
    #[inline(always)]
    fn transpose(self, rows: [&Lanes<f32>; LANES], out: &mut [f32]) {
        let out = &mut out[..LANES * LANES];
        unsafe {
            for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
                let mut block = [std::ptr::null(); 8];
                for r in 0..8 {
                    block[r] = rows[i + r][j..].as_ptr();
                }
                for (c, column) in transpose8(block).into_iter().enumerate() {
                    _mm256_storeu_ps(out[(j + c) * LANES + i..][..8].as_mut_ptr(), column);
                }
            }
        }
    }
}

/// Proof that the CPU has AVX-VNNI beside the features of [`Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct Vnni(Avx2);

impl Vnni {
    /// # Safety
    /// The CPU must have AVX-VNNI and the features named on [`Avx2`].
    pub(super) unsafe fn assume() -> Self {
        Vnni(Avx2(()))
    }
}

impl ByteDots for Vnni {
    type Simd = Avx2;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }
    fn vectorize<T: DotTask>(self, task: T) -> T::Output {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { enter_dots(self, task) }
    }
    #[inline(always)]
    fn dot(self, sum: I, a: I, b: I) -> I {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { I(_mm256_dpbusd_avx_epi32(sum.0, a.0, b.0), _mm256_dpbusd_avx_epi32(sum.1, a.1, b.1)) }
    }
}
