//! Standard output and standard error: whatever is done to them, and whatever comes from files, models and servers.

#![cfg(unix)]

mod common;

use common::{logitree, run, workplace};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Output, Stdio};

/// Sets the title, a colour by C1, reverses the line, begins a new one.
const HOSTILE: &str = "\u{1b}]0;PWNED\u{7}\u{1b}[31m\u{9b}31m\u{202e}evil\u{2028}\u{200b}";

/// A device on which nothing can be written, opened like a terminal would be.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A tree whose table is longer than a pipe.
const TREE: [&str; 6] =
    ["tree", "hello world", "-m=model", "--max-nodes=400", "--min-branch-threshold=0.02", "--max-branch-threshold=0.3"];

#[test]
fn messages_that_cannot_be_written_change_nothing() {
    let w = workplace();
    let w = w.path();
    run(w, &[&TREE[..], &["-o", "a.run.jsonl"]].concat());
    let mut torn = std::fs::read(w.join("a.run.jsonl")).unwrap();
    torn.truncate(torn.len() / 2);
    std::fs::write(w.join("torn.run.jsonl"), torn).unwrap();
    std::fs::write(w.join("e.toml"), "models = [\"model\"]\nmax_nodes = 20\n[[prompts]]\ntext = \"hello\"\n").unwrap();
    for (args, code) in [
        (&[&TREE[..], &["-o", "b.run.jsonl"]].concat()[..], 0),
        (&[&TREE[..], &["-o", "-"]].concat()[..], 0),
        (&["show", "nosuch"], 1),
        (&["show", "torn.run.jsonl"], 0),
        (&["run", "e.toml"], 0),
        (&["bench", "--only", "nothing"], 2),
        (&["model", "pull", "nosuch"], 1),
        (&["serve", "--host", "0.0.0.0"], 2),
        (&["tree", "--nosuch"], 2),
    ] {
        let output = logitree(w, args).stdin(Stdio::null()).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        // Nobody reads it any more.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let args: Vec<&str> = args.iter().map(|a| a.replace("b.run", "c.run").leak() as &str).collect();
        let output = logitree(w, &args).stdin(Stdio::null()).stderr(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_errors() {
    let w = workplace();
    let w = w.path();
    run(w, &[&TREE[..], &["-o", "a.run.jsonl"]].concat());
    for args in [
        &["--help"][..],
        &["--version"],
        &["tree", "--help"],
        &["help", "export"],
        &["show", "a.run.jsonl"],
        &["export", "a.run.jsonl", "--to", "csv"],
        &["export", "a.run.jsonl", "--to", "parquet"],
        &["model", "list"],
    ] {
        let output = logitree(w, args).stdin(Stdio::null()).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.matches("No space left").count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_enough_is_success() {
    let w = workplace();
    let w = w.path();
    run(w, &[&TREE[..], &["-o", "a.run.jsonl"]].concat());
    let export = |format| vec!["export", "a.run.jsonl", "--to", format];
    // All but records, which are of complete paths: this run has none.
    let formats = ["csv", "parquet", "tree-json", "dot", "graphml", "mermaid", "text"];
    let exports = formats.into_iter().map(export);
    let more = [vec!["report", "a.run.jsonl"], vec!["--help"], [&TREE[..], &["-o", "-"]].concat()];
    for args in exports.chain(more) {
        // A pipe whose reader is gone.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = logitree(w, &args).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.contains("error")), (Some(0), false), "{args:?}: {said}");
    }
}

/// No byte sequence that controls a terminal or reorders a line.
fn check_harmless(args: &[&str], output: &Output) {
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).unwrap_or_else(|e| panic!("{args:?}: {name} is not UTF-8: {e}"));
        let bad = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{200b}')
        };
        let line = text.lines().find(|l| l.contains(bad)).map(|l| l.chars().take(300).collect::<String>());
        assert_eq!(line, None, "{args:?}: {name}");
    }
    assert!(matches!(output.status.code(), Some(0..=2)), "{args:?}: {:?}", output.status);
}

/// Puts hostile text at these places of a line of `a.run.jsonl`.
fn hostile(folder: &Path, line: usize, places: &[&str]) {
    let text = std::fs::read_to_string(folder.join("a.run.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let at = if line == END { lines.len() - 1 } else { line };
    for place in places {
        let (parent, key) = place.rsplit_once('/').unwrap();
        lines[at].pointer_mut(parent).unwrap()[key] = json!(HOSTILE);
    }
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    std::fs::write(folder.join("hostile.run.jsonl"), text).unwrap();
}

const END: usize = usize::MAX;

#[test]
fn what_a_file_names_never_controls_the_terminal() {
    let w = workplace();
    let w = w.path();
    run(w, &["tree", "hello world", "-m=model", "-o=a.run.jsonl", "--max-nodes=9", "--watch= world"]);
    hostile(
        w,
        0,
        &[
            "/engine",
            "/created",
            "/logitree",
            "/model/name",
            "/model/sha256",
            "/model/architecture",
            "/model/dtype",
            "/model/tokenizer",
            "/prompt/text",
            "/prompt/tokens/1/text",
            "/watch/0/text",
        ],
    );
    for args in [
        &["show", "hostile.run.jsonl"][..],
        &["show", "hostile.run.jsonl", "--format", "json"],
        &["lens", "hostile.run.jsonl", "--top-k", "2"],
        &["lens", "hostile.run.jsonl", "--top-k", "2", "--node", "0"],
        &["verify", "hostile.run.jsonl"],
        &["tree", "--resume", "hostile.run.jsonl", "-m", "model", "--max-nodes", "9"],
        &["export", "hostile.run.jsonl", "--to", "text"],
        &["export", "hostile.run.jsonl", "--to", "dot"],
        &["export", "hostile.run.jsonl", "--to", "graphml"],
        &["export", "hostile.run.jsonl", "--to", "mermaid"],
    ] {
        check_harmless(args, &run(w, args));
    }
}

#[test]
fn why_a_file_is_refused_never_controls_the_terminal() {
    let w = workplace();
    let w = w.path();
    run(w, &["tree", "hello world", "-m=model", "-o=a.run.jsonl", "--max-nodes=9"]);
    let key = format!("/limits/{HOSTILE}");
    for (line, place) in [
        (0, "/format"),
        (0, "/strategy"),
        (0, "/model/arithmetic"),
        (0, "/model/sha256"),
        (0, "/model/tokenizer"),
        (0, &key),
        (1, "/exactness"),
        (1, "/type"),
        (1, "/top/0/text"),
        (END, "/reason"),
        (END, "/type"),
    ] {
        for args in [
            &["show", "hostile.run.jsonl"][..],
            &["tree", "--resume", "hostile.run.jsonl", "-m", "model", "--max-nodes", "9"],
        ] {
            hostile(w, line, &[place]);
            check_harmless(args, &run(w, args));
        }
    }
}

#[test]
fn names_and_experiments_never_control_the_terminal() {
    let w = workplace();
    let w = w.path();
    let record = json!({ "prompt": HOSTILE, "response": HOSTILE, "data": [{ "token": HOSTILE, "logprob": -1.0 }] });
    let raw = format!("{record}\n{{\"prompt\":\"{HOSTILE}\"}}\n{HOSTILE}\n");
    std::fs::write(w.join("records.jsonl"), raw).unwrap();
    let name = format!("{HOSTILE}.run.jsonl");
    std::fs::write(w.join(&name), "{}\n").unwrap();
    let quoted = "\"\\u001b]0;N\\u0007\\u009b\\u202e\"";
    let toml = |models: &str, parameters: &str| {
        format!("models=[{models}]\nmax_nodes=5\n[[prompts]]\ntext=\"\\u001b[31mhi\"\n[[parameters]]\n{parameters}\n")
    };
    for (file, text) in [
        ("model.toml", toml(quoted, "max_depth=2")),
        ("name.toml", toml("\"model\"", &format!("name={quoted}"))),
        ("strategy.toml", toml("\"model\"", &format!("strategy={quoted}"))),
        ("key.toml", toml("\"model\"", &format!("{quoted}=3"))),
        ("broken.toml", format!("a = {HOSTILE}")),
    ] {
        std::fs::write(w.join(file), text).unwrap();
        check_harmless(&["run", file], &run(w, &["run", file]));
    }
    let prompt = format!("hello {HOSTILE}");
    for args in [
        &["show", "records.jsonl"][..],
        &["show", "records.jsonl", "--format=json"],
        &["show", &name],
        &["export", &name, "--to", "csv"],
        &["export", "records.jsonl", "--to", "csv", "-o", &format!("{HOSTILE}/x")],
        &["tree", "hello", "-m", HOSTILE],
        &[HOSTILE],
        &["tree", &format!("--{HOSTILE}")],
        &["tree", "hello", "--strategy", HOSTILE],
        &["model", "info", HOSTILE],
        &["engine", "probe", HOSTILE],
        &["tree", &prompt, "-m=model", "--max-nodes=20", "--max-depth=3"],
        &["tree", &prompt, "-m=model", "--max-nodes=20", "-o=-"],
        &["score", &prompt, "-m=model", "--watch", HOSTILE],
        &["logprobs", &prompt, "-m=model", "-n=30", "-o=-"],
        &["guide", "hello", "--prefix", HOSTILE, "-m=model", "-n=30"],
        &["answers", &prompt, "-m=model", "--choices", HOSTILE, "--max-nodes=50"],
        &["answers", &prompt, "-m=model", "--choices", HOSTILE, "--direct"],
        &["decide", &prompt, "-m=model", "--choices", HOSTILE, "--max-nodes=50", "-n=2"],
        &["attribute", &prompt, "-m=model", "--choices", HOSTILE],
        &["forks", &prompt, "-m=model", "-n=5"],
    ] {
        check_harmless(args, &run(w, args));
    }
}
