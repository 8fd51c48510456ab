//! The paths of a run: what was found, most likely first.

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
    /// All paths that end, for whatever reason, most likely first; ties by node id.
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

    /// Its tokens, the prompt's not included.
    pub fn len(&self) -> usize {
        self.run.tree.depth(self.node)
    }

    /// Whether it ends with the prompt.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its text, the prompt's not included.
    pub fn text(&self) -> String {
        self.run.text(self.node)
    }

    /// Why it ends.
    pub fn stop(&self) -> Option<Stop> {
        self.run.tree.stop(self.node)
    }
}
