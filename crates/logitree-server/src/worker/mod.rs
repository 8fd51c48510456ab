//! The engine's thread, which evaluates the model for all clients.
//!
//! It repeats these steps: serve the commands that have arrived; generate one step of every text; explore one level of
//! one run; evaluate one batch of every request made by hand; let every guest ask for one batch. So no kind of work waits
//! long for another. If a piece of
//! work fails, even by a panic, only that piece ends.

pub mod generate;
mod guarded;
pub mod guest;
mod opened;
#[cfg(test)]
mod tests;

pub use opened::{How, Request, Tokens};

use crate::current::Current;
use crate::store::{State, Store, of_file};
use generate::{Generator, Orders};
use guarded::guarded;
use guest::{Guest, Task};
use logitree::{Context, Error, ErrorKind, Events, Exploration, Held, Model, Ranked, Result};
use logitree_core::layers::LayerDistributions;
use logitree_core::{NodeId, TokenId};
use opened::Opened;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Least number of tokens listed per step.
pub const TOP: usize = 10;
/// Number of idle runs that stay open: if the user continues the last one, its prompt need not be evaluated again.
const RESTING: usize = 1;

/// A command to the engine's thread.
pub enum Command {
    /// Explore a run, from its beginning or from where it stopped.
    Explore(String),
    /// End the exploring of a run, and set this state (paused or interrupted).
    End(String, State),
    /// End the requests made by hand in a run.
    Halt(String),
    /// Continue from nodes of a run. The reply is sent when the first nodes exist, before the model continues.
    Expand(String, Request, oneshot::Sender<Result<Vec<NodeId>>>),
    /// Send the whole distribution after a node.
    Distribution(String, NodeId, oneshot::Sender<Result<Arc<Ranked>>>),
    /// Send what each layer of the model would have predicted after a node, with the numbers of these tokens.
    Layers(String, NodeId, Vec<TokenId>, oneshot::Sender<Result<LayerDistributions>>),
    /// Do a task with the tokens that lead to these nodes of runs. The reply is sent when it is about to begin.
    Host(Vec<(String, NodeId)>, Task, oneshot::Sender<Result<()>>),
    /// Close a run and forget what is cached for it.
    Forget(String),
    /// Put another model in the place of this one, as soon as nothing goes on.
    Load(String),
    /// Wake up, because the desk has new texts to generate.
    Generate,
}

/// What the engine's thread and the request handlers share.
pub struct Shared {
    /// The runs.
    pub store: Store,
    /// The model of the moment, if there is one.
    pub current: Current,
    /// Receives what cannot be told to a client, and says when to stop.
    pub events: Arc<dyn Events>,
}

struct Worker<'m> {
    shared: &'m Shared,
    model: &'m Model,
    commands: &'m Receiver<Command>,
    /// Ids of runs that wait to be explored, in order.
    queue: VecDeque<String>,
    /// The open runs, most recently used first.
    opened: Vec<Opened>,
    generator: Generator<'m>,
    guests: Vec<Guest>,
    /// The model that is to take this one's place.
    next: Option<String>,
}

/// Works until the program is told to stop, or no command can come any more.
///
/// # Errors
/// If the model cannot open a session.
pub fn work(shared: &Shared, commands: Receiver<Command>, texts: Orders) -> Result<()> {
    while let Some(model) = shared.current.model() {
        let next = with_model(shared, &model, &commands, &texts)?;
        let Some(name) = next else { break };
        let loaded = guarded("loading a model", || {
            // The tokens of texts that wait are those of the model before.
            shared.current.load(&name, || texts.refuse("another model was loaded: send the request again"));
            Ok(())
        });
        if let Err(e) = loaded {
            shared.current.fail(&e);
        }
    }
    Ok(())
}

/// Works with one model; returns the name of the model that is to take its place, or `None` at the end.
fn with_model(shared: &Shared, model: &Model, commands: &Receiver<Command>, texts: &Orders) -> Result<Option<String>> {
    let generator = Generator::new(model, texts)?;
    let (queue, opened, guests) = (VecDeque::new(), Vec::new(), Vec::new());
    let mut worker = Worker { shared, model, commands, queue, opened, generator, guests, next: None };
    worker.run();
    worker.end();
    Ok(worker.next)
}

