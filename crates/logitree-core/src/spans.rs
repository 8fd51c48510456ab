//! Cuts a text of tokens into words, lines and sentences, and finds the tokens of a part of it.
//!
//! Models give tokens probabilities, and readers ask about words. Every span here is made of whole tokens, and the
//! spans of a text make up all of it, so that sums over spans are sums over the text:
//!
//! * White space in front of a word belongs to the word, and what is left at the end to the last word. It is the same
//!   for sentences, and for lines, whose line feed belongs to the line that it ends. Empty lines belong to the next.
//! * A token that has bytes of two words (or lines, or sentences) joins them into one span: nothing tells their
//!   probabilities apart.
//! * A control token is a span of its own.
//!
//! A token such as `·cat` tells where its word begins and leaves open where it ends: `·cat` may go on to `·catch`. The
//! product of its tokens' probabilities is therefore not the probability of a word. After Pimentel and Meister (2024),
//! "How to Compute the Probability of a Word" (EMNLP; the same was found by Oh and Schuler, 2024), with `B(i)` the
//! probability that the token at position i begins with white space or is a control token,
//!
//! ```text
//! ln P(word | before) = Σ ln p(token) + ln B(position after the word) − ln B(position of the word)
//! ```
//!
//! where `B` is 1 if what stands before the position decides that a word begins there: nothing at all, a control
//! token, or white space.

use crate::{Distribution, logprob};
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// What a text is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single tokens.
    Token,
    /// Words: what stands between white space, punctuation included.
    Word,
    /// Lines.
    Line,
    /// Sentences, by the rules of Unicode (UAX #29).
    Sentence,
}

/// A token of a text.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Its bytes; of a control token, those of its name.
    pub bytes: &'a [u8],
    /// Whether it is a control token rather than text.
    pub control: bool,
}

impl Piece<'_> {
    /// Whether no word goes on with this token: it begins with white space, or is a control token.
    pub fn ends_word_before(&self) -> bool {
        self.control || characters(self.bytes).chars().next().is_some_and(char::is_whitespace)
    }

    /// Whether the next token cannot go on with a word of this one: it ends with white space, or is a control token.
    fn ends_word_inside(&self) -> bool {
        self.control || characters(self.bytes).chars().next_back().is_some_and(char::is_whitespace)
    }
}

/// A part of a text, in whole tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The positions of its tokens.
    pub tokens: Range<usize>,
    /// The positions of its bytes in the bytes of all tokens.
    pub bytes: Range<usize>,
}

/// Cuts a text into spans, which together have each of its tokens once, in order.
pub fn cut(pieces: &[Piece<'_>], by: Unit) -> Vec<Span> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for run in pieces.chunk_by(|a, b| !a.control && !b.control) {
        match by {
            Unit::Token => spans.extend((start..start + run.len()).map(|i| i..i + 1)),
            _ if run[0].control => spans.push(start..start + 1),
            _ => join(run, start, &contents(run, by), &mut spans),
        }
        start += run.len();
    }
    let ends = ends(pieces);
    let offset = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
    spans.into_iter().map(|tokens| Span { bytes: offset(tokens.start)..offset(tokens.end), tokens }).collect()
}

/// Cuts a text that is not in tokens into the bytes of its spans, which together are the text. [`Unit::Token`] gives its
/// characters.
pub fn of_text(text: &str, by: Unit) -> Vec<Range<usize>> {
    let bytes = |(at, c): (usize, char)| &text.as_bytes()[at..at + c.len_utf8()];
    let pieces: Vec<Piece<'_>> = text.char_indices().map(|c| Piece { bytes: bytes(c), control: false }).collect();
    cut(&pieces, by).into_iter().map(|span| span.bytes).collect()
}

