//! Runs as a sampler would see them.

use crate::call::Call;
use crate::error;
use crate::run::Run;
use logitree::{Error, ErrorKind};
use logitree_core::lens::{self, TooShort, Within};
use logitree_core::{NodeId, TokenId};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// A sampler's settings.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Lens {
    lens: lens::Lens,
}

/// A token with its probability before and after: id, bytes, before, lower and upper bound after.
type Seen<'py> = (u32, Bound<'py, PyBytes>, f64, f64, f64);

/// A path with its probability before and, if it is bounded, after.
type Path = (u32, String, f64, Option<Within>);

fn prompt(run: &logitree_core::run::Run) -> impl Iterator<Item = TokenId> {
    run.header.prompt.tokens.iter().map(|t| t.id)
}

fn why(short: TooShort) -> &'static str {
    match short {
        TooShort::List => "the list is too short, even for bounds: tokens that are not listed may be kept",
        TooShort::Logits => "a repetition penalty needs logits, which this record does not have",
    }
}

#[pymethods]
impl Lens {
    #[new]
    fn new(temperature: f64, top_k: usize, top_p: f64, min_p: f64, typical_p: f64, repetition_penalty: f64) -> Lens {
        Lens { lens: lens::Lens { temperature, top_k, top_p, min_p, typical_p, repetition_penalty } }
    }

    /// The whole run: paths, likeliest for the sampler first; and the figures by name, each probability as its bounds.
    fn view<'py>(&self, py: Python<'py>, run: &Run) -> PyResult<(Vec<Path>, Bound<'py, PyDict>)> {
        let (run, tree) = (&run.run, &run.run.tree);
        let (view, paths) = Call::new(None).whole(py, || {
            if tree.nodes().all(|n| tree.expansion(n).is_none_or(|e| e.top.is_empty())) {
                return Err(Error::new(
                    ErrorKind::Input,
                    "the run stores no lists of tokens: there is nothing to look at",
                ));
            }
            let view = lens::view(tree, &prompt(run).collect::<Vec<_>>(), run.header.model.vocab, &self.lens);
            let path = |n: NodeId| (n.0, run.text(n), tree.mass(n), view.mass[n.index()]);
            let paths: Vec<Path> = view.ranked_leaves(tree).into_iter().map(path).collect();
            Ok((view, paths))
        })?;
        let fields = PyDict::new(py);
        for (name, mass) in [
            ("finished", view.finished),
            ("frontier", view.frontier),
            ("pruned", view.pruned),
            ("unknown", view.unknown),
        ] {
            fields.set_item(name, (mass[0], mass[1]))?;
        }
        fields.set_item("kept", view.kept)?;
        fields.set_item("cut", view.cut)?;
        fields.set_item("bounded", view.bounded)?;
        fields.set_item("short", view.short.iter().map(|&(n, e)| (n.0, why(e))).collect::<Vec<_>>())?;
        Ok((paths, fields))
    }

    /// The tokens after one node.
    fn look<'py>(&self, py: Python<'py>, run: &Run, node: u32) -> PyResult<Vec<Seen<'py>>> {
        let n = run.node_of(py, node)?;
        let run = &run.run;
        let Some(e) = run.tree.expansion(n) else {
            let message = format!("`node` {node} was not expanded, so nothing is known after it");
            return Err(error::parameter(py, "node", message));
        };
        let before = prompt(run).chain(run.tree.path(n)).collect();
        let seen = self.lens.look(e, run.header.model.vocab, &before);
        let seen = seen.map_err(|e| error::parameter(py, "node", format!("`node` {node}: {}", why(e))))?;
        let bytes = |id| PyBytes::new(py, run.bytes(id));
        Ok(seen.iter().map(|s| (s.id.0, bytes(s.id), s.before, s.after[0], s.after[1])).collect())
    }
}
