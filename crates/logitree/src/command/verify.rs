//! `logitree verify`

use crate::cli::{self, Format, ModelOptions, RemoteOptions};
use crate::engine;
use crate::export::text::shorten;
use crate::setup::{self, Loaded};
use crate::visible::visible;
use crate::{import, progress, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree_core::run::Run;
use logitree_core::verify::{self, Difference, Number, Report};
use logitree_core::{Exactness, NodeHandle, NodeId, Query, TokenId, watch};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree verify the-capital-of-india-is.run.jsonl
  logitree verify run.jsonl -m gemma-3-270m --format json

Runs every recorded step again and compares each stored number: lists, logprobs, entropies, logsumexps, watched \
strings, thresholds, and what the closing line says. Exact arithmetic gives the same bits on every machine; a \
difference means another version, another engine or a changed file. Of servers, only logprobs and watched \
strings are compared.";

/// Steps evaluated together.
const BATCH: usize = 64;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// A run file; `-` is standard input
    pub file: PathBuf,
    /// The model that made it [default: the one the file names]
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Threads to use [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the fastest]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Differences up to this many nats are accepted
    #[arg(long, default_value_t = 1e-4, value_parser = cli::non_negative, value_name = "NATS")]
    pub tolerance: f64,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub remote: RemoteOptions,
}

pub fn run(args: VerifyArgs) -> Result<()> {
    let run = import::open_run(&args.file)?;
    if run.header.model.sha256.is_empty() || run.header.prompt.tokens.is_empty() {
        bail!(
            "{} does not say which model it was made with: only logitree's own run files can be verified",
            import::named(&args.file)
        );
    }
    terminal::catch_interrupts();
    let name = match &args.model {
        Some(name) => name.clone(),
        None if args.remote.engines.is_empty() => crate::models::named_by(&args.file, &run.header.model.name)?,
        None => crate::models::DEFAULT.into(),
    };
    engine::check_kind(&args.file, &run.header.model, &args.remote)?;
    let made_in = engine::arithmetic_of(&args.file, &run.header.model)?;
    let options = ModelOptions {
        threads: args.threads,
        backend: args.backend.clone(),
        ..ModelOptions::new(name, made_in, args.remote.clone())
    };
    let loaded = setup::load(&options).with_context(|| format!("the model of {}", import::named(&args.file)))?;
    loaded.check_made(&args.file, &run.header.model)?;
    loaded.model.learn(&run)?;
    let (mut report, whole) = compare(&run, &loaded)?;
    let own = json!({ "strategy": run.header.strategy, "parameters": run.header.parameters });
    match serde_json::from_value(own) {
        Ok(strategy) => report.compare_thresholds(&run.tree, &strategy),
        Err(e) => bail!("{}: the strategy is not known here: {e}", import::named(&args.file)),
    }
    let statements = statements(&run, &loaded);
    print(&args, &run, &loaded, &report, &statements, whole)?;
    let most = report.max_difference();
    if most > args.tolerance {
        let what = report.largest.map_or("", |d| d.number.name());
        bail!(
            "{} differs by {most:.3e} in {what}, more than --tolerance {}",
            import::named(&args.file),
            args.tolerance
        );
    }
    if let Some(first) = statements.first() {
        bail!("{}: {first}", import::named(&args.file));
    }
    Ok(())
}

/// What the header and the closing line say otherwise than the model and the tree show.
fn statements(run: &Run, loaded: &Loaded) -> Vec<String> {
    let mut found = run.end.as_ref().map_or(Vec::new(), |end| verify::end_differences(&run.tree, end));
    let (header, model) = (&run.header.model, &loaded.model);
    for (what, said, is) in
        [("vocab", header.vocab, model.vocab_size()), ("context", header.context, model.context_length())]
    {
        // A server may tell neither.
        if said != is && model.exactness() == Exactness::Exact {
            found.push(format!("the header says `{what}` {said}; the model has {is}"));
        }
    }
    found
}

