//! `logitree report`

use crate::export::atomic::Output;
use crate::{import, server};
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree report india.run.jsonl -o india.html
  logitree report india_capital_tree.json > india.html";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// A run file, or the notebook's tree JSON
    pub run: PathBuf,
    /// File to write; `-` is standard output. It appears whole or not at all
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
}

pub fn run(args: ReportArgs) -> Result<()> {
    let mut out = Output::create(&args.output)?;
    out.write_all(server::report::html(&import::open_run(&args.run)?)?.as_bytes())?;
    out.finish()
}
