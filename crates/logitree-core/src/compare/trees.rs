//! Compares two trees: which nodes they share, and how much probability lies elsewhere.
//!
//! Two nodes are shared if their paths have the same tokens. Each shared node has an *exit*: all continuations that
//! leave the shared nodes there, because the node is a leaf, or because the next token is no shared node:
//!
//! ```text
//! exit(n) = mass(n) − Σ mass(shared children of n)
//! ```
//!
//! Every continuation has exactly one exit, so the exits add up to 1 in each tree, and
//!
//! ```text
//! moved = ½ Σ |exit_A(n) − exit_B(n)|
//! ```
//!
//! is the probability that must be moved to make one of the other: the total variation distance of the exits, which is
//! at most that of the two models' continuations.

use crate::{NodeId, TokenId, Tree};
use std::collections::HashMap;

/// A shared node with what leaves the shared nodes there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exit {
    /// The node in A and in B.
    pub node: [NodeId; 2],
    /// Probability of all continuations that leave the shared nodes here, in A and in B.
    pub mass: [f64; 2],
}

/// Where the paths of the most likely tokens part: the shared node behind which A and B go different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The last common node, in A and in B.
    pub node: [NodeId; 2],
    /// The most likely child in A and in B; `None` if the path ends.
    pub next: [Option<NodeId>; 2],
}

/// Two trees side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeComparison {
    /// The shared nodes, parents before children; the first pair is the roots.
    pub shared: Vec<Exit>,
    /// Nodes only in A or only in B, parents before children.
    pub only: [Vec<NodeId>; 2],
    /// Probability, in its own tree, of the nodes only in A or only in B.
    pub only_mass: [f64; 2],
    /// The probability that must be moved to make the exits of one of those of the other.
    pub moved: f64,
    /// Where the paths of the most likely tokens part; `None` if they are the same.
    pub fork: Option<Fork>,
}

impl TreeComparison {
    /// Log probability of each shared node under B less that under A, in nats, in the order of `shared`.
    pub fn changes(&self, a: &Tree, b: &Tree) -> Vec<f64> {
        self.shared.iter().map(|s| b.logprob(s.node[1]) - a.logprob(s.node[0])).collect()
    }
}

/// Compares two trees. `in_b` gives the token of B that is a token of A, or `None` if B has no such token.
pub fn compare_trees(a: &Tree, b: &Tree, in_b: impl Fn(TokenId) -> Option<TokenId>) -> TreeComparison {
    let mut shared: Vec<[NodeId; 2]> = vec![[NodeId::ROOT; 2]];
    let mut at = 0;
    while let Some(&[n, m]) = shared.get(at) {
        let there: HashMap<TokenId, NodeId> = b.children(m).iter().filter_map(|&c| Some((b.token(c)?, c))).collect();
        let pair = |&c: &NodeId| Some([c, *there.get(&in_b(a.token(c)?)?)?]);
        shared.extend(a.children(n).iter().filter_map(pair));
        at += 1;
    }
    let only = |tree: &Tree, side: usize| -> Vec<NodeId> {
        let mut is_shared = vec![false; tree.len()];
        shared.iter().for_each(|s| is_shared[s[side].index()] = true);
        tree.nodes().filter(|n| !is_shared[n.index()]).collect()
    };
    let only = [only(a, 0), only(b, 1)];
    let mut exits: Vec<Exit> =
        shared.iter().map(|&node| Exit { node, mass: [a.mass(node[0]), b.mass(node[1])] }).collect();
    let places: HashMap<NodeId, usize> = shared.iter().enumerate().map(|(i, s)| (s[0], i)).collect();
    for s in &shared[1..] {
        if let Some(&above) = a.parent(s[0]).and_then(|p| places.get(&p)) {
            exits[above].mass[0] -= a.mass(s[0]);
            exits[above].mass[1] -= b.mass(s[1]);
        }
    }
    // Rounding can leave a node slightly less than its children have.
    exits.iter_mut().for_each(|e| e.mass = e.mass.map(|m| m.max(0.0)));
    let only_mass = |tree: &Tree, only: &[NodeId]| {
        let tops: std::collections::HashSet<NodeId> = only.iter().copied().collect();
        let highest = only.iter().filter(|&&n| tree.parent(n).is_none_or(|p| !tops.contains(&p)));
        // The sum of no numbers at all would be -0.
        highest.fold(0.0, |sum, &n| sum + tree.mass(n))
    };
    TreeComparison {
        moved: 0.5 * exits.iter().map(|e| (e.mass[0] - e.mass[1]).abs()).sum::<f64>(),
        only_mass: [only_mass(a, &only[0]), only_mass(b, &only[1])],
        fork: fork(a, b, &places, &shared),
        shared: exits,
        only,
    }
}

/// Follows the most likely child in both trees, to where they part.
fn fork(a: &Tree, b: &Tree, places: &HashMap<NodeId, usize>, shared: &[[NodeId; 2]]) -> Option<Fork> {
    let mut node = [NodeId::ROOT; 2];
    loop {
        let next = [a.children(node[0]).first().copied(), b.children(node[1]).first().copied()];
        let same = next[0].and_then(|n| places.get(&n)).map(|&i| shared[i]);
        match (same, next) {
            (_, [None, None]) => return None,
            (Some(pair), [_, Some(m)]) if pair[1] == m => node = pair,
            _ => return Some(Fork { node, next }),
        }
    }
}
