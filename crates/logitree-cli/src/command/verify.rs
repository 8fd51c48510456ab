//! `logitree verify`: runs a stored run's steps again and compares every number.

use crate::options::{self, Format, MadeOptions, RemoteOptions};
use crate::{open, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree::export::text::shorten;
use logitree::visible::visible;
use logitree::{Model, ORDER_TOLERANCE, Verification, check_verifiable, import};
use logitree_core::run::Run;
use logitree_core::verify::{Difference, Number};
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree verify the-capital-of-india-is.run.jsonl
  logitree verify run.jsonl -m gemma-3-270m --format json

Runs every recorded step again and compares each stored number: lists, logprobs, entropies, logsumexps, watched \
strings, thresholds, hashes of all logits (`tree --hash-logits`), and what the closing line says. Exact arithmetic gives the same bits on every machine; a \
difference means another version, another engine or a changed file. A run made by a version whose sums had another \
order says so, and differs in last bits. Of servers, only logprobs and watched strings are compared.";

/// How much numbers may differ, in nats, where sums had the same order: servers vary.
const TOLERANCE: f64 = 1e-4;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// A run file; `-` is standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub made: MadeOptions,
    /// Differences up to this many nats are accepted [default: 0.0001; 0.0005 if the run's sums had another order]
    #[arg(long, value_parser = options::non_negative, value_name = "NATS")]
    pub tolerance: Option<f64>,
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
    let default = if found.other_order.is_some() { ORDER_TOLERANCE } else { TOLERANCE };
    let tolerance = args.tolerance.unwrap_or(default);
    print(&args, &run, &model, &found, tolerance)?;
    if let Some((number, count)) = found.beyond(tolerance) {
        let why = match (found.other_order, run.header.model.arithmetic.as_deref()) {
            (Some(_), Some("8-bit")) => {
                "; activations rounded to 8 bits differ by up to about a nat in another order of sums"
            }
            _ => "",
        };
        let (most, name) = (count.largest, number.name());
        bail!("{what} differs by {most:.3e} in {name}, more than --tolerance {tolerance}{why}");
    }
    if let Some(first) = found.statements.first() {
        bail!("{what}: {first}");
    }
    Ok(())
}

fn print(args: &VerifyArgs, run: &Run, model: &Model, found: &Verification, tolerance: f64) -> Result<()> {
    let Verification { report: r, statements, complete, recorded_orders, other_order, .. } = found;
    if args.format == Format::Json {
        let object = json!({
            "identical": found.is_identical(),
            "max_difference": r.max_difference(),
            "report": r,
            "confirmed": found.is_confirmed(),
            "statements": statements,
            "complete": complete,
            "recorded_orders": recorded_orders,
            "other_order": other_order,
            "model": model.name(),
            "engine": model.engine(),
        });
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut out = format!("{} steps compared with {}\n", r.nodes, model.engine());
    for (number, count) in &r.numbers {
        let same = match count.identical {
            n if n == count.compared => "all the same to the last bit".into(),
            n if *number == Number::Logits => format!("{n} the same"),
            n => format!("{n} the same to the last bit, others by up to {:.1e}", count.largest),
        };
        out.push_str(&format!("{:>9} {:<28} {same}\n", count.compared, number.name()));
    }
    if let Some(order) = other_order {
        let orders: Vec<String> = recorded_orders.iter().map(u32::to_string).collect();
        out.push_str(&format!(
            "made with sums in order {}, and this version has order {order}: the last bits may differ, up to --tolerance {tolerance}\n",
            orders.join(" and ")
        ));
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
    if d.number == Number::Logits {
        let text = shorten(&visible(&run.text(d.node)), 40);
        return format!("in the hash of all logits after node {} ({text:?})", d.node.0);
    }
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
