//! Choosing a token from a distribution.

use crate::parameters::ParameterError;
use crate::{Distribution, TokenId, TokenStats, logprob};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// Number of the most likely tokens that are sorted in the first round; see [`Sampler::distribution`].
const FEW: usize = 256;

/// How to choose the next token. The order is transformers': temperature, top-k, top-p, min-p.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampler {
    /// Divides the logits; 0 always takes the most likely token.
    #[serde(default = "one")]
    pub temperature: f64,
    /// Keep this many of the most likely tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: usize,
    /// Keep the most likely tokens until the sum of their probabilities reaches this.
    #[serde(default = "one")]
    pub top_p: f64,
    /// Keep tokens whose probability is at least this share of the most likely one's.
    #[serde(default)]
    pub min_p: f64,
}

/// What a temperature and a top-p are that change nothing.
fn one() -> f64 {
    1.0
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

impl Sampler {
    /// The sampler whose distribution is the model's own.
    pub const PLAIN: Sampler = Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0 };

    /// Checks every setting's range.
    ///
    /// # Errors
    /// Names the first setting that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        ParameterError::from_zero_up("temperature", self.temperature)?;
        ParameterError::probability("top_p", self.top_p)?;
        ParameterError::probability("min_p", self.min_p)
    }

    /// Chooses a token from a distribution: the most likely one if the sampler is greedy or the distribution has no
    /// logits. The token's logprob and rank are those of the model's distribution, not of the sampler's. `draw` gives a
    /// number in `[0, 1)`; it is called only if one is needed. `None` if nothing can be chosen.
    pub fn choose_from(&self, d: &Distribution, draw: impl FnOnce() -> f64) -> Option<TokenStats> {
        let Some(logits) = d.logits.as_ref().filter(|_| !self.is_greedy()) else { return d.top.first().copied() };
        let id = self.choose(logits, draw())?;
        let logit = logits[id.index()];
        let above = logits.iter().enumerate().filter(|&(i, &l)| l > logit || (l == logit && i < id.index())).count();
        let logprob = logprob(logit, d.logsumexp);
        Some(TokenStats { id, logprob, rank: above as u32 + 1 })
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether every token may be chosen.
    fn keeps_all(&self) -> bool {
        !self.is_greedy() && self.top_k == 0 && self.top_p >= 1.0 && self.min_p == 0.0
    }

    /// Probabilities of all tokens at the sampler's temperature, in order of their ids. If nothing is cut, tokens are
    /// chosen from these, so the vocabulary need not be sorted.
    fn shares(&self, logits: &[f32]) -> Vec<(TokenId, f64)> {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let share = |(i, &l): (usize, &f32)| (TokenId(i as u32), ((f64::from(l) - most) / self.temperature).exp());
        let mut shares: Vec<(TokenId, f64)> = logits.iter().enumerate().map(share).collect();
        scale_to_one(&mut shares);
        shares
    }

    /// The probability with which each token of the vocabulary is chosen, `[vocab]`: 0 for those that are cut.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let mut all = vec![0.0; logits.len()];
        for (id, p) in if self.keeps_all() { self.shares(logits) } else { self.distribution(logits) } {
            all[id.index()] = p;
        }
        all
    }

    /// Tokens that may be chosen and their probabilities, most likely first. `logits` is `[vocab]`.
    pub fn distribution(&self, logits: &[f32]) -> Vec<(TokenId, f64)> {
        let larger = |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let Some(best) = order.iter().copied().min_by(larger) else { return Vec::new() };
        if self.is_greedy() {
            return vec![(TokenId(best), 1.0)];
        }
        let cuts = self.top_p < 1.0 || self.min_p > 0.0;
        let mut kept: Vec<(TokenId, f64)> = if self.top_k == 0 && cuts {
            // Sorting a whole vocabulary is slow, and mostly few tokens are kept. Sort the most likely ones in rounds
            // of growing size, until those that are sorted reach top_p or the last of them is below min_p: no token
            // behind them can be kept.
            let shares = self.shares(logits);
            let share = |id: u32| shares[id as usize];
            let mut sorted = 0;
            loop {
                let more = (8 * sorted).max(FEW);
                most_likely(&mut order[sorted..], more, larger);
                sorted = (sorted + more).min(order.len());
                let mass: f64 = order[..sorted].iter().map(|&id| share(id).1).sum();
                let last = share(order[sorted - 1]).1;
                let enough = (self.top_p < 1.0 && mass >= self.top_p) || last < self.min_p * share(best).1;
                if enough || sorted == order.len() {
                    break order[..sorted].iter().map(|&id| share(id)).collect();
                }
            }
        } else {
            let keep = if self.top_k > 0 { self.top_k.min(order.len()) } else { order.len() };
            most_likely(&mut order, keep, larger);
            let logit = |i: u32| f64::from(logits[i as usize]);
            let share = |&i: &u32| (TokenId(i), ((logit(i) - logit(best)) / self.temperature).exp());
            let mut kept: Vec<_> = order[..keep].iter().map(share).collect();
            scale_to_one(&mut kept);
            kept
        };
        if self.top_p < 1.0 {
            let mut before = 0.0;
            // A token is kept if the sum of those before it is below top_p; the first is always kept.
            let keep = kept.iter().take_while(|(_, p)| {
                let needed = before < self.top_p;
                before += p;
                needed
            });
            let keep = keep.count().max(1);
            kept.truncate(keep);
            scale_to_one(&mut kept);
        }
        let least = self.min_p * kept[0].1;
        kept.retain(|(_, p)| *p >= least);
        scale_to_one(&mut kept);
        kept
    }

    /// The token that a uniform number in `[0, 1)` chooses; see [`Sampler::choose_all`].
    pub fn choose(&self, logits: &[f32], uniform: f64) -> Option<TokenId> {
        self.choose_all(logits, &[uniform]).pop()
    }

    /// The tokens that uniform numbers in `[0, 1)` choose. The probabilities of the tokens, one after another, divide
    /// the interval; each number chooses the token into whose part it falls. Empty if there are no tokens.
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

