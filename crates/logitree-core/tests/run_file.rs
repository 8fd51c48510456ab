//! Run files: what is written reads back, and what is broken is told.

mod common;

use common::TableModel;
use logitree_core::explore::*;
use logitree_core::run::*;
use logitree_core::*;
use std::borrow::Cow;

/// Tokens: "a", a broken byte, "é", and an end.
fn bytes(id: TokenId) -> Cow<'static, [u8]> {
    Cow::Borrowed(match id.0 {
        0 => b"a",
        1 => b"\xc3",
        2 => "é".as_bytes(),
        _ => b"<eos>",
    })
}

fn header() -> Header {
    let serde_json::Value::Object(parameters) = serde_json::to_value(DynamicParameters::default()).unwrap() else {
        unreachable!()
    };
    Header {
        format: FORMAT.into(),
        version: VERSION,
        logitree: "0.1.0".into(),
        created: "2026-01-02T03:04:05Z".into(),
        model: Model { name: "table".into(), vocab: 4, end_tokens: vec![TokenId(3)], ..Default::default() },
        engine: "table".into(),
        prompt: Prompt { text: "a".into(), tokens: vec![Token::new(TokenId(0), b"a")], ..Default::default() },
        strategy: "dynamic".into(),
        parameters,
        limits: Default::default(),
        watch: Vec::new(),
    }
}

/// A small run: its file and its tree.
fn sample() -> (Vec<u8>, Tree) {
    let model = TableModel {
        vocab: 4,
        end_tokens: vec![TokenId(3)],
        table: Box::new(|p| if p.len() % 2 == 0 { vec![0.4, 0.3, 0.2, 0.1] } else { vec![0.1, 0.1, 0.2, 0.6] }),
    };
    let mut session = model.open();
    let policy = Dynamic::new(DynamicParameters::default(), &model.end_tokens).unwrap();
    let mut e = Explorer::new(&mut session, 4, &[TokenId(0)], policy, Tree::default(), 0).unwrap();
    let mut out = Vec::new();
    let mut line = |event: &Event| {
        serde_json::to_writer(&mut out, event).unwrap();
        out.push(b'\n');
    };
    line(&Event::Header(Box::new(header())));
    while e.evaluate().unwrap() > 0 {
        while let Some(change) = e.visit() {
            change_events(&e.tree, change, &bytes).iter().for_each(&mut line);
        }
    }
    line(&Event::End(end_event(&e.tree, EndReason::Finished, 1.5)));
    (out, e.tree)
}

fn read(file: &[u8]) -> Result<Run, ReadError> {
    let mut reader = RunReader::default();
    let mut torn = false;
    for line in file.split_inclusive(|&b| b == b'\n') {
        if line.ends_with(b"\n") {
            reader.feed(line)?;
        } else {
            torn = true;
        }
    }
    reader.finish(torn)
}

#[test]
fn what_is_written_reads_back_exactly() {
    let (file, tree) = sample();
    let run = read(&file).unwrap();
    assert!(tree.len() > 20, "{}", tree.len());
    assert_eq!(
        run.tree.nodes().map(|n| run.tree.state(n).clone()).collect::<Vec<_>>(),
        tree.nodes().map(|n| tree.state(n).clone()).collect::<Vec<_>>()
    );
    assert_eq!(run.tree, tree);
    assert_eq!(run.header, header());
    let end = run.end.clone().unwrap();
    assert_eq!((end.reason, end.nodes, end.completed), (EndReason::Finished, tree.len(), 5));
    assert!((end.mass.total() - 1.0).abs() < 1e-12);
    assert_eq!(run.bytes(TokenId(1)), b"\xc3");
    assert_eq!((run.valid_bytes, run.torn), (file.len() as u64, false));
}

