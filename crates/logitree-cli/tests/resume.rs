//! `tree --resume`: the same run, or a reason why not.

mod common;

use common::server::Server;
use common::{fails, json, ok, run, workplace};
use serde_json::{Value, json};
use std::path::Path;

const TREE: [&str; 8] =
    ["tree", "hello", "-m", "model", "--min-branch-threshold", "0.02", "--max-branch-threshold", "0.3"];

/// The lines of a run file.
fn lines(w: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(w.join(file)).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Changes a file's lines into another file.
fn change(w: &Path, from: &str, to: &str, mut change: impl FnMut(&mut Value)) {
    let changed = lines(w, from).into_iter().map(|mut line| {
        change(&mut line);
        line.to_string() + "\n"
    });
    std::fs::write(w.join(to), changed.collect::<String>()).unwrap();
}

fn add(number: &mut Value, more: f64) {
    *number = (number.as_f64().unwrap() + more).into();
}

#[test]
fn a_run_with_sums_in_another_order_goes_on_and_is_compared_within_a_tolerance() {
    let folder = workplace();
    let w = folder.path();
    let now = logitree_engine::SUMMATION_ORDER;
    ok(w, &[&TREE[..], &["--max-nodes", "30", "--watch", "o", "-o", "r"]].concat());
    assert_eq!(lines(w, "r")[0]["model"]["summation_orders"], json!([now]));
    // Any difference counts where the order is the same.
    let one_lower = |line: &mut Value| {
        if line["type"] == "expand" && line["node"] == 1 {
            line["watch"][0]["rank"] = (line["watch"][0]["rank"].as_u64().unwrap() + 1).into();
        }
    };
    change(w, "r", "changed", one_lower);
    assert!(fails(w, &["verify", "changed"], 1).contains("ranks of watched strings"));
    // The first versions did not say their order.
    change(w, "r", "old", |line| {
        one_lower(line);
        if line["type"] == "header" {
            line["model"].as_object_mut().unwrap().remove("summation_orders").unwrap();
        }
        if line["type"] == "node" {
            add(&mut line["logprob"], -1e-5);
        }
    });
    let begun = lines(w, "old").len();
    ok(w, &["tree", "--resume", "old", "-m", "model", "--max-nodes", "90"]);
    ok(w, &["tree", "--resume", "old", "-m", "model", "--max-nodes", "120"]);
    let grown = lines(w, "old");
    let noted: Vec<usize> = (0..grown.len()).filter(|&i| grown[i].get("summation_orders").is_some()).collect();
    // It comes after the new budget and before the first new step.
    assert_eq!((&noted[..], &grown[begun + 1]["summation_orders"]), (&[begun + 1][..], &json!([1, now])));
    assert_eq!(grown[begun + 2]["type"], "expand");
    let said = ok(w, &["verify", "old"]);
    assert!(said.contains(&format!("made with sums in order 1 and {now}, and this version has order {now}")), "{said}");
    assert!(said.contains("others by up to 1.0e-5") && said.contains("largest difference 1.000e-5"), "{said}");
    let report = json(w, &["verify", "old"]);
    assert_eq!(
        ["identical", "confirmed", "recorded_orders", "other_order"].map(|name| report[name].clone()),
        [json!(false), json!(true), json!([1, now]), json!(now)]
    );
    // More than the last bits is found.
    change(w, "old", "wrong", |line| {
        if line["type"] == "node" && line["node"] == 2 {
            add(&mut line["logprob"], -1e-3);
        }
    });
    assert!(fails(w, &["verify", "wrong"], 1).contains("differs by 1.0"));
    change(w, "old", "wrong", |line| {
        if line["type"] == "expand" && line["node"] == 1 {
            line["watch"][0]["rank"] = (line["watch"][0]["rank"].as_u64().unwrap() + 5).into();
        }
    });
    assert!(fails(w, &["verify", "wrong"], 1).contains("ranks of watched strings"));
    // What comes after this version is shown, and nothing else.
    change(w, "r", "newer", |line| {
        if line["type"] == "header" {
            line["model"]["summation_orders"] = json!([now, 99]);
        }
    });
    ok(w, &["show", "newer"]);
    for args in [&["verify", "newer"][..], &["tree", "--resume", "newer", "-m", "model", "--max-nodes", "90"]] {
        let said = fails(w, args, 1);
        assert!(said.contains("made with sums in order 99") && said.contains("update logitree"), "{said}");
    }
}

#[test]
fn budgets_and_lists_are_those_of_the_run_until_others_are_given() {
    let folder = workplace();
    let w = folder.path();
    ok(
        w,
        &[
            &TREE[..],
            &["--max-nodes", "30", "--store-top", "100", "--max-depth", "60", "--max-branches", "4", "-o", "r"],
        ]
        .concat(),
    );
    let begun = lines(w, "r");
    assert_eq!((&begun[0]["limits"]["max_nodes"], &begun[0]["store_top"]), (&30.into(), &100.into()));
    // The budget is used up: nothing is done, and it says how to go on.
    let out = run(w, &["tree", "--resume", "r", "-m", "model"]);
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && message.contains("goes on with --resume and a larger --max-nodes"), "{message}");
    assert_eq!(lines(w, "r"), begun);
    // A larger one is written down before anything else, and stays.
    ok(w, &["tree", "--resume", "r", "-m", "model", "--max-nodes", "90"]);
    let grown = lines(w, "r");
    assert_eq!(grown[begun.len()]["limits"]["max_nodes"], 90);
    let nodes = grown.last().unwrap()["nodes"].as_u64().unwrap();
    assert!((90..200).contains(&nodes), "{nodes}");
    assert!(grown.iter().filter(|l| l["type"] == "expand").all(|l| l["top"].as_array().unwrap().len() == 100));
    let seconds: Vec<f64> =
        grown.iter().filter(|l| l["type"] == "end").map(|l| l["seconds"].as_f64().unwrap()).collect();
    assert!(seconds.len() == 3 && seconds[0] == seconds[1] && seconds[2] > seconds[0], "{seconds:?}");
    ok(w, &["tree", "--resume", "r", "-m", "model"]);
    assert_eq!(lines(w, "r"), grown);
    // The time that was spent counts.
    let out = run(w, &["tree", "--resume", "r", "-m", "model", "--max-nodes", "900", "--max-seconds", "0.000001"]);
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(message.contains("larger --max-seconds") && lines(w, "r") == grown, "{message}");
    // To the end it is what it would have been at once.
    ok(w, &["tree", "--resume", "r", "-m", "model", "--max-nodes", "100000"]);
    ok(w, &[&TREE[..], &["--store-top", "100", "--max-depth", "60", "--max-branches", "4", "-o", "whole"]].concat());
    let csv = |file: &str| ok(w, &["export", file, "--to", "csv"]);
    assert!(csv("r") == csv("whole"));
}

