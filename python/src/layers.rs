//! What each layer of a model would have predicted, as columns.

use crate::call::Call;
use crate::session::listed;
use crate::table::Table;
use logitree::Model;
use logitree::export::layers::{Place, table};
use logitree_core::layers::LayerDistributions;
use logitree_core::{Distribution, TokenStats};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The layers at a place of this name: the layer that decides; the tokens in the order in which they are shown, with
/// logits and rests; by layer the most likely token, the entropy, and of each token the logprob, the rank and the part
/// of the logit; and all as a table.
pub fn fields<'py>(
    py: Python<'py>,
    model: &Model,
    name: String,
    found: &LayerDistributions,
) -> PyResult<Bound<'py, PyDict>> {
    let order = found.in_order();
    let last: &[TokenStats] = found.layers.last().map_or(&[], |d| &d.tokens);
    let shown: Vec<TokenStats> = order.iter().filter_map(|&i| last.get(i).copied()).collect();
    let best: Vec<TokenStats> = found.layers.iter().filter_map(|d| d.top.first().copied()).collect();
    let of = |d: &Distribution| order.iter().filter_map(|&i| d.tokens.get(i).copied()).collect::<Vec<_>>();
    let stats: Vec<Vec<TokenStats>> = found.layers.iter().map(of).collect();
    let by_layer = |value: &dyn Fn(&TokenStats) -> f64| -> Vec<Vec<f64>> {
        stats.iter().map(|layer| layer.iter().map(value).collect()).collect()
    };
    let part = |layer: usize| order.iter().map(|&i| found.parts[i].parts[layer]).collect::<Vec<f64>>();
    let fields = PyDict::new(py);
    fields.set_item("decided", found.decided())?;
    fields.set_item("tokens", listed(py, model, &shown)?)?;
    fields.set_item("logits", order.iter().map(|&i| found.parts[i].logit).collect::<Vec<_>>())?;
    fields.set_item("rests", order.iter().map(|&i| found.parts[i].rest()).collect::<Vec<_>>())?;
    fields.set_item("best", listed(py, model, &best)?)?;
    fields.set_item("entropies", found.layers.iter().map(|d| d.entropy).collect::<Vec<_>>())?;
    fields.set_item("logprobs", by_layer(&|t| t.logprob))?;
    fields.set_item("ranks", stats.iter().map(|l| l.iter().map(|t| t.rank).collect()).collect::<Vec<Vec<u32>>>())?;
    fields.set_item("parts", (0..found.layers.len()).map(part).collect::<Vec<_>>())?;
    let rows = Call::new(None).whole(py, || table(model, &[Place { name, found }]).batch())?;
    fields.set_item("table", Py::new(py, Table::from(rows))?)?;
    Ok(fields)
}
