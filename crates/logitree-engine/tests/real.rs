//! Real quantised models against the float32 reference.

mod common;

use common::*;
use logitree_core::*;
use logitree_engine::{Arithmetic, Backend, Compute, LocalModel};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
    input_ids: Vec<u32>,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    logsumexp: f64,
    entropy_nats: f64,
    top_ids: Vec<u32>,
    top_logprobs: Vec<f64>,
    next_logprob: Option<f64>,
    next_rank: Option<u32>,
}

/// Exact arithmetic is exact, far within the tolerance that we grant ourselves.
const EXACT: [Arithmetic; 2] = [Arithmetic::F32, Arithmetic::Bf16x3];

fn check(file: &str, golden: &str) {
    for arithmetic in EXACT {
        check_in(arithmetic, file, golden);
    }
}

fn check_in(arithmetic: Arithmetic, file: &str, golden: &str) {
    let Some(path) = real(file) else { return };
    let model = LocalModel::load(&path, Compute::detect().with(arithmetic).unwrap()).unwrap();
    let golden: Golden = serde_json::from_slice(&std::fs::read(fixtures().join("gguf").join(golden)).unwrap()).unwrap();
    let (mut worst, mut compared) = (0.0f64, 0);
    for p in &golden.prompts {
        let mut ids: Vec<TokenId> = model.bos().into_iter().collect();
        ids.extend(model.tokenize(&p.prompt, false).unwrap());
        assert_eq!(ids.iter().map(|t| t.0).collect::<Vec<_>>(), p.input_ids, "{:?}", p.prompt);
        let text = ids.iter().filter(|&&t| !model.is_special(t)).flat_map(|&t| model.token_bytes(t).into_owned());
        assert_eq!(text.collect::<Vec<u8>>(), p.prompt.as_bytes());

        let mut session = model.session().unwrap();
        let nodes = session.push_all(None, &ids).unwrap();
        let wanted: Vec<Vec<TokenId>> = p
            .positions
            .iter()
            .enumerate()
            .map(|(i, r)| r.top_ids.iter().map(|&t| TokenId(t)).chain(ids.get(i + 1).copied()).collect())
            .collect();
        let queries: Vec<Query<'_>> =
            nodes.iter().zip(&wanted).map(|(&node, tokens)| Query { tokens, ..Query::top(node, 20) }).collect();
        for (d, r) in session.evaluate(&queries).unwrap().iter().zip(&p.positions) {
            assert_eq!(d.top[0].id.0, r.top_ids[0], "argmax");
            assert!((d.logsumexp - r.logsumexp).abs() <= 1e-3, "{} {}", d.logsumexp, r.logsumexp);
            assert!((d.entropy - r.entropy_nats).abs() <= 1e-3, "{} {}", d.entropy, r.entropy_nats);
            for (got, &want) in d.tokens.iter().zip(&r.top_logprobs) {
                if want >= 1e-4f64.ln() {
                    worst = worst.max((got.logprob - want).abs());
                    compared += 1;
                }
            }
            if let (Some(want), Some(rank)) = (r.next_logprob, r.next_rank) {
                let got = d.tokens.last().unwrap();
                assert!((got.logprob - want).abs() <= 1e-3 || want < 1e-4f64.ln(), "{} {want}", got.logprob);
                // Logits that differ by rounding may swap neighbours: far down the list ranks are dense.
                let slack = if rank <= 50 { 0 } else { rank / 500 + 2 };
                assert!(got.rank.abs_diff(rank) <= slack, "rank {} instead of {rank}", got.rank);
            }
        }
    }
    println!("{file} with {arithmetic} activations: {compared} logprobs compared, worst difference {worst:.2e}");
    assert!(compared > 500 && worst <= 2e-4, "{compared} compared, off by {worst}");
}

