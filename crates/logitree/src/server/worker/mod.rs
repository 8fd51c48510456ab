//! The engine's thread: one run explores at a time; what a click asks for comes between its levels, and so does a step of
//! everything that is being generated. What one of them fails in, even by a panic, ends that one alone.

mod clicks;
pub mod generate;

pub use clicks::{How, Ranked, Request};

use super::store::{State, Store};
use crate::command::grow::{self, Grown, Held, Job, Limits, Record};
use crate::setup::{self, Loaded};
use crate::{import, terminal};
use anyhow::{Context, Result};
use clicks::Clicks;
use generate::{Generator, Orders};
use logitree_core::explore::{Explorer, Paused, Policy};
use logitree_core::run::{End, EndReason, Event, Header, Run, end_event};
use logitree_core::{NodeId, TokenId};
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Tokens listed per step, at least.
pub const TOP: usize = 10;

/// What is asked of the engine.
pub enum Command {
    /// Explore a run, from its beginning or from where it stands.
    Explore(String),
    /// End a run's exploring; it is paused or interrupted then.
    End(String, State),
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
    pub store: Store,
    pub loaded: Option<Loaded>,
    /// Number of the latest request to go on by hand.
    pub ticket: AtomicU64,
}

/// A run that can be added to.
struct Opened<'a> {
    id: &'a str,
    header: &'a Header,
    explorer: &'a mut Explorer<Box<dyn Policy>>,
    record: &'a mut Record,
}

impl Opened<'_> {
    /// Makes what was written readable, and says so.
    fn tell(&mut self, store: &Store) -> Result<()> {
        self.record.flush()?;
        let (length, nodes) = (self.record.len()?, self.explorer.tree.len());
        store.update(self.id, |s| (s.length, s.nodes) = (length, nodes));
        Ok(())
    }
}

/// The run being explored.
struct Active<'a> {
    run: Opened<'a>,
    /// Set when it shall end.
    end: &'a mut Option<State>,
}

/// A run that nobody explores now, opened for clicks.
struct Idle {
    id: String,
    header: Header,
    /// Asks the model what clicks want to know; the run itself does not go on.
    explorer: Explorer<Box<dyn Policy>>,
    record: Record,
    /// How the run had ended: what is added by hand changes nothing about it.
    end: Option<End>,
}

impl Idle {
    fn open(&mut self) -> Opened<'_> {
        Opened { id: &self.id, header: &self.header, explorer: &mut self.explorer, record: &mut self.record }
    }
}

/// The tokens of a run's prompt.
fn prompt_of(header: &Header) -> Vec<TokenId> {
    header.prompt.tokens.iter().map(|t| t.id).collect()
}

/// Does something whose panic shall end nothing but itself: it becomes an error that says what was being done.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(Panicked(format!("internal error while {what}: {}", why.unwrap_or("it panicked"))).into())
    })
}

/// What was caught by [`guarded`]: what it was working on may be half done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Panicked(String);

struct Worker<'m> {
    shared: &'m Shared,
    loaded: &'m Loaded,
    commands: Receiver<Command>,
    queue: VecDeque<String>,
    idle: Option<Idle>,
    clicks: Clicks<'m>,
    generator: Generator<'m>,
}

