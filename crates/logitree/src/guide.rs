//! Forcing how an answer begins.

use crate::error::{Result, fail};
use crate::prompt::{Given, check_text};
use crate::{Model, Prompt};
use logitree_core::TokenId;

impl Model {
    /// A prompt with the beginning of its answer, split into tokens together, as the model would see them written; `join`
    /// stands between them. Beside it, the first token with text of the prefix: a token with text of both is forced.
    ///
    /// # Errors
    /// If the prefix leaves no token, or no prompt before it; or as for [`Model::prompt`].
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

/// Texts to put in place of the prefix. They begin differently and join nothing before them, so that no prefix begins like
/// both.
const OTHERS: [&str; 2] = ["x", "0"];

/// First token with text of the prefix.
///
/// Prompt and prefix are split together, as the model would see them written, by a tokenizer that may do anything to the
/// text: compose characters, put spaces in, change case. So the border is sought in what came out: where the text begins
/// to differ from the same prompt with `others` in the prefix's place. What comes before is the prompt's whatever follows;
/// a token across the border is counted as forced.
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

    /// Tokens are written as texts, by their index in a list.
    fn from(whole: &[&str], others: [&[&str]; 2]) -> usize {
        let all: Vec<&str> = whole.iter().chain(others[0]).chain(others[1]).copied().collect();
        let ids = |texts: &[&str]| -> Vec<TokenId> {
            texts.iter().map(|t| TokenId(all.iter().position(|a| a == t).unwrap() as u32)).collect()
        };
        forced_from(&ids(whole), &others.map(ids), |id| all[id.index()].as_bytes().to_vec())
    }

    #[test]
    fn a_token_across_the_border_is_forced() {
        // The prompt "ab c", the prefix "de".
        assert_eq!(from(&["ab", " c", "de"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " cd", "e"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
        assert_eq!(from(&["ab cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 0);
        // Other words than without the prefix, of the prompt all the same.
        assert_eq!(from(&["a", "b ", "cde"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        // A prefix that begins like one of the others.
        assert_eq!(from(&["ab", " c", "x", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 2);
        assert_eq!(from(&["ab", " c0", "y"], [&["ab", " c", "x"], &["ab", " c0"]]), 1);
    }

    #[test]
    fn what_a_normaliser_does_moves_no_border() {
        // The prefix is a mark alone, and is composed with the prompt's last letter.
        assert_eq!(from(&["caf", "\u{e9}"], [&["caf", "ex"], &["caf", "e", "0"]]), 1);
        // A space in front of all, the prompt in small letters, and a prefix of which nothing is left.
        assert_eq!(from(&[" ab", "c"], [&[" ab", "x"], &[" ab", "0"]]), 1);
        assert_eq!(from(&["ab"], [&["ab", "x"], &["ab", "0"]]), 1);
    }
}
