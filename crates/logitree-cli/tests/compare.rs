//! `logitree compare` on tiny models, against the distributions that `next` lists whole.

mod common;

use common::{fails, fixtures, json, ok, workplace};
use serde_json::Value;
use std::path::Path;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

/// A second model of the same vocabulary, `other`.
fn other_model(w: &Path, weights: &str) {
    let other = w.join("other");
    std::fs::create_dir(&other).unwrap();
    for from in [weights, "tiny/tokenizer"] {
        for entry in std::fs::read_dir(fixtures().join(from)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "golden.safetensors" {
                std::fs::copy(&path, other.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// The whole distribution after a text: logprobs by token id.
fn whole(w: &Path, model: &str, text: &str) -> Vec<f64> {
    let made = json(w, &["next", text, "-m", model, "--top", "100000"]);
    let top = made["prompts"][0]["top"].as_array().unwrap();
    let mut logprobs = vec![f64::NEG_INFINITY; top.len()];
    top.iter().for_each(|t| logprobs[t["id"].as_u64().unwrap() as usize] = f(&t["logprob"]));
    logprobs
}

#[test]
fn two_models_are_compared_over_the_whole_vocabulary() {
    let folder = workplace();
    let w = folder.path();
    other_model(w, "tiny/gemma2");
    let made = json(w, &["compare", "model", "other", "--text", "hello world"]);
    let tokens = made["tokens"].as_array().unwrap();
    let scores = ["model", "other"].map(|m| json(w, &["score", "--text", "hello world", "-m", m]));
    assert_eq!(tokens.len(), scores[0]["tokens"].as_array().unwrap().len());
    let mut before = String::new();
    for (i, t) in tokens.iter().enumerate() {
        for (side, score) in scores.iter().enumerate() {
            assert_eq!(t["logprob"][side], score["tokens"][i]["logprob"]);
            assert_eq!(t["rank"][side], score["tokens"][i]["rank"]);
            assert_eq!(t["entropy"][side], score["tokens"][i]["entropy"]);
            assert_eq!(t["best"][side]["id"], score["tokens"][i]["top"][0]["id"]);
        }
        assert!((f(&t["change"]) - f(&t["logprob"][1]) + f(&t["logprob"][0])).abs() < 1e-12);
        // By brute force, where the text so far is tokenized as it is here.
        if !before.is_empty() {
            let [a, b] = ["model", "other"].map(|m| whole(w, m, &before));
            let kl = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a.exp() * (a - b)).sum::<f64>();
            let mean: Vec<f64> = a.iter().zip(&b).map(|(a, b)| ((a.exp() + b.exp()) / 2.0).ln()).collect();
            assert!((f(&t["kl_ab"]) - kl(&a, &b)).abs() < 1e-9, "{t}");
            assert!((f(&t["kl_ba"]) - kl(&b, &a)).abs() < 1e-9, "{t}");
            assert!((f(&t["js"]) - (kl(&a, &mean) + kl(&b, &mean)) / 2.0).abs() < 1e-9, "{t}");
        }
        before += t["text"].as_str().unwrap();
    }
    let s = &made["summary"];
    let perplexity = |side: usize| f(&scores[side]["perplexity"]);
    assert!((f(&s["perplexity"][0]["mean"]) - perplexity(0)).abs() < 1e-9 * perplexity(0));
    assert!((f(&s["perplexity_ratio"]["mean"]) - perplexity(1) / perplexity(0)).abs() < 1e-9);
    let mean = tokens.iter().map(|t| f(&t["kl_ab"])).sum::<f64>() / tokens.len() as f64;
    assert!((f(&s["kl_ab"]["mean"]) - mean).abs() < 1e-12);
    let text = ok(w, &["compare", "model", "other", "--text", "hello world", "--rows", "3"]);
    for part in ["KL(A|B) mean", "perplexity B / A", "furthest apart", "same most likely token", "A  model"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'));
}

#[test]
fn a_model_is_like_itself_and_unlike_after_another_context() {
    let folder = workplace();
    let w = folder.path();
    let same = json(w, &["compare", "model", "--text", "hello world"]);
    assert_eq!((f(&same["summary"]["kl_ab"]["max"]), f(&same["summary"]["agreement"]["mean"])), (0.0, 1.0));
    assert_eq!(same["summary"]["first_flip"], Value::Null);
    let args = ["compare", "model", "--text", " world", "--context-a", "hello", "--context-b", "to be"];
    let made = json(w, &args);
    for (side, context) in ["hello", "to be"].into_iter().enumerate() {
        let score = json(w, &["score", "--text", " world", "--context", context, "-m", "model"]);
        assert_eq!(made["tokens"][0]["logprob"][side], score["tokens"][0]["logprob"]);
    }
    assert!(f(&made["summary"]["js"]["max"]) > 0.0);
    let arithmetic =
        json(w, &["compare", "model", "--text", "hello", "--arithmetic-a", "f32", "--arithmetic-b", "bf16x3"]);
    assert!(f(&arithmetic["summary"]["kl_ab"]["max"]) < 1e-6);
}

#[test]
fn files_have_rows_and_wrong_input_is_named() {
    let folder = workplace();
    let w = folder.path();
    let args = ["compare", "model", "--text", "hello world"];
    let with = |more: &[&'static str]| [&args[..], more].concat();
    ok(w, &with(&["-o", "c.csv"]));
    let csv = std::fs::read_to_string(w.join("c.csv")).unwrap();
    let tokens = json(w, &args)["tokens"].as_array().unwrap().len();
    assert_eq!(csv.lines().count(), 1 + tokens);
    assert!(csv.starts_with("position,token_id,text,logprob_a,logprob_b,change,"), "{csv}");
    assert_eq!(ok(w, &with(&["-o", "-"])).lines().count(), tokens);
    assert!(fails(w, &with(&["-o", "c.csv"]), 1).contains("--force"));
    assert!(fails(w, &with(&["-o", "c.txt"]), 2).contains(".json, .jsonl or .csv"));
    assert!(fails(w, &with(&["--chat-a"]), 2).contains("--context-a"));
    assert!(fails(w, &["compare", "model"], 2).contains("--text"));
    assert!(fails(w, &["compare", "model", "other"], 2).contains("no such run file"));
    assert!(fails(w, &["compare", "a", "b", "--context", "x"], 2).contains("--context is about models"));
    assert!(fails(w, &["compare", "-", "-"], 2).contains("only once"));
    assert!(fails(w, &["compare", "model", "nothing-here", "--text", "x"], 1).contains("nothing-here"));
}

#[test]
fn two_runs_are_compared_node_by_node() {
    let folder = workplace();
    let w = folder.path();
    for (name, depth) in [("short.run.jsonl", "3"), ("long.run.jsonl", "5")] {
        ok(w, &["tree", "hello", "-m", "model", "--max-depth", depth, "--min-branch-threshold", "0.02", "-o", name]);
    }
    let made = json(w, &["compare", "short.run.jsonl", "long.run.jsonl"]);
    let [a, b] = ["a", "b"].map(|side| made[side]["nodes"].as_u64().unwrap());
    let count = |name: &str| made[name].as_u64().unwrap();
    assert_eq!((count("shared") + count("only_a"), count("shared") + count("only_b")), (a, b));
    // One model: what both have is equal, so no probability moves.
    assert_eq!((count("shared"), f(&made["moved"])), (a, 0.0));
    assert!(b > a && f(&made["only_mass"][1]) > 0.0);
    let exits = made["nodes"].as_array().unwrap().iter().filter(|n| n["in"] == "both").map(|n| f(&n["exit"][1]));
    assert!((exits.sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(made["fork"]["next"][0], Value::Null);
    other_model(w, "tiny/gemma2");
    ok(w, &["tree", "hello", "-m", "other", "--max-depth", "3", "-o", "other.run.jsonl"]);
    let text = ok(w, &["compare", "short.run.jsonl", "other.run.jsonl"]);
    assert!(text.contains("most likely tokens part after") && text.contains("moved"), "{text}");
    ok(w, &["compare", "short.run.jsonl", "long.run.jsonl", "-o", "nodes.csv"]);
    let csv = std::fs::read_to_string(w.join("nodes.csv")).unwrap();
    assert!(csv.starts_with("in,node_a,node_b,depth,text,"), "{csv}");
    let error = fails(w, &["compare", "short.run.jsonl", "long.run.jsonl", "-o", "short.run.jsonl"], 1);
    assert!(error.contains("short.run.jsonl"), "{error}");
}
