//! Helpers of the engine's tests.
#![allow(dead_code, unreachable_pub)] // each test file uses some of them

use logitree_core::*;
use logitree_engine::{Backend, Compute, LocalModel};
use sha2::Digest;
use std::path::{Path, PathBuf};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub const TINY: [&str; 15] = [
    "gemma1",
    "gemma2",
    "gemma3",
    "gemma4-dense",
    "gemma4-e",
    "gemma4-moe",
    "llama",
    "llama-longrope",
    "llama-untied",
    "llama-yarn",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "qwen3-moe-raw",
];

pub fn tiny(name: &str, backend: Backend, threads: usize) -> LocalModel {
    LocalModel::load_without_tokenizer(&fixtures().join("tiny").join(name), Compute::new(backend, threads)).unwrap()
}

/// A tiny model as the GGUF file that fixtures/make_gguf_twins.py wrote, put together from what is stored of it and the folder's
/// weights.
pub fn gguf_twin(name: &str) -> tempfile::NamedTempFile {
    let stored = |end: &str| std::fs::read(fixtures().join(format!("gguf/tiny/{name}.gguf.{end}"))).unwrap();
    let weights = std::fs::read(fixtures().join("tiny").join(name).join("model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&stored("json")).unwrap();
    let mut file = stored("head");
    for piece in plan["pieces"].as_array().unwrap() {
        file.resize(piece["at"].as_u64().unwrap() as usize, 0);
        if let Some(bytes) = piece["bytes"].as_str() {
            file.extend((0..bytes.len()).step_by(2).map(|i| u8::from_str_radix(&bytes[i..i + 2], 16).unwrap()));
        }
        for tensor in piece["of"].as_array().into_iter().flatten() {
            let halves = weights.tensor(tensor.as_str().unwrap()).unwrap().data();
            match piece["widen"].as_bool().unwrap() {
                // A bf16 number is the upper half of the same number in f32.
                true => file.extend(halves.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]])),
                false => file.extend_from_slice(halves),
            }
        }
    }
    file.resize(plan["bytes"].as_u64().unwrap() as usize, 0);
    let digest: String = sha2::Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, plan["sha256"].as_str().unwrap(), "{name} is not the file that was written");
    let out = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    std::fs::write(out.path(), file).unwrap();
    out
}

/// A real model's file, if the environment says where they are.
pub fn real(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("LOGITREE_TEST_MODELS") else {
        eprintln!("skipped: LOGITREE_TEST_MODELS does not name a folder with {file}");
        return None;
    };
    Some(Path::new(&folder).join(file))
}

pub const GEMMA: &str = "gemma-3-270m-q4_k_m.gguf";
pub const SMOLLM: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A deterministic generator (xorshift).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Distributions with all logits after every token of a chain, evaluated in one go.
pub fn linear(model: &LocalModel, tokens: &[TokenId], top: usize, logits: bool) -> Vec<Distribution> {
    let mut session = model.session().unwrap();
    let nodes = session.push_all(None, tokens).unwrap();
    let queries: Vec<Query<'_>> =
        nodes.iter().map(|&node| Query { logits, hash: true, ..Query::top(node, top) }).collect();
    session.evaluate(&queries).unwrap()
}

/// Grows a random tree of `steps` batches and checks every distribution against a fresh linear run, bit for bit.
pub fn random_walk(model: &LocalModel, rng: &mut Rng, vocab: usize, prompt: &[TokenId], steps: usize, width: usize) {
    let mut session = model.session().unwrap();
    let prompt_nodes = session.push_all(None, prompt).unwrap();
    let mut nodes: Vec<(NodeHandle, Vec<TokenId>)> = vec![(*prompt_nodes.last().unwrap(), prompt.to_vec())];
    let mut seen: Vec<(Vec<TokenId>, Distribution)> = Vec::new();
    for _ in 0..steps {
        // Fork and extend anywhere, by one token or a few; some parents were never evaluated.
        let mut batch = Vec::new();
        for _ in 0..1 + rng.below(width) {
            let (mut at, mut path) = nodes[rng.below(nodes.len())].clone();
            for _ in 0..1 + rng.below(3) {
                let token = TokenId(rng.below(vocab) as u32);
                at = session.push(Some(at), token).unwrap();
                path.push(token);
                nodes.push((at, path.clone()));
            }
            batch.push((at, path));
        }
        // Ask again for something old; drop something, perhaps what the next batch needs.
        batch.push(nodes[rng.below(nodes.len())].clone());
        session.release(nodes[rng.below(nodes.len())].0);
        let queries: Vec<Query<'_>> = batch.iter().map(|(n, _)| Query { hash: true, ..Query::top(*n, 5) }).collect();
        let found = session.evaluate(&queries).unwrap();
        seen.extend(batch.into_iter().map(|(_, path)| path).zip(found));
        session.release(nodes[rng.below(nodes.len())].0);
        // Nodes that are not named again, some with others below them: the next ones get their handles.
        for _ in 0..rng.below(3).min(nodes.len() - 1) {
            session.forget(nodes.swap_remove(rng.below(nodes.len())).0);
        }
    }
    for (path, found) in seen {
        let fresh = linear(model, &path, 5, false).pop().unwrap();
        assert_eq!(found, fresh, "path {path:?}");
    }
}
