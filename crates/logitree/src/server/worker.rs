//! The engine's thread: one run explores at a time, and what a click asks for comes between its levels.

use super::store::{State, Store};
use crate::command::grow::{Job, Limits, Record};
use crate::setup::{self, Loaded};
use crate::{import, terminal};
use anyhow::{Context, Result, bail};
use logitree_core::explore::{BeamParameters, Change, Continuation, Explorer, Keep, Strategy};
use logitree_core::run::{End, EndReason, Event, Header, change_events, end_event};
use logitree_core::{LanguageModel, NodeHandle, NodeId, Query, Session, Stop, TokenId, TokenStats, Tree, watch};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Tokens listed per step of what the user asks for.
const KEEP: Keep = Keep::Top(10);
/// Nodes named in a clicks' session before it is made anew: what it caches has no other bound.
const SESSION_NODES: usize = 20_000;

/// What is asked of the engine.
pub enum Command {
    /// Explore a run, from its beginning or from where it stands.
    Explore(String),
    /// End a run's exploring; it is paused or interrupted then.
    End(String, State),
    /// Go on from nodes of a run.
    Expand(Expand),
    /// The whole distribution after a node.
    Distribution(String, NodeId, oneshot::Sender<Result<Arc<Ranked>>>),
    /// Forget what is held of a run.
    Forget(String),
}

/// Going on by hand.
pub struct Expand {
    pub run: String,
    pub nodes: Vec<NodeId>,
    /// Go on with this token, whatever its probability.
    pub token: Option<TokenId>,
    /// How: greedily so many steps, or as the run's strategy does up to so many nodes.
    pub how: How,
    /// A later request for any run makes this one end early.
    pub ticket: u64,
    /// Answered as soon as the first node is there.
    pub reply: oneshot::Sender<Result<Vec<NodeId>>>,
}

#[derive(Clone, Copy)]
pub enum How {
    Greedy { steps: usize },
    Strategy { max_nodes: usize },
}

/// All tokens, most likely first.
pub struct Ranked {
    pub run: String,
    pub node: NodeId,
    pub tokens: Vec<(TokenId, f64)>,
    pub entropy: f64,
    pub varentropy: f64,
}

/// What the engine's thread and the requests share.
pub struct Shared {
    pub store: Store,
    pub loaded: Option<Loaded>,
    /// Number of the latest request to go on by hand.
    pub ticket: AtomicU64,
    /// Budgets and lists of runs that were started here, by id; others go on without.
    pub limits: Mutex<std::collections::HashMap<String, Limits>>,
}

/// A run that nobody explores now, opened for clicks.
struct Idle {
    id: String,
    header: Header,
    tree: Tree,
    record: Record,
    /// How the run had ended: what is added by hand changes nothing about it.
    end: Option<End>,
}

struct Worker<'m> {
    shared: &'m Shared,
    loaded: &'m Loaded,
    commands: Receiver<Command>,
    queue: std::collections::VecDeque<String>,
    idle: Option<Idle>,
    /// For clicks: a session with the prompt's tokens but the last, and whose prompt that is.
    session: Box<dyn Session + 'm>,
    base: Option<(Vec<TokenId>, Option<NodeHandle>)>,
    pushed: usize,
    ranked: Vec<Arc<Ranked>>,
}

