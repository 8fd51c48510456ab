//! `logitree export`

use crate::export::atomic::Output;
use crate::export::{Format, export};
use crate::import;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree export india.run.jsonl --to tree-json -o india_tree.json
  logitree export india.run.jsonl --to csv | head
  logitree export india.run.jsonl --to dot | dot -Tsvg > india.svg";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// A run file, or the notebook's tree JSON
    pub run: PathBuf,
    /// Format to write
    #[arg(long, value_enum)]
    pub to: Format,
    /// File to write; `-` is standard output. It appears whole or not at all
    #[arg(short, long, default_value = "-")]
    pub output: PathBuf,
    /// Leave `full_text` out of tree JSON
    #[arg(long)]
    pub no_full_text: bool,
}

pub fn run(args: ExportArgs) -> Result<()> {
    let mut out = Output::create(&args.output)?;
    let run = import::open_run(&args.run)?;
    export(&run, args.to, !args.no_full_text, &mut out)?;
    out.finish()
}
