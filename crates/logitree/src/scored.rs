//! Tokens with what the model thought of them.

use logitree_core::metrics::{Totals, totals};
use logitree_core::watch::Watched;
use logitree_core::{Distribution, Exactness, TokenStats};

/// A token of a text, with the statistics of the distribution it was drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// The token, its logprob in nats and its rank.
    pub token: TokenStats,
    /// Of the distribution, in nats.
    pub entropy: f64,
    /// Whether entropy and rank are exact.
    pub exactness: Exactness,
    /// The most likely tokens in its place.
    pub top: Vec<TokenStats>,
    /// Given rather than generated.
    pub forced: bool,
    /// The watched strings at this place, in the order of the options.
    pub watched: Vec<Watched>,
}

impl ScoredToken {
    /// From a distribution whose first asked-for token is the one that is there.
    pub(crate) fn new((d, watched): (Distribution, Vec<Watched>), forced: bool) -> Option<ScoredToken> {
        let Distribution { entropy, exactness, top, tokens, .. } = d;
        Some(ScoredToken { token: *tokens.first()?, entropy, exactness, top, forced, watched })
    }

    /// What stands before its rank: behind the list, an engine may know only that it is no better.
    pub fn rank_sign(&self) -> &'static str {
        if self.top.iter().any(|t| t.id == self.token.id) { "" } else { self.exactness.sign() }
    }
}

/// Sums over tokens: logprob in nats, bits, perplexity.
pub fn totals_of<'a>(tokens: impl IntoIterator<Item = &'a ScoredToken>) -> Totals {
    totals(tokens.into_iter().map(|s| s.token.logprob))
}

/// Tokens listed per step if nothing else is asked for.
pub const LISTED: usize = 5;
