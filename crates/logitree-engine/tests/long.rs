//! Long texts against the reference implementation, at sampled positions, and the same bits however they are batched.

mod common;

use common::*;
use logitree_core::*;
use logitree_engine::{Arithmetic, Backend, Compute, LocalModel};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Logits of a tiny model after a random text.
#[derive(Deserialize)]
struct TinyGolden {
    config: serde_json::Map<String, serde_json::Value>,
    seed: u64,
    tokens: usize,
    positions: Vec<TinyPosition>,
}

#[derive(Deserialize)]
struct TinyPosition {
    position: usize,
    ids: Vec<u32>,
    logits: Vec<f32>,
    logsumexp: f64,
}

/// Log probabilities of a real model after the beginning of a text.
#[derive(Deserialize)]
struct RealGolden {
    input_ids: Vec<u32>,
    positions: Vec<RealPosition>,
}

#[derive(Deserialize)]
struct RealPosition {
    position: usize,
    ids: Vec<u32>,
    logprobs: Vec<f64>,
    logsumexp: f64,
    entropy_nats: f64,
}

fn golden<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixtures().join("long").join(name)).unwrap()).unwrap()
}

/// A tiny model whose config.json has the golden's changes.
fn longer(name: &str, golden: &TinyGolden) -> tempfile::TempDir {
    let from = fixtures().join("tiny").join(name);
    let mut config: serde_json::Map<_, _> =
        serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    config.extend(golden.config.clone());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    std::fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    folder
}

fn text(golden: &TinyGolden, vocab: usize) -> Vec<TokenId> {
    let mut rng = Rng(golden.seed);
    let random = (1..golden.tokens).map(|_| TokenId(3 + rng.below(vocab - 3) as u32));
    std::iter::once(TokenId(2)).chain(random).collect()
}

/// Distributions with all logits after the tokens at `positions`, evaluated in one go.
fn whole(model: &LocalModel, ids: &[TokenId], positions: &[usize]) -> Vec<Distribution> {
    let mut session = model.session().unwrap();
    let nodes = session.push_all(None, ids).unwrap();
    let query = |&at: &usize| Query { logits: true, ..Query::top(nodes[at], 5) };
    session.evaluate(&positions.iter().map(query).collect::<Vec<_>>()).unwrap()
}

/// The same in a session that reads the text in batches of `widths`, over and over, and each of `positions` alone.
/// Returns the text's last node, too.
fn in_batches(
    session: &mut dyn Session,
    ids: &[TokenId],
    positions: &[usize],
    widths: &[usize],
) -> (Vec<Distribution>, NodeHandle) {
    let nodes = session.push_all(None, ids).unwrap();
    let (mut found, mut at, mut widths) = (Vec::new(), 0, widths.iter().cycle());
    for &position in positions {
        while at < position {
            at = position.min(at + widths.next().unwrap());
            session.evaluate(&[Query::top(nodes[at - 1], 1)]).unwrap();
        }
        let query = Query { logits: true, ..Query::top(nodes[position], 5) };
        found.extend(session.evaluate(&[query]).unwrap());
        at = position + 1;
    }
    (found, nodes[nodes.len() - 1])
}

/// All paths that open after a long text together have the bits of each alone.
fn open_paths_share_the_text(session: &mut dyn Session, end: NodeHandle, paths: u32) {
    let mut nodes: Vec<NodeHandle> = (0..paths).map(|i| session.push(Some(end), TokenId(5 + i)).unwrap()).collect();
    for level in 0..2 {
        let queries: Vec<Query<'_>> = nodes.iter().map(|&node| Query::top(node, 5)).collect();
        let together = session.evaluate(&queries).unwrap();
        for (i, query) in queries.iter().enumerate() {
            let alone = session.evaluate(std::slice::from_ref(query)).unwrap();
            assert_eq!(alone[0], together[i], "path {i} of {paths}, level {level}");
        }
        nodes = nodes.iter().map(|&node| session.push(Some(node), TokenId(9)).unwrap()).collect();
    }
}

/// Every backend reads the text whole; the fast ones in batches, too.
fn a_long_random_text_equals_the_reference(name: &str) {
    let golden: TinyGolden = golden(&format!("{name}.json"));
    let folder = longer(name, &golden);
    let (mut bits, mut worst): (Option<Vec<Distribution>>, _) = (None, 0.0f32);
    for backend in Backend::available().into_iter().rev() {
        let is_slow = backend.name() == "scalar";
        let model = LocalModel::load_without_tokenizer(folder.path(), Compute::new(backend, 1)).unwrap();
        let ids = text(&golden, model.vocab_size());
        let ids = if is_slow { &ids[..1100] } else { &ids[..] };
        let positions: Vec<usize> = golden.positions.iter().map(|p| p.position).filter(|&p| p < ids.len()).collect();
        let found = whole(&model, ids, &positions);
        for (p, d) in golden.positions.iter().zip(&found) {
            let logits = d.logits.as_ref().unwrap();
            let off = p.ids.iter().zip(&p.logits).map(|(&id, want)| (logits[id as usize] - want).abs());
            worst = off.fold(worst, f32::max);
            assert!(worst <= 1e-4, "{name} {} position {}: off by {worst}", backend.name(), p.position);
            assert!((d.logsumexp - p.logsumexp).abs() <= 1e-4, "{name} {}: {}", p.position, d.logsumexp);
        }
        let all = bits.get_or_insert_with(|| found.clone());
        let common = all.len().min(found.len());
        assert!(all[..common] == found[..common], "{name} {}: other bits", backend.name());
        if found.len() > common {
            all.clone_from(&found);
        }
        if !is_slow {
            let mut session = model.session().unwrap();
            let (batches, end) = in_batches(&mut *session, ids, &positions, &[128, 7, 128, 61]);
            for ((batch, whole), position) in batches.iter().zip(&found).zip(&positions) {
                assert!(batch == whole, "{name} {} position {position}: other bits in batches", backend.name());
            }
            open_paths_share_the_text(&mut *session, end, 5);
        }
    }
    println!("{name}: logits are off by {worst:.1e} at most");
}

