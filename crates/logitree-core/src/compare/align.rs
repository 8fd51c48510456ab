//! Aligns two ways to split one text into tokens.

use std::ops::Range;

/// A piece of a text that both ways have a boundary before and behind, with none in common inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The tokens of A.
    pub a: Range<usize>,
    /// The tokens of B.
    pub b: Range<usize>,
    /// The bytes of the text.
    pub bytes: Range<usize>,
}

/// The smallest pieces of a text between common boundaries of two ways to split it, in order. `ends_a` and `ends_b`
/// have for each token the position behind its last byte. Tokens without bytes belong to the piece before them. What
/// comes after the last common boundary is left out: if both ways have all bytes of the text, nothing.
pub fn align(ends_a: &[usize], ends_b: &[usize]) -> Vec<Aligned> {
    let mut pieces: Vec<Aligned> = Vec::new();
    let (mut i, mut j) = (0, 0);
    let (mut from, mut start) = ((0, 0), 0);
    while i < ends_a.len() && j < ends_b.len() {
        let (a, b) = (ends_a[i], ends_b[j]);
        if a <= b {
            i += 1;
        }
        if b <= a {
            j += 1;
        }
        if a == b {
            i += ends_a[i..].iter().take_while(|&&end| end == a).count();
            j += ends_b[j..].iter().take_while(|&&end| end == a).count();
            pieces.push(Aligned { a: from.0..i, b: from.1..j, bytes: start..a });
            (from, start) = ((i, j), a);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_by_hand() {
        // "he|llo| world" and "hell|o| wor|ld"
        assert_eq!(
            align(&[2, 5, 11], &[4, 5, 9, 11]),
            [Aligned { a: 0..2, b: 0..2, bytes: 0..5 }, Aligned { a: 2..3, b: 2..4, bytes: 5..11 },]
        );
        assert_eq!(
            align(&[1, 1, 2], &[1, 2, 2]),
            [Aligned { a: 0..2, b: 0..1, bytes: 0..1 }, Aligned { a: 2..3, b: 1..3, bytes: 1..2 },]
        );
        assert_eq!(align(&[3], &[2]), []);
        assert_eq!(align(&[], &[1]), []);
    }

    proptest! {
        #[test]
        fn pieces_make_up_both(a in prop::collection::vec(1..4usize, 1..20), b in prop::collection::vec(1..4usize, 1..20)) {
            let ends = |lengths: &[usize], all: usize| -> Vec<usize> {
                let sums = lengths.iter().scan(0, |at, l| { *at += l; Some(*at) });
                sums.filter(|&end| end < all).chain([all]).collect()
            };
            let all = a.iter().sum::<usize>().min(b.iter().sum());
            let (a, b) = (ends(&a, all), ends(&b, all));
            let pieces = align(&a, &b);
            let common: Vec<usize> = a.iter().copied().filter(|end| b.contains(end)).collect();
            prop_assert_eq!(pieces.iter().map(|p| p.bytes.end).collect::<Vec<_>>(), common);
            prop_assert_eq!(pieces.iter().flat_map(|p| p.a.clone()).collect::<Vec<_>>(), (0..a.len()).collect::<Vec<_>>());
            prop_assert_eq!(pieces.iter().flat_map(|p| p.b.clone()).collect::<Vec<_>>(), (0..b.len()).collect::<Vec<_>>());
        }
    }
}
