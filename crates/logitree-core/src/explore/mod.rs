//! Exploration: which nodes to evaluate, and what becomes of them.
//!
//! A [`Policy`] decides; [`Explorer`] drives it over a model's [`Session`]: it evaluates the nodes that the
//! policy can already name in wide batches, hands the distributions over, and releases what
//! is no longer needed. Since a node's distribution does not depend on its batch, the tree is the
//! same as one grown node by node.

mod beam;
mod best_first;
mod continuation;
mod dynamic;
mod parameters;
mod replay;
mod rules;
mod sample;
mod strategy;

pub use beam::{Beam, BeamParameters};
pub use best_first::{BestFirst, BestFirstParameters, Judge};
pub use continuation::Continuation;
pub use dynamic::{Dynamic, DynamicParameters, MAX_CANDIDATES};
pub use parameters::ParameterError;
pub use replay::ResumeError;
pub use rules::BranchRules;
pub use sample::{Sample, SampleParameters, chi_square};
pub use strategy::Strategy;

use crate::watch::{self, Watched};
use crate::{Distribution, ModelError, NodeHandle, NodeId, Query, Session, Stop, TokenId, TokenStats, Tree};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Distributions that were evaluated but not used yet.
pub type Known = HashMap<NodeId, Distribution>;

/// What happened to a node; everything about it is in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node was expanded; its children exist.
    Expanded(NodeId),
    /// The node became a leaf.
    Stopped(NodeId, Stop),
    /// The node was expanded because the user asked for it.
    ByUser(NodeId),
    /// The node was added to an expanded one because the user asked for it.
    Grafted(NodeId),
}

/// Decides how a tree grows. It must depend on nothing but the tree and the distributions.
pub trait Policy {
    /// Nodes whose distribution will be needed and is not in `known`, oldest first, `most` at most. Empty when the
    /// exploration is over.
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId>;

    /// How many of the most likely tokens an expansion needs in a vocabulary of this size.
    fn top(&self, vocab: usize) -> usize;

    /// Whether an expansion needs all logits.
    fn wants_logits(&self) -> bool {
        false
    }

    /// Visits the next node if its distribution is known (or not needed). `None` when it must wait for
    /// [`Policy::wanted`] or the exploration is over.
    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change>;

    /// Open paths.
    fn queue(&self, tree: &Tree) -> usize;

    /// Paths that reached an end token.
    fn completed(&self) -> usize;

    /// The branch threshold now in force, for policies that have one.
    fn threshold(&self, _tree: &Tree) -> Option<f64> {
        None
    }
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn wanted(&self, tree: &Tree, known: &Known, most: usize) -> Vec<NodeId> {
        (**self).wanted(tree, known, most)
    }
    fn top(&self, vocab: usize) -> usize {
        (**self).top(vocab)
    }
    fn wants_logits(&self) -> bool {
        (**self).wants_logits()
    }
    fn visit(&mut self, tree: &mut Tree, known: &mut Known) -> Option<Change> {
        (**self).visit(tree, known)
    }
    fn queue(&self, tree: &Tree) -> usize {
        (**self).queue(tree)
    }
    fn completed(&self) -> usize {
        (**self).completed()
    }
    fn threshold(&self, tree: &Tree) -> Option<f64> {
        (**self).threshold(tree)
    }
}

/// The reason for which every policy stops at a node without looking further, if there is one.
fn terminal(tree: &Tree, n: NodeId, max_depth: usize) -> Option<Stop> {
    if tree.is_end(n) {
        Some(Stop::EndToken)
    } else if tree.depth(n) >= max_depth {
        Some(Stop::MaxDepth)
    } else {
        tree.is_full(n).then_some(Stop::Context)
    }
}

/// What a run keeps of each distribution, beside what its policy needs. As JSON: `10`, or `"p=0.999"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub enum Keep {
    /// So many of the most likely tokens.
    Top(usize),
    /// The most likely tokens until their probs reach this. Costs more: all tokens are ranked.
    Mass(f64),
}

/// [`Keep`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Top(usize),
    Mass(String),
}

impl From<Keep> for Kept {
    fn from(keep: Keep) -> Kept {
        match keep {
            Keep::Top(n) => Kept::Top(n),
            Keep::Mass(p) => Kept::Mass(format!("p={p}")),
        }
    }
}

impl TryFrom<Kept> for Keep {
    type Error = String;

    fn try_from(kept: Kept) -> Result<Keep, String> {
        let text = match kept {
            Kept::Top(n) => return Ok(Keep::Top(n)),
            Kept::Mass(text) => text,
        };
        let p = text.strip_prefix("p=").and_then(|p| p.parse().ok()).filter(|p| (0.0..=1.0).contains(p));
        p.map(Keep::Mass).ok_or_else(|| format!("{text:?} is neither a number of tokens nor p=PROB"))
    }
}

impl From<usize> for Keep {
    fn from(top: usize) -> Keep {
        Keep::Top(top)
    }
}

/// Grows a tree over a session.
pub struct Explorer<'s, P> {
    /// The policy in charge.
    pub policy: P,
    /// The tree so far.
    pub tree: Tree,
    session: &'s mut dyn Session,
    /// Session node of each evaluated tree node.
    handles: HashMap<NodeId, NodeHandle>,
    /// Evaluated nodes: children that were neither evaluated nor stopped yet.
    waiting: HashMap<NodeId, usize>,
    root: NodeHandle,
    known: Known,
    /// Tokens asked for per distribution, and those of them that are kept.
    top: usize,
    keep: Keep,
    /// Strings whose probability is noted at every step.
    watch: Vec<Vec<TokenId>>,
    /// Their probabilities at evaluated nodes that are not expanded yet.
    watched: HashMap<NodeId, Vec<Watched>>,
}

