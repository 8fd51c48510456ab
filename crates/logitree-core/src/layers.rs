//! What each layer of a model would have predicted: the "logit lens" (nostalgebraist, 2020).
//!
//! The residual stream after a layer is given to the model's own final norm and output matrix, as if no layer came
//! after it. The distribution after the last layer is the model's own.
//!
//! A logit is also the sum of what each layer adds to it. With `x_l` the residual stream after layer l (`x_0` is the
//! embedding), `w` the weights of the final norm, `W_t` the token's row of the output matrix, and `s` the factor by which the
//! final norm scales the *last* `x`,
//!
//! ```text
//! logit(t) = s·(w ⊙ W_t)·x_0 + Σ s·(w ⊙ W_t)·(x_l − x_{l−1}) + rest
//! ```
//!
//! The rest is what a sum cannot explain: the soft cap of models that have one, and rounding.

use crate::{Distribution, TokenId, TokenStats};

/// What each layer would have predicted after one node.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerDistributions {
    /// The tokens whose numbers are known at every layer: those asked for, then the two most likely of the model.
    pub tokens: Vec<TokenId>,
    /// The distributions after the embedding and after each layer, `[layers + 1]`. [`Distribution::tokens`] has the
    /// numbers of `tokens`, in that order.
    pub layers: Vec<Distribution>,
    /// What the logit of each of `tokens` is made of, in that order.
    pub parts: Vec<LogitParts>,
}

/// A logit as a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitParts {
    /// The logit.
    pub logit: f64,
    /// What the embedding and each layer add to it, `[layers + 1]`.
    pub parts: Vec<f64>,
}

impl LogitParts {
    /// What the parts do not explain: the logit less their sum.
    pub fn rest(&self) -> f64 {
        self.logit - self.parts.iter().sum::<f64>()
    }
}

impl LayerDistributions {
    /// The layer that decides: the first from which on the model's most likely token is the most likely one. 0 is the
    /// embedding.
    pub fn decided(&self) -> usize {
        let best = |d: &Distribution| d.top.first().map(|t: &TokenStats| t.id);
        let last = self.layers.last().and_then(best);
        self.layers.len() - self.layers.iter().rev().take_while(|&d| best(d) == last).count()
    }

    /// By how much each layer has one token likelier than another: the difference of their log probabilities (and so of
    /// their logits) after the embedding and after each layer, in nats. Both are places in
    /// [`LayerDistributions::tokens`].
    pub fn leads(&self, one: usize, other: usize) -> Vec<f64> {
        let lead = |d: &Distribution| Some(d.tokens.get(one)?.logprob - d.tokens.get(other)?.logprob);
        self.layers.iter().map(|d| lead(d).unwrap_or_default()).collect()
    }

    /// The layer that decides between two tokens: the first from which on the one that the model has likelier is the
    /// likelier one. 0 is the embedding. Both are places in [`LayerDistributions::tokens`].
    pub fn decided_between(&self, one: usize, other: usize) -> usize {
        let leads = self.leads(one, other);
        let last = leads.last().map_or(0.0, |l| l.signum());
        let same = leads.iter().rev().take_while(|&&l| l != 0.0 && l.signum() == last).count();
        leads.len().saturating_sub(same.max(1))
    }

    /// The places in [`LayerDistributions::tokens`] in the order in which they are shown: the model's most likely token,
    /// the runner-up, and those that were asked for, each token once.
    pub fn in_order(&self) -> Vec<usize> {
        let own = self.tokens.len().saturating_sub(2);
        let mut order: Vec<usize> = Vec::new();
        for i in (own..self.tokens.len()).chain(0..own) {
            if order.iter().all(|&o| self.tokens[o] != self.tokens[i]) {
                order.push(i);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exactness;

    #[test]
    fn the_deciding_layer_is_the_first_that_is_never_overruled() {
        let of = |best: &[u32]| {
            let one = |&id: &u32| {
                Distribution::of_list(vec![TokenStats { id: TokenId(id), logprob: -0.1, rank: 1 }], Exactness::Exact)
            };
            LayerDistributions { tokens: Vec::new(), layers: best.iter().map(one).collect(), parts: Vec::new() }
        };
        for (best, layer) in [(&[3, 1, 3, 2, 3, 3][..], 4), (&[3, 3], 0), (&[1, 2], 1), (&[1], 0)] {
            assert_eq!(of(best).decided(), layer, "{best:?}");
        }
        let asked = |ids: &[u32]| LayerDistributions { tokens: ids.iter().map(|&i| TokenId(i)).collect(), ..of(&[1]) };
        assert_eq!(asked(&[7, 3, 7, 3, 5]).in_order(), [3, 4, 0]);
        // Log probabilities of two tokens after each layer.
        let two = |numbers: &[(f64, f64)]| {
            let layer = |&(a, b): &(f64, f64)| {
                let tokens = [a, b].map(|logprob| TokenStats { id: TokenId(0), logprob, rank: 1 }).to_vec();
                Distribution { tokens, ..Distribution::of_list(Vec::new(), Exactness::Exact) }
            };
            LayerDistributions { tokens: Vec::new(), layers: numbers.iter().map(layer).collect(), parts: Vec::new() }
        };
        let found = two(&[(-1.0, -3.0), (-4.0, -2.0), (-2.0, -2.0), (-1.0, -1.5), (-0.5, -2.0)]);
        assert_eq!(found.leads(0, 1), [2.0, -2.0, 0.0, 0.5, 1.5]);
        assert_eq!((found.decided_between(0, 1), found.decided_between(1, 0)), (3, 3));
        assert_eq!(two(&[(-1.0, -3.0), (-1.0, -2.0)]).decided_between(0, 1), 0);
        assert_eq!(two(&[(-1.0, -3.0), (-3.0, -2.0)]).decided_between(0, 1), 1);
        // Equally likely to the last bit: nothing decides before the last layer.
        assert_eq!(two(&[(-1.0, -3.0), (-2.0, -2.0)]).decided_between(0, 1), 1);
        let parts = LogitParts { logit: 2.5, parts: vec![1.0, -0.5, 1.5] };
        assert_eq!(parts.rest(), 0.5);
    }
}
