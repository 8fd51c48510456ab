//! BPE by merges from GGUF metadata: over a byte alphabet, as GPT-2, Llama 3, Qwen and SmolLM use it, or over text whose spaces are
//! written as `▁`, with tokens of single bytes for what is no token, as Gemma 4 does.
//!
//! The merging is done by the `tokenizers` library, which these models were trained with. Special
//! tokens are cut out of the text before it sees any.

use super::bytes;
use super::error::{CONVERT, TokenizerError, field};
use super::library::pre::{Rule, check_space};
use super::library::{Library, Merges, Vocab, normal_form};
use super::span::Span;
use super::special::{Fragment, Specials};
use super::vocabulary::{Kind, Vocabulary};
use logitree_core::TokenId;
use std::borrow::Cow;
use std::collections::HashMap;

/// A byte-level BPE tokenizer without its special tokens, and those.
pub(super) struct Bpe {
    inner: Library,
    normalise: bool,
    /// Whether a byte has a token. Vocabularies without rare bytes exist (SmolLM2 lacks 21), and
    /// the library would drop such bytes without a word.
    covered: [bool; 256],
    specials: Specials,
    /// In a vocabulary over text: tokens that are nothing but line feeds, by their number. A run of line feeds that is a token is
    /// that token, whatever merges say; texts are cut there.
    breaks: Option<HashMap<usize, TokenId>>,
}

/// Raw bytes of a byte-level vocabulary. Only plain tokens are in the byte alphabet; the others
/// are written as they are.
pub(super) fn vocabulary(tokens: &[&[u8]], kinds: Vec<Kind>) -> Result<Vocabulary, TokenizerError> {
    let mut vocabulary = Vocabulary::with_capacity(tokens.len(), tokens.iter().map(|t| t.len()).sum());
    for (i, (token, kind)) in tokens.iter().zip(kinds).enumerate() {
        match kind {
            Kind::Normal | Kind::Byte => {
                let text = utf8(i, token)?;
                vocabulary.push(kind, |out| bytes::decode(text, out))?;
            }
            _ => vocabulary.push(kind, |out| out.extend_from_slice(token))?,
        }
    }
    Ok(vocabulary)
}

fn utf8(i: usize, token: &[u8]) -> Result<&str, TokenizerError> {
    std::str::from_utf8(token).map_err(|_| field("tokenizer.ggml.tokens", format!("entry {i} is not UTF-8"), CONVERT))
}

/// Splits `left right`; either may begin with what looks like a separator, but is never empty.
fn pair(i: usize, merge: &str) -> Result<(String, String), TokenizerError> {
    let space = merge.as_bytes().iter().skip(1).position(|&b| b == b' ').map(|at| at + 1);
    match space {
        Some(at) if at + 1 < merge.len() && merge.is_char_boundary(at) => {
            Ok((merge[..at].to_owned(), merge[at + 1..].to_owned()))
        }
        _ => Err(field("tokenizer.ggml.merges", format!("entry {i}, {merge:?}, is not two tokens"), CONVERT)),
    }
}

/// The merges, each of two tokens that make a third. The library looks at less and panics on some
/// that don't.
fn checked_merges(ids: &Vocab, merges: &[&str]) -> Result<Merges, TokenizerError> {
    let mut whole = String::new();
    let check = |(i, merge): (usize, &&str)| {
        let (left, right) = pair(i, merge)?;
        whole.clear();
        whole.push_str(&left);
        whole.push_str(&right);
        let missing = [&left, &right, &whole].into_iter().find(|t| !ids.contains_key(t.as_str())).cloned();
        match missing {
            None => Ok((left, right)),
            Some(missing) => {
                let problem = format!("entry {i}, {merge:?}, needs {missing:?}, which is not in the vocabulary");
                Err(field("tokenizer.ggml.merges", problem, CONVERT))
            }
        }
    };
    merges.iter().enumerate().map(check).collect()
}

