//! Sampling: many samples of one prompt, merged into a tree.
//!
//! ```text
//! samples(root) = N
//! for node in a queue, first in first out, unless it is at an end token or at the depth limit:
//!     draw samples(node) tokens; the distinct ones become its children, with how often each was drawn
//! ```
//!
//! A node's random numbers depend only on the seed and its path, so a resumed run grows the same tree. Each node has
//! its sample count and its exact probability. In plain samples they differ by chance alone, which [`chi_square`]
//! tests.

use super::replay::{check_visit, replay_queue};
use super::{Change, Known, ParameterError, Policy, ResumeError, terminal};
use crate::sampling::Sampler;
use crate::tree::Turn;
use crate::{Distribution, NodeId, Stop, TokenId, TokenStats, Tree, logprob};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Largest number of nodes evaluated together. It is limited because each answer holds all logits of the vocabulary.
const BATCH: usize = 64;
/// Largest number of samples: all random numbers of a node are in memory at once.
const MOST: usize = 10_000_000;

/// Parameters of [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleParameters {
    /// Number of samples to draw.
    pub samples: u32,
    /// The same seed gives the same samples.
    pub seed: u64,
    /// Largest length of a sample, in tokens.
    pub max_depth: usize,
    /// How tokens are chosen.
    #[serde(flatten)]
    pub sampler: Sampler,
}

impl Default for SampleParameters {
    fn default() -> Self {
        let sampler = Sampler { temperature: 1.0, ..Sampler::default() };
        SampleParameters { samples: 100, seed: 0, max_depth: 1000, sampler }
    }
}

impl SampleParameters {
    /// Checks every parameter's range.
    ///
    /// # Errors
    /// Names the first parameter that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        ParameterError::at_least_one("samples", self.samples as usize)?;
        ParameterError::at_most("samples", self.samples as usize, MOST)?;
        ParameterError::at_least_one("max_depth", self.max_depth)?;
        self.sampler.check()
    }
}

/// The policy; see the module's description.
pub struct Sample {
    parameters: SampleParameters,
    queue: VecDeque<NodeId>,
    completed: usize,
}

impl Sample {
    /// Starts with an empty tree, or resumes with that of a stopped run.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the policy would not have grown this tree.
    pub fn new(parameters: SampleParameters, tree: &Tree) -> Result<Sample, ResumeError> {
        parameters.check()?;
        let mut policy = Sample { parameters, queue: VecDeque::new(), completed: 0 };
        let mut completed = 0;
        policy.queue = replay_queue(tree, |n, turn| {
            check_visit(n, turn, policy.terminal(tree, n), false)?;
            let count = policy.count(tree, n);
            let went: u64 = tree.own_children(n).iter().map(|&c| u64::from(tree.samples(c))).sum();
            let all = tree.own_children(n).iter().all(|&c| tree.samples(c) > 0);
            if turn == Turn::Expanded && (went != u64::from(count) || !all) {
                return Err(ResumeError::order(n, format!("{count} samples came here, and {went} went on")));
            }
            completed += if turn == Turn::Stopped(Stop::EndToken) { count as usize } else { 0 };
            Ok(())
        })?;
        policy.completed = completed;
        Ok(policy)
    }

    fn terminal(&self, tree: &Tree, n: NodeId) -> Option<Stop> {
        terminal(tree, n, self.parameters.max_depth)
    }

    /// Number of samples that reached a node.
    fn count(&self, tree: &Tree, n: NodeId) -> u32 {
        // A run file may claim any count, but no more samples can have come here than were drawn.
        if n == NodeId::ROOT { self.parameters.samples } else { tree.samples(n).min(self.parameters.samples) }
    }

