//! Small tokenizers against SentencePiece and Hugging Face tokenizers. The vocabularies and the
//! expected ids are made by `fixtures/make_tokenizer_goldens.py`.

use logitree_core::TokenId;
use logitree_engine::tokenizer::{GgufVocabulary, Tokenizer, TokenizerError};
use serde_json::Value;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tokenizers").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    value.as_array().unwrap().iter().map(|id| TokenId(id.as_u64().unwrap() as u32)).collect()
}

fn raw(ids: &[u32]) -> Vec<TokenId> {
    ids.iter().copied().map(TokenId).collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect()
}

/// All tokens' bytes joined.
fn bytes(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<u8> {
    ids.iter().flat_map(|&id| tokenizer.token_bytes(id).into_owned()).collect()
}

fn small_spm(json: &Value) -> GgufVocabulary<'_> {
    let numbers = |key: &str| json[key].as_array().unwrap().iter();
    GgufVocabulary {
        model: "llama",
        tokens: strings(&json["pieces"]).into_iter().map(str::as_bytes).collect(),
        scores: Some(numbers("scores").map(|s| s.as_f64().unwrap() as f32).collect()),
        types: Some(numbers("types").map(|t| t.as_i64().unwrap() as i32).collect()),
        bos: Some(2),
        eos: Some(1),
        unknown: Some(3),
        add_space_prefix: Some(false),
        ..Default::default()
    }
}

#[test]
fn sentencepiece_agrees_with_the_reference() {
    let json = json("small-spm.json");
    let plain = Tokenizer::from_gguf(small_spm(&json)).unwrap();
    let prefixed = GgufVocabulary { add_space_prefix: None, ..small_spm(&json) };
    let prefixed = Tokenizer::from_gguf(prefixed).unwrap();
    let cases = json["cases"].as_array().unwrap();
    for case in cases {
        let text = case[0].as_str().unwrap();
        let found = plain.encode(text, false).unwrap();
        assert_eq!(found, ids(&case[1]), "{text:?}");
        assert_eq!(plain.encode(text, true).unwrap(), ids(&case[2]), "{text:?} with specials");
        assert_eq!(bytes(&plain, &found), text.replace('\u{2581}', " ").as_bytes(), "{text:?}");
        // SentencePiece puts a space in front of the text, the original Llama tokenizer also after
        // every user-defined token; they agree where there is none of those.
        if !found.iter().any(|&id| json["types"][id.index()] == 4) {
            assert_eq!(prefixed.encode(text, false).unwrap(), ids(&case[3]), "{text:?} with a space in front");
        }
    }
    assert!(cases.len() > 400);
}

#[test]
fn sentencepiece_specials_bytes_and_flags() {
    let json = json("small-spm.json");
    let t = Tokenizer::from_gguf(small_spm(&json)).unwrap();
    assert_eq!(t.kind(), "SentencePiece BPE");
    assert_eq!(t.vocab_size(), 900);
    // The default of this kind of tokenizer is to start with BOS; the file's own flag wins.
    assert_eq!(t.bos(), Some(TokenId(2)));
    let without = Tokenizer::from_gguf(GgufVocabulary { add_bos: Some(false), ..small_spm(&json) }).unwrap();
    assert_eq!((without.bos(), without.bos_name().as_deref()), (None, Some("<bos>")));

    let turn = t.token_id("<end_of_turn>").unwrap();
    assert_eq!(t.end_tokens_by_name(), [TokenId(1), turn]);
    assert!(t.is_special(turn) && t.is_special(TokenId(3)) && !t.is_special(t.token_id("<b>").unwrap()));
    assert_eq!(&*t.token_bytes(turn), b"<end_of_turn>");
    assert_eq!(t.encode("<end_of_turn>", true).unwrap(), [turn]);
    assert!(!t.encode("<end_of_turn>", false).unwrap().contains(&turn));
    // A byte without a character, and an id outside the vocabulary.
    let byte = (0..900).map(TokenId).find(|&id| json["pieces"][id.index()] == "<0xFF>").unwrap();
    assert_eq!(&*t.token_bytes(byte), [0xFF]);
    assert_eq!(&*t.token_bytes(TokenId(900)), b"");
    assert_eq!(&*t.token_bytes(TokenId(u32::MAX)), b"");
    assert!(!t.is_special(TokenId(900)));
}

