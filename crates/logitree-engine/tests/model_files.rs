//! Model files as people have them: left-overs, contradictions and gaps. Expected values are those of transformers 5.24 in
//! float32 on the same files.

mod common;

use common::*;
use logitree_core::*;
use logitree_engine::{Backend, Compute, LocalModel};
use std::path::Path;

/// A folder with the weights of a tiny Llama and the tiny tokenizer.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for from in ["tiny/llama", "tiny/tokenizer"] {
        for entry in std::fs::read_dir(fixtures().join(from)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "golden.safetensors" {
                std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    dir
}

fn load(path: &Path) -> LocalModel {
    LocalModel::load(path, Compute::new(Backend::detect(), 2)).unwrap()
}

/// Sets keys of a JSON file.
fn set(path: &Path, changes: serde_json::Value) {
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    std::fs::write(path, json.to_string()).unwrap();
}

/// Sum of the log probabilities of all tokens but the first, in nats.
fn score(model: &LocalModel, tokens: &[TokenId]) -> f64 {
    let distributions = linear(model, tokens, 1, true);
    let steps = distributions.iter().zip(&tokens[1..]);
    steps
        .map(|(d, token)| {
            let logits = d.logits.as_ref().unwrap();
            let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            f64::from(logits[token.index()]) - sum.ln()
        })
        .sum()
}

fn tokens(model: &LocalModel, text: &str) -> Vec<TokenId> {
    model.bos().into_iter().chain(model.tokenize(text, false).unwrap()).collect()
}

fn assert_score(model: &LocalModel, text: &str, expected: f64) {
    let found = score(model, &tokens(model, text));
    assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
}

const CAPITAL: &str = "The capital of it was";
const TIED: f64 = -87.587_171;

#[test]
fn a_left_over_index_changes_nothing() {
    let dir = folder();
    let model = load(dir.path());
    assert!(model.notes().is_empty(), "{:?}", model.notes());
    assert_score(&model, CAPITAL, TIED);
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(index, r#"{"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}"#).unwrap();
    let model = load(dir.path());
    assert_eq!(model.notes().len(), 1);
    assert_score(&model, CAPITAL, TIED);
}

#[test]
fn a_head_of_its_own_is_used_though_config_json_ties_it() {
    let dir = folder();
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let head = std::fs::read(fixtures().join("model-files/lm_head.safetensors")).unwrap();
    let [a, b] = [&whole, &head].map(|bytes| safetensors::SafeTensors::deserialize(bytes).unwrap());
    let both: Vec<_> = a.tensors().into_iter().chain(b.tensors()).collect();
    std::fs::write(&path, safetensors::serialize(both, None).unwrap()).unwrap();
    let model = load(dir.path());
    assert!(model.notes()[0].contains("lm_head.weight is stored and differs"), "{:?}", model.notes());
    assert_score(&model, CAPITAL, -83.839_627);
    // Only one of the two, under the other's name.
    let alone = a
        .tensors()
        .into_iter()
        .map(|(name, t)| (if name == "model.embed_tokens.weight" { "lm_head.weight".to_owned() } else { name }, t));
    let alone: Vec<_> = alone.collect();
    std::fs::write(&path, safetensors::serialize(alone, None).unwrap()).unwrap();
    let model = load(dir.path());
    assert!(model.notes().is_empty());
    assert_score(&model, CAPITAL, TIED);
}

#[test]
fn a_rope_factor_without_a_type_counts() {
    let ids = [1, 288, 296, 259, 293, 288, 296, 259, 290, 288, 296, 292, 260, 294, 288, 296].map(TokenId);
    let dir = folder();
    set(
        &dir.path().join("config.json"),
        serde_json::json!({"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 10000.0}}),
    );
    // The same in a GGUF file, under its first name there.
    let path = dir.path().join("m.gguf");
    let plain = std::fs::read(fixtures().join("model-files/qwen2-bpe.gguf")).unwrap();
    std::fs::write(&path, with_number(&plain, "llama.rope.scale_linear", 4.0)).unwrap();
    for model in [load(dir.path()), load(&path)] {
        let found = score(&model, &ids);
        assert!((found - -100.831_119).abs() < 1e-4, "{found}");
    }
}

/// A GGUF file with one more number in its metadata.
fn with_number(gguf: &[u8], key: &str, value: f32) -> Vec<u8> {
    const F32: u32 = 6;
    let entry = |key: &str, value: f32| {
        let length = (key.len() as u64).to_le_bytes();
        [&length[..], key.as_bytes(), &F32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let mut entries = entry(key, value);
    // Another entry, so that the data behind keep their alignment.
    let name = "x".repeat(32 - (entries.len() + 16) % 32);
    entries.extend(entry(&name, 0.0));
    // Behind magic, version and number of tensors comes the number of entries.
    let count = u64::from_le_bytes(gguf[16..24].try_into().unwrap()) + 2;
    [&gguf[..16], &count.to_le_bytes(), &entries, &gguf[24..]].concat()
}

#[test]
fn a_tokenizer_may_have_more_tokens_than_the_model_has_rows() {
    let dir = folder();
    let config = dir.path().join("tokenizer_config.json");
    set(
        &config,
        serde_json::json!({"pad_token": "[PAD]", "eos_token": "<|done|>", "chat_template": "{{ messages[0].content }}[PAD]"}),
    );
    let model = load(dir.path());
    assert_eq!(model.vocab_size(), 320);
    let notes = model.notes().join("\n");
    assert!(notes.contains("has 322 tokens and the model 320 rows") && notes.contains("is never produced"), "{notes}");
    assert!(model.end_tokens().iter().all(|t| t.index() < 320));
    assert_score(&model, CAPITAL, TIED);
    // Letters are letters; the token is refused, in a text and in a conversation.
    assert!(model.tokenize("a[PAD]b", false).is_ok());
    let refused = model.tokenize("a[PAD]b", true).unwrap_err().to_string();
    assert!(refused.contains("\"[PAD]\"") && refused.contains("320 rows"), "{refused}");
    assert!(model.tokenizer().unwrap().encode_chat("a[PAD]").is_err());
    // Where every text would start with one, the model is refused.
    set(&config, serde_json::json!({"bos_token": "<|begin|>"}));
    let error = LocalModel::load(dir.path(), Compute::new(Backend::detect(), 1)).err().unwrap().to_string();
    assert!(error.contains("every text starts with the token 32"), "{error}");
}

#[test]
fn the_end_token_of_tokenizer_config_json_is_one() {
    let dir = folder();
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let (name, id) = vocab.iter().max_by_key(|(_, id)| id.as_u64()).map(|(n, id)| (n.clone(), id.clone())).unwrap();
    json["model"]["merges"] = serde_json::json!([]);
    json["model"]["vocab"].as_object_mut().unwrap().remove(&name);
    json["model"]["vocab"]["<|done|>"] = id.clone();
    std::fs::write(&path, json.to_string()).unwrap();
    set(&dir.path().join("tokenizer_config.json"), serde_json::json!({"eos_token": "<|done|>"}));
    let model = load(dir.path());
    assert!(model.end_tokens().contains(&TokenId(id.as_u64().unwrap() as u32)), "{:?}", model.end_tokens());
    assert!(model.end_tokens().contains(&TokenId(1)), "and config.json's");
}
