//! `--input`: many texts, one table.

mod common;

use common::{fails, json, logitree, ok, run, workplace};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// JSON objects, one per line.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TEXTS: [&str; 5] = ["hello world", "to be or not to be", "hello", "hello world", "that is the question"];

/// A file of texts as JSON Lines, some with names.
fn texts(w: &Path) {
    let line = |(i, text): (usize, &&str)| match i % 2 {
        0 => format!("{{\"id\":\"t{i}\",\"text\":{}}}\n", Value::from(*text)),
        _ => format!("{{\"text\":{}}}\n", Value::from(*text)),
    };
    std::fs::write(w.join("texts.jsonl"), TEXTS.iter().enumerate().map(line).collect::<String>()).unwrap();
}

/// A text that no context takes.
fn too_long() -> String {
    "to be or not to be ".repeat(60)
}

#[test]
fn each_text_has_the_numbers_of_the_single_command() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    for more in [&[][..], &["--watch", "l"], &["--by", "word"], &["--context", "to be or "], &["--top", "1"]] {
        let out = ok(w, &[&["score", "--input", "texts.jsonl", "-m", "model"], more].concat());
        let found = objects(&out);
        assert_eq!(found.len(), TEXTS.len());
        for (i, (text, found)) in TEXTS.iter().zip(&found).enumerate() {
            let mut alone = json(w, &[&["score", "--text", text, "-m", "model"], more].concat());
            let alone = alone.as_object_mut().unwrap();
            for name in ["model", "engine", "context"] {
                alone.shift_remove(name);
            }
            let mut found = found.as_object().unwrap().clone();
            assert_eq!(found.shift_remove("row").unwrap(), i + 1);
            let id = found.shift_remove("id").unwrap();
            assert_eq!(id, if i % 2 == 0 { Value::from(format!("t{i}")) } else { Value::from(i + 1) });
            assert_eq!(&found, alone, "{more:?} {text}");
        }
    }
}

#[test]
fn every_format_of_input_and_table_has_the_same_numbers() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    let found = objects(&ok(w, &["score", "--input", "texts.jsonl", "-m", "model"]));
    let quoted: String = TEXTS.iter().enumerate().map(|(i, t)| format!("t{i},\"{t}\"\n")).collect();
    std::fs::write(w.join("texts.csv"), format!("id,text\n{quoted}")).unwrap();
    std::fs::write(w.join("texts.tsv"), format!("name\tphrase\n{}", quoted.replace(',', "\t"))).unwrap();
    std::fs::write(w.join("texts.txt"), TEXTS.join("\n")).unwrap();
    std::fs::copy(w.join("texts.txt"), w.join("texts.dat")).unwrap();
    for (args, named) in [
        (&["--input", "texts.csv"][..], true),
        (&["--input", "texts.tsv", "--field", "phrase", "--id-field", "name"], true),
        (&["--input", "texts.txt"], false),
        (&["--input", "texts.dat", "--input-format", "lines"], false),
    ] {
        let same = objects(&ok(w, &[&["score", "-m", "model"], args].concat()));
        for (i, (a, b)) in found.iter().zip(&same).enumerate() {
            assert_eq!([&a["tokens"], &a["perplexity"]], [&b["tokens"], &b["perplexity"]]);
            assert_eq!(b["id"], if named { Value::from(format!("t{i}")) } else { Value::from(i + 1) });
        }
        assert_eq!(same.len(), found.len());
    }
    ok(w, &["score", "--input", "texts.jsonl", "-m", "model", "-o", "scores.csv"]);
    let mut csv = csv::Reader::from_path(w.join("scores.csv")).unwrap();
    let heads = "row,id,tokens,total_logprob,total_bits,perplexity,mean_entropy,error";
    assert_eq!(csv.headers().unwrap().iter().collect::<Vec<_>>().join(","), heads);
    for (record, object) in csv.records().zip(&found) {
        let record = record.unwrap();
        assert_eq!(record[2].parse::<usize>().unwrap(), object["tokens"].as_array().unwrap().len());
        for (cell, name) in record.iter().skip(3).zip(["total_logprob", "total_bits", "perplexity", "mean_entropy"]) {
            assert_eq!(cell.parse::<f64>().unwrap(), object[name].as_f64().unwrap());
        }
        assert_eq!(&record[7], "");
    }
    // A table is an input of the next command, and Parquet has the same rows.
    let by = ["--by", "token", "--watch", "l", "--watch", " lo wor"];
    for name in ["tokens.csv", "tokens.parquet"] {
        ok(w, &[&["score", "--input", "texts.jsonl", "-m", "model", "-o", name], &by[..]].concat());
    }
    let mut csv = csv::Reader::from_path(w.join("tokens.csv")).unwrap();
    let heads = "row,id,n,token_id,text,logprob,rank,entropy,exactness,watch_1_logprob,watch_2_logprob,error";
    assert_eq!(csv.headers().unwrap().iter().collect::<Vec<_>>().join(","), heads);
    let records: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    let tokens: usize = found.iter().map(|o| o["tokens"].as_array().unwrap().len()).sum();
    assert_eq!(records.len(), tokens);
    let again = |file: &str| {
        let args = ["score", "-m", "model", "--input", file, "--field", "text", "--id-field", "token_id"];
        let out = run(w, &args);
        objects(&String::from_utf8(out.stdout).unwrap())
    };
    let (of_csv, of_parquet) = (again("tokens.csv"), again("tokens.parquet"));
    assert_eq!(of_csv.len(), tokens);
    for (a, b) in of_csv.iter().zip(&of_parquet) {
        assert_eq!([&a["row"], &a["total_logprob"]], [&b["row"], &b["total_logprob"]]);
        assert_eq!(a["id"].as_str().unwrap(), b["id"].to_string());
    }
}

