//! Comparisons as tables. Logprobs, entropies and divergences are in nats; of each pair, `_a` is the reference.

use super::table::Table;
use crate::Model;
use crate::compare::ComparedPiece;
use logitree_core::compare::{ComparedStep, TreeComparison};
use logitree_core::run::Run;
use logitree_core::{NodeId, token};

/// A text under two models of one vocabulary: a row for each compared token; `position` counts them from 1.
pub fn steps<'a>(model: &'a Model, steps: &'a [ComparedStep]) -> Table<'a, (usize, &'a ComparedStep)> {
    let [a, b] = [0, 1];
    let best = move |s: &ComparedStep, side: usize| model.text(s.best[side].id);
    Table::of(steps.iter().enumerate())
        .column("position", |(i, _)| i + 1)
        .column("token_id", move |(_, s)| s.token[a].id.0)
        .column("text", move |(_, s)| model.text(s.token[a].id))
        .column("logprob_a", move |(_, s)| s.token[a].logprob)
        .column("logprob_b", move |(_, s)| s.token[b].logprob)
        .column("change", |(_, s)| s.change())
        .column("rank_a", move |(_, s)| s.token[a].rank)
        .column("rank_b", move |(_, s)| s.token[b].rank)
        .column("best_id_a", move |(_, s)| s.best[a].id.0)
        .column("best_a", move |(_, s)| best(s, a))
        .column("best_id_b", move |(_, s)| s.best[b].id.0)
        .column("best_b", move |(_, s)| best(s, b))
        .column("entropy_a", move |(_, s)| s.entropy[a])
        .column("entropy_b", move |(_, s)| s.entropy[b])
        .column("kl_ab", |(_, s)| s.divergence.kl_ab)
        .column("kl_ba", |(_, s)| s.divergence.kl_ba)
        .column("js", |(_, s)| s.divergence.js)
}

/// A text under two models of different vocabularies: a row for each compared piece; `position` counts them from 1.
pub fn pieces(pieces: &[ComparedPiece]) -> Table<'_, (usize, &ComparedPiece)> {
    Table::of(pieces.iter().enumerate())
        .column("position", |(i, _)| i + 1)
        .column("text", |(_, p)| token::decode([&p.bytes[..]]))
        .column("logprob_a", |(_, p)| p.logprob()[0])
        .column("logprob_b", |(_, p)| p.logprob()[1])
        .column("change", |(_, p)| p.change())
        .column("tokens_a", |(_, p)| p.tokens[0].len())
        .column("tokens_b", |(_, p)| p.tokens[1].len())
}

/// Where a node is, and the node in A and in B.
type Place = (&'static str, [Option<NodeId>; 2]);

/// Two runs: a row for each node below the roots, those of both trees, only of A, only of B. `text` is that of the path.
pub fn nodes<'a>(runs: [&'a Run; 2], found: &'a TreeComparison) -> Table<'a, Place> {
    let shared = found.shared.iter().skip(1).map(|s| ("both", s.node.map(Some)));
    let only_a = found.only[0].iter().map(|&n| ("a", [Some(n), None]));
    let only_b = found.only[1].iter().map(|&n| ("b", [None, Some(n)]));
    // The run that a node is described by: A, if it is there.
    let first = move |nodes: [Option<NodeId>; 2]| match nodes {
        [Some(n), _] => (runs[0], n),
        [None, n] => (runs[1], n.unwrap_or(NodeId::ROOT)),
    };
    let logprob = move |nodes: [Option<NodeId>; 2], i: usize| nodes[i].map(|n| runs[i].tree.logprob(n));
    let mass = move |nodes: [Option<NodeId>; 2], i: usize| nodes[i].map(|n| runs[i].tree.mass(n));
    Table::of(shared.chain(only_a).chain(only_b))
        .column("in", |(place, _)| *place)
        .column("node_a", |(_, nodes)| nodes[0].map(|n| n.0))
        .column("node_b", |(_, nodes)| nodes[1].map(|n| n.0))
        .column("depth", move |&(_, nodes)| {
            let (run, n) = first(nodes);
            run.tree.depth(n)
        })
        .column("text", move |&(_, nodes)| {
            let (run, n) = first(nodes);
            run.text(n)
        })
        .column("logprob_a", move |&(_, nodes)| logprob(nodes, 0))
        .column("logprob_b", move |&(_, nodes)| logprob(nodes, 1))
        .column("change", move |&(_, nodes)| Some(logprob(nodes, 1)? - logprob(nodes, 0)?))
        .column("mass_a", move |&(_, nodes)| mass(nodes, 0))
        .column("mass_b", move |&(_, nodes)| mass(nodes, 1))
}
