//! Matrix products by format, batch width and exact arithmetic, as a share of the machine's measured f32 peak.
//!
//!   cargo bench -p logitree-kernels --bench products
//!   cargo bench -p logitree-kernels --bench products -- bf16x3 Q5_0 25      some of them
//!   cargo bench -p logitree-kernels --bench products -- avx2                with another instruction set

mod common;

use common::best;
use logitree_kernels::*;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let backend = Backend::available().into_iter().find(|backend| asked.iter().any(|arg| arg == backend.name()));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut compute = Compute::new(backend.unwrap_or_else(Backend::detect), cores);
    let steps = 1_000_000;
    let mut operations = 0.0;
    let peak = best(|| operations = multiply_add(&mut compute, steps));
    let peak = operations / peak / 1e9;
    println!("{} on {} threads: peak {peak:.0} GFLOP/s", compute.backend().name(), compute.threads());
    println!(
        "{:>6} {:>6} {:>14} {:>5} {:>9} {:>8} {:>7}",
        "", "format", "matrix", "width", "GFLOP/s", "% peak", "GB/s"
    );
    // Of each kind of name, those asked for, or all.
    for arithmetic in [Arithmetic::F32, Arithmetic::Bf16x3] {
        // Without AMX the second is only for records that were made with it.
        if (arithmetic == Arithmetic::F32 || arithmetic == compute.backend().arithmetic())
            && wanted(&asked, arithmetic.name(), |arg| arg.parse::<Arithmetic>().is_ok())
        {
            compute = compute.with(arithmetic).expect("every backend has it");
            products(&mut compute, peak, &asked);
        }
    }
}

fn products(compute: &mut Compute, peak: f64, asked: &[String]) {
    let arithmetic = compute.arithmetic();
    let mut widths: Vec<usize> = asked.iter().filter_map(|arg| arg.parse().ok()).collect();
    if widths.is_empty() {
        widths = vec![1, 2, 4, 8, 16, 25, 32, 64, 256];
    }
    for (dtype, rows, cols) in [
        (DType::Q8_0, 65536, 640),
        (DType::Q5_0, 16384, 640),
        (DType::Q4_K, 8192, 2048),
        (DType::Q4_1, 49152, 576),
        (DType::Q6_K, 8192, 2048),
        (DType::BF16, 8192, 2048),
    ] {
        if !wanted(asked, dtype.name(), |arg| DType::ALL.iter().any(|dtype| dtype.name() == arg)) {
            continue;
        }
        let bytes = vec![0x11; dtype.row_bytes(cols).expect("whole blocks") * rows];
        let matrix = PackedMatrix::pack(compute, dtype, rows, cols, &bytes).expect("sizes match");
        for &width in &widths {
            let mut panels = Panels::default();
            panels.reset(compute, width, cols, &[&matrix]);
            (0..width).for_each(|c| panels.set(c, &vec![0.5; cols]));
            let mut out = vec![0.0; width * rows];
            let seconds =
                best(|| matmul(compute, &panels, &mut [Product { matrix: &matrix, out: &mut out }], &[&matrix]));
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

/// Whether this is among the arguments of its kind, or there are none.
fn wanted(asked: &[String], name: &str, kind: impl Fn(&str) -> bool) -> bool {
    let mut of_kind = asked.iter().filter(|arg| kind(arg)).peekable();
    of_kind.peek().is_none() || of_kind.any(|arg| arg == name)
}