#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["--max-nodes", "5", "-o", "r"]].concat());
    let before = lines(w, "r");
    for option in [
        &["--max-depth", "9"][..],
        &["--strategy", "beam"],
        &["--temperature", "0.5"],
        &["--top-p-branch", "0.5"],
        &["--store-top", "50"],
        &["--watch", "a"],
        &["--chat"],
        &["-o", "other"],
        &["--force"],
    ] {
        let error = fails(w, &[&["tree", "--resume", "r", "-m", "model"], option].concat(), 2);
        let name = if option[0] == "-o" { "--output" } else { option[0] };
        assert!(error.contains(name), "{option:?}: {error}");
    }
    assert_eq!(lines(w, "r"), before);
    ok(w, &["export", "r", "--to", "tree-json", "-o", "r.tree.json"]);
    let error = fails(w, &["tree", "--resume", "r.tree.json"], 1);
    assert!(error.contains("an imported tree cannot be gone on with"), "{error}");
}

#[test]
fn a_file_that_no_strategy_wrote_is_refused_with_its_node() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["--max-depth", "2", "-o", "r"]].concat());
    let text = std::fs::read_to_string(w.join("r")).unwrap();
    // Killed, and without the line of its first stop: what was visited after it came too early.
    let all: Vec<&str> = text.lines().filter(|l| !l.contains("\"type\":\"end\"")).collect();
    let first = all.iter().position(|l| l.contains("\"type\":\"stop\"")).unwrap();
    let moved: Vec<&str> = all.iter().enumerate().filter(|l| l.0 != first).map(|l| *l.1).collect();
    std::fs::write(w.join("moved"), moved.join("\n") + "\n").unwrap();
    let error = fails(w, &["tree", "--resume", "moved", "-m", "model"], 1);
    assert!(error.contains("missing, changed or out of order") && error.contains("node"), "{error}");
    ok(w, &["show", "moved"]);

    // In the server that run fails, and everything else goes on.
    let s = Server::start(w, &[]);
    let bearer = format!("Bearer {}", s.token);
    let headers = [("Host", s.address.as_str()), ("Authorization", bearer.as_str())];
    let body = std::fs::read(w.join("moved")).unwrap();
    let (status, _, answer) = s.raw("POST", "/api/v1/import?name=moved", &headers, &body);
    let info: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 201, "{info}");
    let id = info["id"].as_str().unwrap();
    assert_eq!(s.call("POST", &format!("/runs/{id}/resume"), None).0, 200);
    let info = s.wait(id, |s| s["state"] == "failed");
    assert!(info["status"]["message"].as_str().unwrap().contains("out of order"), "{info}");
    let request = json!({ "model": "model", "prompt": "hello", "max_tokens": 1 });
    assert_eq!(s.ask("POST", "/v1/completions", Some(request)).0, 200);
    let other = s.begin(json!({ "prompt": "hello", "parameters": { "max_depth": 3 } }));
    s.wait(&other, |s| s["state"] == "finished");
    let (status, problem) = s.call(
        "POST",
        "/runs",
        Some(json!({ "prompt": "hello", "strategy": "sample", "parameters": { "temperature": -1 } })),
    );
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("`temperature`"), "{problem}");
}

