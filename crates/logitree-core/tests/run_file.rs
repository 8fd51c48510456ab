//! Run files: what is written reads back, and what is broken is told.

mod common;

use common::TableModel;
use logitree_core::explore::*;
use logitree_core::run::*;
use logitree_core::tree::Turn;
use logitree_core::verify::end_differences;
use logitree_core::*;
use std::borrow::Cow;
use std::sync::Arc;

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
        store_top: None,
        hash_logits: false,
        watch: Vec::new(),
    }
}

/// A small run: its file and its tree.
fn sample() -> (Vec<u8>, Tree) {
    let model = TableModel {
        vocab: 4,
        end_tokens: vec![TokenId(3)],
        table: Arc::new(|p| if p.len() % 2 == 0 { vec![0.4, 0.3, 0.2, 0.1] } else { vec![0.1, 0.1, 0.2, 0.6] }),
    };
    let session = model.open();
    let policy = Dynamic::new(DynamicParameters::default()).unwrap();
    let mut e = Explorer::new(Box::new(session), 4, &[TokenId(0)], policy, model.tree(), 0).unwrap();
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
    // The policy came by five ends; those it did not come to are finished too.
    assert_eq!((end.reason, end.nodes, end.completed), (EndReason::Finished, tree.len(), 13));
    assert_eq!(tree.own_ended().count(), 5);
    assert!((end.mass.total() - 1.0).abs() < 1e-12);
    assert_eq!(run.bytes(TokenId(1)), b"\xc3");
    assert_eq!((run.valid_bytes, run.torn), (file.len() as u64, false));
}

#[test]
fn a_closing_line_of_an_older_file_is_right_by_its_own_rule() {
    let (file, tree) = sample();
    let end = read(&file).unwrap().end.unwrap();
    assert_eq!(end_differences(&tree, &end), Vec::<String>::new());
    // End tokens that the policy did not come to were on the frontier.
    let visited = |n: &NodeId| tree.turn(*n) == Turn::Stopped(Stop::EndToken);
    let not_visited: f64 = tree.finished().filter(|n| !visited(n)).map(|n| tree.mass(n)).sum();
    assert!(not_visited > 0.01, "{not_visited}");
    let (finished, frontier) = (end.mass.finished - not_visited, end.mass.frontier + not_visited);
    let older = End { completed: 5, mass: Mass { finished, frontier, ..end.mass }, ..end.clone() };
    assert_eq!(end_differences(&tree, &older), Vec::<String>::new());
    // One rule at a time: neither half of one with half of the other, nor numbers of none.
    for wrong in [
        End { completed: 5, ..end.clone() },
        End { mass: older.mass, ..end.clone() },
        End { completed: 6, ..older.clone() },
        End { nodes: end.nodes + 1, ..older.clone() },
    ] {
        assert!(!end_differences(&tree, &wrong).is_empty(), "{wrong:?}");
    }
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
    assert!(swap(visited, "end_token", "frontier").contains("no reason to stop"));
    assert!(read(b"").unwrap_err().to_string().contains("empty"));
    assert!(read(b"\xff\xfe\n").is_err());
}

/// A header line of a vocabulary that is not known.
fn bare_header() -> Vec<u8> {
    let header = Header { model: Model { vocab: 0, ..header().model }, ..header() };
    let mut line = serde_json::to_vec(&Event::Header(Box::new(header))).unwrap();
    line.push(b'\n');
    line
}

#[test]
fn marks_and_blank_lines_between_events_say_nothing() {
    let (file, tree) = sample();
    let lines: Vec<&[u8]> = file.split_inclusive(|&b| b == b'\n').collect();
    for start in [&b"\xef\xbb\xbf"[..], b"\n", b"\xef\xbb\xbf\r\n \n"] {
        let with_blanks = [start, &lines.join(&b"\n \t\r\n"[..]), b"\n\n"].concat();
        let run = read(&with_blanks).unwrap();
        assert!(run.tree == tree && run.end.is_some() && !run.torn);
        assert_eq!(run.valid_bytes, with_blanks.len() as u64);
    }
    // Only before the first line, and only a whole one.
    assert!(read(&[&b"\xef\xbb"[..], &file].concat()).is_err());
    assert!(read(&[lines[0], b"\xef\xbb\xbf", lines[1]].concat()).unwrap_err().to_string().contains("line 2"));
}

/// Each of these took time or memory that grew with the square of its size, or many times its size.
#[test]
fn long_files_of_any_shape_are_read() {
    const MANY: usize = 60_000;
    let mut grafts = bare_header();
    grafts.extend(
        b"{\"type\":\"expand\",\"node\":0,\"queue\":1,\"entropy\":1,\"varentropy\":1,\"top\":[],\"children\":1}\n",
    );
    let mut wide = bare_header();
    wide.extend(
        format!(
            "{{\"type\":\"expand\",\"node\":0,\"queue\":1,\"entropy\":1,\"varentropy\":1,\"top\":[],\"children\":{MANY}}}\n"
        )
        .bytes(),
    );
    for n in 1..=MANY {
        // Each likelier than the one before, so that it belongs in front of it.
        let logprob = -30.0 + n as f64 * 1e-5;
        let node =
            format!("{{\"type\":\"node\",\"node\":{n},\"parent\":0,\"id\":{n},\"text\":\"\",\"logprob\":{logprob}");
        wide.extend(format!("{node}}}\n").bytes());
        grafts.extend(format!("{node}{}}}\n", if n > 1 { ",\"by\":\"user\"" } else { "" }).bytes());
    }
    for file in [grafts, wide] {
        let run = read(&file).unwrap();
        assert_eq!(run.tree.len(), MANY + 1);
        let mut again = Vec::new();
        write_run(&run, &mut again).unwrap();
        assert!(read(&again).unwrap().tree == run.tree);
        assert!(run.tree.heaviest_cut() > 0.0);
    }
}

#[test]
fn what_nobody_knows_is_skipped_and_long_lists_of_parameters_are_refused() {
    let zeros = "0,".repeat(2_000_000) + "0";
    let stop = format!("{{\"unknown\":[{zeros}],\"type\":\"stop\",\"node\":0,\"reason\":\"pruned\"}}\n");
    assert!(read(&[bare_header(), stop.into_bytes()].concat()).is_ok());
    let header = String::from_utf8(bare_header()).unwrap();
    let with =
        |list: &str| read(header.replace("\"max_depth\":", &format!("\"x\":[{list}],\"max_depth\":")).as_bytes());
    assert!(with("0,[1.5,{\"a\":null}],\"b\",true").is_ok());
    assert!(
        with(&zeros).unwrap_err().to_string().contains("line 1: not an event of a run file: more than 10000 values")
    );
}

#[test]
fn a_line_is_read_up_to_the_limit_and_no_further() {
    let mut endless = std::io::BufReader::new(std::io::repeat(b'0'));
    let mut line = Vec::new();
    assert_eq!(read_line(&mut endless, &mut line).unwrap(), MAX_LINE + 1);
    let error = RunReader::default().feed(&line).unwrap_err();
    assert_eq!(error.to_string(), "line 1: the line is longer than 256 MB");
    let mut short = std::io::Cursor::new(b"one\ntwo");
    assert_eq!((read_line(&mut short, &mut line).unwrap(), &line[..]), (4, &b"one\n"[..]));
    assert_eq!((read_line(&mut short, &mut line).unwrap(), &line[..]), (3, &b"two"[..]));
    assert_eq!((read_line(&mut short, &mut line).unwrap(), line.len()), (0, 0));
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
