//! Totals over a path.

/// Totals of a scored sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// Number of scored tokens.
    pub tokens: usize,
    /// Sum of logprobs in nats.
    pub logprob: f64,
    /// `-logprob / ln 2`.
    pub bits: f64,
    /// `exp(-logprob / tokens)`; 1 for no tokens.
    pub perplexity: f64,
}

/// Totals of a sequence from its tokens' logprobs.
///
/// ```
/// let t = logitree_core::metrics::totals([0.5f64.ln(), 0.5f64.ln()]);
/// assert_eq!(t.bits, 2.0);
/// assert_eq!(t.perplexity, 2.0);
/// ```
pub fn totals(logprobs: impl IntoIterator<Item = f64>) -> Totals {
    let (mut tokens, mut logprob) = (0usize, 0.0);
    for l in logprobs {
        tokens += 1;
        logprob += l;
    }
    let perplexity = if tokens == 0 { 1.0 } else { (-logprob / tokens as f64).exp() };
    // `0.0 - x` instead of `-x`, so that an empty or certain sequence does not show as "-0 bits".
    Totals { tokens, logprob, bits: 0.0 - logprob / std::f64::consts::LN_2, perplexity }
}