impl Worker<'_> {
    /// Works until the end, or until another model can take this one's place.
    fn run(&mut self) {
        while !self.shared.events.stop() {
            while let Ok(command) = self.commands.try_recv() {
                self.serve(command);
            }
            let mut went = self.generator.step();
            went |= self.explore();
            went |= self.follow();
            went |= self.host();
            if went {
                continue;
            }
            if self.next.is_some() && !self.generator.is_busy() {
                return;
            }
            // If texts are being generated but none could advance, their clients have not read what was sent: look
            // again soon.
            let pause = Duration::from_millis(if self.generator.is_busy() { 5 } else { 100 });
            match self.commands.recv_timeout(pause) {
                Ok(command) => self.serve(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.next = None;
    }

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
                self.with(&id, "ending what goes on by hand", |run, store| run.halt(store));
            }
            Command::Expand(id, request, reply) => {
                let begun = self.on(&id, "going on", |run, store| run.ask(&request, store));
                // The client may have disconnected; then the reply is dropped.
                let _ = reply.send(begun);
            }
            Command::Distribution(id, node, reply) => {
                let found = self.on(&id, "ranking tokens", |run, _| run.distribution(node));
                let _ = reply.send(found);
            }
            Command::Layers(id, node, tokens, reply) => {
                let found = self.on(&id, "looking at layers", |run, _| run.layers(node, &tokens));
                let _ = reply.send(found);
            }
            Command::Host(places, task, reply) => {
                let _ = reply.send(self.welcome(&places, task));
            }
            Command::Forget(id) => self.opened.retain(|o| o.id != id),
            Command::Load(name) => self.next = Some(name),
            // Nothing to do here: the main loop generates next.
            Command::Generate => {}
        }
    }

    /// Does some work with a run, which is opened first if needed. After a panic the run is closed, since its data may
    /// be inconsistent.
    fn on<T>(&mut self, id: &str, what: &str, work: impl FnOnce(&mut Opened, &Store) -> Result<T>) -> Result<T> {
        if !self.opened.iter().any(|o| o.id == id) {
            let path = self.shared.store.path(id)?;
            // The model may panic here as well: it is asked for a session.
            let exploration = guarded(what, || Exploration::open(self.model, Held::open(&path).map_err(of_file)?))?;
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

    /// Does some work with a run if it is open. An error becomes the message of the run's status.
    fn with(&mut self, id: &str, what: &str, work: impl FnOnce(&mut Opened, &Store) -> Result<()>) {
        if !self.opened.iter().any(|o| o.id == id) {
            return;
        }
        if let Err(e) = self.on(id, what, work) {
            self.shared.store.update(id, |s| s.message = Some(format!("{e:#}")));
        }
    }

    /// Records that work on a run ended because of a bug in this program. The file has what was written before.
    fn fail(&self, run: &Opened, e: &Error) {
        let exploring = run.exploring;
        self.shared.store.update(&run.id, |s| {
            s.message = Some(format!("{e:#}"));
            s.writing = 0;
            if exploring {
                s.state = State::Failed;
            }
        });
    }

    /// Closes idle runs beyond [`RESTING`], the least recently used first.
    fn rest(&mut self) {
        let mut resting = 0;
        self.opened.retain(|o| {
            resting += usize::from(!o.is_busy());
            o.is_busy() || resting <= RESTING
        });
    }

    /// Explores one level of the current run, or of the next one in the queue. Returns false if there is none.
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
            // The run's file cannot be written, so the run is closed.
            self.opened.retain(|o| o.id != id);
            let message = Some(format!("{e:#}"));
            self.shared.store.update(&id, |s| (s.state, s.message, s.writing) = (State::Failed, message, 0));
        }
        true
    }

    /// Opens a waiting run and begins to explore it.
    fn begin(&mut self, id: &str) -> Result<()> {
        self.opened.retain(|o| o.id != id);
        let path = self.shared.store.path(id)?;
        let exploration = Exploration::resume(self.model, Held::open(&path).map_err(of_file)?, None)?;
        self.shared.store.update(id, |s| (s.state, s.message, s.writing) = (State::Running, None, 0));
        self.opened.insert(0, Opened::new(id, exploration, true));
        Ok(())
    }

    /// Evaluates one batch of every request made by hand. Returns false if there are none.
    fn follow(&mut self) -> bool {
        let going: Vec<String> = self.opened.iter().filter(|o| o.is_following()).map(|o| o.id.clone()).collect();
        for id in &going {
            self.with(id, "going on", |run, store| run.follow(store));
        }
        !going.is_empty()
    }

    /// Begins a task.
    fn welcome(&mut self, places: &[(String, NodeId)], task: Task) -> Result<()> {
        let tokens = |(id, node): &(String, NodeId)| self.on(id, "reading a path", |run, _| run.tokens(*node));
        let tokens = places.iter().map(tokens).collect::<Result<Vec<Tokens>>>()?;
        self.guests.push(Guest::new(task, self.model, tokens, self.shared.events.clone())?);
        Ok(())
    }

    /// Gives every guest a turn. Returns false if there are none.
    fn host(&mut self) -> bool {
        let had = !self.guests.is_empty();
        self.guests.retain(Guest::turn);
        had
    }

    /// Closes the files of all exploring runs before the program ends.
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