impl<'s, P: Policy> Explorer<'s, P> {
    /// Explores after `prompt`, which must not be empty. `tree` is empty for a new run, or what a stopped
    /// run had; `policy` must have been told of it. More tokens than the policy needs may be kept per step.
    pub fn new(
        session: &'s mut dyn Session,
        vocab: usize,
        prompt: &[TokenId],
        policy: P,
        tree: Tree,
        keep: impl Into<Keep>,
    ) -> Result<Self, ModelError> {
        let nodes = session.push_all(None, prompt)?;
        let root = *nodes.last().ok_or_else(|| ModelError::Engine("the prompt has no tokens".into()))?;
        Ok(Explorer::after(session, vocab, root, policy, tree, keep))
    }

    /// Explores after a node of the session.
    pub fn after(
        session: &'s mut dyn Session,
        vocab: usize,
        root: NodeHandle,
        policy: P,
        tree: Tree,
        keep: impl Into<Keep>,
    ) -> Self {
        let keep = keep.into();
        let top = match keep {
            Keep::Top(n) => policy.top(vocab).max(n).min(vocab),
            Keep::Mass(_) => vocab,
        };
        Explorer {
            policy,
            tree,
            session,
            handles: HashMap::new(),
            waiting: HashMap::new(),
            root,
            known: Known::new(),
            top,
            keep,
            watch: Vec::new(),
            watched: HashMap::new(),
        }
    }

    /// Notes the probability of these strings at every step. None may be empty.
    pub fn watching(self, watch: Vec<Vec<TokenId>>) -> Self {
        assert!(watch.iter().all(|w| !w.is_empty()), "a watched string has at least one token");
        Explorer { watch, ..self }
    }

    /// Evaluates nodes that the policy wants in one batch, as many as the session answers well together: a wide level comes
    /// in slices, between which the caller can serve others. Returns how many there were; 0 when the exploration is over.
    pub fn evaluate(&mut self) -> Result<usize, ModelError> {
        // A watched string of several tokens is asked for in as many places.
        let each = 1 + self.watch.iter().map(|w| w.len() - 1).sum::<usize>();
        let wanted = self.policy.wanted(&self.tree, &self.known, (self.session.width() / each).max(1));
        let mut handles = Vec::with_capacity(wanted.len());
        for &n in &wanted {
            handles.push(self.handle(n)?);
        }
        let logits = self.policy.wants_logits();
        let queries: Vec<Query<'_>> = handles.iter().map(|&h| Query { logits, ..Query::top(h, self.top) }).collect();
        let found = watch::evaluate(self.session, &queries, &self.watch)?;
        for (&n, (mut distribution, watched)) in wanted.iter().zip(found) {
            if !watched.is_empty() {
                self.watched.insert(n, watched);
            }
            self.trim(&mut distribution.top);
            self.known.insert(n, distribution);
            self.settle_child_of(n);
        }
        Ok(wanted.len())
    }

    /// Drops what nobody asked to keep.
    fn trim(&self, top: &mut Vec<TokenStats>) {
        let Keep::Mass(mass) = self.keep else { return };
        let mut before = 0.0;
        let needed = top.iter().take_while(|t| {
            let needed = before < mass;
            before += t.prob();
            needed
        });
        let needed = needed.count().max(self.policy.top(top.len()));
        top.truncate(needed);
        top.shrink_to_fit();
    }

    /// Lets the policy visit one node. `None` when it waits for [`Explorer::evaluate`] or is done.
    pub fn visit(&mut self) -> Option<Change> {
        let change = self.policy.visit(&mut self.tree, &mut self.known)?;
        match change {
            Change::Expanded(n) => {
                self.waiting.insert(n, self.tree.own_children(n).len());
                if let Some(watched) = self.watched.remove(&n) {
                    self.tree.set_watched(n, watched);
                }
            }
            Change::Stopped(n, _) => {
                if self.handles.contains_key(&n) {
                    self.release(n);
                } else {
                    self.settle_child_of(n);
                }
            }
            // Policies do nothing by hand.
            Change::ByUser(_) | Change::Grafted(_) => {}
        }
        Some(change)
    }

    /// The session's node for a tree node, pushed (with any missing ancestors) when first asked for.
    fn handle(&mut self, n: NodeId) -> Result<NodeHandle, ModelError> {
        let mut missing = Vec::new();
        let mut at = n;
        let mut handle = loop {
            if at == NodeId::ROOT {
                break self.root;
            }
            if let Some(&h) = self.handles.get(&at) {
                break h;
            }
            missing.push(at);
            at = self.tree.parent(at).unwrap_or(NodeId::ROOT);
        };
        for n in missing.into_iter().rev() {
            let token = self.tree.token(n).ok_or_else(|| ModelError::Engine("only the root has no token".into()))?;
            handle = self.session.push(Some(handle), token)?;
            self.handles.insert(n, handle);
        }
        Ok(handle)
    }

    /// A child of `n`'s parent needs the parent's row no more.
    fn settle_child_of(&mut self, n: NodeId) {
        let Some(parent) = self.tree.parent(n) else { return };
        if let Some(left) = self.waiting.get_mut(&parent) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.waiting.remove(&parent);
                self.release(parent);
            }
        }
    }

    fn release(&mut self, n: NodeId) {
        let handle = if n == NodeId::ROOT { Some(self.root) } else { self.handles.remove(&n) };
        if let Some(handle) = handle {
            self.session.release(handle);
        }
    }
}
