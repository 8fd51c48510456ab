use logitree_kernels::*;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let width: usize = a[1].parse().unwrap();
    let (dtype, rows, cols) = match a[2].as_str() {
        "q8" => (DType::Q8_0, 65536, 640),
        "q5" => (DType::Q5_0, 16384, 640),
        "q41" => (DType::Q4_1, 16384, 576),
        _ => (DType::Q4_K, 8192, 2048),
    };
    let rows = a.get(5).map_or(rows, |r| r.parse().unwrap());
    let arith = Arithmetic::ALL.into_iter().find(|x| x.name() == a[3]).unwrap();
    let threads: usize = a[4].parse().unwrap();
    let mut compute = Compute::new(Backend::detect(), threads).with(arith).unwrap();
    let bytes = vec![0x11; dtype.row_bytes(cols).unwrap() * rows];
    let matrix = PackedMatrix::pack(&mut compute, dtype, rows, cols, &bytes).unwrap();
    let mut panels = Panels::default();
    panels.reset(&compute, width, cols);
    (0..width).for_each(|c| panels.set(c, &vec![0.5; cols]));
    let mut out = vec![0.0; width * rows];
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed().as_secs_f64() < 3.0 {
        let t = Instant::now();
        matmul(&mut compute, &panels, &mut [Product { matrix: &matrix, out: &mut out }]);
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!(
        "{width} {} {}: {:.0} GFLOP/s, {:.2} ns per step",
        a[2],
        a[3],
        2.0 * (rows * cols * width) as f64 / best / 1e9,
        best * 1e9 * threads as f64 / ((rows / 16) * (cols / 32) * width.div_ceil(5)) as f64
    );
}