/// Serves commands until the program is told to end, or nobody can ask any more.
pub fn work(shared: &Shared, commands: Receiver<Command>) -> Result<()> {
    let Some(loaded) = &shared.loaded else { return Ok(()) };
    let session = loaded.model.session()?;
    let queue = Default::default();
    let mut worker =
        Worker { shared, loaded, commands, queue, idle: None, session, base: None, pushed: 0, ranked: Vec::new() };
    while !terminal::interrupted() {
        match worker.commands.recv_timeout(Duration::from_millis(100)) {
            Ok(command) => worker.serve(command, None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(id) = worker.queue.pop_front() {
            if let Err(e) = worker.explore(&id) {
                shared.store.update(&id, |s| (s.state, s.message) = (State::Failed, Some(format!("{e:#}"))));
            }
        }
    }
    for id in worker.queue {
        shared.store.update(&id, |s| s.state = State::Interrupted);
    }
    Ok(())
}

/// The run being explored.
struct Active<'a> {
    id: &'a str,
    header: &'a Header,
    tree: &'a mut Tree,
    record: &'a mut Record,
    /// Set when it shall end.
    end: &'a mut Option<State>,
}

impl<'m> Worker<'m> {
    fn serve(&mut self, command: Command, active: Option<&mut Active<'_>>) {
        match command {
            Command::Explore(id) => self.queue.push_back(id),
            Command::End(id, state) => match active {
                Some(a) if a.id == id => *a.end = Some(state),
                _ => {
                    if let Some(at) = self.queue.iter().position(|q| *q == id) {
                        self.queue.remove(at);
                        self.shared.store.update(&id, |s| s.state = state);
                    }
                }
            },
            Command::Expand(e) => self.expand(e, active),
            Command::Distribution(id, node, reply) => {
                let _ = reply.send(self.distribution(&id, node, active));
            }
            Command::Forget(id) => {
                self.idle.take_if(|i| i.id == id);
                self.ranked.retain(|r| r.run != id);
            }
        }
    }

    /// Explores a run to its end, a budget, or until somebody ends it.
    fn explore(&mut self, id: &str) -> Result<()> {
        self.idle.take_if(|i| i.id == id);
        let path = self.shared.store.path(id).map_err(|p| anyhow::anyhow!(p.detail))?;
        let run = import::run(BufReader::new(std::fs::File::open(&path)?))?;
        let Job { header, prompt, tree, policy, mut record } = Job::resume(self.loaded, run, &path)?;
        let limits = self.shared.limits.lock().unwrap_or_else(|e| e.into_inner()).get(id).copied();
        let limits = limits.unwrap_or(Limits { max_nodes: None, max_seconds: None, keep: KEEP });
        let loaded = self.loaded;
        let bytes = |id: TokenId| loaded.model.token_bytes(id);
        let mut session = loaded.model.session()?;
        let mut explorer = Explorer::new(&mut *session, loaded.model.vocab_size(), &prompt, policy, tree, limits.keep)?
            .watching(setup::watched_ids(&header.watch));
        let (started, first) = (Instant::now(), explorer.tree.len());
        self.shared.store.update(id, |s| (s.state, s.message) = (State::Running, None));
        let mut ended = None;
        let mut failure = None;
        let reason = loop {
            while limits.end(&explorer.tree, started).is_none() {
                let Some(change) = explorer.visit() else { break };
                record.write(&change_events(&explorer.tree, change, &bytes))?;
            }
            record.flush()?;
            let seconds = started.elapsed().as_secs_f64();
            let length = record.len()?;
            self.shared.store.update(id, |s| {
                s.nodes = explorer.tree.len();
                s.completed = explorer.policy.completed();
                s.queue = explorer.policy.queue(&explorer.tree);
                s.threshold = explorer.policy.threshold(&explorer.tree);
                s.rate = (explorer.tree.len() - first) as f64 / seconds.max(1e-3);
                s.length = length;
            });
            while let Ok(command) = self.commands.try_recv() {
                let (tree, end) = (&mut explorer.tree, &mut ended);
                self.serve(command, Some(&mut Active { id, header: &header, tree, record: &mut record, end }));
            }
            if ended.is_some() {
                break EndReason::Interrupted;
            }
            if let Some(reason) = limits.end(&explorer.tree, started) {
                break reason;
            }
            match explorer.evaluate() {
                Ok(0) => break EndReason::Finished,
                Ok(_) => {}
                Err(e) => {
                    failure = Some(e.to_string());
                    break EndReason::Failed;
                }
            }
        };
        let end = end_event(&explorer.tree, reason, started.elapsed().as_secs_f64());
        record.write(&[Event::End(end.clone())])?;
        record.flush()?;
        let length = record.len()?;
        let state = match reason {
            EndReason::Interrupted => ended.unwrap_or(State::Interrupted),
            EndReason::Failed => State::Failed,
            _ => State::Finished,
        };
        self.shared.store.update(id, |s| {
            (s.state, s.nodes, s.completed, s.message, s.length) = (state, end.nodes, end.completed, failure, length);
        });
        Ok(())
    }

    /// Opens a run that nobody explores.
    fn open(&mut self, id: &str) -> Result<&mut Idle> {
        if self.idle.as_ref().is_none_or(|i| i.id != id) {
            let path = self.shared.store.path(id).map_err(|p| anyhow::anyhow!(p.detail))?;
            let run = import::run(BufReader::new(std::fs::File::open(&path)?))?;
            self.loaded.check_made(&path, &run.header.model)?;
            let mut file = OpenOptions::new().write(true).open(&path).with_context(|| path.display().to_string())?;
            file.set_len(run.valid_bytes)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
            let record = Record::File(BufWriter::new(file), path);
            self.idle = Some(Idle { id: id.into(), header: run.header, tree: run.tree, record, end: run.end });
        }
        self.idle.as_mut().context("opened above")
    }

    fn expand(&mut self, e: Expand, active: Option<&mut Active<'_>>) {
        let mut reply = Some(e.reply);
        let request = Request { nodes: &e.nodes, token: e.token, how: e.how, ticket: e.ticket };
        let outcome = match active {
            Some(a) if a.id == e.run => self.go_on(&e.run, a.header, a.tree, a.record, &request, &mut reply),
            _ => match self.open(&e.run).map(|_| ()) {
                Err(e) => Err(e),
                Ok(()) => match self.idle.take() {
                    None => Ok(()),
                    Some(mut i) => {
                        let before = i.tree.len();
                        let done = self.go_on(&i.id, &i.header, &mut i.tree, &mut i.record, &request, &mut reply);
                        let done = done.and_then(|()| match &mut i.end {
                            Some(end) if i.tree.len() > before => {
                                *end = end_event(&i.tree, end.reason, end.seconds);
                                i.record.write(&[Event::End(end.clone())])?;
                                self.tell(&i.id, &i.tree, &mut i.record)
                            }
                            _ => Ok(()),
                        });
                        self.idle = Some(i);
                        done
                    }
                },
            },
        };
        match (outcome, reply) {
            (Err(error), Some(reply)) => drop(reply.send(Err(error))),
            (Err(error), None) => self.shared.store.update(&e.run, |s| s.message = Some(format!("{error:#}"))),
            (Ok(()), Some(reply)) => drop(reply.send(Ok(Vec::new()))),
            (Ok(()), None) => {}
        }
    }

    /// The clicks' session, with all but the last token of this prompt in it.
    fn base(&mut self, prompt: &[TokenId]) -> Result<Option<NodeHandle>> {
        if self.pushed > SESSION_NODES || self.base.as_ref().is_none_or(|(p, _)| p != prompt) {
            self.session = self.loaded.model.session()?;
            let all_but_last = &prompt[..prompt.len().saturating_sub(1)];
            let base = self.session.push_all(None, all_but_last)?.last().copied();
            self.pushed = all_but_last.len();
            self.base = Some((prompt.to_vec(), base));
        }
        Ok(self.base.as_ref().and_then(|(_, b)| *b))
    }

    fn go_on(
        &mut self,
        id: &str,
        header: &Header,
        tree: &mut Tree,
        record: &mut Record,
        request: &Request<'_>,
        reply: &mut Option<oneshot::Sender<Result<Vec<NodeId>>>>,
    ) -> Result<()> {
        let loaded = self.loaded;
        let bytes = |id: TokenId| loaded.model.token_bytes(id);
        let prompt: Vec<TokenId> = header.prompt.tokens.iter().map(|t| t.id).collect();
        let last = *prompt.last().context("the run's prompt has no tokens")?;
        let mut starts = Vec::new();
        for &node in request.nodes {
            if node.index() >= tree.len() {
                bail!("the run has no node {}", node.0);
            }
            if tree.stop(node) == Some(Stop::EndToken) {
                bail!("node {} is an end token: nothing follows it", node.0);
            }
            starts.push(match request.token {
                Some(token) => self.child(header, tree, record, node, token)?,
                None => node,
            });
        }
        self.tell(id, tree, record)?;
        if let Some(reply) = reply.take() {
            let _ = reply.send(Ok(starts.clone()));
        }
        let stale = || self.shared.ticket.load(Ordering::SeqCst) != request.ticket || terminal::interrupted();
        for start in starts {
            if tree.stop(start) == Some(Stop::EndToken) || stale() {
                continue;
            }
            let (strategy, max_nodes) = match request.how {
                How::Greedy { steps: 0 } => continue,
                How::Greedy { steps } => {
                    (Strategy::Beam(BeamParameters { width: 1, max_depth: steps, ..Default::default() }), usize::MAX)
                }
                How::Strategy { max_nodes } => {
                    let own = json!({ "strategy": header.strategy, "parameters": header.parameters });
                    (serde_json::from_value(own).context("the run's strategy is not known here")?, max_nodes)
                }
            };
            let policy = strategy.policy(loaded.model.end_tokens(), &Tree::default())?;
            let base = self.base(&prompt)?;
            self.pushed += tree.depth(start) + 1;
            let watch = setup::watched_ids(&header.watch);
            let vocab = loaded.model.vocab_size();
            let mut c = Continuation::new(&mut *self.session, vocab, base, last, tree, start, policy, KEEP, watch)?;
            while c.len() <= max_nodes && self.shared.ticket.load(Ordering::SeqCst) == request.ticket {
                let Some(changes) = c.step(tree)? else { break };
                for change in changes {
                    record.write(&change_events(tree, change, &bytes))?;
                }
                record.flush()?;
                let (length, nodes) = (record.len()?, tree.len());
                self.shared.store.update(id, |s| (s.length, s.nodes) = (length, nodes));
                if terminal::interrupted() {
                    break;
                }
            }
            self.pushed += c.len();
        }
        Ok(())
    }

    /// The node's child with this token, made if it is not there.
    fn child(
        &mut self,
        header: &Header,
        tree: &mut Tree,
        record: &mut Record,
        node: NodeId,
        token: TokenId,
    ) -> Result<NodeId> {
        if let Some(child) = tree.child(node, token) {
            return Ok(child);
        }
        let loaded = self.loaded;
        let bytes = |id: TokenId| loaded.model.token_bytes(id);
        let listed = tree.expansion(node).and_then(|e| e.top.iter().find(|t| t.id == token)).copied();
        let stats = match listed {
            Some(t) => t,
            None => {
                let prompt: Vec<TokenId> = header.prompt.tokens.iter().map(|t| t.id).collect();
                let base = self.base(&prompt)?;
                let tail: Vec<TokenId> = prompt.last().copied().into_iter().chain(tree.path(node)).collect();
                let at = *self.session.push_all(base, &tail)?.last().context("a prompt has tokens")?;
                self.pushed += tail.len();
                let tokens = [token];
                let query = Query { node: at, top: 10, tokens: &tokens, logits: false };
                let mut found = watch::evaluate(&mut *self.session, &[query], &setup::watched_ids(&header.watch))?;
                self.session.release(at);
                let (mut d, watched) = found.pop().context("one query, one answer")?;
                let stats = *d.tokens.first().context("the token was asked for")?;
                if tree.expansion(node).is_none() {
                    d.tokens.clear();
                    tree.expand_by_user(node, d, &[TokenStats { rank: 0, ..stats }]);
                    tree.set_watched(node, watched);
                    record.write(&change_events(tree, Change::ByUser(node), &bytes))?;
                    return tree.child(node, token).context("made above");
                }
                stats
            }
        };
        let child = tree.graft(node, token, stats.logprob);
        record.write(&change_events(tree, Change::Grafted(child), &bytes))?;
        if loaded.model.end_tokens().contains(&token) {
            tree.stop_node(child, Stop::EndToken);
            record.write(&change_events(tree, Change::Stopped(child, Stop::EndToken), &bytes))?;
        }
        Ok(child)
    }

    /// Says how long the file is now.
    fn tell(&self, id: &str, tree: &Tree, record: &mut Record) -> Result<()> {
        record.flush()?;
        let length = record.len()?;
        self.shared.store.update(id, |s| (s.length, s.nodes) = (length, tree.len()));
        Ok(())
    }

    fn distribution(&mut self, id: &str, node: NodeId, active: Option<&mut Active<'_>>) -> Result<Arc<Ranked>> {
        if let Some(known) = self.ranked.iter().find(|r| r.run == id && r.node == node) {
            return Ok(known.clone());
        }
        let (prompt, path) = {
            let (header, tree) = match active {
                Some(a) if a.id == id => (a.header, &*a.tree),
                _ => {
                    let idle = self.open(id)?;
                    (&idle.header, &idle.tree)
                }
            };
            if node.index() >= tree.len() {
                bail!("the run has no node {}", node.0);
            }
            let prompt: Vec<TokenId> = header.prompt.tokens.iter().map(|t| t.id).collect();
            (prompt, tree.path(node))
        };
        let base = self.base(&prompt)?;
        let tail: Vec<TokenId> = prompt.last().copied().into_iter().chain(path).collect();
        let at = *self.session.push_all(base, &tail)?.last().context("the run's prompt has no tokens")?;
        self.pushed += tail.len();
        let mut found = self.session.evaluate(&[Query { node: at, top: 0, tokens: &[], logits: true }])?;
        self.session.release(at);
        let d = found.pop().context("one query, one answer")?;
        let logits = d.logits.context("logits were asked for")?;
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        let logprob = |i: u32| (f64::from(logits[i as usize]) - d.logsumexp).min(0.0);
        let tokens = order.into_iter().map(|i| (TokenId(i), logprob(i))).collect();
        let (entropy, varentropy) = (d.entropy, d.varentropy);
        let ranked = Arc::new(Ranked { run: id.into(), node, tokens, entropy, varentropy });
        self.ranked.truncate(7);
        self.ranked.insert(0, ranked.clone());
        Ok(ranked)
    }
}

/// What a click asks for.
struct Request<'a> {
    nodes: &'a [NodeId],
    token: Option<TokenId>,
    how: How,
    ticket: u64,
}
