//! The engine's thread. In turns: what was asked for, one level of the run that explores, one batch of everything that goes on by
//! hand, and one step of everything that is being generated. What one of them fails in, even by a panic, ends that one alone.

pub mod generate;
mod guarded;
mod opened;
#[cfg(test)]
mod tests;

pub use opened::{How, Request};

use crate::store::{State, Store};
use generate::{Generator, Orders};
use guarded::guarded;
use logitree::{Context, Error, ErrorKind, Events, Exploration, Held, Model, Ranked, Result};
use logitree_core::NodeId;
use opened::Opened;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Tokens listed per step, at least.
pub const TOP: usize = 10;
/// Runs that stay open when there is nothing to do with them: the next click on the last one finds its prompt evaluated.
const RESTING: usize = 1;

/// What is asked of the engine.
pub enum Command {
    /// Explore a run, from its beginning or from where it stands.
    Explore(String),
    /// End a run's exploring; it is paused or interrupted then.
    End(String, State),
    /// End what goes on by hand in a run.
    Halt(String),
    /// Go on from nodes of a run; answered with them as soon as they are there.
    Expand(String, Request, oneshot::Sender<Result<Vec<NodeId>>>),
    /// The whole distribution after a node.
    Distribution(String, NodeId, oneshot::Sender<Result<Arc<Ranked>>>),
    /// Forget what is held of a run.
    Forget(String),
    /// Look at the desk: there is something to generate.
    Generate,
}

/// What the engine's thread and the requests share.
pub struct Shared {
    /// The runs.
    pub store: Store,
    /// The model, if one is loaded.
    pub model: Option<Model>,
    /// Who hears of what cannot be told to a client, and says when to end.
    pub events: Arc<dyn Events>,
}

struct Worker<'m> {
    shared: &'m Shared,
    model: &'m Model,
    commands: Receiver<Command>,
    /// Runs that wait to be explored.
    queue: VecDeque<String>,
    /// Runs that are open, the one that was last needed first.
    opened: Vec<Opened>,
    generator: Generator<'m>,
}

