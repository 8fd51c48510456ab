//! The dynamic-threshold policy: breadth-first search whose branch threshold rises with the number of open paths.
//!
//! ```text
//! queue Q of nodes, first in first out, starting with the root
//! while Q is not empty and completed < max_completed_paths:
//!     T = min + min(1, |Q| / soft_queue_limit) · (max - min)      |Q| counts the node to be popped
//!     pop n
//!     depth(n) ≥ max_depth  → stop n (not completed)
//!     n is an end token     → stop n, completed += 1
//!     the context is full   → stop n
//!     otherwise             → children = all tokens with prob > T, or the single most likely,
//!                             within the branch rules; none left → stop n (pruned)
//!                             append them to Q, most likely first
//! ```
//!
//! The queue can be rebuilt from the tree, so nothing else of a stopped run is stored. Nodes that the user adds are
//! never queued: the policy grows the same tree with or without them.

use super::replay::{check_visit, replay_queue};
use super::{BranchRules, Change, Known, ParameterError, Policy, ResumeError};
use crate::tree::Turn;
use crate::{NodeId, Stop, TokenStats, Tree};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Largest number of tokens shown as candidates at a node. The policy asks for at least this many of each distribution.
pub const MAX_CANDIDATES: usize = 10;

/// Parameters of [`Dynamic`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynamicParameters {
    /// Branch threshold, a probability, that an empty queue would have. The visited node itself counts as open.
    pub min_branch_threshold: f64,
    /// Branch threshold, a probability, when `soft_queue_limit` or more paths are open.
    pub max_branch_threshold: f64,
    /// Number of open paths at which the threshold reaches its maximum.
    pub soft_queue_limit: usize,
    /// Tokens with a probability above this are shown as candidates. It has no effect on the tree.
    pub candidate_threshold: f64,
    /// Nodes at this depth are not expanded. The notebook that the rule comes from has 1000.
    pub max_depth: usize,
    /// The exploration ends when this many paths have reached an end token.
    pub max_completed_paths: usize,
    /// Further limits on branching; by default none.
    #[serde(default, skip_serializing_if = "BranchRules::is_empty")]
    pub rules: BranchRules,
}

impl Default for DynamicParameters {
    fn default() -> Self {
        DynamicParameters {
            min_branch_threshold: 0.1,
            max_branch_threshold: 0.5,
            soft_queue_limit: 30,
            candidate_threshold: 0.01,
            // The rule keeps some tens of paths open, and a model that does not end its texts would follow them to any
            // depth: the first 30 tokens take seconds, and tell more than the hundreds behind them.
            max_depth: 30,
            max_completed_paths: 5,
            rules: BranchRules::default(),
        }
    }
}

impl DynamicParameters {
    /// Checks every parameter's range.
    ///
    /// # Errors
    /// Names the first parameter that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        for (name, value) in [
            ("min_branch_threshold", self.min_branch_threshold),
            ("max_branch_threshold", self.max_branch_threshold),
            ("candidate_threshold", self.candidate_threshold),
        ] {
            ParameterError::probability(name, value)?;
        }
        self.rules.check()?;
        let (min, max) = (self.min_branch_threshold, self.max_branch_threshold);
        if min > max {
            return Err(ParameterError::MinAboveMax { min, max });
        }
        for (name, value) in [
            ("soft_queue_limit", self.soft_queue_limit),
            ("max_depth", self.max_depth),
            ("max_completed_paths", self.max_completed_paths),
        ] {
            ParameterError::at_least_one(name, value)?;
        }
        Ok(())
    }

    /// The reason to stop at this node without evaluating it, if there is one.
    fn stop(&self, tree: &Tree, n: NodeId) -> Option<Stop> {
        if tree.depth(n) >= self.max_depth {
            Some(Stop::MaxDepth)
        } else if tree.is_end(n) {
            Some(Stop::EndToken)
        } else {
            tree.is_full(n).then_some(Stop::Context)
        }
    }

    /// Branch threshold with `queue` open paths.
    pub fn threshold(&self, queue: usize) -> f64 {
        let fill = (queue as f64 / self.soft_queue_limit as f64).min(1.0);
        self.min_branch_threshold + fill * (self.max_branch_threshold - self.min_branch_threshold)
    }
}

/// The policy; see the module's description.
pub struct Dynamic {
    parameters: DynamicParameters,
    queue: VecDeque<NodeId>,
    completed: usize,
}

impl Dynamic {
    /// Starts with an empty tree.
    ///
    /// # Errors
    /// If a parameter is outside its range.
    pub fn new(parameters: DynamicParameters) -> Result<Dynamic, ParameterError> {
        parameters.check()?;
        Ok(Dynamic { parameters, queue: VecDeque::from([NodeId::ROOT]), completed: 0 })
    }

    /// Resumes with the tree of a stopped run.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the policy would not have grown this tree.
    pub fn resume(parameters: DynamicParameters, tree: &Tree) -> Result<Dynamic, ResumeError> {
        parameters.check()?;
        let mut completed = 0;
        let queue = replay_queue(tree, |n, turn| {
            if completed >= parameters.max_completed_paths {
                return Err(ResumeError::order(n, "it was visited after max_completed_paths was reached"));
            }
            completed += usize::from(turn == Turn::Stopped(Stop::EndToken));
            check_visit(n, turn, parameters.stop(tree, n), !parameters.rules.is_empty())
        })?;
        Ok(Dynamic { parameters, queue, completed })
    }

    /// The parameters in force.
    pub fn parameters(&self) -> &DynamicParameters {
        &self.parameters
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty() || self.completed >= self.parameters.max_completed_paths
    }
}

impl Policy for Dynamic {
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId> {
        if self.is_over() {
            return Vec::new();
        }
        let waits = |n: &NodeId| self.parameters.stop(tree, *n).is_none() && !known.contains_key(n);
        self.queue.iter().copied().filter(waits).take(most).collect()
    }

    fn top(&self, vocab: usize) -> usize {
        // Fewer than 1/T tokens have a prob above T, and T is lowest with one path open.
        let lowest = self.parameters.threshold(1);
        let branches = if lowest > 0.0 { (1.0 / lowest).ceil() } else { f64::INFINITY };
        (branches.min(vocab as f64) as usize).max(MAX_CANDIDATES).min(vocab)
    }

    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        let n = *self.queue.front()?;
        if let Some(stop) = self.parameters.stop(tree, n) {
            self.queue.pop_front();
            self.completed += usize::from(stop == Stop::EndToken);
            tree.stop_node(n, stop);
            return Some(Change::Stopped(n, stop));
        }
        let distribution = known.remove(&n)?;
        let queue = self.queue(tree);
        let threshold = self.parameters.threshold(queue);
        let above = distribution.top.iter().take_while(|t| t.prob() > threshold).count();
        let branches = &distribution.top[..above.max(1).min(distribution.top.len())];
        let children: Vec<TokenStats> = branches[..self.parameters.rules.kept(tree.mass(n), branches)].to_vec();
        self.queue.pop_front();
        if children.is_empty() {
            tree.stop_node(n, Stop::Pruned);
            return Some(Change::Stopped(n, Stop::Pruned));
        }
        tree.expand(n, distribution, &children, Some(threshold), queue as u32);
        self.queue.extend(tree.own_children(n));
        Some(Change::Expanded(n))
    }

    fn queue(&self, _: &Tree) -> usize {
        self.queue.len()
    }

    fn completed(&self) -> usize {
        self.completed
    }

    fn threshold(&self, tree: &Tree) -> Option<f64> {
        Some(self.parameters.threshold(self.queue(tree)))
    }
}
