//! A table of token paths with reusable handles, for implementations of [`Session`](crate::Session).

use crate::{NodeHandle, TokenId};

/// A node of a [`PathTable`]: one token after one path of tokens.
#[derive(Clone, Debug)]
pub struct PathNode<T> {
    /// The token.
    pub token: TokenId,
    /// The node before it; `None` at the start of a sequence.
    pub parent: Option<NodeHandle>,
    /// Its place in the sequence, from 0.
    pub position: usize,
    /// What the session knows of the node.
    pub value: T,
    /// How many nodes were made before it. A parent's serial is always smaller than its children's. Handles are reused,
    /// so they tell nothing about the order.
    pub serial: u64,
    /// Number of its children in the table.
    children: usize,
    forgotten: bool,
}

/// Token paths as a tree. A forgotten node stays as long as it has children, whose paths it is part of; then it is
/// removed and its handle is given to the next new node.
#[derive(Clone, Debug)]
pub struct PathTable<T> {
    nodes: Vec<Option<PathNode<T>>>,
    free: Vec<NodeHandle>,
    made: u64,
}

impl<T> Default for PathTable<T> {
    fn default() -> Self {
        PathTable { nodes: Vec::new(), free: Vec::new(), made: 0 }
    }
}

impl<T> PathTable<T> {
    /// Adds a node after a parent, or at the start of a sequence. `None` if the table has no such parent.
    pub fn push(&mut self, parent: Option<NodeHandle>, token: TokenId, value: T) -> Option<NodeHandle> {
        let mut position = 0;
        if let Some(parent) = parent {
            let above = self.get_mut(parent)?;
            above.children += 1;
            position = above.position + 1;
        }
        let node = PathNode { token, parent, position, value, serial: self.made, children: 0, forgotten: false };
        self.made += 1;
        match self.free.pop() {
            Some(handle) => {
                self.nodes[handle.0 as usize] = Some(node);
                Some(handle)
            }
            None => {
                self.nodes.push(Some(node));
                Some(NodeHandle(self.nodes.len() as u32 - 1))
            }
        }
    }

    /// The node, if the table has it.
    pub fn get(&self, node: NodeHandle) -> Option<&PathNode<T>> {
        self.nodes.get(node.0 as usize)?.as_ref()
    }

    /// The node, if the table has it.
    pub fn get_mut(&mut self, node: NodeHandle) -> Option<&mut PathNode<T>> {
        self.nodes.get_mut(node.0 as usize)?.as_mut()
    }

    /// The node, its parent, and so on to the start of its sequence.
    pub fn ancestors(&self, node: NodeHandle) -> impl Iterator<Item = NodeHandle> {
        std::iter::successors(Some(node), |&n| self.get(n)?.parent)
    }

    /// Forgets a node that the caller will not name again. It is removed as soon as it has no children, and so is every
    /// forgotten ancestor that it was the last to keep.
    pub fn forget(&mut self, node: NodeHandle) {
        let Some(forgotten) = self.get_mut(node) else { return };
        forgotten.forgotten = true;
        let mut next = Some(node);
        while let Some(handle) = next {
            let Some(PathNode { parent, children: 0, forgotten: true, .. }) = self.get(handle) else { return };
            next = *parent;
            self.nodes[handle.0 as usize] = None;
            self.free.push(handle);
            if let Some(above) = next.and_then(|parent| self.get_mut(parent)) {
                above.children -= 1;
            }
        }
    }

    /// Nodes in the table.
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Whether the table has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_node_stays_while_others_stand_below_it_and_its_handle_is_used_again() {
        // a - b - c
        //      \\- d
        let mut table = PathTable::default();
        let mut push = |parent, token| table.push(parent, TokenId(token), ()).unwrap();
        let a = push(None, 1);
        let b = push(Some(a), 2);
        let (c, d) = (push(Some(b), 3), push(Some(b), 4));
        table.forget(b);
        assert_eq!(table.len(), 4);
        table.forget(c);
        assert_eq!((table.len(), table.get(c).is_none()), (3, true));
        assert_eq!(table.ancestors(d).collect::<Vec<_>>(), [d, b, a]);
        let e = table.push(Some(d), TokenId(5), ()).unwrap();
        assert_eq!(e, c);
        let (above, below) = (table.get(d).unwrap(), table.get(e).unwrap());
        assert!(below.serial > above.serial && below.position == 3);
        table.forget(d);
        table.forget(e);
        assert_eq!((table.len(), table.get(a).is_some()), (1, true));
        assert_eq!(table.push(Some(b), TokenId(6), ()), None);
    }
}
