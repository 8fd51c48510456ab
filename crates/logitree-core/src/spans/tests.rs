use super::*;
use crate::Exactness;
use proptest::prelude::*;

fn pieces<'a>(tokens: &'a [&'a str]) -> Vec<Piece<'a>> {
    tokens.iter().map(|t| Piece { bytes: t.as_bytes(), control: t.starts_with('<') }).collect()
}

fn texts(tokens: &[&str], by: Unit) -> Vec<String> {
    cut(&pieces(tokens), by).into_iter().map(|s| tokens[s.tokens].concat()).collect()
}

#[test]
fn words_have_the_white_space_before_them_and_the_last_one_what_is_left() {
    assert_eq!(
        texts(&["The", " cap", "ital", " ", " of", " India", "."], Unit::Word),
        ["The", " capital", "  of", " India."]
    );
    assert_eq!(texts(&["\n", "a", "\n\n", "b", " ", "\n"], Unit::Word), ["\na", "\n\nb \n"]);
    assert_eq!(texts(&[" ", "\n"], Unit::Word), [" \n"]);
    assert!(texts(&[], Unit::Word).is_empty());
    // White space that is no ASCII, and a character split over tokens.
    assert_eq!(texts(&["a", "\u{3000}b"], Unit::Word), ["a", "\u{3000}b"]);
    let split = [b"na\xc3".as_slice(), b"\xafve", b" x"].map(|bytes| Piece { bytes, control: false });
    assert_eq!(cut(&split, Unit::Word), [Span { tokens: 0..2, bytes: 0..6 }, Span { tokens: 2..3, bytes: 6..8 }]);
}

#[test]
fn a_token_with_bytes_of_two_words_joins_them_and_one_that_ends_with_a_space_does_not() {
    assert_eq!(texts(&["of th", "e", " x"], Unit::Word), ["of the", " x"]);
    assert_eq!(texts(&["a", "b c", "d e", "f", " g"], Unit::Word), ["ab cd ef", " g"]);
    assert_eq!(texts(&["x = ", "1", " +"], Unit::Word), ["x = ", "1", " +"]);
    assert_eq!(texts(&["if ", "x"], Unit::Word), ["if ", "x"]);
}

#[test]
fn control_tokens_are_spans_of_their_own() {
    assert_eq!(
        texts(&["<bos>", "a", "b", " c", "<end>", "<bos>", "d"], Unit::Word),
        ["<bos>", "ab", " c", "<end>", "<bos>", "d"]
    );
    assert_eq!(texts(&["a", "<x>", "\n"], Unit::Line), ["a", "<x>", "\n"]);
}

#[test]
fn lines_have_their_line_feed_and_sentences_their_mark() {
    assert_eq!(texts(&["a b", "\n", "  ", "c", "\n", "\n", "d"], Unit::Line), ["a b\n", "  c\n", "\nd"]);
    assert_eq!(texts(&["a", "\n\n", "b"], Unit::Line), ["a\n\n", "b"]);
    assert_eq!(texts(&["a\nb", "c", "\n", "d"], Unit::Line), ["a\nbc\n", "d"]);
    assert_eq!(
        texts(&["It", " is", " 3.5", " m", ".", " Is", " it", "?", " Yes"], Unit::Sentence),
        ["It is 3.5 m.", " Is it?", " Yes"]
    );
    assert_eq!(texts(&["a", " b"], Unit::Token), ["a", " b"]);
}

#[test]
fn a_range_is_covered_by_the_fewest_tokens() {
    let tokens = pieces(&["The", " cap", "ital", " of"]);
    assert_eq!(covering(&tokens, 4..7), Some(Span { tokens: 1..2, bytes: 3..7 }));
    assert_eq!(covering(&tokens, 6..8), Some(Span { tokens: 1..3, bytes: 3..11 }));
    assert_eq!(covering(&tokens, 0..14), Some(Span { tokens: 0..4, bytes: 0..14 }));
    assert_eq!(covering(&tokens, 3..3), None);
    assert_eq!(covering(&tokens, 3..15), None);
    assert_eq!(covering(&[], 0..1), None);
    assert_eq!(bytes_of_characters("aäb", 1..2), Some(1..3));
    assert_eq!(bytes_of_characters("aäb", 0..3), Some(0..4));
    assert_eq!(bytes_of_characters("aäb", 1..4), None);
}

/// A language of the tokens `·a`, `a`, `b` and the end, all of whose texts have at most three tokens: its next-token
/// probabilities, which depend on the last token.
const TOKENS: [&str; 4] = [" a", "a", "b", "<end>"];

fn next(before: &[usize]) -> [f64; 4] {
    match before {
        [] => [0.5, 0.2, 0.2, 0.1],
        [_, _, _, ..] => [0.0, 0.0, 0.0, 1.0],
        [.., 0] => [0.3, 0.4, 0.2, 0.1],
        [.., 1] => [0.25, 0.25, 0.1, 0.4],
        _ => [0.1, 0.2, 0.3, 0.4],
    }
}

fn distribution(before: &[usize]) -> Distribution {
    let logits = next(before).map(|p| p.ln() as f32).to_vec();
    Distribution { logsumexp: 0.0, logits: Some(logits), ..Distribution::of_list(Vec::new(), Exactness::Exact) }
}

/// All token sequences that end with the end token.
fn sequences() -> Vec<Vec<usize>> {
    let mut open = vec![vec![]];
    let mut done = Vec::new();
    while let Some(path) = open.pop() {
        for t in (0..4).filter(|&t| next(&path)[t] > 0.0) {
            let longer = [&path[..], &[t]].concat();
            if t == 3 { done.push(longer) } else { open.push(longer) }
        }
    }
    done
}

fn probability(path: &[usize]) -> f64 {
    (0..path.len()).map(|i| next(&path[..i])[path[i]]).product()
}

#[test]
fn a_corrected_word_has_the_share_of_texts_in_which_it_stands_whole() {
    let ends_word: Vec<bool> = pieces(&TOKENS).iter().map(Piece::ends_word_before).collect();
    assert_eq!(ends_word, [true, false, false, true]);
    // The text `a·a`, then `·ab`: the naive probability is that of all texts that begin like this and then end the
    // word, among those that begin like its context and then end the word there.
    for (context, word) in
        [(vec![1usize], vec![0usize]), (vec![1], vec![0, 2]), (vec![2, 0], vec![0]), (vec![], vec![1])]
    {
        let whole = [&context[..], &word].concat();
        let begins_whole = |path: &[usize], start: &[usize], open: bool| {
            path.starts_with(start) && (!open || ends_word[path[start.len()]])
        };
        let sum = |start: &[usize], open| -> f64 {
            sequences().iter().filter(|p| begins_whole(p, start, open)).map(|p| probability(p)).sum()
        };
        let naive = (sum(&whole, true) / sum(&context, !context.is_empty())).ln();
        let tokens: Vec<&str> = whole.iter().map(|&t| TOKENS[t]).collect();
        let pieces = pieces(&tokens);
        let b = |at: usize| match is_open_boundary(&pieces, at) {
            true => boundary_logprob(&distribution(&whole[..at]), &ends_word).unwrap(),
            false => 0.0,
        };
        let logprob = (context.len()..whole.len()).map(|i| next(&whole[..i])[whole[i]].ln()).sum();
        let found = corrected(logprob, b(context.len()), b(whole.len()));
        assert!((found - naive).abs() < 1e-6, "{whole:?}: {found} and {naive}");
    }
    assert_eq!(boundary_logprob(&Distribution::of_list(Vec::new(), Exactness::LowerBound), &ends_word), None);
}

#[test]
fn a_boundary_is_decided_by_white_space_and_control_tokens_before_it() {
    let tokens = pieces(&["<bos>", "a", " b", "c ", "d", "e", "<end>", "f"]);
    let open: Vec<usize> = (0..=8).filter(|&i| is_open_boundary(&tokens, i)).collect();
    assert_eq!(open, [2, 6, 8]);
}

proptest! {
    #[test]
    fn spans_have_every_token_once_and_words_do_not_depend_on_the_tokens(
        tokens in prop::collection::vec("[ab. \n\u{e4}\u{a0}]{0,3}", 0..12)
    ) {
        let refs: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let pieces = pieces(&refs);
        for by in [Unit::Token, Unit::Word, Unit::Line, Unit::Sentence] {
            let spans = cut(&pieces, by);
            let (mut token, mut byte) = (0, 0);
            for span in &spans {
                prop_assert_eq!((span.tokens.start, span.bytes.start), (token, byte));
                prop_assert!(!span.tokens.is_empty());
                (token, byte) = (span.tokens.end, span.bytes.end);
                prop_assert_eq!(tokens[span.tokens.clone()].concat().len(), span.bytes.len());
            }
            prop_assert_eq!((token, byte), (tokens.len(), tokens.concat().len()));
        }
        // No word is cut: the words of all spans are those of the text.
        let words: Vec<String> = texts(&refs, Unit::Word)
            .iter()
            .flat_map(|s| s.split_whitespace().map(str::to_string).collect::<Vec<_>>())
            .collect();
        let text = tokens.concat();
        prop_assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
    }
}
