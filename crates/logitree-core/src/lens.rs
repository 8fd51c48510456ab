//! A lens: which tokens of a recorded distribution a sampler would keep, and with what probability.
//!
//! The steps come in the order of transformers: repetition penalty, temperature, top-k, top-p, min-p, typical-p; then
//! the kept probabilities are scaled to add up to 1. A record holds the most likely tokens with exact logprobs, not the
//! whole vocabulary. A result is therefore given only where the listed tokens determine it, and else the reason why
//! not; nothing is approximated.

use crate::tree::Expansion;
use crate::{Exactness, NodeId, Stop, TokenId, Tree};
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

/// Why the listed tokens do not determine the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooShort {
    /// Tokens that are not listed may be kept.
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
    /// Its probability through the lens; `None` if it is cut.
    pub after: Option<f64>,
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
    /// If the listed tokens do not determine the result.
    pub fn look(&self, e: &Expansion, vocab: usize, came_before: &HashSet<TokenId>) -> Result<Vec<Seen>, TooShort> {
        let seen = |i: usize, after| Seen { id: e.top[i].id, before: e.top[i].prob(), after };
        if self.is_clear() {
            return Ok((0..e.top.len()).map(|i| seen(i, Some(e.top[i].prob()))).collect());
        }
        let kept = self.keep(e, vocab, came_before)?;
        let total: f64 = kept.iter().map(|k| k.1).sum();
        let mut out: Vec<Seen> = (0..e.top.len()).map(|i| seen(i, None)).collect();
        kept.iter().for_each(|&(i, w)| out[i].after = Some(w / total));
        Ok(out)
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
            let n = until(&kept, self.top_p * total).filter(|&n| complete || kept[n - 1].1 >= bar);
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
        let n = until(&order, self.typical_p * total).or(complete.then_some(order.len())).ok_or(TooShort::List)?;
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
fn until(kept: &[Weighted], wanted: f64) -> Option<usize> {
    let mut sum = 0.0;
    kept.iter()
        .position(|k| {
            sum += k.1;
            sum >= wanted
        })
        .map(|i| i + 1)
}

/// A tree through a lens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Probability of every node's path; `None` below a node whose list is too short.
    pub mass: Vec<Option<f64>>,
    /// Expanded nodes whose list is too short, and why.
    pub short: Vec<(NodeId, TooShort)>,
    /// Listed tokens that are kept, in all nodes together.
    pub kept: usize,
    /// Listed tokens that are cut, in all nodes together.
    pub cut: usize,
    /// Probability of paths that reached an end token.
    pub finished: f64,
    /// Probability of nodes that were not expanded.
    pub frontier: f64,
    /// Probability of tokens that the lens keeps but that did not become nodes, and of nodes that were set aside.
    pub pruned: f64,
    /// Probability of nodes whose list is too short: how it is divided below them is not known.
    pub unknown: f64,
}

/// Looks at a whole tree through a lens. The four probabilities of the view add up to 1. `vocab` is 0 if not known.
pub fn view(tree: &Tree, prompt: &[TokenId], vocab: usize, lens: &Lens) -> View {
    let mut v = View { mass: vec![None; tree.len()], ..View::default() };
    v.mass[0] = Some(1.0);
    for n in tree.nodes() {
        let Some(mass) = v.mass[n.index()] else { continue };
        let Some(e) = tree.expansion(n) else {
            match tree.stop(n) {
                Some(Stop::EndToken) => v.finished += mass,
                Some(Stop::Pruned) => v.pruned += mass,
                _ => v.frontier += mass,
            }
            continue;
        };
        if mass == 0.0 {
            e.children.iter().for_each(|c| v.mass[c.index()] = Some(0.0));
            continue;
        }
        let came_before = match lens.repetition_penalty == 1.0 {
            true => HashSet::new(),
            false => prompt.iter().copied().chain(tree.path(n)).collect(),
        };
        match lens.look(e, vocab, &came_before) {
            Err(why) => {
                v.short.push((n, why));
                v.unknown += mass;
            }
            Ok(seen) => {
                v.kept += seen.iter().filter(|s| s.after.is_some()).count();
                v.cut += seen.iter().filter(|s| s.after.is_none()).count();
                let mut kept = 0.0;
                let by_token: HashMap<TokenId, &Seen> = seen.iter().map(|s| (s.id, s)).collect();
                for &c in &e.children {
                    let listed = tree.token(c).and_then(|t| by_token.get(&t));
                    // A child that is not listed (in a tree of samples) has its own probability if nothing is changed
                    // or cut; any other lens that gives a result cuts it.
                    let unlisted = || if lens.is_clear() { tree.logprob(c).exp() } else { 0.0 };
                    let p = listed.map_or_else(unlisted, |s| s.after.unwrap_or(0.0));
                    v.mass[c.index()] = Some(mass * p);
                    kept += p;
                }
                v.pruned += mass * (1.0 - kept);
            }
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Sampler;
    use crate::{Distribution, TokenStats};

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
        Ok(seen.iter().map(|s| (s.after.unwrap_or(0.0) * 1e4).round() / 1e4).collect())
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
    fn a_whole_list_gives_what_the_sampler_gives() {
        for i in 0..400u64 {
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
            let mut want = vec![0.0; 8];
            sampler.distribution(&logits).into_iter().for_each(|(t, p)| want[t.index()] = p);
            let whole = root(&probs, 8, 0.0);
            let listed = 1 + (next() * 8.0) as usize;
            for tree in [whole, root(&probs, listed, 0.0)] {
                let e = tree.expansion(NodeId::ROOT).unwrap();
                match lens.look(e, 8, &HashSet::new()) {
                    // A result from a shorter list must be the same as from the whole one.
                    Ok(seen) => {
                        for s in &seen {
                            let got = s.after.unwrap_or(0.0);
                            assert!((got - want[s.id.index()]).abs() < 1e-5, "{i} {sampler:?} {seen:?} {want:?}");
                        }
                        assert!((seen.iter().filter_map(|s| s.after).sum::<f64>() - 1.0).abs() < 1e-9);
                    }
                    Err(why) => assert!(why == TooShort::List && e.top.len() < 8),
                }
            }
        }
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
        let look = |temperature, vocab| Lens { temperature, ..Lens::default() }.look(e, vocab, &none);
        assert_eq!(look(3.0, 262_144), Err(TooShort::List));
        assert!(look(0.5, 262_144).is_ok() && look(3.0, 9).is_ok());
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
        assert!((v.finished - 0.4 / 0.65).abs() < 1e-12 && (v.frontier - 0.25 / 0.65).abs() < 1e-12);
        assert_eq!((v.kept, v.cut, v.unknown, &v.short[..]), (2, 1, 0.0, &[][..]));
        let v = view(&tree, &[], 6, &Lens { temperature: 0.5, ..Lens::default() });
        assert_eq!((v.unknown, &v.short[..]), (1.0, &[(NodeId::ROOT, TooShort::List)][..]));
        let v = view(&tree, &[], 6, &Lens::default());
        assert!((v.finished - 0.4).abs() < 1e-12 && (v.pruned - 0.2).abs() < 1e-12);
    }
}
