//! Writes a tree for Graphviz. A chain of nodes with single children is one box; edges show the probability of the
//! first token.

use super::chain::Chain;
use crate::visible::visible;
use logitree_core::NodeId;
use logitree_core::run::Run;
use std::io::{self, Write};

/// Writes the tree as a Graphviz digraph.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph tree {{\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];")?;
    let mut chains = vec![Chain::from(run, NodeId::ROOT, |_| true)];
    while let Some(chain) = chains.pop() {
        let Chain { first, last } = chain;
        let stop = run.tree.stop(last).map_or(String::new(), |s| format!("\\n[{}]", s.name()));
        writeln!(out, "  n{} [label=\"{}{stop}\"];", first.0, escape(&chain.text(run)))?;
        for &child in run.tree.children(last).iter().rev() {
            writeln!(out, "  n{} -> n{} [label=\"{:.4}\"];", first.0, child.0, run.tree.logprob(child).exp())?;
            chains.push(Chain::from(run, child, |_| true));
        }
    }
    writeln!(out, "}}")
}

fn escape(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}