#[test]
fn bad_rows_are_told_by_row_and_column_and_the_others_are_done() {
    let folder = workplace();
    let w = folder.path();
    let lines = [
        r#"{"id":"a","text":"hello"}"#.as_bytes().to_vec(),
        r#"{"id":"b"}"#.into(),
        r#"{"id":"c","text":["hello"]}"#.into(),
        b"{\"id\":\"d\",\"text\":\"\xff\"}".to_vec(),
        r#"{"id":"e","text":""}"#.into(),
        format!("{{\"id\":\"f\",\"text\":{}}}", Value::from(too_long())).into(),
        r#"{"id":"g","text":"a\u0000b"}"#.into(),
        r#"{"id":"h","text":"world"}"#.into(),
    ];
    std::fs::write(w.join("bad.jsonl"), lines.join(&b'\n')).unwrap();
    for name in ["scores.jsonl", "scores.csv", "scores.parquet"] {
        let told = fails(w, &["score", "--input", "bad.jsonl", "-m", "model", "-o", name], 1);
        for part in [
            "row 2 (\"b\"): there is no \"text\"; there are \"id\"",
            "row 3 (\"c\"): \"text\" is a list, not a text",
            "row 4: the line is not UTF-8 (byte 18)",
            "row 5 (\"e\"): the prompt is empty",
            "row 6 (\"f\"): the prompt has ",
            "row 7 (\"g\"): the prompt has a NUL character at byte 1",
            "6 of 8 rows are bad",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // The same again says the same, and does nothing.
        let again = fails(w, &["score", "--input", "bad.jsonl", "-m", "model", "-o", name], 1);
        assert!(again.contains("is complete (8 rows, 6 of them bad)"), "{again}");
    }
    let table = objects(&std::fs::read_to_string(w.join("scores.jsonl")).unwrap());
    let errors: Vec<bool> = table.iter().map(|o| o.get("error").is_some()).collect();
    assert_eq!(errors, [false, true, true, true, true, true, true, false]);
    assert!(table[7]["total_logprob"].as_f64().unwrap() < 0.0);
    let csv = std::fs::read_to_string(w.join("scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9, "{csv}");
    assert!(csv.contains("\n5,e,,,,,,the prompt is empty\n"), "{csv}");
    let out = run(w, &["score", "--input", "bad.jsonl", "-m", "model"]);
    assert_eq!((out.status.code(), objects(&String::from_utf8_lossy(&out.stdout)).len()), (Some(1), 8));
}

#[test]
fn what_is_wrong_with_the_whole_is_said_before_any_work() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    std::fs::write(w.join("a.csv"), "id,prompt\n1,x\n").unwrap();
    std::fs::write(w.join("x.parquet"), "no Parquet").unwrap();
    std::fs::write(w.join("mine.csv"), "mine").unwrap();
    for (args, code, said) in [
        (&["--input", "a.csv"][..], 2, "--field \"text\": the file has no such column; it has \"id\", \"prompt\""),
        (&["--input", "a.csv", "--field", "prompt", "--id-field", "name"], 2, "--id-field"),
        (&["--input", "texts.what"], 2, "--input-format"),
        (&["--input", "none.jsonl"], 1, "none.jsonl"),
        (&["--input", "."], 2, "--input-format"),
        (&["--input", ".", "--input-format", "lines"], 1, "folder"),
        (&["--input", "x.parquet"], 1, "x.parquet"),
        (&["--input", "-", "--input-format", "parquet"], 2, "name a file"),
        (&["--input", "texts.jsonl", "-o", "x.txt"], 2, "must end in .jsonl, .csv or .parquet"),
        (&["--input", "texts.jsonl", "-o", "texts.jsonl", "--force"], 1, "is what this is made from"),
        (&["--input", "texts.jsonl", "-o", "mine.csv"], 1, "--force overwrites it"),
        (&["--input", "texts.jsonl", "hello"], 2, "--input"),
        (&["--input", "texts.jsonl", "--layers"], 2, "--layers"),
        (&["--input", "texts.jsonl", "--range", "0..1"], 2, "--range"),
        (&["--input", "texts.jsonl", "--watch", ""], 2, "--watch is empty"),
        (&["--field", "text", "hello"], 2, "--input"),
        (&["hello", "-o", "x.csv"], 2, "--input"),
    ] {
        let told = fails(w, &[&["score", "-m", "model"], args].concat(), code);
        assert!(told.contains(said), "{args:?}: {told}");
    }
    assert_eq!(std::fs::read_to_string(w.join("mine.csv")).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(w).unwrap().count(), 5, "nothing is left behind");
}

#[test]
fn a_killed_program_goes_on_and_gives_the_same_table() {
    let folder = workplace();
    let w = folder.path();
    let text = |i: usize| format!("{} {i}", TEXTS[i % TEXTS.len()]);
    let lines: String = (0..400).map(|i| format!("{{\"text\":{}}}\n", Value::from(text(i)))).collect();
    std::fs::write(w.join("many.jsonl"), lines).unwrap();
    let args = |name: &'static str| ["score", "--input", "many.jsonl", "-m", "model", "-o", name, "-q"];
    ok(w, &args("whole.csv"));
    let whole = std::fs::read_to_string(w.join("whole.csv")).unwrap();
    let journal = w.join("killed.csv.part.jsonl");
    let done = || std::fs::read_to_string(&journal).map_or(0, |t| t.lines().count());
    let mut kills = 0;
    for _ in 0..100 {
        let before = done();
        let mut child = logitree(w, &args("killed.csv")).stdin(Stdio::null()).spawn().unwrap();
        // Killed as soon as it has written something more; it ends by itself if that is the end.
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if done() > before + 60 {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        kills += 1;
    }
    assert!(kills > 1, "it was killed {kills} times");
    assert_eq!(std::fs::read_to_string(w.join("killed.csv")).unwrap(), whole);
    assert!(!journal.exists());
    let about: Value = serde_json::from_slice(&std::fs::read(w.join("killed.csv.about.json")).unwrap()).unwrap();
    assert_eq!((&about["command"], &about["rows"], &about["bad"]), (&"score".into(), &400.into(), &0.into()));
    assert_eq!(about["input"]["sha256"].as_str().unwrap().len(), 64);
    // With something else it is refused, by name, and the table stays.
    let told = fails(w, &[&args("killed.csv")[..7], &["--top", "3"]].concat(), 1);
    assert!(told.contains("made with another top: 5, not 3"), "{told}");
    std::fs::write(w.join("many.jsonl"), "{\"text\":\"hello\"}\n").unwrap();
    let told = fails(w, &args("killed.csv"), 1);
    assert!(told.contains("another input: many.jsonl"), "{told}");
    assert_eq!(std::fs::read_to_string(w.join("killed.csv")).unwrap(), whole);
    ok(w, &[&args("killed.csv")[..], &["--force"]].concat());
    assert_eq!(std::fs::read_to_string(w.join("killed.csv")).unwrap().lines().count(), 2);
}

#[test]
fn standard_input_is_read_once() {
    use std::io::Write;
    let folder = workplace();
    let w = folder.path();
    let feed = |args: &[&str], text: &str| {
        let mut child =
            logitree(w, args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The program may have ended with an error before it reads.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    };
    let out = feed(&["score", "--input", "-", "-m", "model"], "{\"text\":\"hello\",\"id\":9}\n{\"text\":\"world\"}\n");
    let found = objects(&String::from_utf8(out.stdout.clone()).unwrap());
    assert_eq!((found.len(), &found[0]["id"], &found[1]["id"]), (2, &9.into(), &2.into()), "{}", stderr(&out));
    let args = ["score", "--input", "-", "--input-format", "lines", "-m", "model", "-o", "a.csv"];
    assert!(feed(&args, "hello\nworld\n").status.success());
    assert_eq!(std::fs::read_to_string(w.join("a.csv")).unwrap().lines().count(), 3);
}

/// The object without fields that only one text, or only a table, has.
fn without(object: &Value, names: &[&str]) -> Value {
    let mut object = object.as_object().unwrap().clone();
    names.iter().for_each(|name| drop(object.shift_remove(*name)));
    Value::Object(object)
}

const OF_ROWS: [&str; 2] = ["row", "id"];

/// The records of a table, by the names of its columns.
fn table(w: &Path, name: &str) -> Vec<Vec<(String, String)>> {
    let mut csv = csv::Reader::from_path(w.join(name)).unwrap();
    let heads = csv.headers().unwrap().clone();
    let record = |r: csv::StringRecord| heads.iter().zip(&r).map(|(h, c)| (h.into(), c.into())).collect();
    csv.records().map(|r| record(r.unwrap())).collect()
}

fn cell<'a>(record: &'a [(String, String)], name: &str) -> &'a str {
    &record.iter().find(|(head, _)| head == name).unwrap_or_else(|| panic!("no column {name}")).1
}

#[test]
fn next_tokens_of_a_file_are_those_of_each_prompt() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    let more = ["-m", "model", "--top", "3", "--watch", "l", "--watch", " lo wor"];
    let found = objects(&ok(w, &[&["next", "--input", "texts.jsonl"], &more[..]].concat()));
    for (text, found) in TEXTS.iter().zip(&found) {
        let alone = json(w, &[&["next", text], &more[..]].concat());
        assert_eq!(without(found, &OF_ROWS), alone["prompts"][0]);
    }
    ok(w, &[&["next", "--input", "texts.jsonl", "-o", "next.csv"], &more[..]].concat());
    let records = table(w, "next.csv");
    assert_eq!(records.len(), 3 * TEXTS.len());
    for (record, i) in records.iter().zip(0..) {
        let object = &found[i / 3];
        let token = &object["top"][i % 3];
        assert_eq!(cell(record, "token_id"), token["id"].to_string());
        assert_eq!(cell(record, "logprob").parse::<f64>().unwrap(), token["logprob"].as_f64().unwrap());
        assert_eq!(cell(record, "top_p_0.9"), object["top_p"][1]["tokens"].to_string());
        let watched = cell(record, "watch_2_logprob").parse::<f64>().unwrap();
        assert_eq!(watched, object["watch"][1]["logprob"].as_f64().unwrap());
    }
    assert!(fails(w, &["next", "--input", "texts.jsonl", "-m", "model", "--layers"], 2).contains("--layers"));
    assert!(fails(w, &["next", "--input", "texts.jsonl", "-m", "model", "hello"], 2).contains("--input"));
}

#[test]
fn texts_that_are_generated_side_by_side_are_the_records_of_each_prompt() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    for more in [&["-n", "9"][..], &["-n", "25", "--temperature", "1", "--seed", "3", "--watch", "l"]] {
        let more = [&["-m", "model"], more].concat();
        ok(w, &[&["logprobs", "--input", "texts.jsonl", "-o", "all.jsonl", "--force"], &more[..]].concat());
        ok(w, &[&["logprobs", "--input", "texts.jsonl", "-o", "all.csv", "--force"], &more[..]].concat());
        let all = objects(&std::fs::read_to_string(w.join("all.jsonl")).unwrap());
        let mut records = table(w, "all.csv").into_iter();
        for (text, found) in TEXTS.iter().zip(&all) {
            let record: Value =
                serde_json::from_str(&ok(w, &[&["logprobs", text, "-o", "-"], &more[..]].concat())).unwrap();
            assert_eq!(without(found, &["row", "id", "stop"]), record);
            let alone = json(w, &[&["logprobs", text], &more[..]].concat());
            assert_eq!(found["stop"], alone["stop"]);
            for (i, token) in alone["tokens"].as_array().unwrap().iter().enumerate() {
                let record = records.next().unwrap();
                assert_eq!(
                    [cell(&record, "n"), cell(&record, "token_id")],
                    [&*(i + 1).to_string(), &*token["id"].to_string()]
                );
                assert_eq!(cell(&record, "logprob").parse::<f64>().unwrap(), token["logprob"].as_f64().unwrap());
                assert_eq!(cell(&record, "entropy").parse::<f64>().unwrap(), token["entropy"].as_f64().unwrap());
                if more.contains(&"--watch") {
                    let watched = cell(&record, "watch_1_logprob").parse::<f64>().unwrap();
                    assert_eq!(watched, token["watch"][0]["logprob"].as_f64().unwrap());
                }
            }
        }
        assert!(records.next().is_none());
    }
    // The table is a file of the notebook's records.
    let shown = ok(w, &["show", "all.jsonl"]);
    assert!(shown.contains("to be or not to be"), "{shown}");
    assert!(fails(w, &["logprobs", "hello", "-m", "model", "--force"], 2).contains("--input"));
    assert!(fails(w, &["logprobs", "-m", "model"], 2).contains("PROMPT"));
}

