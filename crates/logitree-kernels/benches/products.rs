//! Matrix products by format, batch width and exact arithmetic, as a share of the machine's measured f32 peak.
//!
//!   cargo bench -p logitree-kernels --bench products

mod common;

use common::best;
use logitree_kernels::*;

fn main() {
    let mut compute = Compute::detect();
    let steps = 20_000_000;
    let mut operations = 0.0;
    let peak = best(|| operations = multiply_add(&mut compute, steps));
    let peak = operations / peak / 1e9;
    println!("{} on {} threads: peak {peak:.0} GFLOP/s", compute.backend().name(), compute.threads());
    println!(
        "{:>6} {:>6} {:>14} {:>5} {:>9} {:>8} {:>7}",
        "", "format", "matrix", "width", "GFLOP/s", "% peak", "GB/s"
    );
    for arithmetic in [Arithmetic::F32, Arithmetic::Bits24] {
        // Without AMX the second is only for records that were made with it.
        if arithmetic == Arithmetic::F32 || arithmetic == compute.backend().arithmetic() {
            compute = compute.with(arithmetic).expect("every backend has it");
            products(&mut compute, peak);
        }
    }
}

fn products(compute: &mut Compute, peak: f64) {
    let arithmetic = compute.arithmetic();
    for (dtype, rows, cols) in [
        (DType::Q8_0, 65536, 640),
        (DType::Q5_0, 16384, 640),
        (DType::Q4_K, 8192, 2048),
        (DType::Q6_K, 8192, 2048),
        (DType::BF16, 8192, 2048),
    ] {
        let bytes = vec![0x11; dtype.row_bytes(cols).expect("whole blocks") * rows];
        let matrix = PackedMatrix::pack(compute, dtype, rows, cols, &bytes).expect("sizes match");
        for width in [1, 2, 4, 8, 16, 25, 32, 64, 256] {
            let mut panels = Panels::default();
            panels.reset(compute, width, cols);
            (0..width).for_each(|c| panels.set(c, &vec![0.5; cols]));
            let mut out = vec![0.0; width * rows];
            let seconds = best(|| matmul(compute, &panels, &mut [Product { matrix: &matrix, out: &mut out }]));
            let gflops = 2.0 * (rows * cols * width) as f64 / seconds / 1e9;
            let share = 100.0 * gflops / peak;
            let gbs = matrix.bytes() as f64 / seconds / 1e9;
            println!(
                "{arithmetic:>6} {:>6} {:>14} {width:>5} {gflops:>9.1} {share:>7.0}% {gbs:>7.1}",
                dtype.name(),
                format!("{rows} x {cols}")
            );
        }
    }
}
