//! The questions people ask, on a tiny model: strategies, watched strings, answers, forks, lens, verify, experiments.

mod common;

use common::{fails, fixtures, json, ok, run, workplace};
use serde_json::Value;

const TREE: [&str; 6] = ["tree", "hello world", "-m", "model", "--max-depth", "6"];

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

#[test]
fn every_strategy_grows_stops_and_goes_on_to_the_same_tree() {
    let folder = workplace();
    let w = folder.path();
    for strategy in [
        &["--strategy", "best-first", "--cover", "0.2", "--max-branches", "4", "--batch", "3"][..],
        &["--strategy", "beam", "--width", "3"],
        &["--strategy", "sample", "--samples", "40", "--seed", "5"],
        &[
            "--strategy",
            "dynamic",
            "--min-branch-threshold",
            "0.02",
            "--max-branch-threshold",
            "0.1",
            "--max-branches",
            "3",
        ],
    ] {
        let grow = |name: &str, more: &[&str]| json(w, &[&TREE[..], strategy, &["-o", name, "--force"], more].concat());
        let whole = grow("whole", &[]);
        let mass = &whole["mass"];
        assert!(near(f(&mass["finished"]) + f(&mass["frontier"]) + f(&mass["pruned"]), 1.0), "{whole}");
        assert!(f(&whole["nodes"]) > 8.0, "{whole}");
        grow("part", &["--max-nodes", "5"]);
        json(w, &["tree", "--resume", "part", "-m", "model", "--max-nodes", "1000000"]);
        let csv = |name: &str| ok(w, &["export", name, "--to", "csv"]);
        assert_eq!(csv("whole"), csv("part"), "{strategy:?}");
    }
    let sample = |samples, file| {
        let args = [
            "tree",
            "hello world",
            "-m",
            "model",
            "--max-depth",
            "1",
            "--strategy",
            "sample",
            "--samples",
            samples,
            "-o",
            file,
        ];
        ok(w, &args)
    };
    let text = sample("4000", "s");
    assert!(text.contains("samples against exact probabilities: χ²") && text.contains("of freedom"), "{text}");
    // Five samples say nothing about honesty.
    assert!(!sample("5", "five").contains("χ²"));
    let text = ok(w, &[&TREE[..], &["--strategy", "best-first", "--max-nodes", "50", "-o", "b"]].concat());
    assert!(text.contains("lies elsewhere"), "{text}");
    let drawn = ok(w, &[&TREE[..], &["--depth", "3", "--max-nodes", "50", "-o", "d"]].concat());
    assert!(drawn.contains("└ ") && ok(w, &["show", "d"]).contains("└ "), "{drawn}");
    assert!(!ok(w, &["show", "d", "--no-tree"]).contains("└ "));
    let error = fails(w, &["tree", "x", "-m", "model", "--cover", "0.5"], 2);
    assert!(error.contains("--cover belongs to --strategy best-first"), "{error}");
    let error = fails(w, &["tree", "x", "-m", "model", "--store-top", "p=2"], 2);
    assert!(error.contains("probability"), "{error}");
}

#[test]
fn watched_strings_are_scored_at_every_step() {
    let folder = workplace();
    let w = folder.path();
    let made = json(w, &["logprobs", "hello world", "-m", "model", "-n", "4"]);
    let tokens = made["tokens"].as_array().unwrap();
    let text = |i: usize| tokens[i]["text"].as_str().unwrap().to_string();
    // The first token of the text, alone: its own logprob and rank at the first step.
    let first = text(0);
    let watched = json(w, &["logprobs", "hello world", "-m", "model", "-n", "2", "--watch", &first]);
    let at = &watched["tokens"][0]["watch"][0];
    if at["rank"].is_u64() {
        assert_eq!((&at["rank"], f(&at["logprob"])), (&tokens[0]["rank"], f(&tokens[0]["logprob"])));
    }
    // A string's probability is that of scoring its tokens.
    let direct = json(w, &["answers", "hello world", "-m", "model", "--choices", "lo wor", "--direct"]);
    let watched = json(w, &["logprobs", "hello world", "-m", "model", "-n", "1", "--watch", " lo wor"]);
    let (a, b) = (f(&direct["answers"][0]["logprob"]), f(&watched["tokens"][0]["watch"][0]["logprob"]));
    assert_eq!(a, b);
    assert!(a < 0.0 && direct["answers"][0]["tokens"].as_u64().unwrap() > 1, "{direct}");
    ok(w, &[&TREE[..], &["--watch", &first, "--watch", " lo wor", "-o", "watched"]].concat());
    ok(w, &["export", "watched", "--to", "csv", "-o", "watched.csv"]);
    let csv = std::fs::read_to_string(w.join("watched.csv")).unwrap();
    assert!(csv.lines().next().unwrap().ends_with("samples,watch_1_logprob,watch_2_logprob"), "{csv}");
    let root: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(root[root.len() - 1].parse::<f64>().unwrap(), b);
    ok(w, &["export", "watched", "--to", "parquet", "-o", "watched.parquet"]);
    assert!(fails(w, &["logprobs", "x", "-m", "model", "--watch", ""], 2).contains("--watch is empty"));
}

