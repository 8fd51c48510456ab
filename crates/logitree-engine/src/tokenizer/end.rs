//! End tokens that are known by name.

use super::vocabulary::{Kind, Vocabulary};
use logitree_core::TokenId;

/// Names that model families use for the end of a text, turn or message, where the vocabulary
/// has them as control tokens. The list follows llama.cpp's, which serves the same files.
const NAMES: [&str; 18] = [
    "<eos>",
    "</s>",
    "<end_of_turn>",
    "<turn|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];

/// Names that nobody would use for text, so that a vocabulary which calls them text is wrong.
/// `</s>` is not among them: it is strike-through HTML in Gemma's vocabulary.
const UNMISTAKABLE: [&str; 7] =
    ["<end_of_turn>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>"];

pub(super) fn is_unmistakable(name: &[u8]) -> bool {
    UNMISTAKABLE.iter().any(|n| n.as_bytes() == name)
}

/// Ids of the control tokens with a known name, in order of id.
pub(super) fn by_name(vocabulary: &Vocabulary) -> Vec<TokenId> {
    let mut ids: Vec<(TokenId, &[u8])> = vocabulary
        .of_kind(|k| k == Kind::Control)
        .filter(|(_, bytes)| NAMES.iter().any(|n| n.as_bytes() == *bytes))
        .collect();
    // Where calls and returns have their own tokens, `<|end|>` closes a message among others and
    // the model goes on after it.
    let has = |name: &str| ids.iter().any(|(_, bytes)| *bytes == name.as_bytes());
    if has("<|return|>") && has("<|call|>") {
        ids.retain(|(_, bytes)| *bytes != b"<|end|>");
    }
    ids.into_iter().map(|(id, _)| id).collect()
}
