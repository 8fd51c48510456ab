//! The best-first policy: always the most likely paths.
//!
//! ```text
//! while finished mass < cover and nodes are open:
//!     take the `batch` most likely open nodes; end tokens and the depth limit stop a node
//!     expand the others: children = the most likely tokens within the branch rules
//! ```
//!
//! Since a path is never more likely than its beginning, with a batch of one the completed paths come out in
//! exact order of probability, as long as no cut token was more likely than they are
//! ([`Tree::heaviest_cut`] tells).

use super::replay::{check_open, check_own, check_visit};
use super::{BranchRules, Change, Known, ParameterError, Policy, ResumeError, terminal};
use crate::tree::Turn;
use crate::{NodeId, Stop, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Parameters of [`BestFirst`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestFirstParameters {
    /// Nodes expanded together.
    pub batch: usize,
    /// The exploration ends when completed paths have this much of the probability.
    pub cover: f64,
    /// Nodes at this depth are not expanded.
    pub max_depth: usize,
    /// The exploration ends when this many paths have reached an end token; 0 is no limit.
    #[serde(default)]
    pub max_completed_paths: usize,
    /// Limits on branching.
    pub rules: BranchRules,
}

impl Default for BestFirstParameters {
    fn default() -> Self {
        // A batch of 24 is as wide as pays on the machines measured: wider ones gain little and look less far.
        // 32 branches leave out less than can be seen; paths below 1e-9 are never reached.
        let rules = BranchRules { min_path_prob: 1e-9, top_p: 1.0, max_branches: Some(32) };
        BestFirstParameters { batch: 24, cover: 0.9, max_depth: 1000, max_completed_paths: 0, rules }
    }
}

impl BestFirstParameters {
    /// Checks every parameter's range.
    ///
    /// # Errors
    /// Names the first parameter that is outside its range.
    pub fn check(&self) -> Result<(), ParameterError> {
        ParameterError::probability("cover", self.cover)?;
        ParameterError::at_least_one("batch", self.batch)?;
        ParameterError::at_least_one("max_depth", self.max_depth)?;
        self.rules.check()
    }
}

/// Says that a node is settled: it becomes a leaf, for the reason given, without being expanded.
pub type Judge<'j> = Box<dyn FnMut(&Tree, NodeId) -> Option<Stop> + Send + 'j>;

/// The policy; see the module's description.
pub struct BestFirst<'j> {
    parameters: BestFirstParameters,
    /// Open nodes, most likely first.
    open: BTreeSet<(Surprisal, NodeId)>,
    finished: f64,
    completed: usize,
    /// What is left of a batch that has begun, most likely first. Its nodes have their turns when all are evaluated: with
    /// some of them, the next batch would be another one.
    begun: VecDeque<NodeId>,
    judge: Option<Judge<'j>>,
}

/// A path's surprisal, ordered: 0 and above as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Surprisal(u64);

fn surprisal(tree: &Tree, n: NodeId) -> Surprisal {
    // Bits of non-negative floats are ordered as the floats are.
    Surprisal((-tree.path_logprob(n)).max(0.0).to_bits())
}

impl<'j> BestFirst<'j> {
    /// Goes on with a tree: an empty one, or what a stopped run had.
    ///
    /// # Errors
    /// If a parameter is outside its range, or the policy would not have grown this tree.
    pub fn new(parameters: BestFirstParameters, tree: &Tree) -> Result<BestFirst<'j>, ResumeError> {
        parameters.check()?;
        check_own(tree)?;
        let mut policy = BestFirst {
            parameters,
            open: BTreeSet::from([(surprisal(tree, NodeId::ROOT), NodeId::ROOT)]),
            finished: 0.0,
            completed: 0,
            begun: VecDeque::new(),
            judge: None,
        };
        policy.replay(tree)?;
        Ok(policy)
    }

    /// Takes the turns that the tree shows were taken. Which nodes made up the last batch cannot be told from the open
    /// ones: its first children may be likelier than its last members, whose turn it still is.
    fn replay(&mut self, tree: &Tree) -> Result<(), ResumeError> {
        let prunes = !self.parameters.rules.is_empty();
        loop {
            let turn = self.turn();
            let next = match turn.iter().find(|&&n| self.terminal(tree, n).is_some()) {
                Some(&n) => vec![n],
                None => turn,
            };
            if next.is_empty() {
                return Ok(());
            }
            for (i, &n) in next.iter().enumerate() {
                let (turn, terminal) = (tree.turn(n), self.terminal(tree, n));
                check_visit(n, turn, terminal, prunes)?;
                match turn {
                    Turn::Open => {
                        // What needs no evaluation comes before a batch.
                        if terminal.is_none() {
                            self.begun = next[i..].to_vec().into();
                        }
                        return check_open(tree, self.open.iter().map(|o| o.1), n);
                    }
                    Turn::Stopped(stop) => self.close(tree, n, stop),
                    Turn::Expanded => self.opened(tree, n),
                }
            }
        }
    }

    /// Asks `judge` about every node before it is expanded.
    pub fn with_judge(self, judge: Judge<'j>) -> Self {
        BestFirst { judge: Some(judge), ..self }
    }

    fn is_over(&self) -> bool {
        let most = self.parameters.max_completed_paths;
        self.finished >= self.parameters.cover || (most > 0 && self.completed >= most)
    }

    fn terminal(&self, tree: &Tree, n: NodeId) -> Option<Stop> {
        terminal(tree, n, self.parameters.max_depth)
    }

    /// The nodes of the next batch, most likely first.
    fn turn(&self) -> Vec<NodeId> {
        self.open.iter().take(self.parameters.batch).map(|&(_, n)| n).collect()
    }

    /// Notes that a node became a leaf.
    fn close(&mut self, tree: &Tree, n: NodeId, stop: Stop) {
        self.open.remove(&(surprisal(tree, n), n));
        if stop == Stop::EndToken {
            self.finished += tree.mass(n);
            self.completed += 1;
        }
    }

    /// Notes that a node was expanded.
    fn opened(&mut self, tree: &Tree, n: NodeId) {
        self.open.remove(&(surprisal(tree, n), n));
        self.open.extend(tree.own_children(n).into_iter().map(|c| (surprisal(tree, c), c)));
    }

    fn stop(&mut self, tree: &mut Tree, n: NodeId, stop: Stop) -> Change {
        self.close(tree, n, stop);
        tree.stop_node(n, stop);
        Change::Stopped(n, stop)
    }
}

