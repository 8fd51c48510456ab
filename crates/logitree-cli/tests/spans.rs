//! `logitree score --by`, `--range` and `--context` on a tiny model.

mod common;

use common::{fails, json, ok, workplace};
use serde_json::Value;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

fn score(w: &std::path::Path, args: &[&str]) -> Value {
    json(w, &[&["score", "-m", "model"], args].concat())
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap_or_else(|| panic!("a list, not {v}"))
}

/// `ln B` after a text, from the list of the whole vocabulary that `next` gives.
fn boundary(w: &std::path::Path, before: &str) -> f64 {
    let next = json(w, &["next", "-m", "model", "--top", "1000000", before]);
    let tokens = list(&next["prompts"][0]["top"]).iter();
    let ends = tokens.filter(|t| {
        let text = t["text"].as_str().unwrap();
        text.starts_with(char::is_whitespace) || ["<pad>", "<eos>", "<bos>"].contains(&text)
    });
    ends.map(|t| f(&t["logprob"]).exp()).sum::<f64>().ln()
}

#[test]
fn words_have_the_probability_after_pimentel_and_meister() {
    let folder = workplace();
    let w = folder.path();
    let made = score(w, &["--text", "hello world to be", "--by", "word"]);
    let words = list(&made["spans"]);
    let texts: Vec<&str> = words.iter().map(|s| s["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["hello", " world", " to", " be"]);
    let mut text = String::new();
    let (mut before, mut first) = (0.0, 0);
    for word in words {
        text.push_str(word["text"].as_str().unwrap());
        let after = boundary(w, &text);
        let tokens = &list(&made["tokens"])[first..first + word["tokens"].as_u64().unwrap() as usize];
        let sum: f64 = tokens.iter().map(|t| f(&t["logprob"])).sum();
        assert!((f(&word["token_logprob"]) - sum).abs() < 1e-12);
        assert!((f(&word["logprob"]) - (sum + after - before)).abs() < 1e-5, "{word}: {sum} {after} {before}");
        assert!((f(&word["bits"]) + f(&word["logprob"]) / std::f64::consts::LN_2).abs() < 1e-9);
        assert_eq!(word["exact"], true);
        before = after;
        first += tokens.len();
    }
    assert!(before < -1e-3, "the corrections must be of some size for this to be a test: {before}");
    assert_eq!(first, list(&made["tokens"]).len());
    // The tokens' own numbers are the same bits.
    assert_eq!(made["tokens"], score(w, &["--text", "hello world to be"])["tokens"]);
    assert!(score(w, &["--text", "hello"])["spans"].is_null());
}

#[test]
fn lines_and_sentences_are_sums_and_the_least_confident_are_told() {
    let folder = workplace();
    let w = folder.path();
    for (by, texts) in
        [("line", &["hello. to\n", "be it\n", " world"][..]), ("sentence", &["hello.", " to\n", "be it\n", " world"])]
    {
        let made = score(w, &["--text", "hello. to\nbe it\n world", "--by", by]);
        let spans = list(&made["spans"]);
        let all: String = spans.iter().map(|s| s["text"].as_str().unwrap()).collect();
        assert_eq!(all, texts.concat());
        let sum: f64 = spans.iter().map(|s| f(&s["logprob"])).sum();
        assert!((sum - f(&made["total_logprob"])).abs() < 1e-9);
        let per_token = |s: &Value| f(&s["bits"]) / f(&s["tokens"]);
        let most = spans.iter().max_by(|a, b| per_token(a).total_cmp(&per_token(b))).unwrap();
        let least = score(w, &["--text", "hello. to\nbe it\n world", "--by", by, "--least", "1"]);
        assert_eq!(list(&least["spans"]), std::slice::from_ref(most));
    }
    let least = score(w, &["--text", "hello world to be", "--least", "2"]);
    let firsts: Vec<u64> = list(&least["spans"]).iter().map(|s| s["first"].as_u64().unwrap()).collect();
    assert!(firsts.len() == 2 && firsts[0] < firsts[1]);
}

#[test]
fn a_text_after_a_context_has_the_rest_of_the_whole_texts_score() {
    let folder = workplace();
    let w = folder.path();
    let whole = score(w, &["--text", "hello world to be", "--by", "word"]);
    let after = score(w, &["--text", " to be", "--context", "hello world", "--by", "word"]);
    let (all, some) = (list(&whole["tokens"]), list(&after["tokens"]));
    assert_eq!(&all[all.len() - some.len()..], &some[..]);
    assert_eq!(after["context"], "hello world");
    // The words have the same numbers: that the first one begins is not decided by the context's last word.
    for (a, b) in list(&whole["spans"])[2..].iter().zip(list(&after["spans"])) {
        assert_eq!([&a["text"], &a["logprob"]], [&b["text"], &b["logprob"]]);
    }
    assert_eq!(list(&after["spans"]).len(), 2);
    assert!(fails(w, &["score", "-m", "model", "--text", "a", "--context", ""], 2).contains("--context"));
}

#[test]
fn ranges_are_covered_by_tokens_and_named_if_there_are_none() {
    let folder = workplace();
    let w = folder.path();
    let made = score(w, &["--text", "hello world", "--range", "0..11", "--range", "7..8"]);
    let ranges = list(&made["ranges"]);
    assert_eq!(ranges[0]["logprob"], made["total_logprob"]);
    assert!(ranges[1]["text"].as_str().unwrap().contains('o'), "{}", ranges[1]);
    let error = fails(w, &["score", "-m", "model", "--text", "hello", "--range", "3..9"], 2);
    assert!(error.contains("--range 3..9") && error.contains("0..5"), "{error}");
    assert!(fails(w, &["score", "-m", "model", "--text", "hello", "--range", "3"], 2).contains("START..END"));
}

#[test]
fn tables_are_plain_in_a_pipe_and_coloured_when_asked() {
    let folder = workplace();
    let w = folder.path();
    let text = ok(w, &["score", "-m", "model", "--text", "hello world", "--by", "word"]);
    assert!(text.contains("word") && text.contains("bits") && text.contains("total: "), "{text}");
    assert!(!text.contains('\x1b'));
    let text = ok(w, &["score", "-m", "model", "--text", "hello world", "--by", "word", "--color", "always"]);
    assert!(text.contains('\x1b'));
}

#[test]
fn layers_of_a_scored_text_end_with_its_score() {
    let folder = workplace();
    let w = folder.path();
    for context in [&[][..], &["--context", "to be "]] {
        let args = [&["score", "--text", "hello world, hello", "-m", "model", "--watch", "l"], context].concat();
        let with = [&args[..], &["--layers"]].concat();
        let (plain, looked) = (json(w, &args), json(w, &with));
        let mut without = looked.clone();
        let (mut rows, mut decided) = (0, Vec::new());
        for (token, plain) in
            without["tokens"].as_array_mut().unwrap().iter_mut().zip(plain["tokens"].as_array().unwrap())
        {
            let layers = token.as_object_mut().unwrap().remove("layers").unwrap();
            let all = layers["layers"].as_array().unwrap();
            let tokens = layers["tokens"].as_array().unwrap();
            let own = tokens.iter().position(|t| t["id"] == plain["id"]).unwrap();
            let last = &all[all.len() - 1];
            assert_eq!(last["tokens"][own]["logprob"], plain["logprob"]);
            assert_eq!(last["tokens"][own]["rank"], plain["rank"]);
            assert_eq!(last["best"]["id"], plain["top"][0]["id"]);
            decided.push(format!("layer {}", layers["decided"]));
            rows += tokens.len() * (all.len() + 1);
        }
        assert_eq!(without, plain);
        let text = ok(w, &with);
        let table = text.lines().skip_while(|l| !l.contains("decided by")).skip(1);
        for (line, decided) in table.zip(&decided) {
            assert!(line.contains(decided), "{line}: {decided}");
        }
        let csv = ok(w, &[&with[..], &["-o", "-"]].concat());
        assert_eq!(csv.lines().count(), 1 + rows, "{csv}");
        assert!(csv.lines().nth(1).unwrap().starts_with("1,0,"), "{csv}");
    }
    let args = ["score", "--text", "hello", "-m", "model", "-o"];
    assert!(fails(w, &[&args[..], &["x.csv"]].concat(), 2).contains("--layers"));
    assert!(fails(w, &[&args[..], &["x.txt", "--layers"]].concat(), 2).contains(".csv"));
    let args = ["score", "--text", "hello", "--layers", "--engine", "http://127.0.0.1:9"];
    assert!(fails(w, &args, 2).contains("--layers"));
}
