//! Elementary functions on vectors, and reductions in a fixed order.

use crate::simd::{LANES, Lanes, Simd};

/// `e^x`, relative error below 2e-7; arguments below -87.3 give about 1e-38. NaN stays NaN: `max` and `min` give their
/// second operand when a comparison fails.
///
/// Cody–Waite reduction `x = n ln 2 + r`, then a degree-6 polynomial on `|r| ≤ ln 2 / 2`
/// (coefficients: Cephes `expf`).
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(88.0), s.max(s.splat(-87.3), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = s.fma(p, r, s.splat(c));
    }
    let p = s.fma(s.mul(p, r), r, r);
    s.mul(s.add(p, s.splat(1.0)), s.exp2i(n))
}

/// `tanh x` as `1 - 2 / (e^{2x} + 1)`; absolute error below 2e-7.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(20.0), s.max(s.splat(-20.0), x));
    let e = exp(s, s.add(x, x));
    s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))))
}

/// Sum of a vector's lanes, in lane order and in f64.
#[inline(always)]
pub(crate) fn sum<S: Simd>(s: S, v: S::F) -> f64 {
    s.array(v).iter().map(|&x| f64::from(x)).sum()
}

/// Splits a slice into whole vectors and a zero-padded rest.
#[inline(always)]
pub(crate) fn vectors(x: &[f32]) -> (&[Lanes<f32>], Option<Lanes<f32>>) {
    let (whole, rest) = x.as_chunks::<LANES>();
    let padded = (!rest.is_empty()).then(|| {
        let mut a = [0.0; LANES];
        a[..rest.len()].copy_from_slice(rest);
        a
    });
    (whole, padded)
}

/// A function of two vectors. It is a trait and not a closure, because only methods can be made to inline, and a
/// function that is not inlined into the caller is not compiled for its instruction set.
pub(crate) trait Binary: Copy {
    /// The function; must be `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F;
}

/// `x[i] = f(x[i], y[i])`. The rest that is no whole vector is computed in a padded one, of which only real elements
/// are stored.
#[inline(always)]
pub(crate) fn map2<S: Simd>(s: S, x: &mut [f32], y: &[f32], f: impl Binary) {
    assert_eq!(x.len(), y.len());
    let (whole_y, rest_y) = vectors(y);
    let n = x.len() % LANES;
    let (whole_x, rest_x) = x.as_chunks_mut::<LANES>();
    for (x, y) in whole_x.iter_mut().zip(whole_y) {
        s.store(x, f.apply(s, s.load(x), s.load(y)));
    }
    if let Some(y) = rest_y {
        let mut a = [0.0; LANES];
        a[..n].copy_from_slice(rest_x);
        let a = s.array(f.apply(s, s.load(&a), s.load(&y)));
        rest_x.copy_from_slice(&a[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use crate::simd::Task;

    struct Apply<'a>(&'a [f32]);
    impl Task for Apply<'_> {
        type Output = Vec<(f32, f32, f32)>;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let mut out = Vec::new();
            for chunk in self.0.as_chunks::<LANES>().0 {
                let x = s.load(chunk);
                let (e, t) = (s.array(exp(s, x)), s.array(tanh(s, x)));
                out.extend((0..LANES).map(|i| (chunk[i], e[i], t[i])));
            }
            out
        }
    }

    #[test]
    fn nan_stays_nan_and_infinities_are_the_limits() {
        let mut x = [f32::NAN; LANES];
        (x[1], x[2]) = (f32::INFINITY, f32::NEG_INFINITY);
        for backend in Backend::available() {
            let out = backend.dispatch(Apply(&x));
            for (i, (_, e, t)) in out.into_iter().enumerate() {
                let right = match i {
                    1 => e > 1e38 && t == 1.0,
                    2 => e < 2e-38 && t == -1.0,
                    _ => e.is_nan() && t.is_nan(),
                };
                assert!(right, "{}, lane {i}: exp {e}, tanh {t}", backend.name());
            }
        }
    }

    #[test]
    fn exp_and_tanh_are_close_to_f64() {
        let grid: Vec<f32> = (0..1 << 16).map(|i| -87.0 + i as f32 * (175.0 / 65536.0)).collect();
        for backend in Backend::available() {
            for (x, e, t) in backend.dispatch(Apply(&grid)) {
                let want = f64::from(x).exp();
                assert!((f64::from(e) - want).abs() <= 2.5e-7 * want, "{}: exp({x}) = {e}", backend.name());
                assert!((f64::from(t) - f64::from(x).tanh()).abs() <= 2.5e-7, "{}: tanh({x}) = {t}", backend.name());
            }
        }
    }
}
