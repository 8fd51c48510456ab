//! Matrix products, the output head and attention against naive f64 oracles, and bit for bit
//! against themselves in other widths, thread counts and instruction sets.

use logitree_kernels::*;
use sha2::{Digest, Sha256};

/// A small deterministic generator (xorshift), so that failures repeat.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Random weights: any codes, half-precision scales of moderate size.
fn random_weights(rng: &mut Rng, dtype: DType, rows: usize, cols: usize) -> Vec<u8> {
    let blocks = rows * cols / dtype.block_len();
    let scale = |rng: &mut Rng| half::f16::from_f32(rng.float() * 0.02).to_le_bytes();
    (0..blocks)
        .flat_map(|_| match dtype {
            DType::F32 => rng.float().to_le_bytes().to_vec(),
            DType::F16 => half::f16::from_f32(rng.float()).to_le_bytes().to_vec(),
            DType::BF16 => half::bf16::from_f32(rng.float()).to_le_bytes().to_vec(),
            _ => {
                let mut block: Vec<u8> = (0..dtype.block_bytes()).map(|_| rng.next() as u8).collect();
                let at: &[usize] = match dtype {
                    DType::Q4_0 | DType::Q5_0 | DType::Q8_0 | DType::IQ4_NL | DType::IQ4_XS => &[0],
                    DType::MXFP4 => &[],
                    DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
                    DType::Q2_K => &[80, 82],
                    DType::Q3_K => &[108],
                    _ => &[208],
                };
                for &at in at {
                    block[at..at + 2].copy_from_slice(&scale(rng));
                }
                if dtype == DType::MXFP4 {
                    // An exponent: scales from 2^-12 to 2^-5.
                    block[0] = 116 + block[0] % 8;
                }
                block
            }
        })
        .collect()
}

/// Weights as f32, `[rows][cols]`.
fn dense(dtype: DType, cols: usize, bytes: &[u8]) -> Vec<f32> {
    let rows = bytes.chunks(dtype.row_bytes(cols).unwrap());
    let mut dense = vec![0.0; rows.len() * cols];
    dense.chunks_mut(cols).zip(rows).for_each(|(row, bytes)| dequantise_row(dtype, bytes, row));
    dense
}

/// A random matrix and 27 columns of activations.
struct Case {
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
    dense: Vec<f32>,
    x: Vec<Vec<f32>>,
}

fn case(rng: &mut Rng, dtype: DType, rows: usize, cols: usize) -> Case {
    let bytes = random_weights(rng, dtype, rows, cols);
    Case { rows, cols, dense: dense(dtype, cols, &bytes), x: (0..27).map(|_| rng.floats(cols)).collect(), bytes }
}

fn computes() -> Vec<Compute> {
    Backend::available().into_iter().flat_map(|b| [1, 2, 3].map(|t| Compute::new(b, t))).collect()
}

fn product(compute: &mut Compute, matrix: &PackedMatrix, x: &[Vec<f32>]) -> Vec<f32> {
    let mut panels = Panels::default();
    panels.reset(compute, x.len(), matrix.cols(), &[matrix]);
    for (i, x) in x.iter().enumerate() {
        panels.set(i, x);
    }
    let mut out = vec![0.0; x.len() * matrix.rows()];
    matmul(compute, &panels, &mut [Product { matrix, out: &mut out }], &[]);
    out
}

