//! How texts come in: one rule for an argument, a file and standard input; names of control tokens.

mod common;

use common::server::Server;
use common::{fails, json, logitree, ok, run, workplace};
use serde_json::{Value, json as object};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Ends in a line end, as editors leave it.
const ESSAY: &str = "hello world\nthe cat is in the house\n";

/// Runs a command with a text on standard input; its output and its notes.
fn piped(folder: &Path, args: &[&str], text: &[u8]) -> (Value, String) {
    let mut command = logitree(folder, &[args, &["-m", "model", "--format", "json"]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {notes}");
    (serde_json::from_slice(&output.stdout).unwrap(), notes)
}

fn perplexity(value: &Value) -> f64 {
    value["perplexity"].as_f64().unwrap()
}

#[test]
fn a_text_has_one_perplexity_from_a_file_standard_input_and_an_argument() {
    let w = workplace();
    let w = w.path();
    let typed = json(w, &["score", "-m", "model", ESSAY.trim_end()]);
    for (name, text) in [
        ("essay.txt", ESSAY.to_string()),
        ("crlf", ESSAY.trim_end().to_string() + "\r\n"),
        ("mark", format!("\u{feff}{ESSAY}")),
        ("no end", ESSAY.trim_end().to_string()),
    ] {
        std::fs::write(w.join(name), &text).unwrap();
        let notes = |text: &str| text.matches("is left out").count();
        let expected = usize::from(text.ends_with('\n')) + usize::from(text.starts_with('\u{feff}'));
        for args in [&["score", name][..], &["score", "--file", name]] {
            let output = run(w, &[args, &["-m", "model", "--format", "json"]].concat());
            let scored: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(scored["tokens"], typed["tokens"], "{name}");
            assert_eq!(notes(&String::from_utf8_lossy(&output.stderr)), expected, "{name}");
        }
        for args in [&["score", "-"][..], &["score"], &["score", "--file", "-"]] {
            let (scored, said) = piped(w, args, text.as_bytes());
            assert_eq!((&scored["tokens"], notes(&said)), (&typed["tokens"], expected), "{name} {args:?}: {said}");
        }
    }
    // A text that ends in a line end can be scored in all three ways, too, and it is another text.
    std::fs::write(w.join("two"), format!("{ESSAY}\n")).unwrap();
    let two = perplexity(&json(w, &["score", "two", "-m", "model"]));
    assert_eq!(two, perplexity(&json(w, &["score", ESSAY, "-m", "model"])));
    assert_eq!(two, perplexity(&piped(w, &["score"], format!("{ESSAY}\n").as_bytes()).0));
    assert_ne!(two, perplexity(&typed));
    // Prompts are read the same way.
    let (piped, said) = piped(w, &["logprobs", "-", "-n", "1"], "\u{feff}hello\n".as_bytes());
    assert_eq!((piped["prompt"].as_str(), said.matches("is left out").count()), (Some("hello"), 2));
}

#[test]
fn a_name_without_a_file_is_not_scored_as_a_text() {
    let w = workplace();
    let w = w.path();
    for name in ["nosuchfile.txt", "./nofile.txt", "x.csv", "model", "texts/a", "my essay.txt"] {
        let text = fails(w, &["score", name, "-m", "model"], 2);
        assert!(text.contains("--text") && text.contains("--file") && text.contains(name), "{text}");
    }
    let scored = json(w, &["score", "--text", "nosuchfile.txt", "-m", "model"]);
    assert!(scored["tokens"].as_array().unwrap().len() > 1);
    let text = fails(w, &["score", "--file", "nosuchfile.txt", "-m", "model"], 1);
    assert!(text.contains("nosuchfile.txt"), "{text}");
    let text = fails(w, &["score", "--file", "model", "-m", "model"], 2);
    assert!(text.contains("folder"), "{text}");
    fails(w, &["score", "--file", "a", "--text", "b"], 2);
    fails(w, &["score", "a", "--text", "b"], 2);
    ok(w, &["score", "It is so. I think", "-m", "model"]);
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_a_file() {
    let w = workplace();
    let w = w.path();
    let mut command = std::process::Command::new("bash");
    let script = format!("{} score <(echo 'hello world') -m model --format json", env!("CARGO_BIN_EXE_logitree"));
    let output = command.current_dir(w).args(["-c", &script]).output().unwrap();
    let scored: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scored["tokens"], json(w, &["score", "hello world", "-m", "model"])["tokens"]);
}

fn ids(tokens: &Value) -> Vec<u64> {
    tokens.as_array().unwrap().iter().map(|t| t["id"].as_u64().unwrap()).collect()
}

#[test]
fn names_of_control_tokens_are_letters_unless_asked_for() {
    const TEXT: &str = "hello<eos>world";
    const EOS: u64 = 1;
    let w = workplace();
    let w = w.path();
    let said = |args: &[&str]| {
        let output = run(w, &[args, &["-m", "model", "--format", "json"]].concat());
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {notes}");
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), notes)
    };
    let (letters, note) = said(&["score", TEXT]);
    assert!(!ids(&letters["tokens"]).contains(&EOS));
    assert!(note.contains("(<eos>)") && note.contains("letters") && note.contains("--special"), "{note}");
    let (tokens, note) = said(&["score", TEXT, "--special"]);
    assert!(ids(&tokens["tokens"]).contains(&EOS) && note.is_empty(), "{note}");
    // BOS is in front once, also if the text names it.
    assert_eq!(said(&["score", "<bos>hello<eos>world", "--special"]).0["tokens"], tokens["tokens"]);
    assert!(said(&["score", "a < b > c"]).1.is_empty());

    // The server takes names as tokens, and has the same numbers then.
    let server = Server::start(w, &[]);
    let request = object!({ "prompt": TEXT, "max_tokens": 0, "echo": true, "logprobs": 1 });
    let (status, answer) = server.ask("POST", "/v1/completions", Some(request));
    assert_eq!(status, 200, "{answer}");
    let theirs = &answer["choices"][0]["logprobs"]["token_logprobs"];
    let ours: Vec<f64> = tokens["tokens"].as_array().unwrap().iter().map(|t| t["logprob"].as_f64().unwrap()).collect();
    let theirs: Vec<f64> = theirs.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(theirs[theirs.len() - ours.len()..], ours);

    // Every command with a prompt.
    let commands: [&[&str]; 7] = [
        &["tree", TEXT, "--max-depth", "1", "-o", "t.run.jsonl", "--force"],
        &["logprobs", TEXT, "-n", "1"],
        &["guide", TEXT, "--prefix", "a", "-n", "1"],
        &["answers", TEXT, "--choices", "a|b", "--max-nodes", "5"],
        &["decide", TEXT, "--choices", "a|b", "-n", "1", "--max-nodes", "5"],
        &["attribute", TEXT, "--choices", "a|b", "--by", "token"],
        &["forks", TEXT, "-n", "2", "--pattern", "a"],
    ];
    for command in commands {
        assert!(said(command).1.contains("--special"), "{command:?}");
        let (_, note) = said(&[command, &["--special"]].concat());
        assert!(!note.contains("control tokens"), "{command:?}: {note}");
    }
    // The last tree was made with --special: its file says so, and its prompt has the token.
    let file = std::fs::read_to_string(w.join("t.run.jsonl")).unwrap();
    let header: Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
    assert_eq!(header["prompt"]["special"], true);
    assert!(ids(&header["prompt"]["tokens"]).contains(&EOS));

    // An experiment's prompts likewise.
    let toml = "models = [\"model\"]\n[[prompts]]\ntext = \"hello<eos>world\"\nspecial = true\n[[parameters]]\nmax_depth = 1\n";
    std::fs::write(w.join("e.toml"), toml).unwrap();
    ok(w, &["run", "e.toml", "-o", "out"]);
    let made = std::fs::read_dir(w.join("out")).unwrap().map(|f| f.unwrap().path());
    let made = made.filter(|p| p.to_string_lossy().ends_with(".run.jsonl")).collect::<Vec<_>>();
    assert!(std::fs::read_to_string(&made[0]).unwrap().contains("\"special\":true"));
    assert!(ok(w, &["run", "e.toml", "-o", "out"]).contains("hello"), "goes on with its own file");
    fails(w, &["tree", TEXT, "--special", "--chat", "-m", "model"], 2);
}

