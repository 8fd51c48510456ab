//! What each layer would have predicted at forks and at nodes of a stored run, on a tiny model.

mod common;

use common::{fails, json, ok, workplace};
use serde_json::Value;

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("a number, not {v}"))
}

const FORKS: [&str; 9] = ["forks", "hello world", "-m", "model", "-n", "6", "--top", "6", "--layers"];

/// The numbers of a token at every layer.
fn numbers(layers: &Value, id: &Value) -> Vec<Value> {
    let place = layers["tokens"].as_array().unwrap().iter().position(|t| &t["id"] == id).unwrap();
    layers["layers"].as_array().unwrap().iter().map(|l| l["tokens"][place].clone()).collect()
}

#[test]
fn at_a_fork_the_token_is_put_against_its_runner_up() {
    let folder = workplace();
    let w = folder.path();
    let found = json(w, &FORKS);
    let forks = found["forks"].as_array().unwrap();
    assert_eq!(forks.len(), 6);
    for fork in forks {
        let of = |name: &str| numbers(&fork["layers"], &fork[name]["id"]);
        let (token, other) = (of("token"), of("other"));
        assert!((f(&token.last().unwrap()["logprob"]).exp() - f(&fork["prob"])).abs() < 1e-12, "{fork}");
        assert!((f(&other.last().unwrap()["logprob"]).exp() - f(&fork["other_prob"])).abs() < 1e-12, "{fork}");
        // From the deciding layer on, the token is ahead as it is in the end.
        let leads: Vec<f64> = token.iter().zip(&other).map(|(a, b)| f(&a["logprob"]) - f(&b["logprob"])).collect();
        let between = fork["layers"]["between"].as_u64().unwrap() as usize;
        assert!(leads[between..].iter().all(|&l| l > 0.0), "{leads:?}");
        assert!(between == 0 || leads[between - 1] <= 0.0, "{leads:?}, {between}");
    }
    // The first fork's place is right after the prompt.
    let first = forks.iter().find(|f| f["position"] == 0).unwrap();
    let next = json(w, &["next", "hello world", "-m", "model", "--layers"]);
    let mut layers = first["layers"].clone();
    layers.as_object_mut().unwrap().remove("between");
    assert_eq!(layers, next["prompts"][0]["layers"]);

    // Without the option, the rest is the same.
    let mut without = found.clone();
    for fork in without["forks"].as_array_mut().unwrap() {
        fork.as_object_mut().unwrap().remove("layers");
    }
    assert_eq!(json(w, &FORKS[..8]), without);
}

#[test]
fn forks_with_layers_are_a_table_for_people_and_a_file() {
    let folder = workplace();
    let w = folder.path();
    let found = json(w, &FORKS);
    let forks = found["forks"].as_array().unwrap();
    let text = ok(w, &FORKS);
    for fork in forks {
        let of = |name: &str| numbers(&fork["layers"], &fork[name]["id"]);
        for (a, b) in of("token").iter().zip(of("other")) {
            let lead = format!("{:+.4}", f(&a["logprob"]) - f(&b["logprob"]));
            assert!(text.contains(&lead), "{lead} in {text}");
        }
        assert!(text.contains(&format!("layer {}", fork["layers"]["between"])), "{text}");
    }
    ok(w, &[&FORKS[..], &["-o", "layers.csv"]].concat());
    let csv = std::fs::read_to_string(w.join("layers.csv")).unwrap();
    assert!(csv.starts_with("place,layer,token_id,text,logprob,rank,part,best_id,best\n"), "{csv}");
    for fork in forks {
        let place = format!("{},", fork["position"].as_u64().unwrap() + 1);
        let of = &fork["layers"];
        let rows = of["tokens"].as_array().unwrap().len() * (of["layers"].as_array().unwrap().len() + 1);
        assert_eq!(csv.lines().filter(|l| l.starts_with(&place)).count(), rows, "{csv}");
    }
    let printed = ok(w, &[&FORKS[..], &["-o", "-"]].concat());
    assert_eq!(printed, csv);

    assert!(fails(w, &[&FORKS[..8], &["-o", "x.csv"]].concat(), 2).contains("--layers"));
    assert!(fails(w, &[&FORKS[..], &["-o", "x.txt"]].concat(), 2).contains(".csv"));
    assert!(fails(w, &["forks", "hello", "--layers", "--engine", "http://127.0.0.1:9"], 2).contains("-m"));
}