impl Policy for BestFirst<'_> {
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId> {
        if self.is_over() {
            return Vec::new();
        }
        let waits = |n: &NodeId| !known.contains_key(n) && self.terminal(tree, *n).is_none();
        match self.begun.is_empty() {
            true => self.turn().into_iter().filter(waits).take(most).collect(),
            false => self.begun.iter().copied().filter(waits).take(most).collect(),
        }
    }

    fn top(&self, vocab: usize) -> usize {
        // One more than can become children, so that the heaviest cut token is known.
        self.parameters.rules.max_branches.map_or(vocab, |n| n.saturating_add(1)).min(vocab)
    }

    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        if self.begun.is_empty() {
            // Between batches: what needs no evaluation is settled, and the rest is the next batch.
            for n in self.turn() {
                let settled = self.terminal(tree, n).or_else(|| self.judge.as_mut().and_then(|judge| judge(tree, n)));
                if let Some(stop) = settled {
                    return Some(self.stop(tree, n, stop));
                }
            }
            self.begun = self.turn().into();
        }
        if known.len() < self.begun.len() {
            return None;
        }
        let n = self.begun.pop_front()?;
        let distribution = known.remove(&n)?;
        let kept = self.parameters.rules.kept(tree.mass(n), &distribution.top);
        if kept == 0 {
            return Some(self.stop(tree, n, Stop::Pruned));
        }
        let children = distribution.top[..kept].to_vec();
        let queue = self.open.len() as u32;
        tree.expand(n, distribution, &children, None, queue);
        self.opened(tree, n);
        Some(Change::Expanded(n))
    }

    fn queue(&self, _: &Tree) -> usize {
        self.open.len()
    }

    fn completed(&self) -> usize {
        self.completed
    }
}
