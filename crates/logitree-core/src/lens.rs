//! A lens: which tokens of a recorded distribution a sampler would keep, and with what probability.
//!
//! The steps come in the order of transformers: repetition penalty, temperature, top-k, top-p, min-p, typical-p; then
//! the kept probabilities are scaled to add up to 1. A record holds the most likely tokens with exact logprobs, not the
//! whole vocabulary. Where the listed tokens determine the result, it is exact. Else it has bounds, which hold however
//! the probability that is left is divided among the other tokens; nothing is approximated.

use crate::tree::Expansion;
use crate::{Exactness, NodeId, Stop, TokenId, TokenStats, Tree};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// A list is the whole distribution if its probabilities add up to 1 within this error, which is that of rounding.
const WHOLE: f64 = 1e-9;

/// A sampler's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lens {
    /// Divides the logits; 0 keeps only the most likely token.
    pub temperature: f64,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely tokens until the sum of their probabilities reaches this.
    pub top_p: f64,
    /// Keep tokens whose probability is at least this share of the most likely one's.
    pub min_p: f64,
    /// Keep the tokens whose surprisal is nearest to the entropy until the sum of their probabilities reaches this.
    pub typical_p: f64,
    /// Divides positive logits of tokens that came before and multiplies negative ones.
    pub repetition_penalty: f64,
}

impl Default for Lens {
    fn default() -> Self {
        Lens { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, typical_p: 1.0, repetition_penalty: 1.0 }
    }
}

/// A lower and an upper bound of a probability; equal if it is known.
pub type Within = [f64; 2];

/// Why the listed tokens do not even bound the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooShort {
    /// Tokens that are not listed may be kept, and nothing limits their probability.
    List,
    /// A repetition penalty needs logits, which this record does not have.
    Logits,
}

/// A listed token through the lens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The token.
    pub id: TokenId,
    /// Its probability in the model's own distribution.
    pub before: f64,
    /// Its probability through the lens; 0 if it is cut.
    pub after: Within,
}

impl Seen {
    /// Whether the lens certainly cuts the token.
    pub fn is_cut(&self) -> bool {
        self.after[1] == 0.0
    }
}

/// A token as its index in the list, and its weight (a probability that is not scaled yet).
type Weighted = (usize, f64);

impl Lens {
    /// Whether the settings change nothing: every token keeps its probability.
    pub fn is_clear(&self) -> bool {
        *self == Lens::default()
    }

    /// The listed tokens of a node through the lens, most likely (before) first. `vocab` is 0 if not known;
    /// `came_before` are the tokens of the prompt and the path.
    ///
    /// # Errors
    /// If the listed tokens do not even bound the result.
    pub fn look(&self, e: &Expansion, vocab: usize, came_before: &HashSet<TokenId>) -> Result<Vec<Seen>, TooShort> {
        let seen = |(t, after): (&TokenStats, Within)| Seen { id: t.id, before: t.prob(), after };
        let after = if self.is_clear() {
            e.top.iter().map(|t| [t.prob(); 2]).collect()
        } else {
            match self.keep(e, vocab, came_before) {
                Ok(kept) => {
                    let total: f64 = kept.iter().map(|k| k.1).sum();
                    let mut after = vec![[0.0; 2]; e.top.len()];
                    kept.iter().for_each(|&(i, w)| after[i] = [w / total; 2]);
                    after
                }
                Err(TooShort::List) => self.within(e, vocab).ok_or(TooShort::List)?,
                Err(why) => return Err(why),
            }
        };
        Ok(e.top.iter().zip(after).map(seen).collect())
    }

