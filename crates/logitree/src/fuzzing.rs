//! Readers of this crate that take whatever bytes there are, for the fuzz targets. No promise is made to anybody else.

use crate::command::experiment;
use crate::export::{Format, export};
use crate::import::{self, Document};
use anyhow::Result;
use clap::ValueEnum;
use logitree_core::run::Run;

/// The run in a file of any kind; nothing if it holds records.
///
/// # Errors
/// If it is none that is known.
pub fn import(file: &[u8]) -> Result<Option<Run>> {
    Ok(match import::read(file)?.document {
        Document::Run(run) => Some(*run),
        Document::Logprobs(..) => None,
    })
}

/// The notebook's tree, whatever kind of file its first bytes speak of.
///
/// # Errors
/// If it is none.
pub fn tree_json(file: &[u8]) -> Result<Run> {
    import::tree_json::read(file, &mut Vec::new())
}

/// How many of the lines are records, and how many are not.
///
/// # Errors
/// If none is.
pub fn records(file: &[u8]) -> Result<(usize, usize)> {
    let (records, bad) = import::jsonl::read(file, &mut Vec::new())?;
    Ok((records.len(), bad.count))
}

/// An experiment's text, as far as it is understood before any model is loaded: how many runs it is.
///
/// # Errors
/// What `logitree run` would say.
pub fn experiment(text: &str) -> Result<usize> {
    experiment::runs_of(text)
}

/// The run in every format that it can be exported to, of which nothing is kept.
///
/// # Errors
/// What `logitree export` would say.
pub fn export_all(run: &Run) -> Result<()> {
    Format::value_variants().iter().try_for_each(|&format| export(run, format, true, &mut std::io::sink()))
}
