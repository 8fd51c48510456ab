//! The server over real sockets: access, runs, events, clicks, kill -9.

mod common;

use common::server::Server;
use common::{ok, workplace};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn tree(max_depth: usize) -> Value {
    json!({ "prompt": "hello", "parameters": { "max_depth": max_depth, "min_branch_threshold": 0.01,
        "max_branch_threshold": 0.05, "max_completed_paths": 100_000 } })
}

fn is_over(status: &Value) -> bool {
    status["state"] == "finished"
}

#[test]
fn only_the_holder_of_the_token_gets_in() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let host = ("Host", s.address.as_str());
    let bearer = format!("Bearer {}", s.token);
    let known = ("Authorization", bearer.as_str());
    let status = |path: &str, headers: &[(&str, &str)]| s.raw("GET", path, headers, b"").0;
    for path in ["/", "/app.js", "/api/v1/runs", "/api/v1/openapi.json", "/api/v1/nothing"] {
        assert_eq!(status(path, &[host]), 401, "{path}");
        assert_eq!(status(path, &[host, ("Authorization", "Bearer 0")]), 401, "{path}");
    }
    assert_eq!(status("/?token=0123456789abcdef0123456789abcdef", &[host]), 401);
    assert_eq!(status("/api/v1/runs", &[host, known]), 200);
    // Names of schemes and hosts have no case.
    for scheme in ["bearer", "BEARER", "Bearer "] {
        assert_eq!(status("/api/v1/runs", &[host, ("Authorization", &format!("{scheme} {}", s.token))]), 200);
    }
    let port = s.address.rsplit_once(':').unwrap().1;
    for name in ["LOCALHOST", "localhost", "LocalHost"] {
        assert_eq!(status("/api/v1/runs", &[("Host", &format!("{name}:{port}")), known]), 200);
    }
    assert_eq!(status("/api/v1/runs", &[("Host", "evil.example"), known]), 421);
    assert_eq!(status("/api/v1/runs", &[host, known, ("Origin", "http://evil.example")]), 403);
    assert_eq!(status("/api/v1/runs", &[host, known, ("Origin", &format!("http://{}", s.address))]), 200);
    // A person is told what to do, a program gets a problem; what is put into the form is as good as the link.
    let (code, head, page) = s.raw("GET", "/", &[host, ("Accept", "text/html,*/*;q=0.8")], b"");
    let page = String::from_utf8(page).unwrap();
    assert!(code == 401 && head.contains("content-type: text/html") && head.contains("form-action 'self'"), "{head}");
    assert!(page.contains("logitree serve") && page.contains("name=token") && !page.contains(&s.token), "{page}");
    let (_, head, _) = s.raw("GET", "/api/v1/runs", &[host, ("Accept", "text/html")], b"");
    assert!(head.contains("application/problem+json") && head.contains("form-action 'none'"), "{head}");
    // The link gives a cookie, which is enough from then on.
    let (code, head, _) = s.raw("GET", &format!("/?token={}", s.token), &[host], b"");
    assert_eq!(code, 303);
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(status("/api/v1/runs", &[host, ("Cookie", pair)]), 200);
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "referrer-policy"]
    {
        assert!(head.contains(header), "{head}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(w.path().join("runs/token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read the token");
        let mode = std::fs::metadata(w.path().join("runs")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read the runs");
    }
}

#[test]
fn other_machines_are_let_in_only_on_purpose() {
    let w = workplace();
    let text = common::fails(w.path(), &["serve", "-m", "model", "--host", "0.0.0.0"], 2);
    assert!(text.contains("--allow-remote"), "{text}");
}

#[test]
fn a_run_gives_the_same_tree_as_the_command_line_and_its_events_replay() {
    let w = workplace();
    let w = w.path();
    let s = Server::start(w, &[]);
    let id = s.begin(tree(7));
    let length = s.wait(&id, is_over)["status"]["length"].as_u64().unwrap();
    let file = std::fs::read_to_string(w.join(format!("runs/{id}.run.jsonl"))).unwrap();
    assert_eq!(file.len() as u64, length);
    assert_eq!(s.lines(&id, 0, length), file);
    let middle = file.find("\n{\"type\":\"expand\"").unwrap() as u64 + 1;
    assert_eq!(s.lines(&id, middle, length), file[middle as usize..]);
    #[rustfmt::skip]
    ok(w, &["tree", "hello", "-m", "model", "--max-depth=7", "--min-branch-threshold=0.01", "--max-branch-threshold=0.05",
        "--max-completed-paths=100000", "-o", "cli.run.jsonl"]);
    let export = |file: &str| ok(w, &["export", file, "--to", "csv"]);
    assert_eq!(export(&format!("runs/{id}.run.jsonl")), export("cli.run.jsonl"));
    for format in ["tree-json", "jsonl", "csv", "parquet", "dot", "graphml", "mermaid", "text"] {
        let (status, problem) = s.call("GET", &format!("/runs/{id}/export/{format}"), None);
        // Records are of complete paths, and this run has none.
        if format == "jsonl" {
            let why = problem["detail"].as_str().unwrap();
            assert!(status == 409 && why.contains("no path is complete"), "{status} {why}");
        } else {
            assert_eq!(status, 200, "{format}");
        }
    }
}

#[test]
fn a_click_goes_on_where_the_model_did_not() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let id = s.begin(tree(3));
    s.wait(&id, is_over);
    let page = s.get(&format!("/runs/{id}/nodes/1/distribution?limit=1000"));
    let total: f64 = page["tokens"].as_array().unwrap().iter().map(|t| t["logprob"].as_f64().unwrap().exp()).sum();
    assert!(page["total"].as_u64().unwrap() > 1000 || (total - 1.0).abs() < 1e-6, "{total}");
    let unlikely = page["tokens"].as_array().unwrap().last().unwrap()["id"].as_u64().unwrap();
    let before = s.get(&format!("/runs/{id}"))["status"]["nodes"].as_u64().unwrap();
    let (status, made) =
        s.call("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [1], "token": unlikely, "steps": 4 })));
    assert_eq!((status, made["nodes"][0].as_u64()), (200, Some(before)), "{made}");
    s.wait(&id, |s| s["nodes"].as_u64() >= Some(before + 2));
    // The same click again makes nothing new.
    let (_, again) =
        s.call("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [1], "token": unlikely, "steps": 0 })));
    assert_eq!(again["nodes"][0].as_u64(), Some(before));
    // A finished run stays finished, here and after a restart.
    let mut s = s;
    s.child.kill().unwrap();
    s.child.wait().unwrap();
    let s = Server::start(w.path(), &[]);
    assert_eq!(s.get(&format!("/runs/{id}"))["status"]["state"], "finished");
    // Every number of what was added holds on the model.
    drop(s);
    ok(w.path(), &["verify", &format!("runs/{id}.run.jsonl"), "-m", "model"]);
}

#[test]
fn layers_of_a_node_are_those_of_the_command_line() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    assert_eq!(s.get("/server")["model"]["local"], true);
    let id = s.begin(tree(3));
    s.wait(&id, is_over);
    let found = s.get(&format!("/runs/{id}/nodes/0/layers?token=7"));
    let told = common::json(w.path(), &["next", "hello", "-m", "model", "--layers"]);
    let told = &told["prompts"][0]["layers"];
    assert_eq!(found["decided"], told["decided"]);
    let layers = found["layers"].as_array().unwrap();
    assert_eq!(layers.len(), told["layers"].as_array().unwrap().len());
    for (a, b) in layers.iter().zip(told["layers"].as_array().unwrap()) {
        assert_eq!((&a["best"]["id"], &a["logprob"]), (&b["best"]["id"], &b["best"]["logprob"]));
        // The two most likely tokens, then the one that was asked for.
        assert_eq!(a["tokens"][0], b["tokens"][0]);
        assert_eq!(a["tokens"][1], b["tokens"][1]);
        assert_eq!(a["tokens"].as_array().unwrap().len(), 3);
    }
    assert_eq!(found["tokens"][2]["id"], 7);
    // After a node, and of a token that is among the likeliest, which is not told twice.
    let below = s.get(&format!("/runs/{id}/nodes/1/layers"));
    let best = below["tokens"][0]["id"].as_u64().unwrap();
    let page = s.get(&format!("/runs/{id}/nodes/1/distribution?limit=1"));
    assert_eq!(page["tokens"][0]["id"], best);
    let again = s.get(&format!("/runs/{id}/nodes/1/layers?token={best}"));
    assert_eq!(again, below);
}

#[test]
fn paused_runs_resume_and_clicks_between_do_not_change_the_strategys_tree() {
    let w = workplace();
    let w = w.path();
    let s = Server::start(w, &[]);
    let id = s.begin(tree(9));
    s.wait(&id, |s| s["nodes"].as_u64() > Some(20));
    let (status, _) = s.call("POST", &format!("/runs/{id}/pause"), None);
    assert!(status == 200 || status == 409);
    s.wait(&id, |s| s["state"] == "paused" || is_over(s));
    let (status, text) = s.call("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [5, 9], "steps": 5 })));
    assert_eq!(status, 200, "{text}");
    s.call("POST", &format!("/runs/{id}/resume"), None);
    s.wait(&id, is_over);
    let reference = s.begin(tree(9));
    s.wait(&reference, is_over);
    let own = |id: &str| {
        let text = std::fs::read_to_string(w.join(format!("runs/{id}.run.jsonl"))).unwrap();
        let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        let expanded = lines.filter(|l| l["type"] == "expand" && l["by"].is_null());
        expanded.map(|l| (l["threshold"].clone(), l["queue"].clone(), l["entropy"].clone())).collect::<Vec<_>>()
    };
    assert!(own(&id) == own(&reference));
}

#[cfg(unix)]
#[test]
fn runs_survive_a_killed_server() {
    let w = workplace();
    let w = w.path();
    let mut s = Server::start(w, &[]);
    let id = s.begin(tree(11));
    s.wait(&id, |s| s["nodes"].as_u64() > Some(50));
    s.child.kill().unwrap();
    s.child.wait().unwrap();
    let token = s.token.clone();
    let s = Server::start(w, &[]);
    assert_eq!(s.token, token, "an open page finds the server again");
    let info = s.get(&format!("/runs/{id}"));
    assert_eq!(info["status"]["state"], "interrupted", "{info}");
    assert_eq!(s.call("POST", &format!("/runs/{id}/resume"), None).0, 200);
    s.wait(&id, is_over);
    let whole = s.begin(tree(11));
    s.wait(&whole, is_over);
    let export = |id: &str| ok(w, &["export", &format!("runs/{id}.run.jsonl"), "--to", "csv"]);
    assert!(export(&id) == export(&whole));
}

#[test]
fn fifty_clients_of_a_growing_run_all_get_the_whole_file_in_order() {
    let w = workplace();
    let w = w.path();
    let s = Server::start(w, &[]);
    let mut request = tree(200);
    request["max_nodes"] = json!(5000);
    let id = s.begin(request);
    let lines: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(|| s.lines_to_the_end(&id))).collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    let file = std::fs::read_to_string(w.join(format!("runs/{id}.run.jsonl"))).unwrap();
    assert!(s.get(&format!("/runs/{id}"))["status"]["nodes"].as_u64() >= Some(5000));
    assert!(lines.iter().all(|l| *l == file), "a client lost or reordered lines");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_in_order_whoever_listens_and_its_budget_holds_when_it_is_resumed() {
    let w = workplace();
    let w = w.path();
    let mut s = Server::start(w, &[]);
    let mut request = tree(200);
    request["max_nodes"] = json!(3000);
    let id = s.begin(request);
    s.wait(&id, |s| s["nodes"].as_u64() > Some(50));
    // A client that asks for events and then neither reads nor hangs up.
    let mut idle = TcpStream::connect(&s.address).unwrap();
    let head = format!(
        "GET /api/v1/runs/{id}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        s.address, s.token
    );
    idle.write_all(head.as_bytes()).unwrap();
    std::process::Command::new("kill").args(["-INT", &s.child.id().to_string()]).status().unwrap();
    assert_eq!(s.child.wait().unwrap().code(), Some(130));
    let file = std::fs::read_to_string(w.join(format!("runs/{id}.run.jsonl"))).unwrap();
    let last: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["reason"]), (&json!("end"), &json!("interrupted")));
    drop(idle);
    let s = Server::start(w, &[]);
    assert_eq!(s.call("POST", &format!("/runs/{id}/resume"), None).0, 200);
    let info = s.wait(&id, is_over);
    assert!((3000..3300).contains(&info["status"]["nodes"].as_u64().unwrap()), "{info}");
}

