//! `logitree show`

use super::tree::summary_json;
use crate::cli::{Format, ViewOptions};
use crate::export::text::{self, shorten};
use crate::import::{self, Document, jsonl::Record};
use crate::visible::visible;
use crate::{message, terminal};
use anyhow::Result;
use clap::Args;
use logitree_core::metrics;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree show the-capital-of-india-is.run.jsonl
  logitree show the-capital-of-india-is.run.jsonl --depth 6 --min-mass 0.001
  logitree show india_capital_tree.json --paths 20
  logitree show logprobs.jsonl";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// A run file, or the notebook's tree JSON or logprobs JSONL
    pub file: PathBuf,
    /// Paths to list
    #[arg(long, default_value_t = 10)]
    pub paths: usize,
    #[command(flatten)]
    pub view: ViewOptions,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

pub fn run(args: ShowArgs) -> Result<()> {
    let text = match (import::open(&args.file)?, args.format) {
        (Document::Run(run), Format::Text) => {
            if run.torn {
                message::note("the file ends in the middle of an event; everything before it is shown");
            }
            args.view.draw(&run) + &text::summary(&run, args.paths, terminal::style())
        }
        (Document::Run(run), Format::Json) => format!("{:#}\n", summary_json(&run, args.paths, &args.file, None)),
        (Document::Logprobs(records, bad), format) => {
            bad.iter().for_each(|b| message::line(format_args!("{}: {b}", args.file.display())));
            match format {
                Format::Text => records_text(&records),
                Format::Json => format!(
                    "{:#}\n",
                    json!({ "records": records.iter().map(totals).collect::<Vec<_>>(), "bad_lines": bad })
                ),
            }
        }
    };
    terminal::print(&text)
}

fn totals(r: &Record) -> serde_json::Value {
    let t = metrics::totals(r.data.iter().map(|s| s.logprob));
    json!({ "prompt": r.prompt, "response": r.response, "tokens": t.tokens, "total_bits": t.bits, "perplexity": t.perplexity })
}

fn records_text(records: &[Record]) -> String {
    let style = terminal::style();
    let mut out = String::new();
    let head =
        format!("{:>4}  {:>6}  {:>9}  {:>10}  {:>9}  prompt → response", "#", "tokens", "bits", "perplexity", "least");
    let _ = writeln!(out, "{}", style.paint("1", &head));
    for (i, r) in records.iter().enumerate() {
        let t = metrics::totals(r.data.iter().map(|s| s.logprob));
        let least = r.data.iter().min_by(|a, b| a.logprob.total_cmp(&b.logprob));
        let least = least.map_or(String::new(), |s| text::percent(s.logprob.exp()));
        let words = format!("{} → {}", visible(&r.prompt), visible(r.response.trim_start()));
        let words = shorten(&words, style.width.saturating_sub(48).max(20));
        let _ = writeln!(
            out,
            "{:>4}  {:>6}  {:>9.2}  {:>10.4}  {least:>9}  {words}",
            i + 1,
            t.tokens,
            t.bits,
            t.perplexity
        );
    }
    out
}
