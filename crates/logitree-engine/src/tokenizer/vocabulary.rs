//! The tokens of a vocabulary, each with its raw bytes and its kind.

use super::error::{CONVERT, TokenizerError, field};
use logitree_core::TokenId;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text.
    Normal,
    /// Stands for text that the vocabulary cannot express.
    Unknown,
    /// Structure, such as `<eos>`: never text.
    Control,
    /// Text that is always a token of its own, matched before anything else.
    UserDefined,
    /// Takes part in merges but is never produced.
    Unused,
    /// One byte of a character that has no token.
    Byte,
}

impl Kind {
    /// The kind for a number of `tokenizer.ggml.token_type`. The number 0 (undefined) counts as normal text.
    pub(super) fn from_gguf(t: i32) -> Option<Kind> {
        Some(match t {
            0 | 1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => return None,
        })
    }

    /// Whether the token marks structure and is not text.
    pub(super) fn is_special(self) -> bool {
        matches!(self, Kind::Control | Kind::Unknown)
    }
}

/// All tokens, with their raw bytes in one buffer, because a quarter of a million small allocations would take more
/// time than everything else in loading a tokenizer.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// End of each token in `bytes`. A token starts where the one before it ends.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
}

impl Vocabulary {
    pub(super) fn with_capacity(tokens: usize, bytes: usize) -> Self {
        Vocabulary {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
        }
    }

    /// Adds the next token; `write` appends its bytes.
    pub(super) fn push(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TokenizerError> {
        write(&mut self.bytes);
        let end = u32::try_from(self.bytes.len())
            .map_err(|_| field("tokenizer.ggml.tokens", "more than 4 GiB of text".to_owned(), CONVERT))?;
        self.ends.push(end);
        self.kinds.push(kind);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Raw bytes of a token; empty for an id outside the vocabulary.
    pub(super) fn bytes(&self, id: TokenId) -> &[u8] {
        let i = id.index();
        let Some(&end) = self.ends.get(i) else { return &[] };
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start as usize..end as usize]
    }

    pub(super) fn kind(&self, id: TokenId) -> Option<Kind> {
        self.kinds.get(id.index()).copied()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = TokenId> + use<> {
        (0..self.ends.len() as u32).map(TokenId)
    }

    /// The tokens of the kinds that `want` accepts, with their bytes, in order of id.
    pub(super) fn of_kind(&self, want: impl Fn(Kind) -> bool) -> impl Iterator<Item = (TokenId, &[u8])> {
        self.ids().filter(move |&id| want(self.kinds[id.index()])).map(|id| (id, self.bytes(id)))
    }
}
