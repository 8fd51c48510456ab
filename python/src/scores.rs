//! Scored tokens as columns.

use crate::vector::Vector;
use logitree::export::jsonl::{self, RecordedToken};
use logitree::{Model, ScoredToken};
use logitree_core::TokenStats;
use logitree_core::run::Watch;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// The columns of scored tokens, with `top` alternatives each.
pub fn columns<'py>(
    py: Python<'py>,
    model: &Model,
    tokens: &[ScoredToken],
    watch: &[Watch],
    top: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let bytes = |id| PyBytes::new(py, &model.token_bytes(id));
    let listed = |s: &'_ ScoredToken| -> Vec<TokenStats> { s.top.iter().take(top).copied().collect() };
    let columns = PyDict::new(py);
    columns.set_item("token_ids", Vector::from(tokens.iter().map(|s| s.token.id.0).collect::<Vec<_>>()))?;
    columns.set_item("bytes", PyList::new(py, tokens.iter().map(|s| bytes(s.token.id)).collect::<Vec<_>>())?)?;
    columns.set_item("special", tokens.iter().map(|s| model.is_special(s.token.id)).collect::<Vec<_>>())?;
    columns.set_item("logprobs", Vector::from(tokens.iter().map(|s| s.token.logprob).collect::<Vec<_>>()))?;
    columns.set_item("ranks", Vector::from(tokens.iter().map(|s| s.token.rank).collect::<Vec<_>>()))?;
    columns.set_item("varentropies", Vector::from(tokens.iter().map(|s| s.varentropy).collect::<Vec<_>>()))?;
    columns.set_item("entropies", Vector::from(tokens.iter().map(|s| s.entropy).collect::<Vec<_>>()))?;
    columns.set_item("exactness", tokens.iter().map(|s| s.exactness.name()).collect::<Vec<_>>())?;
    columns.set_item("forced", tokens.iter().map(|s| s.forced).collect::<Vec<_>>())?;
    let top: Vec<Vec<TokenStats>> = tokens.iter().map(listed).collect();
    columns.set_item("top_ids", top.iter().map(|l| l.iter().map(|t| t.id.0).collect()).collect::<Vec<Vec<_>>>())?;
    columns
        .set_item("top_logprobs", top.iter().map(|l| l.iter().map(|t| t.logprob).collect()).collect::<Vec<Vec<_>>>())?;
    columns
        .set_item("top_bytes", top.iter().map(|l| l.iter().map(|t| bytes(t.id)).collect()).collect::<Vec<Vec<_>>>())?;
    let watched = PyDict::new(py);
    for (i, w) in watch.iter().enumerate() {
        watched
            .set_item(&w.text, tokens.iter().filter_map(|s| s.watched.get(i)).map(|w| w.logprob).collect::<Vec<_>>())?;
    }
    columns.set_item("watch", watched)?;
    Ok(columns)
}

/// A token of a record: its text, its logprob, and its step's most likely tokens as bytes and logprobs.
type Step = (String, f64, Vec<(Vec<u8>, f64)>);

/// A line of the notebook's logprobs JSONL.
#[pyfunction]
pub fn record(prompt: &str, response: &str, steps: Vec<Step>) -> String {
    let recorded: Vec<RecordedToken<'_>> = steps
        .iter()
        .map(|(text, logprob, top)| RecordedToken {
            text: text.clone(),
            logprob: *logprob,
            top: top.iter().map(|(b, l)| (&b[..], *l)).collect(),
        })
        .collect();
    jsonl::record(prompt, response, &recorded)
}
