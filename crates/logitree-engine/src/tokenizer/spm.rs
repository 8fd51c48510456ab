//! SentencePiece-style BPE, as Gemma, Llama 1/2 and Mistral use it.
//!
//! This is SentencePiece's `bpe` model (`bpe_model.cc`), which GGUF files call `llama`:
//!
//! ```text
//! symbols = the characters of the text
//! loop:
//!     of all adjacent pairs whose concatenation is a piece, take the one with the best score,
//!     the leftmost of equals; merge it                                      (see `merge.rs`)
//! a remaining character that is no piece becomes its UTF-8 bytes, `<0xE2> <0x96> ..`
//! ```
//!
//! User-defined pieces are cut out of the text before the loop: the leftmost first, and at one place the longest. This
//! is not the Viterbi search of SentencePiece's `unigram` model; the two give different tokens for many texts.
//!
//! SentencePiece writes a space as U+2581 (`▁`) in its pieces and replaces spaces by it in the text, so a literal
//! U+2581 in a text means a space too. Here U+2581 becomes a space in both, which gives the same result with shorter
//! strings, and lets the tokens' own bytes be the keys of the piece table. (The published tokenizer.json of Gemma
//! differs from SentencePiece in this one point: it splits runs that mix literal U+2581 with spaces at each change.
//! This code follows SentencePiece, which trained the model.)

use super::error::{CONVERT, TokenizerError, field};
use super::merge::{Piece, merge};
use super::span::Span;
use super::special::{Fragment, Specials};
use super::vocabulary::{Kind, Vocabulary};
use hashbrown::HashTable;
use logitree_core::TokenId;
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

const ESCAPED_SPACE: &str = "\u{2581}";

/// Pieces and special tokens of a SentencePiece vocabulary. The bytes of the pieces are in [`Vocabulary`].
pub(super) struct Spm {
    /// Ids of the pieces that merging can make, found by their bytes.
    pieces: HashTable<TokenId>,
    /// Hash function with a random seed, so that a hostile vocabulary cannot make all its pieces collide.
    hasher: RandomState,
    /// Score of each token, by id.
    scores: Vec<f32>,
    /// Length in bytes of the longest piece: longer texts need no look-up.
    longest: usize,
    /// The token of each byte; `None` if the vocabulary has none.
    byte_tokens: [Option<TokenId>; 256],
    unknown: Option<TokenId>,
    add_space_prefix: bool,
    specials: Specials,
}

/// The byte that a piece like `<0x0A>` stands for.
pub(super) fn byte_of(piece: &[u8]) -> Option<u8> {
    let digits = piece.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits: [u8; 2] = digits.try_into().ok()?;
    let digit = |d: u8| (d as char).to_digit(16);
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
}

/// `bytes` with every U+2581 replaced by a space.
fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    const MARK: &[u8] = ESCAPED_SPACE.as_bytes();
    if !bytes.contains(&MARK[0]) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(MARK) {
            out.push(b' ');
            rest = after;
        } else {
            out.push(first);
            rest = tail;
        }
    }
    Cow::Owned(out)
}

/// Raw bytes of SentencePiece pieces. Names of control and unknown tokens are kept unchanged.
pub(super) fn vocabulary(pieces: &[impl AsRef<[u8]>], kinds: Vec<Kind>) -> Result<Vocabulary, TokenizerError> {
    let total = pieces.iter().map(|p| p.as_ref().len()).sum();
    let mut vocabulary = Vocabulary::with_capacity(pieces.len(), total);
    for (i, (piece, kind)) in pieces.iter().zip(kinds).enumerate() {
        let piece = piece.as_ref();
        match kind {
            Kind::Byte => {
                let byte = byte_of(piece).ok_or_else(|| {
                    let name = String::from_utf8_lossy(piece);
                    field(
                        "tokenizer.ggml.tokens",
                        format!("byte token {i} is named `{name}`, not like <0x0A>"),
                        CONVERT,
                    )
                })?;
                vocabulary.push(kind, |out| out.push(byte))?;
            }
            Kind::Control | Kind::Unknown => vocabulary.push(kind, |out| out.extend_from_slice(piece))?,
            _ => vocabulary.push(kind, |out| out.extend_from_slice(&unescape(piece)))?,
        }
    }
    Ok(vocabulary)
}

