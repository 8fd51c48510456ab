use super::*;
use std::time::{Duration, UNIX_EPOCH};

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn render(source: &str, messages: &[Message]) -> Result<String, ChatError> {
    ChatTemplate::new(source, Some("<bos>"), None).and_then(|t| t.render(messages, false))
}

/// Every case of `fixtures/tokenizers/chat.json`, made by transformers.
#[test]
fn templates_render_as_in_transformers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tokenizers/chat.json");
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let source = golden["templates"][case["template"].as_str().unwrap()].as_str().unwrap();
        let chat = golden["chats"][case["chat"].as_str().unwrap()].as_array().unwrap();
        let field = |m: &serde_json::Value, name: &str| m[name].as_str().unwrap().to_owned();
        let messages: Vec<Message> = chat.iter().map(|m| message(&field(m, "role"), &field(m, "content"))).collect();
        let template = ChatTemplate::new(source, Some("<bos>"), Some("<eos>")).unwrap();
        let found = template.render(&messages, case["generate"].as_bool().unwrap());
        match case["text"].as_str() {
            Some(expected) => assert_eq!(found.unwrap(), expected, "{} {}", case["template"], case["chat"]),
            None => {
                let Err(ChatError::Rejected(found)) = found else { panic!("not refused: {case}") };
                assert_eq!(found, case["error"].as_str().unwrap());
            }
        }
    }
    assert!(cases.len() >= 90);
}

#[test]
fn the_date_is_the_given_one() {
    let template = ChatTemplate::new("{{ strftime_now('%d %b %Y') }}", None, None).unwrap();
    let leap_day = UNIX_EPOCH + Duration::from_secs(1_709_211_599);
    assert_eq!(template.render_at(&[], false, leap_day).unwrap(), "29 Feb 2024");
}

#[test]
fn what_a_model_lacks_is_empty_or_said() {
    let messages = [message("user", "a")];
    assert_eq!(render("{{ bos_token }}[{{ eos_token }}]", &messages).unwrap(), "<bos>[]");
    let error = ChatTemplate::of_model(None, "base.gguf", None, None).unwrap_err().to_string();
    assert!(error.starts_with("base.gguf has no chat template") && error.contains("plain prompt"), "{error}");
}

#[test]
fn errors_say_where() {
    let error = render("a\n{% if %}", &[]).unwrap_err();
    assert!(matches!(&error, ChatError::Syntax(e) if e.contains("line 2")), "{error}");
    let error = render("a\n{{ messages[0].role.nonsense() }}", &[message("user", "a")]).unwrap_err();
    assert!(matches!(&error, ChatError::Failed(e) if e.contains("line 2")), "{error}");
    let error = render("{{ raise_exception('no ' ~ messages[0].role) }}", &[message("critic", "a")]).unwrap_err();
    assert!(matches!(&error, ChatError::Rejected(e) if e == "no critic"), "{error}");
}

#[test]
fn an_exception_within_a_macro_is_still_a_refusal() {
    let source = "{% macro f() %}{{ raise_exception('inner') }}{% endmacro %}{{ f() }}";
    assert!(matches!(render(source, &[]), Err(ChatError::Rejected(e)) if e == "inner"));
}

#[test]
fn hostile_templates_are_stopped() {
    let nested = "{% for a in range(100000) %}".repeat(3) + "{% set x = a %}" + &"{% endfor %}".repeat(3);
    assert!(matches!(render(&nested, &[]), Err(ChatError::Stopped(e)) if e.contains("steps")));
    let endless = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(matches!(render(endless, &[]), Err(ChatError::Failed(_) | ChatError::Stopped(_))));
    let loud = "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}";
    assert!(matches!(render(loud, &[]), Err(ChatError::Stopped(e)) if e.contains("wrote")));
    let deep = "{{ ".to_owned() + &"(".repeat(100_000) + "1" + &")".repeat(100_000) + " }}";
    assert!(matches!(render(&deep, &[]), Err(ChatError::Syntax(_))));
    let long = "x".repeat(2 << 20);
    assert!(matches!(render(&long, &[]), Err(ChatError::Syntax(e)) if e.contains("bytes")));
    // The messages themselves may be as long as they like.
    let message = [message("user", &"x".repeat(3 << 20))];
    assert_eq!(render("{{ messages[0].content }}", &message).unwrap().len(), 3 << 20);
}

#[test]
fn folders() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let render = || ChatTemplate::from_folder(dir.path()).map(|t| t.render(&[], true).unwrap());

    assert!(matches!(render(), Err(ChatError::Missing { .. })));
    write("chat_template.json", r#"{"chat_template": "processor"}"#);
    assert_eq!(render().unwrap(), "processor");
    write("tokenizer_config.json", r#"{"bos_token": {"content": "<b>"}, "chat_template": "{{ bos_token }} config"}"#);
    assert_eq!(render().unwrap(), "<b> config");
    let named = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    write("tokenizer_config.json", named);
    assert_eq!(render().unwrap(), "d");
    write("tokenizer_config.json", r#"{"chat_template": [{"name": "rag", "template": "r"}]}"#);
    let error = render().unwrap_err().to_string();
    assert!(
        error.contains("tokenizer_config.json: chat_template: no template is named `default`, only: rag"),
        "{error}"
    );
    write("tokenizer_config.json", r#"{"chat_template": 3}"#);
    assert!(render().unwrap_err().to_string().contains("neither a string nor a list"));
    write("tokenizer_config.json", r#"{"eos_token": "<e>"}"#);
    write("chat_template.jinja", "{{ eos_token }} jinja");
    assert_eq!(render().unwrap(), "<e> jinja");
}
