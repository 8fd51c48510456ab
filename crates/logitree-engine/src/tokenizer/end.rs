//! Recognises end tokens by their names.

use super::vocabulary::{Kind, Vocabulary};
use logitree_core::TokenId;
use logitree_core::end_tokens::NAMES;

/// Whether the name of an end token is so specific that it cannot be ordinary text.
pub(super) fn is_unmistakable(name: &[u8]) -> bool {
    NAMES.iter().any(|n| n.unmistakable && n.name.as_bytes() == name)
}

/// Ids of the control tokens with a known name, in order of id.
pub(super) fn by_name(vocabulary: &Vocabulary) -> Vec<TokenId> {
    let mut ids: Vec<(TokenId, &[u8])> = vocabulary
        .of_kind(|k| k == Kind::Control)
        .filter(|(_, bytes)| NAMES.iter().any(|n| n.name.as_bytes() == *bytes))
        .collect();
    // In a vocabulary with tokens for calls and returns, `<|end|>` only closes one message, and the model continues
    // after it.
    let has = |name: &str| ids.iter().any(|(_, bytes)| *bytes == name.as_bytes());
    if has("<|return|>") && has("<|call|>") {
        ids.retain(|(_, bytes)| *bytes != b"<|end|>");
    }
    ids.into_iter().map(|(id, _)| id).collect()
}
