//! Two run files.

use super::common::{CompareArgs, Found, Output, largest, report};
use crate::{open, terminal};
use anyhow::Result;
use logitree::compare::compare_runs;
use logitree::export;
use logitree::export::text::{Style, count, percent, shorten};
use logitree::import::named;
use logitree::visible::visible;
use logitree_core::NodeId;
use logitree_core::compare::TreeComparison;
use logitree_core::run::Run;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

pub(super) fn run(args: &CompareArgs, files: [&Path; 2]) -> Result<()> {
    let output = Output::check(args, &files)?;
    let (a, b) = (open::run_file(files[0])?, open::run_file(files[1])?);
    let (found, same_ids) = compare_runs(&a, &b);
    let found = Runs { names: files.map(named), runs: [&a, &b], found, same_ids };
    report(args, output.as_ref(), &found, || found.text(terminal::style(), args.rows))
}

/// A comparison with what it is of.
struct Runs<'a> {
    names: [String; 2],
    runs: [&'a Run; 2],
    found: TreeComparison,
    same_ids: bool,
}

impl Found for Runs<'_> {
    /// `{a, b, same_ids, shared, only_a, only_b, only_mass, moved, fork, nodes}`.
    fn object(&self) -> Value {
        let side = |i: usize| {
            let run = self.runs[i];
            json!({
                "file": self.names[i],
                "model": run.header.model.name,
                "prompt": run.header.prompt.text,
                "strategy": run.header.strategy,
                "nodes": run.tree.len(),
            })
        };
        let fork = self.found.fork.map(|f| {
            let next = [0, 1].map(|i| f.next[i].map(|n| self.node_json(i, n)));
            json!({ "node": f.node, "text": self.runs[0].text(f.node[0]), "next": next })
        });
        json!({
            "a": side(0),
            "b": side(1),
            "same_ids": self.same_ids,
            "shared": self.found.shared.len(),
            "only_a": self.found.only[0].len(),
            "only_b": self.found.only[1].len(),
            "only_mass": self.found.only_mass,
            "moved": self.found.moved,
            "fork": fork,
            "nodes": self.rows(),
        })
    }

    fn rows(&self) -> Vec<Value> {
        let [a, b] = self.runs;
        let changes = self.found.changes(&a.tree, &b.tree);
        let shared = self.found.shared.iter().zip(changes).map(|(s, change)| {
            json!({
                "in": "both",
                "node": s.node,
                "text": a.text(s.node[0]),
                "logprob": [a.tree.logprob(s.node[0]), b.tree.logprob(s.node[1])],
                "change": change,
                "mass": [a.tree.mass(s.node[0]), b.tree.mass(s.node[1])],
                "exit": s.mass,
            })
        });
        let only = |i: usize| {
            self.found.only[i].iter().map(move |&n| {
                let mut object = self.node_json(i, n);
                object["in"] = json!(["a", "b"][i]);
                object
            })
        };
        shared.chain(only(0)).chain(only(1)).collect()
    }

    fn csv(&self, out: &mut dyn Write) -> std::io::Result<()> {
        export::compare::nodes(self.runs, &self.found).csv(out)
    }
}

impl Runs<'_> {
    fn node_json(&self, side: usize, n: NodeId) -> Value {
        let run = self.runs[side];
        json!({ "node": n, "text": run.text(n), "logprob": run.tree.logprob(n), "mass": run.tree.mass(n) })
    }

    fn text(&self, style: Style, rows: usize) -> String {
        let mut out = String::new();
        for (i, letter) in ["A", "B"].into_iter().enumerate() {
            let Run { header, tree, .. } = self.runs[i];
            let text = format!(
                "{letter}  {}: {} of {}, {}, prompt {:?}",
                self.names[i],
                count(tree.len(), "node"),
                header.model.name,
                header.strategy,
                visible(&header.prompt.text)
            );
            let _ = writeln!(out, "{}", shorten(&text, style.width));
        }
        out.push('\n');
        if !self.same_ids {
            let note = "The runs have different vocabularies: tokens are the same if their bytes are.";
            out.push_str(&terminal::paragraph(note));
        }
        let f = &self.found;
        let _ = writeln!(out, "{:<24} {}", "in both", count(f.shared.len(), "node"));
        for (i, letter) in ["A", "B"].into_iter().enumerate() {
            let (nodes, mass) = (count(f.only[i].len(), "node"), percent(f.only_mass[i]));
            let _ = writeln!(out, "{:<24} {nodes} with {mass} of {letter}'s probability", format!("only in {letter}"));
        }
        let _ = writeln!(out, "{:<24} at least {}", "moved", percent(f.moved));
        match f.fork {
            None => out.push_str("the most likely tokens are the same to the end\n"),
            Some(fork) => {
                let after = visible(&self.runs[0].text(fork.node[0]));
                let [a, b] = [0, 1].map(|i| self.likeliest(i, fork.next[i]));
                let text = format!(
                    "the most likely tokens part after {:?}: A goes on with {a}, B with {b}",
                    shorten(&after, 40)
                );
                out.push_str(&terminal::paragraph(&text));
            }
        }
        self.changes(style, rows, &mut out);
        for (i, letter) in ["A", "B"].into_iter().enumerate() {
            self.only(i, letter, style, rows, &mut out);
        }
        out
    }

    fn likeliest(&self, side: usize, n: Option<NodeId>) -> String {
        let Some(n) = n else { return "nothing".into() };
        let run = self.runs[side];
        let text = run.tree.token(n).map_or(String::new(), |t| String::from_utf8_lossy(run.bytes(t)).into_owned());
        format!("{:?} ({})", visible(&text), percent(run.tree.logprob(n).exp()))
    }

    /// The shared nodes whose log probability changes most.
    fn changes(&self, style: Style, rows: usize, out: &mut String) {
        let [a, b] = self.runs;
        let changes = self.found.changes(&a.tree, &b.tree);
        let sizes: Vec<f64> = changes.iter().skip(1).map(|c| c.abs()).collect();
        let places = largest(&sizes, rows);
        if places.is_empty() {
            return;
        }
        let head = format!("{:>9}  {:>9}  {:>9}  node in both", "A", "B", "change");
        let _ = writeln!(out, "\n{}", style.paint("1", &head));
        for i in places {
            let s = &self.found.shared[i + 1];
            let text = shorten(&visible(&a.text(s.node[0])), style.width.saturating_sub(33));
            let [p, q] = [a.tree.logprob(s.node[0]).exp(), b.tree.logprob(s.node[1]).exp()];
            let _ = writeln!(out, "{:>9}  {:>9}  {:>+9.4}  {text}", percent(p), percent(q), changes[i + 1]);
        }
        out.push_str("(probability of the last token; change of its log probability in nats)\n");
    }

    /// The most likely nodes that only one tree has.
    fn only(&self, side: usize, letter: &str, style: Style, rows: usize, out: &mut String) {
        let run = self.runs[side];
        let masses: Vec<f64> = self.found.only[side].iter().map(|&n| run.tree.mass(n)).collect();
        let places = largest(&masses, rows);
        if places.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", style.paint("1", &format!("{:>9}  node only in {letter}", "mass")));
        for i in places {
            let text = shorten(&visible(&run.text(self.found.only[side][i])), style.width.saturating_sub(11));
            let _ = writeln!(out, "{:>9}  {text}", percent(masses[i]));
        }
    }
}
