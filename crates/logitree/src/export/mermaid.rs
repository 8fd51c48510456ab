//! Writes a tree as a Mermaid flowchart, which Markdown pages show as a picture. A chain of nodes with single children is
//! one box; edges show the probability of the first token. Only the likeliest nodes are drawn, as many as can be read,
//! and the last box says what is left out.

use super::chain::Chain;
use super::text::{count, percent};
use crate::visible::visible;
use logitree_core::NodeId;
use logitree_core::run::Run;
use std::collections::HashSet;
use std::io::{self, Write};

/// Largest number of nodes that are drawn. GitHub draws no chart with more than 500 edges, and nobody can read one with
/// more than some dozens of boxes.
const MOST: usize = 100;

/// Writes the tree as a flowchart from left to right.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let tree = &run.tree;
    let mut order: Vec<NodeId> = tree.nodes().collect();
    // No node is likelier than its parent, and its id is larger: with a node, all above it are drawn.
    order.sort_by(|&a, &b| tree.path_logprob(b).total_cmp(&tree.path_logprob(a)).then(a.cmp(&b)));
    let drawn: HashSet<NodeId> = order.into_iter().take(MOST).collect();
    writeln!(out, "flowchart LR")?;
    let mut chains = vec![Chain::from(run, NodeId::ROOT, |n| drawn.contains(&n))];
    while let Some(chain) = chains.pop() {
        let Chain { first, last } = chain;
        let stop = tree.stop(last).map_or(String::new(), |s| format!("<br>({})", escape(s.name())));
        writeln!(out, "  n{}[\"{}{stop}\"]", first.0, escape(&chain.text(run)))?;
        for &child in tree.children(last).iter().rev().filter(|n| drawn.contains(n)) {
            let share = percent(tree.logprob(child).exp());
            writeln!(out, "  n{} -->|\"{share}\"| n{}", first.0, child.0)?;
            chains.push(Chain::from(run, child, |n| drawn.contains(&n)));
        }
    }
    if tree.len() > drawn.len() {
        let left = count(tree.len() - drawn.len(), "less likely node");
        writeln!(out, "  more[\"{left} not drawn, of {}\"]\n  style more stroke-dasharray: 5 5", tree.len())?;
    }
    Ok(())
}

/// A text in quotes. Everything that could be a sign of Mermaid, of Markdown or of HTML is written by its number.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        match c {
            // An entity keeps a space at the beginning, which belongs to the token.
            ' ' if out.is_empty() => out.push_str("#160;"),
            ',' | ':' | '!' | '?' | '\'' | '%' | ' ' => out.push(c),
            c if c.is_ascii_punctuation() => out.push_str(&format!("#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn signs_are_written_by_their_numbers() {
        assert_eq!(escape("a \"b\" <c>\n1. d"), "a #34;b#34; #60;c#62;↵1#46; d");
        assert_eq!(escape(" x;#]|`"), "#160;x#59;#35;#93;#124;#96;");
        assert_eq!(escape("Zürich, 5 % – it's"), "Zürich, 5 % – it's");
    }
}
