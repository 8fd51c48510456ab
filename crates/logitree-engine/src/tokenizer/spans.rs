//! Which part of a text each token stands for.
//!
//! Tokens and texts differ where a tokenizer puts a space in front, brings letters into a normal form or writes an
//! unknown character as `<unk>`. Whoever points from a token into the text needs the text's own characters.

use super::encode::{Engine, Tokenizer};
use super::error::TokenizerError;
use super::span::Span;
use super::vocabulary::Kind;
use logitree_core::TokenId;

impl Tokenizer {
    /// The tokens of [`Tokenizer::encode`], each with the characters of `text` that it stands for.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn encode_spans(&self, text: &str, parse_special: bool) -> Result<Vec<Span>, TokenizerError> {
        let mut spans = match &self.engine {
            Engine::Spm(spm) => spm.spans(&self.vocabulary, text, parse_special)?,
            Engine::Bpe(bpe) => bpe.spans(text, parse_special)?,
            Engine::Folder(folder) => folder.spans(&self.vocabulary, text, parse_special)?,
        };
        self.check_rows(spans.iter().map(|s| s.token))?;
        // What a normal form dropped at the end belongs to the last token.
        let told: usize = spans.iter().map(|s| s.chars).sum();
        if let Some(last) = spans.last_mut() {
            last.chars += text.chars().count().saturating_sub(told);
        }
        self.give_back(text, &mut spans);
        Ok(spans)
    }

    /// What a normal form joined to a character counts for the token behind it: an accent that became part of its
    /// letter. It goes to the token in front, where the one behind is in the text as it is.
    fn give_back(&self, text: &str, spans: &mut [Span]) {
        let mut rest = text;
        for i in 0..spans.len() {
            let end = rest.char_indices().nth(spans[i].chars).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(end);
            rest = after;
            let own = std::str::from_utf8(self.vocabulary.bytes(spans[i].token)).unwrap_or_default();
            let Some(front) = piece.strip_suffix(own).filter(|f| i > 0 && !own.is_empty() && !f.is_empty()) else {
                continue;
            };
            if !front.contains(char::is_whitespace) {
                let moved = front.chars().count();
                spans[i].chars -= moved;
                spans[i - 1].chars += moved;
            }
        }
    }

    /// The bytes that each of these tokens stands for in the text that they make, without the spaces that
    /// [`Tokenizer::encode`] puts in front: for most texts, their tokens make them again.
    pub fn decode<'t>(&'t self, ids: &[TokenId]) -> Vec<&'t [u8]> {
        let (first, later) = self.added_spaces();
        let mut at_start = first;
        let text = |(i, &id): (usize, &TokenId)| {
            let bytes = self.vocabulary.bytes(id);
            if matches!(self.vocabulary.kind(id), Some(Kind::Control | Kind::UserDefined)) {
                // A run of spaces may have a name of its own. No space is put in front of a name, but behind it; where
                // there is none behind it, the token was made of the space in front and of those of the text.
                let next = ids.get(i + 1).map_or(&[][..], |&next| self.vocabulary.bytes(next));
                let merged = at_start && later && bytes.starts_with(b" ") && !next.starts_with(b" ");
                // A BOS in front need not be part of the text, which then begins behind it.
                at_start = if i == 0 && Some(id) == self.bos { first } else { later && !merged };
                return if merged { &bytes[1..] } else { bytes };
            }
            let strip = std::mem::replace(&mut at_start, false);
            if strip { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes }
        };
        ids.iter().enumerate().map(text).collect()
    }

    /// Whether a space is put in front of a text, and of what follows a special token.
    fn added_spaces(&self) -> (bool, bool) {
        let adds = |before: Option<TokenId>| {
            let name = before.map_or("".into(), |id| self.name(id));
            let ids = self.encode(&format!("{name}a"), true).unwrap_or_default();
            let text = ids.get(usize::from(before.is_some())).map_or(&[][..], |&id| self.vocabulary.bytes(id));
            text.starts_with(b" ")
        };
        let first = adds(None);
        let special = self.bos.or(self.eos).or_else(|| self.end_tokens_by_name().first().copied());
        (first, first && special.is_some_and(|id| adds(Some(id))))
    }
}