#[test]
fn bad_requests_are_told_and_nothing_outside_the_folder_can_be_named() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    std::fs::write(w.path().join("secret.run.jsonl"), "secret").unwrap();
    let id = s.begin(tree(2));
    s.wait(&id, is_over);
    let refused = |method: &str, path: &str, body: Option<Value>, code: u16| {
        let (status, problem) = s.call(method, path, body);
        assert_eq!(status, code, "{method} {path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 5), "{method} {path}: {problem}");
    };
    for name in ["../secret", "..%2Fsecret", "%2e%2e%2fsecret", "nothing", "a%00b"] {
        refused("GET", &format!("/runs/{name}"), None, 404);
        refused("GET", &format!("/runs/{name}/content"), None, 404);
        refused("DELETE", &format!("/runs/{name}"), None, 404);
    }
    refused("POST", "/runs", Some(json!({ "prompt": "" })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "strategy": "luck" })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "parameters": { "max_dept": 3 } })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "parameters": { "max_depth": -3 } })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "parameters": { "min_branch_threshold": 2 } })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "max_nodes": 0 })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "watch": [""] })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "watch": vec!["a"; 65] })), 400);
    refused("POST", "/runs", Some(json!({ "prompt": "x", "watch": ["a".repeat(1025)] })), 400);
    // Errors speak of the request's fields, not of the command line's options.
    for (body, place) in [
        (json!({ "prompt": "x", "watch": ["a", ""] }), "`watch[1]`"),
        (json!({ "prompt": "" }), "`prompt`"),
        (json!({ "prompt": "a\0b" }), "`prompt`"),
        (json!({ "messages": [{ "role": "user", "content": "" }] }), "`messages[0].content`"),
    ] {
        let detail = s.call("POST", "/runs", Some(body)).1["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(place) && !detail.contains("--"), "{detail}");
    }
    refused("POST", "/runs", Some(json!({ "promt": "x" })), 422);
    refused("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [] })), 400);
    refused("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [99999] })), 400);
    refused("POST", &format!("/runs/{id}/expand"), Some(json!({ "nodes": [0], "token": 4_000_000_000u32 })), 400);
    refused("POST", &format!("/runs/{id}/pause"), None, 409);
    refused("GET", &format!("/runs/{id}/events?from=999999999"), None, 400);
    refused("GET", &format!("/runs/{id}/events?from=x"), None, 400);
    refused("GET", &format!("/runs/{id}/nodes/x/distribution"), None, 400);
    refused("GET", &format!("/runs/{id}/nodes/99999/layers"), None, 404);
    refused("GET", &format!("/runs/{id}/nodes/0/layers?token=4000000000"), None, 400);
    refused("GET", &format!("/runs/{id}/export/exe"), None, 404);
    refused("PUT", "/runs", None, 405);
    refused("PATCH", &format!("/runs/{id}"), Some(json!({ "name": " " })), 400);
    refused("POST", &format!("/runs/{id}/resume"), None, 409);
    refused("GET", "/runs/%ff", None, 400);
    refused("POST", "/tokenize", Some(json!({ "prompt": "x".repeat(5 << 20) })), 413);
    // On the command line a dash is standard input; here it is a dash.
    assert_eq!(s.call("POST", "/tokenize", Some(json!({ "prompt": "-" }))).0, 200);
    refused("GET", "/nothing", None, 404);
    for file in ["", "dear diary", "{\"type\":\"header\",\"format\":\"logitree-run\"", "{\"metadata\":"] {
        let bearer = format!("Bearer {}", s.token);
        let headers = [("Host", s.address.as_str()), ("Authorization", &bearer)];
        let (status, _, body) = s.raw("POST", "/api/v1/import?name=bad", &headers, file.as_bytes());
        assert_eq!(status, 422, "{file:?}: {}", String::from_utf8_lossy(&body));
    }
    // What was refused left nothing behind.
    assert_eq!(s.get("/runs").as_array().unwrap().len(), 1);
    let renamed = s.call("PATCH", &format!("/runs/{id}"), Some(json!({ "name": "<b>mine</b>" }))).1;
    assert_eq!(renamed["name"], "<b>mine</b>");
    let renamed = s.call("PATCH", &format!("/runs/{id}"), Some(json!({ "name": "a\u{1b}]0;b\u{7}\u{202e}c\n" }))).1;
    assert_eq!(renamed["name"], "a]0;bc");
    refused("PATCH", &format!("/runs/{id}"), Some(json!({ "name": "\u{1b}\u{202e}" })), 400);
    let copy = s.call("POST", &format!("/runs/{id}/duplicate"), None).1["id"].as_str().unwrap().to_string();
    assert_eq!(s.call("DELETE", &format!("/runs/{copy}"), None).0, 204);
    refused("GET", &format!("/runs/{copy}"), None, 404);
}

#[test]
fn the_document_describes_every_request() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let document = s.get("/openapi.json");
    let paths = document["paths"].as_object().unwrap();
    let mut known: Vec<String> = paths
        .iter()
        .flat_map(|(p, methods)| methods.as_object().unwrap().keys().map(move |m| format!("{m} {p}")))
        .collect();
    known.sort();
    check_requests(&known.join("\n"));
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["responses"].as_object().is_some_and(|r| r.len() >= 2), "{method} {path}");
        }
    }
}