impl Bpe {
    /// `tokens` are the tokens as the file spells them.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        tokens: &[&[u8]],
        merges: &[&str],
        pre: &Rule,
    ) -> Result<Self, TokenizerError> {
        let mut covered = [false; 256];
        let mut ids = Vocab::with_capacity(tokens.len());
        for (id, _) in vocabulary.of_kind(|k| matches!(k, Kind::Normal | Kind::Byte)) {
            let spelled = utf8(id.index(), tokens[id.index()])?;
            if let Some(b) = bytes::single(spelled) {
                covered[b as usize] = true;
            }
            ids.entry(spelled.to_owned()).or_insert(id.0);
        }
        let merges = checked_merges(&ids, merges)?;
        let inner = Library::byte_level(ids, merges, pre).map_err(|e| field("tokenizer.ggml.merges", e, CONVERT))?;
        let specials = Specials::new(vocabulary, as_written)?;
        Ok(Bpe { inner, normalise: pre.normalises, covered, specials, breaks: None })
    }

    /// Over text whose spaces are `▁`. `tokens` are the tokens as the file spells them; all single bytes must be among them.
    pub(super) fn over_text(
        vocabulary: &Vocabulary,
        tokens: &[&[u8]],
        merges: &[&str],
        unknown: Option<TokenId>,
    ) -> Result<Self, TokenizerError> {
        let mut ids = Vocab::with_capacity(tokens.len());
        for (i, token) in tokens.iter().enumerate() {
            ids.entry(utf8(i, token)?.to_owned()).or_insert(i as u32);
        }
        if let Some(missing) = (0..=u8::MAX).map(|b| format!("<0x{b:02X}>")).find(|name| !ids.contains_key(name)) {
            let problem = format!("has no {missing}, with which texts are written that are no tokens");
            return Err(field("tokenizer.ggml.tokens", problem, CONVERT));
        }
        let runs =
            vocabulary.of_kind(|kind| kind == Kind::Normal).filter(|(_, bytes)| bytes.iter().all(|&b| b == b'\n'));
        let breaks = Some(runs.map(|(id, bytes)| (bytes.len(), id)).collect());
        let merges = checked_merges(&ids, merges)?;
        let unknown = unknown.map(|id| utf8(id.index(), tokens[id.index()])).transpose()?.map(str::to_owned);
        let inner = Library::over_text(ids, merges, unknown).map_err(|e| field("tokenizer.ggml.merges", e, CONVERT))?;
        let specials = Specials::new(vocabulary, as_written)?;
        Ok(Bpe { inner, normalise: false, covered: [true; 256], specials, breaks })
    }

    /// Splits text into tokens.
    pub(super) fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, TokenizerError> {
        check_space(text)?;
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        for fragment in self.specials.split(text, parse_special) {
            match fragment {
                Fragment::Token(id, _) => out.push(id),
                Fragment::Text(text) => self.split(text, &mut out)?,
            }
        }
        Ok(out)
    }

    /// The tokens with the characters of the text that each stands for.
    pub(super) fn spans(&self, text: &str, parse_special: bool) -> Result<Vec<Span>, TokenizerError> {
        check_space(text)?;
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        for fragment in self.specials.split(text, parse_special) {
            match fragment {
                Fragment::Token(token, name) => out.push(Span { token, chars: name.chars().count() }),
                Fragment::Text(text) => {
                    let first = out.len();
                    self.check_covered(text)?;
                    for piece in self.pieces(text) {
                        match self.line_break(piece) {
                            Some(token) => out.push(Span { token, chars: piece.len() }),
                            None => out.extend(self.inner.spans(piece, false)?),
                        }
                    }
                    // What a normal form dropped at the end belongs to the last token.
                    let told: usize = out[first..].iter().map(|s: &Span| s.chars).sum();
                    if let Some(last) = out[first..].last_mut() {
                        last.chars += text.chars().count().saturating_sub(told);
                    }
                }
            }
        }
        Ok(out)
    }

    fn check_covered(&self, text: &str) -> Result<(), TokenizerError> {
        let text = if self.normalise { Cow::Owned(normal_form(text)?) } else { Cow::Borrowed(text) };
        match text.bytes().find(|&b| !self.covered[b as usize]) {
            Some(b) => Err(TokenizerError::Unencodable(format!("the byte 0x{b:02X}"))),
            None => Ok(()),
        }
    }

    fn split(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        self.check_covered(text)?;
        for piece in self.pieces(text) {
            match self.line_break(piece) {
                Some(token) => out.push(token),
                None => out.extend(self.inner.encode(piece, false, false)?),
            }
        }
        Ok(())
    }

    /// What is split on its own: the whole text, or its lines and the line feeds between them.
    fn pieces<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let cut = self.breaks.is_some();
        let mut rest = text;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let same = |c: char| (c == '\n') == (first == '\n');
            let end = if cut { rest.find(|c| !same(c)).unwrap_or(rest.len()) } else { rest.len() };
            let (piece, after) = rest.split_at(end);
            rest = after;
            Some(piece)
        })
    }

    /// The token that a run of line feeds is.
    fn line_break(&self, piece: &str) -> Option<TokenId> {
        self.breaks.as_ref().filter(|_| piece.starts_with('\n'))?.get(&piece.len()).copied()
    }
}

fn as_written(name: &[u8]) -> Cow<'_, [u8]> {
    Cow::Borrowed(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_split_at_the_right_space() {
        assert_eq!(pair(0, "Ġ a").unwrap(), ("Ġ".to_owned(), "a".to_owned()));
        for bad in ["", "a", "a ", " a", "Ġa"] {
            let error = pair(7, bad).unwrap_err().to_string();
            assert!(error.contains("tokenizer.ggml.merges") && error.contains("entry 7"), "{error}");
        }
    }
}