/// Serves commands until the program is told to end, or nobody can ask any more.
pub fn work(shared: &Shared, commands: Receiver<Command>, orders: Orders) -> Result<()> {
    let Some(loaded) = &shared.loaded else { return Ok(()) };
    let clicks = Clicks::new(shared, loaded);
    let generator = Generator::new(&*loaded.model, orders)?;
    let mut worker = Worker { shared, loaded, commands, queue: VecDeque::new(), idle: None, clicks, generator };
    while !terminal::interrupted() {
        while let Ok(command) = worker.commands.try_recv() {
            worker.serve(command, None)?;
        }
        let went = worker.generator.step();
        if let Some(id) = worker.queue.pop_front() {
            if let Err(e) = guarded("exploring", || worker.explore(&id)) {
                shared.store.update(&id, |s| (s.state, s.message) = (State::Failed, Some(format!("{e:#}"))));
            }
            continue;
        }
        let pause = match (went, worker.generator.is_busy()) {
            (true, _) => continue,
            // Its clients have not read yet what they were sent.
            (false, true) => Duration::from_millis(5),
            (false, false) => Duration::from_millis(100),
        };
        match worker.commands.recv_timeout(pause) {
            Ok(command) => worker.serve(command, None)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

impl Worker<'_> {
    /// Does what is asked. Fails only if that leaves the run being explored half changed, so that it cannot go on.
    fn serve(&mut self, command: Command, active: Option<Active<'_>>) -> Result<()> {
        match command {
            Command::Explore(id) => self.queue.push_back(id),
            Command::End(id, state) => match active {
                Some(a) if a.run.id == id => *a.end = Some(state),
                _ => {
                    if let Some(at) = self.queue.iter().position(|q| *q == id) {
                        self.queue.remove(at);
                        self.shared.store.update(&id, |s| s.state = state);
                    }
                }
            },
            Command::Expand(id, request, reply) => {
                let mut reply = Some(reply);
                let own = active.as_ref().is_some_and(|a| a.run.id == id);
                let done = guarded("going on", || self.expand(&id, &request, &mut reply, active));
                let Err(e) = done else { return Ok(()) };
                let broken = self.mend(&e).filter(|_| own);
                match reply {
                    Some(reply) => drop(reply.send(Err(e))),
                    // The answer is given already.
                    None => self.shared.store.update(&id, |s| s.message = Some(format!("{e:#}"))),
                }
                return broken.map_or(Ok(()), |why| Err(anyhow::anyhow!(why)));
            }
            Command::Distribution(id, node, reply) => {
                let own = active.as_ref().is_some_and(|a| a.run.id == id);
                let found = guarded("ranking tokens", || self.distribution(&id, node, active));
                let broken = found.as_ref().err().and_then(|e| self.mend(e)).filter(|_| own);
                let _ = reply.send(found);
                return broken.map_or(Ok(()), |why| Err(anyhow::anyhow!(why)));
            }
            Command::Forget(id) => {
                self.idle.take_if(|i| i.id == id);
                self.clicks.forget(&id);
            }
            // Comes next anyway.
            Command::Generate => {}
        }
        Ok(())
    }

    /// After a panic, lets go of what may be half done; why, if it was one.
    fn mend(&mut self, e: &anyhow::Error) -> Option<String> {
        let why = e.downcast_ref::<Panicked>()?.to_string();
        self.idle = None;
        Some(why)
    }

    /// Explores a run to its end, a budget, or until somebody ends it.
    fn explore(&mut self, id: &str) -> Result<()> {
        self.idle.take_if(|i| i.id == id);
        let shared = self.shared;
        let path = shared.store.path(id).map_err(|p| anyhow::anyhow!(p.detail))?;
        let held = Held::open(&path)?;
        let run = import::run(BufReader::new(File::open(&path)?))?;
        let limits = Limits::of(&run);
        let job = Job::resume(self.loaded, run, held, &limits)?;
        shared.store.update(id, |s| (s.state, s.message) = (State::Running, None));
        let mut ended = None;
        let loaded = self.loaded;
        let grown = grow::grow(loaded, job, &limits, &mut |level| {
            let e = &*level.explorer;
            let length = level.record.len()?;
            let completed = e.tree.finished().count();
            shared.store.update(id, |s| {
                (s.nodes, s.length, s.rate) = (e.tree.len(), length, level.rate);
                (s.completed, s.queue) = (completed, e.policy.queue(&e.tree));
                s.threshold = e.policy.threshold(&e.tree);
            });
            while let Ok(command) = self.commands.try_recv() {
                let run = Opened { id, header: level.header, explorer: &mut *level.explorer, record: level.record };
                self.serve(command, Some(Active { run, end: &mut ended }))?;
            }
            self.generator.step();
            Ok(ended.map(|_| EndReason::Interrupted))
        })?;
        let Grown { record, end, failure, .. } = grown;
        let length = record.len()?;
        let state = match end.reason {
            EndReason::Interrupted => ended.unwrap_or(State::Interrupted),
            EndReason::Failed => State::Failed,
            _ => State::Finished,
        };
        let message = failure.map(|e| format!("{e:#}"));
        shared.store.update(id, |s| {
            (s.state, s.nodes, s.completed, s.message, s.length) = (state, end.nodes, end.completed, message, length);
        });
        Ok(())
    }

    /// Opens a run that nobody explores.
    fn open(&mut self, id: &str) -> Result<&mut Idle> {
        if self.idle.as_ref().is_none_or(|i| i.id != id) {
            let path = self.shared.store.path(id).map_err(|p| anyhow::anyhow!(p.detail))?;
            let held = Held::open(&path)?;
            let run = import::run(BufReader::new(File::open(&path)?))?;
            self.loaded.check_made(&path, &run.header.model)?;
            self.loaded.model.learn(&run)?;
            let keep = Limits::of(&run).keep;
            let Run { header, tree, end, valid_bytes, .. } = run;
            let (session, vocab) = (self.loaded.model.session()?, self.loaded.model.vocab_size());
            let policy: Box<dyn Policy> = Box::new(Paused);
            let explorer = Explorer::new(session, vocab, &prompt_of(&header), policy, tree, keep)?
                .watching(setup::watched_ids(&header.watch));
            let record = held.append(valid_bytes)?;
            self.idle = Some(Idle { id: id.into(), header, explorer, record, end });
        }
        self.idle.as_mut().context("opened above")
    }

    fn expand(
        &mut self,
        id: &str,
        request: &Request,
        reply: &mut Option<oneshot::Sender<Result<Vec<NodeId>>>>,
        active: Option<Active<'_>>,
    ) -> Result<()> {
        if let Some(mut a) = active
            && a.run.id == id
        {
            return self.clicks.go_on(&mut a.run, request, reply, &mut || {
                self.generator.step();
            });
        }
        self.open(id)?;
        let idle = self.idle.as_mut().context("opened above")?;
        let before = idle.explorer.tree.len();
        let between = &mut || {
            self.generator.step();
        };
        let done = self.clicks.go_on(&mut idle.open(), request, reply, between);
        if let Some(end) = &mut idle.end
            && idle.explorer.tree.len() > before
        {
            *end = end_event(&idle.explorer.tree, end.reason, end.seconds);
            idle.record.write(&[Event::End(end.clone())])?;
            idle.open().tell(&self.shared.store)?;
        }
        done
    }

    fn distribution(&mut self, id: &str, node: NodeId, active: Option<Active<'_>>) -> Result<Arc<Ranked>> {
        match active {
            Some(mut a) if a.run.id == id => self.clicks.distribution(&mut a.run, node),
            _ => {
                self.open(id)?;
                let idle = self.idle.as_mut().context("opened above")?;
                self.clicks.distribution(&mut idle.open(), node)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_what_was_being_done() {
        let error = guarded("exploring", || -> Result<()> { panic!("node {} was already visited", 7) }).unwrap_err();
        assert_eq!(error.to_string(), "internal error while exploring: node 7 was already visited");
        assert!(error.is::<Panicked>());
        let other = guarded("exploring", || -> Result<()> { anyhow::bail!("no disk") }).unwrap_err();
        assert!(!other.is::<Panicked>() && other.to_string() == "no disk");
    }
}