#[test]
fn answers_have_bounds_that_hold() {
    let folder = workplace();
    let w = folder.path();
    let ask =
        |more: &[&str]| json(w, &[&["answers", "hello world", "-m", "model", "--max-seconds", "3"], more].concat());
    let checked = |v: &Value| {
        let lower: f64 = v["answers"].as_array().unwrap().iter().map(|a| f(&a["lower"])).sum();
        let total = lower + f(&v["no_answer"]) + f(&v["undecided"]);
        assert!((total - 1.0).abs() < 1e-6, "{v}");
        for a in v["answers"].as_array().unwrap() {
            assert!(f(&a["upper"]) >= f(&a["lower"]) && f(&a["upper"]) <= 1.0 + 1e-9);
        }
    };
    checked(&ask(&["--choices", "a|b|th", "--max-depth", "4"]));
    let pattern = ask(&["--pattern", "([a-z])", "--max-depth", "6"]);
    checked(&pattern);
    assert!(pattern["answers"].as_array().unwrap().len() > 1, "{pattern}");
    // More looking never widens the bounds.
    let less = ask(&["--pattern", "([a-z])", "--max-nodes", "100"]);
    assert!(f(&pattern["undecided"]) <= f(&less["undecided"]) + 1e-9);
    let note = run(w, &["answers", "x", "-m", "model", "--choices", "New|New Delhi", "--max-nodes", "10"]);
    assert!(String::from_utf8_lossy(&note.stderr).contains("\"New\" begins \"New Delhi\""));
    for (args, text) in [
        (&["--choices", "a||b"][..], "choice 2 is empty"),
        (&["--choices", "A|a", "--normalize"], "cannot be told apart"),
        (&["--pattern", "("], "unclosed group"),
        (&["--pattern", r"[^\s\S]"], "cannot match"),
    ] {
        let error = fails(w, &[&["answers", "x", "-m", "model"], args].concat(), 2);
        assert!(error.contains(text), "{error}");
    }
    fails(w, &["answers", "x", "-m", "model"], 2);
    assert!(fails(w, &["answers", "x", "-m", "model", "--pattern", "(a)", "--direct"], 2).contains("--direct"));
    // Goes on to what was asked for, and says how many steps that took.
    let ask = |more: &[&str]| json(w, &[&["answers", "x", "-m", "model", "--max-depth", "3"], more].concat());
    for width in ["0.6", "0.4"] {
        let found = ask(&["--choices", "a|b", "--tolerance", width]);
        let wide = found["answers"].as_array().unwrap().iter().map(|a| f(&a["upper"]) - f(&a["lower"]));
        assert!(wide.fold(0.0, f64::max) <= width.parse::<f64>().unwrap() + 1e-12, "{found}");
        assert!(found["steps"].as_u64().unwrap() < found["nodes"].as_u64().unwrap(), "{found}");
    }
    // One choice has nobody to win against.
    let one = ask(&["--choices", "a", "--max-nodes", "2000"]);
    assert!(one["winner"].is_null() && one["ended_by"] == "max_nodes", "{one}");
    let text = ok(w, &["answers", "x", "-m", "model", "--choices", "a|b", "--max-nodes", "5000"]);
    assert!(text.contains("ahead of the other choices for certain") || text.contains("not certain"), "{text}");
}