    /// Bounds for the listed tokens where some that are not listed may be kept. `None` where nothing limits these: no
    /// list, a vocabulary whose size is not known, or a rule that needs to know every token.
    ///
    /// With weights `w = p^(1/T)`, the unlisted tokens together weigh between what they do if as many as possible are
    /// as likely as the last listed one, and what they do if all are equally likely: the power is convex for
    /// temperatures below 1 and concave above. All else follows from this weight step by step, and in one direction:
    /// the more they weigh, the more tokens top-p keeps and the more the kept ones weigh together.
    fn within(&self, e: &Expansion, vocab: usize) -> Option<Vec<Within>> {
        let (first, last) = (e.top.first()?.logprob, e.top.last()?.logprob);
        let unlisted = vocab.checked_sub(e.top.len()).filter(|&n| n > 0)?;
        if self.temperature == 0.0 || self.typical_p < 1.0 || self.repetition_penalty != 1.0 {
            return None;
        }
        let weight = |logprob: f64| ((logprob - first) / self.temperature).exp();
        let weights: Vec<f64> = e.top.iter().map(|t| weight(t.logprob)).collect();
        let bar = weight(last);
        let left = (1.0 - e.top.iter().map(|t| t.prob()).sum::<f64>()).max(0.0);
        let many = unlisted as f64;
        let like_last = (left / last.exp()).floor().min(many);
        let remainder = (left - like_last * last.exp()).max(0.0);
        let packed = like_last * bar + weight(remainder.ln());
        let even = many * weight((left / many).ln()).min(bar);
        let mut rest = [packed.min(even), packed.max(even)];
        if let Some(more) = self.top_k.checked_sub(weights.len()).filter(|_| self.top_k > 0) {
            // So many of the unlisted tokens stay: the most likely ones, none above the bar.
            let more = (more as f64).min(many);
            rest = [rest[0] * more / many, rest[1].min(more * bar)];
        }
        // Weights of the first 0, 1, 2, … tokens together.
        let mut sums = vec![0.0];
        weights.iter().for_each(|w| sums.push(sums[sums.len() - 1] + w));
        let listed = sums[weights.len()];
        // How many listed tokens are kept and what all kept ones weigh together, with the unlisted at either end.
        let passing = weights.iter().take_while(|w| **w >= self.min_p).count();
        let end = |upper: usize| {
            let all = listed + rest[upper];
            let wanted = self.top_p * all;
            let in_list = until(sums.windows(2).map(|s| s[1] - s[0]), wanted).filter(|_| self.top_p < 1.0);
            let kept = in_list.unwrap_or(weights.len()).min(passing);
            let lifted = in_list.is_none() && passing == weights.len();
            let beyond = match (lifted, upper) {
                // Of the unlisted tokens min-p may cut any.
                (false, _) => 0.0,
                (true, 0) if self.min_p > 0.0 => 0.0,
                (true, 0) => (wanted - listed).max(0.0),
                (true, _) if bar < self.min_p => 0.0,
                (true, _) if self.top_p < 1.0 => (wanted + bar - listed).clamp(0.0, rest[1]),
                (true, _) => rest[1],
            };
            (kept, sums[kept] + beyond)
        };
        let ((fewest, least), (most, greatest)) = (end(0), end(1));
        let bounds = |(i, w): (usize, &f64)| {
            let lower = if i < fewest { w / greatest } else { 0.0 };
            // A token that is kept only if the unlisted ones weigh more comes after all before it, and these are kept too.
            let upper = if i < fewest { w / least } else { w / sums[i + 1] };
            if i < most { [lower, upper.min(1.0)] } else { [0.0; 2] }
        };
        Some(weights.iter().enumerate().map(bounds).collect())
    }

