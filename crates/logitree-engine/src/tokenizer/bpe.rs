//! BPE (byte pair encoding) with the merges of GGUF metadata. There are two forms. GPT-2, Llama 3, Qwen and SmolLM
//! write tokens in an alphabet of 256 characters, one for each byte. Gemma 4 writes tokens as text with `▁` for a
//! space, and has one token per byte (`<0x0A>`) for characters that no token contains.
//!
//! The `tokenizers` library, which these models were trained with, does the merging. Special tokens are cut out of the
//! text before the library sees it.

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

/// A BPE tokenizer, and the special tokens that are cut out before it runs.
pub(super) struct Bpe {
    inner: Library,
    normalise: bool,
    /// Whether each byte has a token. Some vocabularies lack rare bytes (SmolLM2 lacks 21), and the library would drop
    /// such bytes without an error.
    covered: [bool; 256],
    specials: Specials,
    /// Only in a vocabulary over text: the tokens that consist of line feeds alone, by their number of line feeds.
    /// Texts are cut at runs of line feeds, and a run that has a token becomes that token, whatever the merges would
    /// give.
    breaks: Option<HashMap<usize, TokenId>>,
}

/// Raw bytes of a byte-level vocabulary. Only normal and byte tokens are written in the byte alphabet; the bytes of
/// other tokens are taken as they are.
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

/// Splits a merge `left right` at its space. Neither part is empty, but a part may itself begin with a space: the first
/// character is never taken as the separator.
fn pair(i: usize, merge: &str) -> Result<(String, String), TokenizerError> {
    let space = merge.as_bytes().iter().skip(1).position(|&b| b == b' ').map(|at| at + 1);
    match space {
        Some(at) if at + 1 < merge.len() && merge.is_char_boundary(at) => {
            Ok((merge[..at].to_owned(), merge[at + 1..].to_owned()))
        }
        _ => Err(field("tokenizer.ggml.merges", format!("entry {i}, {merge:?}, is not two tokens"), CONVERT)),
    }
}

/// Checks that each merge joins two tokens of the vocabulary into a third. The library checks less than that, and
/// panics on some merges that do not.
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
    /// Makes a byte-level tokenizer. `tokens` are the tokens as the file spells them.
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

    /// Makes a tokenizer over text whose spaces are written as `▁`. `tokens` are the tokens as the file spells them; a
    /// token for each of the 256 bytes must be among them.
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

    /// The tokens of [`Bpe::encode`], each with the number of characters of the text that it stands for.
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
                    // Characters that normalisation removed at the end of the text are counted for the last token, so
                    // that the spans cover the whole text.
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

    /// The parts of the text that are split separately: the whole text, or, if there are tokens for line feeds, the
    /// lines and the runs of line feeds between them.
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

    /// The token for this run of line feeds, if `piece` is such a run and the vocabulary has a token for it.
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
