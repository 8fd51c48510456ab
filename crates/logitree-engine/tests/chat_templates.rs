//! Chat templates as transformers renders them, in numbers: `fixtures/tokenizers/jinja.json` has short templates, one for
//! each thing that a template may do. `LOGITREE_TEST_TEMPLATES` may name more such files, with published templates;
//! `fixtures/tokenizers/make_jinja_goldens.py` makes them.

use logitree_engine::chat::{ChatError, ChatTemplate, Message};
use serde_json::Value;
use std::path::Path;

/// Renders every case of a file; returns what differs.
fn differing(path: &Path) -> (usize, usize, Vec<String>) {
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let (mut refused, mut wrong) = (0, Vec::new());
    for case in cases {
        // A golden file with many cases of one conversation has it once.
        let field = |name: &str| case.get(name).unwrap_or(&file[name]);
        let messages = field("messages").as_array().unwrap().iter();
        let text = |m: &Value, name: &str| m[name].as_str().unwrap().to_owned();
        let messages: Vec<Message> = messages.map(|m| Message::new(text(m, "role"), text(m, "content"))).collect();
        let arguments = case.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
        let generate = case.get("generate").is_some_and(|g| g == true);
        let source = case["template"].as_str().unwrap();
        let found = ChatTemplate::new(source, Some("<bos>"), Some("<eos>"))
            .and_then(|template| template.render(&messages, &arguments, generate));
        let name = case.get("name").and_then(Value::as_str).unwrap_or(source);
        match (found, case.get("text").and_then(Value::as_str)) {
            (Ok(found), Some(expected)) if found.text == expected => {}
            // What Jinja2 refuses is refused.
            (Err(_), None) => {}
            // What is not supported is said.
            (Err(ChatError::Failed(e) | ChatError::Syntax(e)), Some(_)) if e.contains("not supported") => refused += 1,
            (found, expected) => {
                let found = found.map(|r| r.text).map_err(|e| e.to_string());
                wrong.push(format!("{name}\n   expected {expected:?} {:?}\n   found    {found:?}", case.get("error")));
            }
        }
    }
    (cases.len(), refused, wrong)
}

#[test]
fn short_templates() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tokenizers/jinja.json");
    let (cases, refused, wrong) = differing(Path::new(path));
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 100 && refused * 20 < cases, "{refused} of {cases} refused");
}

#[test]
fn templates_named_by_the_environment() {
    let Some(files) = std::env::var_os("LOGITREE_TEST_TEMPLATES") else { return };
    for path in std::env::split_paths(&files) {
        let (cases, refused, wrong) = differing(&path);
        let shown: Vec<&String> = wrong.iter().take(400).collect();
        println!("{}: {cases} cases, {refused} refused, {} differ", path.display(), wrong.len());
        assert!(wrong.is_empty(), "{shown:#?}");
    }
}
