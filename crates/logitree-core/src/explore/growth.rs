//! The session nodes that an exploration holds.
//!
//! A node's cached rows (keys and values) are needed until each of its children is evaluated or stopped. [`Growth`]
//! counts the children of each expanded node that still wait, and releases the node when the count reaches 0.
//!
//! A run's policy and every continuation started by the user have a [`Growth`] each and share one [`Source`].

use super::{Change, Keep, Known, Policy};
use crate::watch::{self, Watched};
use crate::{Distribution, ModelError, NodeHandle, NodeId, Query, Session, TokenId, Tree};
use std::collections::HashMap;

/// The model's session, and what to ask it about each node of a run.
pub(super) struct Source {
    pub(super) session: Box<dyn Session>,
    pub(super) vocab: usize,
    pub(super) keep: Keep,
    /// Token strings whose probability is recorded at every expanded node. No string is empty.
    pub(super) watch: Vec<Vec<TokenId>>,
    /// Whether the hash of all logits is recorded at every expanded node.
    pub(super) hash: bool,
}

impl Source {
    /// Refuses a distribution without the hash that the run records.
    pub(super) fn check_hash(&self, distribution: &Distribution) -> Result<(), ModelError> {
        if self.hash && distribution.logits_sha256.is_none() {
            return Err(ModelError::Engine("this model does not give hashes of all logits: run without them".into()));
        }
        Ok(())
    }
}

/// The session nodes that one tree still needs, and the distributions that its policy has not used yet.
pub(super) struct Growth {
    /// The session's node of the tree's root.
    root: NodeHandle,
    /// Session node of each tree node, except the root, that was pushed and not released yet.
    handles: HashMap<NodeId, NodeHandle>,
    /// For each expanded node, the number of its children that were neither evaluated nor stopped yet.
    waiting: HashMap<NodeId, usize>,
    known: Known,
    /// Probabilities of the watched strings at evaluated nodes that are not expanded yet.
    watched: HashMap<NodeId, Vec<Watched>>,
}

impl Growth {
    /// Starts with a tree whose root is this node of the session.
    pub(super) fn new(root: NodeHandle) -> Growth {
        Growth { root, handles: HashMap::new(), waiting: HashMap::new(), known: Known::new(), watched: HashMap::new() }
    }

    /// Evaluates one batch of the nodes that the policy wants; returns their number.
    pub(super) fn evaluate(
        &mut self,
        source: &mut Source,
        policy: &impl Policy,
        tree: &Tree,
    ) -> Result<usize, ModelError> {
        // A node costs one query, and n - 1 more for each watched string of n tokens: the probability of its first
        // token is read from the node's own distribution.
        let each = 1 + source.watch.iter().map(|w| w.len() - 1).sum::<usize>();
        let wanted = policy.wanted(tree, &self.known, (source.session.width() / each).max(1));
        let mut handles = Vec::with_capacity(wanted.len());
        for &n in &wanted {
            handles.push(self.handle(source, tree, n)?);
        }
        let hash = source.hash;
        let (top, logits) = (source.keep.top(policy.top(source.vocab), source.vocab), policy.wants_logits());
        let queries: Vec<Query<'_>> = handles.iter().map(|&h| Query { logits, hash, ..Query::top(h, top) }).collect();
        let found = watch::evaluate(&mut *source.session, &queries, &source.watch)?;
        for (&n, (mut distribution, watched)) in wanted.iter().zip(found) {
            source.check_hash(&distribution)?;
            if !watched.is_empty() {
                self.watched.insert(n, watched);
            }
            source.keep.trim(&mut distribution.top, |listed| policy.top(listed));
            self.known.insert(n, distribution);
            self.settle_child_of(source, tree, n);
        }
        Ok(wanted.len())
    }

    /// Lets the policy visit one node. `None` when it waits for [`Growth::evaluate`] or is done.
    pub(super) fn visit(&mut self, source: &mut Source, policy: &mut impl Policy, tree: &mut Tree) -> Option<Change> {
        let change = policy.visit(tree, &mut self.known)?;
        match change {
            Change::Expanded(n) => {
                self.waiting.insert(n, tree.own_children(n).len());
                if let Some(watched) = self.watched.remove(&n) {
                    tree.set_watched(n, watched);
                }
            }
            Change::Stopped(n, _) => {
                if self.handles.contains_key(&n) {
                    self.release(source, n);
                } else {
                    self.settle_child_of(source, tree, n);
                }
            }
            // Policies never return these: they are changes that the user makes.
            Change::ByUser(_) | Change::Grafted(_) => {}
        }
        Some(change)
    }

    /// Forgets all session nodes but the root's, which belongs to the caller.
    pub(super) fn end(self, source: &mut Source) {
        for handle in self.handles.into_values() {
            source.session.forget(handle);
        }
    }

    /// The session's node of a tree node, if one is held.
    pub(super) fn held(&self, n: NodeId) -> Option<NodeHandle> {
        if n == NodeId::ROOT { Some(self.root) } else { self.handles.get(&n).copied() }
    }

    /// The session's node of a tree node. If none is held, it is pushed, with any missing ancestors.
    fn handle(&mut self, source: &mut Source, tree: &Tree, n: NodeId) -> Result<NodeHandle, ModelError> {
        let mut missing = Vec::new();
        let mut at = n;
        let mut handle = loop {
            if let Some(handle) = self.held(at) {
                break handle;
            }
            missing.push(at);
            at = tree.parent(at).unwrap_or(NodeId::ROOT);
        };
        for n in missing.into_iter().rev() {
            let token = tree.token(n).ok_or_else(|| ModelError::Engine("only the root has no token".into()))?;
            handle = source.session.push(Some(handle), token)?;
            self.handles.insert(n, handle);
        }
        Ok(handle)
    }

    /// Notes that `n`, which was evaluated or stopped, no longer needs its parent's rows; releases the parent after its
    /// last child.
    fn settle_child_of(&mut self, source: &mut Source, tree: &Tree, n: NodeId) {
        let Some(parent) = tree.parent(n) else { return };
        if let Some(left) = self.waiting.get_mut(&parent) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.waiting.remove(&parent);
                self.release(source, parent);
            }
        }
    }

    fn release(&mut self, source: &mut Source, n: NodeId) {
        if n == NodeId::ROOT {
            // Later paths may begin at the root again, so its handle must stay valid.
            source.session.release(self.root);
        } else if let Some(handle) = self.handles.remove(&n) {
            source.session.forget(handle);
        }
    }
}
