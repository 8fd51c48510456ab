//! Going on from any node of a tree because the user asks for it.
//!
//! A policy of its own explores below the node, in a tree of its own; what it finds is put into the run's tree:
//! steps that are there already are gone through, others are added and marked as the user's. The run's own
//! policy is not disturbed: it never queues such nodes, and takes one over when it comes to want it.

use super::{Change, Explorer, Keep, Policy};
use crate::tree::{Expansion, State};
use crate::{Distribution, ModelError, NodeHandle, NodeId, Session, Stop, TokenId, TokenStats, Tree};

/// An exploration below a node.
pub struct Continuation<'s> {
    explorer: Explorer<'s, Box<dyn Policy>>,
    /// For each node of the explorer's tree, the node of the run's.
    places: Vec<NodeId>,
}

impl<'s> Continuation<'s> {
    /// Explores below `from`. `base` is the session's node of the prompt without its last token, `last`; it is never
    /// released. `watch` are the run's watched strings.
    #[allow(clippy::too_many_arguments)] // what an explorer needs, and where it stands
    pub fn new(
        session: &'s mut dyn Session,
        vocab: usize,
        base: Option<NodeHandle>,
        last: TokenId,
        tree: &Tree,
        from: NodeId,
        policy: Box<dyn Policy>,
        keep: Keep,
        watch: Vec<Vec<TokenId>>,
    ) -> Result<Self, ModelError> {
        let first = session.push(base, last)?;
        let root = session.push_all(Some(first), &tree.path(from))?.last().copied().unwrap_or(first);
        let own = Tree::new(tree.bounds().below(tree.depth(from)));
        let explorer = Explorer::after(session, vocab, root, policy, own, keep).watching(watch);
        Ok(Continuation { explorer, places: vec![from] })
    }

    /// Nodes found so far, the first included.
    pub fn nodes(&self) -> usize {
        self.explorer.tree.len()
    }

    /// Evaluates one batch and puts what came of it into the run's tree. Returns what changed there; `None` when the
    /// exploration is over.
    pub fn step(&mut self, tree: &mut Tree) -> Result<Option<Vec<Change>>, ModelError> {
        let evaluated = self.explorer.evaluate()?;
        let mut changes = Vec::new();
        let mut visited = false;
        while let Some(change) = self.explorer.visit() {
            visited = true;
            match change {
                Change::Expanded(n) => self.add(tree, n, &mut changes),
                // Where the model ends every path, the user's included; the other reasons are this exploration's alone.
                Change::Stopped(n, stop @ (Stop::EndToken | Stop::Context)) => {
                    let at = self.places[n.index()];
                    if *tree.state(at) == State::Open && tree.by_user(at) {
                        tree.stop_node(at, stop);
                        changes.push(Change::Stopped(at, stop));
                    }
                }
                _ => {}
            }
        }
        Ok((evaluated > 0 || visited).then_some(changes))
    }

    fn add(&mut self, tree: &mut Tree, n: NodeId, changes: &mut Vec<Change>) {
        let own = &self.explorer.tree;
        let Some(e) = own.expansion(n) else { return };
        let at = self.places[n.index()];
        let children =
            e.children.iter().filter_map(|&c| Some(TokenStats { id: own.token(c)?, logprob: own.logprob(c), rank: 0 }));
        let children: Vec<TokenStats> = children.collect();
        if tree.expansion(at).is_some() {
            for c in &children {
                if tree.child(at, c.id).is_none() {
                    changes.push(Change::Grafted(tree.graft(at, c.id, c.logprob)));
                }
            }
        } else {
            tree.expand_by_user(at, distribution(e), &children);
            tree.set_watched(at, e.watched.clone());
            changes.push(Change::ByUser(at));
        }
        // Ids of the own tree are given in the order of these children.
        self.places.extend(children.iter().filter_map(|c| tree.child(at, c.id)));
    }
}

fn distribution(e: &Expansion) -> Distribution {
    Distribution {
        top: e.top.clone(),
        tokens: Vec::new(),
        logsumexp: e.logsumexp.unwrap_or(f64::NAN),
        entropy: e.entropy,
        varentropy: e.varentropy,
        exactness: e.exactness,
        logits: None,
    }
}
