//! Tells what a model thinks from what it answers.
//!
//! Models that reason first write their thoughts between two marks, such as `<think>` and `</think>`. The marks are
//! control tokens in most vocabularies and ordinary text in some, so they are looked for in the bytes of a path.

use crate::NodeId;
use crate::run::Run;

/// What opens and what closes a thought, by model family: DeepSeek, Qwen, GLM and many others; Gemma 4; gpt-oss;
/// Mistral; Command A; Seed-OSS.
pub const MARKS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
];

/// No mark is longer, in bytes.
const LONGEST: usize = 32;

/// Reads a path token by token and knows where thoughts begin and end.
#[derive(Clone, Debug, Default)]
pub struct ThoughtReader {
    /// Index of the mark that opened the thought in which the path ends.
    open: Option<usize>,
    /// The last bytes, in which a mark may have begun.
    tail: Vec<u8>,
}

impl ThoughtReader {
    /// A reader that has read the prompt. Some chat templates end with an open thought.
    pub fn after(prompt: &[u8]) -> ThoughtReader {
        let mut reader = ThoughtReader::default();
        reader.read(prompt);
        reader
    }

    /// Reads the next token. True if it belongs to a thought; the token that completes a mark does.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        let was_open = self.open.is_some();
        for &byte in bytes {
            self.tail.push(byte);
            let mark = match self.open {
                Some(index) => self.tail.ends_with(MARKS[index].1.as_bytes()).then_some(None),
                None => MARKS.iter().position(|(open, _)| self.tail.ends_with(open.as_bytes())).map(Some),
            };
            if let Some(open) = mark {
                self.open = open;
                self.tail.clear();
            }
        }
        self.tail.drain(..self.tail.len().saturating_sub(LONGEST));
        was_open || self.open.is_some()
    }
}

/// For each node of a run's tree, by [`NodeId::index`], whether its token belongs to a thought.
pub fn nodes(run: &Run) -> Vec<bool> {
    let tree = &run.tree;
    let root = ThoughtReader::after(run.header.prompt.text.as_bytes());
    let mut readers = vec![root];
    let mut thoughts = vec![false];
    // Parents have smaller ids than their children.
    for node in tree.nodes().skip(1) {
        let parent = tree.parent(node).unwrap_or(NodeId::ROOT);
        let mut reader = readers[parent.index()].clone();
        thoughts.push(tree.token(node).is_some_and(|token| reader.read(run.bytes(token))));
        readers.push(reader);
    }
    thoughts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case of `fixtures/thoughts.json`, which the web app's tests read as well.
    #[derive(serde::Deserialize)]
    struct Case {
        prompt: String,
        tokens: Vec<String>,
        thought: Vec<bool>,
    }

    #[test]
    fn thoughts_are_what_stands_between_the_marks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/thoughts.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let mut reader = ThoughtReader::after(case.prompt.as_bytes());
            let found: Vec<bool> = case.tokens.iter().map(|t| reader.read(t.as_bytes())).collect();
            assert_eq!(found, case.thought, "{:?} {:?}", case.prompt, case.tokens);
        }
    }

    #[test]
    fn marks_are_found_however_the_bytes_are_cut_into_tokens() {
        let text = b"a<think>b</think>c[THINK]d";
        for size in 1..text.len() {
            let mut reader = ThoughtReader::default();
            text.chunks(size).for_each(|token| {
                reader.read(token);
            });
            assert_eq!(reader.open, Some(3), "pieces of {size} bytes");
        }
        assert!(MARKS.iter().all(|(open, close)| open.len().max(close.len()) <= LONGEST));
    }
}