    /// The kept tokens with weights in proportion to their probabilities.
    ///
    /// Three values say what is known about the tokens that are not listed:
    ///
    /// ```text
    /// bar       the largest weight that any of them may have
    /// rest      the weight of all of them together; `None` if it is not known
    /// complete  whether none of them is kept
    /// ```
    ///
    /// Each step cuts only if these prove that its result is the same whatever the unlisted tokens are; otherwise it
    /// fails. A step that cuts makes the list complete. At the end it must be complete.
    fn keep(&self, e: &Expansion, vocab: usize, came_before: &HashSet<TokenId>) -> Result<Vec<Weighted>, TooShort> {
        let listed: f64 = e.top.iter().map(|t| t.prob()).sum();
        // If the unlisted tokens together are mere rounding, they are ignored, unless the settings may raise them: a
        // temperature above 1 raises them without limit.
        let tail_stays = self.temperature <= 1.0 && self.repetition_penalty == 1.0;
        let whole = (vocab > 0 && e.top.len() == vocab) || (tail_stays && !e.top.is_empty() && listed >= 1.0 - WHOLE);
        let mut logprobs: Vec<f64> = Vec::with_capacity(e.top.len());
        for t in &e.top {
            logprobs.push(if self.repetition_penalty != 1.0 && came_before.contains(&t.id) {
                let logit = t.logprob + e.logsumexp.ok_or(TooShort::Logits)?;
                let penalty = self.repetition_penalty;
                let changed = if logit > 0.0 { logit / penalty } else { logit * penalty };
                t.logprob + changed - logit
            } else {
                t.logprob
            });
        }
        // The log probability of any unlisted token is at most this. A penalty below 1 could raise one above it.
        let bar = if whole { f64::NEG_INFINITY } else { e.top.last().map_or(0.0, |t| t.logprob) };
        if !whole && self.repetition_penalty < 1.0 {
            return Err(TooShort::List);
        }
        let mut order: Vec<usize> = (0..e.top.len()).collect();
        order.sort_by(|&a, &b| logprobs[b].total_cmp(&logprobs[a]).then(e.top[a].id.cmp(&e.top[b].id)));
        if self.temperature == 0.0 {
            let best = *order.first().ok_or(TooShort::List)?;
            return if logprobs[best] >= bar { Ok(vec![(best, 1.0)]) } else { Err(TooShort::List) };
        }
        let most = order.first().map_or(0.0, |&i| logprobs[i]);
        let weight = |l: f64| ((l - most) / self.temperature).exp();
        let mut kept: Vec<Weighted> = order.iter().map(|&i| (i, weight(logprobs[i]))).collect();
        let bar = weight(bar);
        // The weight of all unlisted tokens is known only if neither temperature nor penalty changed it.
        let mut rest = Some(if whole { 0.0 } else { (1.0 - listed) * weight(0.0) })
            .filter(|_| whole || (self.temperature == 1.0 && self.repetition_penalty == 1.0));
        let mut complete = whole;
        if self.top_k > 0 && (whole || kept.get(self.top_k - 1).is_some_and(|k| k.1 >= bar)) {
            kept.truncate(self.top_k);
            (complete, rest) = (true, Some(0.0));
        } else if self.top_k > 0 {
            return Err(TooShort::List);
        }
        if self.top_p < 1.0 {
            let total = kept.iter().map(|k| k.1).sum::<f64>() + rest.ok_or(TooShort::List)?;
            let n = until(kept.iter().map(|k| k.1), self.top_p * total).filter(|&n| complete || kept[n - 1].1 >= bar);
            kept.truncate(n.or(complete.then_some(kept.len())).ok_or(TooShort::List)?);
            (complete, rest) = (true, Some(0.0));
        }
        if self.min_p > 0.0 {
            let least = self.min_p * kept.first().map_or(1.0, |k| k.1);
            if !complete && bar >= least {
                return Err(TooShort::List);
            }
            kept.retain(|k| k.1 >= least);
            (complete, rest) = (true, Some(0.0));
        }
        if self.typical_p < 1.0 {
            kept = self.typical(e, kept, complete, rest.ok_or(TooShort::List)?, bar)?;
            complete = true;
        }
        if complete { Ok(kept) } else { Err(TooShort::List) }
    }

    /// Locally typical sampling: of the tokens in `kept`, those whose surprisal is nearest to the entropy of `kept`.
    /// `complete`, `rest` and `bar` are those of [`Lens::keep`].
    fn typical(
        &self,
        e: &Expansion,
        kept: Vec<Weighted>,
        complete: bool,
        rest: f64,
        bar: f64,
    ) -> Result<Vec<Weighted>, TooShort> {
        let total = kept.iter().map(|k| k.1).sum::<f64>() + rest;
        let entropy = match complete {
            true => -kept.iter().map(|k| k.1 / total).map(|p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>(),
            // An imported record does not know the vocabulary's entropy.
            false if e.exactness != Exactness::Exact => return Err(TooShort::List),
            // No step before this one changed or cut anything, so the recorded entropy of the whole vocabulary holds.
            false => e.entropy,
        };
        let distance = |w: f64| (-(w / total).ln() - entropy).abs();
        let mut order = kept;
        order.sort_by(|a, b| distance(a.1).partial_cmp(&distance(b.1)).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0)));
        let n = until(order.iter().map(|k| k.1), self.typical_p * total)
            .or(complete.then_some(order.len()))
            .ok_or(TooShort::List)?;
        // Unlisted tokens are at least as surprising as the last listed one. None of them is kept if even this least
        // surprise is further from the entropy than that of all tokens taken.
        let furthest = order[..n].iter().map(|k| distance(k.1)).fold(0.0, f64::max);
        if !complete && -(bar / total).ln() - entropy <= furthest {
            return Err(TooShort::List);
        }
        order.truncate(n);
        Ok(order)
    }
}