#[test]
fn a_path_that_fills_the_context_stops_and_the_others_go_on() {
    let folder = workplace();
    let w = folder.path();
    let config = w.join("model/config.json");
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    value["max_position_embeddings"] = 9.into();
    std::fs::write(&config, value.to_string()).unwrap();
    for strategy in [
        &["--strategy", "dynamic", "--min-branch-threshold", "0.03", "--max-branch-threshold", "0.2"][..],
        &["--strategy", "best-first", "--max-branches", "2"],
        &["--strategy", "beam", "--width", "3"],
        &["--strategy", "sample", "--samples", "9"],
    ] {
        let grown = common::json(w, &[&["tree", "hello", "-m", "model", "-o", "r", "--force"], strategy].concat());
        assert_eq!(grown["reason"], "finished", "{strategy:?}");
        let mass = &grown["mass"];
        let total: f64 = ["finished", "frontier", "pruned"].iter().map(|m| mass[m].as_f64().unwrap()).sum();
        assert!((total - 1.0).abs() < 1e-9, "{mass}");
        let full = lines(w, "r").iter().filter(|l| l["reason"] == "context").count();
        assert!(full > 1, "{strategy:?}: {full}");
        assert!(ok(w, &["show", "r"]).contains("at the end of the model's context"), "{strategy:?}");
        for format in ["csv", "tree-json", "dot", "graphml", "mermaid", "text"] {
            ok(w, &["export", "r", "--to", format]);
        }
        ok(w, &["tree", "--resume", "r", "-m", "model"]);
        ok(w, &["verify", "r", "-m", "model"]);
    }
    let grown = common::json(w, &["tree", "hello", "-m", "model", "--watch", "hello", "-o", "watched"]);
    assert_eq!(grown["reason"], "finished");
}

#[test]
fn what_ended_a_strategy_that_had_paths_left_is_said() {
    let folder = workplace();
    let w = folder.path();
    let end =
        ["--strategy", "best-first", "--cover", "0.0000001", "--max-depth", "40", "--max-nodes", "1000000", "-o", "r"];
    let text = ok(w, &[&["tree", "hello", "-m", "model"], &end[..]].concat());
    assert!(text.contains("ended at --cover 0.0000001") || text.contains("ended at --cover 1e-7"), "{text}");
}

#[test]
fn a_run_that_has_ended_of_itself_does_not_go_on_whatever_its_budget() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &[&TREE[..], &["--max-depth", "3", "-o", "r"]].concat());
    let ended = lines(w, "r");
    assert_eq!(ended.last().unwrap()["reason"], "finished");
    let out = run(w, &["tree", "--resume", "r", "-m", "model", "--max-nodes", "2"]);
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && message.contains("has ended of itself"), "{message}");
    assert!(!String::from_utf8_lossy(&out.stdout).contains("stopped at"), "{out:?}");
    assert_eq!(lines(w, "r"), ended);
}
