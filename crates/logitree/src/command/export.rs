//! `logitree export`

use crate::export::{Format, export, jsonl};
use crate::output::Target;
use crate::{import, message};
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
    /// A run file, or the notebook's tree JSON; `-` is standard input
    pub run: PathBuf,
    /// Format to write
    #[arg(long, value_enum)]
    pub to: Format,
    /// File to write; `-` is standard output. It appears whole or not at all, and an existing file stays without --force
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// Leave `full_text` out of tree JSON
    #[arg(long)]
    pub no_full_text: bool,
}

pub fn run(args: ExportArgs) -> Result<()> {
    let target = Target::check(&args.output, args.force, &[&args.run])?;
    let run = import::open_run(&args.run)?;
    if args.to == Format::Jsonl && jsonl::completed(&run).is_empty() {
        message::note(format_args!(
            "{}: no path is complete, so there is no record to write; csv, parquet and tree-json have all nodes",
            import::named(&args.run)
        ));
    }
    target.write(args.to.form(), |out| export(&run, args.to, !args.no_full_text, out))
}
