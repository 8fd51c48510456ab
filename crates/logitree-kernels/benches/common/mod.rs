//! Timing.

use std::time::Instant;

/// Best of a few runs: neighbours on the machine only ever make it slower.
pub fn best(mut f: impl FnMut()) -> f64 {
    (0..7)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}
