//! Readers of untrusted input in this crate, for the fuzz targets. This is not a stable interface.

use crate::command::experiment;
use anyhow::Result;

/// Checks an experiment's text as far as this is possible without loading a model, and returns how many runs it asks
/// for.
///
/// # Errors
/// If `logitree run` would refuse the text.
pub fn experiment(text: &str) -> Result<usize> {
    experiment::runs_of(text)
}
