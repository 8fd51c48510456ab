//! Explorations: trees that grow while Python looks on.

use crate::call::{Call, Here, Level, Listener, tell_level};
use crate::error;
use crate::run::Run;
use logitree::output::Target;
use logitree::{Destination, Error, ErrorKind, Held, Limits, Model, Prompt, import};
use logitree_core::explore::{Keep, Strategy};
use logitree_core::{NodeId, TokenId};
use pyo3::prelude::*;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What to explore, and how.
pub struct Order<'a> {
    /// Name of the strategy.
    pub strategy: &'a str,
    /// Its parameters by name, in JSON.
    pub parameters: &'a str,
    /// Largest number of nodes.
    pub max_nodes: Option<usize>,
    /// Longest time of the exploration, in seconds.
    pub max_seconds: Option<f64>,
    /// What is kept of each distribution, in JSON.
    pub store_top: &'a str,
    /// Whether the hash of all logits of each step is kept.
    pub hash_logits: bool,
    /// Strings to watch.
    pub watch: Vec<String>,
    /// Run file to write.
    pub path: Option<PathBuf>,
    /// Whether an existing one may be overwritten.
    pub force: bool,
}

impl Order<'_> {
    /// Begins the exploration.
    pub fn begin(self, model: &Model, prompt: &Prompt) -> logitree::Result<logitree::Exploration> {
        let parameters: Map<String, Value> = serde_json::from_str(self.parameters)?;
        let strategy = Strategy::with(self.strategy, &parameters)?;
        let keep: Keep = serde_json::from_str(self.store_top)
            .map_err(|e| Error::new(ErrorKind::Parameter("store_top"), format!("`store_top`: {e}")))?;
        let Order { max_nodes, max_seconds, hash_logits, .. } = self;
        let limits = Limits { max_nodes, max_seconds, keep, hash_logits };
        let destination = match &self.path {
            None => Destination::Nowhere,
            Some(path) => Destination::Named(Target::check(path, self.force, &[])?),
        };
        logitree::Exploration::begin(model, prompt, strategy, &self.watch, &limits, destination)
    }
}

/// Resumes a run in its file. Budgets that are given replace the run's own.
pub fn resume(
    model: &Model,
    path: &Path,
    max_nodes: Option<usize>,
    max_seconds: Option<f64>,
) -> logitree::Result<logitree::Exploration> {
    let held = Held::open(path)?;
    let own = Limits::of(&import::run_file(path)?);
    let limits = Limits { max_nodes: max_nodes.or(own.max_nodes), max_seconds: max_seconds.or(own.max_seconds), ..own };
    logitree::Exploration::resume(model, held, Some(&limits))
}

struct Inner {
    /// Whether it is to end after the level that is being evaluated.
    stopping: AtomicBool,
    /// `None` after the exploration was finished and its run was returned.
    exploration: Mutex<Option<logitree::Exploration>>,
    listener: Arc<Listener>,
}

/// Why there is nothing to go on with.
fn taken() -> Error {
    Error::new(ErrorKind::Conflict, "this exploration is at its end, and its run was taken")
}

impl Inner {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<logitree::Exploration>> {
        self.exploration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exploration that goes on when it is asked to.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Exploration {
    inner: Here<Inner>,
}

/// How far the exploration is.
fn level(exploration: &logitree::Exploration) -> Level {
    let (tree, policy) = (exploration.tree(), exploration.policy());
    Level {
        nodes: tree.len(),
        open: policy.queue(tree),
        completed: policy.completed(),
        finished: tree.accounting().finished,
        threshold: policy.threshold(tree),
        rate: exploration.rate(),
    }
}

impl Exploration {
    pub fn new(exploration: logitree::Exploration, listener: Arc<Listener>) -> Exploration {
        let exploration = Mutex::new(Some(exploration));
        Exploration { inner: Here::new(Inner { stopping: AtomicBool::new(false), exploration, listener }) }
    }
}

#[pymethods]
impl Exploration {
    /// Goes on by one level: how far it is then, `None` at its end; and whether it was stopped.
    fn next_level<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, bool)> {
        let inner = self.inner.get(py)?;
        let (found, stopped) = Call::new(Some(&inner.listener)).partial(py, || {
            let mut held = inner.lock();
            let Some(exploration) = held.as_mut().filter(|_| !inner.is_stopping()) else { return Ok(None) };
            Ok(exploration.next_level()?.map(|_| level(exploration)))
        })?;
        Ok((found.map(|l| l.object(py)).transpose()?, stopped))
    }

    /// Goes on to the end, and gives the run; why the model failed, if it did; and whether it was stopped.
    fn run(&self, py: Python<'_>, progress: Option<Bound<'_, PyAny>>) -> PyResult<(Run, Option<PyErrValue>, bool)> {
        let inner = self.inner.get(py)?;
        let (found, stopped) = Call::telling(Some(&inner.listener), progress).partial(py, || {
            let mut exploration = inner.lock().take().ok_or_else(taken)?;
            while !inner.is_stopping() && exploration.next_level()?.is_some() {
                tell_level(|| level(&exploration));
            }
            exploration.finish()
        })?;
        let failure = found.failure.map(|e| error::exception(py, &e).into_value(py));
        Ok((found.run.into(), failure, stopped))
    }

    /// Ends it where it stands, and gives the run.
    fn finish(&self, py: Python<'_>) -> PyResult<Run> {
        let inner = self.inner.get(py)?;
        let found = Call::new(Some(&inner.listener)).whole(py, || inner.lock().take().ok_or_else(taken)?.finish())?;
        Ok(found.run.into())
    }

    /// Ends it after the level that is being evaluated, also from another thread.
    fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    /// The run as it is now.
    fn so_far(&self, py: Python<'_>) -> PyResult<Run> {
        let inner = self.inner.get(py)?;
        let found =
            Call::new(Some(&inner.listener)).whole(py, || Ok(inner.lock().as_ref().ok_or_else(taken)?.so_far()))?;
        Ok(found.into())
    }

    /// Writes on below a node: with this token, if there is one, then with the most likely ones, `steps` in all. Gives the
    /// nodes, and whether the work was stopped.
    fn expand(&self, py: Python<'_>, node: u32, token: Option<u32>, steps: usize) -> PyResult<(Vec<u32>, bool)> {
        let inner = self.inner.get(py)?;
        let (nodes, stopped) = Call::new(Some(&inner.listener)).partial(py, || {
            let mut held = inner.lock();
            let exploration = held.as_mut().ok_or_else(taken)?;
            let nodes = exploration.tree().len();
            if node as usize >= nodes {
                let message = format!("`node` {node}: the run has nodes 0 to {}", nodes - 1);
                return Err(Error::new(ErrorKind::Parameter("node"), message));
            }
            exploration.write_on(NodeId(node), token.map(TokenId), steps)
        })?;
        Ok((nodes.into_iter().map(|n| n.0).collect(), stopped))
    }
}

/// An exception as a value.
type PyErrValue = Py<pyo3::exceptions::PyBaseException>;
