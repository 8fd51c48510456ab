//! SentencePiece-style BPE: the vocabulary is a list of pieces with scores.
//!
//! Encoding starts from single characters and always merges the adjacent pair whose concatenation
//! is the piece with the best score (the leftmost of equals), until no pair is a piece. Characters
//! that are no piece become byte tokens `<0xXX>`. This is the algorithm of SentencePiece's BPE models; it is not the
//! Unigram model's search for the most likely segmentation.

use super::{ByteTable, Encoder, Kind, TokenizerError};
use hashbrown::{DefaultHashBuilder, HashTable};
use logitree_core::TokenId;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

/// SentencePiece writes a space as this character.
const SPACE: &str = "\u{2581}";

pub(super) struct Spm {
    /// Pieces as stored, in one buffer.
    pieces: ByteTable,
    scores: Vec<f32>,
    /// Ids of mergeable pieces by their bytes.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    byte_ids: [Option<TokenId>; 256],
    unknown: Option<TokenId>,
    space_prefix: bool,
}

/// `<0xXX>`.
fn byte_of(piece: &[u8]) -> Option<u8> {
    let hex = piece.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    (hex.len() == 2).then(|| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())?
}

/// Raw bytes of every piece.
pub(super) fn bytes(pieces: &[&[u8]], kinds: &[Kind]) -> ByteTable {
    let mut table = ByteTable::default();
    for (piece, kind) in pieces.iter().zip(kinds) {
        match (kind, byte_of(piece)) {
            (Kind::Byte, Some(byte)) => table.push([byte]),
            (Kind::Control, _) => table.push(piece.iter().copied()),
            _ => {
                let mut rest = *piece;
                table.push(std::iter::from_fn(|| {
                    if let Some(after) = rest.strip_prefix(SPACE.as_bytes()) {
                        rest = after;
                        return Some(b' ');
                    }
                    let (&first, after) = rest.split_first()?;
                    rest = after;
                    Some(first)
                }));
            }
        }
    }
    table
}

impl Spm {
    pub(super) fn new(
        pieces: &[&[u8]],
        scores: &[f32],
        kinds: &[Kind],
        unknown: Option<TokenId>,
        space_prefix: bool,
    ) -> Result<Spm, TokenizerError> {
        if scores.len() != pieces.len() {
            return Err(TokenizerError::metadata(format!("{} scores for {} tokens", scores.len(), pieces.len())));
        }
        let mut spm = Spm {
            pieces: ByteTable::default(),
            scores: scores.to_vec(),
            table: HashTable::with_capacity(pieces.len()),
            hasher: DefaultHashBuilder::default(),
            byte_ids: [None; 256],
            unknown,
            space_prefix,
        };
        for (i, (piece, kind)) in pieces.iter().zip(kinds).enumerate() {
            spm.pieces.push(piece.iter().copied());
            match kind {
                Kind::Byte => {
                    if let Some(byte) = byte_of(piece) {
                        spm.byte_ids[usize::from(byte)] = Some(TokenId(i as u32));
                    }
                }
                // User-defined pieces are cut out before, but their text may also come from merges.
                Kind::Text | Kind::UserDefined => {
                    let hash = spm.hasher.hash_one(*piece);
                    let (bytes, hasher) = (&spm.pieces, &spm.hasher);
                    let rehash = |&i: &u32| hasher.hash_one(bytes.get(i as usize));
                    // The first of equal pieces counts.
                    if spm.table.find(hash, |&j| bytes.get(j as usize) == *piece).is_none() {
                        spm.table.insert_unique(hash, i as u32, rehash);
                    }
                }
                Kind::Control => {}
            }
        }
        Ok(spm)
    }

    fn id(&self, piece: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(piece);
        self.table.find(hash, |&i| self.pieces.get(i as usize) == piece).copied()
    }
}

/// A piece of the text while merging; a doubly linked list by indices.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once merged into its left neighbour.
    len: usize,
    previous: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// A possible merge of a symbol with its right neighbour.
#[derive(PartialEq)]
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    /// Length when proposed: stale if either side has grown since.
    len: usize,
}

impl Eq for Merge {}