/// The settings that change something, by name.
impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sampler { temperature, top_k, top_p, min_p } = self;
        let mut parts = Vec::new();
        if *temperature != 1.0 {
            parts.push(format!("temperature {temperature}"));
        }
        if *top_k > 0 {
            parts.push(format!("top-k {top_k}"));
        }
        if *top_p < 1.0 {
            parts.push(format!("top-p {top_p}"));
        }
        if *min_p > 0.0 {
            parts.push(format!("min-p {min_p}"));
        }
        f.write_str(if parts.is_empty() { "temperature 1" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Moves the first `n` ids by `order` to the front and sorts them. The others are left in any order.
fn most_likely(ids: &mut [u32], n: usize, order: impl Fn(&u32, &u32) -> Ordering) {
    let n = n.min(ids.len());
    if n > 0 && n < ids.len() {
        ids.select_nth_unstable_by(n - 1, &order);
    }
    ids[..n].sort_unstable_by(&order);
}

fn scale_to_one(kept: &mut [(TokenId, f64)]) {
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
    fn probabilities_are_those_of_the_tokens_that_may_be_chosen() {
        let logits: Vec<f32> = (0..100u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 700.0).collect();
        for (temperature, top_k, top_p, min_p) in
            [(1.0, 0, 1.0, 0.0), (0.6, 0, 1.0, 0.0), (1.4, 7, 1.0, 0.0), (1.0, 0, 0.8, 0.01), (0.0, 0, 1.0, 0.0)]
        {
            let s = Sampler { temperature, top_k, top_p, min_p };
            let all = s.probabilities(&logits);
            assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let kept = s.distribution(&logits);
            assert_eq!(all.iter().filter(|&&p| p > 0.0).count(), kept.len());
            assert!(kept.iter().all(|(id, p)| (all[id.index()] - p).abs() < 1e-15), "{s:?}");
        }
        let s = Sampler { temperature: 0.7, top_p: 0.9, ..Sampler::PLAIN };
        assert_eq!(
            (s.to_string(), Sampler::PLAIN.to_string()),
            ("temperature 0.7, top-p 0.9".into(), "temperature 1".into())
        );
    }

    #[test]
    fn sorting_no_more_than_needed_keeps_the_same_tokens() {
        // One peak and a long tail with many equal values; some settings keep tokens far into the tail.
        let logits: Vec<f32> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 700.0).collect();
        let all = Sampler { temperature: 0.7, ..Default::default() };
        let sorted = all.distribution(&logits);
        assert_eq!(sorted.len(), 5000);
        for (top_p, min_p) in
            [(0.001, 0.0), (0.1, 0.0), (0.6, 0.0), (0.999, 0.0), (1.0, 0.5), (1.0, 1e-3), (0.9, 0.2), (1.0, 1e-12)]
        {
            let mut before = 0.0;
            let by_mass = sorted.iter().take_while(|(_, p)| {
                before += p;
                before - p < top_p
            });
            let expected: Vec<(TokenId, f64)> = by_mass.filter(|(_, p)| *p >= min_p * sorted[0].1).copied().collect();
            let total: f64 = expected.iter().map(|t| t.1).sum();
            let found = Sampler { top_p, min_p, ..all }.distribution(&logits);
            assert!(found.iter().map(|t| t.0).eq(expected.iter().map(|t| t.0)), "{top_p} {min_p}");
            assert!(found.iter().zip(&expected).all(|(a, b)| (a.1 - b.1 / total).abs() < 1e-12));
        }
        let few = Sampler { top_k: 700, ..all }.distribution(&logits);
        assert!(few.iter().map(|t| t.0).eq(sorted.iter().take(700).map(|t| t.0)));
    }

    #[test]
    fn the_uniform_number_walks_through_the_shares() {
        let s = Sampler { temperature: 1.0, ..Default::default() };
        let logits: Vec<f32> = [0.25f32, 0.75].iter().map(|p| p.ln()).collect();
        // Tokens are in order of their ids if nothing is cut, and else most likely first.
        let chosen = |s: Sampler, u| s.choose(&logits, u).map(|t| t.0);
        assert_eq!([0.0, 0.24, 0.26, 1.0].map(|u| chosen(s, u)), [Some(0), Some(0), Some(1), Some(1)]);
        let cut = Sampler { top_k: 5, ..s };
        assert_eq!([0.0, 0.74, 0.76, 1.0].map(|u| chosen(cut, u)), [Some(1), Some(1), Some(0), Some(0)]);
        assert_eq!(s.choose(&[], 0.5), None);
    }
}
