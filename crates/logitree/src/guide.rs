//! Forces how an answer begins.

use crate::error::{Result, fail};
use crate::prompt::{Given, check_text};
use crate::{Model, Prompt};
use logitree_core::TokenId;

impl Model {
    /// A prompt followed by the forced beginning of its answer. Both are tokenized together, as the model would see
    /// them written, with `join` between them. Also returns the index of the first token that contains text of the
    /// prefix; a token that contains text of both counts as forced.
    ///
    /// # Errors
    /// If the prefix leaves no token, or there is no prompt before it; or as for [`Model::prompt`].
    pub fn guide(&self, given: &Given, join: &str, prefix: &str) -> Result<(Prompt, usize)> {
        check_text(prefix, "`prefix`")
            .map_err(|e| crate::Error::new(crate::ErrorKind::Parameter("prefix"), e.to_string()))?;
        let prompt = self.prepare(given, &format!("{join}{prefix}"))?;
        let other = |other: &str| Ok(self.prepare(given, &format!("{join}{other}"))?.tokens);
        let others = OTHERS.into_iter().map(other).collect::<Result<Vec<_>>>()?;
        let start = forced_from(&prompt.tokens, &others, |t| self.token_bytes(t).into_owned());
        if start == 0 {
            fail!(Input, "the whole text is one token: there is no prompt left to condition on");
        }
        if start == prompt.tokens.len() {
            fail!(
                Parameter("prefix"),
                "`prefix` leaves no token: the model's tokenizer drops it, or makes it one with the prompt"
            );
        }
        Ok((prompt, start))
    }
}

/// Texts that replace the prefix to find where the prompt ends. They begin differently, so no prefix begins like both,
/// and they do not join with the text before them.
const OTHERS: [&str; 2] = ["x", "0"];

/// The index of the first token that contains text of the prefix.
///
/// A tokenizer may do anything to the text: compose characters, insert spaces, change case. So the border between
/// prompt and prefix is found in the tokens' text: it is the first place where that text differs from the text of the
/// same prompt with one of `others` instead of the prefix. The text before that place does not depend on the prefix,
/// so it belongs to the prompt. A token across the border counts as forced.
fn forced_from(tokens: &[TokenId], others: &[Vec<TokenId>], bytes: impl Fn(TokenId) -> Vec<u8>) -> usize {
    let text = |ids: &[TokenId]| ids.iter().flat_map(|&id| bytes(id)).collect::<Vec<u8>>();
    let whole = text(tokens);
    let common = |other: &Vec<TokenId>| whole.iter().zip(text(other)).take_while(|(a, b)| *a == b).count();
    let border = others.iter().map(common).min().unwrap_or_default();
    let ends = tokens.iter().scan(0, |end, &id| {
        *end += bytes(id).len();
        Some(*end)
    });
    ends.take_while(|&end| end <= border).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In these tests, a token is written as its text, and its id is its index in a list.
    fn from(whole: &[&str], others: [&[&str]; 2]) -> usize {
        let all: Vec<&str> = whole.iter().chain(others[0]).chain(others[1]).copied().collect();
        let ids = |texts: &[&str]| -> Vec<TokenId> {
            texts.iter().map(|t| TokenId(all.iter().position(|a| a == t).unwrap() as u32)).collect()
        };
        forced_from(&ids(whole), &others.map(ids), |id| all[id.index()].as_bytes().to_vec())
    }

    #[test]
    fn a_token_across_the_border_is_forced() {
        // The prompt is "ab c", the prefix "de".
        assert_eq!(from(&["ab", " c", "de"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " cd", "e"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
        assert_eq!(from(&["ab cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 0);
        // The prompt is split into other tokens than without the prefix, but they still belong to the prompt.
        assert_eq!(from(&["a", "b ", "cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        // The prefix begins like one of the other texts.
        assert_eq!(from(&["ab", " c", "x", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " c0", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
    }

    #[test]
    fn what_a_normaliser_does_moves_no_border() {
        // The prefix is a combining mark, which is composed with the prompt's last letter.
        assert_eq!(from(&["caf", "\u{e9}"], [&["caf", "ex"], &["caf", "e", "0"]]), 1);
        // The tokenizer adds a space in front, makes the prompt lower case, and leaves nothing of the prefix.
        assert_eq!(from(&[" ab", "c"], [&[" ab", "x"], &[" ab", "0"]]), 1);
        assert_eq!(from(&["ab"], [&["ab", "x"], &["ab", "0"]]), 1);
    }
}