#[test]
fn forks_are_ranked_and_followed() {
    let folder = workplace();
    let w = folder.path();
    let found = json(w, &["forks", "hello world", "-m", "model", "-n", "10", "--top", "4"]);
    let forks = found["forks"].as_array().unwrap();
    assert_eq!(forks.len(), 4);
    assert!(forks.windows(2).all(|f2| f(&f2[0]["gap"]) <= f(&f2[1]["gap"])), "{found}");
    for fork in forks {
        // The fork's own continuation, made by forcing its beginning.
        assert!(f(&fork["prob"]) >= f(&fork["other_prob"]) && fork["token"]["id"] != fork["other"]["id"]);
        assert_eq!(fork["flips"].as_bool().unwrap(), fork["rejoins"].is_null());
    }
    let with = json(w, &["forks", "hello world", "-m", "model", "-n", "10", "--top", "4", "--pattern", "([a-z])"]);
    for fork in with["forks"].as_array().unwrap() {
        assert_eq!(fork["flips"].as_bool().unwrap(), fork["answer"] != with["answer"]);
    }
    let nowhere = ok(w, &["forks", "hello world", "-m", "model", "-n", "4", "--pattern", "Zürich"]);
    assert!(nowhere.contains("matches nowhere in the continuation, nor in any fork"), "{nowhere}");
    let given = json(w, &["forks", "hello world", "-m", "model", "--text", " the world", "--pattern", "(w)"]);
    assert_eq!((given["answer"].as_str(), given["text"].as_str()), (Some("w"), Some(" the world")));
    assert!(ok(w, &["forks", "hello", "-m", "model", "-n", "5"]).contains("forks stay apart"));
}

#[test]
fn best_first_walks_what_a_sampler_draws() {
    let folder = workplace();
    let w = folder.path();
    let args = ["tree", "hello world", "-m", "model", "--strategy", "best-first", "--max-depth", "2", "--cover", "1"];
    let args = [&args[..], &["--temperature", "0.6", "--top-k", "5", "--top-p", "0.9", "--no-tree"]].concat();
    let text = ok(w, &[&args[..], &["-o", "s.run.jsonl"]].concat());
    assert!(text.contains("all probabilities are a sampler's: temperature 0.6, top-k 5, top-p 0.9"), "{text}");
    // The sampler by its definition, on the whole distribution: p^(1/t), the first 5, and of these the first that reach
    // 0.9.
    let drawn = |prompt: &str| {
        let next = json(w, &["next", prompt, "-m", "model", "--top", "5"]);
        let top = next["prompts"][0]["top"].as_array().unwrap().clone();
        let weights: Vec<f64> = top.iter().map(|t| (f(&t["logprob"]) / 0.6).exp()).collect();
        let all: f64 = weights.iter().sum();
        let mut before = 0.0;
        let kept: Vec<(u64, f64)> = top
            .iter()
            .zip(weights)
            .take_while(|(_, w)| {
                let needed = before < 0.9;
                before += w / all;
                needed
            })
            .map(|(t, w)| (t["id"].as_u64().unwrap(), w))
            .collect();
        let sum: f64 = kept.iter().map(|k| k.1).sum();
        kept.into_iter().map(|(id, w)| (id, w / sum)).collect::<Vec<_>>()
    };
    let csv = ok(w, &["export", "s.run.jsonl", "--to", "csv"]);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let head = rows.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|h| h == name).unwrap();
    let nodes: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let first: Vec<&csv::StringRecord> = nodes.iter().filter(|n| &n[column("parent")] == "0").collect();
    let want = drawn("hello world");
    assert_eq!(first.len(), want.len());
    for (id, p) in want {
        let node = first.iter().find(|n| n[column("token_id")] == id.to_string()).unwrap();
        assert!((node[column("prob")].parse::<f64>().unwrap() - p).abs() < 1e-6, "{node:?} {p}");
    }
    // All of it is in the tree, down to the depth limit.
    let shown = json(w, &["show", "s.run.jsonl"]);
    let mass = &shown["mass"];
    assert!((f(&mass["finished"]) + f(&mass["frontier"]) - 1.0).abs() < 1e-9 && f(&mass["pruned"]) < 1e-9, "{mass}");

    // It verifies; a run that was stopped goes on to the same tree.
    ok(w, &["verify", "s.run.jsonl"]);
    ok(w, &[&args[..], &["-o", "part.run.jsonl", "--max-nodes", "4"]].concat());
    ok(w, &["tree", "--resume", "part.run.jsonl", "-m", "model", "--max-nodes", "100000"]);
    let other = ok(w, &["export", "part.run.jsonl", "--to", "csv"]);
    assert_eq!(csv, other);

    // Temperature 0 is the greedy path; other strategies have no sampler of their own.
    let greedy = [&args[..10], &["--temperature", "0", "-o", "g.run.jsonl"]].concat();
    assert_eq!(json(w, &greedy)["nodes"], 3);
    let error = fails(w, &["tree", "hello", "-m", "model", "--temperature", "0.5"], 2);
    assert!(error.contains("--temperature") && error.contains("best-first") && error.contains("sample"), "{error}");
}

