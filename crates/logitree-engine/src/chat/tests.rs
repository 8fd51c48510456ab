use super::*;

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn render(source: &str, messages: &[Message]) -> Result<String, ChatError> {
    let template = ChatTemplate::new(source, Some("<bos>"), None)?;
    Ok(template.render(messages, &Arguments::new(), false)?.text)
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
        let found = template.render(&messages, &Arguments::new(), case["generate"].as_bool().unwrap()).map(|r| r.text);
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
fn the_date_can_be_pinned_and_is_told() {
    let template = ChatTemplate::new("{{ strftime_now('%d %b %Y %H:%M') }}", None, None).unwrap();
    let pinned = |date: &str| Arguments::from_iter([(DATE.to_owned(), date.into())]);
    let at = |date: &str| template.render(&[], &pinned(date), false).unwrap().text;
    assert_eq!(at("2024-02-29"), "29 Feb 2024 00:00");
    assert_eq!(at("2024-02-29T12:59:59"), "29 Feb 2024 12:59");
    assert_eq!(at("9999-12-31"), "31 Dec 9999 00:00");
    // The arguments that are returned give the same text again.
    let first = template.render(&[], &Arguments::new(), false).unwrap();
    let again = template.render(&[], &first.arguments, false).unwrap();
    assert_eq!((&again.text, &again.arguments), (&first.text, &first.arguments));
    assert!(first.arguments.contains_key(DATE));
    for bad in ["2024-02-30", "2024-2-3", "yesterday", "1969-12-31", "2024-01-01T24:00:00", ""] {
        let error = template.render(&[], &pinned(bad), false).unwrap_err();
        assert!(matches!(error, ChatError::Argument { .. }), "{bad}: {error}");
    }
    // No date is returned for a template that does not ask for it.
    let plain = ChatTemplate::new("{{ strftime_now is defined }}", None, None).unwrap();
    let plain = plain.render(&[], &Arguments::new(), false).unwrap();
    assert_eq!((plain.text.as_str(), plain.arguments.len()), ("True", 0));
}

#[test]
fn arguments_are_variables() {
    let source = "{{ enable_thinking is false }} {{ reasoning_effort }} {{ tools | length }} {{ messages | length }}";
    let template = ChatTemplate::new(source, None, None).unwrap();
    let arguments = serde_json::json!({"enable_thinking": false, "reasoning_effort": "low", "tools": [1]});
    let rendered = template.render(&[message("user", "a")], arguments.as_object().unwrap(), false).unwrap();
    assert_eq!(rendered.text, "True low 1 1");
    assert_eq!(Value::Object(rendered.arguments), arguments);
    let taken = Arguments::from_iter([("messages".to_owned(), Value::Null)]);
    assert!(matches!(template.render(&[], &taken, false), Err(ChatError::Argument { name, .. }) if name == "messages"));
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
fn the_messages_may_be_as_long_as_they_like() {
    let message = [message("user", &"x".repeat(3 << 20))];
    assert_eq!(render("{{ messages[0].content }}", &message).unwrap().len(), 3 << 20);
}

#[test]
fn folders() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let render = || ChatTemplate::from_folder(dir.path()).map(|t| t.render(&[], &Arguments::new(), true).unwrap().text);

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