#[test]
fn long_random_texts_in_windows_equal_the_reference() {
    a_long_random_text_equals_the_reference("gemma3");
}

#[test]
fn long_random_texts_without_windows_equal_the_reference() {
    a_long_random_text_equals_the_reference("llama");
}

#[test]
fn a_long_text_is_the_same_token_by_token() {
    for name in ["gemma3", "llama"] {
        let golden: TinyGolden = golden(&format!("{name}.json"));
        let folder = longer(name, &golden);
        let model = LocalModel::load_without_tokenizer(folder.path(), Compute::new(Backend::detect(), 1)).unwrap();
        let ids = &text(&golden, model.vocab_size())[..1100];
        let positions: Vec<usize> = golden.positions.iter().map(|p| p.position).filter(|p| *p < ids.len()).collect();
        let (alone, _) = in_batches(&mut *model.session().unwrap(), ids, &positions, &[1]);
        assert!(alone == whole(&model, ids, &positions), "{name}");
    }
}

fn a_real_text_equals_the_reference(file: &str) {
    let Some(path) = real(file) else { return };
    let golden: RealGolden = golden(&format!("{}.json", file.trim_end_matches(".gguf")));
    for (backend, arithmetic, limit) in variants() {
        let compute = Compute::new(backend, 2).with(arithmetic).unwrap();
        let model = LocalModel::load(&path, compute).unwrap();
        let mut ids: Vec<TokenId> = golden.input_ids.iter().map(|&id| TokenId(id)).collect();
        ids.truncate(limit);
        let positions: Vec<&RealPosition> = golden.positions.iter().filter(|p| p.position < limit).collect();
        let mut session = model.session().unwrap();
        let nodes = session.push_all(None, &ids).unwrap();
        let wanted: Vec<Vec<TokenId>> =
            positions.iter().map(|p| p.ids.iter().map(|&id| TokenId(id)).collect()).collect();
        let query = |(p, tokens): (&&RealPosition, _)| Query { tokens, ..Query::top(nodes[p.position], 5) };
        let queries: Vec<Query<'_>> = positions.iter().zip(wanted.iter().map(|w| &w[..])).map(query).collect();
        let found = session.evaluate(&queries).unwrap();
        let (mut worst, mut compared) = (0.0f64, 0);
        for (d, p) in found.iter().zip(positions) {
            assert_eq!(d.top[0].id.0, p.ids[0], "{file} position {}", p.position);
            assert!((d.logsumexp - p.logsumexp).abs() <= 1e-3 && (d.entropy - p.entropy_nats).abs() <= 1e-3, "{d:?}");
            for (got, &want) in d.tokens.iter().zip(&p.logprobs).filter(|(_, want)| **want >= 1e-4f64.ln()) {
                (worst, compared) = (worst.max((got.logprob - want).abs()), compared + 1);
            }
        }
        let how = format!("{file}, {arithmetic}, {}", backend.name());
        println!("{how}: {compared} logprobs compared, off by {worst:.1e} at most");
        assert!(compared > 20 && worst <= TOLERANCE, "{how}: {compared} compared, off by {worst}");
        // Asked again, the last one alone has the same bits, and so have others in batches of their own.
        for (query, found) in queries.iter().zip(&found).rev().step_by(5) {
            assert_eq!(session.evaluate(std::slice::from_ref(query)).unwrap()[0], *found, "{how}: other bits alone");
        }
    }
}

/// The largest difference from the reference that is granted to log probabilities after 2,000 tokens.
const TOLERANCE: f64 = 2e-4;

/// The ways to compute, and how many tokens each gets: all by this machine's own way, fewer by others, which take longer.
fn variants() -> Vec<(Backend, Arithmetic, usize)> {
    let (best, own) = (Backend::detect(), Compute::detect().arithmetic());
    let backends = Backend::available().into_iter().filter(|backend| backend.name() != "scalar");
    let f32s = backends.map(|backend| (backend, Arithmetic::F32, if backend == best { usize::MAX } else { 520 }));
    let bf16x3 = if own == Arithmetic::Bf16x3 { usize::MAX } else { 130 };
    f32s.chain([(best, Arithmetic::Bf16x3, bf16x3)]).collect()
}

#[test]
fn two_thousand_tokens_of_gemma_3_equal_the_float32_reference() {
    a_real_text_equals_the_reference(GEMMA);
}

#[test]
fn two_thousand_tokens_of_smollm2_equal_the_float32_reference() {
    a_real_text_equals_the_reference(SMOLLM);
}
