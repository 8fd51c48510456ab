//! Generations: texts that are made token by token.

use crate::call::{Call, Here, Listener};
use crate::scores;
use logitree::{Model, StopReason};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Arc, Mutex, PoisonError};

struct Inner {
    generation: Mutex<logitree::Generation>,
    model: Model,
    listener: Arc<Listener>,
    top: usize,
}

/// A generation that goes on when it is asked to.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Generation {
    inner: Here<Inner>,
}

impl Generation {
    pub fn new(generation: logitree::Generation, model: Model, listener: Arc<Listener>, top: usize) -> Generation {
        Generation { inner: Here::new(Inner { generation: Mutex::new(generation), model, listener, top }) }
    }
}

#[pymethods]
impl Generation {
    /// Up to so many further tokens as columns, all that are to come if `None`; why it ended, if it has; and whether
    /// it was stopped.
    fn steps<'py>(
        &self,
        py: Python<'py>,
        most: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyDict>, Option<&'static str>, bool)> {
        let inner = self.inner.get(py)?;
        let call = Call::telling(Some(&inner.listener), progress);
        let ((tokens, watch, stop), stopped) = call.partial(py, || {
            let mut generation = inner.generation.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tokens = Vec::new();
            for token in generation.by_ref().take(most.unwrap_or(usize::MAX)) {
                tokens.push(token?);
                logitree::Events::progress(
                    &*inner.listener,
                    logitree::Progress::Words(&|| format!("{} tokens", tokens.len())),
                );
            }
            Ok((tokens, generation.watch().to_vec(), generation.stop()))
        })?;
        let columns = scores::columns(py, &inner.model, &tokens, &watch, inner.top)?;
        Ok((columns, stop.map(StopReason::name), stopped))
    }
}
