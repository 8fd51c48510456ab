//! `logitree lens`: shows a stored run as a sampler would see it.

use crate::options::{self, Format};
use crate::{open, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree::export::text::{Ends, count, percent, shorten};
use logitree::import;
use logitree::visible::visible;
use logitree_core::lens::{self, Lens, TooShort, View, Within};
use logitree_core::run::Run;
use logitree_core::{NodeId, TokenId};
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree lens the-capital-of-india-is.run.jsonl --top-k 5
  logitree lens run.jsonl --temperature 0.7 --top-k 5 --top-p 0.9 --paths 20
  logitree lens run.jsonl --temperature 0.7
  logitree lens run.jsonl --min-p 0.3 --node 0

Re-weights a stored run as a sampler would see it, without running the model. A run stores the 10 most likely \
tokens of each step, which suffice for --top-k up to 10, a little less with --repetition-penalty. Where the list does \
not determine a probability, it is between two bounds, however the rest is divided: longer lists (`logitree tree \
--store-top 100`, or p=0.999) make them tighter, the whole distribution (p=1) exact. A repetition penalty and \
--typical-p have no bounds. The order is that of transformers: repetition penalty, temperature, top-k, top-p, min-p, \
typical-p.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LensArgs {
    /// A run file, or the notebook's tree JSON; `-` is standard input
    pub file: PathBuf,
    /// Divides the logits; 0 keeps only the most likely token
    #[arg(long, default_value_t = 1.0, value_parser = options::non_negative, value_name = "T")]
    pub temperature: f64,
    /// Keep this many of the most likely tokens; 0 is all
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub top_k: usize,
    /// Keep the most likely tokens that make up this probability
    #[arg(long, default_value_t = 1.0, value_parser = options::probability, value_name = "P")]
    pub top_p: f64,
    /// Keep tokens with at least this share of the most likely one's probability
    #[arg(long, default_value_t = 0.0, value_parser = options::probability, value_name = "P")]
    pub min_p: f64,
    /// Keep the tokens nearest to the entropy that make up this probability
    #[arg(long, default_value_t = 1.0, value_parser = options::probability, value_name = "P")]
    pub typical_p: f64,
    /// Make tokens that came before less likely; 1 changes nothing
    #[arg(long, default_value_t = 1.0, value_parser = positive, value_name = "R")]
    pub repetition_penalty: f64,
    /// Show one node's tokens instead of the paths (0 is the prompt)
    #[arg(long, value_name = "NODE")]
    pub node: Option<u32>,
    /// Paths to list
    #[arg(long, default_value_t = 10, value_name = "N", conflicts_with = "node")]
    pub paths: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn positive(text: &str) -> Result<f64, String> {
    options::non_negative(text).and_then(|x| if x > 0.0 { Ok(x) } else { Err("must be above 0".into()) })
}

pub fn run(args: LensArgs) -> Result<()> {
    let run = open::run_file(&args.file)?;
    if run.tree.nodes().all(|n| run.tree.expansion(n).is_none_or(|e| e.top.is_empty())) {
        bail!("{} stores no lists of tokens: there is nothing to look at", import::named(&args.file));
    }
    let lens = Lens {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        typical_p: args.typical_p,
        repetition_penalty: args.repetition_penalty,
    };
    match args.node {
        Some(n) => node(&args, &run, &lens, NodeId(n)),
        None => tree(&args, &run, &lens),
    }
}

fn prompt(run: &Run) -> Vec<TokenId> {
    run.header.prompt.tokens.iter().map(|t| t.id).collect()
}

fn why(e: TooShort) -> &'static str {
    match e {
        TooShort::List => {
            "the stored list is too short, even for bounds: tokens that are not listed may be kept (record more with --store-top)"
        }
        TooShort::Logits => "a repetition penalty needs logits, which this record does not have: make the run again",
    }
}

/// A probability, or its bounds.
fn between([lower, upper]: Within) -> String {
    let bounds = [lower, upper].map(|p| format!("{:.2}", 100.0 * p));
    match upper {
        0.0 => "cut".into(),
        _ if lower == upper => percent(upper),
        _ if lower == 0.0 => format!("≤ {}", percent(upper)),
        _ if bounds[0] == bounds[1] => percent(lower),
        _ => format!("{}–{} %", bounds[0], bounds[1]),
    }
}

/// A probability as JSON, null if only its bounds are known.
fn known([lower, upper]: Within) -> Option<f64> {
    (lower == upper).then_some(upper)
}

/// Prints the tokens after one node with their probabilities before and after the sampler's changes.
fn node(args: &LensArgs, run: &Run, lens: &Lens, n: NodeId) -> Result<()> {
    let nodes = run.tree.len();
    if n.index() >= nodes {
        bail!("--node {}: the run has nodes 0 to {}", n.0, nodes - 1);
    }
    let Some(e) = run.tree.expansion(n) else {
        bail!("--node {}: it was not expanded, so nothing is known after it", n.0)
    };
    let before: HashSet<TokenId> = prompt(run).into_iter().chain(run.tree.path(n)).collect();
    let seen =
        lens.look(e, run.header.model.vocab, &before).map_err(|e| anyhow::anyhow!("--node {}: {}", n.0, why(e)))?;
    let text = |id| String::from_utf8_lossy(run.bytes(id)).into_owned();
    if args.format == Format::Json {
        let tokens: Vec<_> = seen
            .iter()
            .map(|s| {
                let after = known(s.after).filter(|_| !s.is_cut());
                json!({ "id": s.id, "text": text(s.id), "before": s.before, "after": after, "after_bounds": s.after })
            })
            .collect();
        return terminal::print(&format!("{:#}\n", json!({ "node": n, "tokens": tokens })));
    }
    let style = terminal::style();
    let place =
        if n == NodeId::ROOT { "the prompt".into() } else { format!("{:?}", shorten(&visible(&run.text(n)), 60)) };
    let mut out = format!("after {place}\n\n");
    let _ = writeln!(out, "{}", style.paint("1", &format!("{:>11}    {:<13}  token", "before", "after")));
    for s in seen {
        let after = between(s.after);
        let row = format!("{:>11} → {after:<13}  {}", percent(s.before), visible(&text(s.id)).replace(' ', "·"));
        let _ = writeln!(out, "{}", if s.is_cut() { style.paint("2", &row) } else { row });
    }
    terminal::print(&out)
}

/// Prints the paths and the totals of the whole tree as the sampler sees them.
fn tree(args: &LensArgs, run: &Run, lens: &Lens) -> Result<()> {
    let view = lens::view(&run.tree, &prompt(run), run.header.model.vocab, lens);
    let leaves = view.ranked_leaves(&run.tree);
    let out = match args.format {
        Format::Json => tree_json(args, run, &view, &leaves),
        Format::Text => tree_text(args, run, &view, &leaves),
    };
    terminal::print(&out)
}

fn tree_json(args: &LensArgs, run: &Run, view: &View, leaves: &[NodeId]) -> String {
    let paths: Vec<_> = leaves
        .iter()
        .take(args.paths)
        .map(|&n| {
            let after = view.mass[n.index()];
            json!({
                "node": n, "before": run.tree.mass(n), "after": after.and_then(known), "after_bounds": after,
                "text": run.text(n),
            })
        })
        .collect();
    let short: Vec<_> = view.short.iter().map(|&(n, e)| json!({ "node": n, "why": why(e) })).collect();
    let after = json!({
        "finished": known(view.finished), "frontier": known(view.frontier), "pruned": known(view.pruned),
        "unknown": known(view.unknown),
    });
    let bounds = json!({
        "finished": view.finished, "frontier": view.frontier, "pruned": view.pruned, "unknown": view.unknown,
    });
    let object = json!({
        "before": run.tree.accounting(), "after": after, "after_bounds": bounds, "steps_with_bounds": view.bounded,
        "tokens_kept": view.kept, "tokens_cut": view.cut,
        "lists_too_short": short, "paths": paths,
    });
    format!("{object:#}\n")
}

fn tree_text(args: &LensArgs, run: &Run, view: &View, leaves: &[NodeId]) -> String {
    let style = terminal::style();
    let mut out = String::new();
    let _ = writeln!(out, "{}", style.paint("1", &format!("   #  {:>11}    {:<13}  text", "before", "after")));
    let room = style.width.saturating_sub(36).max(20);
    let ends = Ends::new(run, room);
    for (i, &n) in leaves.iter().take(args.paths).enumerate() {
        let after = view.mass[n.index()].map_or("not known".into(), between);
        let text = ends.text(n);
        let _ = writeln!(out, "{:>4}  {:>11} → {after:<13}  {text}", i + 1, percent(run.tree.mass(n)));
    }
    let before = run.tree.accounting();
    let _ = writeln!(out, "\n{}", style.paint("1", "where the probability goes"));
    for (name, before, after) in [
        ("finished", before.finished, view.finished),
        ("frontier", before.frontier, view.frontier),
        ("pruned", before.pruned, view.pruned),
        ("not known", 0.0, view.unknown),
    ] {
        let after = if after[1] == 0.0 { percent(0.0) } else { between(after) };
        let _ = writeln!(out, "  {name:<9} {:>11} → {after}", percent(before));
    }
    let _ = writeln!(out, "  {} of the listed tokens kept, {} cut", view.kept, view.cut);
    if view.bounded > 0 {
        let steps = count(view.bounded, "step");
        let note = format!("in {steps} the listed tokens give bounds: longer lists make them tighter (--store-top)");
        let _ = writeln!(out, "  {note}");
    }
    if let Some(&(n, e)) = view.short.first() {
        let steps = if view.short.len() == 1 { "1 step is".into() } else { format!("{} steps are", view.short.len()) };
        let note = format!("{steps} not known, the first at node {}: {}", n.0, why(e));
        let _ = writeln!(out, "  {}", style.paint("33", &note));
    }
    out
}
