//! Writes a tree for Graphviz. A chain of nodes with single children is one box; edges show the probability of the
//! first token.

use crate::visible::visible;
use logitree_core::run::Run;
use logitree_core::{NodeId, token};
use std::io::{self, Write};

/// The first and the last node of a chain without branches.
struct Chain {
    first: NodeId,
    last: NodeId,
}

fn chain_from(run: &Run, first: NodeId) -> Chain {
    let mut last = first;
    while let [only] = run.tree.children(last) {
        // The root is a box of its own, because its text is the prompt.
        if last == NodeId::ROOT {
            break;
        }
        last = *only;
    }
    Chain { first, last }
}

/// Writes the tree as a Graphviz digraph.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph tree {{\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];")?;
    let mut chains = vec![chain_from(run, NodeId::ROOT)];
    while let Some(Chain { first, last }) = chains.pop() {
        let text = if first == NodeId::ROOT {
            run.header.prompt.text.clone()
        } else {
            let up = std::iter::successors(Some(last), |&n| run.tree.parent(n).filter(|_| n != first));
            let mut chain: Vec<_> = up.filter_map(|n| run.tree.token(n)).collect();
            chain.reverse();
            token::decode(chain.iter().map(|&t| run.bytes(t)))
        };
        let stop = run.tree.stop(last).map_or(String::new(), |s| format!("\\n[{}]", s.name()));
        writeln!(out, "  n{} [label=\"{}{stop}\"];", first.0, escape(&text))?;
        for &child in run.tree.children(last).iter().rev() {
            writeln!(out, "  n{} -> n{} [label=\"{:.4}\"];", first.0, child.0, run.tree.logprob(child).exp())?;
            chains.push(chain_from(run, child));
        }
    }
    writeln!(out, "}}")
}

fn escape(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}
