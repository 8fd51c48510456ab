//! Going on from any node of a tree because the user asks for it.
//!
//! A policy of its own explores below the node, in a tree of its own; what it finds is put into the run's tree:
//! steps that are there already are gone through, others are added and marked as the user's. The run's own
//! policy is not disturbed: it never queues such nodes, and takes one over when it comes to want it.

use super::explorer::{Branch, Explorer};
use super::growth::Growth;
use super::{Change, Policy};
use crate::tree::{Expansion, State};
use crate::{Distribution, ModelError, NodeId, Stop, TokenStats, Tree};

/// An exploration below a node of a run. It asks the session of the run's [`Explorer`] and adds to its tree, step by step: between two
/// steps the run may go on, and so may other continuations of it.
pub struct Continuation {
    policy: Box<dyn Policy>,
    /// What it found: its root is the node where it began.
    own: Tree,
    /// For each node of its own tree, the node of the run's.
    places: Vec<NodeId>,
    growth: Growth,
    /// Where it began.
    branch: Branch,
}

impl Continuation {
    /// Explores below `from`. `policy` must have been made for an empty tree. As much is kept of each step as the run keeps, and
    /// the same strings are watched.
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

    /// Nodes found so far, the first included.
    pub fn nodes(&self) -> usize {
        self.own.len()
    }

    /// Evaluates one batch and puts what came of it into the tree of the explorer that it was made with. Returns what changed there;
    /// `None` when the exploration is over.
    ///
    /// # Errors
    /// If the session cannot answer. [`Continuation::finish`] is still to be called.
    pub fn step<P: Policy>(&mut self, explorer: &mut Explorer<P>) -> Result<Option<Vec<Change>>, ModelError> {
        let (source, tree) = (&mut explorer.source, &mut explorer.tree);
        let evaluated = self.growth.evaluate(source, &self.policy, &self.own)?;
        let mut changes = Vec::new();
        let mut visited = false;
        while let Some(change) = self.growth.visit(source, &mut self.policy, &mut self.own) {
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

    /// Lets go of what it held of the session. What it found stays in the run's tree.
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
        // Ids of the own tree are given in the order of these children.
        self.places.extend(children.iter().filter_map(|c| tree.child(at, c.id)));
    }
}

fn distribution(e: &Expansion) -> Distribution {
    Distribution {
        logsumexp: e.logsumexp.unwrap_or(f64::NAN),
        entropy: e.entropy,
        varentropy: e.varentropy,
        ..Distribution::of_list(e.top.clone(), e.exactness)
    }
}
