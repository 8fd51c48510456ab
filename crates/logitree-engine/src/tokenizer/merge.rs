//! The merge loop of SentencePiece's BPE, in `O(n log n)`.
//!
//! The text is a doubly linked list of symbols, at first one per character. A heap holds all pairs of neighbours that
//! make a piece, best score first, then leftmost:
//!
//! ```text
//! for each pair of neighbours: push it if its text is a piece
//! while the heap has a candidate: pop the best
//!     skip it if it is stale: one of its symbols has been merged since
//!     join the right symbol to the left one
//!     push the pairs that the joined symbol makes with its neighbours, if they are pieces
//! take apart the symbols that are "unused" pieces, back into the parts that they were merged from
//! ```
//!
//! Nothing is ever removed from the middle of the heap. A stale candidate is recognised when it is popped: the lengths
//! of its symbols no longer add up to the length that was noted, because a symbol only grows, or has become empty.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// What the merge loop needs to know of a vocabulary entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Priority: the pair with the largest score is merged first. Never NaN.
    pub(super) score: f32,
    /// Whether the piece may arise on the way to longer pieces but must not be in the result, where it is taken apart
    /// again.
    pub(super) unused: bool,
}

const NONE: u32 = u32::MAX;

/// A part of the text, in bytes, as an element of a doubly linked list. `len` is 0 once it has been merged into its
/// left neighbour.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u32,
    len: u32,
    previous: u32,
    next: u32,
}

/// A possible merge of two neighbours. The heap gives the greatest first: best score, then leftmost.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    left: u32,
    right: u32,
    /// Bytes of both symbols together when the candidate was pushed. If that sum has changed, the candidate is stale.
    len: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left)).then(other.len.cmp(&self.len))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

struct Merger<'t, F> {
    text: &'t str,
    find: F,
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Candidate>,
    /// For each unused piece that was pushed as a candidate: the number of bytes of its left part.
    unused: HashMap<&'t str, usize>,
}

/// Cuts `text`, which must have less than 4 GiB, into pieces, and single characters that are no piece. `find` looks a
/// piece up by its text.
pub(super) fn merge<F: Fn(&str) -> Option<Piece>>(text: &str, find: F) -> Vec<&str> {
    let mut merger =
        Merger { text, find, symbols: symbols(text), candidates: BinaryHeap::new(), unused: HashMap::new() };
    for right in 1..merger.symbols.len() as u32 {
        merger.consider(right - 1, right);
    }
    while let Some(best) = merger.candidates.pop() {
        merger.apply(best);
    }
    merger.parts()
}

/// One symbol per character.
fn symbols(text: &str) -> Vec<Symbol> {
    let symbol = |(i, (start, c)): (usize, (usize, char))| Symbol {
        start: start as u32,
        len: c.len_utf8() as u32,
        previous: (i as u32).wrapping_sub(1), // NONE for the first
        next: i as u32 + 1,
    };
    let mut symbols: Vec<Symbol> = text.char_indices().enumerate().map(symbol).collect();
    if let Some(last) = symbols.last_mut() {
        last.next = NONE;
    }
    symbols
}

