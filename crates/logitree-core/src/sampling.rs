//! Choosing a token from a distribution.

use crate::TokenId;
use serde::{Deserialize, Serialize};

/// How to choose the next token. The order is transformers': temperature, top-k, top-p, min-p.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampler {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f64,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely tokens until their probs reach this.
    pub top_p: f64,
    /// Keep tokens whose prob is at least this share of the most likely one's.
    pub min_p: f64,
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

impl Sampler {
    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether every token may be chosen.
    fn keeps_all(&self) -> bool {
        !self.is_greedy() && self.top_k == 0 && self.top_p >= 1.0 && self.min_p == 0.0
    }

    /// Probs of all tokens in order of their ids: to choose among all, there is no need to sort a vocabulary.
    fn shares(&self, logits: &[f32]) -> Vec<(TokenId, f64)> {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let share = |(i, &l): (usize, &f32)| (TokenId(i as u32), ((f64::from(l) - most) / self.temperature).exp());
        let mut shares: Vec<(TokenId, f64)> = logits.iter().enumerate().map(share).collect();
        normalise(&mut shares);
        shares
    }

    /// Tokens that may be chosen with their probs, most likely first. `logits` is `[vocab]`.
    pub fn distribution(&self, logits: &[f32]) -> Vec<(TokenId, f64)> {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let logit = |i: u32| f64::from(logits[i as usize]);
        order.sort_unstable_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
        let Some(&best) = order.first() else { return Vec::new() };
        if self.is_greedy() {
            return vec![(TokenId(best), 1.0)];
        }
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let mut kept: Vec<(TokenId, f64)> =
            order.iter().map(|&i| (TokenId(i), ((logit(i) - logit(best)) / self.temperature).exp())).collect();
        normalise(&mut kept);
        if self.top_p < 1.0 {
            let mut before = 0.0;
            // A token stays if those before it do not reach top_p yet: the first always does.
            let keep = kept.iter().take_while(|(_, p)| {
                let needed = before < self.top_p;
                before += p;
                needed
            });
            let keep = keep.count().max(1);
            kept.truncate(keep);
            normalise(&mut kept);
        }
        let least = self.min_p * kept[0].1;
        kept.retain(|(_, p)| *p >= least);
        normalise(&mut kept);
        kept
    }

    /// The token that a uniform number in `[0, 1)` chooses.
    pub fn choose(&self, logits: &[f32], uniform: f64) -> Option<TokenId> {
        self.choose_all(logits, &[uniform]).pop()
    }

    /// The tokens that uniform numbers in `[0, 1)` choose; none if there are no tokens.
    pub fn choose_all(&self, logits: &[f32], uniforms: &[f64]) -> Vec<TokenId> {
        let kept = if self.keeps_all() { self.shares(logits) } else { self.distribution(logits) };
        let Some(last) = kept.last() else { return Vec::new() };
        let mut total = 0.0;
        let ends: Vec<f64> = kept
            .iter()
            .map(|(_, p)| {
                total += p;
                total
            })
            .collect();
        let pick = |u: &f64| kept.get(ends.partition_point(|end| end <= u)).unwrap_or(last).0;
        uniforms.iter().map(pick).collect()
    }
}

fn normalise(kept: &mut [(TokenId, f64)]) {
    let total: f64 = kept.iter().map(|k| k.1).sum();
    kept.iter_mut().for_each(|k| k.1 /= total);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(s: Sampler, probs: &[f64]) -> Vec<(u32, f64)> {
        let logits: Vec<f32> = probs.iter().map(|p| p.ln() as f32).collect();
        s.distribution(&logits).into_iter().map(|(t, p)| (t.0, (p * 1e4).round() / 1e4)).collect()
    }

    #[test]
    fn each_rule_cuts_as_computed_by_hand() {
        let probs = [0.1, 0.4, 0.2, 0.3];
        let base = Sampler { temperature: 1.0, ..Default::default() };
        assert_eq!(kept(base, &probs), [(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)]);
        assert_eq!(kept(Sampler { temperature: 0.0, ..base }, &probs), [(1, 1.0)]);
        assert_eq!(kept(Sampler { top_k: 2, ..base }, &probs), [(1, 0.5714), (3, 0.4286)]);
        assert_eq!(kept(Sampler { top_p: 0.65, ..base }, &probs), [(1, 0.5714), (3, 0.4286)]);
        assert_eq!(kept(Sampler { top_p: 0.0, ..base }, &probs), [(1, 1.0)]);
        assert_eq!(kept(Sampler { min_p: 0.6, ..base }, &probs), [(1, 0.5714), (3, 0.4286)]);
        // p^2: 0.16, 0.09, 0.04, 0.01 of 0.30.
        let squared = [(1, 0.5333), (3, 0.3), (2, 0.1333), (0, 0.0333)];
        assert_eq!(kept(Sampler { temperature: 0.5, ..base }, &probs), squared);
    }

    #[test]
    fn the_uniform_number_walks_through_the_shares() {
        let s = Sampler { temperature: 1.0, ..Default::default() };
        let logits: Vec<f32> = [0.25f32, 0.75].iter().map(|p| p.ln()).collect();
        // In order of ids if nothing is cut, else most likely first.
        let chosen = |s: Sampler, u| s.choose(&logits, u).map(|t| t.0);
        assert_eq!([0.0, 0.24, 0.26, 1.0].map(|u| chosen(s, u)), [Some(0), Some(0), Some(1), Some(1)]);
        let cut = Sampler { top_k: 5, ..s };
        assert_eq!([0.0, 0.74, 0.76, 1.0].map(|u| chosen(cut, u)), [Some(1), Some(1), Some(0), Some(0)]);
        assert_eq!(s.choose(&[], 0.5), None);
    }
}
