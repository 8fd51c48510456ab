//! `logitree next` on a tiny model.

mod common;

use common::{fails, json, ok, workplace};
use serde_json::Value;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

#[test]
fn the_whole_distribution_agrees_with_its_numbers() {
    let folder = workplace();
    let w = folder.path();
    let made = json(w, &["next", "hello world", "-m", "model", "--top", "1000000"]);
    let d = &made["prompts"][0];
    let probs: Vec<f64> = d["top"].as_array().unwrap().iter().map(|t| f(&t["logprob"]).exp()).collect();
    assert!(probs.len() > 10 && (probs.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(f(&d["rest"]) < 1e-6, "{}", d["rest"]);
    let entropy: f64 = probs.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    assert!((f(&d["entropy"]) - entropy).abs() < 1e-6, "{entropy}");
    assert!((f(&d["entropy_bits"]) - entropy / std::f64::consts::LN_2).abs() < 1e-6);
    let masses: Vec<f64> = d["top_p"].as_array().unwrap().iter().map(|n| f(&n["p"])).collect();
    assert_eq!(masses, [0.5, 0.9, 0.95, 0.99]);
    for n in d["top_p"].as_array().unwrap() {
        let size = n["tokens"].as_u64().unwrap() as usize;
        let sum = |k: usize| probs[..k].iter().sum::<f64>();
        assert!(sum(size) >= f(&n["p"]) - 1e-9 && sum(size - 1) < f(&n["p"]) + 1e-9, "{n}");
        assert_eq!(n["exact"], true);
    }
    // The first step of a generation is the same distribution.
    let step = json(w, &["logprobs", "hello world", "-m", "model", "-n", "1"]);
    assert_eq!(step["tokens"][0]["entropy"], d["entropy"]);
    assert_eq!(step["tokens"][0]["logprob"], d["top"][0]["logprob"]);
}

#[test]
fn several_prompts_have_the_numbers_that_each_has_alone() {
    let folder = workplace();
    let w = folder.path();
    let ask = |prompts: &[&str]| {
        json(w, &[&["next", "-m", "model", "--top", "3", "--watch", " lo wor", "--watch", "l"], prompts].concat())
    };
    let both = ask(&["hello world", "to be"]);
    assert_eq!(both["prompts"][0], ask(&["hello world"])["prompts"][0]);
    assert_eq!(both["prompts"][1], ask(&["to be"])["prompts"][0]);
    // Prompts that look like options are prompts, and stay where they are.
    let mixed = ask(&["- hello", "--color", "never", "world", "-5 is"]);
    let texts: Vec<&Value> = mixed["prompts"].as_array().unwrap().iter().map(|p| &p["prompt"]).collect();
    assert_eq!(texts, ["- hello", "world", "-5 is"]);
    assert_eq!(both["prompts"][0]["watch"].as_array().unwrap().len(), 2);
    // More than are evaluated at once.
    let many = ask(&[&["to be"; 33][..], &["hello world"]].concat());
    assert_eq!(many["prompts"][33], both["prompts"][0]);
    let text = ok(w, &["next", "-m", "model", "hello world", "to be", "--top", "3"]);
    let head = text.lines().next().unwrap();
    assert!(head.contains("hello world") && head.contains("to be"), "{text}");
    assert!(text.contains("all others") && text.contains("bits") && text.contains("top-p 0.5: "), "{text}");
    assert!(!text.contains('\x1b'));
    assert!(ok(w, &["next", "-m", "model", "hello", "--color", "always"]).contains('\x1b'));
}

#[test]
fn files_have_a_line_per_prompt_or_a_row_per_token() {
    let folder = workplace();
    let w = folder.path();
    let write = |name: &str| ok(w, &["next", "-m", "model", "hello world", "to be", "--top", "3", "-o", name]);
    write("next.jsonl");
    let lines = std::fs::read_to_string(w.join("next.jsonl")).unwrap();
    let objects: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!([&objects[0]["prompt"], &objects[1]["prompt"]], ["hello world", "to be"]);
    assert_eq!(write("-"), lines);
    write("next.csv");
    let csv = std::fs::read_to_string(w.join("next.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "{csv}");
    ok(
        w,
        &[
            "next",
            "-m",
            "model",
            "hello world",
            "--top",
            "1",
            "--watch",
            " lo wor",
            "--watch",
            "l",
            "-o",
            "watched.csv",
        ],
    );
    let watched = std::fs::read_to_string(w.join("watched.csv")).unwrap();
    let rows: Vec<Vec<&str>> = watched.lines().map(|l| l.split(',').skip(9).collect()).collect();
    let names = ["top_p_0.5", "top_p_0.9", "top_p_0.95", "top_p_0.99", "watch_1_logprob", "watch_2_logprob"];
    assert_eq!(rows[0], names);
    let object = json(w, &["next", "-m", "model", "hello world", "--watch", " lo wor", "--watch", "l"]);
    let object = &object["prompts"][0];
    for i in 0..4 {
        assert_eq!(rows[1][i], object["top_p"][i]["tokens"].to_string());
    }
    for i in 0..2 {
        assert_eq!(rows[1][4 + i].parse::<f64>().unwrap(), object["watch"][i]["logprob"].as_f64().unwrap());
    }
    let error = fails(w, &["next", "-m", "model", "hello", "-o", "next.csv"], 1);
    assert!(error.contains("--force"), "{error}");
    assert_eq!(std::fs::read_to_string(w.join("next.csv")).unwrap(), csv);
    assert!(fails(w, &["next", "-m", "model", "hello", "-o", "next.txt"], 2).contains(".jsonl or .csv"));
    assert!(fails(w, &["next", "-m", "model", "-", "-"], 2).contains("only once"));
    assert!(fails(w, &["next", "-m", "model"], 2).contains("PROMPT"));
    assert!(fails(w, &["next", "-m", "model", "x", "--watch", ""], 2).contains("--watch is empty"));
}

#[test]
fn watched_strings_at_the_end_of_the_context() {
    let folder = workplace();
    let w = folder.path();
    let context = json(w, &["model", "info", "model"])["context"].as_u64().unwrap();
    let watched = json(w, &["next", "hello", "-m", "model", "--watch", " lo wor"]);
    assert!(watched["prompts"][0]["watch"][0]["rank"].is_null(), "it has several tokens");
    // A generation ends where the string still fits behind it; without one, at the very end.
    let made =
        |more: &[&str]| json(w, &[&["logprobs", "hello", "-m", "model", "-n", "1000", "--seed", "1"], more].concat());
    let (plain, with) = (made(&["--temperature", "1"]), made(&["--temperature", "1", "--watch", " lo wor"]));
    let tokens = |v: &Value| v["tokens"].as_array().unwrap().len();
    assert_eq!((&plain["stop"], &with["stop"]), (&"context".into(), &"context".into()));
    assert!(
        tokens(&with) < tokens(&plain) && tokens(&with) + 8 > tokens(&plain),
        "{} {}",
        tokens(&with),
        tokens(&plain)
    );
    assert!(with["tokens"].as_array().unwrap().iter().all(|t| t["watch"][0]["logprob"].is_f64()));
    // A text that fills the context has no room for it: that is said, and not that the text is too long.
    let sevens = |n: u64| "7".repeat(n as usize);
    let scored = json(w, &["score", "--text", &sevens(10), "-m", "model"]);
    assert_eq!((tokens(&scored), &scored["bos"]), (10, &true.into()), "a token each");
    let full = sevens(context - 1);
    let score = |more: &[&'static str]| [&["score", "-m", "model", "--text", full.as_str()], more].concat();
    assert_eq!(tokens(&json(w, &score(&[]))) as u64, context - 1);
    assert_eq!(tokens(&json(w, &score(&["--watch", "7"]))) as u64, context - 1);
    let error = fails(w, &score(&["--watch", " lo wor"]), 1);
    assert!(error.contains("a watched string") && error.contains(&context.to_string()), "{error}");
    assert!(fails(w, &["next", &full, "-m", "model", "--watch", " lo wor"], 1).contains("a watched string"));
}

#[test]
fn the_last_layer_is_the_next_token() {
    let folder = workplace();
    let w = folder.path();
    let args = ["next", "-m", "model", "hello world", "to be", "--watch", "l", "--watch", " lo wor"];
    let with = |more: &[&str]| json(w, &[&args[..], more].concat());
    let (plain, looked) = (with(&[]), with(&["--layers"]));
    for (plain, looked) in plain["prompts"].as_array().unwrap().iter().zip(looked["prompts"].as_array().unwrap()) {
        let mut without = looked.clone();
        let layers = without.as_object_mut().unwrap().remove("layers").unwrap();
        assert_eq!(&without, plain, "the rest of the answer is as without --layers");
        let tokens = layers["tokens"].as_array().unwrap();
        let all = layers["layers"].as_array().unwrap();
        let last = all.last().unwrap();
        for i in 0..2 {
            assert_eq!([&tokens[i]["id"], &tokens[i]["text"]], [&plain["top"][i]["id"], &plain["top"][i]["text"]]);
            assert_eq!(last["tokens"][i]["logprob"], plain["top"][i]["logprob"]);
            assert_eq!(last["tokens"][i]["rank"], plain["top"][i]["rank"]);
        }
        assert_eq!(
            [&last["best"]["id"], &last["best"]["logprob"]],
            [&plain["top"][0]["id"], &plain["top"][0]["logprob"]]
        );
        // The watched string of one token.
        let watched = tokens.iter().position(|t| t["text"] == "l").unwrap();
        assert_eq!(last["tokens"][watched]["logprob"], plain["watch"][0]["logprob"]);
        assert_eq!(last["tokens"][watched]["rank"], plain["watch"][0]["rank"]);
        // The parts and the rest add up to the logit; differences of logits are those of log probabilities.
        for (i, token) in tokens.iter().enumerate() {
            let parts: f64 = all.iter().map(|l| f(&l["tokens"][i]["part"])).sum();
            assert!((parts + f(&token["rest"]) - f(&token["logit"])).abs() < 1e-9, "{token}");
            let of = |i: usize| f(&tokens[i]["logit"]) - f(&last["tokens"][i]["logprob"]);
            assert!((of(i) - of(0)).abs() < 1e-4, "{token}");
        }
        // The deciding layer is the first after which the best token never changes.
        let best: Vec<&Value> = all.iter().map(|l| &l["best"]["id"]).collect();
        let decided = layers["decided"].as_u64().unwrap() as usize;
        assert!(best[decided..].iter().all(|b| b == &best[all.len() - 1]));
        assert!(decided == 0 || best[decided - 1] != best[all.len() - 1]);
    }
}

#[test]
fn layers_are_a_table_for_people_and_a_file() {
    let folder = workplace();
    let w = folder.path();
    let args = ["next", "-m", "model", "hello world", "--layers", "--watch", "l"];
    let object = json(w, &args);
    let layers = &object["prompts"][0]["layers"];
    let (number, tokens) = (layers["layers"].as_array().unwrap().len(), layers["tokens"].as_array().unwrap().len());
    let text = ok(w, &args);
    let decided = match layers["decided"].as_u64().unwrap() {
        0 => "decided by the embedding".into(),
        layer => format!("decided by layer {layer}"),
    };
    assert!(text.replace('\n', " ").contains(&decided), "{text}");
    for i in 0..tokens {
        let last = &layers["layers"][number - 1]["tokens"][i];
        let cell = format!("#{} {:>9.4} {:>+9.4}", last["rank"], f(&last["logprob"]), f(&last["part"]));
        assert!(text.contains(&cell), "{cell} in {text}");
        assert!(text.contains(&format!("{:+.4}", f(&layers["tokens"][i]["logit"]))), "{text}");
    }
    ok(w, &[&args[..], &["-o", "layers.csv"]].concat());
    let csv = std::fs::read_to_string(w.join("layers.csv")).unwrap();
    assert!(csv.starts_with("place,layer,token_id,text,logprob,rank,part,best_id,best\nhello world,0,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + tokens * (number + 1), "{csv}");
    let line: Value = serde_json::from_str(&ok(w, &[&args[..], &["-o", "-"]].concat())).unwrap();
    assert_eq!(&line["layers"], layers);
    // Servers tell nothing of layers, and are not even asked.
    let args = ["next", "hello", "--layers", "--engine", "http://127.0.0.1:9"];
    let error = fails(w, &args, 2);
    assert!(error.contains("--layers") && error.contains("-m"), "{error}");
}
