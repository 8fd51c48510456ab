//! What the machine could do at best: the yardstick of every measurement.

use crate::matmul::Compute;
use crate::simd::{LANES, Simd, Task};

/// Independent chains: enough to hide the latency of an FMA, few enough for the registers.
const CHAINS: usize = 12;

/// Runs fused multiply-adds on registers alone, on all threads; returns how many floating-point
/// operations were done. Divide by the time it took for the machine's peak.
pub fn multiply_add(compute: &mut Compute, steps: usize) -> f64 {
    let backend = compute.backend;
    let threads = compute.threads();
    compute.team.run(&|thread| {
        // The result must be used, or the work would be optimised away.
        let x = backend.dispatch(Chain { steps, start: thread as f32 });
        assert!(x.is_finite());
    });
    2.0 * (LANES * CHAINS * steps * threads) as f64
}

struct Chain {
    steps: usize,
    start: f32,
}

impl Task for Chain {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(0.999_9), s.splat(1e-4));
        let mut acc = [s.splat(self.start); CHAINS];
        for _ in 0..self.steps {
            for c in 0..CHAINS {
                acc[c] = s.fma(acc[c], a, b);
            }
        }
        let mut total = s.splat(0.0);
        for c in 0..CHAINS {
            total = s.add(total, acc[c]);
        }
        s.array(total).iter().sum()
    }
}
