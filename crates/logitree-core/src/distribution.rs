//! The distribution of the next token at one position.

use crate::TokenId;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// One token of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenStats {
    /// The token.
    pub id: TokenId,
    /// Natural log of its probability under the model's own (temperature 1) distribution, in nats.
    pub logprob: f64,
    /// `1 +` the number of tokens with a larger logit, ties by smaller id.
    pub rank: u32,
}

impl TokenStats {
    /// Probability in `[0, 1]`.
    pub fn prob(&self) -> f64 {
        self.logprob.exp()
    }
}

/// Log probability, in nats, of a token with this logit. `logsumexp` is the natural log of the sum of the exponentials
/// of all logits. The result is never above 0, although rounding can give slightly more if one token has all the
/// probability.
pub fn logprob(logit: f32, logsumexp: f64) -> f64 {
    (f64::from(logit) - logsumexp).min(0.0)
}

/// Whether the numbers come from the full vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exactness {
    /// Every token of the vocabulary was counted.
    #[default]
    Exact,
    /// Only the listed tokens were seen (an engine that returns top-k): entropy is a lower bound.
    LowerBound,
    /// Like [`Exactness::LowerBound`]. In addition, the engine takes text, and it split the path's text into other
    /// tokens than those of the path.
    Retokenized,
}

impl Exactness {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Exactness::Exact => "exact",
            Exactness::LowerBound => "lower_bound",
            Exactness::Retokenized => "retokenized",
        }
    }

    /// The sign to write before an entropy: `≥` if it is a lower bound, and else nothing.
    pub fn sign(self) -> &'static str {
        if self == Exactness::Exact { "" } else { "≥" }
    }
}

/// Statistics of the full next-token distribution at one position.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The most likely tokens, most likely first, ties by smaller id.
    pub top: Vec<TokenStats>,
    /// The tokens asked for by [`crate::Query::tokens`], in that order.
    pub tokens: Vec<TokenStats>,
    /// Natural log of the sum of the exponentials of all logits, in nats; NaN where the engine does not tell it.
    pub logsumexp: f64,
    /// Mean surprisal in nats, over the full vocabulary.
    pub entropy: f64,
    /// Variance of surprisal in nats², over the full vocabulary.
    pub varentropy: f64,
    /// Whether the statistics cover the full vocabulary.
    pub exactness: Exactness,
    /// All logits `[vocab]`, when [`crate::Query::logits`] asked for them.
    pub logits: Option<Vec<f32>>,
    /// The hash of all logits, when [`crate::Query::hash`] asked for it.
    pub logits_sha256: Option<LogitsHash>,
}

/// The hash of all logits of a step: the SHA-256 of the SHA-256s of each 1024 logits in order of ids (the last ones may
/// be fewer), as little-endian f32. In files it has 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogitsHash(pub [u8; 32]);

impl fmt::Display for LogitsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogitsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LogitsHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogitsHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<LogitsHash, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let mut hash = [0; 32];
        let digit = |c: u8| char::from(c).to_digit(16);
        let digits: Option<Vec<u32>> = text.bytes().map(digit).collect();
        let digits = digits.filter(|d| d.len() == 2 * hash.len());
        let digits = digits.ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))?;
        for (byte, pair) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = (16 * pair[0] + pair[1]) as u8;
        }
        Ok(LogitsHash(hash))
    }
}

impl Distribution {
    /// A distribution of which only a list of the most likely tokens is known: both entropies are set to 0, and
    /// logsumexp to NaN.
    pub fn of_list(top: Vec<TokenStats>, exactness: Exactness) -> Distribution {
        Distribution {
            top,
            tokens: Vec::new(),
            logsumexp: f64::NAN,
            entropy: 0.0,
            varentropy: 0.0,
            exactness,
            logits: None,
            logits_sha256: None,
        }
    }

    /// Probability of everything that is not in `top`.
    pub fn rest(&self) -> f64 {
        rest(&self.top)
    }
}

/// Probability of everything that is not in a list.
pub(crate) fn rest(top: &[TokenStats]) -> f64 {
    (1.0 - top.iter().map(TokenStats::prob).sum::<f64>()).max(0.0)
}

/// Upper bound of the probability of any token that is not in a list of the most likely ones. Such a token is neither
/// more likely than the last listed one nor than all unlisted tokens together.
pub fn most_likely_unlisted(top: &[TokenStats]) -> f64 {
    // If the list is the whole distribution, rounding may leave a tiny rest, which is the probability of no token.
    let rest = Some(rest(top)).filter(|r| *r >= 1e-9).unwrap_or(0.0);
    top.last().map_or(1.0, |t| t.prob().min(rest))
}