#[test]
fn every_format_multiplies_like_f64_and_the_same_bits_everywhere() {
    let mut rng = Rng(7);
    for dtype in DType::ALL {
        let Case { rows, cols, bytes, dense, x } = case(&mut rng, dtype, 16 * 11 + 5, 768);
        // The specified sum: parts of a row, each a chain of fused multiply-adds with k in order, are added in order.
        let most: usize = if dtype.block_len() > 1 { 320 } else { 64 };
        let part = cols.div_ceil(cols.div_ceil(most)).next_multiple_of(32);
        let chain = |row: usize, x: &[f32]| {
            let parts = dense[row * cols..][..cols]
                .chunks(part)
                .zip(x.chunks(part))
                .map(|(w, x)| w.iter().zip(x).fold(0.0f32, |acc, (w, x)| w.mul_add(*x, acc)));
            parts.reduce(|sum, part| sum + part).unwrap()
        };
        for mut compute in computes() {
            let matrix = PackedMatrix::pack(&mut compute, dtype, rows, cols, &bytes).unwrap();
            for width in [1, 2, 3, 5, 6, 7, 12, 13, 27] {
                let out = product(&mut compute, &matrix, &x[..width]);
                for (column, x) in x[..width].iter().enumerate() {
                    for row in (0..rows).step_by(1 + rows / 40) {
                        let got = out[column * rows + row];
                        let want = chain(row, x);
                        let what = || format!("{dtype} {} width {width} row {row}", compute.backend().name());
                        assert_eq!(got.to_bits(), want.to_bits(), "{}: {got} {want}", what());
                        let exact: f64 =
                            dense[row * cols..][..cols].iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                        let size: f64 =
                            dense[row * cols..][..cols].iter().zip(x).map(|(&w, &x)| f64::from(w * x).abs()).sum();
                        assert!((f64::from(got) - exact).abs() <= 1e-5 * size, "{}: {got} {exact}", what());
                    }
                }
            }
        }
    }
}

/// What the approximate mode makes of activations: whole numbers of up to 127 steps, a step for 32 of them.
fn rounded(x: &[f32]) -> Vec<f64> {
    let runs = x.chunks(32).flat_map(|run| {
        let most = run.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let (step, inverse) = (most / 127.0, if most > 0.0 { 127.0 / most } else { 0.0 });
        run.iter().map(move |x| f64::from(step) * f64::from((x * inverse).round_ties_even()))
    });
    runs.collect()
}

#[test]
fn rounded_activations_multiply_like_f64_and_the_same_bits_everywhere() {
    let mut rng = Rng(11);
    for dtype in DType::ALL {
        let Case { rows, cols, bytes, dense, mut x } = case(&mut rng, dtype, 16 * 9 + 5, 768);
        x[1][64..96].fill(0.0);
        x[2][5] = 300.0;
        let mut reference: Option<Vec<f32>> = None;
        for compute in computes() {
            let Some(mut compute) = compute.with(Arithmetic::Bits8) else { continue };
            let name = compute.backend().name();
            let matrix = PackedMatrix::pack(&mut compute, dtype, rows, cols, &bytes).unwrap();
            for width in [27, 1, 2, 3, 4, 5, 6, 7, 13] {
                let out = product(&mut compute, &matrix, &x[..width]);
                let reference = reference.get_or_insert_with(|| {
                    // Unquantised weights are not worth it: they are multiplied exactly.
                    if matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
                        return product(&mut Compute::new(Backend::detect(), 1), &matrix, &x);
                    }
                    for (x, out) in x.iter().zip(out.chunks(rows)) {
                        let x = rounded(x);
                        for (weights, got) in dense.chunks(cols).zip(out) {
                            let products = || weights.iter().zip(&x).map(|(&w, x)| f64::from(w) * x);
                            let (want, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                            assert!((f64::from(*got) - want).abs() <= 1e-5 * size, "{dtype} {name}: {got} {want}");
                        }
                    }
                    out.clone()
                });
                assert!(out.iter().zip(&*reference).all(|(a, b)| a.to_bits() == b.to_bits()), "{dtype} {name} {width}");
            }
        }
    }
}

