//! Two trees side by side, by hand and against a count over all continuations.

mod common;

use common::{TableModel, hashed};
use logitree_core::compare::{Fork, compare_trees};
use logitree_core::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// Expands a node of a tree: its children are these tokens, with these probabilities.
fn expand(tree: &mut Tree, n: NodeId, children: &[(u32, f64)]) -> Vec<NodeId> {
    let stats =
        |(i, &(id, p)): (usize, &(u32, f64))| TokenStats { id: TokenId(id), logprob: p.ln(), rank: i as u32 + 1 };
    let children: Vec<TokenStats> = children.iter().enumerate().map(stats).collect();
    let distribution = Distribution::of_list(children.clone(), Exactness::Exact);
    tree.expand(n, distribution, &children, None, 1).children.clone()
}

#[test]
fn trees_by_hand() {
    let (mut a, mut b) = (Tree::default(), Tree::default());
    // A: 1 (0.5) with 4 (0.5); 2 (0.25).   B: 2 (0.5) with 5 (1); 1 (0.25) with 4 (0.5) and 3 (0.5); 7 (0.25).
    let n = expand(&mut a, NodeId::ROOT, &[(1, 0.5), (2, 0.25)]);
    expand(&mut a, n[0], &[(4, 0.5)]);
    let m = expand(&mut b, NodeId::ROOT, &[(2, 0.5), (1, 0.25), (7, 0.25)]);
    expand(&mut b, m[1], &[(4, 0.5), (3, 0.5)]);
    expand(&mut b, m[0], &[(5, 1.0)]);
    let found = compare_trees(&a, &b, Some);
    let nodes: Vec<[u32; 2]> = found.shared.iter().map(|s| s.node.map(|n| n.0)).collect();
    assert_eq!(nodes, [[0, 0], [1, 2], [2, 1], [3, 4]]);
    // Exits of A: root 0.25, "1" 0.25, "2" 0.25, "1 4" 0.25; of B: root 0.25, "1" 0.125, "2" 0.5, "1 4" 0.125.
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    for (exit, want) in found.shared.iter().zip([[0.25, 0.25], [0.25, 0.125], [0.25, 0.5], [0.25, 0.125]]) {
        near(exit.mass[0], want[0]);
        near(exit.mass[1], want[1]);
    }
    near(found.moved, 0.25);
    assert_eq!(found.only[0], []);
    assert_eq!(found.only[1].iter().map(|n| n.0).collect::<Vec<_>>(), [3, 5, 6]);
    assert!(found.only_mass[0].is_sign_positive());
    near(found.only_mass[0], 0.0);
    near(found.only_mass[1], 0.25 + 0.125 + 0.5);
    assert_eq!(found.fork, Some(Fork { node: [NodeId::ROOT; 2], next: [Some(n[0]), Some(m[0])] }));
    near(found.changes(&a, &b)[2], 2f64.ln());
    // A tree is like itself.
    let same = compare_trees(&a, &a, Some);
    assert_eq!((same.shared.len(), same.moved, same.fork, same.only_mass), (a.len(), 0.0, None, [0.0, 0.0]));
    // Tokens of B have other ids, and some are not in it.
    let other = compare_trees(&a, &b, |t| (t != TokenId(1)).then_some(t));
    assert_eq!(other.shared.len(), 2);
    near(other.only_mass[0], 0.5);
    // One path is the beginning of the other.
    let mut short = Tree::default();
    expand(&mut short, NodeId::ROOT, &[(1, 0.5)]);
    let fork = compare_trees(&a, &short, Some).fork.unwrap();
    assert_eq!((fork.node, fork.next), ([NodeId(1); 2], [Some(NodeId(3)), None]));
}

const DEPTH: usize = 3;
const VOCAB: usize = 3;

/// A model whose probabilities depend on the path, and a tree of it that has the nodes that `kept` says.
fn grown(seed: u64, kept: u64) -> (TableModel, Tree) {
    let model = TableModel { vocab: VOCAB, end_tokens: Vec::new(), table: hashed(seed, VOCAB) };
    let choices = hashed(kept, VOCAB + 1);
    let mut tree = Tree::default();
    let mut at = 0;
    while at < tree.len() {
        let n = NodeId(at as u32);
        let path = tree.path(n);
        let bits = choices(&path);
        if path.len() < DEPTH && bits[VOCAB] < 0.4 {
            let probs = (model.table)(&path);
            let keep = (0..VOCAB).filter(|&t| bits[t] > 0.15);
            let mut children: Vec<(u32, f64)> = keep.map(|t| (t as u32, probs[t])).collect();
            children.sort_by(|a, b| b.1.total_cmp(&a.1));
            if !children.is_empty() {
                expand(&mut tree, n, &children);
            }
        }
        at += 1;
    }
    (model, tree)
}

proptest! {
    #[test]
    fn exits_are_those_of_all_continuations(seed: [u64; 2], kept: [u64; 2]) {
        let ((model_a, a), (model_b, b)) = (grown(seed[0], kept[0]), grown(seed[1], kept[1]));
        let found = compare_trees(&a, &b, Some);
        let paths = |tree: &Tree| tree.nodes().map(|n| (tree.path(n), n)).collect::<HashMap<_, _>>();
        let (in_a, in_b) = (paths(&a), paths(&b));
        let mut exits: HashMap<Vec<TokenId>, [f64; 2]> = HashMap::new();
        // Every continuation of DEPTH tokens leaves at its longest beginning that is in both trees.
        for number in 0..VOCAB.pow(DEPTH as u32) {
            let tokens: Vec<TokenId> =
                (0..DEPTH).map(|i| TokenId((number / VOCAB.pow(i as u32) % VOCAB) as u32)).collect();
            let long = (0..=DEPTH).rev().find(|&l| in_a.contains_key(&tokens[..l]) && in_b.contains_key(&tokens[..l]));
            let exit = exits.entry(tokens[..long.unwrap()].to_vec()).or_default();
            for (sum, model) in exit.iter_mut().zip([&model_a, &model_b]) {
                *sum += (0..DEPTH).map(|l| (model.table)(&tokens[..l])[tokens[l].index()]).product::<f64>();
            }
        }
        let moved = exits.values().map(|e| (e[0] - e[1]).abs()).sum::<f64>() / 2.0;
        prop_assert!((found.moved - moved).abs() < 1e-9, "{} {moved}", found.moved);
        for s in &found.shared {
            let want = exits.get(&a.path(s.node[0])).copied().unwrap_or_default();
            prop_assert!((s.mass[0] - want[0]).abs() < 1e-9 && (s.mass[1] - want[1]).abs() < 1e-9);
        }
        prop_assert_eq!(found.shared.len() + found.only[0].len(), a.len());
        prop_assert_eq!(found.shared.len() + found.only[1].len(), b.len());
        let back = compare_trees(&b, &a, Some);
        prop_assert!((found.moved - back.moved).abs() < 1e-12);
    }
}
