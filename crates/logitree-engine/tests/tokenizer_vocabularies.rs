//! Published vocabularies in GGUF files without weights, on the texts and token ids that llama.cpp keeps beside them.

use logitree_engine::tokenizer_of;
use logitree_engine::weights::Weights;
use std::path::{Path, PathBuf};

/// What stands between two texts of an `.inp` file.
const BETWEEN: &str = "\n__ggml_vocab_test__\n";

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LOGITREE_TEST_VOCABULARIES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: LOGITREE_TEST_VOCABULARIES does not name a folder with llama.cpp's vocabularies");
    }
    folder
}

/// Texts with their ids. The last text has no line of ids where it is empty.
fn expected(file: &Path) -> Vec<(String, Vec<u32>)> {
    let read = |end: &str| std::fs::read_to_string(format!("{}.{end}", file.display())).unwrap();
    let (texts, ids) = (read("inp"), read("out"));
    let ids = ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect());
    texts.split(BETWEEN).map(str::to_owned).zip(ids).collect()
}

/// Compares a vocabulary and returns how many texts there were.
fn compare(folder: &Path, name: &str, chosen: impl Fn(&str) -> bool) -> usize {
    let file = folder.join(format!("ggml-vocab-{name}.gguf"));
    let tokenizer = tokenizer_of(&Weights::open(&file).unwrap()).unwrap();
    let mut expected = expected(&file);
    expected.retain(|(text, _)| chosen(text));
    for (text, want) in &expected {
        let got: Vec<u32> = tokenizer.encode(text, false).unwrap().iter().map(|id| id.0).collect();
        assert_eq!(&got, want, "{name}: {text:?}");
        let spans = tokenizer.encode_spans(text, false).unwrap();
        assert_eq!(spans.iter().map(|s| s.token.0).collect::<Vec<_>>(), got, "{name}: {text:?}");
        assert_eq!(spans.iter().map(|s| s.chars).sum::<usize>(), text.chars().count(), "{name}: {text:?}");
    }
    expected.len()
}

#[test]
fn gemma_4() {
    let Some(folder) = folder() else { return };
    assert!(compare(&folder, "gemma-4", |_| true) > 40);
}

#[test]
fn others() {
    let Some(folder) = folder() else { return };
    for name in
        ["llama-bpe", "llama-spm", "gpt-2", "phi-3", "qwen2", "deepseek-coder", "command-r", "starcoder", "refact"]
    {
        assert!(compare(&folder, name, |_| true) > 40, "{name}");
    }
    // Qwen's own tokenizer composes letters and their accents, which llama.cpp leaves out.
    assert!(compare(&folder, "qwen35", |text| !text.contains(['\u{300}', '\u{301}'])) > 40);
}

/// Ids that transformers gives for many texts, see `fixtures/tokenizers/make_vocabulary_goldens.py`.
#[test]
fn as_transformers_has_them() {
    let (Some(folder), Some(file)) = (folder(), std::env::var_os("LOGITREE_TEST_TOKENS")) else { return };
    let goldens: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let vocabulary = folder.join(goldens["vocabulary"].as_str().unwrap());
    let tokenizer = tokenizer_of(&Weights::open(&vocabulary).unwrap()).unwrap();
    let mut wrong = 0;
    for golden in goldens["texts"].as_array().unwrap() {
        let text = golden["text"].as_str().unwrap();
        let want: Vec<u64> = golden["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let got: Vec<u64> = tokenizer.encode(text, true).unwrap().iter().map(|id| u64::from(id.0)).collect();
        if got != want {
            println!("{text:?}\n  {got:?}\n  {want:?}");
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0);
}