#[test]
fn a_lens_reweights_a_stored_run() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["--min-branch-threshold", "0.02", "--max-branch-threshold", "0.1", "-o", "r"]].concat());
    let clear = json(w, &["lens", "r"]);
    for name in ["finished", "frontier", "pruned"] {
        assert!(near(f(&clear["before"][name]), f(&clear["after"][name])), "{clear}");
    }
    let k = json(w, &["lens", "r", "--top-k", "3"]);
    let total: f64 = ["finished", "frontier", "pruned", "unknown"].iter().map(|n| f(&k["after"][n])).sum();
    assert!(near(total, 1.0) && f(&k["after"]["unknown"]) == 0.0, "{k}");
    let node = json(w, &["lens", "r", "--top-k", "3", "--node", "0"]);
    let kept: Vec<f64> = node["tokens"].as_array().unwrap().iter().filter_map(|t| t["after"].as_f64()).collect();
    assert!(kept.len() == 3 && near(kept.iter().sum(), 1.0), "{node}");
    // Ten tokens of a step bound what a temperature makes of them; what has no bounds is said.
    let cold = json(w, &["lens", "r", "--temperature", "0.5"]);
    assert!(f(&cold["steps_with_bounds"]) > 0.0 && f(&cold["after"]["unknown"]) == 0.0, "{cold}");
    for path in cold["paths"].as_array().unwrap() {
        let [lower, upper] = [f(&path["after_bounds"][0]), f(&path["after_bounds"][1])];
        assert!(0.0 <= lower && lower < upper && upper <= 1.0 && path["after"].is_null(), "{path}");
    }
    let shown = ok(w, &["lens", "r", "--temperature", "0.5"]);
    assert!(shown.contains("longer lists make them tighter (--store-top)") && shown.contains('–'), "{shown}");
    let typical = ok(w, &["lens", "r", "--typical-p", "0.99"]);
    assert!(typical.contains("too short, even for bounds"), "{typical}");
    // Ten tokens suffice for --top-k 10 with every rule that comes after it, as the help says.
    let ten = ["lens", "r", "--temperature", "0.7", "--top-k", "10", "--top-p", "0.9", "--min-p", "0.1"];
    let k = json(w, &[&ten[..], &["--typical-p", "0.8"]].concat());
    assert_eq!(f(&k["after"]["unknown"]), 0.0, "{k}");
    // The repetition penalty has the logits it needs.
    assert!(ok(w, &["lens", "r", "--repetition-penalty", "1.3", "--top-k", "2"]).contains("kept"));
    let error = fails(w, &["lens", "r", "--node", "99999"], 1);
    assert!(error.contains("nodes 0 to"), "{error}");
    // With everything stored, nothing is too short.
    let small = [&TREE[..], &["--min-branch-threshold", "0.02", "--max-branch-threshold", "0.1", "--max-nodes", "40"]];
    let small = small.concat();
    ok(w, &[&small[..], &["--store-top", "p=1", "-o", "all"]].concat());
    let exact = json(w, &["lens", "all", "--temperature", "0.5"]);
    assert_eq!((f(&exact["steps_with_bounds"]), &exact["lists_too_short"]), (0.0, &serde_json::json!([])));
    // The exact numbers are within the bounds that ten tokens give.
    ok(w, &[&small[..], &["-o", "ten"]].concat());
    let ten = json(w, &["lens", "ten", "--temperature", "0.5", "--paths", "1000"]);
    let exact = json(w, &["lens", "all", "--temperature", "0.5", "--paths", "1000"]);
    let exact = exact["paths"].as_array().unwrap();
    assert!(exact.len() > 1);
    for path in ten["paths"].as_array().unwrap() {
        let want = f(&exact.iter().find(|e| e["node"] == path["node"]).unwrap()["after"]);
        let [lower, upper] = [f(&path["after_bounds"][0]), f(&path["after_bounds"][1])];
        assert!(lower - 1e-9 <= want && want <= upper + 1e-9, "{path} {want}");
    }
}