#[test]
fn answers_of_a_file_are_those_of_each_prompt() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    for more in [&["--choices", "l|o|e"][..], &["--choices", "l|o", "--direct"], &["--pattern", "([a-z])"]] {
        // A budget of paths, so that it does not matter how fast the machine is.
        let limits = ["-m", "model", "--max-depth", "2", "--max-nodes", "1000", "--max-seconds", "1e6"];
        let limits = if more.contains(&"--direct") { &limits[..2] } else { &limits };
        let more = [limits, more].concat();
        let found = objects(&ok(w, &[&["answers", "--input", "texts.jsonl"], &more[..]].concat()));
        ok(w, &[&["answers", "--input", "texts.jsonl", "-o", "a.csv", "--force"], &more[..]].concat());
        let mut records = table(w, "a.csv").into_iter();
        for (text, found) in TEXTS.iter().zip(&found) {
            let alone = json(w, &[&["answers", text], &more[..]].concat());
            let others = ["seconds", "model", "engine"];
            assert_eq!(without(found, &[&OF_ROWS[..], &others].concat()), without(&alone, &others));
            for answer in alone["answers"].as_array().unwrap() {
                let record = records.next().unwrap();
                let name = if more.contains(&"--direct") { "logprob" } else { "lower" };
                assert_eq!(cell(&record, name).parse::<f64>().unwrap(), answer[name].as_f64().unwrap());
            }
        }
        assert!(records.next().is_none());
    }
    assert!(fails(w, &["answers", "--input", "texts.jsonl", "-m", "model"], 2).contains("--choices"));
    assert!(fails(w, &["answers", "x", "--choices", "a|b", "-m", "model", "-o", "x.csv"], 2).contains("--input"));
}