/// What there is, so that a change of the API is seen in review.
fn check_requests(found: &str) {
    let expected = "\
delete /api/v1/runs/{id}
get /api/v1/models
get /api/v1/runs
get /api/v1/runs/{id}
get /api/v1/runs/{id}/content
get /api/v1/runs/{id}/events
get /api/v1/runs/{id}/export/{format}
get /api/v1/runs/{id}/nodes/{node}/compare
get /api/v1/runs/{id}/nodes/{node}/decide
get /api/v1/runs/{id}/nodes/{node}/distribution
get /api/v1/runs/{id}/nodes/{node}/layers
get /api/v1/server
get /tokenizer_info
get /v1/models
get /v1/models/{id}
patch /api/v1/runs/{id}
post /api/v1/import
post /api/v1/runs
post /api/v1/runs/{id}/duplicate
post /api/v1/runs/{id}/expand
post /api/v1/runs/{id}/pause
post /api/v1/runs/{id}/resume
post /api/v1/runs/{id}/stop
post /api/v1/tokenize
post /detokenize
post /tokenize
post /v1/chat/completions
post /v1/completions
put /api/v1/model";
    assert_eq!(found, expected);
}

#[test]
fn a_conversation_of_several_turns_is_a_prompt() {
    let folder = workplace();
    let server = Server::start(folder.path(), &[]);
    let say = |role: &str, content: &str| json!({ "role": role, "content": content });
    let turns = [say("system", "be brief"), say("user", "a"), say("assistant", "b"), say("user", "ab")];
    let (status, tokens) = server.call("POST", "/tokenize", Some(json!({ "messages": turns })));
    assert_eq!(status, 200, "{tokens}");
    let (_, fewer) = server.call("POST", "/tokenize", Some(json!({ "messages": turns[..2] })));
    assert!(fewer.as_array().unwrap().len() < tokens.as_array().unwrap().len());

    let id = server.begin(json!({ "messages": turns, "parameters": { "max_depth": 2 } }));
    let lines = server.lines_to_the_end(&id);
    let header: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&header["prompt"]["text"], &header["prompt"]["chat"]), (&json!("ab"), &json!(true)));
    assert_eq!(header["prompt"]["messages"], json!(turns));
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|t| t["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&header["prompt"]["tokens"]), ids(&tokens));

    for wrong in [
        json!({ "messages": turns[..3] }),
        json!({ "messages": [] }),
        json!({ "messages": turns, "prompt": "a" }),
        json!({}),
        json!({ "messages": [say("user", "")] }),
    ] {
        let (status, problem) = server.call("POST", "/tokenize", Some(wrong));
        assert_eq!(status, 400, "{problem}");
    }
}

