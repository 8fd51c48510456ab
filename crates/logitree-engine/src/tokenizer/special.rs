//! Finds special tokens in text, before the text is processed in any other way.

use super::error::{CONVERT, TokenizerError, field};
use super::vocabulary::{Kind, Vocabulary};
use aho_corasick::{AhoCorasick, Input, MatchKind};
use logitree_core::TokenId;
use std::borrow::Cow;

/// A part of a text: a special token, or text between special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// Text that has not been split yet; never empty.
    Text(&'t str),
    /// A special token, and its name as written in the text.
    Token(TokenId, &'t str),
}

/// Finds names of tokens in text: the leftmost match first, and of the names that match there the longest.
///
/// SentencePiece and Hugging Face's added tokens match this way. (llama.cpp instead looks for the
/// longest name in the whole text first; the two differ only where names overlap in the text.)
#[derive(Debug)]
pub(super) struct SpecialMatcher {
    /// `None` if there are no names.
    automaton: Option<AhoCorasick>,
    ids: Vec<TokenId>,
}

impl SpecialMatcher {
    /// Makes a matcher for these names. Names that are empty or not UTF-8 are ignored, because they cannot be found in
    /// a text. If names are equal, the first one is found.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = (TokenId, Cow<'a, [u8]>)>) -> Result<Self, TokenizerError> {
        let (ids, names): (Vec<TokenId>, Vec<Cow<'a, [u8]>>) =
            names.into_iter().filter(|(_, name)| !name.is_empty() && std::str::from_utf8(name).is_ok()).unzip();
        let automaton = if names.is_empty() {
            None
        } else {
            let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&names);
            Some(automaton.map_err(|e| field("tokenizer.ggml.tokens", format!("special tokens: {e}"), CONVERT))?)
        };
        Ok(SpecialMatcher { automaton, ids })
    }

    /// Cuts the text at every special token.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let mut done = 0;
        let found = self.automaton.iter().flat_map(|a| a.find_iter(Input::new(text)));
        for m in found {
            if m.start() > done {
                fragments.push(Fragment::Text(&text[done..m.start()]));
            }
            fragments.push(Fragment::Token(self.ids[m.pattern().as_usize()], &text[m.range()]));
            done = m.end();
        }
        if done < text.len() {
            fragments.push(Fragment::Text(&text[done..]));
        }
        fragments
    }
}

/// The two matchers of a vocabulary: with and without the names of control tokens.
#[derive(Debug)]
pub(super) struct Specials {
    text: SpecialMatcher,
    all: SpecialMatcher,
}

impl Specials {
    /// `spell` turns a token's bytes into the form that they have in the text to be searched.
    pub(super) fn new(vocabulary: &Vocabulary, spell: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Result<Self, TokenizerError> {
        let matcher = |want: fn(Kind) -> bool| {
            SpecialMatcher::new(vocabulary.of_kind(want).map(|(id, bytes)| (id, spell(bytes))))
        };
        Ok(Specials {
            text: matcher(|k| k == Kind::UserDefined)?,
            all: matcher(|k| k == Kind::UserDefined || k.is_special())?,
        })
    }

    pub(super) fn split<'t>(&self, text: &'t str, parse_special: bool) -> Vec<Fragment<'t>> {
        if parse_special { self.all.split(text) } else { self.text.split(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'t>(names: &[&str], text: &'t str) -> Vec<Fragment<'t>> {
        let names = names.iter().enumerate().map(|(i, n)| (TokenId(i as u32), Cow::Borrowed(n.as_bytes())));
        SpecialMatcher::new(names).unwrap().split(text)
    }

    #[test]
    fn the_leftmost_then_the_longest_wins() {
        use Fragment::*;
        assert_eq!(
            split(&["\n", "\n\n\n", "\n\n"], "a\n\n\n\nb"),
            [Text("a"), Token(TokenId(1), "\n\n\n"), Token(TokenId(0), "\n"), Text("b")]
        );
        // The result is not "a" + `bcd`, although that name is longer, because the leftmost match wins.
        assert_eq!(split(&["ab", "bcd"], "abcd"), [Token(TokenId(0), "ab"), Text("cd")]);
    }

    #[test]
    fn empty_and_non_text_names_match_nothing() {
        let names: [(TokenId, Cow<'_, [u8]>); 2] =
            [(TokenId(0), Cow::Borrowed(b"")), (TokenId(1), Cow::Borrowed(b"\xc3"))];
        let matcher = SpecialMatcher::new(names).unwrap();
        assert_eq!(matcher.split("\u{e9}"), [Fragment::Text("\u{e9}")]);
        assert_eq!(matcher.split(""), []);
    }
}
