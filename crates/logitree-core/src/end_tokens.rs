//! Tokens that end a text, a turn or a message: their names, and the ids that several sources give.

use crate::TokenId;

/// The name of an end token.
#[derive(Clone, Copy, Debug)]
pub struct EndName {
    /// The name.
    pub name: &'static str,
    /// Whether nobody would use the name as text, so that a vocabulary in which it is plain text is wrong. `</s>` is
    /// not such a name: in Gemma's vocabulary it is the HTML tag for strike-through.
    pub unmistakable: bool,
    /// Whether a server is asked for this token. Each name costs a request, so only names of widely served models are
    /// asked for. `</s>` comes last, since it is an end token only if there is no other.
    pub asked_for: bool,
}

const fn name(name: &'static str, unmistakable: bool, asked_for: bool) -> EndName {
    EndName { name, unmistakable, asked_for }
}

/// Names that model families use for the end of a text, turn or message, where the vocabulary has them as control
/// tokens. The list follows llama.cpp's, which serves the same files.
pub const NAMES: [EndName; 18] = [
    name("<eos>", false, true),
    name("<end_of_turn>", true, true),
    name("<|im_end|>", true, true),
    name("<|endoftext|>", true, true),
    name("<|eot_id|>", true, true),
    name("<|eom_id|>", true, true),
    name("<|end_of_text|>", true, true),
    name("<|end|>", true, true),
    name("<turn|>", false, true),
    name("</s>", false, true),
    name("<|return|>", false, false),
    name("<|call|>", false, false),
    name("<EOT>", false, false),
    name("_<EOT>", false, false),
    name("[EOT]", false, false),
    name("[EOS]", false, false),
    name("<end_of_utterance>", false, false),
    name("<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>", false, false),
];

/// The ids from several sources, sorted and without duplicates.
pub fn union(ids: impl IntoIterator<Item = TokenId>) -> Vec<TokenId> {
    let mut ids: Vec<TokenId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
