//! Writes runs in other formats, with one file for each format.

pub mod attribute;
mod chain;
pub mod compare;
pub mod decide;
pub mod dot;
#[cfg(feature = "parquet")]
pub mod experiment;
pub mod graphml;
pub mod jsonl;
pub mod layers;
pub mod mermaid;
pub mod next;
pub mod nodes;
pub mod python;
pub mod table;
pub mod terminal_tree;
pub mod text;
pub mod tree_json;

use crate::output::Form;
use logitree_core::run::Run;
use std::io::Write;

/// Formats that a run can be exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The notebook's nested tree.
    TreeJson,
    /// The notebook's logprobs records, one per completed path.
    Jsonl,
    /// One row per node.
    Csv,
    /// The rows of the CSV as Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
    /// A graph for Graphviz.
    Dot,
    /// A graph with all numbers, for tools that work on graphs.
    Graphml,
    /// A chart of the likeliest nodes for Markdown pages.
    Mermaid,
    /// The summary as text.
    Text,
}

impl Format {
    /// All formats with their names.
    pub const ALL: &[(&str, Format)] = &[
        ("tree-json", Format::TreeJson),
        ("jsonl", Format::Jsonl),
        ("csv", Format::Csv),
        #[cfg(feature = "parquet")]
        ("parquet", Format::Parquet),
        ("dot", Format::Dot),
        ("graphml", Format::Graphml),
        ("mermaid", Format::Mermaid),
        ("text", Format::Text),
    ];

    /// Whether and how this format may be shown on a terminal.
    pub fn form(self) -> Form {
        match self {
            Format::TreeJson | Format::Jsonl | Format::Dot | Format::Graphml | Format::Mermaid | Format::Text => {
                Form::Text
            }
            Format::Csv => Form::Table,
            #[cfg(feature = "parquet")]
            Format::Parquet => Form::Binary,
        }
    }
}

/// Writes a run in a format.
///
/// # Errors
/// If the output cannot be written, or the format cannot represent this run.
pub fn export(run: &Run, format: Format, full_text: bool, out: &mut (dyn Write + Send)) -> crate::Result<()> {
    match format {
        Format::TreeJson => tree_json::write(run, full_text, out)?,
        Format::Jsonl => jsonl::write(run, out)?,
        Format::Csv => nodes::table(run).csv(out)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => nodes::table(run).parquet("nodes", out)?,
        Format::Dot => dot::write(run, out)?,
        Format::Graphml => graphml::write(run, out)?,
        Format::Mermaid => mermaid::write(run, out)?,
        Format::Text => {
            let style = text::Style { width: 100, colour: false };
            out.write_all(text::summary(run, usize::MAX, style).as_bytes())?;
        }
    }
    Ok(())
}