/// Serves until the program is told to end, or nobody can ask any more.
///
/// # Errors
/// If the model gives no session.
pub fn work(shared: &Shared, commands: Receiver<Command>, texts: Orders) -> Result<()> {
    let Some(model) = &shared.model else { return Ok(()) };
    let generator = Generator::new(model, texts)?;
    let mut worker = Worker { shared, model, commands, queue: VecDeque::new(), opened: Vec::new(), generator };
    while !shared.events.stop() {
        while let Ok(command) = worker.commands.try_recv() {
            worker.serve(command);
        }
        let mut went = worker.generator.step();
        went |= worker.explore();
        went |= worker.follow();
        if went {
            continue;
        }
        // Clients may not have read yet what they were sent.
        let pause = Duration::from_millis(if worker.generator.is_busy() { 5 } else { 100 });
        match worker.commands.recv_timeout(pause) {
            Ok(command) => worker.serve(command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    worker.end();
    Ok(())
}

impl Worker<'_> {
    fn serve(&mut self, command: Command) {
        match command {
            Command::Explore(id) => self.queue.push_back(id),
            Command::End(id, state) => {
                if let Some(run) = self.opened.iter_mut().find(|o| o.id == id && o.exploring) {
                    run.end = Some(state);
                } else if let Some(at) = self.queue.iter().position(|q| *q == id) {
                    self.queue.remove(at);
                    self.shared.store.update(&id, |s| s.state = state);
                }
            }
            Command::Halt(id) => {
                self.with(&id, "ending what goes on by hand", |run, _| run.halt());
            }
            Command::Expand(id, request, reply) => {
                let begun = self.on(&id, "going on", |run, store| run.ask(&request, store));
                // Whoever asked may have gone.
                let _ = reply.send(begun);
            }
            Command::Distribution(id, node, reply) => {
                let found = self.on(&id, "ranking tokens", |run, _| run.distribution(node));
                let _ = reply.send(found);
            }
            Command::Forget(id) => self.opened.retain(|o| o.id != id),
            // Comes next anyway.
            Command::Generate => {}
        }
    }

    /// Does something with a run, which is opened if it is not; after a panic nothing is held of it, as that may be half done.
    fn on<T>(&mut self, id: &str, what: &str, work: impl FnOnce(&mut Opened, &Store) -> Result<T>) -> Result<T> {
        if !self.opened.iter().any(|o| o.id == id) {
            let path = self.shared.store.path(id)?;
            let exploration = Exploration::open(self.model, Held::open(&path)?)?;
            self.opened.push(Opened::new(id, exploration, false));
        }
        let at = self.opened.iter().position(|o| o.id == id).context("opened above")?;
        let mut run = self.opened.remove(at);
        let store = &self.shared.store;
        let done = guarded(what, || work(&mut run, store));
        match &done {
            Err(e) if e.kind() == ErrorKind::Internal => self.fail(&run, e),
            _ => self.opened.insert(0, run),
        }
        self.rest();
        done
    }

    /// Does something with a run that is open; what goes wrong is told with the run.
    fn with(&mut self, id: &str, what: &str, work: impl FnOnce(&mut Opened, &Store) -> Result<()>) {
        if !self.opened.iter().any(|o| o.id == id) {
            return;
        }
        if let Err(e) = self.on(id, what, work) {
            self.shared.store.update(id, |s| s.message = Some(format!("{e:#}")));
        }
    }

    /// A run whose work ended by a fault of this program's own: its file has what was written before.
    fn fail(&self, run: &Opened, e: &Error) {
        let exploring = run.exploring;
        self.shared.store.update(&run.id, |s| {
            s.message = Some(format!("{e:#}"));
            if exploring {
                s.state = State::Failed;
            }
        });
    }

    /// Closes runs that nobody needed for long.
    fn rest(&mut self) {
        let mut resting = 0;
        self.opened.retain(|o| {
            resting += usize::from(!o.is_busy());
            o.is_busy() || resting <= RESTING
        });
    }

    /// One level of the run that explores, or of the next one that waits; whether there is any.
    fn explore(&mut self) -> bool {
        let exploring = self.opened.iter().find(|o| o.exploring).map(|o| o.id.clone());
        let id = match exploring {
            Some(id) => id,
            None => match self.queue.pop_front() {
                Some(id) => {
                    if let Err(e) = guarded("exploring", || self.begin(&id)) {
                        self.shared
                            .store
                            .update(&id, |s| (s.state, s.message) = (State::Failed, Some(format!("{e:#}"))));
                        return true;
                    }
                    id
                }
                None => return false,
            },
        };
        if let Err(e) = self.on(&id, "exploring", |run, store| run.explore(store)) {
            // Its file cannot be written: nothing goes on with it.
            self.opened.retain(|o| o.id != id);
            self.shared.store.update(&id, |s| (s.state, s.message) = (State::Failed, Some(format!("{e:#}"))));
        }
        true
    }

    /// Opens a run that waits, to be explored.
    fn begin(&mut self, id: &str) -> Result<()> {
        self.opened.retain(|o| o.id != id);
        let path = self.shared.store.path(id)?;
        let exploration = Exploration::resume(self.model, Held::open(&path)?, None)?;
        self.shared.store.update(id, |s| (s.state, s.message) = (State::Running, None));
        self.opened.insert(0, Opened::new(id, exploration, true));
        Ok(())
    }

    /// One batch of everything that goes on by hand; whether there is any.
    fn follow(&mut self) -> bool {
        let going: Vec<String> = self.opened.iter().filter(|o| o.is_following()).map(|o| o.id.clone()).collect();
        for id in &going {
            self.with(id, "going on", |run, store| run.follow(store));
        }
        !going.is_empty()
    }

    /// Writes down how everything stands, as the program ends.
    fn end(&mut self) {
        let store = &self.shared.store;
        for run in &mut self.opened {
            if run.exploring {
                run.end = Some(State::Interrupted);
                if let Err(e) = guarded("ending", || run.explore(store)) {
                    self.shared.events.note(&format!("{}: {e:#}", run.id));
                }
            }
        }
    }
}
