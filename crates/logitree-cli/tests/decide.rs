//! `logitree decide` on a tiny model.

mod common;

use common::{fails, json, ok, workplace};
use logitree::answers::Reader;
use logitree::{DecideOptions, Model, Prompt};
use logitree_core::answers::{Ledger, Verdict};
use serde_json::Value;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

/// Counts every continuation of up to `depth` tokens of a prompt, one by one. `read` is the text before them.
fn brute_force(
    model: &Model,
    prompt: &Prompt,
    read: &[u8],
    reader: &Reader,
    depth: usize,
    mass: f64,
    into: &mut Ledger,
) {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    match reader.read(&text(read), false) {
        Verdict::Open if depth > 0 => {}
        Verdict::Open => return,
        verdict => return into.settle(verdict, mass),
    }
    for t in model.next(prompt, model.vocab_size(), &[], false).unwrap().top {
        let mass = mass * t.prob();
        if model.end_tokens().contains(&t.id) {
            into.settle(reader.read(&text(read), true), mass);
            continue;
        }
        let longer = model.prompt_of_tokens(&[&prompt.tokens[..], &[t.id]].concat()).unwrap();
        let bytes = if model.is_special(t.id) { Vec::new() } else { model.token_bytes(t.id).into_owned() };
        brute_force(model, &longer, &[read, &bytes].concat(), reader, depth - 1, mass, into);
    }
}

