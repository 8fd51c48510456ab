//! `logitree verify`: runs a stored run's steps again and compares every number.

use crate::options::{self, Format, MadeOptions, RemoteOptions};
use crate::{open, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree::export::text::shorten;
use logitree::visible::visible;
use logitree::{Model, Verification, check_verifiable, import};
use logitree_core::run::Run;
use logitree_core::verify::{Difference, Number};
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree verify the-capital-of-india-is.run.jsonl
  logitree verify run.jsonl -m gemma-3-270m --format json

Runs every recorded step again and compares each stored number: lists, logprobs, entropies, logsumexps, watched \
strings, thresholds, and what the closing line says. Exact arithmetic gives the same bits on every machine; a \
difference means another version, another engine or a changed file. Of servers, only logprobs and watched \
strings are compared.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// A run file; `-` is standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub made: MadeOptions,
    /// Differences up to this many nats are accepted
    #[arg(long, default_value_t = 1e-4, value_parser = options::non_negative, value_name = "NATS")]
    pub tolerance: f64,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub remote: RemoteOptions,
}

pub fn run(args: VerifyArgs) -> Result<()> {
    let run = open::run_file(&args.file)?;
    let what = import::named(&args.file);
    check_verifiable(&what, &run)?;
    terminal::catch_interrupts();
    let model = open::made(&what, &run.header.model, &args.made, &args.remote)?;
    let found = model.verify(&what, &run)?;
    print(&args, &run, &model, &found)?;
    let most = found.report.max_difference();
    if most > args.tolerance {
        let number = found.report.largest.map_or("", |d| d.number.name());
        bail!("{what} differs by {most:.3e} in {number}, more than --tolerance {}", args.tolerance);
    }
    if let Some(first) = found.statements.first() {
        bail!("{what}: {first}");
    }
    Ok(())
}

fn print(args: &VerifyArgs, run: &Run, model: &Model, found: &Verification) -> Result<()> {
    let Verification { report: r, statements, complete } = found;
    if args.format == Format::Json {
        let object = json!({
            "identical": found.is_identical(),
            "max_difference": r.max_difference(),
            "report": r,
            "statements": statements,
            "complete": complete,
            "model": model.name(),
            "engine": model.engine(),
        });
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut out = format!("{} steps compared with {}\n", r.nodes, model.engine());
    for (number, count) in &r.numbers {
        let same = match count.identical {
            n if n == count.compared => "all the same to the last bit".into(),
            n => format!("{n} the same to the last bit"),
        };
        out.push_str(&format!("{:>9} {:<28} {same}\n", count.compared, number.name()));
    }
    for (which, d) in [("largest", &r.largest), ("first", &r.first)] {
        let Some(d) = d else { continue };
        out.push_str(&format!("{which} difference {}\n", place(d, run, model)));
    }
    if let Some(n) = r.reordered {
        out.push_str(&format!("the order of the most likely tokens differs first at node {}\n", n.0));
    }
    statements.iter().for_each(|s| out.push_str(&format!("{s}\n")));
    if !complete {
        out.push_str("interrupted before the end\n");
    }
    terminal::print(&out)
}

/// Where a difference was found, in words.
fn place(d: &Difference, run: &Run, model: &Model) -> String {
    let token = d.token.map_or(String::new(), |t| format!(" of token {:?}", model.text(t)));
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
