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
    // Where the two contradict each other, tokenizer.json's post-processor decides, as in transformers 5.
    for class in ["", r#", "tokenizer_class": "PreTrainedTokenizerFast""#, r#", "tokenizer_class": "LlamaTokenizer""#] {
        config(&format!(r#"{{"add_bos_token": false, "bos_token": "<|endoftext|>"{class}}}"#));
        let t = Tokenizer::from_folder(dir.path()).unwrap();
        assert_eq!(t.bos(), Some(TokenId(0)));
        assert!(t.notes()[0].contains("add_bos_token in tokenizer_config.json is false"), "{:?}", t.notes());
    }
    config(r#"{"add_bos_token": true, "bos_token": {"content": "<|im_start|>"}}"#);
    let t = Tokenizer::from_folder(dir.path()).unwrap();
    assert_eq!((t.bos(), t.notes().len()), (Some(TokenId(0)), 0));
    // Where there is none, the flag does, unless the class adds nothing of its own.
    let mut json = json("small-bytes/tokenizer.json");
    json["post_processor"] = Value::Null;
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    for (class, bos) in [("", Some(TokenId(1))), (r#", "tokenizer_class": "TokenizersBackend""#, None)] {
        config(&format!(r#"{{"add_bos_token": true, "bos_token": "<|im_start|>"{class}}}"#));
        let t = Tokenizer::from_folder(dir.path()).unwrap();
        assert_eq!((t.bos(), t.notes().len()), (bos, usize::from(bos.is_none())));
        assert_eq!(t.bos_name().as_deref(), Some("<|im_start|>"));
    }
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
    assert!(spm(|v| v.model = "t5").contains("`t5`"));
    let bpe = |change: fn(&mut GgufVocabulary<'_>)| {
        with_small_bytes(|mut v| {
            v.pre = Some("smollm");
            change(&mut v);
            Tokenizer::from_gguf(v).unwrap_err().to_string()
        })
    };
    assert!(bpe(|v| v.pre = None).starts_with("tokenizer.ggml.pre: missing"));
    assert!(bpe(|v| v.pre = Some("kimi-k2")).contains("`kimi-k2`"));
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

#[test]
fn special_ids_that_are_none_or_beyond_the_vocabulary() {
    let small = json("small-spm.json");
    let none = Some(u32::MAX);
    let t = Tokenizer::from_gguf(GgufVocabulary { bos: none, eos: none, unknown: none, ..small_spm(&small) }).unwrap();
    assert_eq!((t.bos(), t.eos(), t.notes().len()), (None, None, 0));
    // Beyond: the usual ids of SentencePiece where the file has such tokens there. This file has them in another order.
    let t = Tokenizer::from_gguf(GgufVocabulary { bos: Some(900), eos: Some(1 << 20), ..small_spm(&small) }).unwrap();
    assert!(t.notes()[0].contains("bos_token_id is 900, beyond the 900 tokens"), "{:?}", t.notes());
    assert_eq!((t.bos(), t.eos(), t.notes().len()), (Some(TokenId(1)), Some(TokenId(2)), 2));
    let usual = GgufVocabulary {
        model: "llama",
        tokens: vec![b"<unk>", b"<s>", b"</s>", b"a"],
        scores: Some(vec![0.0; 4]),
        types: Some(vec![2, 3, 3, 1]),
        bos: Some(4),
        eos: Some(5),
        unknown: Some(6),
        ..Default::default()
    };
    let t = Tokenizer::from_gguf(usual.clone()).unwrap();
    assert_eq!((t.bos(), t.eos(), t.notes().len()), (Some(TokenId(1)), Some(TokenId(2)), 3));
    // Text is no default: it would end every answer.
    let t = Tokenizer::from_gguf(GgufVocabulary { types: Some(vec![2, 1, 1, 1]), ..usual }).unwrap();
    assert_eq!((t.bos(), t.eos(), t.notes().len()), (None, None, 3));
    let t = with_small_bytes(|v| {
        Tokenizer::from_gguf(GgufVocabulary { pre: Some("smollm"), bos: Some(1 << 30), eos: none, ..v }).unwrap()
    });
    assert_eq!((t.bos(), t.eos(), t.notes().len()), (None, None, 1), "byte-level vocabularies have no usual ids");
}

#[test]
fn no_gemma_has_a_space_in_front() {
    let small = json("small-spm.json");
    let with = |model, architecture, add_space_prefix| {
        let v = GgufVocabulary { model, architecture, add_space_prefix, ..small_spm(&small) };
        let t = Tokenizer::from_gguf(v).unwrap();
        bytes(&t, &t.encode("Hello world", false).unwrap())
    };
    for (model, architecture) in
        [("llama", "gemma"), ("llama", "gemma2"), ("llama", "gemma3"), ("llama", "gemma3n"), ("gemma", "")]
    {
        for flag in [None, Some(false), Some(true)] {
            assert_eq!(with(model, architecture, flag), b"Hello world", "{model} {architecture} {flag:?}");
        }
    }
    assert_eq!(with("llama", "llama", None), b" Hello world");
    assert_eq!(with("llama", "llama", Some(false)), b"Hello world");
}

#[test]
fn decoding_takes_off_the_space_that_splitting_put_in_front() {
    let small = json("small-spm.json");
    let t = Tokenizer::from_gguf(GgufVocabulary { add_space_prefix: None, ..small_spm(&small) }).unwrap();
    for text in ["the world", " the world", "  x", "\u{e9}", ""] {
        let ids = t.encode(text, false).unwrap();
        assert_eq!(t.decode(&ids).concat(), text.as_bytes(), "{text:?}");
    }
    // A BOS in front is no part of the text.
    let ids = [vec![TokenId(2)], t.encode("the", false).unwrap()].concat();
    assert_eq!(t.decode(&ids).concat(), b"<bos>the");
    let plain = Tokenizer::from_gguf(small_spm(&small)).unwrap();
    assert_eq!(plain.decode(&plain.encode(" the", false).unwrap()).concat(), b" the");
}

#[test]
fn decoding_takes_off_what_a_folder_s_tokenizer_puts_in_front() {
    let t = Tokenizer::from_folder(&fixture("small-bytes")).unwrap();
    assert_eq!(t.decode(&t.encode(" a", false).unwrap()).concat(), b" a");
    let replace =
        |from: &str, to: &str| serde_json::json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let sp = "\u{2581}";
    let json = serde_json::json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": sp}, replace(" ", sp)]},
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [replace(sp, " "), {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": false,
            "vocab": {"b": 0, sp: 1, "a": 2, "\u{2581}a": 3}, "merges": [[sp, "a"]]}});
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let t = Tokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(t.encode("a", false).unwrap(), raw(&[3]));
    for text in ["a", " a", "aa a"] {
        assert_eq!(t.decode(&t.encode(text, false).unwrap()).concat(), text.as_bytes(), "{text:?}");
    }
}

/// A folder with small-bytes's tokenizer.json, changed, and a tokenizer_config.json.
fn with_config(
    config: &str,
    change: impl FnOnce(&mut Value),
) -> (tempfile::TempDir, Result<Tokenizer, TokenizerError>) {
    let dir = tempfile::tempdir().unwrap();
    let mut json = json("small-bytes/tokenizer.json");
    change(&mut json);
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let t = Tokenizer::from_folder(dir.path());
    (dir, t)
}

#[test]
fn special_tokens_that_only_the_configuration_declares() {
    let size = Tokenizer::from_folder(&fixture("small-bytes")).unwrap().vocab_size() as u32;
    let id = TokenId(size);
    for (config, special) in [
        (r#"{"added_tokens_decoder": {"9999": {"content": "<|tool|>", "special": true}}}"#, true),
        (r#"{"added_tokens_decoder": {"9999": {"content": "<|tool|>", "special": false}}}"#, false),
        (r#"{"additional_special_tokens": ["<|tool|>"]}"#, true),
        (r#"{"extra_special_tokens": [{"content": "<|tool|>"}]}"#, true),
        (r#"{"extra_special_tokens": {"tool": "<|tool|>"}}"#, true),
        (r#"{"pad_token": {"__type": "AddedToken", "content": "<|tool|>"}}"#, true),
        (r#"{"image_token": "<|tool|>"}"#, true),
        (r#"{"eos_token": "<|tool|>"}"#, true),
    ] {
        let t = with_config(config, |_| {}).1.unwrap();
        assert_eq!(t.encode("a<|tool|>b", true).unwrap()[1], id, "{config}");
        assert_eq!((t.is_special(id), &*t.token_bytes(id)), (special, &b"<|tool|>"[..]), "{config}");
        assert_eq!(t.encode("<|tool|>", false).unwrap() == [id], !special, "{config}: letters");
        assert_eq!(t.end_tokens().contains(&id), config.contains("eos_token"), "{config}");
    }
    // A token of the vocabulary that only the configuration calls special keeps its id.
    let t = with_config(r#"{"eos_token": "the"}"#, |_| {}).1.unwrap();
    let the = t.token_id("the").unwrap();
    assert!(the.0 < size && t.is_special(the) && t.end_tokens().contains(&the));
    // Nothing is added twice, and what tokenizer.json has stays.
    let t = with_config(r#"{"eos_token": "<|im_end|>", "bos_token": "<|endoftext|>"}"#, |_| {}).1.unwrap();
    assert_eq!(t.vocab_size() as u32, size);
    for bad in [r#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, r#"{"added_tokens_decoder": {"7": 8}}"#] {
        let message = with_config(bad, |_| {}).1.unwrap_err().to_string();
        assert!(message.contains("tokenizer_config.json: added_tokens_decoder"), "{message}");
    }
    // The older companions.
    let (dir, _) = with_config("{}", |_| {});
    std::fs::write(dir.path().join("special_tokens_map.json"), r#"{"additional_special_tokens": ["<|x|>"]}"#).unwrap();
    let added = format!(r#"{{"<|x|>": {size}, "<y>": {}}}"#, size + 1);
    std::fs::write(dir.path().join("added_tokens.json"), added).unwrap();
    let t = Tokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(t.encode("<|x|><y>", true).unwrap(), raw(&[size, size + 1]));
    assert!(t.is_special(id) && !t.is_special(TokenId(size + 1)));
}

/// A post-processor that puts tokens around a text, by their ids.
fn template(front: &[u32], behind: &[u32]) -> Value {
    let token = |id: &u32| serde_json::json!({"SpecialToken": {"id": format!("t{id}"), "type_id": 0}});
    let text = |name: &str| serde_json::json!({"Sequence": {"id": name, "type_id": 0}});
    let single: Vec<Value> = front.iter().map(token).chain([text("A")]).chain(behind.iter().map(token)).collect();
    let mut known = serde_json::Map::new();
    for id in front.iter().chain(behind) {
        let name = format!("t{id}");
        known.insert(name.clone(), serde_json::json!({"id": name, "ids": [id], "tokens": [name]}));
    }
    serde_json::json!({"type": "TemplateProcessing", "single": single, "pair": [text("A"), text("B")],
        "special_tokens": known})
}

#[test]
fn a_post_processor_adds_one_token_in_front_or_is_refused() {
    let with = |front: &[u32], behind: &[u32]| with_config("{}", |j| j["post_processor"] = template(front, behind)).1;
    assert_eq!(with(&[], &[]).unwrap().bos(), None);
    assert_eq!(with(&[2], &[]).unwrap().bos(), Some(TokenId(2)));
    for (front, behind, expected) in [
        (&[1, 0][..], &[][..], "puts 2 tokens in front of a text"),
        (&[1], &[2], "puts the token 2 behind a text"),
        (&[], &[2], "puts the token 2 behind a text"),
        (&[4_000_000_000], &[], "adds the token 4000000000"),
    ] {
        let message = with(front, behind).unwrap_err().to_string();
        assert!(message.contains("post_processor: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn a_pointer_in_place_of_a_tokenizer_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    std::fs::write(dir.path().join("tokenizer.json"), pointer).unwrap();
    let message = Tokenizer::from_folder(dir.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json: contents: is a Git LFS pointer"), "{message}");
}