#[test]
fn every_bound_agrees_with_counting_all_continuations() {
    let folder = workplace();
    let model = Model::open(folder.path().join("model").to_str().unwrap()).unwrap();
    let given = "hello world".into();
    let options = DecideOptions { max_new_tokens: 3, tolerance: 0.0, max_depth: 1, max_nodes: 1_000_000, batch: 24 };
    // The first reads the beginning, the others what comes anywhere: in the greedy tokens, too.
    for reader in [
        Reader::choices(&["a", "th", "w"], true).unwrap(),
        Reader::pattern("([a-m])", false).unwrap(),
        Reader::pattern("[a-z].*?([aeiou])", false).unwrap(),
    ] {
        let curve = model.decide(&given, None, &reader, &options).unwrap();
        assert_eq!(curve.points.len(), 4);
        let mut prompt = model.prompt("hello world").unwrap();
        let mut read = Vec::new();
        for (t, point) in curve.points.iter().enumerate() {
            if let Some(token) = point.token {
                let now = model.next(&prompt, 1, &[token.id], false).unwrap();
                assert_eq!((now.top[0].id, now.tokens[0].logprob), (token.id, token.logprob));
                prompt = model.prompt_of_tokens(&[&prompt.tokens[..], &[token.id]].concat()).unwrap();
                read.extend_from_slice(&model.token_bytes(token.id));
            }
            let mut counted = Ledger::of(reader.names());
            brute_force(&model, &prompt, &read, &reader, 1, 1.0, &mut counted);
            // What was found further on along the text can only make the bounds tighter.
            assert!(point.ledger.undecided() <= counted.undecided() + 1e-6, "{t}");
            assert!(point.ledger.none() >= counted.none() - 1e-6, "{t}");
            for b in counted.bounds() {
                let found = point.ledger.bounds().into_iter().find(|f| f.answer == b.answer);
                let found = found.map_or((0.0, point.ledger.undecided()), |f| (f.lower, f.upper));
                assert!(found.0 >= b.lower - 1e-6 && found.1 <= b.upper + 1e-6, "{t} {b:?} {found:?}");
            }
            let lower: f64 = point.ledger.bounds().iter().map(|b| b.lower).sum();
            assert!((lower + point.ledger.none() + point.ledger.undecided() - 1.0).abs() < 1e-9);
            // At the last point nothing is known from further on: the bounds are those of the count.
            if t == 3 {
                assert!((point.ledger.undecided() - counted.undecided()).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn a_text_is_decided_where_it_says_its_answer() {
    let folder = workplace();
    let w = folder.path();
    let ask = |text: &str, more: &[&str]| {
        json(w, &[&["decide", "hello", "-m", "model", "--text", text, "--max-nodes", "2000"], more].concat())
    };
    let made = ask(" the world is b, not a", &["--pattern", "is ([ab])", "--max-depth", "2"]);
    let points = made["points"].as_array().unwrap();
    assert_eq!(made["text"], " the world is b, not a");
    let last = points.last().unwrap();
    assert_eq!((&last["answers"][0]["answer"], f(&last["answers"][0]["lower"])), (&"b".into(), 1.0));
    assert_eq!((f(&last["entropy"]["lower"]), &last["entropy"]["upper"]), (0.0, &Value::Null));
    assert_eq!(made["decided"]["answer"], "b");
    let at = made["decided"]["tokens"].as_u64().unwrap() as usize;
    assert!(at > 0 && at < points.len() - 1 && made["decided"]["token"] == points[at]["token"]);
    let said: String = points[1..=at].iter().map(|p| p["token"]["text"].as_str().unwrap()).collect();
    assert!(said.ends_with('b') && " the world is b".starts_with(said.as_str()), "{said:?}");
    // Giving no answer is a class of its own; with choices the entropy has both bounds.
    let none = ask(" world", &["--choices", "b|c"]);
    assert_eq!((&none["decided"]["answer"], none["decided"].is_object()), (&Value::Null, true));
    for p in none["points"].as_array().unwrap() {
        assert!(
            f(&p["entropy"]["lower"]) <= f(&p["entropy"]["upper"]) + 1e-12
                && f(&p["entropy"]["upper"]) <= 3f64.ln() + 1e-12
        );
        assert!(f(&p["no_answer"]["lower"]) <= f(&p["no_answer"]["upper"]));
    }
    // Bounds are as narrow as was asked for, where nothing else ended looking.
    let near = json(w, &["decide", "x", "-m", "model", "--choices", "a|b", "-n", "2", "--tolerance", "0.5"]);
    for p in near["points"].as_array().unwrap().iter().filter(|p| p["ended_by"] == "tolerance") {
        assert!(f(&p["undecided"]) <= 0.5, "{p}");
    }
}

#[test]
fn people_and_files_get_the_same_curve() {
    let folder = workplace();
    let w = folder.path();
    let base =
        ["decide", "hello", "-m", "model", "--choices", "a|b", "-n", "2", "--max-nodes", "1000", "--max-depth", "2"];
    let with = |more: &[&str]| ok(w, &[&base[..], more].concat());
    let text = with(&["-o", "curve.jsonl"]);
    assert!(text.contains("(prompt)") && text.contains("no answer") && text.contains("decided"), "{text}");
    assert!(!text.contains('\x1b') && with(&["--color", "always"]).contains('\x1b'));
    let lines = std::fs::read_to_string(w.join("curve.jsonl")).unwrap();
    assert_eq!(with(&["-o", "-"]), lines);
    with(&["-o", "curve.json"]);
    let object: Value = serde_json::from_str(&std::fs::read_to_string(w.join("curve.json")).unwrap()).unwrap();
    let rows: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(object["points"], Value::Array(rows));
    with(&["-o", "curve.csv"]);
    let csv = std::fs::read_to_string(w.join("curve.csv")).unwrap();
    // A head, and two choices and no answer at each of three points.
    assert_eq!(csv.lines().count(), 1 + 3 * 3, "{csv}");
    assert!(fails(w, &[&base[..], &["-o", "curve.csv"]].concat(), 1).contains("--force"));
    assert!(fails(w, &[&base[..], &["-o", "curve.txt"]].concat(), 2).contains(".json, .jsonl or .csv"));
    assert!(fails(w, &["decide", "x", "-m", "model"], 2).contains("--choices"));
    assert!(fails(w, &["decide", "x", "-m", "model", "--choices", "a||b"], 2).contains("choice 2 is empty"));
    assert!(fails(w, &["decide", "x", "-m", "model", "--pattern", "("], 2).contains("unclosed group"));
    assert!(fails(w, &["decide", "x", "-m", "model", "--choices", "a", "--text", ""], 2).contains("--text is empty"));
}