impl<'t, F: Fn(&str) -> Option<Piece>> Merger<'t, F> {
    fn slice(&self, start: u32, len: u32) -> &'t str {
        &self.text[start as usize..(start + len) as usize]
    }

    /// Pushes the merge of two neighbours as a candidate, if their text is a piece.
    fn consider(&mut self, left: u32, right: u32) {
        if left == NONE || right == NONE {
            return;
        }
        let (l, r) = (self.symbols[left as usize], self.symbols[right as usize]);
        let len = l.len + r.len;
        let text = self.slice(l.start, len);
        let Some(piece) = (self.find)(text) else { return };
        self.candidates.push(Candidate { score: piece.score, left, right, len });
        if piece.unused {
            self.unused.insert(text, l.len as usize);
        }
    }

    fn apply(&mut self, c: Candidate) {
        let (l, r) = (self.symbols[c.left as usize], self.symbols[c.right as usize]);
        if l.len == 0 || r.len == 0 || l.len + r.len != c.len {
            return;
        }
        self.symbols[c.left as usize].len = c.len;
        self.symbols[c.left as usize].next = r.next;
        self.symbols[c.right as usize].len = 0;
        if r.next != NONE {
            self.symbols[r.next as usize].previous = c.left;
        }
        self.consider(l.previous, c.left);
        self.consider(c.left, r.next);
    }

    /// The text of the remaining symbols, with unused pieces taken apart again.
    fn parts(&self) -> Vec<&'t str> {
        let mut parts = Vec::new();
        let mut todo = Vec::new();
        for s in self.symbols.iter().filter(|s| s.len > 0) {
            todo.push(self.slice(s.start, s.len));
            while let Some(text) = todo.pop() {
                let unused = (self.find)(text).is_some_and(|p| p.unused);
                match self.unused.get(text) {
                    Some(&left) if unused => todo.extend([&text[left..], &text[..left]]),
                    _ => parts.push(text),
                }
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Table = Vec<(&'static str, f32, bool)>;

    fn find(table: &Table) -> impl Fn(&str) -> Option<Piece> {
        move |t| table.iter().find(|e| e.0 == t).map(|e| Piece { score: e.1, unused: e.2 })
    }

    /// The definition of the algorithm, implemented literally: look at all pairs, merge the best, start again.
    fn naive(text: &str, table: &Table) -> Vec<String> {
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let mut best: Option<(f32, usize)> = None;
            for i in 1..parts.len() {
                if let Some(p) = find(table)(&format!("{}{}", parts[i - 1], parts[i]))
                    && best.is_none_or(|b| p.score > b.0)
                {
                    best = Some((p.score, i));
                }
            }
            let Some((_, i)) = best else { return parts };
            let right = parts.remove(i);
            parts[i - 1] += &right;
        }
    }

    #[test]
    fn equal_scores_merge_from_the_left() {
        let table = vec![("aa", -1.0, false)];
        assert_eq!(merge("aaa", find(&table)), ["aa", "a"]);
        assert_eq!(merge("", find(&table)), [""; 0]);
    }

    #[test]
    fn a_better_score_beats_a_longer_piece() {
        // A Viterbi search over these scores would choose the piece "abc", which merging cannot reach.
        let table = vec![("bc", -1.0, false), ("ab", -2.0, false), ("abd", -0.5, false), ("abc", -9.0, false)];
        assert_eq!(merge("abcd", find(&table)), ["abc", "d"]);
        let table = vec![("bc", -1.0, false), ("ab", -2.0, false), ("abd", -0.5, false)];
        assert_eq!(merge("abcd", find(&table)), ["a", "bc", "d"]);
    }

    #[test]
    fn unused_pieces_lead_to_others_but_do_not_stay() {
        let table = vec![("ab", -1.0, true), ("abc", -2.0, false)];
        assert_eq!(merge("abc", find(&table)), ["abc"]);
        assert_eq!(merge("abd", find(&table)), ["a", "b", "d"]);
    }

    #[test]
    fn a_long_run_takes_no_quadratic_time() {
        // A scan of all pairs per merge would take 10^12 steps.
        let table = vec![("aa", -1.0, false), ("aaaa", -2.0, false)];
        let text = "a".repeat(1_000_001);
        let parts = merge(&text, find(&table));
        assert_eq!((parts.len(), parts[0], parts[250_000]), (250_001, "aaaa", "a"));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in "[abé]{0,40}", scores in prop::collection::vec(-4i8..0, 12)) {
            let pieces = ["aa", "ab", "ba", "bb", "aé", "éé", "aab", "abb", "baé", "aaaa", "abab", "bbb"];
            let table: Table = pieces.iter().zip(&scores).map(|(p, &s)| (*p, s as f32, false)).collect();
            prop_assert_eq!(merge(&text, find(&table)), naive(&text, &table));
        }
    }
}