#[test]
fn tables_fit_the_terminal_and_list_what_was_asked_for() {
    use unicode_width::UnicodeWidthStr;
    let w = common::workplace();
    let w = w.path();
    let at = |columns: &str, args: &[&str]| {
        let output = logitree(w, &[args, &["-m", "model"]].concat()).env("COLUMNS", columns).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let wide = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        for line in wide.lines() {
            assert!(line.width() <= columns.parse().unwrap(), "{args:?} at {columns}: {line}");
        }
        String::from_utf8(output.stdout).unwrap()
    };
    for columns in ["70", "80", "120"] {
        at(columns, &["next", "hello world", "--layers", "--watch", "l"]);
        at(columns, &["score", "hello world", "--layers"]);
        let table = at(columns, &["score", "hello world", "--top", "12"]);
        // Every row and its further lines have twelve alternatives, or eleven if the token is one of them.
        let rows: Vec<&str> = table.lines().skip(1).take_while(|l| !l.starts_with('(')).collect();
        let starts: Vec<usize> = (0..rows.len()).filter(|&i| !rows[i].starts_with("       ")).collect();
        for (n, &start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied().unwrap_or(rows.len());
            let listed = rows[start..end].join(" ").matches(" %").count() - 1;
            assert!((11..=12).contains(&listed), "{columns}: {:?}", &rows[start..end]);
        }
        // Without --top, a row is one line, and never without an alternative.
        let table = at(columns, &["score", "hello world"]);
        for row in table.lines().skip(1).take_while(|l| !l.starts_with('(')) {
            assert!(row.matches(" %").count() >= 2, "{row}");
        }
        assert!(table.contains("nats") && table.contains("bits"), "{table}");
        at(
            columns,
            &["tree", "hello world", "--max-depth", "6", "--force", "-o", "t", "--min-branch-threshold", "0.01"],
        );
        at(
            columns,
            &["tree", "a", "--strategy", "best-first", "--max-depth", "3", "--max-nodes", "900", "--force", "-o", "t"],
        );
    }
    let one = at("80", &["logprobs", "a", "-n", "1"]);
    assert!(one.contains("all: 1 token,"), "{one}");
    let drawn = at("80", &["tree", "a", "--max-depth", "1", "--force", "-o", "t"]);
    assert!(drawn.contains("1 open path, at the depth limit"), "{drawn}");
    assert!(drawn.lines().next().unwrap().contains("1st token") && drawn.contains("% cut"), "{drawn}");
}

