//! Continuations: the user explores below any node of a run's tree.
//!
//! A policy of its own explores below the node and grows a tree of its own. What it finds is copied into the run's
//! tree: nodes that exist there are reused, the others are added and marked as the user's. The run's own policy is not
//! disturbed: it never queues the user's nodes, and takes one over when it would make the same node itself.

use super::explorer::{Branch, Explorer};
use super::growth::Growth;
use super::{Change, Policy};
use crate::tree::{Expansion, State};
use crate::{Distribution, ModelError, NodeId, Stop, TokenStats, Tree};

/// An exploration below a node of a run. It uses the session of the run's [`Explorer`] and adds to its tree step by
/// step. Between two steps, the run and its other continuations may go on.
pub struct Continuation {
    policy: Box<dyn Policy>,
    /// The tree that `policy` grows. Its root is the node of the run's tree where the continuation began.
    own: Tree,
    /// For each node of `own`, the same node in the run's tree.
    places: Vec<NodeId>,
    growth: Growth,
    /// The session's node of the root of `own`.
    branch: Branch,
}

impl Continuation {
    /// Starts an exploration below `from`. `policy` must have been made for an empty tree. As many tokens of each
    /// distribution are kept as in the run, and the same strings are watched.
    ///
    /// # Errors
    /// If the session refuses the path to `from`.
    pub fn new<P: Policy>(
        explorer: &mut Explorer<P>,
        from: NodeId,
        policy: Box<dyn Policy>,
    ) -> Result<Continuation, ModelError> {
        let own = Tree::new(explorer.tree.bounds().below(explorer.tree.depth(from)));
        let branch = explorer.branch(from)?;
        Ok(Continuation { policy, own, places: vec![from], growth: Growth::new(branch.node), branch })
    }

    /// Number of nodes found so far, `from` included.
    pub fn nodes(&self) -> usize {
        self.own.len()
    }

    /// Evaluates one batch and adds what was found to the tree of `explorer`, which must be the one that the
    /// continuation was made with. Returns the changes of that tree; `None` when the exploration is over.
    ///
    /// # Errors
    /// If the session cannot answer. [`Continuation::finish`] must still be called.
    pub fn step<P: Policy>(&mut self, explorer: &mut Explorer<P>) -> Result<Option<Vec<Change>>, ModelError> {
        let (source, tree) = (&mut explorer.source, &mut explorer.tree);
        let evaluated = self.growth.evaluate(source, &self.policy, &self.own)?;
        let mut changes = Vec::new();
        let mut visited = false;
        while let Some(change) = self.growth.visit(source, &mut self.policy, &mut self.own) {
            visited = true;
            match change {
                Change::Expanded(n) => self.add(tree, n, &mut changes),
                // An end token or a full context ends every path, so the run's node is stopped too if it is the user's.
                // The other reasons only limit this exploration.
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

    /// Forgets the session nodes that the continuation holds. The nodes that it added stay in the run's tree.
    pub fn finish<P>(self, explorer: &mut Explorer<P>) {
        self.growth.end(&mut explorer.source);
        self.branch.end(&mut explorer.source);
    }

    fn add(&mut self, tree: &mut Tree, n: NodeId, changes: &mut Vec<Change>) {
        let own = &self.own;
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
        // `places` is indexed by the ids of `own`, which were given in the order of these children.
        self.places.extend(children.iter().filter_map(|c| tree.child(at, c.id)));
    }
}

fn distribution(e: &Expansion) -> Distribution {
    Distribution {
        logsumexp: e.logsumexp.unwrap_or(f64::NAN),
        logits_sha256: e.logits_sha256,
        entropy: e.entropy,
        varentropy: e.varentropy,
        ..Distribution::of_list(e.top.clone(), e.exactness)
    }
}