#[test]
fn a_run_is_verified_to_the_last_bit_and_a_changed_one_is_found() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["-o", "r"]].concat());
    let report = json(w, &["verify", "r"]);
    assert_eq!((&report["identical"], f(&report["max_difference"])), (&true.into(), 0.0));
    let text = std::fs::read_to_string(w.join("r")).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            if event["type"] == "expand" && event["node"] == 1 {
                event["top"][2]["logprob"] = (f(&event["top"][2]["logprob"]) - 0.5).into();
            }
            event.to_string()
        })
        .collect();
    std::fs::write(w.join("changed"), lines.join("\n") + "\n").unwrap();
    let output = run(w, &["verify", "changed", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["report"]["largest"]["node"], &report["report"]["first"]["node"]), (&1.into(), &1.into()));
    assert!((f(&report["max_difference"]) - 0.5).abs() < 1e-9, "{report}");
    assert!(ok(w, &["verify", "changed", "--tolerance", "1"]).contains("after node 1"));
    let other = text.replacen("\"sha256\":\"", "\"sha256\":\"0", 1);
    std::fs::write(w.join("other"), other).unwrap();
    assert!(fails(w, &["verify", "other"], 1).contains("other weights"));
    let other = text.replacen("\"tokenizer_sha256\":\"", "\"tokenizer_sha256\":\"0", 1);
    assert_ne!(other, text);
    std::fs::write(w.join("other"), other).unwrap();
    assert!(fails(w, &["verify", "other"], 1).contains("another tokenizer"));
    ok(w, &["export", "r", "--to", "tree-json", "-o", "tree.json"]);
    assert!(fails(w, &["verify", "tree.json"], 1).contains("does not say which model"));
}

#[test]
fn hashes_of_all_logits_are_recorded_verified_and_kept_up() {
    let folder = workplace();
    let w = folder.path();
    let hashes = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(w.join(file)).unwrap();
        let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines.filter(|l| l["type"] == "expand").map(|l| l["logits_sha256"].as_str().unwrap().to_string()).collect()
    };
    ok(w, &[&TREE[..], &["--hash-logits", "--max-nodes", "20", "--threads", "1", "-o", "r"]].concat());
    ok(w, &["tree", "--resume", "r", "-m", "model", "--max-nodes", "40"]);
    ok(w, &[&TREE[..], &["--hash-logits", "--max-nodes", "40", "--backend", "scalar", "-o", "s"]].concat());
    let found = hashes("r");
    assert!(found.len() > 4 && found.iter().all(|h| h.len() == 64), "{found:?}");
    assert_eq!(found, hashes("s"));
    let report = json(w, &["verify", "r"]);
    let count = &report["report"]["numbers"]["logits"];
    assert_eq!((&report["identical"], count["compared"].as_u64()), (&true.into(), Some(found.len() as u64)));
    // A distribution that differs in a token which is not listed differs in nothing else.
    let text = std::fs::read_to_string(w.join("r")).unwrap();
    let other = if found[2].starts_with('0') { "1" } else { "0" };
    std::fs::write(w.join("changed"), text.replace(&found[2], &format!("{other}{}", &found[2][1..]))).unwrap();
    let said = fails(w, &["verify", "changed"], 1);
    assert!(said.contains("hashes of all logits"), "{said}");
    let out = run(w, &["verify", "changed"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("first difference in the hash of all logits after node"), "{said}");
    // In another order of sums they are counted only.
    let older = text.replacen("\"summation_orders\":[", "\"summation_orders\":[1],\"of\":[", 1);
    assert_ne!(older, text);
    std::fs::write(w.join("older"), older.replace(&found[2], &format!("{other}{}", &found[2][1..]))).unwrap();
    assert!(ok(w, &["verify", "older"]).contains(&format!("{} the same\n", found.len() - 1)));
    assert!(fails(w, &["tree", "--resume", "r", "-m", "model", "--hash-logits"], 2).contains("--hash-logits"));
}

