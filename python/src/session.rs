//! Sessions: trees of token paths whose next tokens can be asked for.

use crate::call::{Call, Here, Listener};
use crate::error;
use crate::vector::Vector;
use logitree::Model;
use logitree_core::{Distribution, NodeHandle, Query, TokenId, TokenStats};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Inner {
    session: Mutex<Box<dyn logitree_core::Session>>,
    /// All nodes that were given out have smaller ids than this.
    nodes: AtomicU32,
    model: Model,
    listener: Arc<Listener>,
}

/// An open session.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Session {
    inner: Here<Inner>,
}

impl Session {
    pub fn new(session: Box<dyn logitree_core::Session>, model: Model, listener: Arc<Listener>) -> Session {
        Session { inner: Here::new(Inner { session: Mutex::new(session), nodes: AtomicU32::new(0), model, listener }) }
    }
}

impl Inner {
    fn session(&self) -> MutexGuard<'_, Box<dyn logitree_core::Session>> {
        // A panic during an evaluation leaves no more than scratch memory in an odd state, so the session is still
        // usable.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses nodes that were never given out.
    fn check(&self, py: Python<'_>, name: &'static str, nodes: &[u32]) -> PyResult<()> {
        let given = self.nodes.load(Ordering::Relaxed);
        match nodes.iter().find(|&&n| n >= given) {
            None => Ok(()),
            Some(n) => {
                Err(error::parameter(py, name, format!("`{name}`: this session has no node {n}: push gives them")))
            }
        }
    }
}

#[pymethods]
impl Session {
    fn push_all(&self, py: Python<'_>, parent: Option<u32>, tokens: Vec<u32>) -> PyResult<Vec<u32>> {
        let inner = self.inner.get(py)?;
        inner.check(py, "parent", parent.as_slice())?;
        let tokens: Vec<TokenId> = tokens.into_iter().map(TokenId).collect();
        let made = Call::new(Some(&inner.listener))
            .whole(py, || Ok(inner.session().push_all(parent.map(NodeHandle), &tokens)?))?;
        let made: Vec<u32> = made.into_iter().map(|n| n.0).collect();
        inner.nodes.fetch_max(made.iter().max().map_or(0, |n| n + 1), Ordering::Relaxed);
        Ok(made)
    }

    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        nodes: Vec<u32>,
        top: usize,
        tokens: Vec<u32>,
        logits: bool,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let inner = self.inner.get(py)?;
        inner.check(py, "nodes", &nodes)?;
        let tokens: Vec<TokenId> = tokens.into_iter().map(TokenId).collect();
        let queries: Vec<Query<'_>> =
            nodes.into_iter().map(|n| Query { tokens: &tokens, logits, ..Query::top(NodeHandle(n), top) }).collect();
        let found = Call::new(Some(&inner.listener)).whole(py, || Ok(inner.session().evaluate(&queries)?))?;
        found.into_iter().map(|d| distribution(py, &inner.model, d)).collect()
    }

    fn release(&self, py: Python<'_>, node: u32) -> PyResult<()> {
        let inner = self.inner.get(py)?;
        inner.check(py, "node", &[node])?;
        py.detach(|| inner.session().release(NodeHandle(node)));
        Ok(())
    }
}

/// Ids, bytes, logprobs and ranks of tokens, as columns.
pub fn listed<'py>(py: Python<'py>, model: &Model, tokens: &[TokenStats]) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    columns.set_item("ids", tokens.iter().map(|t| t.id.0).collect::<Vec<_>>())?;
    let bytes = tokens.iter().map(|t| PyBytes::new(py, &model.token_bytes(t.id)));
    columns.set_item("bytes", PyList::new(py, bytes.collect::<Vec<_>>())?)?;
    columns.set_item("logprobs", tokens.iter().map(|t| t.logprob).collect::<Vec<_>>())?;
    columns.set_item("ranks", tokens.iter().map(|t| t.rank).collect::<Vec<_>>())?;
    Ok(columns)
}

/// A distribution's numbers by name.
pub fn distribution<'py>(py: Python<'py>, model: &Model, d: Distribution) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("top", listed(py, model, &d.top)?)?;
    fields.set_item("tokens", listed(py, model, &d.tokens)?)?;
    fields.set_item("entropy", d.entropy)?;
    fields.set_item("varentropy", d.varentropy)?;
    fields.set_item("logsumexp", d.logsumexp)?;
    fields.set_item("rest", d.rest())?;
    fields.set_item("exactness", d.exactness.name())?;
    let logprobs =
        |logits: &Vec<f32>| -> Vec<f32> { logits.iter().map(|&l| (f64::from(l) - d.logsumexp) as f32).collect() };
    fields.set_item("logprobs", d.logits.as_ref().map(|l| Vector::from(logprobs(l))))?;
    fields.set_item("logits", d.logits.map(Vector::from))?;
    Ok(fields)
}