#[test]
fn three_bf16_numbers_multiply_nearer_to_f64_than_a_chain_of_f32_and_the_same_bits_everywhere() {
    let mut rng = Rng(13);
    for dtype in DType::ALL {
        let Case { rows, cols, bytes, dense, mut x } = case(&mut rng, dtype, 16 * 9 + 5, 768);
        x[1][64..96].fill(0.0);
        x[2][5] = 300.0;
        x[3].iter_mut().for_each(|x| *x *= 1e-20);
        x[4].iter_mut().for_each(|x| *x *= 1e20);
        x[5][..32].fill(1.0);
        x[6][..32].copy_from_slice(&[-1.999_999_9; 32]);
        // Root mean square of the differences from f64, relative to the sizes of the products.
        let error = |out: &[f32]| {
            let squares = x.iter().zip(out.chunks(rows)).flat_map(|(x, out)| {
                dense.chunks(cols).zip(out).map(move |(weights, got)| {
                    let products = || weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                    let (want, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                    ((f64::from(*got) - want) / size).powi(2)
                })
            });
            (squares.sum::<f64>() / out.len() as f64).sqrt()
        };
        let mut in_f32 = Compute::new(Backend::detect(), 1);
        let matrix = PackedMatrix::pack(&mut in_f32, dtype, rows, cols, &bytes).unwrap();
        let in_f32 = product(&mut in_f32, &matrix, &x);
        let row = |weights: &[f32], x: &[f32]| weights.iter().zip(x).fold(0.0f32, |acc, (w, x)| w.mul_add(*x, acc));
        let chains: Vec<f32> = x.iter().flat_map(|x| dense.chunks(cols).map(|weights| row(weights, x))).collect();
        assert!(error(&in_f32) < 0.7 * error(&chains), "{dtype}: f32 is off by {}", error(&in_f32));
        let mut reference: Option<Vec<f32>> = None;
        for compute in computes() {
            let mut compute = compute.with(Arithmetic::Bf16x3).unwrap();
            let name = compute.backend().name();
            let matrix = PackedMatrix::pack(&mut compute, dtype, rows, cols, &bytes).unwrap();
            for width in [27, 1, 2, 3, 4, 5, 6, 7, 13, 16, 17] {
                let out = product(&mut compute, &matrix, &x[..width]);
                let reference = reference.get_or_insert_with(|| {
                    if matrix.multiplies_in(Arithmetic::Bf16x3) {
                        let [own, parts, chain] = [&out, &in_f32, &chains].map(|out| error(out));
                        eprintln!("{dtype}: off by {own}, f32 by {parts}, one chain of f32 by {chain}");
                        assert!(own < chain, "{dtype} {name}: off by {own}, one chain of f32 by {chain}");
                    } else {
                        assert_eq!(out, in_f32);
                    }
                    out.clone()
                });
                assert!(out.iter().zip(&*reference).all(|(a, b)| a.to_bits() == b.to_bits()), "{dtype} {name} {width}");
            }
            // More columns than meet a run's codes at once: blocks of weights are kept for all of them.
            let wide: Vec<Vec<f32>> = x.iter().cycle().take(3 * x.len()).cloned().collect();
            let out = product(&mut compute, &matrix, &wide);
            let reference = reference.as_ref().expect("set above").iter().cycle();
            assert!(out.iter().zip(reference).all(|(a, b)| a.to_bits() == b.to_bits()), "{dtype} {name} wide");
        }
    }
}

#[test]
fn matrices_of_several_formats_are_multiplied_together_as_alone() {
    let mut rng = Rng(17);
    let (rows, cols) = (80, 512);
    let formats = [DType::Q4_K, DType::Q6_K, DType::F32, DType::Q4_K, DType::Q2_K, DType::Q8_0, DType::Q6_K];
    let weights = formats.map(|dtype| (dtype, random_weights(&mut rng, dtype, rows, cols)));
    let x: Vec<Vec<f32>> = (0..7).map(|_| rng.floats(cols)).collect();
    for compute in Backend::available().into_iter().map(|b| Compute::new(b, 1)) {
        let mut compute = compute.with(Arithmetic::Bf16x3).unwrap();
        let matrices = weights
            .each_ref()
            .map(|(dtype, bytes)| PackedMatrix::pack(&mut compute, *dtype, rows, cols, bytes).unwrap());
        let alone = matrices.each_ref().map(|m| product(&mut compute, m, &x));
        let mut panels = Panels::default();
        panels.reset(&compute, x.len(), cols, &matrices.each_ref());
        x.iter().enumerate().for_each(|(i, x)| panels.set(i, x));
        let mut together = matrices.each_ref().map(|_| vec![0.0; x.len() * rows]);
        let mut products: Vec<Product<'_>> =
            matrices.iter().zip(&mut together).map(|(matrix, out)| Product { matrix, out }).collect();
        matmul(&mut compute, &panels, &mut products, &[]);
        assert_eq!(together, alone, "{}", compute.backend().name());
    }
}

#[test]
fn what_is_not_finite_is_not_rounded_away() {
    let mut rng = Rng(5);
    let bytes = random_weights(&mut rng, DType::Q5_0, 16, 64);
    let arithmetics =
        || Arithmetic::ALL.into_iter().flat_map(|a| computes().into_iter().filter_map(move |c| c.with(a)));
    for mut compute in arithmetics() {
        let matrix = PackedMatrix::pack(&mut compute, DType::Q5_0, 16, 64, &bytes).unwrap();
        for damage in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![rng.floats(64); 3];
            x[1][40] = damage;
            let out = product(&mut compute, &matrix, &x);
            assert!(out[16..32].iter().all(|y| !y.is_finite()) && out[..16].iter().all(|y| y.is_finite()));
        }
    }
}

