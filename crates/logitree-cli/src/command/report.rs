//! `logitree report`: writes a run with the web app as one HTML file.

use crate::open;
use anyhow::Result;
use clap::Args;
use logitree::output::{Form, Target};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree report india.run.jsonl -o india.html
  logitree report india_capital_tree.json > india.html";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// A run file, or the notebook's tree JSON; `-` is standard input
    pub run: PathBuf,
    /// File to write; `-` is standard output. It appears whole or not at all, and an existing file stays without --force
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

pub fn run(args: ReportArgs) -> Result<()> {
    let target = Target::check(&args.output, args.force, &[&args.run])?;
    let html = logitree_server::report::html(&open::run_file(&args.run)?)?;
    // The page allows its scripts by their hashes, so its bytes must be written unchanged.
    Ok(target.write(Form::Table, |out| Ok(out.write_all(html.as_bytes())?))?)
}