#[test]
fn trees_of_a_file_are_those_of_each_prompt() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    for more in [
        &["--max-depth", "4"][..],
        &["--strategy", "sample", "--samples", "9", "--max-depth", "6", "--watch", "l", "--paths", "3"],
    ] {
        let more = [&["-m", "model"], more].concat();
        let found = objects(&ok(w, &[&["tree", "--input", "texts.jsonl"], &more[..]].concat()));
        ok(w, &[&["tree", "--input", "texts.jsonl", "-o", "t.csv", "--force"], &more[..]].concat());
        let mut records = table(w, "t.csv").into_iter();
        for (text, found) in TEXTS.iter().zip(&found) {
            let alone = json(w, &[&["tree", text, "-o", "x.run.jsonl", "--force"], &more[..]].concat());
            let others = ["seconds", "nodes_per_second", "run"];
            assert_eq!(without(found, &[&OF_ROWS[..], &others].concat()), without(&alone, &others));
            for path in alone["paths"].as_array().unwrap() {
                let record = records.next().unwrap();
                assert_eq!(cell(&record, "logprob").parse::<f64>().unwrap(), path["logprob"].as_f64().unwrap());
                assert_eq!(cell(&record, "text"), path["text"].as_str().unwrap());
                assert_eq!(cell(&record, "nodes"), alone["nodes"].to_string());
            }
        }
        assert!(records.next().is_none());
    }
    assert!(!w.join("hello.run.jsonl").exists(), "no run files are left");
    assert!(fails(w, &["tree", "--input", "texts.jsonl", "-m", "model", "hello"], 2).contains("--input"));
    assert!(fails(w, &["tree", "-m", "model"], 2).contains("PROMPT"));
}