#[test]
fn sizes_that_do_not_match_are_refused() {
    let mut compute = Compute::new(Backend::detect(), 1);
    for (rows, cols, bytes) in [(2, 32, 67), (2, 31, 68), (0, 32, 0), (usize::MAX, 64, 64), (3, 0, 0)] {
        assert!(PackedMatrix::pack(&mut compute, DType::Q8_0, rows, cols, &vec![0; bytes]).is_err());
    }
}

#[test]
fn head_statistics_equal_brute_force() {
    let mut rng = Rng(21);
    for (vocab, softcap) in [(5, None), (1024, Some(3.0)), (3000, None)] {
        let cols = 64;
        let mut bytes: Vec<u8> = rng.floats(vocab * cols).iter().flat_map(|x| x.to_le_bytes()).collect();
        // Ties: some rows twice.
        if vocab > 100 {
            for (a, b) in [(3, 90), (50, 2), (17, vocab - 1)] {
                bytes.copy_within(a * cols * 4..(a + 1) * cols * 4, b * cols * 4);
            }
        }
        let x: Vec<Vec<f32>> = (0..9).map(|_| rng.floats(cols)).collect();
        let tokens: Vec<u32> =
            (0..4).map(|_| rng.below(vocab) as u32).chain([0, vocab as u32 - 1, 2.min(vocab as u32 - 1)]).collect();
        let mut reference: Option<Vec<Summary>> = None;
        for mut compute in computes() {
            let matrix = PackedMatrix::pack(&mut compute, DType::F32, vocab, cols, &bytes).unwrap();
            let wanted: Vec<Wanted<'_>> = (0..9)
                .map(|i| Wanted { top: [0, 1, 7, vocab][i % 4], tokens: &tokens[..i % 8], logits: true, hash: i != 3 })
                .collect();
            let refs: Vec<&[f32]> = x.iter().map(|x| &x[..]).collect();
            let found = head(&mut compute, &matrix, softcap, &refs, &wanted);
            // One at a time: the same bits.
            for i in 0..9 {
                assert_eq!(head(&mut compute, &matrix, softcap, &refs[i..=i], &wanted[i..=i])[0], found[i]);
            }
            for (s, w) in found.iter().zip(&wanted) {
                let logits = s.logits.as_ref().unwrap();
                let max = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
                let z: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
                let lse = f64::from(max) + z.ln();
                let p = |l: f32| (f64::from(l) - lse).exp();
                let entropy: f64 = logits.iter().map(|&l| p(l) * (lse - f64::from(l))).sum();
                let second: f64 = logits.iter().map(|&l| p(l) * (lse - f64::from(l)).powi(2)).sum();
                assert!((s.logsumexp - lse).abs() < 1e-5, "{} {lse}", s.logsumexp);
                assert!((s.entropy - entropy).abs() < 1e-5, "{} {entropy}", s.entropy);
                assert!((s.varentropy - (second - entropy * entropy)).abs() < 1e-4);
                let mut order: Vec<u32> = (0..vocab as u32).collect();
                order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
                let want: Vec<(u32, f32)> =
                    order[..w.top.min(vocab)].iter().map(|&i| (i, logits[i as usize])).collect();
                assert_eq!(s.top, want);
                assert_eq!(s.hash, w.hash.then(|| naive_hash(logits)));
                for (&id, &(logit, rank)) in w.tokens.iter().zip(&s.tokens) {
                    assert_eq!(logit, logits[id as usize]);
                    assert_eq!(rank as usize, 1 + order.iter().position(|&i| i == id).unwrap());
                }
            }
            match &reference {
                None => reference = Some(found),
                Some(r) => assert_eq!(r, &found, "{}", compute.backend().name()),
            }
        }
    }
}

/// As docs/metrics.md defines it.
fn naive_hash(logits: &[f32]) -> [u8; 32] {
    let bytes: Vec<u8> = logits.iter().flat_map(|l| l.to_le_bytes()).collect();
    let chunks: Vec<u8> = bytes.chunks(4096).flat_map(|chunk| Sha256::digest(chunk).to_vec()).collect();
    Sha256::digest(chunks).into()
}

