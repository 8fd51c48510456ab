//! Compares a record, number by number, with the model that it claims to come from.

use crate::explore::Strategy;
use crate::run::End;
use crate::watch::Watched;
use crate::{Distribution, Exactness, NodeId, Stop, TokenId, Tree};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Kinds of numbers that a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// Log probability of a listed token or of a child, in nats.
    Logprob,
    /// Which token stands at a place of a list. If it is another token now, the difference is that of the two log
    /// probabilities at this place, in nats.
    Place,
    /// Entropy of a step, in nats.
    Entropy,
    /// Variance of surprisal, in nats².
    Varentropy,
    /// Log of the sum of the exponentials of the logits, in nats.
    Logsumexp,
    /// Branch threshold, a probability.
    Threshold,
    /// Number of open paths.
    Queue,
    /// Whether all logits of a step are the same bits, by their hash. A difference has no size: it counts as 1.
    Logits,
    /// Log probability of a watched string, in nats.
    Watch,
    /// Rank of a watched string.
    WatchRank,
}

impl Number {
    /// Whether it is a whole number, or a hash, rather than nats, nats² or a probability.
    pub fn is_whole(self) -> bool {
        matches!(self, Number::Queue | Number::WatchRank | Number::Logits)
    }

    /// The name of this kind of number, in the plural.
    pub fn name(self) -> &'static str {
        match self {
            Number::Logprob => "logprobs",
            Number::Place => "places in lists",
            Number::Entropy => "entropies",
            Number::Varentropy => "varentropies",
            Number::Logsumexp => "logsumexps",
            Number::Logits => "hashes of all logits",
            Number::Threshold => "thresholds",
            Number::Queue => "queue lengths",
            Number::Watch => "logprobs of watched strings",
            Number::WatchRank => "ranks of watched strings",
        }
    }
}

/// A number of the record that the model does not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The kind of number.
    pub number: Number,
    /// The node where the number was recorded; `token` follows it.
    pub node: NodeId,
    /// The token, for numbers of a token.
    pub token: Option<TokenId>,
    /// The recorded value.
    pub recorded: f64,
    /// The value that the model gives now. For a token that is no longer listed, this is the log probability of the
    /// last listed token, which is an upper bound.
    pub now: f64,
}

impl Difference {
    /// `|recorded - now|`, in the unit of the number; infinite if the difference is NaN.
    pub fn size(&self) -> f64 {
        let size = (self.recorded - self.now).abs();
        if size.is_nan() { f64::INFINITY } else { size }
    }
}

/// How many numbers of a kind were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Count {
    /// How many numbers were compared.
    pub compared: usize,
    /// Of these, how many are the same bits.
    pub identical: usize,
    /// The largest difference, in the unit of the number; 0 if there is none.
    pub largest: f64,
}

/// The result of all comparisons so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Number of nodes compared.
    pub nodes: usize,
    /// Number of log probabilities of tokens compared.
    pub logprobs: usize,
    /// Of these, how many are the same bits.
    pub identical: usize,
    /// Counts by kind of number. A kind that is missing was not compared.
    pub numbers: BTreeMap<Number, Count>,
    /// The largest difference in nats (nats² and probabilities count as such); of several equal ones, the first. Ranks,
    /// queue lengths and hashes, which are no such numbers, count only where nothing else differs.
    pub largest: Option<Difference>,
    /// The first difference of any size.
    pub first: Option<Difference>,
    /// The first node whose listed tokens come in another order now.
    pub reordered: Option<NodeId>,
}

impl Report {
    /// Compares a node's record with the model's distribution `now`. The distribution must list as many tokens as are
    /// recorded, and have the children in `tokens`, in their order. `watched` has the watched strings now, in the order
    /// of the record.
    ///
    /// Entropy, varentropy and logsumexp of a shortened list are bounds that depend on its length, so they are compared
    /// only if both sides are exact.
    pub fn compare(&mut self, tree: &Tree, n: NodeId, now: &Distribution, watched: &[Watched]) {
        let Some(e) = tree.expansion(n) else { return };
        self.nodes += 1;
        let exact = now.exactness == Exactness::Exact;
        let short = exact && now.top.len() < e.top.len();
        for (a, b) in e.top.iter().zip(&now.top) {
            let same = a.id == b.id;
            let (recorded, now) = if same { (0.0, 0.0) } else { (a.logprob, b.logprob) };
            self.note_as(same, Difference { number: Number::Place, node: n, token: Some(a.id), recorded, now });
            if !same {
                self.reordered.get_or_insert(n);
            }
        }
        if short {
            self.reordered.get_or_insert(n);
        }
        let found: HashMap<TokenId, f64> = now.tokens.iter().chain(&now.top).map(|t| (t.id, t.logprob)).collect();
        // No token that is not listed is more likely than the last listed one.
        let last = now.top.last().map_or(f64::NEG_INFINITY, |t| t.logprob);
        let children = e.children.iter().filter_map(|&c| Some((tree.token(c)?, tree.logprob(c))));
        for (token, recorded) in e.top.iter().map(|t| (t.id, t.logprob)).chain(children) {
            let now = match found.get(&token) {
                Some(logprob) => *logprob,
                // The end of an engine's list is no bound for this token, so there is nothing to compare.
                None if !exact => continue,
                None => last,
            };
            self.note(Difference { number: Number::Logprob, node: n, token: Some(token), recorded, now });
        }
        if exact && e.exactness == Exactness::Exact {
            let logsumexp = e.logsumexp.filter(|_| now.logsumexp.is_finite());
            for (number, recorded, now) in [
                (Number::Entropy, Some(e.entropy), now.entropy),
                (Number::Varentropy, Some(e.varentropy), now.varentropy),
                (Number::Logsumexp, logsumexp, now.logsumexp),
            ] {
                let Some(recorded) = recorded else { continue };
                self.note(Difference { number, node: n, token: None, recorded, now });
            }
        }
        if let (Some(a), Some(b)) = (e.logits_sha256, now.logits_sha256) {
            let now = f64::from(u8::from(a != b));
            self.note(Difference { number: Number::Logits, node: n, token: None, recorded: 0.0, now });
        }
        for (a, b) in e.watched.iter().zip(watched) {
            let (recorded, now) = (a.logprob, b.logprob);
            self.note(Difference { number: Number::Watch, node: n, token: None, recorded, now });
            if let (Some(recorded), Some(now), true) = (a.rank, b.rank, exact) {
                let (recorded, now) = (f64::from(recorded), f64::from(now));
                self.note(Difference { number: Number::WatchRank, node: n, token: None, recorded, now });
            }
        }
    }

