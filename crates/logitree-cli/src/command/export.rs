//! `logitree export`: writes a run in another format.

use crate::open;
use anyhow::Result;
use clap::{Args, ValueEnum};
use logitree::export::{self, Format};
use logitree::output::Target;
use logitree::{Context, import};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree export india.run.jsonl --to tree-json -o india_tree.json
  logitree export india.run.jsonl --to csv | head
  logitree export india.run.jsonl --to dot | dot -Tsvg > india.svg
  logitree export india.run.jsonl --to graphml -o india.graphml
  logitree export india.run.jsonl --to mermaid";

/// Formats that a run can be exported to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The notebook's nested tree
    TreeJson,
    /// The notebook's logprobs records, one per completed path
    Jsonl,
    /// One row per node
    Csv,
    /// The same rows as Parquet
    Parquet,
    /// Graphviz
    Dot,
    /// A graph with all numbers, for networkx, igraph, Gephi and yEd
    Graphml,
    /// A chart of the 100 likeliest nodes, which Markdown pages show
    Mermaid,
    /// The summary
    Text,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Format {
        match format {
            ExportFormat::TreeJson => Format::TreeJson,
            ExportFormat::Jsonl => Format::Jsonl,
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Parquet => Format::Parquet,
            ExportFormat::Dot => Format::Dot,
            ExportFormat::Graphml => Format::Graphml,
            ExportFormat::Mermaid => Format::Mermaid,
            ExportFormat::Text => Format::Text,
        }
    }
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// A run file, or the notebook's tree JSON; `-` is standard input
    pub run: PathBuf,
    /// Format to write
    #[arg(long, value_enum)]
    pub to: ExportFormat,
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
    let run = open::run_file(&args.run)?;
    let format = Format::from(args.to);
    let written = target.write(format.form(), |out| export::export(&run, format, !args.no_full_text, out));
    Ok(written.with_context(|| import::named(&args.run))?)
}
