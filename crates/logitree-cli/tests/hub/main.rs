//! Models of the Hugging Face Hub: from a loopback Hub, into a cache that Python reads as well.

mod cache;
#[path = "../common/mod.rs"]
mod common;
mod refusals;
mod transfers;

use common::hub::{Answer, Hub, Repo, Request, etag, sha256};
use common::{logitree, workplace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MODEL: &str = "owner/tiny";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// The tiny model's files.
fn whole(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder.join("model")).unwrap().map(|e| e.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(p).unwrap())).collect()
}

/// The same with the weights in two files and an index.
fn sharded(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = whole(folder);
    let weights = files.remove("model.safetensors").unwrap();
    let data = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&weights[8..data]).unwrap();
    let mut shards = [(serde_json::Map::new(), Vec::new()), (serde_json::Map::new(), Vec::new())];
    let mut map = serde_json::Map::new();
    for (i, (name, info)) in header.into_iter().filter(|(n, _)| n != "__metadata__").enumerate() {
        let at = |k: usize| data + info["data_offsets"][k].as_u64().unwrap() as usize;
        let (tensors, bytes) = &mut shards[i % 2];
        let begin = bytes.len();
        bytes.extend_from_slice(&weights[at(0)..at(1)]);
        let offsets = json!([begin, bytes.len()]);
        tensors
            .insert(name.clone(), json!({ "dtype": info["dtype"], "shape": info["shape"], "data_offsets": offsets }));
        map.insert(name, json!(SHARDS[i % 2]));
    }
    for ((tensors, bytes), file) in shards.into_iter().zip(SHARDS) {
        let header = Value::Object(tensors).to_string().into_bytes();
        let length = (header.len() as u64).to_le_bytes();
        files.insert(file.into(), [&length[..], &header, &bytes].concat());
    }
    files.insert("model.safetensors.index.json".into(), json!({ "weight_map": map }).to_string().into_bytes());
    files
}

/// The program with this Hub and a cache in the folder.
fn with(hub: &Hub, folder: &Path, args: &[&str]) -> Command {
    let mut command = logitree(folder, args);
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        command.env_remove(name);
    }
    for name in
        ["LOGITREE_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_SYMLINKS", "http_proxy", "HTTP_PROXY", "ALL_PROXY"]
    {
        command.env_remove(name);
    }
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", folder.join("hf")).stdin(Stdio::null());
    command
}

fn works(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The repository's folder in the cache.
fn cached(folder: &Path) -> PathBuf {
    folder.join("hf/hub/models--owner--tiny")
}

fn blobs(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(cached(folder).join("blobs")) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_by_name_gives_what_its_folder_gives() {
    let w = workplace();
    let w = w.path();
    let files = sharded(w);
    let local = w.join("local");
    fs::create_dir(&local).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(local.join(name), bytes).unwrap());
    let mut extra = files.clone();
    extra.insert("README.md".into(), b"not for us".to_vec());
    extra.insert("pytorch_model.bin".into(), b"not for us".to_vec());
    let hub = Hub::start(Repo::new(extra));

    let score = |model: &str| -> Value {
        let text = works(with(&hub, w, &["score", "hello world", "-m", model, "--format", "json"]));
        let mut json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["model"], model);
        json.as_object_mut().unwrap().remove("model");
        json
    };
    let named = score("owner/tiny@refs/pr/1");
    assert_eq!(named, score("local"));
    assert!(named["tokens"].as_array().is_some_and(|t| !t.is_empty()), "{named}");
    let seen = [hub.hub.seen(), hub.cdn.seen()].concat().join("\n");
    assert!(!seen.contains("README") && !seen.contains("pytorch") && !seen.contains("golden"), "{seen}");
    assert_eq!(hub.cdn.seen().len(), 2, "each shard once: {seen}");

    // The next time only the revision is looked up.
    hub.hub.forget();
    assert_eq!(score("owner/tiny@refs/pr/1"), named);
    assert_eq!(hub.hub.seen(), ["GET /api/models/owner/tiny/revision/refs%2Fpr%2F1"]);

    // A run records the name and the weights, as it does of a folder, and is verified by them.
    let grow = |model: &str, file: &str| {
        works(with(&hub, w, &["tree", "hello world", "-m", model, "--max-nodes", "20", "-o", file]));
        let text = fs::read_to_string(w.join(file)).unwrap();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["model"].clone()
    };
    let (of_hub, of_folder) = (grow("owner/tiny@refs/pr/1", "hub.run.jsonl"), grow("local", "local.run.jsonl"));
    assert_eq!(of_hub["name"], "owner/tiny@refs/pr/1");
    assert_eq!(
        (&of_hub["sha256"], &of_hub["tokenizer_sha256"]),
        (&of_folder["sha256"], &of_folder["tokenizer_sha256"])
    );
    assert!(works(with(&hub, w, &["verify", "hub.run.jsonl"])).contains("the same to the last bit"));
}

