//! Tokenizers made of arbitrary metadata.

use logitree_core::TokenId;
use logitree_engine::tokenizer::{GgufVocabulary, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// All tokens' bytes joined.
fn bytes(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<u8> {
    ids.iter().flat_map(|&id| tokenizer.token_bytes(id).into_owned()).collect()
}

proptest! {
    /// Whatever the metadata says, there is an answer or an error, and no text is lost.
    #[test]
    fn vocabularies(
        entries in prop::collection::vec(("[ab▁ é<>]{0,4}|<0x[0-9A-F]{2}>", -3i8..3, 0i32..7), 0..24),
        merges in prop::collection::vec("[abé]{0,2} ?[abé]{0,2}", 0..6),
        text in "[abé ▁<>x]{0,24}",
        spm in any::<bool>(),
        parse_special in any::<bool>(),
        space in any::<bool>(),
    ) {
        let tokenizer = Tokenizer::from_gguf(GgufVocabulary {
            model: if spm { "llama" } else { "gpt2" },
            pre: Some("gpt-2"),
            tokens: entries.iter().map(|e| e.0.as_bytes()).collect(),
            scores: Some(entries.iter().map(|e| e.1.into()).collect()),
            types: Some(entries.iter().map(|e| e.2).collect()),
            merges: Some(merges.iter().map(String::as_str).collect()),
            add_space_prefix: Some(space),
            ..Default::default()
        });
        let Ok(t) = tokenizer else { return Ok(()) };
        let Ok(ids) = t.encode(&text, parse_special) else { return Ok(()) };
        prop_assert!(ids.iter().all(|id| id.index() < entries.len()));
        if ids.iter().any(|id| entries[id.index()].2 == 2) || spm && space {
            return Ok(());
        }
        let (found, text) = (bytes(&t, &ids), if spm { text.replace('▁', " ") } else { text });
        let found = if spm { String::from_utf8_lossy(&found).replace('▁', " ").into_bytes() } else { found };
        prop_assert_eq!(found, text.into_bytes());
    }
}

fn small_bytes() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tokenizers/small-bytes/tokenizer.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Loads a tokenizer.json and splits a text with it: what went wrong, or the number of tokens.
fn split(dir: &tempfile::TempDir, json: &[u8]) -> Result<usize, String> {
    std::fs::write(dir.path().join("tokenizer.json"), json).unwrap();
    let t = Tokenizer::from_folder(dir.path()).map_err(|e| e.to_string())?;
    t.encode("Hello a <|im_end|> caf\u{e9} 123\n", true).map(|ids| ids.len()).map_err(|e| e.to_string())
}

fn replace(kind: &str, from: &str, to: &str) -> Value {
    json!({"type": "Replace", "pattern": {kind: from}, "content": to})
}

fn sequence(steps: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": steps})
}

/// A post-processor for single texts.
fn template(single: Value) -> Value {
    let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}]);
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {}})
}

#[test]
fn a_tokenizer_json_cannot_stop_or_fill_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let thousand = "a".repeat(1000);
    let deep = (0..30).fold(json!({"type": "NFC"}), |inner, _| sequence(vec![inner]));
    let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let gone = json!({"SpecialToken": {"id": "<gone>", "type_id": 0}});
    let table = |base64: &str| json!({"type": "Precompiled", "precompiled_charsmap": base64});
    let cut = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    for (field, value, expected) in [
        ("normalizer", replace("String", "", "a"), "an empty pattern"),
        ("normalizer", replace("Regex", "", "a"), "an empty pattern"),
        ("normalizer", replace("Regex", "(", "a"), "contents: "),
        ("normalizer", replace("String", "a", &thousand), "a text of 1000 bytes"),
        ("normalizer", sequence(vec![replace("String", "a", &"a".repeat(64)); 3]), "262144 times as long"),
        ("normalizer", json!({"type": "Prepend", "prepend": thousand.repeat(1000)}), "a text of 1000000 bytes"),
        ("normalizer", sequence(vec![json!({"type": "NFC"}); 100]), "more than 64 steps"),
        ("normalizer", deep, "nested more than 8 deep"),
        // A trie of 4 GiB in twelve bytes; one that is longer than its table; no base64.
        ("normalizer", table("////////////////"), "has a trie longer than itself"),
        ("normalizer", table("CAAAAAAAAAA="), "has a trie longer than itself"),
        ("normalizer", table("*"), "is not base64"),
        ("normalizer", json!({"type": "Reverse"}), "`Reverse` is not known"),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "words of length 0"),
        ("pre_tokenizer", cut(""), "an empty pattern"),
        ("pre_tokenizer", json!({"type": "Other"}), "is not known"),
        ("post_processor", template(json!([gone, text("A")])), "that special_tokens does not name"),
        ("post_processor", template(json!([text("B")])), "neither token nor text"),
        ("post_processor", template(json!([])), "has its text 0 times"),
        ("post_processor", template(json!("$A")), "is missing, or no list"),
    ] {
        let mut json = small_bytes();
        json[field] = value.clone();
        let message = split(&dir, json.to_string().as_bytes()).unwrap_err();
        assert!(message.contains(expected), "{value}: {message:?} lacks {expected:?}");
    }
    // Known files use these. The library panics on tables that are wrong inside.
    let mut json = small_bytes();
    json["normalizer"] = sequence(vec![
        json!({"type": "NFC"}),
        json!({"type": "Lowercase"}),
        replace("Regex", " {2,}", " "),
        replace("String", "``", "\""),
    ]);
    assert!(split(&dir, json.to_string().as_bytes()).unwrap() > 5);
    for base64 in ["BAAAAP///////w==", "BAAAAP////8="] {
        json["normalizer"] = table(base64);
        let message = split(&dir, json.to_string().as_bytes()).unwrap_err();
        assert!(message.contains("tokenizer.json: "), "{message}");
    }
}

/// Places in a JSON value, as pointers; of long lists the first few.
fn places(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter()
                .take(40)
                .for_each(|(k, v)| places(v, format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")), out));
        }
        Value::Array(list) => list.iter().take(8).enumerate().for_each(|(i, v)| places(v, format!("{at}/{i}"), out)),
        _ => {}
    }
    out.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any value put anywhere into a good file: an error or tokens, never a panic.
    #[test]
    fn changed_tokenizer_files(
        at in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            Value::Null, json!(0), json!(-1), json!(u32::MAX), json!(1e300), json!(""), json!("a"), json!([]), json!({}),
            json!([["a", "b"]]), json!(true), json!({"type": "Metaspace", "replacement": "a", "prepend_scheme": "always"}),
        ]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut json = small_bytes();
        let mut all = Vec::new();
        places(&json, String::new(), &mut all);
        let place: &String = at.get(&all);
        *json.pointer_mut(place).unwrap() = value;
        let _ = split(&dir, json.to_string().as_bytes());
    }
}