#[test]
fn the_hash_of_logits_is_what_other_programs_compute() {
    // From Python, with numpy and hashlib, as docs/metrics.md shows: logits i / 8 of ids 0 to 2499.
    let logits: Vec<f32> = (0..2500u16).map(|i| f32::from(i) / 8.0).collect();
    let hash: String = logits_sha256(&logits).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "9ade455fee1c46c06ad178280c91fda49eb2b1fadaf682e7fefdce0c2eeaee3e");
    assert_eq!(logits_sha256(&logits), naive_hash(&logits));
}

#[test]
fn a_certain_and_a_huge_distribution_stay_finite() {
    let mut compute = Compute::new(Backend::detect(), 1);
    // Logits 0, 1e4, -1e4, ...: all but one token vanish.
    let bytes: Vec<u8> = [0.0f32, 1e4, -1e4, 9.9e3].iter().flat_map(|x| x.to_le_bytes()).collect();
    let matrix = PackedMatrix::pack(&mut compute, DType::F32, 4, 1, &bytes).unwrap();
    let s = &head(&mut compute, &matrix, None, &[&[1.0]], &[Wanted { top: 4, tokens: &[2], ..Wanted::default() }])[0];
    assert_eq!((s.logsumexp, s.entropy, s.varentropy), (1e4, 0.0, 0.0));
    assert_eq!(s.top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3, 0, 2]);
    assert_eq!(s.tokens[0], (-1e4, 4));
}

/// Softmax attention of one query and head in f64.
fn naive_attention(q: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>], softcap: Option<f32>) -> Vec<f64> {
    let dot = |k: &[f32]| q.iter().zip(k).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let scores: Vec<f64> =
        keys.iter().map(|k| softcap.map_or(dot(k), |c| f64::from(c) * (dot(k) / f64::from(c)).tanh())).collect();
    let max = scores.iter().fold(f64::MIN, |a, &b| a.max(b));
    let z: f64 = scores.iter().map(|s| (s - max).exp()).sum();
    let mut out = vec![0.0; q.len()];
    for (s, v) in scores.iter().zip(values) {
        out.iter_mut().zip(v).for_each(|(o, &v)| *o += (s - max).exp() / z * f64::from(v));
    }
    out
}