/// The approximate mode is as far from the reference as its reports say, and not nearer: then it would not be in force.
fn check_approximation(file: &str, golden: &str) {
    let Some(path) = real(file) else { return };
    let Some(compute) = Compute::detect().with(Arithmetic::Bits8) else {
        eprintln!("skipped: this CPU has no instruction for products of bytes");
        return;
    };
    let rounded = LocalModel::load(&path, compute).unwrap();
    assert!(rounded.engine().contains("off by 0.1 nats on average, 1.0 at most"), "{}", rounded.engine());
    let golden: Golden = serde_json::from_slice(&std::fs::read(fixtures().join("gguf").join(golden)).unwrap()).unwrap();
    let (mut worst, mut total, mut compared, mut same, mut positions) = (0.0f64, 0.0, 0, 0, 0);
    for p in &golden.prompts {
        let mut session = rounded.session().unwrap();
        let ids: Vec<TokenId> = p.input_ids.iter().map(|&id| TokenId(id)).collect();
        let nodes = session.push_all(None, &ids).unwrap();
        let wanted: Vec<Vec<TokenId>> =
            p.positions.iter().map(|r| r.top_ids.iter().map(|&t| TokenId(t)).collect()).collect();
        let queries: Vec<Query<'_>> =
            nodes.iter().zip(&wanted).map(|(&node, tokens)| Query { tokens, ..Query::top(node, 1) }).collect();
        for (d, r) in session.evaluate(&queries).unwrap().iter().zip(&p.positions) {
            positions += 1;
            same += usize::from(d.top[0].id.0 == r.top_ids[0]);
            for (got, &want) in d.tokens.iter().zip(&r.top_logprobs).filter(|(_, want)| **want >= 1e-4f64.ln()) {
                let difference = (got.logprob - want).abs();
                (worst, total, compared) = (worst.max(difference), total + difference, compared + 1);
            }
        }
    }
    let (mean, same) = (total / f64::from(compared), same as f64 / positions as f64);
    println!("{file}: {compared} logprobs compared, off by {mean:.4}, at most {worst:.3}; {:.1} % agree", 100.0 * same);
    // The figures that reports show. The mean is rounded there: other last bits anywhere give another sample of the errors.
    assert!(compared > 500 && mean > 0.01 && mean < 0.11 && worst <= 1.0 && same >= 0.9);
}

#[test]
fn approximate_gemma_3_is_as_far_off_as_it_says() {
    check_approximation(GEMMA, "gemma-3-270m-q4_k_m.json");
}

#[test]
fn approximate_smollm2_is_as_far_off_as_it_says() {
    check_approximation(SMOLLM, "SmolLM2-135M-Instruct.Q4_1.json");
}

#[test]
fn random_trees_of_approximate_gemma_3_give_the_bits_of_linear_runs() {
    let Some(path) = real(GEMMA) else { return };
    let mut rng = Rng(6);
    for (threads, width) in [(1, 3), (2, 30)] {
        let Some(compute) = Compute::new(Backend::detect(), threads).with(Arithmetic::Bits8) else {
            eprintln!("skipped: this CPU has no instruction for products of bytes");
            return;
        };
        let model = LocalModel::load(&path, compute).unwrap();
        let ids = model.tokenize("The capital of India is", false).unwrap();
        random_walk(&model, &mut rng, model.vocab_size(), &ids, 2, width);
    }
}

#[test]
fn gemma_3_equals_the_float32_reference() {
    check(GEMMA, "gemma-3-270m-q4_k_m.json");
}

#[test]
fn smollm2_equals_the_float32_reference() {
    check(SMOLLM, "SmolLM2-135M-Instruct.Q4_1.json");
}

#[test]
fn random_trees_of_gemma_3_give_the_bits_of_linear_runs() {
    let Some(path) = real(GEMMA) else { return };
    let mut rng = Rng(5);
    for backend in Backend::available() {
        if backend.name() == "scalar" {
            continue;
        }
        // Backends without AMX take their time for bf16x3.
        let wide = if backend == Backend::detect() { 30 } else { 4 };
        let cases = [(Arithmetic::F32, 1, 3), (Arithmetic::F32, 2, 30), (Arithmetic::Bf16x3, 1, 3)];
        for (arithmetic, threads, width) in cases.into_iter().chain([(Arithmetic::Bf16x3, 2, wide)]) {
            let compute = Compute::new(backend, threads).with(arithmetic).unwrap();
            let model = LocalModel::load(&path, compute).unwrap();
            let ids = model.tokenize("The capital of India is", false).unwrap();
            random_walk(&model, &mut rng, model.vocab_size(), &ids, 2, width);
        }
    }
}

#[test]
fn a_prompt_beyond_the_sliding_window_is_the_same_whole_and_in_pieces() {
    let Some(path) = real(GEMMA) else { return };
    let model = LocalModel::load(&path, Compute::detect()).unwrap();
    let text = "It was the best of times, it was the worst of times. ".repeat(48);
    let mut ids: Vec<TokenId> = model.bos().into_iter().collect();
    ids.extend(model.tokenize(&text, false).unwrap());
    assert!(ids.len() > 600, "{}", ids.len());
    let whole = linear(&model, &ids, 5, false);
    let mut session = model.session().unwrap();
    let nodes = session.push_all(None, &ids).unwrap();
    let mut at = 0usize;
    for size in [1, 511, 3, 60, usize::MAX] {
        let end = at.saturating_add(size).min(ids.len());
        let queries: Vec<Query<'_>> =
            nodes[at..end].iter().map(|&n| Query { hash: true, ..Query::top(n, 5) }).collect();
        assert_eq!(session.evaluate(&queries).unwrap(), whole[at..end], "pieces to {end}");
        at = end;
    }
}
