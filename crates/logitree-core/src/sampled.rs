//! A session whose distributions are a sampler's: after temperature, top-k, top-p and min-p.
//!
//! With `p(t)` what [`Sampler::probabilities`] makes of the model's logits, the distribution has `ln p(t)` for log
//! probabilities, and entropy and varentropy of `p`. Tokens that the sampler never draws are in no list; asked for by
//! name, their log probability is minus infinity. Ranks stay, as samplers keep the order of tokens.

use crate::layers::LayerDistributions;
use crate::sampling::Sampler;
use crate::{Distribution, ModelError, NodeHandle, Query, Session, TokenId};

/// A session under a sampler. What each layer would have predicted stays the model's own.
pub struct Sampled {
    session: Box<dyn Session>,
    sampler: Sampler,
}

impl Sampled {
    /// The session's distributions as the sampler has them.
    pub fn new(session: Box<dyn Session>, sampler: Sampler) -> Sampled {
        Sampled { session, sampler }
    }

    fn view(&self, mut d: Distribution, logits: bool) -> Result<Distribution, ModelError> {
        let all = d.logits.take().ok_or_else(|| {
            ModelError::Engine("a sampler's own distribution needs all logits, which this engine does not give".into())
        })?;
        let probabilities = self.sampler.probabilities(&all);
        let logprob = |id: TokenId| probabilities.get(id.index()).map_or(f64::NEG_INFINITY, |p| p.ln().min(0.0));
        for t in d.top.iter_mut().chain(&mut d.tokens) {
            t.logprob = logprob(t.id);
        }
        d.top.retain(|t| t.logprob > f64::NEG_INFINITY);
        let kept = || probabilities.iter().filter(|&&p| p > 0.0);
        d.entropy = -kept().map(|p| p * p.ln()).sum::<f64>();
        d.varentropy = kept().map(|p| p * (p.ln() + d.entropy).powi(2)).sum();
        d.logits = logits.then(|| probabilities.iter().map(|p| p.ln() as f32).collect());
        // The logits of the sampler's distribution are its log probabilities.
        d.logsumexp = 0.0;
        Ok(d)
    }
}

impl Session for Sampled {
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        self.session.push(parent, token)
    }

    fn check(&self, parent: Option<NodeHandle>, tokens: &[TokenId]) -> Result<(), ModelError> {
        self.session.check(parent, tokens)
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        let asked: Vec<Query<'_>> = queries.iter().map(|q| Query { logits: true, ..q.clone() }).collect();
        let found = self.session.evaluate(&asked)?;
        found.into_iter().zip(queries).map(|(d, q)| self.view(d, q.logits)).collect()
    }

    fn layers(&mut self, queries: &[Query<'_>]) -> Result<Vec<LayerDistributions>, ModelError> {
        self.session.layers(queries)
    }

    fn width(&self) -> usize {
        self.session.width()
    }

    fn release(&mut self, node: NodeHandle) {
        self.session.release(node);
    }

    fn forget(&mut self, node: NodeHandle) {
        self.session.forget(node);
    }
}
