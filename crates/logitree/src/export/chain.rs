//! Chains of nodes without branches, which are one box in pictures.

use logitree_core::run::Run;
use logitree_core::{NodeId, token};

/// The first and the last node of a chain without branches.
pub struct Chain {
    /// The first.
    pub first: NodeId,
    /// The last.
    pub last: NodeId,
}

impl Chain {
    /// The chain that begins at a node, of nodes that are `wanted`.
    pub fn from(run: &Run, first: NodeId, wanted: impl Fn(NodeId) -> bool) -> Chain {
        let mut last = first;
        while let [only] = run.tree.children(last) {
            // The root is a box of its own, because its text is the prompt.
            if last == NodeId::ROOT || !wanted(*only) {
                break;
            }
            last = *only;
        }
        Chain { first, last }
    }

    /// The text of its tokens, or the prompt's.
    pub fn text(&self, run: &Run) -> String {
        if self.first == NodeId::ROOT {
            return run.header.prompt.text.clone();
        }
        let up = std::iter::successors(Some(self.last), |&n| run.tree.parent(n).filter(|_| n != self.first));
        let mut chain: Vec<_> = up.filter_map(|n| run.tree.token(n)).collect();
        chain.reverse();
        token::decode(chain.iter().map(|&t| run.bytes(t)))
    }
}