#[test]
fn an_experiment_asks_about_a_file_with_every_set_of_parameters() {
    let folder = workplace();
    let w = folder.path();
    texts(w);
    let toml = r#"
        models = ["model"]
        input = "texts.jsonl"
        watch = ["l"]
        [[parameters]]
        name = "by token"
        command = "score"
        by = "token"
        [[parameters]]
        command = "logprobs"
        max_new_tokens = 4
        temperature = 1.0
        [[parameters]]
        command = "next"
        top = 2
        special = false
        [[parameters]]
        command = "answers"
        choices = "l|o"
        direct = true
        [[parameters]]
        strategy = "dynamic"
        max_depth = 2
    "#;
    std::fs::write(w.join("e.toml"), toml).unwrap();
    ok(w, &["run", "e.toml"]);
    // The tables of the commands themselves.
    for (name, args) in [
        ("by-token", &["score", "--by", "token", "--watch", "l"][..]),
        ("logprobs2", &["logprobs", "-n", "4", "--temperature", "1", "--watch", "l"]),
        ("next3", &["next", "--top", "2", "--watch", "l"]),
        ("answers4", &["answers", "--choices", "l|o", "--direct"]),
        ("tree5", &["tree", "--max-depth", "2", "--watch", "l"]),
    ] {
        let one = format!("{name}.csv");
        ok(w, &[&args[..1], &["--input", "texts.jsonl", "-m", "model", "-o", &one], &args[1..]].concat());
        let made = std::fs::read_to_string(w.join(format!("e/{name}.model.csv"))).unwrap();
        assert_eq!(made, std::fs::read_to_string(w.join(one)).unwrap());
    }
    // The same again does nothing; a table that was made with something else is refused and stays.
    let tables = || std::fs::read_to_string(w.join("e/next3.model.csv")).unwrap();
    let before = tables();
    let again = run(w, &["run", "e.toml"]);
    assert!(again.status.success() && stderr(&again).matches("nothing to do").count() == 5, "{}", stderr(&again));
    std::fs::write(w.join("e.toml"), toml.replace("top = 2", "top = 3")).unwrap();
    let told = fails(w, &["run", "e.toml"], 1);
    assert!(told.contains("another top: 2, not 3") && told.contains("1 of 5 tables"), "{told}");
    assert_eq!(tables(), before);
    for (from, to, said) in [
        ("command = \"next\"", "command = \"nexts\"", "command \"nexts\": there are score"),
        ("top = 2", "topp = 2", "--topp"),
        ("top = 2", "top = \"many\"", "--top"),
        ("top = 2", "model = \"other\"", "`model` is no parameter of a set"),
        ("top = 2", "output = \"x.csv\"", "`output` is no parameter of a set"),
        ("command = \"answers\"", "name = \"by_token\"\ncommand = \"answers\"", "would have one file: rename one"),
        ("watch = [\"l\"]", "max_nodes = 5", "`max_nodes` is about trees"),
        ("watch = [\"l\"]", "table = \"xlsx\"", "there are jsonl, csv and parquet"),
        ("watch = [\"l\"]", "prompts = [{ text = \"x\" }]", "exclude each other"),
        ("input = \"texts.jsonl\"", "field = \"text\"\nprompts = [{ text = \"x\" }]", "there is no `input`"),
    ] {
        assert!(toml.contains(from), "{from}");
        std::fs::write(w.join("bad.toml"), toml.replace(from, to)).unwrap();
        let told = fails(w, &["run", "bad.toml"], 1);
        assert!(told.contains(said), "{to}: {told}");
    }
    assert!(!w.join("bad").exists());
}
