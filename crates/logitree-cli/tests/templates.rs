//! Chat templates: the variables that they are given, and templates that would stop a program.

mod common;

use common::server::Server;
use common::{fails, ok, workplace};
use serde_json::{Value, json};
use std::path::Path;

fn with_template(template: &str) -> tempfile::TempDir {
    let w = workplace();
    std::fs::write(w.path().join("model/chat_template.jinja"), template).unwrap();
    w
}

/// What a run file's prompt was rendered to.
fn rendered_in(folder: &Path, file: &str) -> String {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let tokens = header["prompt"]["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|t| t["text"].as_str().unwrap()).collect();
    text.trim_start_matches("<bos>").into()
}

/// Says what it was given: a switch, a name that is not defined unless it is given.
const TEMPLATE: &str = "{% if loud %}a{% else %}b{% endif %} {{ name | default('c') }} {{ messages[0].content }}";

#[test]
fn templates_get_their_variables_from_the_command_line() {
    let w = with_template(TEMPLATE);
    let w = w.path();
    for (i, (args, rendered)) in [
        (&[][..], "b c hi"),
        (&["--template-arg=loud=true"], "a c hi"),
        (&["--template-arg=loud=false", "--template-arg=name=cat"], "b cat hi"),
        // What is no JSON is a text.
        (&["--template-arg", "name=the cat=x"], "b the cat=x hi"),
        (&["--template-arg", "loud=[]"], "b c hi"),
        (&["--template-arg", "name=3"], "b 3 hi"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("{i}.run.jsonl");
        let begin = ["tree", "hi", "--chat", "-m=model", "--max-nodes=2", "-o", &file];
        ok(w, &[&begin[..], args].concat());
        assert_eq!(rendered_in(w, &file), rendered, "{args:?}");
    }
    fails(w, &["tree", "hi", "-m=model", "--template-arg=loud=true"], 2);
    let said = fails(w, &["tree", "hi", "--chat", "-m=model", "--template-arg=messages=1"], 2);
    assert!(said.contains("messages"), "{said}");
    let said = fails(w, &["tree", "hi", "--chat", "-m=model", "--template-arg=loud"], 2);
    assert!(said.contains("NAME=VALUE"), "{said}");
}

#[test]
fn templates_get_their_variables_over_http() {
    let w = with_template(TEMPLATE);
    let server = Server::start(w.path(), &[]);
    let messages = json!([{ "role": "user", "content": "hi" }]);
    for (arguments, rendered) in
        [(json!({}), "b c hi"), (json!({ "loud": true }), "a c hi"), (json!({ "loud": 0, "name": "cat" }), "b cat hi")]
    {
        let body = json!({ "messages": messages, "chat_template_kwargs": arguments });
        let (status, asked) = server.ask("POST", "/tokenize", Some(body.clone()));
        assert_eq!(status, 200, "{asked}");
        let (_, text) = server.ask("POST", "/detokenize", Some(json!({ "tokens": asked["tokens"] })));
        assert_eq!(text["prompt"], format!("<bos>{rendered}"), "{arguments}");
        let more = json!({ "messages": messages, "chat_template_kwargs": arguments, "max_tokens": 1 });
        let (status, answer) = server.ask("POST", "/v1/chat/completions", Some(more));
        assert_eq!((status, &answer["usage"]["prompt_tokens"]), (200, &asked["count"]), "{answer}");
        let (status, shown) = server.call("POST", "/tokenize", Some(body));
        assert_eq!((status, shown.as_array().map(|t| json!(t.len()))), (200, Some(asked["count"].clone())), "{shown}");
    }
    let wrong = json!({ "messages": messages, "chat_template_kwargs": { "messages": 1 } });
    let (status, answer) = server.ask("POST", "/v1/chat/completions", Some(wrong));
    assert!(status == 400 && answer["error"]["param"] == "chat_template_kwargs", "{status} {answer}");
}

#[test]
fn a_hostile_template_ends_nothing_but_its_own_request() {
    let double = "{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    for template in [
        &format!("{double}{{{{ ns.x }}}}"),
        &format!("{{{{ a{} }}}}", ".a".repeat(30_000)),
        &format!("{{{{ {}1 }}}}", "-".repeat(30_000)),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{{ '%10000000000d' % 1 }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    ] {
        let w = with_template(template);
        let mut server = Server::start(w.path(), &[]);
        let what = template.get(..40).unwrap_or(template);
        server.get("/server");
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 1 });
        let (status, answer) = server.ask("POST", "/v1/chat/completions", Some(body));
        assert_eq!(status, 400, "{what}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("chat template"), "{what}: {answer}");
        let plain = json!({ "prompt": "hi", "max_tokens": 1 });
        assert_eq!(server.ask("POST", "/v1/completions", Some(plain)).0, 200, "{what}");
        assert!(server.child.try_wait().unwrap().is_none(), "{what}");
    }
}
