//! Prompts as text that can be echoed, with the positions of their tokens in it.

use super::model::Served;
use logitree_core::TokenId;
use logitree_engine::tokenizer::Span;

/// A prompt: its tokens, and the text in which it is echoed.
pub struct Prompted {
    pub ids: Vec<TokenId>,
    /// The text that an answer begins with if the prompt is echoed.
    pub echo: String,
    /// Number of characters of `echo` that each token stands for.
    chars: Vec<usize>,
    /// Number of characters of `echo`.
    pub length: usize,
}

impl Prompted {
    /// A prompt given as text, which is echoed unchanged.
    pub fn of_text(text: String, spans: Vec<Span>) -> Prompted {
        let (ids, chars) = spans.into_iter().map(|s| (s.token, s.chars)).unzip();
        Prompted { ids, length: text.chars().count(), echo: text, chars }
    }

    /// A prompt given as tokens, which is echoed as the text that they decode to: without BOS at the beginning, but
    /// with the names of other special tokens.
    pub fn of_ids(ids: Vec<TokenId>, served: &Served<'_>) -> Prompted {
        let mut pieces = served.decode(&ids);
        if served.model.bos().is_some_and(|bos| ids.first() == Some(&bos)) {
            pieces[0] = &[];
        }
        let mut place = Place::default();
        let mut ends: Vec<usize> = pieces.iter().map(|bytes| place.advance(bytes)).skip(1).collect();
        ends.push(place.chars());
        let begins = [0].into_iter().chain(ends.iter().copied());
        let chars = ends.iter().zip(begins).map(|(end, begin)| end - begin).collect();
        Prompted { ids, echo: String::from_utf8_lossy(&pieces.concat()).into_owned(), chars, length: place.chars() }
    }

    /// The prompt of a conversation, which is never echoed.
    pub fn of_chat(ids: Vec<TokenId>) -> Prompted {
        Prompted { chars: vec![0; ids.len()], ids, echo: String::new(), length: 0 }
    }
}

/// A position in an echoed prompt, which advances token by token.
#[derive(Clone, Copy, Default)]
pub struct Reading {
    token: usize,
    byte: usize,
    chars: usize,
}

impl Reading {
    /// The part of the text that the next token stands for, and the number of characters before it.
    pub fn next<'t>(&mut self, prompt: &'t Prompted) -> (&'t str, usize) {
        let rest = prompt.echo.get(self.byte..).unwrap_or_default();
        let chars = prompt.chars.get(self.token).copied().unwrap_or_default();
        let end = rest.char_indices().nth(chars).map_or(rest.len(), |(at, _)| at);
        let offset = self.chars;
        *self = Reading { token: self.token + 1, byte: self.byte + end, chars: offset + chars };
        (&rest[..end], offset)
    }
}

/// Counts the characters of a text that comes as pieces of bytes. Invalid UTF-8 counts as U+FFFD.
#[derive(Clone, Default)]
pub struct Place {
    /// Number of complete characters so far.
    whole: usize,
    /// Bytes of an incomplete character at the end.
    partial: Vec<u8>,
}

impl Place {
    /// Number of characters so far; an incomplete one counts.
    pub fn chars(&self) -> usize {
        self.whole + usize::from(!self.partial.is_empty())
    }

    /// Adds these bytes; returns the number of characters before them.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let before = self.chars();
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut rest = &all[..];
        while let Err(e) = std::str::from_utf8(rest) {
            let (valid, bad) = rest.split_at(e.valid_up_to());
            self.whole += characters(valid);
            let Some(length) = e.error_len() else {
                self.partial = bad.to_vec();
                return before;
            };
            self.whole += 1;
            rest = &bad[length..];
        }
        self.whole += characters(rest);
        before
    }
}

/// Number of characters that begin in these bytes.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text_that_is_shown() {
        let pieces: [&[u8]; 11] =
            [b"a", b"\xf0\x9f", b"\x99\x82", b"b", b"\x80", b"\xed\xa0\x80", b"c", b"\xf0", b"d", b"\xc3", b"\xa9e"];
        let mut place = Place::default();
        let places: Vec<usize> = pieces.iter().map(|p| place.advance(p)).collect();
        assert_eq!(places, [0, 1, 2, 2, 3, 4, 7, 8, 9, 10, 11]);
        assert_eq!(place.chars(), String::from_utf8_lossy(&pieces.concat()).chars().count());
    }
}
