//! A token with its part of a text.

use logitree_core::TokenId;

/// A token that stands for a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The token.
    pub token: TokenId,
    /// Number of characters (Unicode scalar values) of the text that the token stands for, after those of the tokens
    /// before it. If several tokens make up one character, the first of them counts 1 and the others 0. A token that
    /// the tokenizer added counts 0.
    pub chars: usize,
}
