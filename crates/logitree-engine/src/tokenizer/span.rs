//! A token and its part of a text.

use logitree_core::TokenId;

/// A token in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The token.
    pub token: TokenId,
    /// Characters (Unicode scalar values) of the text that it stands for, behind those of the tokens before it. Of a
    /// character that several tokens make up, the first has it and the others have none; so has a token that the
    /// tokenizer added.
    pub chars: usize,
}
