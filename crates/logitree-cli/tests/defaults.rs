//! What `logitree tree` does unless it is told otherwise, and what it says about it.

mod common;

use common::{json, run, workplace};
use serde_json::Value;
use std::path::Path;

/// What a run prints: results, and notes.
fn tree(w: &Path, args: &[&str]) -> (String, String) {
    let output = run(w, &[&["tree", "hello world", "-m", "model", "--force", "-o", "t.run.jsonl"], args].concat());
    let [out, err] = [&output.stdout, &output.stderr].map(|s| String::from_utf8(s.clone()).unwrap());
    assert!(output.status.success(), "{err}");
    (out, err)
}

fn header(w: &Path) -> Value {
    let file = std::fs::read_to_string(w.join("t.run.jsonl")).unwrap();
    serde_json::from_str(file.lines().next().unwrap()).unwrap()
}

#[test]
fn the_default_tree_has_a_depth_limit_that_is_told() {
    let folder = workplace();
    let w = folder.path();
    let (out, err) = tree(w, &["--max-nodes", "200"]);
    assert_eq!(header(w)["parameters"]["max_depth"], 30);
    assert!(err.contains("depth limit 30") && err.contains("--max-depth") && err.contains("1000"), "{err}");
    assert!(out.contains("not followed, "), "{out}");
    assert!(out.contains("the tree covers ") && out.contains(" of the first token, "), "{out}");
    let (_, err) = tree(w, &["--max-nodes", "20", "--max-depth", "1000"]);
    assert_eq!(header(w)["parameters"]["max_depth"], 1000);
    assert!(!err.contains("depth limit"), "{err}");
}

#[test]
fn best_first_has_a_budget_that_is_told_unless_one_is_given() {
    let folder = workplace();
    let w = folder.path();
    let (_, err) = tree(w, &["--strategy", "best-first", "--cover", "0.0001", "--max-depth", "3"]);
    assert_eq!(header(w)["limits"]["max_nodes"], 5000);
    assert!(err.contains("budget 5000 nodes"), "{err}");
    let (out, err) = tree(w, &["--strategy", "best-first", "--max-nodes", "40"]);
    assert_eq!(header(w)["limits"]["max_nodes"], 40);
    assert!(!err.contains("budget") && out.contains("stopped at --max-nodes"), "{err} {out}");
    tree(w, &["--strategy", "best-first", "--max-seconds", "0.1"]);
    assert!(header(w)["limits"].get("max_nodes").is_none());
}

#[test]
fn why_a_run_ended_and_what_it_covers_is_always_said() {
    let folder = workplace();
    let w = folder.path();
    let (out, _) = tree(w, &["--max-depth", "2", "--min-branch-threshold", "0.01"]);
    assert!(out.contains("ended: no path is left to follow within the depth limit"), "{out}");
    assert!(out.contains("to see more: ") && out.contains("--max-depth 4 looks further"), "{out}");
    assert!(!out.contains("of the first three"), "{out}");
    // The first number is the probability of the root's children.
    let run = std::fs::read_to_string(w.join("t.run.jsonl")).unwrap();
    let root: Value = run.lines().nth(1).map(|l| serde_json::from_str(l).unwrap()).unwrap();
    assert_eq!(root["type"], "expand");
    let made = json(w, &["show", "t.run.jsonl"]);
    assert!(made["mass"]["pruned"].as_f64().unwrap() > 0.0);
}
