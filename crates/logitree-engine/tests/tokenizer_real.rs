//! The tokenizers of real GGUF files against their references. The folder with the files is named by
//! the environment variable `LOGITREE_TEST_MODELS`; without it these tests say so and pass.

use logitree_core::TokenId;
use logitree_engine::chat::{ChatTemplate, Message};
use logitree_engine::tokenizer::{GgufVocabulary, Tokenizer, TokenizerError};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

/// Tokenizer metadata of a GGUF file: enough of the format for the files these tests name.
#[derive(Default)]
struct Metadata {
    numbers: HashMap<String, f64>,
    strings: HashMap<String, Vec<u8>>,
    lists: HashMap<String, Vec<Vec<u8>>>,
    number_lists: HashMap<String, Vec<f64>>,
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn string(&mut self) -> Vec<u8> {
        let n = self.u64() as usize;
        self.take(n).to_vec()
    }

    fn number(&mut self, kind: u32) -> f64 {
        match kind {
            0 | 7 => self.take(1)[0].into(),
            4 => self.u32().into(),
            5 => (self.u32() as i32).into(),
            6 => f32::from_bits(self.u32()).into(),
            10 => self.u64() as f64,
            _ => panic!("metadata type {kind}"),
        }
    }
}

impl Metadata {
    fn read(file: &[u8]) -> Self {
        let mut c = Cursor(file);
        assert_eq!(c.take(4), b"GGUF");
        let (_version, _tensors, entries) = (c.u32(), c.u64(), c.u64());
        let mut m = Metadata::default();
        for _ in 0..entries {
            let key = String::from_utf8(c.string()).unwrap();
            match c.u32() {
                8 => drop(m.strings.insert(key, c.string())),
                9 => {
                    let (kind, n) = (c.u32(), c.u64());
                    if kind == 8 {
                        m.lists.insert(key, (0..n).map(|_| c.string()).collect());
                    } else {
                        m.number_lists.insert(key, (0..n).map(|_| c.number(kind)).collect());
                    }
                }
                kind => drop(m.numbers.insert(key, c.number(kind))),
            }
        }
        m
    }

    fn vocabulary(&self) -> GgufVocabulary<'_> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let text = |name: &str| self.strings.get(&key(name)).map(|s| std::str::from_utf8(s).unwrap());
        let number = |name: &str| self.numbers.get(&key(name)).copied();
        GgufVocabulary {
            architecture: self.strings.get("general.architecture").map_or("", |s| std::str::from_utf8(s).unwrap()),
            model: text("model").unwrap(),
            pre: text("pre"),
            tokens: self.lists[&key("tokens")].iter().map(Vec::as_slice).collect(),
            scores: self.number_lists.get(&key("scores")).map(|l| l.iter().map(|&x| x as f32).collect()),
            types: self.number_lists.get(&key("token_type")).map(|l| l.iter().map(|&x| x as i32).collect()),
            merges: self.lists.get(&key("merges")).map(|l| l.iter().map(|s| std::str::from_utf8(s).unwrap()).collect()),
            bos: number("bos_token_id").map(|x| x as u32),
            eos: number("eos_token_id").map(|x| x as u32),
            unknown: number("unknown_token_id").map(|x| x as u32),
            add_bos: number("add_bos_token").map(|x| x != 0.0),
            add_space_prefix: number("add_space_prefix").map(|x| x != 0.0),
        }
    }
}

/// The tokenizer and chat template of a file in the models' folder, if that is given.
fn tokenizer(file: &str) -> Option<(Tokenizer, Option<String>)> {
    let Some(folder) = std::env::var_os("LOGITREE_TEST_MODELS") else {
        eprintln!("skipped: set LOGITREE_TEST_MODELS to a folder with {file}");
        return None;
    };
    let metadata = Metadata::read(&std::fs::read(PathBuf::from(folder).join(file)).unwrap());
    let vocabulary = metadata.vocabulary();
    let start = Instant::now();
    let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap();
    eprintln!("{tokenizer:?} made in {:?}", start.elapsed());
    let template = metadata.strings.get("tokenizer.chat_template");
    Some((tokenizer, template.map(|t| String::from_utf8(t.clone()).unwrap())))
}