#[test]
fn a_file_cut_at_any_byte_reads_back_to_the_last_event() {
    let (file, tree) = sample();
    let first = file.iter().position(|&b| b == b'\n').unwrap() + 1;
    let mut last = 0;
    for cut in 0..file.len() {
        let run = match read(&file[..cut]) {
            Ok(run) => run,
            Err(e) => {
                assert!(cut < first, "{e}");
                continue;
            }
        };
        assert!(run.valid_bytes <= cut as u64 && run.valid_bytes >= last);
        assert_eq!(run.torn, run.valid_bytes != cut as u64);
        last = run.valid_bytes;
        // What was kept is a complete file of its own, with the tree's first nodes.
        let again = read(&file[..last as usize]).unwrap();
        assert_eq!(again.tree, run.tree);
        assert!(again.tree.nodes().all(|n| again.tree.token(n) == tree.token(n)));
        assert!((again.tree.accounting().total() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn broken_files_are_refused_with_line_and_field() {
    let (file, _) = sample();
    let text = String::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |i: usize, line: &str| {
        let mut lines = lines.clone();
        lines[i] = line;
        match read((lines.join("\n") + "\n").as_bytes()) {
            Ok(_) => panic!("{line} was accepted"),
            Err(e) => e.to_string(),
        }
    };
    let swap = |i: usize, from: &str, to: &str| {
        assert!(lines[i].contains(from), "{}", lines[i]);
        with(i, &lines[i].replace(from, to))
    };
    assert!(swap(0, "\"version\":1", "\"version\":9").contains("newer logitree"));
    assert!(with(0, r#"{"type":"unheard","version":2}"#).contains("newer logitree"));
    assert!(swap(0, "logitree-run", "other").contains("`format`"));
    assert!(with(0, lines[1]).contains("does not begin with a header"));
    assert!(with(1, lines[0]).contains("line 2: a second header"));
    let watch = |tokens: &str| format!(r#""watch":[{{"text":"a","tokens":{tokens}}}],"strategy""#);
    assert!(swap(0, "\"strategy\"", &watch("[]")).contains("no tokens"));
    assert!(swap(0, "\"strategy\"", &watch(r#"[{"id":0,"text":"a"}]"#)).contains("1 log probabilities"));
    assert!(swap(1, "\"node\":0", "\"node\":7").contains("node 7 does not exist"));
    assert!(swap(1, "\"entropy\":0", "\"entropy\":1e999").contains("line 2"));
    assert!(swap(1, "\"children\":", "\"children\":1").contains("missing"));
    assert!(swap(2, "\"parent\":0", "\"parent\":1").contains("the parent of node 1"));
    assert!(swap(2, "\"node\":1", "\"node\":2").contains("where node 1 should be"));
    assert!(swap(2, "\"logprob\":-", "\"logprob\":").contains("not a log probability"));
    // The root's children: token 3 with 0.6, token 2 with 0.2.
    assert!(swap(3, "\"id\":2", "\"id\":3").contains("token 3 comes twice"));
    assert!(swap(3, "\"logprob\":-1.6", "\"logprob\":-0.1").contains("together"));
    assert!(swap(2, "\"id\":3", "\"id\":4").contains("outside the vocabulary"));
    assert!(with(2, "{}").contains("line 3: not an event"));
    assert!(with(2, &"[".repeat(100_000)).contains("line 3"));
    // The root visited twice: a cycle cannot be written down in any other way.
    let visited = lines.iter().rposition(|l| l.contains("\"type\":\"stop\"")).unwrap();
    assert!(with(visited, r#"{"type":"stop","node":0,"reason":"pruned"}"#).contains("already visited"));
    assert!(read(b"").unwrap_err().to_string().contains("empty"));
    assert!(read(b"\xff\xfe\n").is_err());
}

#[test]
fn the_first_files_name_for_the_arithmetic_is_understood() {
    let read = |field: &str, name: &str| {
        let mut model = serde_json::to_value(Model::default()).unwrap();
        model[field] = name.into();
        serde_json::from_value::<Model>(model).unwrap().arithmetic
    };
    assert_eq!(read("approximation", "8-bit activations"), Some("8-bit".into()));
    assert_eq!(read("arithmetic", "bf16x3"), Some("bf16x3".into()));
    assert_eq!(Model::default().arithmetic, None);
}
