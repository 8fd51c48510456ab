//! Analyses: two models or two runs side by side, where an answer was decided, what made a text likely.

use crate::call::Call;
use crate::error;
use crate::model::{Hearer, Model, Opened, reader};
use crate::prompt::Prompt;
use crate::run::Run;
use crate::table::Table;
use logitree::compare::{self, Comparison, Side, bits_per_byte};
use logitree::export;
use logitree::{AttributeOptions, DecideOptions, Parts};
use logitree_core::NodeId;
use logitree_core::compare::{Estimate, Spread, Summary, summarise};
use logitree_core::spans::Unit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

fn estimate(e: Estimate) -> (f64, f64) {
    (e.mean, e.error)
}

fn spread(s: Spread) -> (f64, f64, f64, f64, f64, f64) {
    (s.mean.mean, s.mean.error, s.median, s.p99, s.p999, s.max)
}

fn summary<'py>(py: Python<'py>, s: &Summary) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("tokens", s.tokens)?;
    fields.set_item("logprob", (s.logprob[0], s.logprob[1]))?;
    fields.set_item("perplexity", s.perplexity.map(estimate))?;
    fields.set_item("perplexity_ratio", estimate(s.ratio))?;
    fields.set_item("kl_ab", spread(s.kl_ab))?;
    fields.set_item("kl_ba", spread(s.kl_ba))?;
    fields.set_item("js", spread(s.js))?;
    fields.set_item("agreement", estimate(s.agreement))?;
    fields.set_item("prob_change", estimate(s.change))?;
    fields.set_item("rms_prob_change", s.rms_change)?;
    fields.set_item("first_flip", s.first_flip.map(|i| i + 1))?;
    Ok(fields)
}

/// A text under two models, each after a prompt of its own if there is one: the table; the summary of tokens, or bytes,
/// logprobs and bits per byte of pieces; whether all of it was compared; and whether the work was stopped.
#[pyfunction]
pub fn compare_texts(
    py: Python<'_>,
    model: &Model,
    other: &Model,
    text: &str,
    after: Option<&Prompt>,
    other_after: Option<&Prompt>,
    progress: Hearer<'_>,
) -> PyResult<(Table, Py<PyDict>, bool, bool)> {
    let Opened { model: a, listener } = model.opened.get(py)?;
    let b = &other.opened.get(py)?.model;
    let after = after.map(|p| p.text(py, "compare")).transpose()?;
    let other_after = other_after.map(|p| p.text(py, "compare")).transpose()?;
    let side = |model, after: Option<_>| match after {
        None => Side::of_text(model, text),
        Some(given) => Side::after(model, given, text),
    };
    let ((found, table), stopped) = Call::telling(Some(listener), progress).partial(py, || {
        let found = compare::compare(&side(a, after)?, &side(b, other_after)?)?;
        let table = match &found {
            Comparison::Steps { steps, .. } => export::compare::steps(a, steps).batch(),
            Comparison::Pieces { pieces, .. } => export::compare::pieces(pieces).batch(),
        }?;
        Ok((found, table))
    })?;
    let (fields, whole) = match &found {
        Comparison::Steps { steps, asked } => {
            let fields = summarise(steps).map_or_else(|| Ok(PyDict::new(py)), |s| summary(py, &s))?;
            (fields, steps.len() == *asked)
        }
        Comparison::Pieces { pieces, interrupted } => {
            let (bytes, logprob, bits) = bits_per_byte(pieces);
            let fields = PyDict::new(py);
            fields.set_item("bytes", bytes)?;
            fields.set_item("logprob", (logprob[0], logprob[1]))?;
            fields.set_item("bits_per_byte", (bits[0], bits[1]))?;
            (fields, !interrupted)
        }
    };
    Ok((table.into(), fields.unbind(), whole, stopped))
}