fn json(path: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    value.as_array().unwrap().iter().map(|id| TokenId(id.as_u64().unwrap() as u32)).collect()
}

/// Checks every case of a fixture; returns how many there were.
fn check_cases(t: &Tokenizer, golden: &Value) -> usize {
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let text = case[0].as_str().unwrap();
        for (parse_special, expected) in [(false, &case[1]), (true, case.get(2).unwrap_or(&case[1]))] {
            let found = t.encode(text, parse_special);
            if expected.is_null() {
                assert!(matches!(found, Err(TokenizerError::Unencodable(_))), "{text:?}: {found:?}");
            } else {
                assert_eq!(found.unwrap(), ids(expected), "{text:?}, parse_special {parse_special}");
            }
        }
    }
    cases.len()
}

/// Checks the prompts whose ids come from transformers' reference run of the whole model.
fn check_prompts(t: &Tokenizer, golden: &Value) {
    for prompt in golden["prompts"].as_array().unwrap() {
        let text = prompt["prompt"].as_str().unwrap();
        let found: Vec<TokenId> = t.bos().into_iter().chain(t.encode(text, false).unwrap()).collect();
        assert_eq!(found, ids(&prompt["input_ids"]), "{text:?}");
    }
}

#[test]
fn gemma_3() {
    let Some((t, template)) = tokenizer("gemma-3-270m-q4_k_m.gguf") else { return };
    check_prompts(&t, &json("gguf/gemma-3-270m-q4_k_m.json"));
    assert!(check_cases(&t, &json("tokenizers/gemma-3-270m.json")) > 1400);
    assert_eq!(t.vocab_size(), 262_144);
    assert_eq!(t.bos(), Some(TokenId(2)));
    // `<eos>` and `<end_of_turn>`, though the metadata names one; not `</s>`, which is HTML here.
    assert_eq!(t.end_tokens_by_name(), [TokenId(1), TokenId(106)]);
    assert_eq!(&*t.token_bytes(TokenId(140)), b"    ");
    assert_eq!(&*t.token_bytes(TokenId(238)), b"\0");
    // A base model has no template, but its vocabulary has the names; user text must not become them.
    assert_eq!(template, None);
    let turn = t.encode_chat("<bos><start_of_turn>user\nHi<end_of_turn>\n").unwrap();
    assert_eq!(turn, [105, 2364, 107, 10979, 106, 107].map(TokenId));
    assert!(!t.encode("<end_of_turn>", false).unwrap().contains(&TokenId(106)));
    // A megabyte of one word, which a quadratic loop would take hours for.
    let long = "abcdefgh".repeat(125_000);
    let start = Instant::now();
    let found = t.encode(&long, false).unwrap();
    eprintln!("1 MB word: {} tokens in {:?}", found.len(), start.elapsed());
    assert_eq!(found.iter().map(|&id| t.token_bytes(id).len()).sum::<usize>(), long.len());
}

#[test]
fn smollm2() {
    let Some((t, template)) = tokenizer("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    check_prompts(&t, &json("gguf/SmolLM2-135M-Instruct.Q4_1.json"));
    assert!(check_cases(&t, &json("tokenizers/smollm2-135m.json")) > 1400);
    assert_eq!(t.bos(), None);
    assert_eq!(t.bos_name().as_deref(), Some("<|im_start|>"));
    assert_eq!(t.end_tokens_by_name(), [TokenId(0), TokenId(2)]);
    assert_eq!(t.kind(), "byte-level BPE (smollm)");
    let template = ChatTemplate::of_model(template.as_deref(), "SmolLM2", t.bos_name().as_deref(), None).unwrap();
    let text = template.render(&[Message::new("user", "Hi")], &Default::default(), true).unwrap().text;
    assert_eq!(
        text,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    // This model wants no BOS, so the one that starts every turn of its template stays.
    let ids = t.encode_chat(&text).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == TokenId(1)).count(), 3);
    assert_eq!((ids[0], ids[ids.len() - 1]), (TokenId(1), TokenId(198)));
}
