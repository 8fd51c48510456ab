//! The trait of policies, which decide how a tree grows.

use crate::{Distribution, NodeId, Stop, Tree};
use std::collections::HashMap;

/// Distributions that were evaluated but not used yet.
pub type Known = HashMap<NodeId, Distribution>;

/// What happened to a node. The details are in the tree.
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

/// Decides how a tree grows. The decisions may depend only on the policy's parameters, the tree and the distributions.
pub trait Policy: Send {
    /// Nodes whose distribution will be needed and is not in `known`, those that are visited first in front, at most
    /// `most`. Empty when none is needed.
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

    /// Number of open paths.
    fn queue(&self, tree: &Tree) -> usize;

    /// Number of paths that reached an end token.
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

/// A policy that wants nothing, for a run that only the user extends: this needs an [`Explorer`](super::Explorer) as
/// well, and an explorer has a policy.
pub struct Paused;

impl Policy for Paused {
    fn wanted(&self, _: &Tree, _: &Known, _: usize) -> Vec<NodeId> {
        Vec::new()
    }

    fn top(&self, _: usize) -> usize {
        0
    }

    fn visit(&mut self, _: &mut Tree, _: &mut Known) -> Option<Change> {
        None
    }

    fn queue(&self, _: &Tree) -> usize {
        0
    }

    fn completed(&self) -> usize {
        0
    }
}

/// The reason to stop at a node without evaluating it, if there is one. [`Dynamic`](super::Dynamic) has a rule of its
/// own, which checks the depth before the end token.
pub(super) fn terminal(tree: &Tree, n: NodeId, max_depth: usize) -> Option<Stop> {
    if tree.is_end(n) {
        Some(Stop::EndToken)
    } else if tree.depth(n) >= max_depth {
        Some(Stop::MaxDepth)
    } else {
        tree.is_full(n).then_some(Stop::Context)
    }
}
