//! From the statistics of the logits to a distribution.

use logitree_core::{Distribution, Exactness, LogitsHash, ModelError, TokenId, TokenStats, logprob};
use logitree_kernels::Summary;

/// The distribution that a summary of logits describes. `tokens` are those whose numbers were asked for.
///
/// # Errors
/// If a logit is not finite.
pub(crate) fn distribution(tokens: &[TokenId], s: Summary) -> Result<Distribution, ModelError> {
    if !s.logsumexp.is_finite() {
        return Err(ModelError::Engine(
            "the model produced logits that are not finite: its weights are damaged or overflow".into(),
        ));
    }
    let logprob = |logit: f32| logprob(logit, s.logsumexp);
    Ok(Distribution {
        top: (1..)
            .zip(&s.top)
            .map(|(rank, &(id, logit))| TokenStats { id: TokenId(id), logprob: logprob(logit), rank })
            .collect(),
        tokens: tokens
            .iter()
            .zip(&s.tokens)
            .map(|(&id, &(logit, rank))| TokenStats { id, logprob: logprob(logit), rank })
            .collect(),
        logsumexp: s.logsumexp,
        entropy: s.entropy,
        varentropy: s.varentropy,
        exactness: Exactness::Exact,
        logits: s.logits,
        logits_sha256: s.hash.map(LogitsHash),
    })
}
