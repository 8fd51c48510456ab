//! AVX-512 backend: one register per vector.

use super::{ByteDots, DotTask, LANES, Lanes, Simd, Task};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL, DQ, and AVX2, FMA, F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU must have the features named on the type.
    pub(super) unsafe fn assume() -> Self {
        Avx512(())
    }
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
fn enter<T: Task>(simd: Avx512, task: T) -> T::Output {
    task.run(simd)
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn enter_dots<T: DotTask>(vnni: Vnni, task: T) -> T::Output {
    task.run(vnni)
}

// SAFETY of every block below: `self` proves that the CPU has the instructions, and references to
// 16-element arrays are valid for the unaligned loads and stores made through them.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    /// With 6 columns there are 24 accumulators, 4 vectors of weights and an activation: 29 of 32 registers.
    const TILES: usize = 4;
    const NARROW_TILES: usize = 4;

    fn vectorize<T: Task>(self, task: T) -> T::Output {
        unsafe { enter(self, task) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn load(self, p: &Lanes<f32>) -> Self::F {
        unsafe { _mm512_loadu_ps(p.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, p: &mut Lanes<f32>, v: Self::F) {
        unsafe { _mm512_storeu_ps(p.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_f16(self, p: &Lanes<u16>) -> Self::F {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_u32(self, p: &Lanes<u32>) -> Self::I {
        unsafe { _mm512_loadu_si512(p.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_u8(self, p: &Lanes<u8>) -> Self::I {
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(p.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, p: &Lanes<i8>) -> Self::I {
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(p.as_ptr().cast())) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        unsafe {
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
                _mm512_cvtps_epi32(n),
                _mm512_set1_epi32(127),
            )))
        }
    }
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> u32 {
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> u32 {
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b)) }
    }
    #[inline(always)]
    fn zero_where_gt(self, a: Self::F, b: Self::F, x: Self::F) -> Self::F {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NGT_UQ>(a, b), x) }
    }
    #[inline(always)]
    fn bitcast(self, a: Self::I) -> Self::F {
        unsafe { _mm512_castsi512_ps(a) }
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        unsafe { _mm512_castps_si512(a) }
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn shr(self, a: Self::I, shift: u32) -> Self::I {
        unsafe { _mm512_srlv_epi32(a, _mm512_set1_epi32(shift as i32)) }
    }
    #[inline(always)]
    fn and(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn shl(self, a: Self::I, shift: u32) -> Self::I {
        unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(shift as i32)) }
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn join_halves(self, low: Self::I, high: Self::I) -> Self::I {
        unsafe { join_halves(low, high) }
    }
    #[inline(always)]
    fn total(self, v: Self::F) -> f32 {
        unsafe {
            let v = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn unzip_pairs(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        unsafe {
            let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
            let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
            let odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
            let (even, odd) = (_mm512_permutex2var_pd(a, even, b), _mm512_permutex2var_pd(a, odd, b));
            [_mm512_castpd_ps(even), _mm512_castpd_ps(odd)]
        }
    }
    const LOOKUP: bool = true;
    #[inline(always)]
    fn lookup<const SMALL: bool>(self, table: &[Lanes<u32>; 2], index: Self::I) -> Self::I {
        unsafe {
            let first = _mm512_loadu_si512(table[0].as_ptr().cast());
            if SMALL {
                return _mm512_permutexvar_epi16(index, first);
            }
            _mm512_permutex2var_epi16(first, index, _mm512_loadu_si512(table[1].as_ptr().cast()))
        }
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
            // A transpose takes four stages of 2 x 2 block swaps: of elements, pairs, 128-bit lanes, 256-bit halves.
            // They are loops, because closures might not be inlined, and then are not compiled for AVX-512.
            let mut r = [_mm512_setzero_ps(); 16];
            for i in 0..16 {
                r[i] = self.load(rows[i]);
            }
            let mut a = r;
            for i in 0..16 {
                let (x, y) = (r[i & !1], r[i | 1]);
                a[i] = if i & 1 == 0 { _mm512_unpacklo_ps(x, y) } else { _mm512_unpackhi_ps(x, y) };
            }
            let mut b = a;
            for i in 0..16 {
                let (base, j) = (i & !3, (i >> 1) & 1);
                let (x, y) = (_mm512_castps_pd(a[base + j]), _mm512_castps_pd(a[base + 2 + j]));
                b[i] = _mm512_castpd_ps(if i & 1 == 0 { _mm512_unpacklo_pd(x, y) } else { _mm512_unpackhi_pd(x, y) });
            }
            // b[4g + c] holds, in 128-bit lane l, column 4l + c of rows 4g..4g+4.
            for c in 0..4 {
                let (g0, g1, g2, g3) = (b[c], b[4 + c], b[8 + c], b[12 + c]);
                let lo = _mm512_shuffle_f32x4::<0x44>(g0, g1);
                let hi = _mm512_shuffle_f32x4::<0xee>(g0, g1);
                let lo2 = _mm512_shuffle_f32x4::<0x44>(g2, g3);
                let hi2 = _mm512_shuffle_f32x4::<0xee>(g2, g3);
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(lo, lo2),
                    _mm512_shuffle_f32x4::<0xdd>(lo, lo2),
                    _mm512_shuffle_f32x4::<0x88>(hi, hi2),
                    _mm512_shuffle_f32x4::<0xdd>(hi, hi2),
                ];
                for (l, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(out[(4 * l + c) * LANES..][..LANES].as_mut_ptr(), column);
                }
            }
        }
    }
}

/// Proof that the CPU has AVX-512 VNNI beside the features of [`Avx512`].
#[derive(Clone, Copy)]
pub(crate) struct Vnni(Avx512);

impl Vnni {
    /// # Safety
    /// The CPU must have AVX-512 VNNI and the features named on [`Avx512`].
    pub(super) unsafe fn assume() -> Self {
        Vnni(Avx512(()))
    }
}

impl ByteDots for Vnni {
    type Simd = Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }
    fn vectorize<T: DotTask>(self, task: T) -> T::Output {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { enter_dots(self, task) }
    }
    #[inline(always)]
    fn dot(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe { _mm512_dpbusd_epi32(sum, a, b) }
    }
}

/// See [`Simd::join_halves`]. It is written in assembly, because compilers choose a slower instruction for it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn join_halves(low: __m512i, high: __m512i) -> __m512i {
    let mut joined = high;
    // SAFETY: the instruction changes nothing but this register.
    unsafe {
        std::arch::asm!("vpalignr {high}{{{mask}}}, {low}, {low}, 2", high = inout(zmm_reg) joined, low = in(zmm_reg) low,
            mask = in(kreg) 0x3333_3333_3333_3333u64, options(pure, nomem, nostack, preserves_flags));
    }
    joined
}