/// The number of tokens from the start whose weights add up to `wanted`, at least one; `None` if all are not enough.
fn until(mut kept: impl Iterator<Item = f64>, wanted: f64) -> Option<usize> {
    let mut sum = 0.0;
    let last = kept.position(|weight| {
        sum += weight;
        sum >= wanted
    });
    last.map(|i| i + 1)
}

/// A tree through a lens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Probability of every node's path; `None` below a node whose list is too short.
    pub mass: Vec<Option<Within>>,
    /// Expanded nodes whose list is too short for bounds, and why.
    pub short: Vec<(NodeId, TooShort)>,
    /// Number of expanded nodes whose tokens have bounds that differ.
    pub bounded: usize,
    /// Listed tokens that are certainly kept, in all nodes together.
    pub kept: usize,
    /// Listed tokens that are certainly cut, in all nodes together.
    pub cut: usize,
    /// Probability of paths that reached an end token.
    pub finished: Within,
    /// Probability of nodes that were not expanded.
    pub frontier: Within,
    /// Probability of tokens that the lens keeps but that did not become nodes, and of nodes that were set aside.
    pub pruned: Within,
    /// Probability of nodes whose list is too short: how it is divided below them is not known.
    pub unknown: Within,
}

impl View {
    /// The leaves of the tree, sorted by their probability through the lens, of bounds by the middle. Those without
    /// bounds come last.
    pub fn ranked_leaves(&self, tree: &Tree) -> Vec<NodeId> {
        let mut leaves = tree.ranked_leaves();
        let mass = |n: &NodeId| self.mass[n.index()].map_or(-1.0, |[lower, upper]| lower + upper);
        leaves.sort_by(|a, b| mass(b).total_cmp(&mass(a)));
        leaves
    }
}

