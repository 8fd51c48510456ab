//! The examples build and do what they say, on a tiny model.

use std::path::{Path, PathBuf};
use std::process::Command;

include!("common/tiny.rs");

/// An example's program, which is built with the tests.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn run(name: &str, args: &[&str]) -> String {
    let output = Command::new(program(name)).args(args).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn explore_lists_paths_and_goes_on_by_hand() {
    let model = tiny_model();
    let text = run("explore", &["hello world", model.path().to_str().unwrap()]);
    assert!(text.lines().filter(|l| l.contains(" %  ")).count() == 10, "{text}");
    assert!(text.lines().last().unwrap().ends_with("nodes after going on by hand"), "{text}");
}

#[test]
fn score_lists_every_token_and_generates() {
    let model = tiny_model();
    let text = run("score", &["hello world", model.path().to_str().unwrap()]);
    assert!(text.contains("nats, rank") && text.contains("bits in all, perplexity"), "{text}");
}

#[test]
fn export_writes_tables() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/runs");
    let run_file = runs.join("clicks.run.jsonl");
    run("export", &[run_file.to_str().unwrap(), folder.path().to_str().unwrap()]);
    let table = std::fs::read_to_string(folder.path().join("tree.csv")).unwrap();
    assert!(table.lines().count() > 1 && table.starts_with("node,"), "{table}");
    assert!(folder.path().join("tree.json").metadata().unwrap().len() > 100);
}