    /// Compares the numbers that follow from the tree without the model: each branch threshold, computed again from the
    /// recorded number of open paths, and that number itself if the user added nothing. Only the dynamic strategy has
    /// thresholds.
    pub fn compare_thresholds(&mut self, tree: &Tree, strategy: &Strategy) {
        let Strategy::Dynamic(parameters) = strategy else { return };
        // The queue is first in, first out, so nodes are visited in the order of their ids. When node n is expanded, n
        // nodes were visited before, and its first child gets the number of nodes made so far as id: `first - n` paths
        // are open.
        let undisturbed =
            !tree.nodes().any(|n| tree.by_user(n) || tree.expansion(n).is_some_and(|e| !e.adopted.is_empty()));
        for n in tree.nodes() {
            let Some(e) = tree.expansion(n).filter(|e| !e.by_user) else { continue };
            if let Some(recorded) = e.threshold {
                let now = parameters.threshold(e.queue as usize);
                self.note(Difference { number: Number::Threshold, node: n, token: None, recorded, now });
            }
            if let (true, Some(first)) = (undisturbed, e.children.iter().min()) {
                let (recorded, now) = (f64::from(e.queue), f64::from(first.0 - n.0));
                self.note(Difference { number: Number::Queue, node: n, token: None, recorded, now });
            }
        }
    }

    fn note(&mut self, d: Difference) {
        self.note_as(d.recorded.to_bits() == d.now.to_bits(), d);
    }

    fn note_as(&mut self, same: bool, d: Difference) {
        let count = self.numbers.entry(d.number).or_default();
        count.compared += 1;
        count.identical += usize::from(same);
        if d.number == Number::Logprob {
            (self.logprobs, self.identical) = (count.compared, count.identical);
        }
        if same {
            return;
        }
        self.first.get_or_insert(d);
        count.largest = count.largest.max(d.size());
        let weight = |d: &Difference| (!d.number.is_whole(), d.size());
        if self.largest.is_none_or(|l| weight(&d) > weight(&l)) {
            self.largest = Some(d);
        }
    }

    /// The kind of number that differs most beyond `allowed`, which gives the largest difference that is accepted of
    /// each kind, in its unit.
    pub fn beyond(&self, allowed: impl Fn(Number) -> f64) -> Option<(Number, Count)> {
        let over = self.numbers.iter().filter(|(n, c)| c.largest > allowed(**n));
        over.map(|(n, c)| (*n, *c)).max_by(|a, b| a.1.largest.total_cmp(&b.1.largest))
    }

    /// The size of [`Report::largest`], in the unit of its number; 0 if there is none.
    pub fn max_difference(&self) -> f64 {
        self.largest.map_or(0.0, |d| d.size())
    }

    /// Whether all numbers are the same bits and no list is in another order.
    pub fn is_identical(&self) -> bool {
        self.numbers.values().all(|c| c.identical == c.compared) && self.reordered.is_none()
    }
}

/// The contradictions between a run's `end` line and its tree, as sentences; empty if there are none.
///
/// Older files count an end token as finished only if the strategy visited it. An `end` line that is right by this rule
/// is accepted too.
pub fn end_differences(tree: &Tree, end: &End) -> Vec<String> {
    let found = end_differences_by(tree, end, Tree::stop);
    if found.is_empty() || end_differences_by(tree, end, Tree::left_as).is_empty() { Vec::new() } else { found }
}

fn end_differences_by(tree: &Tree, end: &End, stop: impl Fn(&Tree, NodeId) -> Option<Stop>) -> Vec<String> {
    let mut found = Vec::new();
    let completed = tree.nodes().filter(|&n| stop(tree, n) == Some(Stop::EndToken)).count();
    for (what, said, counted) in [("nodes", end.nodes, tree.len()), ("completed paths", end.completed, completed)] {
        if said != counted {
            found.push(format!("the `end` line says {said} {what}; the file has {counted}"));
        }
    }
    let mass = tree.accounting_by(stop);
    for (what, said, counted) in [
        ("finished", end.mass.finished, mass.finished),
        ("frontier", end.mass.frontier, mass.frontier),
        ("pruned", end.mass.pruned, mass.pruned),
    ] {
        // The sum may have been taken in another order, which changes its rounding.
        if (said - counted).abs() > 1e-9 {
            found.push(format!("the `end` line says that {said} of the probability is {what}; the tree has {counted}"));
        }
    }
    found
}