#[test]
fn single_gguf_files_and_all_parts_of_split_ones() {
    let w = workplace();
    let w = w.path();
    let names = ["a b.gguf", "q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf", "config.json"];
    let hub = Hub::start(Repo::new(names.map(|n| (n.replace(' ', "%20"), n.as_bytes().to_vec()))));
    // Names are percent-encoded on the way only.
    let listing = hub.repo.lock().unwrap().listing().to_string().replace("a%20b", "a b");
    let hub = Hub::with(
        hub.repo.lock().unwrap().clone(),
        Box::new(move |r, a| if r.path.starts_with("/api/") { Answer::new(200, listing.clone()) } else { a }),
        Box::new(|_, a| a),
    );
    let path = works(with(&hub, w, &["model", "pull", "hf:owner/tiny/q/m-00002-of-00002.gguf"]));
    assert!(path.ends_with("q/m-00002-of-00002.gguf"), "{path}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "q/m-00002-of-00002.gguf");
    assert!(Path::new(&path).with_file_name("m-00001-of-00002.gguf").is_file());
    let path = works(with(&hub, w, &["model", "pull", "hf:owner/tiny/a b.gguf@main"]));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a b.gguf");
    assert_eq!(blobs(w).len(), 3, "config.json is not part of it");

    // By a word of its name, as llama.cpp has it; then from the cache alone.
    let path = works(with(&hub, w, &["model", "pull", "owner/tiny:m"]));
    assert!(path.ends_with("q/m-00001-of-00002.gguf"), "{path}");
    let mut offline = with(&hub, w, &["model", "path", "hf:owner/tiny:m"]);
    offline.env("LOGITREE_OFFLINE", "1");
    assert_eq!(works(offline), path);
    let error = refused(with(&hub, w, &["model", "pull", "owner/tiny:Q4_K_M"]));
    assert!(error.contains("no GGUF file with Q4_K_M in its name; it has these: hf:owner/tiny/a b.gguf"), "{error}");
    let error = refused(with(&hub, w, &["model", "pull", "hf:owner/tiny/c.gguf"]));
    assert!(
        error.contains("owner/tiny@main has no c.gguf; it has these: hf:owner/tiny/a b.gguf, hf:owner/tiny/q/m-00001"),
        "{error}"
    );
    let error = refused(with(&hub, w, &["model", "pull", MODEL]));
    assert!(error.contains("has no model.safetensors; it has these: hf:owner/tiny/a b.gguf"), "{error}");
    let error = refused(with(&hub, w, &["model", "pull", "hf:owner/tiny/../x.gguf"]));
    assert!(error.contains("cannot be a file of a repository"), "{error}");
    let error = refused(with(&hub, w, &["model", "pull", "models/typo.gguf"]));
    assert!(error.contains("neither a known name") && error.contains("hf:OWNER/REPO/FILE.gguf"), "{error}");
}

#[test]
fn a_tokenizer_is_fetched_without_the_weights() {
    let w = workplace();
    let w = w.path();
    let hub = Hub::start(Repo::new(whole(w)));
    let nobody = ["score", "hello", "--engine", "http://127.0.0.1:9", "--tokenizer", MODEL];
    refused(with(&hub, w, &nobody));
    assert!(cached(w).join("refs/main").is_file());
    assert!(hub.hub.seen().iter().any(|r| r.ends_with("/tokenizer.json")));
    assert!(hub.cdn.seen().is_empty(), "{:?}", hub.cdn.seen());
}

#[test]
fn models_that_cannot_run_cost_no_download_of_weights() {
    let w = workplace();
    let w = w.path();
    let mut files = whole(w);
    files.insert("config.json".into(), br#"{"model_type": "mamba"}"#.to_vec());
    let hub = Hub::start(Repo::new(files));
    let error = refused(with(&hub, w, &["model", "pull", MODEL]));
    assert!(error.contains("owner/tiny@main cannot be run") && error.contains("mamba"), "{error}");
    assert!(hub.cdn.seen().is_empty());
}
