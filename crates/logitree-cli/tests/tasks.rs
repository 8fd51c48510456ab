//! Work of the server that takes long and comes as a stream: decision curves and comparisons, on a tiny model.

mod common;

use common::server::Server;
use common::{json as told, workplace};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A run along the most likely tokens.
fn greedy(s: &Server, prompt: &str, depth: usize) -> String {
    let id = s.begin(json!({ "prompt": prompt, "strategy": "beam", "parameters": { "width": 1, "max_depth": depth } }));
    s.wait(&id, |status| status["state"] == "finished");
    id
}

/// Asks for a stream and leaves it to be read; with the status.
fn open(s: &Server, path: &str) -> (u16, BufReader<TcpStream>) {
    let mut socket = TcpStream::connect(&s.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "GET /api/v1{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        s.address, s.token
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(socket);
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    (first.split(' ').nth(1).unwrap().parse().unwrap(), lines)
}

/// The events of a stream to its end.
fn events(s: &Server, path: &str) -> Vec<(String, Value)> {
    let (status, lines) = open(s, path);
    assert_eq!(status, 200, "{path}");
    let (mut kind, mut found) = (String::new(), Vec::new());
    for line in lines.lines().map_while(Result::ok) {
        if let Some(name) = line.strip_prefix("event: ") {
            kind = name.into();
        } else if let Some(data) = line.strip_prefix("data: ") {
            found.push((kind.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    found
}

fn only(events: &[(String, Value)], kind: &str) -> Vec<Value> {
    events.iter().filter(|(k, _)| k == kind).map(|(_, v)| v.clone()).collect()
}

#[test]
fn a_decision_curve_is_that_of_the_command_line() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let id = greedy(&s, "hello", 5);
    let found =
        events(&s, &format!("/runs/{id}/nodes/5/decide?pattern=%5Ba-m%5D&tolerance=0.05&max_depth=2&max_nodes=3000"));
    let args = ["decide", "hello", "-m", "model", "-n", "5", "--pattern", "[a-m]", "--tolerance", "0.05"];
    let want = told(w.path(), &[&args[..], &["--max-depth", "2", "--max-nodes", "3000"]].concat());
    let points = only(&found, "point");
    // From the last token to the prompt.
    let order: Vec<u64> = points.iter().map(|p| p["tokens"].as_u64().unwrap()).collect();
    assert_eq!(order, [5, 4, 3, 2, 1, 0]);
    for (point, want) in points.iter().rev().zip(want["points"].as_array().unwrap()) {
        for key in ["tokens", "answers", "no_answer", "undecided", "ended_by"] {
            assert_eq!(point[key], want[key], "{key} of {want}");
        }
    }
    let end = only(&found, "end");
    assert_eq!(end.len(), 1);
    assert_eq!(end[0]["decided"]["tokens"], want["decided"]["tokens"]);
    assert_eq!(end[0]["decided"]["answer"], want["decided"]["answer"]);
    assert_eq!(found.last().unwrap().0, "end");
}

#[test]
fn others_are_served_while_a_task_goes_on_and_it_ends_when_its_client_hangs_up() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let id = greedy(&s, "hello", 4);
    // No text decides it.
    let endless =
        format!("/runs/{id}/nodes/4/decide?pattern=zzzzzzzzzz%24&tolerance=0&max_depth=1000&max_nodes=1000000");
    let mut streams: Vec<_> = (0..4).map(|_| open(&s, &endless)).collect();
    assert!(streams.iter().all(|(status, _)| *status == 200));
    // All of them get on, and so does what others ask for.
    for (_, lines) in &mut streams {
        assert!(lines.lines().map_while(Result::ok).any(|l| l == "event: progress"));
    }
    assert!(s.get(&format!("/runs/{id}/nodes/0/layers"))["layers"].as_array().unwrap().len() > 1);
    greedy(&s, "hello world", 3);
    assert_eq!(open(&s, &endless).0, 429);
    drop(streams);
    let free = || (open(&s, &endless).0 == 200).then_some(());
    let freed = (0..2000).find_map(|_| free().or_else(|| (std::thread::sleep(Duration::from_millis(10)), None).1));
    assert!(freed.is_some(), "the places of those who hung up are free again");
}

#[test]
fn a_comparison_is_over_the_whole_vocabulary() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let (a, b) = (greedy(&s, "hello", 4), greedy(&s, "to be", 4));
    let compare = |a: &str, b: &str| {
        let found = events(&s, &format!("/runs/{a}/nodes/4/compare?with={b}"));
        let end = only(&found, "end").pop().unwrap_or_else(|| panic!("{found:?}"));
        end["steps"].as_array().unwrap().clone()
    };
    let f = |v: &Value| v.as_f64().unwrap();
    let steps = compare(&a, &b);
    assert_eq!(steps.len(), 4);
    // The first token, by hand: the distributions after both prompts.
    let whole = |id: &str| {
        let mut logprobs = std::collections::BTreeMap::new();
        loop {
            let page = s.get(&format!("/runs/{id}/nodes/0/distribution?limit=1000&offset={}", logprobs.len()));
            for t in page["tokens"].as_array().unwrap() {
                logprobs.insert(t["id"].as_u64().unwrap(), f(&t["logprob"]));
            }
            if logprobs.len() as u64 == page["total"].as_u64().unwrap() {
                return logprobs;
            }
        }
    };
    let (of_a, of_b) = (whole(&a), whole(&b));
    let kl = |p: &std::collections::BTreeMap<u64, f64>, q: &std::collections::BTreeMap<u64, f64>| -> f64 {
        p.iter().map(|(id, lp)| lp.exp() * (lp - q[id])).sum()
    };
    assert!((f(&steps[0]["kl_ab"]) - kl(&of_a, &of_b)).abs() < 1e-6, "{}", steps[0]);
    assert!((f(&steps[0]["kl_ba"]) - kl(&of_b, &of_a)).abs() < 1e-6, "{}", steps[0]);
    assert!(steps.iter().all(|s| f(&s["js"]) > 0.0 && f(&s["js"]) <= std::f64::consts::LN_2));
    // The path is the most likely one of A.
    assert!(steps.iter().all(|s| s["rank"][0] == 1 && s["rank"][1].as_u64() >= Some(1)));
    // A run is no other than itself.
    assert!(compare(&a, &a).iter().all(|s| f(&s["kl_ab"]) == 0.0 && f(&s["js"]) == 0.0));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let id = greedy(&s, "hello", 3);
    let node = format!("/runs/{id}/nodes/2");
    for (path, code, what) in [
        (format!("{node}/decide"), 400, "either `choices` or `pattern`"),
        (format!("{node}/decide?choices=a&pattern=b"), 400, "either `choices` or `pattern`"),
        (format!("{node}/decide?pattern=%28"), 400, "unclosed group"),
        (format!("{node}/decide?choices=a%7Ca"), 400, "choices"),
        (format!("{node}/decide?choices=a&tolerance=2"), 400, "`tolerance`"),
        (format!("{node}/decide?choices=a&max_nodes=0"), 400, "`max_nodes`"),
        (format!("{node}/decide?choices={}", "a".repeat(10_001)), 400, "10000 at most"),
        (format!("/runs/{id}/nodes/0/decide?choices=a"), 400, "no text"),
        (format!("/runs/{id}/nodes/999/decide?choices=a"), 404, "no node 999"),
        ("/runs/nothing/nodes/1/decide?choices=a".into(), 404, "no run"),
        (format!("{node}/compare"), 400, "with"),
        (format!("{node}/compare?with=nothing"), 404, "no run"),
        (format!("/runs/{id}/nodes/0/compare?with={id}"), 400, "no text"),
    ] {
        let (status, problem) = s.call("GET", &path, None);
        assert_eq!(status, code, "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(what)), "{path}: {problem}");
    }
}