#[test]
fn a_dash_is_standard_input_for_every_command_that_reads_a_file() {
    let w = workplace();
    let w = w.path();
    ok(w, &["tree", "hello", "-m=model", "--max-nodes=9", "-o=a.run.jsonl"]);
    let file = std::fs::read(w.join("a.run.jsonl")).unwrap();
    let of = |args: &[&str], bytes: &[u8]| {
        let mut command = logitree(w, args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who refuses the file need not read all of it.
        let _ = child.stdin.take().unwrap().write_all(bytes);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    for (command, more) in [
        ("show", &[][..]),
        ("export", &["--to=csv"]),
        ("export", &["--to=tree-json"]),
        ("lens", &["--top-k=2"]),
        ("report", &[]),
        ("verify", &["-m=model", "--format=json"]),
    ] {
        let (named, piped) = ([&[command, "a.run.jsonl"][..], more].concat(), [&[command, "-"][..], more].concat());
        let (code, out, said) = of(&piped, &file);
        assert_eq!(code, Some(0), "{command}: {said}");
        assert!(out == run(w, &named).stdout, "{command}");
        let (code, _, said) = of(&piped, b"no run\n");
        assert!(code == Some(1) && said.contains("standard input: neither a run file"), "{command}: {said}");
    }
    // To go on with a run is to write to its file.
    let (code, _, said) = of(&["tree", "--resume=-"], &file);
    assert!(code == Some(2) && said.contains("--resume") && said.contains("standard input"), "{said}");
}
