//! Everything that is not a plain matrix product: attention, the output matrix with its statistics, packing, norms,
//! activations.
//!
//!   cargo bench -p logitree-kernels --bench others

mod common;

use common::best;
use logitree_kernels::*;

fn main() {
    let mut compute = Compute::detect();
    println!("{} on {} threads", compute.backend().name(), compute.threads());
    heads(&mut compute);
    attentions(&mut compute);
    prompts(&mut compute);
    packing(&mut compute);
    columns(&mut compute);
}

/// gemma-3-270m's output matrix: bare products, and with softmax statistics, ranks and the ten most likely tokens.
fn heads(compute: &mut Compute) {
    let (vocab, k) = (262_144, 640);
    let bytes = vec![0x11; DType::Q8_0.row_bytes(k).expect("whole blocks") * vocab];
    let matrix = PackedMatrix::pack(compute, DType::Q8_0, vocab, k, &bytes).expect("sizes match");
    for width in [1, 8, 25, 64] {
        let x: Vec<f32> = (0..width * k).map(|i| (i % 97) as f32 * 1e-3).collect();
        let columns: Vec<&[f32]> = x.chunks(k).collect();
        let wanted = vec![Wanted { top: 10, tokens: &[42], ..Wanted::default() }; width];
        let seconds = best(|| assert_eq!(head(compute, &matrix, None, &columns, &wanted).len(), width));
        let mut panels = Panels::default();
        panels.reset(compute, width, k, &[&matrix]);
        columns.iter().enumerate().for_each(|(c, x)| panels.set(c, x));
        let mut out = vec![0.0; width * vocab];
        let bare = best(|| matmul(compute, &panels, &mut [Product { matrix: &matrix, out: &mut out }], &[]));
        println!(
            "output matrix, width {width:>3}: {:7.2} ms; products alone, logits to memory: {:7.2} ms",
            1e3 * seconds,
            1e3 * bare
        );
    }
}

/// Layers of gemma-3-270m, one after the other as in a pass, so that rows come from where they lie: paths that share all
/// but their last few positions.
fn attentions(compute: &mut Compute) {
    const LAYERS: usize = 18;
    let shape = AttentionShape { layer: 0, heads: 4, kv_heads: 1, head_dim: 256, scale: 1.0, softcap: None };
    for (width, shared, own) in [
        (1, 100, 0),
        (1, 6000, 0),
        (5, 6000, 5),
        (25, 6000, 5),
        (25, 10, 5),
        (25, 10, 100),
        (25, 100, 100),
        (25, 1000, 100),
        (64, 1000, 100),
    ] {
        let mut kv = KvPages::new([256; LAYERS]);
        while kv.slots() < shared + width * (own + 1) {
            kv.grow();
        }
        let paths: Vec<Vec<u32>> = (0..width)
            .map(|w| (0..shared).chain((0..=own).map(|i| shared + i * width + w)).map(|s| s as u32).collect())
            .collect();
        for layer in 0..LAYERS {
            store(compute, &mut kv, &AttentionShape { layer, ..shape });
        }
        let visible: Vec<Visible<'_>> = paths.iter().map(|path| Visible { path, start: 0 }).collect();
        let q = vec![0.1; width * 1024];
        let mut out = Panels::default();
        out.reset(compute, width, 1024, &[]);
        let seconds = best(|| {
            for layer in 0..LAYERS {
                attention(compute, &AttentionShape { layer, ..shape }, &kv, &q, &visible, &mut out);
            }
        });
        let micros = 1e6 * seconds / LAYERS as f64;
        println!("attention, {width:>2} paths, {shared:>4} shared + {own:>3} own positions: {micros:8.1} us a layer");
    }
}

