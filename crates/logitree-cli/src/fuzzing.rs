//! Readers of this crate that take whatever bytes there are, for the fuzz targets. No promise is made to anybody else.

use crate::command::experiment;
use anyhow::Result;

/// An experiment's text, as far as it is understood before any model is loaded: how many runs it is.
///
/// # Errors
/// What `logitree run` would say.
pub fn experiment(text: &str) -> Result<usize> {
    experiment::runs_of(text)
}
