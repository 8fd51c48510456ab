//! Opens models.

use super::{Engine, Model};
use crate::error::{Context, Error, ErrorKind, Result, fail};
use crate::events::{Events, Quiet};
use crate::models;
use logitree_engine::{Arithmetic, Backend, Compute, LocalModel};
use std::sync::Arc;

/// How a model is opened. By default it uses every core, the fastest instruction set and its arithmetic, and reports
/// nothing.
#[derive(Clone)]
pub struct OpenOptions {
    /// Number of threads; all cores if `None`.
    pub threads: Option<usize>,
    /// Name of the instruction set; the fastest if `None`. The results are the same bits with any of them.
    pub backend: Option<String>,
    /// How activations are multiplied with weights; if `None`, the way that is fastest on the instruction set.
    pub arithmetic: Option<Arithmetic>,
    /// The listener of progress and notes.
    pub events: Arc<dyn Events>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { threads: None, backend: None, arithmetic: None, events: Arc::new(Quiet) }
    }
}

impl OpenOptions {
    /// Opens a model in this process; see [`Model::open`].
    ///
    /// # Errors
    /// If the model does not exist, or cannot be fetched, read, or run with these options.
    pub fn open(&self, name: &str) -> Result<Model> {
        let path = models::resolve(name, models::Extent::Whole, &self.events)?;
        let backend = self.backend()?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let arithmetic = self.arithmetic.unwrap_or(backend.arithmetic());
        let compute = Compute::new(backend, self.threads.unwrap_or(cores)).with(arithmetic);
        let Some(compute) = compute else {
            fail!(
                Unsupported,
                "8-bit activations need a CPU with VNNI: with {} alone, exact arithmetic is as fast; leave out `fast`, or ask for another `arithmetic`",
                backend.name()
            )
        };
        let model = LocalModel::load(&path, compute).with_context(|| format!("cannot load {name}"))?;
        if arithmetic == Arithmetic::Bits8 && model.arithmetic() != arithmetic {
            fail!(
                Unsupported,
                "8-bit activations are for quantised weights, and {name} has none ({}): leave out `fast`, or ask for another `arithmetic`",
                model.weights().quantisation()
            );
        }
        model.notes().iter().for_each(|note| self.events.note(note));
        Ok(Model::new(name.into(), Engine::Local(model), self.events.clone()))
    }

    fn backend(&self) -> Result<Backend> {
        let Some(name) = &self.backend else { return Ok(Backend::detect()) };
        let all = Backend::available();
        let unknown = || {
            let names: Vec<&str> = all.iter().map(|b| b.name()).collect();
            let message = format!("`backend` {name}: this CPU has {}", names.join(", "));
            Error::new(ErrorKind::Parameter("backend"), message)
        };
        all.iter().find(|b| b.name() == name).copied().ok_or_else(unknown)
    }
}

#[cfg(feature = "remote")]
impl super::ServerOptions {
    /// Asks the servers what they are, and opens their model.
    ///
    /// # Errors
    /// If the servers do not answer, or lack a function that is needed.
    pub fn connect(&self, events: Arc<dyn Events>) -> Result<Model> {
        let remote = super::servers::Remote::connect(self, &events)?;
        Ok(Model::new(remote.model.name().into(), Engine::Remote(remote), events))
    }
}