#[test]
fn a_change_of_any_number_of_a_record_is_found() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["--watch", "h", "--watch", "hello w", "--max-nodes", "30", "-o", "r"]].concat());
    let report = json(w, &["verify", "r"]);
    assert_eq!(report["identical"], true);
    let numbers = report["report"]["numbers"].as_object().unwrap();
    assert_eq!(numbers.len(), 9, "{report}");
    assert!(numbers.values().all(|n| n["compared"] == n["identical"] && f(&n["compared"]) > 2.0), "{report}");
    let text = std::fs::read_to_string(w.join("r")).unwrap();
    let expand = |change: fn(&mut Value)| -> Box<dyn Fn(&mut Value)> {
        Box::new(move |e| {
            if e["type"] == "expand" && e["node"] == 2 {
                change(e);
            }
        })
    };
    let line = |kind: &'static str, change: fn(&mut Value)| -> Box<dyn Fn(&mut Value)> {
        Box::new(move |e| {
            if e["type"] == kind {
                change(e);
            }
        })
    };
    fn add(v: &mut Value, more: f64) {
        *v = (v.as_f64().unwrap() + more).into();
    }
    for (what, change) in [
        ("entropies", expand(|e| add(&mut e["entropy"], 1.0))),
        ("varentropies", expand(|e| add(&mut e["varentropy"], 1.0))),
        ("logsumexps", expand(|e| add(&mut e["logsumexp"], 1.0))),
        ("thresholds", expand(|e| e["threshold"] = 0.9.into())),
        ("queue lengths", expand(|e| e["queue"] = 77.into())),
        ("logprobs of watched strings", expand(|e| add(&mut e["watch"][1]["logprob"], -3.0))),
        ("ranks of watched strings", expand(|e| e["watch"][0]["rank"] = 999.into())),
        ("logprobs", expand(|e| add(&mut e["top"][3]["logprob"], -0.01))),
        // The same tokens with the same numbers, in another order; and another token at the same number.
        ("places in lists", expand(|e| e["top"].as_array_mut().unwrap().swap(0, 4))),
        ("logprobs", expand(|e| e["top"][1]["id"] = 1.into())),
        ("logprobs", line("node", |e| add(&mut e["logprob"], -0.01))),
        ("says 99 nodes", line("end", |e| e["nodes"] = 99.into())),
        ("says 7 completed paths", line("end", |e| e["completed"] = 7.into())),
        ("is finished", line("end", |e| e["mass"]["finished"] = 0.5.into())),
        ("is pruned", line("end", |e| add(&mut e["mass"]["pruned"], 1e-4))),
        ("tokenizer", line("header", |e| e["model"]["vocab"] = 321.into())),
        ("`context`", line("header", |e| e["model"]["context"] = 5.into())),
    ] {
        let lines = text.lines().map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            change(&mut event);
            event.to_string() + "\n"
        });
        std::fs::write(w.join("changed"), lines.collect::<String>()).unwrap();
        let said = fails(w, &["verify", "changed"], 1);
        assert!(said.contains(what), "{what}: {said}");
    }
    // What the closing line says is recounted where it is shown, and the difference told.
    let lying = text.replacen("\"nodes\":", "\"nodes\":9999", 1);
    std::fs::write(w.join("lying"), lying).unwrap();
    let shown = run(w, &["show", "lying", "--format", "json"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("the `end` line says 9999"));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["nodes"], json(w, &["show", "r"])["nodes"]);
}