/// Looks at a whole tree through a lens. Where all is known, the four probabilities of the view add up to 1. `vocab` is
/// 0 if not known.
pub fn view(tree: &Tree, prompt: &[TokenId], vocab: usize, lens: &Lens) -> View {
    let mut v = View { mass: vec![None; tree.len()], ..View::default() };
    let add = |to: &mut Within, mass: Within| *to = [to[0] + mass[0], (to[1] + mass[1]).min(1.0)];
    v.mass[0] = Some([1.0; 2]);
    for n in tree.nodes() {
        let Some(mass) = v.mass[n.index()] else { continue };
        let Some(e) = tree.expansion(n) else {
            match tree.stop(n) {
                Some(Stop::EndToken) => add(&mut v.finished, mass),
                Some(Stop::Pruned) => add(&mut v.pruned, mass),
                _ => add(&mut v.frontier, mass),
            }
            continue;
        };
        if mass[1] == 0.0 {
            e.children.iter().for_each(|c| v.mass[c.index()] = Some([0.0; 2]));
            continue;
        }
        let came_before = match lens.repetition_penalty == 1.0 {
            true => HashSet::new(),
            false => prompt.iter().copied().chain(tree.path(n)).collect(),
        };
        match lens.look(e, vocab, &came_before) {
            Err(why) => {
                v.short.push((n, why));
                add(&mut v.unknown, mass);
            }
            Ok(seen) => {
                v.bounded += usize::from(seen.iter().any(|s| s.after[0] != s.after[1]));
                v.kept += seen.iter().filter(|s| s.after[0] > 0.0).count();
                v.cut += seen.iter().filter(|s| s.is_cut()).count();
                let mut kept = [0.0; 2];
                let by_token: HashMap<TokenId, &Seen> = seen.iter().map(|s| (s.id, s)).collect();
                for &c in &e.children {
                    let listed = tree.token(c).and_then(|t| by_token.get(&t));
                    // A child that is not listed (in a tree of samples, or made by the user) has its own probability if
                    // nothing is changed or cut. A lens that is known for all listed tokens cuts it; of others nothing
                    // is known of it.
                    let known = seen.iter().all(|s| s.after[0] == s.after[1]);
                    let unlisted = || match (lens.is_clear(), known) {
                        (true, _) => [tree.logprob(c).exp(); 2],
                        (false, true) => [0.0; 2],
                        (false, false) => [0.0, 1.0],
                    };
                    let p = listed.map_or_else(unlisted, |s| s.after);
                    v.mass[c.index()] = Some([mass[0] * p[0], mass[1] * p[1]]);
                    kept = [kept[0] + p[0], kept[1] + p[1]];
                }
                add(&mut v.pruned, [mass[0] * (1.0 - kept[1]).max(0.0), mass[1] * (1.0 - kept[0]).max(0.0)]);
            }
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distribution;
    use crate::sampling::Sampler;

    /// A root with the first `listed` tokens of a distribution, all made children.
    fn root(probs: &[f64], listed: usize, logsumexp: f64) -> Tree {
        let stats = |(i, p): (usize, &f64)| TokenStats { id: TokenId(i as u32), logprob: p.ln(), rank: i as u32 + 1 };
        let top: Vec<TokenStats> = probs.iter().enumerate().take(listed).map(stats).collect();
        let entropy = -probs.iter().map(|p| p * p.ln()).sum::<f64>();
        let d = Distribution { logsumexp, entropy, ..Distribution::of_list(top.clone(), Exactness::Exact) };
        let mut tree = Tree::default();
        tree.expand(NodeId::ROOT, d, &top, None, 1);
        tree
    }

    fn after(tree: &Tree, lens: Lens, before: &[u32]) -> Result<Vec<f64>, TooShort> {
        let e = tree.expansion(NodeId::ROOT).unwrap();
        let before = before.iter().map(|&t| TokenId(t)).collect();
        let seen = lens.look(e, 6, &before)?;
        // Where there are only bounds, the list does not determine the result.
        if seen.iter().any(|s| s.after[0] != s.after[1]) {
            return Err(TooShort::List);
        }
        Ok(seen.iter().map(|s| (s.after[0] * 1e4).round() / 1e4).collect())
    }

    const PROBS: [f64; 6] = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04];

    #[test]
    fn each_rule_as_computed_by_hand_and_only_where_the_list_suffices() {
        let base = Lens::default();
        let short = root(&PROBS, 3, 2.0);
        let all = root(&PROBS, 6, 2.0);
        assert_eq!(after(&short, base, &[]), Ok(vec![0.4, 0.25, 0.15]));
        assert_eq!(after(&short, Lens { top_k: 2, ..base }, &[]), Ok(vec![0.6154, 0.3846, 0.0]));
        assert_eq!(after(&short, Lens { top_k: 4, ..base }, &[]), Err(TooShort::List));
        assert_eq!(after(&all, Lens { top_k: 4, ..base }, &[]), Ok(vec![0.4444, 0.2778, 0.1667, 0.1111, 0.0, 0.0]));
        assert_eq!(after(&short, Lens { top_p: 0.7, ..base }, &[]), Ok(vec![0.5, 0.3125, 0.1875]));
        assert_eq!(after(&short, Lens { top_p: 0.9, ..base }, &[]), Err(TooShort::List));
        assert_eq!(after(&short, Lens { min_p: 0.5, ..base }, &[]), Ok(vec![0.6154, 0.3846, 0.0]));
        assert_eq!(after(&short, Lens { min_p: 0.3, ..base }, &[]), Err(TooShort::List));
        assert_eq!(after(&short, Lens { temperature: 0.0, ..base }, &[]), Ok(vec![1.0, 0.0, 0.0]));
        assert_eq!(after(&short, Lens { temperature: 0.5, ..base }, &[]), Err(TooShort::List));
        assert_eq!(after(&short, Lens { temperature: 0.5, top_k: 2, ..base }, &[]), Ok(vec![0.7191, 0.2809, 0.0]));
        // Entropy 1.529 nats; surprisals 0.916, 1.386, 1.897, 2.303, …: nearest are tokens 1 and 2.
        assert_eq!(after(&all, Lens { typical_p: 0.35, ..base }, &[]), Ok(vec![0.0, 0.625, 0.375, 0.0, 0.0, 0.0]));
        assert_eq!(after(&short, Lens { typical_p: 0.2, ..base }, &[]), Ok(vec![0.0, 1.0, 0.0]));
        assert_eq!(after(&short, Lens { typical_p: 0.35, ..base }, &[]), Err(TooShort::List));
        // Logit of token 0: ln 0.4 + 2 = 1.0837, halved: its weight falls from 0.4 to 0.4 e^-0.5419 = 0.2327.
        let penalty = Lens { repetition_penalty: 2.0, top_k: 2, ..base };
        assert_eq!(after(&short, penalty, &[0]), Ok(vec![0.482, 0.518, 0.0]));
        assert_eq!(after(&short, penalty, &[5]), Ok(vec![0.6154, 0.3846, 0.0]));
        let none = root(&PROBS, 3, f64::NAN);
        assert_eq!(after(&none, penalty, &[0]), Err(TooShort::Logits));
    }

    #[test]
    fn what_the_sampler_gives_is_within_the_bounds_and_exact_with_a_whole_list() {
        let mut results = [0; 2];
        for i in 0..2000u64 {
            let mut h = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = || {
                h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (h >> 11) as f64 / (1u64 << 53) as f64
            };
            let mut probs: Vec<f64> = (0..8).map(|_| next().powi(4) + 1e-3).collect();
            let total: f64 = probs.iter().sum();
            probs.iter_mut().for_each(|p| *p /= total);
            probs.sort_by(|a, b| b.total_cmp(a));
            let sampler = Sampler {
                temperature: 0.3 + next(),
                top_k: (next() * 9.0) as usize,
                top_p: next(),
                min_p: next() * 0.3,
            };
            let Sampler { temperature, top_k, top_p, min_p } = sampler;
            let lens = Lens { temperature, top_k, top_p, min_p, ..Lens::default() };
            let logits: Vec<f32> = probs.iter().map(|p| p.ln() as f32).collect();
            let mut want = [0.0; 8];
            sampler.distribution(&logits).into_iter().for_each(|(t, p)| want[t.index()] = p);
            let whole = root(&probs, 8, 0.0);
            let listed = 1 + (next() * 8.0) as usize;
            for tree in [whole, root(&probs, listed, 0.0)] {
                let e = tree.expansion(NodeId::ROOT).unwrap();
                match lens.look(e, 8, &HashSet::new()) {
                    // A result from a shorter list must be the same as from the whole one.
                    Ok(seen) => {
                        for s in &seen {
                            let (got, want) = (s.after, want[s.id.index()]);
                            let holds = got[0] - 1e-5 <= want && want <= got[1] + 1e-5;
                            assert!(holds && got[0] <= got[1], "{i} {sampler:?} {seen:?} {want:?}");
                        }
                        let exact = seen.iter().all(|s| s.after[0] == s.after[1]);
                        let sum = |end: usize| seen.iter().map(|s| s.after[end]).sum::<f64>();
                        assert!(!exact || (sum(0) - 1.0).abs() < 1e-9 && e.top.len() <= 8);
                        assert!(exact || (e.top.len() < 8 && sum(0) <= 1.0 + 1e-9), "{i} {sampler:?} {seen:?}");
                        results[usize::from(exact)] += 1;
                    }
                    Err(why) => panic!("{i} {sampler:?} {why:?}"),
                }
            }
        }
        assert!(results.iter().all(|&n| n > 200), "{results:?}");
    }

    #[test]
    fn bounds_are_reached_where_the_rest_is_packed_and_where_it_is_even() {
        // Of the six tokens three are listed; the rest is 0.2: 0.15 and 0.05, or three of 0.0667.
        let short = root(&PROBS, 3, 2.0);
        let e = short.expansion(NodeId::ROOT).unwrap();
        let look = |lens: Lens| {
            let seen = lens.look(e, 6, &HashSet::new()).unwrap();
            seen.iter().map(|s| s.after.map(|p| (p * 1e4).round() / 1e4)).collect::<Vec<_>>()
        };
        let base = Lens::default();
        // Squares: 0.16, 0.0625, 0.0225 of 0.245 and 0.025 (0.15² + 0.05²) or 0.0133 (3 · 0.0667²).
        let cold = look(Lens { temperature: 0.5, ..base });
        assert_eq!(cold, [[0.5926, 0.6194], [0.2315, 0.2419], [0.0833, 0.0871]]);
        // Roots: 0.6325, 0.5, 0.3873 of 1.5198 and 0.6109 (0.3873 + 0.2236) or 0.7746 (3 · 0.2582).
        let hot = look(Lens { temperature: 2.0, ..base });
        assert_eq!(hot, [[0.2757, 0.2968], [0.2179, 0.2347], [0.1688, 0.1818]]);
        // Of the unlisted one stays: 0.15 at most, 0.0667 at least.
        assert_eq!(look(Lens { top_k: 4, ..base })[0], [0.4211, 0.4615]);
        // 0.9 is reached among the unlisted: at least 0.9 is kept, at most all.
        assert_eq!(look(Lens { top_p: 0.9, ..base })[0], [0.4, 0.4444]);
        // Up to 0.2 more is kept.
        assert_eq!(look(Lens { min_p: 0.3, ..base })[0], [0.4, 0.5]);
        // The two ends of the weight: with top-p 0.83 the second token is enough at one end and not at the other.
        let cut = look(Lens { temperature: 0.5, top_p: 0.83, ..base });
        assert_eq!(cut, [[0.6531, 0.7191], [0.2551, 0.2809], [0.0, 0.0918]]);
        assert_eq!(Lens { temperature: 0.5, ..base }.look(e, 0, &HashSet::new()), Err(TooShort::List));
    }

    #[test]
    fn a_tail_that_the_sampler_lifts_is_not_left_out() {
        // The nine listed tokens leave out about 1e-10; temperature 3 raises such a tail, spread over a large
        // vocabulary, until it has most of the probability.
        let mut probs = vec![1.0 - 9e-10];
        probs.extend([1e-10; 8]);
        let tree = root(&probs, 9, 0.0);
        let e = tree.expansion(NodeId::ROOT).unwrap();
        let none = HashSet::new();
        let look = |temperature, vocab| Lens { temperature, ..Lens::default() }.look(e, vocab, &none).unwrap()[0].after;
        let [lower, upper] = look(3.0, 262_144);
        assert!(lower < 0.5 && upper > 0.9, "{lower} {upper}");
        assert!(look(0.5, 262_144)[0] > 0.999 && look(3.0, 9)[0] == look(3.0, 9)[1]);
        let penalty = Lens { repetition_penalty: 1.5, ..Lens::default() };
        assert_eq!(penalty.look(e, 262_144, &none), Err(TooShort::List));
    }

    #[test]
    fn a_record_without_lists_or_entropy_is_not_guessed_at() {
        let mut tree = Tree::default();
        let child = [TokenStats { id: TokenId(1), logprob: -0.5, rank: 1 }];
        let d = |top: &[TokenStats]| Distribution::of_list(top.to_vec(), Exactness::LowerBound);
        tree.expand(NodeId::ROOT, d(&[]), &child, None, 1);
        tree.expand(NodeId(1), d(&child), &child, None, 1);
        let at = |n| tree.expansion(NodeId(n)).unwrap();
        let none = HashSet::new();
        let cut = Lens { top_k: 2, ..Lens::default() };
        assert_eq!(cut.look(at(0), 0, &none), Err(TooShort::List));
        let typical = Lens { typical_p: 0.1, ..Lens::default() };
        assert_eq!(typical.look(at(1), 0, &none), Err(TooShort::List));
    }

    #[test]
    fn the_trees_mass_adds_up() {
        let mut tree = root(&PROBS, 3, 0.0);
        tree.stop_node(NodeId(1), Stop::EndToken);
        let v = view(&tree, &[], 6, &Lens { top_k: 2, ..Lens::default() });
        let near = |found: Within, [lower, upper]: Within| {
            assert!((found[0] - lower).abs() < 1e-4 && (found[1] - upper).abs() < 1e-4, "{found:?}");
        };
        near(v.finished, [0.4 / 0.65; 2]);
        near(v.frontier, [0.25 / 0.65; 2]);
        assert_eq!((v.kept, v.cut, v.unknown, v.bounded, &v.short[..]), (2, 1, [0.0; 2], 0, &[][..]));
        let v = view(&tree, &[], 6, &Lens { temperature: 0.5, ..Lens::default() });
        near(v.finished, [0.5926, 0.6194]);
        near(v.frontier, [0.3148, 0.329]);
        near(v.pruned, [0.0516, 0.0926]);
        assert_eq!((v.bounded, v.unknown), (1, [0.0; 2]));
        let v = view(&tree, &[], 0, &Lens { temperature: 0.5, ..Lens::default() });
        assert_eq!((v.unknown, &v.short[..]), ([1.0; 2], &[(NodeId::ROOT, TooShort::List)][..]));
        let v = view(&tree, &[], 6, &Lens::default());
        near(v.finished, [0.4; 2]);
        near(v.pruned, [0.2; 2]);
    }
}
