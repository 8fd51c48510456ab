//! The help of every command, as it is at 80 columns. After a change, look at the difference and accept it with
//! `LOGITREE_BLESS=1 cargo test -p logitree-cli --test help`.

mod common;

use common::{fails, logitree};
use std::collections::BTreeSet;
use std::path::Path;

const COLUMNS: usize = 80;

fn help(args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = logitree(folder, &[args, &["--help"]].concat()).env("COLUMNS", COLUMNS.to_string()).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    // A program's own name has an ending on some systems.
    String::from_utf8(output.stdout).unwrap().replace("logitree.exe", "logitree")
}

/// Names of the commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names = list.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    names.filter_map(|l| l.split_whitespace().next()).filter(|&n| n != "help").map(String::from).collect()
}

#[test]
fn help_texts_are_what_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let bless = std::env::var_os("LOGITREE_BLESS").is_some();
    let mut seen = BTreeSet::new();
    let mut changed = Vec::new();
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let args: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = help(&args);
        waiting.extend(commands(&text).into_iter().map(|name| [&path[..], &[name]].concat()));
        for line in text.lines() {
            // A program cannot break an address.
            assert!(line.chars().count() <= COLUMNS || line.contains("https://"), "{args:?}: {line}");
        }
        let name = format!("{}.txt", [&["logitree"], &args[..]].concat().join("-"));
        let file = folder.join(&name);
        // Blanks at the ends of lines are clap's; editors and diffs do without.
        let text: String = text.lines().map(|l| l.trim_end().to_string() + "\n").collect();
        if bless {
            std::fs::write(&file, &text).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default().replace('\r', "") != text {
            changed.push(name.clone());
        }
        seen.insert(name);
    }
    assert!(changed.is_empty(), "the help has changed in {changed:?}: LOGITREE_BLESS=1 writes it down");
    let there = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), seen, "files of commands that are gone");
}

#[test]
fn the_short_help_of_every_command_fits_on_a_screen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in commands(&help(&[])) {
        let output = logitree(folder, &[&name, "-h"]).env("COLUMNS", "100").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 56, "{name} -h has {lines} lines");
    }
    let output = logitree(folder, &["tree", "-h"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("see more with '--help'") && !text.contains("--engine-kind"), "{text}");
    for option in ["--max-depth", "--strategy", "--max-nodes", "--model", "--engine", "--output", "--watch"] {
        assert!(text.contains(option), "{option}");
    }
}

#[test]
fn options_stand_under_their_own_head() {
    // The section that an option is listed in; none for the first one.
    let section = |text: &str, option: &str| -> Option<String> {
        let mut head = None;
        for line in text.lines() {
            if !line.starts_with(' ') && line.ends_with(':') {
                head = Some(line.trim_end_matches(':').to_string());
            }
            // What an option does is further to the right, and may begin with the name of another.
            let is_option = line.trim_start().starts_with('-') && !line.starts_with("        ");
            if is_option && line.split([' ', ',']).any(|w| w == option) {
                return head;
            }
        }
        None
    };
    for (command, options) in [
        ("tree", &["--chat", "--output", "--force", "--resume", "--format"][..]),
        ("logprobs", &["--max-new-tokens", "--top", "--temperature", "--watch", "--output", "--format"]),
        ("guide", &["--prefix", "--join", "--top", "--seed", "--format"]),
        ("score", &["--file", "--text", "--special", "--top", "--format"]),
        ("answers", &["--choices", "--pattern", "--normalize", "--direct", "--max-seconds"]),
        ("decide", &["--choices", "--pattern", "--text", "--tolerance", "--output"]),
        ("forks", &["--max-new-tokens", "--text", "--pattern", "--top", "--layers", "--output"]),
        ("verify", &["--tolerance", "--format"]),
        ("serve", &["--host", "--port", "--open", "--data-dir"]),
        ("bench", &["--only", "--rounds", "--output"]),
    ] {
        let text = help(&[command]);
        for option in options {
            assert_eq!(section(&text, option).as_deref(), Some("Options"), "{command} {option}");
        }
        let servers = "Servers in place of a model here";
        for option in ["--engine", "--engine-kind", "--tokenizer", "--end-token"] {
            assert_eq!(section(&text, option).as_deref(), Some(servers), "{command} {option}");
        }
    }
    assert_eq!(section(&help(&["tree"]), "--cover").as_deref(), Some("Exploration"));
    assert_eq!(section(&help(&["tree"]), "--model").as_deref(), Some("Model"));
}