#[test]
fn a_space_is_put_before_every_stretch_of_text() {
    let tokens: Vec<&[u8]> = vec![b"<unk>", b"<s>", b"</s>", "\u{2581}".as_bytes(), b"a", "\u{2581}a".as_bytes()];
    let t = Tokenizer::from_gguf(GgufVocabulary {
        model: "llama",
        tokens,
        scores: Some(vec![0.0, 0.0, 0.0, -2.0, -3.0, -1.0]),
        types: Some(vec![2, 3, 3, 1, 1, 1]),
        bos: Some(1),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(t.encode("a", true).unwrap(), raw(&[5]));
    assert_eq!(t.encode("a</s>a<s>", true).unwrap(), raw(&[5, 2, 5, 1]));
    assert_eq!(t.encode("", true).unwrap(), []);
    // Without byte tokens a run of unknown characters is one unknown token.
    assert_eq!(t.encode("aüöa", false).unwrap(), raw(&[5, 0, 4]));
    assert_eq!(t.end_tokens_by_name(), raw(&[2]));
}

#[test]
fn bos_exactly_once_in_a_chat() {
    let json = json("small-spm.json");
    let t = Tokenizer::from_gguf(small_spm(&json)).unwrap();
    let plain = t.encode("<start_of_turn>a", true).unwrap();
    assert_eq!(t.encode_chat("<bos><start_of_turn>a").unwrap(), plain);
    assert_eq!(t.encode_chat("<bos><bos><start_of_turn>a").unwrap(), plain);
    assert_eq!(t.encode_chat("<start_of_turn>a").unwrap(), plain);
    assert_eq!(t.encode_chat("<bos>").unwrap(), []);
    // A model that wants no BOS keeps what its template says.
    let without = Tokenizer::from_gguf(GgufVocabulary { add_bos: Some(false), ..small_spm(&json) }).unwrap();
    assert_eq!(without.encode_chat("<bos>").unwrap(), [TokenId(2)]);
}

/// The GGUF view of `small-bytes/tokenizer.json`.
fn with_small_bytes<R>(f: impl FnOnce(GgufVocabulary<'_>) -> R) -> R {
    let json = json("small-bytes/tokenizer.json");
    let mut tokens: Vec<(usize, &str, i32)> = Vec::new();
    for (name, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens.push((id.as_u64().unwrap() as usize, name, 1));
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let id = added["id"].as_u64().unwrap() as usize;
        let kind = if added["special"] == true { 3 } else { 4 };
        tokens.retain(|t| t.0 != id);
        tokens.push((id, added["content"].as_str().unwrap(), kind));
    }
    tokens.sort();
    assert!(tokens.iter().enumerate().all(|(i, t)| i == t.0));
    let merges: Vec<String> =
        json["model"]["merges"].as_array().unwrap().iter().map(|m| strings(m).join(" ")).collect();
    f(GgufVocabulary {
        model: "gpt2",
        tokens: tokens.iter().map(|t| t.1.as_bytes()).collect(),
        types: Some(tokens.iter().map(|t| t.2).collect()),
        merges: Some(merges.iter().map(String::as_str).collect()),
        bos: Some(0),
        eos: Some(2),
        ..Default::default()
    })
}

#[test]
fn byte_level_agrees_with_the_reference_under_every_pre_tokenizer() {
    let golden = json("small-bytes/cases.json");
    let mut differing = 0;
    for (column, pre) in strings(&golden["pre"]).into_iter().enumerate() {
        let t = with_small_bytes(|v| Tokenizer::from_gguf(GgufVocabulary { pre: Some(pre), ..v })).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let (text, expected) = (case[0].as_str().unwrap(), &case[column + 1]);
            let two = expected[0].is_array();
            let (plain, special) = if two { (&expected[0], &expected[1]) } else { (expected, expected) };
            let found = t.encode(text, false).unwrap();
            assert_eq!(found, ids(plain), "{pre}: {text:?}");
            assert_eq!(t.encode(text, true).unwrap(), ids(special), "{pre}: {text:?} with specials");
            if pre != "qwen2" {
                assert_eq!(bytes(&t, &found), text.as_bytes(), "{pre}: {text:?}");
            }
            differing += usize::from(*expected != case[1]);
        }
    }
    // The rules really differ on these texts, so a mix-up would show.
    assert!(differing > 100, "{differing}");
}

#[test]
fn a_folder_agrees_with_the_reference() {
    let t = Tokenizer::from_folder(&fixture("small-bytes")).unwrap();
    let golden = json("small-bytes/cases.json");
    let column = 1 + strings(&golden["pre"]).iter().position(|p| *p == "llama-bpe").unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let (text, expected) = (case[0].as_str().unwrap(), &case[column]);
        let two = expected[0].is_array();
        let (plain, special) = if two { (&expected[0], &expected[1]) } else { (expected, expected) };
        let found = t.encode(text, false).unwrap();
        assert_eq!(found, ids(plain), "{text:?}");
        assert_eq!(t.encode(text, true).unwrap(), ids(special), "{text:?} with specials");
        assert_eq!(bytes(&t, &found), text.as_bytes(), "{text:?}");
    }
    // The post-processor adds BOS, and nothing in the configuration says otherwise.
    assert_eq!(t.bos(), Some(TokenId(0)));
    assert_eq!((t.eos(), t.eos_name().as_deref()), (Some(TokenId(2)), Some("<|im_end|>")));
    assert_eq!(t.end_tokens_by_name(), raw(&[0, 2]));
    assert_eq!(t.kind(), "byte-level BPE (tokenizer.json)");
}

#[test]
fn a_folder_s_configuration_decides_about_bos() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("small-bytes/tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let config = |json: &str| std::fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
    assert_eq!(Tokenizer::from_folder(dir.path()).unwrap().bos(), Some(TokenId(0)));
    config(r#"{"add_bos_token": false, "bos_token": "<|endoftext|>"}"#);
    assert_eq!(Tokenizer::from_folder(dir.path()).unwrap().bos(), None);
    config(r#"{"add_bos_token": true, "bos_token": {"content": "<|im_start|>"}}"#);
    assert_eq!(Tokenizer::from_folder(dir.path()).unwrap().bos(), Some(TokenId(1)));
    config("{");
    let error = Tokenizer::from_folder(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json"), "{error}");
}

#[test]
fn settings_of_a_training_run_do_not_cut_prompts() {
    let dir = tempfile::tempdir().unwrap();
    let mut json = json("small-bytes/tokenizer.json");
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let t = Tokenizer::from_folder(dir.path()).unwrap();
    let text = "The capital of India is a city of many people.";
    assert_eq!(bytes(&t, &t.encode(text, false).unwrap()), text.as_bytes());
}

#[test]
fn broken_folders_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refuse = |json: &str| {
        std::fs::write(dir.path().join("tokenizer.json"), json).unwrap();
        Tokenizer::from_folder(dir.path()).unwrap_err().to_string()
    };
    let missing = Tokenizer::from_folder(&dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(missing, TokenizerError::Read { .. }) && missing.to_string().contains("tokenizer.json"));
    let good = json("small-bytes/tokenizer.json");
    assert!(refuse(&good.to_string()[..20_000]).contains("tokenizer.json"));
    assert!(refuse(&"[".repeat(100_000)).contains("tokenizer.json"));
    let changed = |change: fn(&mut Value)| {
        let mut json = good.clone();
        change(&mut json);
        json.to_string()
    };
    let far = changed(|j| j["model"]["vocab"]["far"] = 4_000_000_000u32.into());
    assert!(refuse(&far).contains("model.vocab: the largest id is 4000000001"));
    let random = changed(|j| j["model"]["dropout"] = 0.1.into());
    assert!(refuse(&random).contains("model.dropout"));
    // Two of the longest tokens: the library's buffer is too short for what they would make.
    let longer = changed(|j| {
        let longest = j["model"]["vocab"].as_object().unwrap().keys().max_by_key(|k| k.len()).unwrap().clone();
        j["model"]["merges"].as_array_mut().unwrap().push(serde_json::json!([longest, longest]));
    });
    assert!(refuse(&longer).contains("tokenizer.json: model"));
    let words = changed(|j| j["decoder"] = serde_json::json!({"type": "WordPiece", "prefix": "##", "cleanup": true}));
    assert!(refuse(&words).contains("decoder: `WordPiece`"));
}

#[test]
fn broken_metadata_is_refused_by_field() {
    let small = json("small-spm.json");
    let spm = |change: fn(&mut GgufVocabulary<'_>)| {
        let mut v = small_spm(&small);
        change(&mut v);
        Tokenizer::from_gguf(v).unwrap_err().to_string()
    };
    assert!(spm(|v| v.tokens.clear()).starts_with("tokenizer.ggml.tokens: 0 entries"));
    assert!(spm(|v| v.scores = None).starts_with("tokenizer.ggml.scores: missing"));
    assert!(spm(|v| v.scores.as_mut().unwrap().truncate(3)).starts_with("tokenizer.ggml.scores: 3 entries for 900"));
    assert!(spm(|v| v.scores.as_mut().unwrap()[7] = f32::NAN).contains("entry 7"));
    assert!(spm(|v| v.types.as_mut().unwrap()[5] = 9).starts_with("tokenizer.ggml.token_type: entry 5 is 9"));
    assert!(spm(|v| v.types.as_mut().unwrap()[899] = 6).contains("byte token 899"));
    assert!(spm(|v| v.bos = Some(900)).starts_with("tokenizer.ggml.bos_token_id: id 900"));
    assert!(spm(|v| v.model = "t5").contains("`t5`"));
    let bpe = |change: fn(&mut GgufVocabulary<'_>)| {
        with_small_bytes(|mut v| {
            v.pre = Some("smollm");
            change(&mut v);
            Tokenizer::from_gguf(v).unwrap_err().to_string()
        })
    };
    assert!(bpe(|v| v.pre = None).starts_with("tokenizer.ggml.pre: missing"));
    assert!(bpe(|v| v.pre = Some("tekken")).contains("`tekken`"));
    assert!(bpe(|v| v.merges = None).starts_with("tokenizer.ggml.merges: missing"));
    assert!(bpe(|v| v.merges.as_mut().unwrap()[4] = "ab").contains("entry 4"));
    assert!(bpe(|v| v.merges.as_mut().unwrap()[4] = "a \u{20ac}").contains("not in the vocabulary"));
    assert!(bpe(|v| v.tokens[300] = b"\xff").contains("entry 300 is not UTF-8"));
}

#[test]
fn text_that_would_be_lost_is_refused() {
    // A byte-level vocabulary without the byte 0x04.
    let error = with_small_bytes(|mut v| {
        v.pre = Some("smollm");
        let at = v.tokens.iter().position(|t| *t == "\u{104}".as_bytes()).unwrap();
        v.tokens[at] = "\u{104}\u{104}".as_bytes();
        let t = Tokenizer::from_gguf(v).unwrap();
        assert_eq!(bytes(&t, &t.encode("a\u{5}b", false).unwrap()), b"a\x05b");
        t.encode("a\u{4}b", false).unwrap_err()
    });
    assert!(error.to_string().contains("0x04"), "{error}");
    // A SentencePiece vocabulary without bytes and without an unknown token.
    let t = Tokenizer::from_gguf(GgufVocabulary {
        model: "llama",
        tokens: vec![b"a"],
        scores: Some(vec![0.0]),
        add_space_prefix: Some(false),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(t.encode("aa", false).unwrap(), raw(&[0, 0]));
    assert!(matches!(t.encode("ab", false), Err(TokenizerError::Unencodable(what)) if what == "\"b\""));
}