/// Two runs side by side: the table, and the figures by name.
#[pyfunction]
pub fn compare_runs<'py>(py: Python<'py>, a: &Run, b: &Run) -> PyResult<(Table, Bound<'py, PyDict>)> {
    let runs = [&a.run, &b.run];
    let (found, same_ids, table) = Call::new(None).whole(py, || {
        let (found, same_ids) = compare::compare_runs(runs[0], runs[1]);
        let table = export::compare::nodes(runs, &found).batch()?;
        Ok((found, same_ids, table))
    })?;
    let node = |side: usize, n: NodeId| {
        let run = runs[side];
        let token = run.tree.token(n).map_or(String::new(), |t| String::from_utf8_lossy(run.bytes(t)).into_owned());
        (n.0, token, run.text(n), run.tree.logprob(n), run.tree.mass(n))
    };
    let fork = found.fork.map(|f| {
        let [next_a, next_b] = [0, 1].map(|side| f.next[side].map(|n| node(side, n)));
        ((f.node[0].0, f.node[1].0), runs[0].text(f.node[0]), next_a, next_b)
    });
    let fields = PyDict::new(py);
    fields.set_item("same_ids", same_ids)?;
    fields.set_item("shared", found.shared.len())?;
    fields.set_item("only", (found.only[0].len(), found.only[1].len()))?;
    fields.set_item("only_mass", (found.only_mass[0], found.only_mass[1]))?;
    fields.set_item("moved", found.moved)?;
    fields.set_item("fork", fork)?;
    Ok((table.into(), fields))
}

/// How likely each answer is along a text: the command's JSON, the table, and whether the work was stopped.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn decide(
    py: Python<'_>,
    model: &Model,
    prompt: &Prompt,
    text: Option<&str>,
    choices: Option<Vec<String>>,
    pattern: Option<&str>,
    normalize: bool,
    max_new_tokens: usize,
    tolerance: f64,
    max_depth: usize,
    max_nodes: usize,
    batch: usize,
    progress: Hearer<'_>,
) -> PyResult<(String, Table, bool)> {
    let Opened { model, listener } = model.opened.get(py)?;
    let given = prompt.text(py, "decide")?;
    let options = DecideOptions { max_new_tokens, tolerance, max_depth, max_nodes, batch };
    let ((object, table), stopped) = Call::telling(Some(listener), progress).partial(py, || {
        let reader = reader(choices.as_deref(), pattern, normalize)?;
        let curve = model.decide(given, text, &reader, &options)?;
        let table = export::decide::table(model, &curve).batch()?;
        Ok((export::decide::json(model, &curve, tolerance).to_string(), table))
    })?;
    Ok((object, table.into(), stopped))
}

/// A text after a prompt: number of its tokens, and its logprob.
type Whole = (usize, f64);

/// What the parts of a prompt contribute to the probability of texts: the table; of each text its number of tokens and
/// its logprob after the prompt; the number of parts; and whether the work was stopped.
#[pyfunction]
pub fn attribute(
    py: Python<'_>,
    model: &Model,
    prompt: &Prompt,
    texts: Vec<String>,
    by: &str,
    replacement: Option<String>,
    progress: Hearer<'_>,
) -> PyResult<(Table, Vec<Whole>, usize, bool)> {
    let Opened { model, listener } = model.opened.get(py)?;
    let given = prompt.text(py, "attribute")?;
    let by = match by {
        "token" => Parts::Tokens,
        "word" => Parts::Units(Unit::Word),
        "line" => Parts::Units(Unit::Line),
        "sentence" => Parts::Units(Unit::Sentence),
        "turn" => Parts::Turns,
        _ => {
            let message = format!("`by` {by:?}: there are token, word, line, sentence, turn");
            return Err(error::parameter(py, "by", message));
        }
    };
    let options = AttributeOptions { by, replacement };
    let ((found, table), stopped) = Call::telling(Some(listener), progress).partial(py, || {
        let found = model.attribute(given, &texts, &options)?;
        let table = export::attribute::table(&texts, &found).batch()?;
        Ok((found, table))
    })?;
    let whole = found.texts.iter().zip(&found.logprobs).map(|(tokens, &logprob)| (tokens.len(), logprob));
    Ok((table.into(), whole.collect(), found.parts, stopped))
}