#[test]
fn options_that_make_no_sense_together_are_refused_by_name() {
    let w = common::workplace();
    let w = w.path();
    common::ok(w, &["tree", "hello", "-m", "model", "--max-depth", "2", "-o", "r.run.jsonl"]);
    for (args, named) in [
        // What is required conflicts with another option that is given.
        (&["tree", "a", "--special", "--system", "x"][..], ["--special", "--system"]),
        (&["logprobs", "a", "--special", "--template-arg", "x=1"], ["--special", "--template-arg"]),
        (&["next", "a", "--template-arg", "x=1", "--special"], ["--special", "--template-arg"]),
        (&["tree", "--resume", "r.run.jsonl", "--template-arg", "x=1"], ["--resume", "--template-arg"]),
        (&["tree", "--resume", "r.run.jsonl", "--system", "x"], ["--resume", "--system"]),
        (&["tree", "--resume", "r.run.jsonl", "--force"], ["--resume", "--force"]),
        // Options that would have no effect.
        (&["answers", "a", "--choices", "a|b", "--direct", "--max-nodes", "5"], ["--direct", "--max-nodes"]),
        (&["answers", "a", "--choices", "a|b", "--direct", "--max-depth", "5"], ["--direct", "--max-depth"]),
        (&["answers", "a", "--choices", "a|b", "--direct", "--max-seconds", "5"], ["--direct", "--max-seconds"]),
        (&["answers", "a", "--choices", "a|b", "--direct", "--batch", "5"], ["--direct", "--batch"]),
        (&["lens", "r.run.jsonl", "--node", "0", "--paths", "3"], ["--node", "--paths"]),
    ] {
        let said = fails(w, args, 2);
        assert!(named.iter().all(|name| said.contains(name)), "{args:?}: {said}");
    }
    common::ok(w, &["answers", "a", "-m", "model", "--choices", "a|b", "--direct"]);
    common::ok(w, &["lens", "r.run.jsonl", "--node", "0"]);
}

#[test]
fn values_may_begin_with_a_hyphen() {
    let w = common::workplace();
    let w = w.path();
    // A negative number is refused for what it is.
    for args in [&["logprobs", "a", "--temperature", "-1"][..], &["tree", "a", "--max-seconds", "-3"]] {
        let text = fails(w, args, 2);
        assert!(text.contains("must be a number, 0 or more") && text.contains(args[2]), "{text}");
    }
    for prompt in ["-5 is", "- milk\n- bread", "--a text", "-5"] {
        for (before, after) in
            [(&[prompt, "-n", "1"][..], &[][..]), (&["-n", "1", prompt], &[]), (&["-n", "1"], &["--", prompt])]
        {
            let args = [&["logprobs", "-m", "model", "--format", "json"], before, after].concat();
            let made: serde_json::Value = serde_json::from_str(&common::ok(w, &args)).unwrap();
            assert_eq!(made["prompt"], prompt, "{args:?}");
        }
    }
    let made = common::json(w, &["guide", "a", "--prefix", "- b c", "--join", "-", "-n", "0", "-m", "model"]);
    assert_eq!(made["prefix"], "- b c");
    // The value of an option stays with it, by whatever name and of whatever command the option is.
    for option in [["--top", "2"], ["--store-top", "2"], ["--color", "never"]] {
        common::ok(w, &[&["tree", "-m", "model", "--max-depth", "2"], &option[..], &["- milk"]].concat());
    }
    // What is no text is no prompt.
    assert!(fails(w, &["logprobs", "--max-depht", "a"], 2).contains("--max-depht"));
}
