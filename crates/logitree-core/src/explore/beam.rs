//! Beam search: the most likely paths of every length.
//!
//! ```text
//! beam = {root}
//! while the beam is not empty and completed < max_completed_paths:
//!     expand every node of the beam: children = its `width` most likely tokens, within the branch rules
//!     of all children, the `width` most likely stay: those at an end token are complete, the others are
//!     the next beam; the rest is pruned
//! ```

use super::replay::{check_open, check_own, check_visit};
use super::{BranchRules, Change, Known, ParameterError, Policy, ResumeError, terminal};
use crate::tree::Turn;
use crate::{NodeId, Stop, Tree};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Parameters of [`Beam`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeamParameters {
    /// Number of paths that are followed at the same time.
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
    ///
    /// # Errors
    /// Names the first parameter that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        ParameterError::at_least_one("width", self.width)?;
        ParameterError::at_least_one("max_depth", self.max_depth)?;
        self.rules.check()
    }
}

/// The policy; see the module's description.
pub struct Beam {
    parameters: BeamParameters,
    /// The nodes of the beam that were not visited yet, most likely first.
    beam: VecDeque<NodeId>,
    /// Children of the visited nodes of the beam; the next beam is chosen from them.
    children: Vec<NodeId>,
    /// Children that were not chosen and are still open, least likely first: they are stopped from the end.
    cut: Vec<NodeId>,
    completed: usize,
}

impl Beam {
    /// Starts with an empty tree, or resumes with that of a stopped run.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the policy would not have grown this tree.
    pub fn new(parameters: BeamParameters, tree: &Tree) -> Result<Beam, ResumeError> {
        parameters.check()?;
        check_own(tree)?;
        let beam = VecDeque::from([NodeId::ROOT]);
        let mut policy = Beam { parameters, beam, children: Vec::new(), cut: Vec::new(), completed: 0 };
        policy.replay(tree)?;
        Ok(policy)
    }

    /// Repeats the visits that the tree records.
    fn replay(&mut self, tree: &Tree) -> Result<(), ResumeError> {
        while let Some(&n) = self.cut.last().or(self.beam.front()) {
            let turn = tree.turn(n);
            if turn == Turn::Open || (self.cut.is_empty() && self.is_over()) {
                let waiting = self.cut.iter().chain(&self.beam).chain(&self.children).copied();
                return check_open(tree, waiting, n);
            }
            if self.cut.pop().is_some() {
                if turn != Turn::Stopped(Stop::Pruned) {
                    return Err(ResumeError::order(n, "it was gone on with, and is not among the most likely paths"));
                }
                continue;
            }
            check_visit(n, turn, self.terminal(tree, n), !self.parameters.rules.is_empty())?;
            self.completed += usize::from(turn == Turn::Stopped(Stop::EndToken));
            if turn == Turn::Expanded {
                self.children.extend(tree.own_children(n));
            }
            self.pass(tree);
        }
        Ok(())
    }

    /// Removes the first node of the beam. If it was the last one, the next beam is chosen.
    fn pass(&mut self, tree: &Tree) {
        self.beam.pop_front();
        if self.beam.is_empty() {
            self.choose(tree);
        }
    }

    fn is_over(&self) -> bool {
        let most = self.parameters.max_completed_paths;
        self.cut.is_empty() && self.completed >= if most == 0 { self.parameters.width } else { most }
    }

    /// Makes the `width` most likely children the next beam; the others are cut.
    fn choose(&mut self, tree: &Tree) {
        self.children.sort_by(|&a, &b| tree.by_mass(a, b));
        self.cut = self.children.split_off(self.children.len().min(self.parameters.width));
        // `visit` takes from the end, so that the most likely is stopped first.
        self.cut.reverse();
        self.beam = std::mem::take(&mut self.children).into();
    }

    fn terminal(&self, tree: &Tree, n: NodeId) -> Option<Stop> {
        terminal(tree, n, self.parameters.max_depth)
    }
}

impl Policy for Beam {
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId> {
        if self.is_over() {
            return Vec::new();
        }
        let waits = |n: &NodeId| !known.contains_key(n) && self.terminal(tree, *n).is_none();
        self.beam.iter().copied().filter(waits).take(most).collect()
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
        self.pass(tree);
        Some(change)
    }

    fn queue(&self, _: &Tree) -> usize {
        self.beam.len() + self.children.len()
    }

    fn completed(&self) -> usize {
        self.completed
    }
}