/// Runs every expanded node again; the second value says whether it got to the end.
fn compare(run: &Run, loaded: &Loaded) -> Result<(Report, bool)> {
    let tree = &run.tree;
    let prompt: Vec<TokenId> = run.header.prompt.tokens.iter().map(|t| t.id).collect();
    let mut session = loaded.model.session()?;
    let root = *session.push_all(None, &prompt)?.last().context("the prompt has no tokens")?;
    let mut handles: HashMap<NodeId, NodeHandle> = HashMap::from([(NodeId::ROOT, root)]);
    // Children of each node that are still to come: its row is needed no more after the last.
    let mut waiting: HashMap<NodeId, usize> = HashMap::new();
    let expanded: Vec<NodeId> = tree.nodes().filter(|&n| tree.expansion(n).is_some()).collect();
    for &n in &expanded {
        if let Some(parent) = tree.parent(n) {
            *waiting.entry(parent).or_default() += 1;
        }
    }
    let watch: Vec<Vec<TokenId>> = run.header.watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect();
    let mut report = Report::default();
    let bar = progress::spinner();
    for batch in expanded.chunks(BATCH) {
        if terminal::interrupted() {
            return Ok((report, false));
        }
        for &n in batch {
            if let (Some(parent), Some(token)) = (tree.parent(n), tree.token(n)) {
                let handle = session.push(handles.get(&parent).copied(), token)?;
                handles.insert(n, handle);
            }
        }
        let children: Vec<Vec<TokenId>> =
            batch.iter().map(|&n| tree.children(n).iter().filter_map(|&c| tree.token(c)).collect()).collect();
        let queries: Vec<Query<'_>> = batch
            .iter()
            .zip(&children)
            .map(|(n, tokens)| {
                let top = tree.expansion(*n).map_or(0, |e| e.top.len());
                Query { node: handles[n], top, tokens, logits: false }
            })
            .collect();
        for (&n, (now, watched)) in batch.iter().zip(watch::evaluate(&mut *session, &queries, &watch)?) {
            report.compare(tree, n, &now, &watched);
            if !waiting.contains_key(&n) {
                handles.remove(&n).into_iter().for_each(|h| session.release(h));
            }
            let Some(parent) = tree.parent(n) else { continue };
            if let Some(left) = waiting.get_mut(&parent) {
                *left -= 1;
                if *left == 0 {
                    handles.remove(&parent).into_iter().for_each(|h| session.release(h));
                }
            }
        }
        bar.message(|| {
            format!("{} of {} steps, largest difference {:.1e}", report.nodes, expanded.len(), report.max_difference())
        });
    }
    Ok((report, true))
}

fn print(args: &VerifyArgs, run: &Run, loaded: &Loaded, r: &Report, statements: &[String], whole: bool) -> Result<()> {
    if args.format == Format::Json {
        let object = json!({
            "identical": r.is_identical() && statements.is_empty(),
            "max_difference": r.max_difference(),
            "report": r,
            "statements": statements,
            "complete": whole,
            "model": loaded.name,
            "engine": loaded.model.engine(),
        });
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut out = format!("{} steps compared with {}\n", r.nodes, loaded.model.engine());
    for (number, count) in &r.numbers {
        let same = match count.identical {
            n if n == count.compared => "all the same to the last bit".into(),
            n => format!("{n} the same to the last bit"),
        };
        out.push_str(&format!("{:>9} {:<28} {same}\n", count.compared, number.name()));
    }
    for (which, d) in [("largest", &r.largest), ("first", &r.first)] {
        let Some(d) = d else { continue };
        out.push_str(&format!("{which} difference {}\n", place(d, run, loaded)));
    }
    if let Some(n) = r.reordered {
        out.push_str(&format!("the order of the most likely tokens differs first at node {}\n", n.0));
    }
    statements.iter().for_each(|s| out.push_str(&format!("{s}\n")));
    if !whole {
        out.push_str("interrupted before the end\n");
    }
    terminal::print(&out)
}

/// A difference in words.
fn place(d: &Difference, run: &Run, loaded: &Loaded) -> String {
    let token = d.token.map_or(String::new(), |t| format!(" of token {:?}", loaded.text(t)));
    let what = match d.number {
        Number::Place => "place in the list",
        number => number.name(),
    };
    format!(
        "{:.3e} in {what}{token} after node {} ({:?}): {} recorded, {} now",
        d.size(),
        d.node.0,
        shorten(&visible(&run.text(d.node)), 40),
        d.recorded,
        d.now
    )
}
