//! `logitree show`: shows what is in a file.

use super::tree::summary_json;
use crate::options::{Format, ViewOptions};
use crate::{message, terminal};
use anyhow::Result;
use clap::Args;
use logitree::export::text::{self, shorten};
use logitree::import::{self, Document, Import, jsonl::Record};
use logitree::visible::visible;
use logitree_core::{metrics, verify};
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
    /// A run file, or the notebook's tree JSON or logprobs JSONL; `-` is standard input
    pub file: PathBuf,
    /// Paths to list [default: 10], or records [default: all]
    #[arg(long, value_name = "N")]
    pub paths: Option<usize>,
    #[command(flatten)]
    pub view: ViewOptions,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

pub fn run(args: ShowArgs) -> Result<()> {
    let Import { document, notes } = import::open(&args.file)?;
    let note = |text: &str| message::note(format_args!("{}: {text}", import::named(&args.file)));
    notes.iter().for_each(|text| note(text));
    let paths = args.paths.unwrap_or(10);
    let records_listed = args.paths.unwrap_or(usize::MAX);
    let text = match (document, args.format) {
        (Document::Run(run), format) => {
            if let Some(end) = &run.end {
                verify::end_differences(&run.tree, end).iter().for_each(|text| note(text));
            }
            match format {
                Format::Text => args.view.draw(&run) + &text::summary(&run, paths, terminal::style()),
                Format::Json => format!("{:#}\n", summary_json(&run, paths, &args.file, None)),
            }
        }
        (Document::Logprobs(records, bad), format) => {
            bad.messages().iter().for_each(|text| note(text));
            match format {
                Format::Text => records_text(&records, records_listed),
                Format::Json => format!(
                    "{:#}\n",
                    json!({
                        "records": records.iter().take(records_listed).map(totals).collect::<Vec<_>>(),
                        "of": records.len(),
                        "bad_lines": bad.messages(),
                    })
                ),
            }
        }
    };
    terminal::print(&text)
}

fn totals(r: &Record) -> serde_json::Value {
    let t = metrics::totals(r.data.iter().copied());
    json!({ "prompt": r.prompt, "response": r.response, "tokens": t.tokens, "total_bits": t.bits, "perplexity": t.perplexity })
}

fn records_text(records: &[Record], most: usize) -> String {
    let style = terminal::style();
    let mut out = String::new();
    let head =
        format!("{:>4}  {:>6}  {:>9}  {:>10}  {:>9}  prompt → response", "#", "tokens", "bits", "perplexity", "least");
    let _ = writeln!(out, "{}", style.paint("1", &head));
    for (i, r) in records.iter().take(most).enumerate() {
        let t = metrics::totals(r.data.iter().copied());
        let least = r.data.iter().min_by(|a, b| a.total_cmp(b));
        let least = least.map_or(String::new(), |l| text::percent(l.exp()));
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
    if records.len() > most {
        let _ = writeln!(out, "      and {} more: --paths {} lists all", records.len() - most, records.len());
    }
    out
}
