//! Writes comparisons as CSV. Logprobs, entropies and divergences are in nats; of each pair, `_a` is the reference.

use crate::Model;
use crate::compare::ComparedPiece;
use logitree_core::compare::{ComparedStep, TreeComparison};
use logitree_core::run::Run;
use logitree_core::{TokenId, token};
use std::io::{Result, Write};

/// Columns of a text under two models of one vocabulary.
pub const STEPS: [&str; 17] = [
    "position",
    "token_id",
    "text",
    "logprob_a",
    "logprob_b",
    "change",
    "rank_a",
    "rank_b",
    "best_id_a",
    "best_a",
    "best_id_b",
    "best_b",
    "entropy_a",
    "entropy_b",
    "kl_ab",
    "kl_ba",
    "js",
];

/// Writes a row for each compared token; `position` counts them from 1.
///
/// # Errors
/// If the output cannot be written.
pub fn steps(model: &Model, steps: &[ComparedStep], out: &mut dyn Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(STEPS)?;
    let text = |id: TokenId| model.text(id);
    for (i, s) in steps.iter().enumerate() {
        let [a, b] = s.token;
        let [best_a, best_b] = s.best.map(|t| t.id);
        csv.write_record([
            (i + 1).to_string(),
            a.id.to_string(),
            text(a.id),
            a.logprob.to_string(),
            b.logprob.to_string(),
            s.change().to_string(),
            a.rank.to_string(),
            b.rank.to_string(),
            best_a.to_string(),
            text(best_a),
            best_b.to_string(),
            text(best_b),
            s.entropy[0].to_string(),
            s.entropy[1].to_string(),
            s.divergence.kl_ab.to_string(),
            s.divergence.kl_ba.to_string(),
            s.divergence.js.to_string(),
        ])?;
    }
    csv.flush()
}

/// Columns of a text under two models of different vocabularies.
pub const PIECES: [&str; 7] = ["position", "text", "logprob_a", "logprob_b", "change", "tokens_a", "tokens_b"];

/// Writes a row for each compared piece; `position` counts them from 1.
///
/// # Errors
/// If the output cannot be written.
pub fn pieces(pieces: &[ComparedPiece], out: &mut dyn Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(PIECES)?;
    for (i, p) in pieces.iter().enumerate() {
        let [a, b] = p.logprob();
        csv.write_record([
            (i + 1).to_string(),
            token::decode([&p.bytes[..]]),
            a.to_string(),
            b.to_string(),
            (b - a).to_string(),
            p.tokens[0].len().to_string(),
            p.tokens[1].len().to_string(),
        ])?;
    }
    csv.flush()
}

/// Columns of two trees.
pub const NODES: [&str; 10] =
    ["in", "node_a", "node_b", "depth", "text", "logprob_a", "logprob_b", "change", "mass_a", "mass_b"];

/// Writes a row for each node below the roots: those of both trees, only of A, only of B. `text` is that of the path.
///
/// # Errors
/// If the output cannot be written.
pub fn nodes(runs: [&Run; 2], found: &TreeComparison, out: &mut dyn Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(NODES)?;
    let shared = found.shared.iter().skip(1).map(|s| ("both", s.node.map(Some)));
    let only_a = found.only[0].iter().map(|&n| ("a", [Some(n), None]));
    let only_b = found.only[1].iter().map(|&n| ("b", [None, Some(n)]));
    for (place, nodes) in shared.chain(only_a).chain(only_b) {
        let Some((run, n)) = [0, 1].into_iter().find_map(|i| Some((runs[i], nodes[i]?))) else { continue };
        let column = |value: &dyn Fn(&Run, logitree_core::NodeId) -> String| {
            [0, 1].map(|i| nodes[i].map_or_else(String::new, |n| value(runs[i], n)))
        };
        let [id_a, id_b] = column(&|_, n| n.0.to_string());
        let [logprob_a, logprob_b] = column(&|run, n| run.tree.logprob(n).to_string());
        let [mass_a, mass_b] = column(&|run, n| run.tree.mass(n).to_string());
        let change = match nodes {
            [Some(a), Some(b)] => (runs[1].tree.logprob(b) - runs[0].tree.logprob(a)).to_string(),
            _ => String::new(),
        };
        let (depth, text) = (run.tree.depth(n).to_string(), run.text(n));
        let place = place.to_string();
        csv.write_record([place, id_a, id_b, depth, text, logprob_a, logprob_b, change, mass_a, mass_b])?;
    }
    csv.flush()
}
