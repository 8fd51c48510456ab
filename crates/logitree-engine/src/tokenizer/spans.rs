//! Which part of a text each token stands for.
//!
//! The tokens' bytes differ from the text where a tokenizer adds a space in front, normalises characters, or writes an
//! unknown character as `<unk>`. A caller that marks a token within the text needs the positions in the text itself.

use super::encode::{Engine, Tokenizer};
use super::error::TokenizerError;
use super::span::Span;
use super::vocabulary::Kind;
use logitree_core::TokenId;

impl Tokenizer {
    /// The tokens of [`Tokenizer::encode`], each with the number of characters of `text` that it stands for.
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
        // Characters that normalisation removed at the end of the text are counted for the last token, so that the
        // spans cover the whole text.
        let told: usize = spans.iter().map(|s| s.chars).sum();
        if let Some(last) = spans.last_mut() {
            last.chars += text.chars().count().saturating_sub(told);
        }
        self.give_back(text, &mut spans);
        Ok(spans)
    }

    /// When normalisation joins a combining accent to the letter before it, the library counts the accent for the next
    /// token. This moves it back to the token before, if the rest of the next token's span is exactly that token's own
    /// text.
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
    /// [`Tokenizer::encode`] adds in front. For most texts, encoding the joined bytes gives the same tokens again.
    pub fn decode<'t>(&'t self, ids: &[TokenId]) -> Vec<&'t [u8]> {
        let (first, later) = self.added_spaces();
        let mut at_start = first;
        let text = |(i, &id): (usize, &TokenId)| {
            let bytes = self.vocabulary.bytes(id);
            if matches!(self.vocabulary.kind(id), Some(Kind::Control | Kind::UserDefined)) {
                // A user-defined token may be a run of spaces. `encode` adds no space before such a token, but adds one
                // to the text after it. If the next token does not begin with a space, the added space was merged into
                // this token and is removed from it.
                let next = ids.get(i + 1).map_or(&[][..], |&next| self.vocabulary.bytes(next));
                let merged = at_start && later && bytes.starts_with(b" ") && !next.starts_with(b" ");
                // A BOS at the start is usually not part of the text, which then begins after it.
                at_start = if i == 0 && Some(id) == self.bos { first } else { later && !merged };
                return if merged { &bytes[1..] } else { bytes };
            }
            let strip = std::mem::replace(&mut at_start, false);
            if strip { bytes.strip_prefix(b" ").unwrap_or(bytes) } else { bytes }
        };
        ids.iter().enumerate().map(text).collect()
    }

    /// Whether `encode` adds a space at the start of a text, and at the start of the text after a special token. Both
    /// are found by encoding a short text.
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