#[test]
fn an_experiment_runs_all_goes_on_and_reports_failures() {
    let folder = workplace();
    let w = folder.path();
    let toml = r#"
models = ["model", "nowhere"]
watch = ["lo"]
max_nodes = 40
prompts = [{ text = "hello world" }, { text = "" }]
[[parameters]]
name = "short"
max_depth = 3
[[parameters]]
strategy = "beam"
width = 2
max_depth = 3
top_p_branch = 0.9
"#;
    std::fs::write(w.join("e.toml"), toml).unwrap();
    let error = fails(w, &["run", "e.toml"], 1);
    // Two prompts, two settings, two models; the empty prompt and the missing model fail, the rest is done.
    assert!(error.contains("6 of 8 runs failed"), "{error}");
    let mut table = csv(&std::fs::read_to_string(w.join("e/table.csv")).unwrap());
    assert_eq!((table.len(), &table[0][..3]), (9, &["prompt", "model", "parameters"].map(String::from)[..]));
    let good: Vec<Vec<String>> = table.drain(1..).filter(|r| r[4] == "finished").collect();
    assert_eq!(good.iter().map(|r| &r[2][..]).collect::<Vec<_>>(), ["short", "beam2"]);
    assert!(w.join("e/table.parquet").metadata().unwrap().len() > 500);
    let again = run(w, &["run", "e.toml"]);
    assert_eq!(String::from_utf8_lossy(&again.stderr).matches("already done").count(), 2);
    // What is there must be what is asked for; another file is not overwritten.
    std::fs::write(w.join("e.toml"), toml.replace("max_depth = 3\n[[", "max_depth = 4\n[[")).unwrap();
    let changed = run(w, &["run", "e.toml"]);
    let text = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert_eq!(
        (text.matches("made with other settings").count(), text.matches("already done").count()),
        (1, 1),
        "{text}"
    );
    std::fs::write(w.join("e.toml"), toml).unwrap();
    let mut file = std::fs::read_dir(w.join("e")).unwrap().map(|e| e.unwrap().path());
    let file = file.find(|f| f.to_string_lossy().contains("short")).unwrap();
    std::fs::write(&file, "dear diary\n").unwrap();
    fails(w, &["run", "e.toml"], 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "dear diary\n");
    for (text, message) in [
        ("prompts = [\n{ txt = 3 }]", "line 2, column 3"),
        ("prompts = [{ text = 'x' }", "unclosed array"),
        (
            "prompts = [{ text = 'x' }]\n[[parameters]]\ncover = 0.5",
            "`cover` belongs to `strategy` best-first, not to dynamic",
        ),
        ("prompts = [{ text = 'x' }]\n[[parameters]]\nstrategy = 'best'", "`strategy` must be one of dynamic"),
        ("prompts = [{ text = 'x' }]\n[[parameters]]\nmax_depth = 0", "`max_depth` must be at least 1"),
        (
            "prompts = [{ text = 'x' }]\n[[parameters]]\nstrategy = 'sample'\ntemperature = -1",
            "`temperature` must be a number from 0 up",
        ),
        ("max_seconds = nan\nprompts = [{ text = 'x' }]", "`max_seconds` must be a number from 0 up"),
        ("max_nodes = 0\nprompts = [{ text = 'x' }]", "`max_nodes` must be at least 1"),
        ("prompts = []", "no prompts"),
    ] {
        std::fs::write(w.join("bad.toml"), text).unwrap();
        let error = fails(w, &["run", "bad.toml"], 1);
        assert!(error.contains(message) && error.contains("bad.toml"), "{text}: {error}");
    }
}

/// Rows of a table without quotes.
fn csv(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|l| l.split(',').map(String::from).collect()).collect()
}

#[test]
fn guide_forces_the_prefix_alone_where_the_tokenizer_composes_characters() {
    let w = workplace();
    std::fs::copy(fixtures().join("model-files/qwen2-bpe.gguf"), w.path().join("m.gguf")).unwrap();
    let guide = |prefix: &str| {
        let given = json(w.path(), &["guide", "Say it now", "--prefix", prefix, "-m", "m.gguf", "-n", "1"]);
        (given["forced"].clone(), given["tokens"].clone())
    };
    // The same text, composed and not: the model sees the same tokens.
    assert_eq!(guide("cafe\u{301} x"), guide("caf\u{e9} x"));
    assert_eq!(guide("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"), guide("\u{d55c}\u{ae00}"));
    let (forced, tokens) = guide("caf\u{e9} x");
    let text: Vec<u8> = tokens.as_array().unwrap().iter().filter(|t| t["forced"] == true).flat_map(bytes).collect();
    assert_eq!(String::from_utf8(text).unwrap(), "caf\u{e9} x");
    assert!((forced["bits"].as_f64().unwrap() - 67.26).abs() < 0.01, "{forced}");
}

/// Raw bytes of a token in an answer: its text, or the bytes beside it where that is none.
fn bytes(token: &serde_json::Value) -> Vec<u8> {
    match token["bytes"].as_array() {
        Some(list) => list.iter().map(|b| b.as_u64().unwrap() as u8).collect(),
        None => token["text"].as_str().unwrap().into(),
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_called_one() {
    let folder = workplace();
    let w = folder.path();
    for command in
        [&["show", "model"][..], &["run", "model"], &["lens", "model"], &["verify", "model"], &["report", "model"]]
    {
        let text = fails(w, command, 1);
        assert!(text.contains("model: is a folder: name a file in it"), "{command:?}: {text}");
    }
}
