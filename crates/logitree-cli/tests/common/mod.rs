//! Running the program on a tiny model.

#![allow(dead_code)] // each test file uses a part

pub mod hub;
pub mod server;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A folder to work in, with a tiny Gemma 3 and its tokenizer in `model`.
pub fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for from in ["tiny/gemma3", "tiny/tokenizer"] {
        for entry in std::fs::read_dir(fixtures().join(from)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "golden.safetensors" {
                std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

pub fn logitree(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logitree"));
    command
        .current_dir(folder)
        .args(args)
        .env("LOGITREE_CACHE", folder.join("cache"))
        .env("LOGITREE_OFFLINE", "1")
        .env("LOGITREE_CONFIG", "");
    for name in ["LOGITREE_MODEL", "LOGITREE_THREADS", "LOGITREE_DATA"] {
        command.env_remove(name);
    }
    command
}

pub fn run(folder: &Path, args: &[&str]) -> Output {
    logitree(folder, args).stdin(Stdio::null()).output().unwrap()
}

pub fn ok(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&ok(folder, &[args, &["--format", "json"]].concat())).unwrap()
}

pub fn fails(folder: &Path, args: &[&str], code: i32) -> String {
    let output = run(folder, args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}