    /// Draws `count` tokens after a node. Returns the distinct ones, most likely first, and how often each was drawn.
    fn draw(&self, path: &[TokenId], count: u32, d: &Distribution) -> Vec<(TokenStats, u32)> {
        let Some(logits) = &d.logits else { return Vec::new() };
        // Each path has a random stream of its own: the seed is hashed with the path, and multiplying by a fixed odd
        // number at every step keeps the seeds of neighbours apart.
        let mix =
            |seed: u64, t: &TokenId| (seed ^ u64::from(t.0 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let mut rng = StdRng::seed_from_u64(path.iter().fold(self.parameters.seed, mix));
        let uniforms: Vec<f64> = (0..count).map(|_| rng.random()).collect();
        let mut drawn: BTreeMap<TokenId, u32> = BTreeMap::new();
        for id in self.parameters.sampler.choose_all(logits, &uniforms) {
            *drawn.entry(id).or_default() += 1;
        }
        // The rank is 0 because the tree does not keep it.
        let stats = |id| TokenStats { id, logprob: logprob(logits[id.index()], d.logsumexp), rank: 0 };
        let mut children: Vec<(TokenStats, u32)> = drawn.into_iter().map(|(id, count)| (stats(id), count)).collect();
        children.sort_by(|a, b| b.0.logprob.total_cmp(&a.0.logprob).then(a.0.id.cmp(&b.0.id)));
        children
    }
}

impl Policy for Sample {
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId> {
        let waits = |n: &NodeId| !known.contains_key(n) && self.terminal(tree, *n).is_none();
        self.queue.iter().copied().filter(waits).take(most.min(BATCH)).collect()
    }

    fn top(&self, _: usize) -> usize {
        1
    }

    fn wants_logits(&self) -> bool {
        true
    }

    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change> {
        let n = *self.queue.front()?;
        let count = self.count(tree, n);
        if let Some(stop) = self.terminal(tree, n) {
            self.queue.pop_front();
            if stop == Stop::EndToken {
                self.completed += count as usize;
            }
            tree.stop_node(n, stop);
            return Some(Change::Stopped(n, stop));
        }
        let distribution = known.remove(&n)?;
        let drawn = self.draw(&tree.path(n), count, &distribution);
        let children: Vec<TokenStats> = drawn.iter().map(|d| d.0).collect();
        let queue = self.queue(tree) as u32;
        tree.expand(n, distribution, &children, None, queue);
        // Look the children up by token: if the user made some of them before, equally likely siblings may be in
        // another order.
        for (stats, count) in drawn {
            if let Some(child) = tree.child(n, stats.id) {
                tree.set_samples(child, count);
            }
        }
        self.queue.pop_front();
        self.queue.extend(tree.own_children(n));
        Some(Change::Expanded(n))
    }

    fn queue(&self, _: &Tree) -> usize {
        self.queue.len()
    }

    fn completed(&self) -> usize {
        self.completed
    }
}

/// Pearson's χ² of all draws in a tree of plain samples (temperature 1, nothing cut) against the exact probabilities,
/// and its degrees of freedom. At each node, tokens expected fewer than five times share one cell, which is left out if
/// it is expected fewer than five times itself.
///
/// For a correct sampler, χ² has mean `degrees` and variance `2 · degrees`.
pub fn chi_square(tree: &Tree, samples: u32) -> (f64, usize) {
    let (mut chi, mut degrees) = (0.0, 0);
    for n in tree.nodes().filter(|&n| !tree.by_user(n) && tree.turn(n) == Turn::Expanded) {
        let count = f64::from(if n == NodeId::ROOT { samples } else { tree.samples(n) });
        let (mut rest, mut cells) = ((count, 1.0), 0);
        for c in tree.own_children(n) {
            let (seen, p) = (f64::from(tree.samples(c)), tree.logprob(c).exp());
            if count * p >= 5.0 {
                chi += (seen - count * p).powi(2) / (count * p);
                rest = (rest.0 - seen, rest.1 - p);
                cells += 1;
            }
        }
        if cells > 0 && count * rest.1 >= 5.0 {
            chi += (rest.0 - count * rest.1).powi(2) / (count * rest.1);
            degrees += cells;
        } else if cells > 1 {
            degrees += cells - 1;
        }
    }
    (chi, degrees)
}