impl Spm {
    /// `scores` has one entry per token.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: Vec<f32>,
        unknown: Option<TokenId>,
        add_space_prefix: bool,
    ) -> Result<Self, TokenizerError> {
        let hasher = RandomState::new();
        let hash = |id: &TokenId| hasher.hash_one(vocabulary.bytes(*id));
        let mut pieces: HashTable<TokenId> = HashTable::with_capacity(vocabulary.len());
        let mut byte_tokens = [None; 256];
        let (mut longest, mut first_unknown) = (0, None);
        for id in vocabulary.ids() {
            let bytes = vocabulary.bytes(id);
            match vocabulary.kind(id) {
                Some(Kind::Normal | Kind::UserDefined | Kind::Unused) => {
                    longest = longest.max(bytes.len());
                    // If several pieces have the same text, the first one is used.
                    pieces.entry(hash(&id), |other| vocabulary.bytes(*other) == bytes, hash).or_insert(id);
                }
                Some(Kind::Byte) => {
                    byte_tokens[bytes[0] as usize].get_or_insert(id);
                }
                Some(Kind::Unknown) => {
                    first_unknown.get_or_insert(id);
                }
                Some(Kind::Control) | None => {}
            }
        }
        let specials = Specials::new(vocabulary, unescape)?;
        // The best score is often written as -0.0, which `total_cmp` orders below 0.0 though they must tie. Adding 0.0
        // turns it into 0.0.
        let scores = scores.into_iter().map(|s| s + 0.0).collect();
        let unknown = unknown.or(first_unknown);
        Ok(Spm { pieces, hasher, scores, longest, byte_tokens, unknown, add_space_prefix, specials })
    }

    /// Splits text into tokens; `vocabulary` is the one given to [`Spm::new`].
    pub(super) fn spans(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        parse_special: bool,
    ) -> Result<Vec<Span>, TokenizerError> {
        if u32::try_from(text.len()).is_err() {
            return Err(TokenizerError::TooLong(text.len()));
        }
        let text: Cow<'_, str> =
            if text.contains(ESCAPED_SPACE) { text.replace(ESCAPED_SPACE, " ").into() } else { text.into() };
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        let mut at_start = true;
        for fragment in self.specials.split(&text, parse_special) {
            match fragment {
                Fragment::Token(token, name) => out.push(Span { token, chars: name.chars().count() }),
                // As in the original Llama tokenizer, the text after a special token is treated like the start of a
                // text: it gets the space in front too.
                Fragment::Text(t) if at_start && self.add_space_prefix => {
                    let first = out.len();
                    self.split(vocabulary, &format!(" {t}"), &mut out)?;
                    // The added space is not part of the caller's text, so it is not counted.
                    if let Some(span) = out.get_mut(first) {
                        span.chars = span.chars.saturating_sub(1);
                    }
                }
                Fragment::Text(t) => self.split(vocabulary, t, &mut out)?,
            }
            at_start = matches!(fragment, Fragment::Token(..));
        }
        Ok(out)
    }

    /// The piece with exactly this text.
    fn piece(&self, vocabulary: &Vocabulary, text: &str) -> Option<TokenId> {
        if text.len() > self.longest {
            return None;
        }
        let hash = self.hasher.hash_one(text.as_bytes());
        self.pieces.find(hash, |&id| vocabulary.bytes(id) == text.as_bytes()).copied()
    }

    /// Splits text without special tokens.
    fn split(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<Span>) -> Result<(), TokenizerError> {
        let find = |text: &str| {
            let id = self.piece(vocabulary, text)?;
            Some(Piece { score: self.scores[id.index()], unused: vocabulary.kind(id) == Some(Kind::Unused) })
        };
        let mut after_unknown = false;
        for part in merge(text, find) {
            after_unknown = match self.piece(vocabulary, part) {
                Some(token) => {
                    out.push(Span { token, chars: part.chars().count() });
                    false
                }
                None => self.fall_back(part, after_unknown, out)?,
            };
        }
        Ok(())
    }

    /// Adds the tokens of a character that is no piece: one token per byte if the vocabulary has them all, else the
    /// unknown token. A run of such characters gives a single unknown token. Returns whether the unknown token was
    /// used.
    fn fall_back(&self, text: &str, after_unknown: bool, out: &mut Vec<Span>) -> Result<bool, TokenizerError> {
        let bytes: Option<Vec<TokenId>> = text.bytes().map(|b| self.byte_tokens[b as usize]).collect();
        if let Some(bytes) = bytes {
            // The token of the first byte counts for the whole character.
            let chars = |i: usize| if i == 0 { text.chars().count() } else { 0 };
            out.extend(bytes.into_iter().enumerate().map(|(i, token)| Span { token, chars: chars(i) }));
            return Ok(false);
        }
        let Some(unknown) = self.unknown else {
            return Err(TokenizerError::Unencodable(format!("{text:?}")));
        };
        if !after_unknown {
            out.push(Span { token: unknown, chars: 0 });
        }
        if let Some(last) = out.last_mut() {
            last.chars += text.chars().count();
        }
        Ok(true)
    }
}
