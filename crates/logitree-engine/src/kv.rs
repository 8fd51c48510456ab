//! Nodes of a session and the slots that hold their keys and values.
//!
//! The node table is the truth; slots are a cache. A slot is given back when its node has been
//! released and no child of it holds one: what remains is exactly the paths that lead to live nodes.

use logitree_core::{NodeHandle, TokenId};
use logitree_kernels::KvPages;

/// One node: a token after a path.
#[derive(Clone, Debug)]
struct Node {
    token: TokenId,
    parent: Option<NodeHandle>,
    /// Position in the sequence, from 0.
    position: u32,
    slot: Option<u32>,
    /// Children that hold a slot.
    cached_children: u32,
    /// Not yet released.
    live: bool,
}

/// The node table with its slots.
pub(crate) struct KvTree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    pub(crate) pages: KvPages,
}

impl KvTree {
    pub(crate) fn new(pages: KvPages) -> KvTree {
        KvTree { nodes: Vec::new(), free: Vec::new(), pages }
    }

    pub(crate) fn contains(&self, node: NodeHandle) -> bool {
        (node.0 as usize) < self.nodes.len()
    }

    fn node(&self, node: NodeHandle) -> &Node {
        &self.nodes[node.0 as usize]
    }

    pub(crate) fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> NodeHandle {
        let position = parent.map_or(0, |p| self.node(p).position + 1);
        let handle = NodeHandle(self.nodes.len() as u32);
        self.nodes.push(Node { token, parent, position, slot: None, cached_children: 0, live: true });
        handle
    }

    pub(crate) fn token(&self, node: NodeHandle) -> TokenId {
        self.node(node).token
    }

    pub(crate) fn position(&self, node: NodeHandle) -> usize {
        self.node(node).position as usize
    }

    /// The node's row, if it has been computed and not given back.
    pub(crate) fn slot(&self, node: NodeHandle) -> Option<u32> {
        self.node(node).slot
    }

    /// From the node towards the root.
    pub(crate) fn ancestors(&self, node: NodeHandle) -> impl Iterator<Item = NodeHandle> {
        std::iter::successors(Some(node), |&n| self.node(n).parent)
    }

    /// Gives the node a slot, which the caller must fill. Keeps the one it has.
    pub(crate) fn reserve(&mut self, node: NodeHandle) -> u32 {
        if let Some(slot) = self.node(node).slot {
            return slot;
        }
        if self.free.is_empty() {
            let first = self.pages.grow();
            // Reversed, so that neighbours in a batch become neighbours in memory.
            self.free.extend((first..self.pages.slots() as u32).rev());
        }
        let slot = self.free.pop().expect("a page was just added");
        self.nodes[node.0 as usize].slot = Some(slot);
        if let Some(parent) = self.node(node).parent {
            self.nodes[parent.0 as usize].cached_children += 1;
        }
        slot
    }

    /// Lets go of a node, and of every ancestor that only it kept.
    pub(crate) fn release(&mut self, node: NodeHandle) {
        self.nodes[node.0 as usize].live = false;
        self.reclaim(node);
    }

    /// Takes a node back among the living.
    pub(crate) fn revive(&mut self, node: NodeHandle) {
        self.nodes[node.0 as usize].live = true;
    }

    fn reclaim(&mut self, node: NodeHandle) {
        let mut next = Some(node);
        while let Some(n) = next {
            let node = &mut self.nodes[n.0 as usize];
            let Some(slot) = node.slot else { return };
            if node.live || node.cached_children > 0 {
                return;
            }
            node.slot = None;
            next = node.parent;
            self.free.push(slot);
            if let Some(parent) = next {
                self.nodes[parent.0 as usize].cached_children -= 1;
            }
        }
    }

    /// Slots in use.
    pub(crate) fn rows(&self) -> usize {
        self.pages.slots() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releasing_a_leaf_frees_what_only_it_kept() {
        // a - b - c
        //      \- d
        let mut kv = KvTree::new(KvPages::new([16]));
        let a = kv.push(None, TokenId(1));
        let b = kv.push(Some(a), TokenId(2));
        let c = kv.push(Some(b), TokenId(3));
        let d = kv.push(Some(b), TokenId(4));
        for n in [a, b, c, d] {
            kv.reserve(n);
        }
        assert_eq!(kv.rows(), 4);
        kv.release(b);
        assert_eq!(kv.rows(), 4, "b has live children");
        kv.release(c);
        assert_eq!(kv.rows(), 3);
        kv.release(d);
        assert_eq!(kv.rows(), 1, "d and then b go; a is live");
        kv.release(a);
        assert_eq!(kv.rows(), 0);
        assert_eq!(kv.ancestors(d).collect::<Vec<_>>(), [d, b, a]);
        assert_eq!((kv.position(d), kv.token(d)), (2, TokenId(4)));
    }
}
