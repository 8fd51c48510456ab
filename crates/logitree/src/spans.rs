//! The spans of a scored text: words, lines, sentences and parts, each with its log probability.

use crate::boundaries::Pieces;
use crate::error::{Result, fail};
use crate::{Model, Prompt, Scored};
use logitree_core::spans::{self, Piece, Span, Unit};
use std::ops::Range;

/// A span of a scored text.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredSpan {
    /// Its text, with the white space that belongs to it. Bytes that are no UTF-8 are replacement characters.
    pub text: String,
    /// Where its scored tokens are in [`Scored::tokens`].
    pub tokens: Range<usize>,
    /// Sum of its tokens' logprobs, in nats.
    pub token_logprob: f64,
    /// Its logprob in nats: of words, with the correction for white space ([`logitree_core::spans`]).
    pub logprob: f64,
    /// Whether `logprob` is that of the unit. It is not for a word where a server tells no whole distributions.
    pub exact: bool,
}

impl ScoredSpan {
    /// Surprisal in bits.
    pub fn bits(&self) -> f64 {
        // `0.0 - x` does not give "-0" for a certain span.
        0.0 - self.logprob / std::f64::consts::LN_2
    }
}

/// The `most` spans of which the model was least confident, in the order of the text: those with the largest surprisal;
/// of lines and sentences, which are long and short, those with the largest surprisal per token. Of equal ones, the
/// first.
pub fn least_confident(spans: &[ScoredSpan], by: Unit, most: usize) -> Vec<&ScoredSpan> {
    let surprisal = |s: &ScoredSpan| match by {
        Unit::Token | Unit::Word => s.bits(),
        Unit::Line | Unit::Sentence => s.bits() / s.tokens.len().max(1) as f64,
    };
    let mut order: Vec<&ScoredSpan> = spans.iter().collect();
    order.sort_by(|a, b| surprisal(b).total_cmp(&surprisal(a)));
    order.truncate(most);
    order.sort_by_key(|s| s.tokens.start);
    order
}

impl Model {
    /// The spans of a scored text, as far as they are scored. For words, the text must have been scored with
    /// [`ScoreOptions::words`](crate::ScoreOptions::words).
    pub fn spans(&self, prompt: &Prompt, scored: &Scored, by: Unit) -> Vec<ScoredSpan> {
        let text = Pieces::of(self, &prompt.tokens[scored.start..]);
        let spans = spans::cut(&text.list(), by);
        spans.into_iter().filter_map(|span| scored.span(&text.list(), span, by == Unit::Word)).collect()
    }

    /// The fewest tokens of a scored text that have all of these characters, counted from 0 at the start of the text;
    /// the end is not among them. A token across the range's start or end is taken whole.
    ///
    /// # Errors
    /// If the range is empty or ends behind the text, or none of its tokens is scored.
    pub fn span_of_characters(&self, prompt: &Prompt, scored: &Scored, range: Range<usize>) -> Result<ScoredSpan> {
        let text = Pieces::of(self, &prompt.tokens[scored.start..]);
        let pieces = text.list();
        let whole = logitree_core::token::decode(pieces.iter().map(|p| p.bytes));
        let bytes = spans::bytes_of_characters(&whole, range.clone());
        let span = bytes.and_then(|bytes| spans::covering(&pieces, bytes));
        let found = span.and_then(|span| scored.span(&pieces, span, false));
        match found {
            Some(found) => Ok(found),
            None => fail!(
                Parameter("range"),
                "`range` {}..{} is no part of the scored text, which has the characters 0..{}",
                range.start,
                range.end,
                whole.chars().count()
            ),
        }
    }
}

impl Scored {
    /// A span of the text's tokens, if all of it that has a score is scored. The first token of a text may have none.
    fn span(&self, text: &[Piece<'_>], span: Span, word: bool) -> Option<ScoredSpan> {
        let unscored = self.start.max(1) - self.start;
        let tokens = span.tokens.start.saturating_sub(unscored)..span.tokens.end.checked_sub(unscored)?;
        if tokens.is_empty() || tokens.end > self.tokens.len() {
            return None;
        }
        let sum: f64 = self.tokens[tokens.clone()].iter().map(|t| t.token.logprob).sum();
        let control = text[span.tokens.clone()].iter().all(|p| p.control);
        let ends = [span.tokens.start, span.tokens.end].map(|at| self.boundaries.get(at).copied().flatten());
        let (logprob, exact) = match ends {
            _ if !word || control => (sum, true),
            [Some(before), Some(after)] => (spans::corrected(sum, before, after), true),
            _ => (sum, false),
        };
        let text = logitree_core::token::decode(text[span.tokens].iter().map(|p| p.bytes));
        Some(ScoredSpan { text, tokens, token_logprob: sum, logprob, exact })
    }
}
