//! Tokens of a text with the model's statistics.

use logitree_core::metrics::{Totals, totals};
use logitree_core::watch::Watched;
use logitree_core::{Distribution, Exactness, TokenStats};

/// A token of a text, with the statistics of the distribution it was drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// The token, its logprob in nats and its rank.
    pub token: TokenStats,
    /// Entropy of the distribution, in nats.
    pub entropy: f64,
    /// Varentropy of the distribution, in nats².
    pub varentropy: f64,
    /// Whether entropy and rank are exact.
    pub exactness: Exactness,
    /// The most likely tokens at this position.
    pub top: Vec<TokenStats>,
    /// Whether the token was given rather than generated.
    pub forced: bool,
    /// The watched strings at this position, in the order of the options.
    pub watched: Vec<Watched>,
}

impl ScoredToken {
    /// Makes a token from a distribution whose first requested token is the token of the text.
    pub(crate) fn new((d, watched): (Distribution, Vec<Watched>), forced: bool) -> Option<ScoredToken> {
        let Distribution { entropy, varentropy, exactness, top, tokens, .. } = d;
        Some(ScoredToken { token: *tokens.first()?, entropy, varentropy, exactness, top, forced, watched })
    }

    /// The sign in front of the rank. For a token that is not in the list, an engine may know only a bound of the
    /// rank.
    pub fn rank_sign(&self) -> &'static str {
        if self.top.iter().any(|t| t.id == self.token.id) { "" } else { self.exactness.sign() }
    }
}

/// Sums over tokens: log probability in nats, bits, perplexity.
pub fn totals_of<'a>(tokens: impl IntoIterator<Item = &'a ScoredToken>) -> Totals {
    totals(tokens.into_iter().map(|s| s.token.logprob))
}

/// Default number of tokens listed per step.
pub const LISTED: usize = 5;
