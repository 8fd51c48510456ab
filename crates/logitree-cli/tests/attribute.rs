//! `logitree attribute` on a tiny model.

mod common;

use common::{fails, json, ok, workplace};
use serde_json::Value;
use std::path::Path;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

/// The logprob of a text's tokens right after a prompt, as `answers --direct` finds it alone.
fn alone(w: &Path, prompt: &str, choice: &str) -> f64 {
    f(&json(w, &["answers", prompt, "-m", "model", "--choices", choice, "--direct"])["answers"][0]["logprob"])
}

#[test]
fn every_variant_has_the_number_that_its_text_has_alone() {
    let folder = workplace();
    let w = folder.path();
    let prompt = "hello the world, to be";
    let ask = |more: &[&str]| json(w, &[&["attribute", prompt, "-m", "model", "--choices", "lo|b"], more].concat());
    let check = |made: &Value, variants: &[&str]| {
        let parts = made["parts"].as_array().unwrap();
        assert_eq!(parts.len(), variants.len(), "{made}");
        for (part, variant) in parts.iter().zip(variants) {
            for ((text, choice), whole) in
                part["texts"].as_array().unwrap().iter().zip(["lo", "b"]).zip(made["texts"].as_array().unwrap())
            {
                assert_eq!(f(&text["logprob"]), alone(w, variant, choice), "{variant} {choice}");
                assert_eq!(f(&whole["logprob"]), alone(w, prompt, choice));
                assert_eq!(f(&text["delta"]), f(&whole["logprob"]) - f(&text["logprob"]));
            }
        }
    };
    let left_out = ask(&[]);
    let all =
        ["the world, to be", "hello world, to be", "hello the to be", "hello the world, be", "hello the world, to"];
    check(&left_out, &all);
    assert_eq!(left_out["parts"][2]["part"], " world,");
    let replaced = ask(&["--replace-with", "x y", "--by", "word"]);
    check(
        &replaced,
        &[
            "x y the world, to be",
            "hello x y world, to be",
            "hello the x y to be",
            "hello the world, x y be",
            "hello the world, to x y",
        ],
    );
    // More parts than are evaluated at once.
    let long = ["a"; 20].join(" ");
    let many = json(w, &["attribute", &long, "-m", "model", "--continuation", " lo", "--by", "word"]);
    assert_eq!(many["parts"].as_array().unwrap().len(), 20);
    let last = &many["parts"][19]["texts"][0];
    assert_eq!(f(&last["logprob"]), alone(w, &["a"; 19].join(" "), "lo"));
}

#[test]
fn tokens_are_left_out_and_the_others_stay() {
    let folder = workplace();
    let w = folder.path();
    let model = logitree::Model::open(w.join("model").to_str().unwrap()).unwrap();
    let made = json(w, &["attribute", "hello world", "-m", "model", "--continuation", " lo", "--by", "token"]);
    let prompt = model.prompt("hello world").unwrap();
    let first = usize::from(prompt.bos);
    let parts = made["parts"].as_array().unwrap();
    assert_eq!(parts.len(), prompt.tokens.len() - first);
    for (i, part) in parts.iter().enumerate() {
        let mut tokens = prompt.tokens.clone();
        tokens.remove(first + i);
        let variant = model.prompt_of_tokens(&tokens).unwrap();
        let scored = model.direct(&variant, &[" lo".to_string()]).unwrap();
        assert_eq!(f(&part["texts"][0]["logprob"]), scored[0].1.logprob);
        assert_eq!(part["prompt_tokens"], tokens.len());
    }
}

#[test]
fn people_and_files_get_the_same_parts() {
    let folder = workplace();
    let w = folder.path();
    let base = ["attribute", "One two. Three four.\nFive", "-m", "model", "--continuation", " lo"];
    let with = |more: &[&str]| ok(w, &[&base[..], more].concat());
    let parts = |by: &str| {
        let made = json(w, &[&base[..], &["--by", by]].concat());
        made["parts"].as_array().unwrap().iter().map(|p| p["part"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(parts("sentence"), ["One two.", " Three four.", "\nFive"]);
    assert_eq!(parts("line"), ["One two. Three four.\n", "Five"]);
    let text = with(&["-o", "parts.jsonl", "--by", "sentence"]);
    assert!(text.contains("each sentence left out, the prompt tokenized anew") && text.contains('│'), "{text}");
    assert!(!text.contains('\x1b') && with(&["--color", "always"]).contains('\x1b'));
    let lines = std::fs::read_to_string(w.join("parts.jsonl")).unwrap();
    assert_eq!((lines.lines().count(), with(&["-o", "-", "--by", "sentence"])), (3, lines.clone()));
    with(&["-o", "parts.csv", "--by", "sentence"]);
    let csv = std::fs::read_to_string(w.join("parts.csv")).unwrap();
    assert!(csv.starts_with("index,part,message,prompt_tokens,text,logprob,delta,whole\n0,One two.,,"), "{csv}");
    assert!(fails(w, &[&base[..], &["-o", "parts.csv"]].concat(), 1).contains("--force"));
    assert!(fails(w, &[&base[..], &["--by", "turn"]].concat(), 2).contains("--chat"));
    let one =
        |more: &[&'static str]| [&["attribute", "hello", "-m", "model", "--continuation", "a"][..], more].concat();
    assert!(fails(w, &one(&[]), 1).contains("nothing would be left"));
    ok(w, &one(&["--replace-with", "x"]));
    assert!(fails(w, &one(&["--replace-with", ""]), 2).contains("--replace-with is empty"));
    assert!(fails(w, &["attribute", "x y", "-m", "model"], 2).contains("--c"));
    assert!(fails(w, &["attribute", "x y", "-m", "model", "--choices", "a||b"], 2).contains("choice 2 is empty"));
}
