//! Builds an exploration in a few calls: what to explore, how far, and where to record it.

use crate::error::Result;
use crate::output::Target;
use crate::{Destination, Exploration, Limits, Model, Prompt};
use logitree_core::explore::{Keep, Strategy};
use logitree_core::run::Run;
use std::path::Path;
use std::time::Duration;

/// An exploration that has not begun; see [`Model::explore`].
pub struct Explore<'m> {
    model: &'m Model,
    prompt: &'m Prompt,
    strategy: Strategy,
    watch: Vec<String>,
    limits: Limits,
    file: Option<(&'m Path, bool)>,
}

impl Model {
    /// Explores what could follow a prompt. Nothing is computed before [`Explore::start`] or [`Explore::run`].
    pub fn explore<'m>(&'m self, prompt: &'m Prompt, strategy: Strategy) -> Explore<'m> {
        Explore { model: self, prompt, strategy, watch: Vec::new(), limits: Limits::default(), file: None }
    }
}

impl<'m> Explore<'m> {
    /// Records the probability of these strings at every step.
    pub fn watch(self, texts: &[&str]) -> Self {
        Explore { watch: texts.iter().map(|t| (*t).to_string()).collect(), ..self }
    }

    /// Stops when the tree has this many nodes.
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.limits.max_nodes = Some(nodes);
        self
    }

    /// Stops after this time.
    pub fn max_time(mut self, time: Duration) -> Self {
        self.limits.max_seconds = Some(time.as_secs_f64());
        self
    }

    /// Keeps this many of the most likely tokens of every step, or as many as make up a given probability. The default
    /// is 10.
    pub fn keep(mut self, keep: impl Into<Keep>) -> Self {
        self.limits.keep = keep.into();
        self
    }

    /// Writes a run file while the tree grows. After a crash, [`Exploration::resume`] continues it. An existing file
    /// with content is refused.
    pub fn record_to(self, file: &'m Path) -> Self {
        Explore { file: Some((file, false)), ..self }
    }

    /// Like [`Explore::record_to`], but replaces an existing file.
    pub fn record_over(self, file: &'m Path) -> Self {
        Explore { file: Some((file, true)), ..self }
    }

    /// Begins the exploration; the caller then asks for one level after the other.
    ///
    /// # Errors
    /// If a parameter is not valid, or the file cannot be written.
    pub fn start(self) -> Result<Exploration> {
        let destination = match self.file {
            None => Destination::Nowhere,
            Some((file, force)) => Destination::Named(Target::check(file, force, &[])?),
        };
        Exploration::begin(self.model, self.prompt, self.strategy, &self.watch, &self.limits, destination)
    }

    /// Explores until the strategy is done or a limit is reached.
    ///
    /// # Errors
    /// As for [`Explore::start`], or if the model fails. What was explored before is in the run file.
    pub fn run(self) -> Result<Run> {
        let explored = self.start()?.run(|_, _| ())?;
        match explored.failure {
            Some(failure) => Err(failure),
            None => Ok(explored.run),
        }
    }
}