#[test]
fn attention_over_random_trees_equals_f64_and_does_not_depend_on_the_batch() {
    let mut rng = Rng(99);
    let cases = [
        (None, None, 32),
        (Some(7), None, 32),
        (Some(20), Some(2.0), 32),
        (Some(60), None, 32),
        (Some(200), None, 32),
        (Some(1), None, 32),
        (None, None, 16),
    ];
    for (window, softcap, dim) in cases {
        // With 16 elements a head shares its run of 32 with another.
        let (heads, kv_heads) = if dim == 16 { (2, 2) } else { (4, 2) };
        let (q_len, kv_len) = (heads * dim, kv_heads * dim);
        let shape = AttentionShape { layer: 1, heads, kv_heads, head_dim: dim, scale: 1.0, softcap };
        // A random tree: a chain, so that neighbours share many positions, and then parents drawn so that there are chains
        // and forks.
        // Long enough for sums of several blocks.
        let n = 420;
        let parents: Vec<Option<usize>> =
            (0..n).map(|i| (i > 0).then(|| if i < 270 || rng.below(4) > 0 { i - 1 } else { rng.below(i) })).collect();
        let mut slots: Vec<u32> = (0..n as u32).collect();
        for i in (1..slots.len()).rev() {
            slots.swap(i, rng.below(i + 1));
        }
        let path_of = |node: usize| {
            let mut path: Vec<usize> = std::iter::successors(Some(node), |&i| parents[i]).collect();
            path.reverse();
            path
        };
        let (q, k, v) = (rng.floats(n * q_len), rng.floats(n * kv_len), rng.floats(n * kv_len));
        let paths: Vec<Vec<u32>> = (0..n).map(|i| path_of(i).iter().map(|&j| slots[j]).collect()).collect();
        let start = |len: usize| window.map_or(0, |w| len.saturating_sub(w));
        let visible: Vec<Visible<'_>> = paths.iter().map(|p| Visible { path: p, start: start(p.len()) }).collect();
        let mut first_bits: Option<Vec<u32>> = None;
        for mut compute in computes() {
            let mut kv = KvPages::new([16, kv_len]);
            while kv.slots() < n {
                kv.grow();
            }
            let none: (&[f32], &[f32]) = (&[], &[]);
            Projections {
                q: &mut q.clone(),
                kv: Some(KeysValues { k: &mut k.clone(), v: &mut v.clone(), slots: &slots[..n] }),
                bias: None,
                norms: [None; 3],
                angles: &vec![none; n],
                pairs: RopePairs::Halves,
            }
            .run(&mut compute, &shape, &mut kv);
            let identity = |compute: &mut Compute, dtype| {
                // One's upper half is one in bf16.
                let one = &1f32.to_le_bytes()[if dtype == DType::BF16 { 2 } else { 0 }..];
                let mut eye = vec![0u8; q_len * q_len * one.len()];
                eye.chunks_exact_mut((q_len + 1) * one.len()).for_each(|row| row[..one.len()].copy_from_slice(one));
                let last = eye.len() - one.len();
                eye[last..].copy_from_slice(one);
                PackedMatrix::pack(compute, dtype, q_len, q_len, &eye).unwrap()
            };
            let run = |compute: &mut Compute, eye: &PackedMatrix, columns: &[usize]| {
                let mut panels = Panels::default();
                panels.reset(compute, columns.len(), q_len, &[eye]);
                let q: Vec<f32> = columns.iter().flat_map(|&c| q[c * q_len..][..q_len].to_vec()).collect();
                let visible: Vec<Visible<'_>> = columns.iter().map(|&c| visible[c]).collect();
                attention(compute, &shape, &kv, &q, &visible, &mut panels);
                let mut out = vec![0.0; columns.len() * q_len];
                matmul(compute, &panels, &mut [Product { matrix: eye, out: &mut out }], &[]);
                out
            };
            let eye = identity(&mut compute, DType::F32);
            let everyone: Vec<usize> = (0..n).collect();
            let all = run(&mut compute, &eye, &everyone);
            for node in 0..n {
                let path = path_of(node);
                for head in 0..heads {
                    let at = head / (heads / kv_heads) * dim;
                    let rows = |x: &[f32]| -> Vec<Vec<f32>> {
                        path[start(path.len())..].iter().map(|&j| x[j * kv_len + at..][..dim].to_vec()).collect()
                    };
                    let want = naive_attention(&q[node * q_len + head * dim..][..dim], &rows(&k), &rows(&v), softcap);
                    for (d, want) in want.iter().enumerate() {
                        let got = all[node * q_len + head * dim + d];
                        assert!((f64::from(got) - want).abs() < 3e-6, "node {node} head {head} d {d}: {got} {want}");
                    }
                }
            }
            for _ in 0..20 {
                let columns: Vec<usize> = (0..1 + rng.below(20)).map(|_| rng.below(n)).collect();
                let some = run(&mut compute, &eye, &columns);
                for (i, &c) in columns.iter().enumerate() {
                    assert_eq!(some[i * q_len..][..q_len], all[c * q_len..][..q_len], "column {c}");
                }
            }
            let bits: Vec<u32> = all.iter().map(|x| x.to_bits()).collect();
            assert!(first_bits.get_or_insert(bits.clone()) == &bits, "{}", compute.backend().name());
            let mut compute = compute.with(Arithmetic::Bf16x3).unwrap();
            let eye = identity(&mut compute, DType::BF16);
            assert_eq!(run(&mut compute, &eye, &everyone), all, "{}, in pieces", compute.backend().name());
        }
    }
}

#[test]
fn one_logit_that_is_no_number_shows_in_the_sums() {
    let rows = [0.5f32, f32::NAN, -0.5, 2.0];
    let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
    for mut compute in computes() {
        let matrix = PackedMatrix::pack(&mut compute, DType::F32, 4, 1, &bytes).unwrap();
        for softcap in [None, Some(30.0)] {
            let wanted = [Wanted { top: 1, ..Wanted::default() }];
            let s = &head(&mut compute, &matrix, softcap, &[&[1.0]], &wanted)[0];
            assert!(s.logsumexp.is_nan(), "{}, {softcap:?}: {}", compute.backend().name(), s.logsumexp);
        }
    }
}
