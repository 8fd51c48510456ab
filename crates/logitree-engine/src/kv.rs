//! The nodes of a session, and the slots that hold their keys and values.
//!
//! The table of nodes is complete; a slot is only a cache of what can be computed again. A slot is freed when its node
//! has been released and none of the node's children holds a slot. So the slots in use are exactly those on paths from
//! the root to a live node that has been computed.

use logitree_core::paths::{PathNode, PathTable};
use logitree_core::{NodeHandle, TokenId};
use logitree_kernels::KvPages;
use std::collections::BTreeSet;

/// The cache state of a node.
#[derive(Clone, Debug)]
struct Cached {
    slot: Option<u32>,
    /// Number of this node's children that hold a slot.
    children: u32,
    /// True until the node is released.
    live: bool,
}

/// The table of nodes, with the slot of each node that has been computed.
pub(crate) struct KvTree {
    nodes: PathTable<Cached>,
    /// Slots that no node holds. The lowest is taken first, so that neighbours in a batch become neighbours in memory,
    /// and the last pages become empty as soon as fewer rows are needed.
    free: BTreeSet<u32>,
    pub(crate) pages: KvPages,
}

impl KvTree {
    pub(crate) fn new(pages: KvPages) -> KvTree {
        KvTree { nodes: PathTable::default(), free: BTreeSet::new(), pages }
    }

    pub(crate) fn contains(&self, node: NodeHandle) -> bool {
        self.nodes.get(node).is_some()
    }

    fn node(&self, node: NodeHandle) -> &PathNode<Cached> {
        self.nodes.get(node).expect("the session checks that it knows a node before it asks about it")
    }

    fn cached(&mut self, node: NodeHandle) -> &mut Cached {
        &mut self.nodes.get_mut(node).expect("the session checks that it knows a node before it changes it").value
    }

    /// Adds a node; `None` if the parent is not known.
    pub(crate) fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Option<NodeHandle> {
        self.nodes.push(parent, token, Cached { slot: None, children: 0, live: true })
    }

    pub(crate) fn token(&self, node: NodeHandle) -> TokenId {
        self.node(node).token
    }

    pub(crate) fn position(&self, node: NodeHandle) -> usize {
        self.node(node).position
    }

    /// Sort key that puts parents before their children and keeps a chain that was added at once together.
    pub(crate) fn serial(&self, node: NodeHandle) -> u64 {
        self.node(node).serial
    }

    /// The slot of the node's row; `None` if the row has not been computed, or has been freed.
    pub(crate) fn slot(&self, node: NodeHandle) -> Option<u32> {
        self.node(node).value.slot
    }

    /// The node, its parent, and so on up to the root.
    pub(crate) fn ancestors(&self, node: NodeHandle) -> impl Iterator<Item = NodeHandle> {
        self.nodes.ancestors(node)
    }

    /// Gives the node a slot, or returns the one that it has. The caller must fill a new slot.
    pub(crate) fn reserve(&mut self, node: NodeHandle) -> u32 {
        if let Some(slot) = self.slot(node) {
            return slot;
        }
        if self.free.is_empty() {
            let first = self.pages.grow();
            self.free.extend(first..self.pages.slots() as u32);
        }
        let slot = self.free.pop_first().expect("a page was just added");
        self.cached(node).slot = Some(slot);
        if let Some(parent) = self.node(node).parent {
            self.cached(parent).children += 1;
        }
        slot
    }

    /// Marks the node as no longer needed. Frees its row, and the rows of all ancestors that were kept only for it.
    pub(crate) fn release(&mut self, node: NodeHandle) {
        self.cached(node).live = false;
        self.reclaim(node);
    }

    /// Releases a node whose handle the caller will not use again, and tells the table of nodes so.
    pub(crate) fn forget(&mut self, node: NodeHandle) {
        self.release(node);
        self.nodes.forget(node);
    }

    /// Marks a released node as live again, because a new query asks for it.
    pub(crate) fn revive(&mut self, node: NodeHandle) {
        self.cached(node).live = true;
    }

    fn reclaim(&mut self, node: NodeHandle) {
        let mut next = Some(node);
        while let Some(n) = next {
            let parent = self.node(n).parent;
            let cached = self.cached(n);
            if cached.live || cached.children > 0 {
                return;
            }
            let Some(slot) = cached.slot.take() else { return };
            self.free.insert(slot);
            if let Some(parent) = parent {
                self.cached(parent).children -= 1;
            }
            next = parent;
        }
        self.shrink();
    }

    /// Frees the last page if it is empty and one more page of slots is free elsewhere. The reserve prevents pages from
    /// being freed and allocated again whenever the number of rows changes a little.
    fn shrink(&mut self) {
        let page = KvPages::PAGE_ROWS;
        while self.free.len() >= 2 * page {
            let first = (self.pages.slots() - page) as u32;
            if self.free.range(first..).count() < page {
                return;
            }
            self.free.split_off(&first);
            self.pages.shrink();
        }
    }

    /// Number of slots that nodes hold.
    pub(crate) fn rows(&self) -> usize {
        self.pages.slots() - self.free.len()
    }

    /// Number of nodes in the table.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
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
        let mut push = |parent, token| kv.push(parent, TokenId(token)).unwrap();
        let a = push(None, 1);
        let b = push(Some(a), 2);
        let c = push(Some(b), 3);
        let d = push(Some(b), 4);
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

    #[test]
    fn pages_are_given_back_when_far_fewer_rows_are_needed() {
        let mut kv = KvTree::new(KvPages::new([16]));
        let nodes: Vec<NodeHandle> = (0..1000).map(|i| kv.push(None, TokenId(i)).unwrap()).collect();
        for &n in &nodes {
            kv.reserve(n);
        }
        let most = kv.pages.slots();
        // Pages must be freed whatever the order in which the nodes are forgotten.
        nodes.iter().step_by(2).chain(nodes[1..].iter().step_by(2)).take(990).for_each(|&n| kv.forget(n));
        assert_eq!((kv.rows(), kv.len()), (10, 10));
        let again: Vec<NodeHandle> = (0..10).map(|i| kv.push(None, TokenId(i)).unwrap()).collect();
        nodes[980..].iter().skip(1).step_by(2).for_each(|&n| kv.forget(n));
        again.iter().for_each(|&n| assert!(kv.reserve(n) < 2 * KvPages::PAGE_ROWS as u32));
        assert!(kv.pages.slots() <= 2 * KvPages::PAGE_ROWS && most >= 1000, "{} of {most}", kv.pages.slots());
    }
}