#[test]
fn strangers_connections_make_room() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    // More than there may be, and none says what it wants; or says it without end.
    let silent: Vec<TcpStream> = (0..400)
        .map(|i| {
            let mut socket = TcpStream::connect(&s.address).unwrap();
            if i % 2 == 0 {
                socket.write_all(b"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nX-A: ").unwrap();
            }
            socket
        })
        .collect();
    assert_eq!(s.get("/runs"), json!([]));
    assert_eq!(s.get("/runs"), json!([]));
    // Those that are left are closed when their time is up: the read ends instead of waiting.
    let mut last = silent.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut rest = Vec::new();
    let ended = last.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), "{rest:?}");
}

#[test]
fn a_replaced_or_removed_model_changes_nothing() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let first = s.begin(tree(2));
    s.wait(&first, is_over);
    let weights = w.path().join("model/model.safetensors");
    let hash = |id: &str| {
        let (_, _, body) = s.raw(
            "GET",
            &format!("/api/v1/runs/{id}/content"),
            &[("Host", s.address.as_str()), ("Authorization", &format!("Bearer {}", s.token))],
            b"",
        );
        let line = body.split(|&b| b == b'\n').next().unwrap();
        serde_json::from_slice::<Value>(line).unwrap()["model"].clone()
    };
    // Another model's weights under the same name, as a download would put them there.
    std::fs::copy(common::fixtures().join("tiny/gemma2/model.safetensors"), w.path().join("new")).unwrap();
    std::fs::rename(w.path().join("new"), &weights).unwrap();
    let second = s.begin(tree(3));
    s.wait(&second, is_over);
    assert_eq!(hash(&first), hash(&second));
    std::fs::remove_dir_all(w.path().join("model")).unwrap();
    assert_eq!(s.get("/server")["model"]["name"], "model");
    let third = s.begin(tree(2));
    s.wait(&third, is_over);
    assert_eq!(hash(&first), hash(&third));
    // Clicks on the old run go on, too.
    assert_eq!(s.call("POST", &format!("/runs/{first}/expand"), Some(json!({ "nodes": [0], "steps": 2 }))).0, 200);
    // A file that cannot be read is not the client's fault.
    let mut files = std::fs::read_dir(w.path().join("runs")).unwrap().map(|e| e.unwrap().path());
    let file = files.find(|p| p.to_string_lossy().contains(&second)).unwrap();
    std::fs::remove_file(file).unwrap();
    let (status, problem) = s.call("GET", &format!("/runs/{second}/nodes/0/distribution"), None);
    assert_eq!(status, 500, "{problem}");
}

