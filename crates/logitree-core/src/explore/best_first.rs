//! The best-first policy: it expands the most likely open paths first.
//!
//! ```text
//! while finished mass < cover, completed < max_completed_paths (0: no limit) and nodes are open:
//!     batch = the `batch` most likely open nodes
//!     stop those that need no evaluation (end token, depth limit, full context, or the judge says so)
//!         and choose the batch again, until there are none of them
//!     expand each: children = its most likely tokens within the branch rules; none left → stop (pruned)
//! ```
//!
//! A path is never more likely than its beginning. With a batch of one, the completed paths therefore come out in order
//! of probability, as long as no path that was cut is more likely than they are ([`Tree::heaviest_cut`] is a bound).

use super::replay::{check_open, check_own, check_visit};
use super::{BranchRules, Change, Known, ParameterError, Policy, ResumeError, terminal};
use crate::sampling::Sampler;
use crate::tree::Turn;
use crate::{NodeId, Stop, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Parameters of [`BestFirst`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestFirstParameters {
    /// Number of nodes that are expanded together.
    pub batch: usize,
    /// The exploration ends when the completed paths together have this probability.
    pub cover: f64,
    /// Nodes at this depth are not expanded.
    pub max_depth: usize,
    /// The exploration ends when this many paths have reached an end token; 0 is no limit.
    #[serde(default)]
    pub max_completed_paths: usize,
    /// Limits on branching.
    pub rules: BranchRules,
    /// Whose distribution is walked; [`Sampler::PLAIN`] is the model's own. The policy sees only distributions: who
    /// explores gives it a session that has these ([`Sampled`](crate::sampled::Sampled)).
    #[serde(flatten)]
    pub sampler: Sampler,
}

impl Default for BestFirstParameters {
    fn default() -> Self {
        // On the machines measured, batches wider than 24 gained little, and a wider batch searches less deep. The
        // tokens behind the 32 most likely have little probability; paths below 1e-9 are never reached.
        let rules = BranchRules { min_path_prob: 1e-9, top_p: 1.0, max_branches: Some(32) };
        BestFirstParameters {
            batch: 24,
            cover: 0.9,
            max_depth: 1000,
            max_completed_paths: 0,
            rules,
            sampler: Sampler::PLAIN,
        }
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
        self.sampler.check()?;
        self.rules.check()
    }
}

/// Decides before a node is expanded whether it is settled: `Some(reason)` makes it a leaf, `None` lets it be expanded.
pub type Judge<'j> = Box<dyn FnMut(&Tree, NodeId) -> Option<Stop> + Send + 'j>;

/// The policy; see the module's description.
pub struct BestFirst<'j> {
    parameters: BestFirstParameters,
    /// Open nodes, most likely first.
    open: BTreeSet<(Surprisal, NodeId)>,
    finished: f64,
    completed: usize,
    /// The nodes of the current batch that were not visited yet, most likely first. The batch is stored because it
    /// cannot be chosen again from `open`: children of its first nodes may be more likely than its last nodes, which
    /// come first all the same. Its nodes are visited only when all of them are evaluated.
    begun: VecDeque<NodeId>,
    judge: Option<Judge<'j>>,
}

/// A path's surprisal, in nats and at least 0, as the bits of an f64, so that it can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Surprisal(u64);

fn surprisal(tree: &Tree, n: NodeId) -> Surprisal {
    // Bits of non-negative floats are ordered as the floats are.
    Surprisal((-tree.path_logprob(n)).max(0.0).to_bits())
}

impl<'j> BestFirst<'j> {
    /// Starts with an empty tree, or resumes with that of a stopped run.
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

    /// Repeats the visits that the tree records. All batches must be repeated, because the open nodes alone do not tell
    /// which of them belong to the last batch: children of its first nodes may be more likely than its last nodes.
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
                        // A node that needs no evaluation is stopped before a batch begins; any other is part of one.
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

    /// Probability of the paths that may still be expanded. The rest of the tree's mass is settled: finished, stopped or
    /// cut.
    pub fn open_mass(&self, tree: &Tree) -> f64 {
        self.open.iter().map(|&(_, n)| tree.mass(n)).sum()
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
            // Between batches, stop the nodes that need no evaluation, one per visit. If there are none, the next batch
            // begins.
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
