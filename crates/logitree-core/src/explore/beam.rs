//! Beam search: the most likely paths of every length.
//!
//! ```text
//! beam = {root}
//! while the beam is not empty and completed < max_completed_paths:
//!     expand every node of the beam: children = its `width` most likely tokens, within the branch rules
//!     of all children, the `width` most likely stay: those at an end token are complete, the others are
//!     the next beam; the rest is pruned
//! ```

use super::{BranchRules, Change, Known, ParameterError, Policy, terminal};
use crate::tree::Turn;
use crate::{NodeId, Stop, TokenId, Tree};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Parameters of [`Beam`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeamParameters {
    /// Paths followed at once.
    pub width: usize,
    /// Nodes at this depth are not expanded.
    pub max_depth: usize,
    /// The exploration ends when this many paths have reached an end token; 0 stands for `width`.
    #[serde(default)]
    pub max_completed_paths: usize,
    /// Limits on branching.
    #[serde(default, skip_serializing_if = "BranchRules::is_empty")]
    pub rules: BranchRules,
}

impl Default for BeamParameters {
    fn default() -> Self {
        BeamParameters { width: 8, max_depth: 1000, max_completed_paths: 0, rules: BranchRules::default() }
    }
}

impl BeamParameters {
    /// Checks every parameter's range.
    pub fn check(&self) -> Result<(), ParameterError> {
        ParameterError::at_least_one("width", self.width)?;
        ParameterError::at_least_one("max_depth", self.max_depth)?;
        ParameterError::rules(&self.rules)
    }
}

/// The policy; see the module's description.
pub struct Beam {
    parameters: BeamParameters,
    end_tokens: Vec<TokenId>,
    /// What is left of the beam, most likely first.
    beam: VecDeque<NodeId>,
    /// Children of the beam, from which the next one is chosen.
    children: Vec<NodeId>,
    /// Children that were not chosen and are still open.
    cut: Vec<NodeId>,
    completed: usize,
}

impl Beam {
    /// Goes on with a tree: an empty one, or what a stopped run had.
    pub fn new(parameters: BeamParameters, end_tokens: &[TokenId], tree: &Tree) -> Result<Beam, ParameterError> {
        parameters.check()?;
        let open: Vec<NodeId> = tree.nodes().filter(|&n| !tree.by_user(n) && tree.turn(n) == Turn::Open).collect();
        let level = open.iter().map(|&n| tree.depth(n)).min().unwrap_or(0);
        let (beam, children): (Vec<_>, Vec<_>) = open.into_iter().partition(|&n| tree.depth(n) == level);
        let completed = tree.own_ended().count();
        let end_tokens = end_tokens.to_vec();
        let mut policy = Beam { parameters, end_tokens, beam: beam.into(), children, cut: Vec::new(), completed };
        if policy.children.is_empty() {
            // The stopped run may not have finished choosing; choosing again from what it left gives the same.
            policy.children = policy.beam.drain(..).collect();
            policy.choose(tree);
        } else {
            policy.beam.make_contiguous().sort_by(|&a, &b| tree.by_mass(a, b));
        }
        Ok(policy)
    }

    fn is_over(&self) -> bool {
        let most = self.parameters.max_completed_paths;
        self.cut.is_empty() && self.completed >= if most == 0 { self.parameters.width } else { most }
    }

    /// Makes the next beam of the children.
    fn choose(&mut self, tree: &Tree) {
        self.children.sort_by(|&a, &b| tree.by_mass(a, b));
        self.cut = self.children.split_off(self.children.len().min(self.parameters.width));
        // From the end: the most likely goes first.
        self.cut.reverse();
        self.beam = std::mem::take(&mut self.children).into();
    }

    fn terminal(&self, tree: &Tree, n: NodeId) -> Option<Stop> {
        terminal(tree, n, self.parameters.max_depth, &self.end_tokens)
    }
}

impl Policy for Beam {
    fn wanted(&self, tree: &Tree, known: &Known) -> Vec<NodeId> {
        if self.is_over() {
            return Vec::new();
        }
        let waits = |n: &NodeId| !known.contains_key(n) && self.terminal(tree, *n).is_none();
        self.beam.iter().copied().filter(waits).collect()
    }

    fn top(&self, vocab: usize) -> usize {
        self.parameters.width.min(vocab)
    }

    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change> {
        if let Some(n) = self.cut.pop() {
            tree.stop_node(n, Stop::Pruned);
            return Some(Change::Stopped(n, Stop::Pruned));
        }
        if self.is_over() {
            return None;
        }
        let n = *self.beam.front()?;
        let change = if let Some(stop) = self.terminal(tree, n) {
            self.completed += usize::from(stop == Stop::EndToken);
            tree.stop_node(n, stop);
            Change::Stopped(n, stop)
        } else {
            let distribution = known.remove(&n)?;
            let most = distribution.top.len().min(self.parameters.width);
            let kept = self.parameters.rules.kept(tree.mass(n), &distribution.top[..most]);
            if kept == 0 {
                tree.stop_node(n, Stop::Pruned);
                Change::Stopped(n, Stop::Pruned)
            } else {
                let children = distribution.top[..kept].to_vec();
                let queue = self.queue(tree) as u32;
                tree.expand(n, distribution, &children, None, queue);
                self.children.extend(tree.own_children(n));
                Change::Expanded(n)
            }
        };
        self.beam.pop_front();
        if self.beam.is_empty() {
            self.choose(tree);
        }
        Some(change)
    }

    fn queue(&self, _: &Tree) -> usize {
        self.beam.len() + self.children.len()
    }

    fn completed(&self) -> usize {
        self.completed
    }
}