#[test]
fn carriage_returns_between_tokens_do_not_break_events() {
    let w = workplace();
    let s = Server::start(w.path(), &[]);
    let id = s.begin(tree(2));
    s.wait(&id, is_over);
    let bearer = format!("Bearer {}", s.token);
    let headers = [("Host", s.address.as_str()), ("Authorization", bearer.as_str())];
    let (_, _, content) = s.raw("GET", &format!("/api/v1/runs/{id}/content"), &headers, b"");
    let text = String::from_utf8(content).unwrap().replace(":{", ":\r{").replace("\n", "\r\n");
    let (status, _, info) = s.raw("POST", "/api/v1/import?name=cr", &headers, text.as_bytes());
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&info));
    let copy = serde_json::from_slice::<Value>(&info).unwrap()["id"].as_str().unwrap().to_owned();
    let types: Vec<String> = s
        .lines_to_the_end(&copy)
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((types[0].as_str(), types.last().unwrap().as_str()), ("header", "end"));
}

/// Puts a tiny model of another family into the folder `more/NAME`.
fn another_model(w: &std::path::Path, name: &str) {
    let folder = w.join("more").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for from in ["tiny/llama", "tiny/tokenizer"] {
        for entry in std::fs::read_dir(common::fixtures().join(from)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn another_model_takes_the_place_of_the_first_and_the_runs_stay() {
    let w = workplace();
    another_model(w.path(), "llama");
    another_model(w.path(), "broken");
    std::fs::write(w.path().join("more/broken/model.safetensors"), "no weights").unwrap();
    let s = Server::start(w.path(), &["--models", "more"]);
    let first = s.begin(tree(4));
    s.wait(&first, is_over);
    let before = s.get("/server");
    assert_eq!((&before["can_choose"], &before["loading"]), (&json!(true), &Value::Null));
    let models = s.get("/models");
    let names: Vec<&str> = models.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gemma-3-270m", "smollm2-135m", "more/broken", "more/llama"]);
    assert_eq!((&models[0]["here"], &models[3]["here"]), (&json!(false), &json!(true)));

    let load = |name: &str| {
        let asked = s.call("PUT", "/model", Some(json!({ "name": name })));
        assert_eq!(asked.0, 202, "{}", asked.1);
        loop {
            let server = s.get("/server");
            if server["loading"].is_null() || !server["loading"]["error"].is_null() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // A model that cannot be loaded, or fetched, leaves the first one in its place, and says why.
    for (name, why) in [("more/broken", "cannot load more/broken"), ("smollm2-135m", "offline")] {
        let server = load(name);
        let error = server["loading"]["error"].as_str().unwrap();
        assert!(error.to_lowercase().contains(why), "{error}");
        assert_eq!(server["model"], before["model"]);
    }
    assert_eq!(s.call("POST", &format!("/runs/{first}/expand"), Some(json!({ "nodes": [0], "steps": 1 }))).0, 200);
    s.wait(&first, |s| s["writing"] == 0);

    let paused = s.begin(tree(1000));
    assert_eq!(s.call("POST", &format!("/runs/{paused}/pause"), None).0, 200);
    s.wait(&paused, |s| s["state"] == "paused");

    let after = load("more/llama");
    assert_eq!(after["model"]["name"], "more/llama");
    // A paused run of the first model waits for it.
    let (status, problem) = s.call("POST", &format!("/runs/{paused}/resume"), None);
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("other weights"), "{status} {problem}");
    assert_eq!(s.get(&format!("/runs/{paused}"))["status"]["state"], "paused");
    assert_ne!(after["model"]["sha256"], before["model"]["sha256"]);
    let second = s.begin(tree(4));
    assert_eq!(s.wait(&second, is_over)["model"], "more/llama");
    // The first model's run is there to be read, and does not go on.
    let nodes = s.get(&format!("/runs/{first}"))["status"]["nodes"].clone();
    let (status, problem) = s.call("POST", &format!("/runs/{first}/expand"), Some(json!({ "nodes": [0], "steps": 1 })));
    assert!(status >= 400 && problem["detail"].as_str().unwrap().contains("model"), "{status} {problem}");
    assert_eq!(s.get(&format!("/runs/{first}"))["status"]["nodes"], nodes);
    let (status, list) = s.ask("GET", "/v1/models", None);
    assert_eq!((status, list["data"][0]["id"].as_str()), (200, Some("llama")));
    let body = json!({ "prompt": "hello", "max_tokens": 3, "model": "llama" });
    assert_eq!(s.ask("POST", "/v1/completions", Some(body)).0, 200);
}

#[test]
fn a_model_is_not_replaced_while_it_is_used_nor_by_one_that_is_not_in_the_list() {
    let w = workplace();
    another_model(w.path(), "llama");
    let s = Server::start(w.path(), &["--models", "more"]);
    for name in ["nothing", "more", "model", "../more/llama", ""] {
        let (status, problem) = s.call("PUT", "/model", Some(json!({ "name": name })));
        assert_eq!(status, 400, "{name} {problem}");
    }
    let id = s.begin(tree(60));
    let (status, problem) = s.call("PUT", "/model", Some(json!({ "name": "more/llama" })));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("stop it first"), "{status} {problem}");
    s.call("POST", &format!("/runs/{id}/stop"), None);
    s.wait(&id, |s| s["state"] != "running" && s["state"] != "queued");
    assert_eq!(s.call("PUT", "/model", Some(json!({ "name": "more/llama" }))).0, 202);
    // Without a folder there is nothing but the known models; a folder that is not there is told at once.
    let text = common::fails(w.path(), &["serve", "-m", "model", "--models", "nowhere"], 2);
    assert!(text.contains("--models nowhere: there is no such folder"), "{text}");
}

#[test]
fn servers_of_the_start_are_chosen_like_a_model_and_no_others_are_asked() {
    let (w, far) = (workplace(), workplace());
    another_model(w.path(), "llama");
    let engine = Server::start(far.path(), &[]);
    let url = format!("http://{}", engine.address);
    let mut child = common::logitree(
        w.path(),
        &[
            "serve",
            "--engine",
            &url,
            "--api-key-env",
            "KEY",
            "--tokenizer",
            "model",
            "--models",
            "more",
            "--data-dir",
            "r",
        ],
    )
    .env("KEY", &engine.token)
    .stdin(std::process::Stdio::null())
    .stdout(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    let mut link = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut link).unwrap();
    let (address, token) = link.trim().strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    let s = Server { child, address: address.into(), token: token.into() };
    let models = s.get("/models");
    let own = models.as_array().unwrap().iter().find(|m| m["engine"] == true).unwrap()["name"].clone();
    assert!(own.as_str().unwrap().ends_with(&format!(" at {url}")), "{own}");
    assert_eq!(s.get("/server")["model"]["local"], false);
    let load = |name: &str| {
        let asked = s.call("PUT", "/model", Some(json!({ "name": name })));
        assert_eq!(asked.0, 202, "{}", asked.1);
        loop {
            let server = s.get("/server");
            if server["loading"].is_null() || !server["loading"]["error"].is_null() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(load("more/llama")["model"]["local"], true);
    // An address that a client names is not asked, even if it is the one of the start.
    for name in [&url, "http://169.254.169.254/latest", "model at http://127.0.0.1:1"] {
        let (status, problem) = s.call("PUT", "/model", Some(json!({ "name": name })));
        assert_eq!(status, 400, "{name} {problem}");
    }
    let back = load(own.as_str().unwrap());
    assert_eq!((&back["model"]["local"], &back["loading"]), (&json!(false), &Value::Null));
    let id = s.begin(tree(2));
    s.wait(&id, is_over);
    // What a server does not tell is not promised.
    let (status, problem) = s.call("GET", &format!("/runs/{id}/nodes/0/layers"), None);
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("looks into a model"), "{status} {problem}");
    let (status, problem) = s.call("GET", &format!("/runs/{id}/nodes/1/compare?with={id}"), None);
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("behind a server"), "{status} {problem}");
}