/// The tokens that have these bytes of the text: the fewest, so that the span may be longer than what was asked for.
/// `None` if the range is empty or ends behind the text.
pub fn covering(pieces: &[Piece<'_>], bytes: Range<usize>) -> Option<Span> {
    let ends = ends(pieces);
    if bytes.is_empty() || bytes.end > *ends.last()? {
        return None;
    }
    let first = ends.partition_point(|&end| end <= bytes.start);
    let last = ends.partition_point(|&end| end < bytes.end);
    let start = if first == 0 { 0 } else { ends[first - 1] };
    Some(Span { tokens: first..last + 1, bytes: start..ends[last] })
}

/// The positions of the bytes of these characters of a text. `None` if it has fewer characters.
pub fn bytes_of_characters(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let start = offsets.clone().nth(range.start)?;
    Some(start..offsets.nth(range.end)?)
}

/// Whether the tokens before a position leave open that a word begins there, and one does: at a token that ends the
/// word before, and at the end of the text.
pub fn is_open_boundary(pieces: &[Piece<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| pieces.get(i));
    before.is_some_and(|p| !p.ends_word_inside()) && pieces.get(at).is_none_or(Piece::ends_word_before)
}

/// `ln B`, in nats: the log probability that the next token does not go on with the word before it. `ends_word` says of
/// every token of the vocabulary whether [`Piece::ends_word_before`]. `None` if the distribution has no logits.
pub fn boundary_logprob(d: &Distribution, ends_word: &[bool]) -> Option<f64> {
    let logits = d.logits.as_ref()?;
    let of_boundary = logits.iter().zip(ends_word).filter(|(_, ends)| **ends);
    let mass: f64 = of_boundary.map(|(&l, _)| logprob(l, d.logsumexp).exp()).sum();
    Some(mass.ln().min(0.0))
}

/// The log probability of a word in nats, from the sum of its tokens' and `ln B` before and after it (0 where `B` is 1).
pub fn corrected(logprob: f64, before: f64, after: f64) -> f64 {
    logprob + after - before
}

/// Position behind the last byte of each token.
fn ends(pieces: &[Piece<'_>]) -> Vec<usize> {
    let mut end = 0;
    pieces
        .iter()
        .map(|p| {
            end += p.bytes.len();
            end
        })
        .collect()
}

/// The bytes as text of the same length: a byte that is no UTF-8 becomes a sign that is neither space nor end of
/// sentence.
fn characters(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '_'));
    }
    text
}

/// Where the units have their content in the bytes of these tokens: from the first to the last character that is not
/// white space, of lines to the line feed.
fn contents(run: &[Piece<'_>], by: Unit) -> Vec<Range<usize>> {
    let text = characters(&run.iter().flat_map(|p| p.bytes).copied().collect::<Vec<u8>>());
    let parts: Vec<&str> = match by {
        Unit::Token => Vec::new(),
        Unit::Word => text.split_inclusive(char::is_whitespace).collect(),
        Unit::Line => text.split_inclusive('\n').collect(),
        Unit::Sentence => text.split_sentence_bounds().collect(),
    };
    let mut at = 0;
    let content = |part: &str| {
        let start = at + part.len() - part.trim_start().len();
        let end = at + if by == Unit::Line { part.len() } else { part.trim_end().len() };
        at += part.len();
        (!part.trim().is_empty()).then_some(start..end)
    };
    parts.into_iter().filter_map(content).collect()
}

/// Puts the tokens of a run, which begins at token `start`, into spans: one for each content, and one for those that
/// a token joins.
fn join(run: &[Piece<'_>], start: usize, contents: &[Range<usize>], spans: &mut Vec<Range<usize>>) {
    let (first, mut next, mut begin, mut content_end) = (spans.len(), 0, 0, 0);
    for (i, piece) in run.iter().enumerate() {
        let end = begin + piece.bytes.len();
        let inside = spans.len() > first && content_end > begin;
        let begun = next;
        while contents.get(next).is_some_and(|c| c.start < end) {
            content_end = contents[next].end;
            next += 1;
        }
        let from = spans[first..].last().map_or(start, |s| s.end);
        match spans.last_mut() {
            Some(span) if inside => span.end = start + i + 1,
            _ if next > begun => spans.push(from..start + i + 1),
            _ => {}
        }
        begin = end;
    }
    match spans[first..].last_mut() {
        Some(last) => last.end = start + run.len(),
        None => spans.push(start..start + run.len()),
    }
}

#[cfg(test)]
mod tests;