#[test]
fn layers_of_a_runs_nodes_are_those_of_their_texts() {
    let folder = workplace();
    let w = folder.path();
    ok(w, &["tree", "hello world", "-m", "model", "--max-depth", "3", "-o", "r.run.jsonl"]);
    let found = json(w, &["layers", "r.run.jsonl", "--node", "0", "--watch", "l"]);
    let next = json(w, &["next", "hello world", "-m", "model", "--layers", "--watch", "l"]);
    let (at, alone) = (&found["nodes"][0], &next["prompts"][0]["layers"]);
    assert_eq!((&at["node"], &at["text"], &at["prob"]), (&0.into(), &"".into(), &1.0.into()));
    assert_eq!(at["layers"]["decided"], alone["decided"]);
    // The tree's tokens are there, and so are those of `next`.
    let csv = ok(w, &["export", "r.run.jsonl", "--to", "csv"]);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let head = rows.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|h| h == name).unwrap();
    let nodes: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let id = |text: &str| Value::from(text.parse::<u64>().unwrap());
    for node in nodes.iter().filter(|n| &n[column("parent")] == "0") {
        let last = numbers(&at["layers"], &id(&node[column("token_id")])).pop().unwrap();
        assert_eq!(f(&last["logprob"]), node[column("logprob")].parse::<f64>().unwrap());
    }
    for token in alone["tokens"].as_array().unwrap() {
        assert_eq!(numbers(&at["layers"], &token["id"]), numbers(alone, &token["id"]));
    }

    // Without --node: the nodes of the most likely path, each before the token that comes after it.
    let path = json(w, &["layers", "r.run.jsonl"]);
    let shown = json(w, &["show", "r.run.jsonl", "--paths", "1"]);
    let along = path["nodes"].as_array().unwrap();
    assert_eq!(along.len() as u64, shown["paths"][0]["depth"].as_u64().unwrap());
    let mut logprob = 0.0;
    for (i, at) in along.iter().enumerate() {
        let next = along.get(i + 1).map_or(shown["paths"][0]["node"].clone(), |n| n["node"].clone());
        let node = nodes.iter().find(|n| next == n[column("node")].parse::<u64>().unwrap()).unwrap();
        assert_eq!(id(&node[column("parent")]), at["node"]);
        logprob += f(&numbers(&at["layers"], &id(&node[column("token_id")])).pop().unwrap()["logprob"]);
    }
    assert!((logprob - f(&shown["paths"][0]["logprob"])).abs() < 1e-9);
    let text = ok(w, &["layers", "r.run.jsonl"]);
    assert_eq!(text.lines().filter(|l| l.contains("layer ")).count(), along.len() + 1, "{text}");
    let text = ok(w, &["layers", "r.run.jsonl", "--node", "1", "--node", "0"]);
    assert!(text.find("after node 1").unwrap() < text.find("after node 0").unwrap(), "{text}");
    let written = ok(w, &["layers", "r.run.jsonl", "--node", "1", "-o", "-"]);
    assert!(written.starts_with("place,layer,token_id") && written.lines().nth(1).unwrap().starts_with("1,0,"));

    assert!(fails(w, &["layers", "r.run.jsonl", "--node", "99999"], 1).contains("has no node 99999"));
    assert!(fails(w, &["layers", "r.run.jsonl", "-o", "x.json"], 2).contains(".csv"));
    ok(w, &["export", "r.run.jsonl", "--to", "tree-json", "-o", "tree.json"]);
    assert!(fails(w, &["layers", "tree.json"], 1).contains("does not say which model"));
    let of_server = std::fs::read_to_string(w.join("r.run.jsonl")).unwrap();
    let (header, rest) = of_server.split_once('\n').unwrap();
    let mut header: Value = serde_json::from_str(header).unwrap();
    header["model"]["architecture"] = "remote".into();
    let of_server = format!("{header}\n{rest}");
    std::fs::write(w.join("server.run.jsonl"), of_server).unwrap();
    assert!(fails(w, &["layers", "server.run.jsonl"], 1).contains("made with servers"));
}