impl Ord for Merge {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Encoder for Spm {
    fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let mut text = text.replace(' ', SPACE);
        // Only the start of the whole text has no word before it.
        if self.space_prefix && out.is_empty() {
            text.insert_str(0, SPACE);
        }
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        for (start, c) in text.char_indices() {
            let i = symbols.len();
            symbols.push(Symbol { start, len: c.len_utf8(), previous: i.wrapping_sub(1), next: i + 1 });
        }
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        let mut heap = BinaryHeap::new();
        let propose = |symbols: &[Symbol], heap: &mut BinaryHeap<Merge>, left: usize, right: usize| {
            if left == NONE || right == NONE {
                return;
            }
            let (start, len) = (symbols[left].start, symbols[left].len + symbols[right].len);
            if let Some(id) = self.id(&text.as_bytes()[start..start + len]) {
                heap.push(Merge { score: self.scores[id as usize], left, right, len });
            }
        };
        for i in 1..symbols.len() {
            propose(&symbols, &mut heap, i - 1, i);
        }
        while let Some(Merge { left, right, len, .. }) = heap.pop() {
            let (l, r) = (symbols[left], symbols[right]);
            if l.len == 0 || r.len == 0 || l.len + r.len != len {
                continue;
            }
            symbols[left].len = len;
            symbols[left].next = r.next;
            symbols[right].len = 0;
            if r.next != NONE {
                symbols[r.next].previous = left;
            }
            propose(&symbols, &mut heap, l.previous, left);
            propose(&symbols, &mut heap, left, r.next);
        }
        for s in symbols.iter().filter(|s| s.len > 0) {
            let piece = &text.as_bytes()[s.start..s.start + s.len];
            if let Some(id) = self.id(piece) {
                out.push(TokenId(id));
                continue;
            }
            for &byte in piece {
                let id = self.byte_ids[usize::from(byte)].or(self.unknown);
                out.push(id.ok_or_else(|| {
                    TokenizerError::metadata(format!(
                        "the vocabulary has neither byte 0x{byte:02X} nor an unknown token"
                    ))
                })?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, rescanning the whole text for the best pair each time.
    fn naive(spm: &Spm, text: &str) -> Vec<TokenId> {
        let text = text.replace(' ', SPACE);
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let mut best: Option<(f32, usize)> = None;
            for i in 1..parts.len() {
                if let Some(id) = spm.id(format!("{}{}", parts[i - 1], parts[i]).as_bytes()) {
                    let score = spm.scores[id as usize];
                    if best.is_none_or(|(s, _)| score > s) {
                        best = Some((score, i));
                    }
                }
            }
            let Some((_, i)) = best else { break };
            let right = parts.remove(i);
            parts[i - 1].push_str(&right);
        }
        let ids = parts.iter().flat_map(|p| match spm.id(p.as_bytes()) {
            Some(id) => vec![TokenId(id)],
            None => p.bytes().map(|b| spm.byte_ids[usize::from(b)].unwrap()).collect(),
        });
        ids.collect()
    }

    #[test]
    fn encoding_equals_the_definition_on_random_texts() {
        // All strings over {a, b, space} of length 1 to 4, with scores that make merges compete and tie.
        let letters = ["a", "b", SPACE];
        let mut pieces: Vec<String> = (0..256).map(|b| format!("<0x{b:02X}>")).collect();
        let mut last: Vec<String> = vec![String::new()];
        for _ in 0..4 {
            last = last.iter().flat_map(|s| letters.map(|l| format!("{s}{l}"))).collect();
            pieces.extend(last.iter().cloned());
        }
        let mut h = 12345u32;
        let mut random = move || {
            h = h.wrapping_mul(1664525).wrapping_add(1013904223);
            h >> 16
        };
        let mut kinds = vec![Kind::Byte; 256];
        kinds.resize_with(pieces.len(), || if random() % 3 == 0 { Kind::Control } else { Kind::Text });
        let scores: Vec<f32> = pieces.iter().map(|_| -((random() % 20) as f32)).collect();
        let bytes: Vec<&[u8]> = pieces.iter().map(|p| p.as_bytes()).collect();
        let spm = Spm::new(&bytes, &scores, &kinds, None, false).unwrap();
        let raw = super::bytes(&bytes, &kinds);
        for _ in 0..3000 {
            let text: String = (0..random() % 30).map(|_| ['a', 'b', ' ', 'é'][random() as usize % 4]).collect();
            let mut ids = Vec::new();
            spm.encode(&text, &mut ids).unwrap();
            assert_eq!(ids, naive(&spm, &text), "{text:?}");
            let back: Vec<u8> = ids.iter().flat_map(|id| raw.get(id.index()).to_vec()).collect();
            assert_eq!(back, text.as_bytes());
        }
    }
}