/// A prompt's batches: 128 columns after 0 to 5,888 positions, in both models' shapes.
fn prompts(compute: &mut Compute) {
    for (name, heads, kv_heads, head_dim) in [("gemma-3-270m", 4, 1, 256), ("SmolLM2-135M", 9, 3, 64)] {
        let shape = AttentionShape { layer: 0, heads, kv_heads, head_dim, scale: 1.0, softcap: None };
        let (n, width) = (6016, 128);
        let mut kv = KvPages::new([kv_heads * head_dim]);
        while kv.slots() < n {
            kv.grow();
        }
        store(compute, &mut kv, &shape);
        let path: Vec<u32> = (0..n as u32).collect();
        let q = vec![0.1; width * heads * head_dim];
        let mut out = Panels::default();
        out.reset(compute, width, heads * head_dim, &[]);
        for first in [0, 512, 2048, 5888] {
            let visible: Vec<Visible<'_>> =
                (first..first + width).map(|at| Visible { path: &path[..at + 1], start: 0 }).collect();
            let seconds = best(|| attention(compute, &shape, &kv, &q, &visible, &mut out));
            let seen: usize = visible.iter().map(|v| v.path.len()).sum();
            let flops = 4.0 * (seen * heads * head_dim) as f64;
            println!(
                "attention, {name}, 128 columns from {first:>4}: {:7.2} ms, {:5.0} GFLOP/s",
                1e3 * seconds,
                flops / seconds / 1e9
            );
        }
    }
    // One token and a few paths after 6,000 in SmolLM2's shape, all layers.
    const LAYERS: usize = 30;
    let shape = AttentionShape { layer: 0, heads: 9, kv_heads: 3, head_dim: 64, scale: 1.0, softcap: None };
    let mut kv = KvPages::new([192; LAYERS]);
    while kv.slots() < 6064 {
        kv.grow();
    }
    for layer in 0..LAYERS {
        store(compute, &mut kv, &AttentionShape { layer, ..shape });
    }
    for width in [1, 5, 25] {
        let paths: Vec<Vec<u32>> = (0..width).map(|w| (0..6000).chain([6000 + w as u32]).collect()).collect();
        let visible: Vec<Visible<'_>> = paths.iter().map(|path| Visible { path, start: 0 }).collect();
        let q = vec![0.1; width * 576];
        let mut out = Panels::default();
        out.reset(compute, width, 576, &[]);
        let seconds = best(|| {
            for layer in 0..LAYERS {
                attention(compute, &AttentionShape { layer, ..shape }, &kv, &q, &visible, &mut out);
            }
        });
        let bytes = (LAYERS * 2 * 6000 * 192 * 4) as f64;
        println!(
            "attention, SmolLM2-135M, {width:>2} paths after 6000: {:7.2} ms a step, rows at {:5.1} GB/s",
            1e3 * seconds,
            bytes / seconds / 1e9
        );
    }
}

/// Writes a layer's rows, all of them: memory that was never written is one page of zeros.
fn store(compute: &mut Compute, kv: &mut KvPages, shape: &AttentionShape) {
    let slots: Vec<u32> = (0..kv.slots() as u32).collect();
    let [mut q, mut k, mut v] =
        [shape.heads, shape.kv_heads, shape.kv_heads].map(|heads| vec![0.1; slots.len() * heads * shape.head_dim]);
    let angles = vec![(&[][..], &[][..]); slots.len()];
    let pairs = RopePairs::Halves;
    let [q, k, v] = [&mut q, &mut k, &mut v];
    let rows = Some(KeysValues { k, v, slots: &slots });
    Projections { q, kv: rows, bias: None, norms: [None; 3], angles: &angles, pairs }.run(compute, shape, kv);
}

fn packing(compute: &mut Compute) {
    for dtype in [DType::Q8_0, DType::Q5_0, DType::Q4_K, DType::Q6_K, DType::BF16] {
        let (rows, k) = (16_384, 2048);
        let bytes = vec![0x11; dtype.row_bytes(k).expect("whole blocks") * rows];
        let seconds = best(|| {
            PackedMatrix::pack(compute, dtype, rows, k, &bytes).expect("sizes match");
        });
        println!("packing {dtype}: {:5.2} GB/s", bytes.len() as f64 / seconds / 1e9);
    }
}

fn columns(compute: &mut Compute) {
    let (width, k, wide) = (25, 640, 2048);
    let (mut x, mut y, weight) = (vec![0.5; width * k], vec![0.25; width * k], vec![1.0; k]);
    let norm = RmsNorm { weight: &weight, eps: 1e-6 };
    let mut panels = Panels::default();
    panels.reset(compute, width, k, &[]);
    let seconds = best(|| {
        Residual { x: &mut x, y: Some(&mut y), post: Some(norm), scale: None, next: Some(norm) }
            .run(compute, &mut panels)
    });
    println!("residual with two norms, {width} x {k}: {:6.1} us", 1e6 * seconds);
    let (mut gate, up) = (vec![0.5; width * wide], vec![0.25; width * wide]);
    panels.reset(compute, width, wide, &[]);
    for activation in [Gate::Silu, Gate::GeluTanh] {
        let seconds = best(|| gated(compute, activation, &mut gate, &up, &mut panels));
        println!("{activation:?} gate, {width} x {wide}: {:6.1} us", 1e6 * seconds);
    }
}
