//! How much of each distribution a run keeps.

use crate::TokenStats;
use serde::{Deserialize, Serialize};

/// How many tokens of each distribution a run records, if its policy does not need more. As JSON: `10`, or `"p=0.999"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub enum Keep {
    /// This many of the most likely tokens.
    Top(usize),
    /// The most likely tokens until the sum of their probabilities reaches this. It costs more than [`Keep::Top`],
    /// because the whole vocabulary is ranked.
    Mass(f64),
}

/// [`Keep`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Top(usize),
    Mass(String),
}

impl From<Keep> for Kept {
    fn from(keep: Keep) -> Kept {
        match keep {
            Keep::Top(n) => Kept::Top(n),
            Keep::Mass(p) => Kept::Mass(format!("p={p}")),
        }
    }
}

impl TryFrom<Kept> for Keep {
    type Error = String;

    fn try_from(kept: Kept) -> Result<Keep, String> {
        let text = match kept {
            Kept::Top(n) => return Ok(Keep::Top(n)),
            Kept::Mass(text) => text,
        };
        let p = text.strip_prefix("p=").and_then(|p| p.parse().ok()).filter(|p| (0.0..=1.0).contains(p));
        p.map(Keep::Mass).ok_or_else(|| format!("{text:?} is neither a number of tokens nor p=PROB"))
    }
}

impl From<usize> for Keep {
    fn from(top: usize) -> Keep {
        Keep::Top(top)
    }
}

impl Keep {
    /// How many tokens to ask for after a node, in a vocabulary of this size, if a policy needs `needed` of them.
    pub(super) fn top(self, needed: usize, vocab: usize) -> usize {
        match self {
            Keep::Top(n) => needed.max(n).min(vocab),
            Keep::Mass(_) => vocab,
        }
    }

    /// Shortens a list to the tokens that this setting or the policy asks to keep. `needed` gives the number of tokens
    /// that the policy needs of a list of a given length.
    pub(super) fn trim(self, top: &mut Vec<TokenStats>, needed: impl Fn(usize) -> usize) {
        let Keep::Mass(mass) = self else { return };
        let mut before = 0.0;
        let kept = top.iter().take_while(|t| {
            let kept = before < mass;
            before += t.prob();
            kept
        });
        let kept = kept.count().max(needed(top.len()));
        top.truncate(kept);
        top.shrink_to_fit();
    }
}
