//! The paths of a run, most likely first.

use super::Run;
use crate::{NodeId, Stop};

/// A path from the prompt to a node where the tree ends.
#[derive(Clone, Copy, Debug)]
pub struct Path<'r> {
    run: &'r Run,
    /// Its last node.
    pub node: NodeId,
}

impl Run {
    /// The paths to all leaves, whatever the reason why they end, most likely first; ties by node id.
    pub fn paths(&self) -> impl Iterator<Item = Path<'_>> {
        self.tree.ranked_leaves().into_iter().map(|node| Path { run: self, node })
    }
}

impl Path<'_> {
    /// Natural log of its probability, in nats.
    pub fn logprob(&self) -> f64 {
        self.run.tree.path_logprob(self.node)
    }

    /// Its probability.
    pub fn probability(&self) -> f64 {
        self.run.tree.mass(self.node)
    }

    /// Number of its tokens, without the prompt's.
    pub fn len(&self) -> usize {
        self.run.tree.depth(self.node)
    }

    /// Whether it has no tokens after the prompt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its text, without the prompt's.
    pub fn text(&self) -> String {
        self.run.text(self.node)
    }

    /// Why it ends.
    pub fn stop(&self) -> Option<Stop> {
        self.run.tree.stop(self.node)
    }
}
