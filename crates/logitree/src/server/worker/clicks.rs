//! What a click asks of the model: to go on from a node, or a node's whole distribution.

use super::{Opened, Shared, TOP};
use crate::setup::{self, Loaded};
use crate::terminal;
use anyhow::{Context, Result, bail};
use logitree_core::explore::{BeamParameters, Change, Continuation, Keep, Strategy};
use logitree_core::run::{Header, change_events};
use logitree_core::watch::{self, Watched};
use logitree_core::{Distribution, Exactness, NodeHandle, NodeId, Query, Session, Stop, TokenId, TokenStats, Tree};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// Nodes named in a session before it is made anew: what it caches has no other bound.
const SESSION_NODES: usize = 20_000;
/// Distributions that are kept: paging and searching ask for the same one again and again.
const RANKED: usize = 8;

/// Going on by hand.
pub struct Request {
    pub nodes: Vec<NodeId>,
    /// Go on with this token, whatever its probability.
    pub token: Option<TokenId>,
    pub how: How,
    /// A later request makes this one end early.
    pub ticket: u64,
}

/// How to go on.
#[derive(Clone, Copy)]
pub enum How {
    /// Greedily so many steps.
    Greedy { steps: usize },
    /// As the run's strategy does, up to so many nodes.
    Strategy { max_nodes: usize },
}

/// All tokens after a node, most likely first.
pub struct Ranked {
    run: String,
    node: NodeId,
    pub tokens: Vec<(TokenId, f64)>,
    pub entropy: f64,
    pub varentropy: f64,
    pub exactness: Exactness,
}

/// What clicks need of the model.
pub struct Clicks<'m> {
    shared: &'m Shared,
    loaded: &'m Loaded,
    session: Box<dyn Session + 'm>,
    /// The prompt that the session has, and its node of all its tokens but the last.
    base: Option<(Vec<TokenId>, Option<NodeHandle>)>,
    /// Nodes that the session was told of.
    pushed: usize,
    ranked: Vec<Arc<Ranked>>,
}

impl<'m> Clicks<'m> {
    pub fn new(shared: &'m Shared, loaded: &'m Loaded) -> Result<Self> {
        let session = loaded.model.session()?;
        Ok(Clicks { shared, loaded, session, base: None, pushed: 0, ranked: Vec::new() })
    }

    /// Makes the session anew before it is used again.
    pub fn renew(&mut self) {
        self.base = None;
    }

    /// Forgets what is held of a run.
    pub fn forget(&mut self, run: &str) {
        self.ranked.retain(|r| r.run != run);
    }

    fn bytes(&self) -> impl Fn(TokenId) -> Cow<'m, [u8]> + use<'m> {
        let model = &self.loaded.model;
        move |id| model.token_bytes(id)
    }

    /// Goes on from nodes of a run; `reply` is sent as soon as these are there. `between` is called after every step.
    pub fn go_on(
        &mut self,
        run: &mut Opened<'_>,
        request: &Request,
        reply: &mut Option<oneshot::Sender<Result<Vec<NodeId>>>>,
        between: &mut dyn FnMut(),
    ) -> Result<()> {
        let mut starts = Vec::new();
        for &node in &request.nodes {
            check(run.tree, node)?;
            if run.tree.stop(node) == Some(Stop::EndToken) {
                bail!("node {} is an end token: nothing follows it", node.0);
            }
            if run.tree.is_full(node) {
                bail!("the path to node {} fills the model's context: nothing can follow it", node.0);
            }
            starts.push(match request.token {
                Some(token) => self.child(run, node, token)?,
                None => node,
            });
        }
        run.tell(&self.shared.store)?;
        self.shared.store.update(run.id, |s| s.message = None);
        if let Some(reply) = reply.take() {
            let _ = reply.send(Ok(starts.clone()));
        }
        for start in starts {
            if run.tree.stop(start) != Some(Stop::EndToken) && !run.tree.is_full(start) {
                self.follow(run, start, request, between)?;
            }
        }
        Ok(())
    }

    /// Lets the model go on below a node.
    fn follow(
        &mut self,
        run: &mut Opened<'_>,
        start: NodeId,
        request: &Request,
        between: &mut dyn FnMut(),
    ) -> Result<()> {
        let loaded = self.loaded;
        let header = run.header;
        let (strategy, max_nodes) = match request.how {
            How::Greedy { steps: 0 } => return Ok(()),
            How::Greedy { steps } => {
                (Strategy::Beam(BeamParameters { width: 1, max_depth: steps, ..Default::default() }), usize::MAX)
            }
            How::Strategy { max_nodes } => {
                let own = json!({ "strategy": header.strategy, "parameters": header.parameters });
                (serde_json::from_value(own).context("the run's strategy is not known here")?, max_nodes)
            }
        };
        // It begins with a tree of its own.
        let policy = strategy.policy(&Tree::default())?;
        let (base, last) = self.base(header)?;
        self.pushed += run.tree.depth(start) + 1;
        let (vocab, watch) = (loaded.model.vocab_size(), setup::watched_ids(&header.watch));
        let bytes = self.bytes();
        let (shared, ticket) = (self.shared, request.ticket);
        let stale = || shared.ticket.load(Ordering::SeqCst) != ticket || terminal::interrupted();
        let session = &mut *self.session;
        let keep = Keep::Top(TOP);
        let mut c = Continuation::new(session, vocab, base, last, run.tree, start, policy, keep, watch)?;
        while c.nodes() <= max_nodes && !stale() {
            let Some(changes) = c.step(run.tree)? else { break };
            for change in changes {
                run.record.write(&change_events(run.tree, change, &bytes))?;
            }
            run.tell(&shared.store)?;
            between();
        }
        self.pushed += c.nodes();
        Ok(())
    }

    /// The session's node of a header's prompt without its last token, and that token.
    fn base(&mut self, header: &Header) -> Result<(Option<NodeHandle>, TokenId)> {
        let prompt: Vec<TokenId> = header.prompt.tokens.iter().map(|t| t.id).collect();
        let (&last, before) = prompt.split_last().context("the run's prompt has no tokens")?;
        let known = self.base.as_ref().filter(|(p, _)| *p == prompt && self.pushed <= SESSION_NODES);
        if let Some((_, base)) = known {
            return Ok((*base, last));
        }
        self.session = self.loaded.model.session()?;
        let base = self.session.push_all(None, before)?.last().copied();
        self.pushed = before.len();
        self.base = Some((prompt, base));
        Ok((base, last))
    }

    /// The distribution after a node of a run, and its watched strings.
    fn ask(
        &mut self,
        run: &Opened<'_>,
        node: NodeId,
        tokens: &[TokenId],
        whole: bool,
    ) -> Result<(Distribution, Vec<Watched>)> {
        let logits = whole && self.loaded.model.exactness() == Exactness::Exact;
        let (base, last) = self.base(run.header)?;
        let tail: Vec<TokenId> = std::iter::once(last).chain(run.tree.path(node)).collect();
        let at = *self.session.push_all(base, &tail)?.last().context("the last token of the prompt at least")?;
        self.pushed += tail.len();
        // A server lists no more than it is asked for, and no more than it can.
        let top = if whole && !logits { self.loaded.model.vocab_size() } else { TOP };
        let query = Query { node: at, top, tokens, logits };
        let found = watch::evaluate(&mut *self.session, &[query], &setup::watched_ids(&run.header.watch));
        self.session.release(at);
        found?.pop().context("one query, one answer")
    }

    /// The node's child with this token, made if it is not there.
    fn child(&mut self, run: &mut Opened<'_>, node: NodeId, token: TokenId) -> Result<NodeId> {
        if let Some(child) = run.tree.child(node, token) {
            return Ok(child);
        }
        let listed = run.tree.expansion(node).and_then(|e| e.top.iter().find(|t| t.id == token)).copied();
        let bytes = self.bytes();
        let change = match listed {
            Some(t) => Change::Grafted(run.tree.graft(node, token, t.logprob)),
            None => {
                let (d, watched) = self.ask(run, node, &[token], false)?;
                let stats = TokenStats { rank: 0, ..*d.tokens.first().context("the token was asked for")? };
                if run.tree.expansion(node).is_some() {
                    Change::Grafted(run.tree.graft(node, token, stats.logprob))
                } else {
                    run.tree.expand_by_user(node, d, &[stats]);
                    run.tree.set_watched(node, watched);
                    Change::ByUser(node)
                }
            }
        };
        run.record.write(&change_events(run.tree, change, &bytes))?;
        let child = run.tree.child(node, token).context("made above")?;
        let stop = match run.tree.is_end(child) {
            true => Some(Stop::EndToken),
            false => run.tree.is_full(child).then_some(Stop::Context),
        };
        if let Some(stop) = stop {
            run.tree.stop_node(child, stop);
            run.record.write(&change_events(run.tree, Change::Stopped(child, stop), &bytes))?;
        }
        Ok(child)
    }

    /// All tokens after a node.
    pub fn distribution(&mut self, run: &Opened<'_>, node: NodeId) -> Result<Arc<Ranked>> {
        if let Some(known) = self.ranked.iter().find(|r| r.run == run.id && r.node == node) {
            return Ok(known.clone());
        }
        check(run.tree, node)?;
        let (d, _) = self.ask(run, node, &[], true)?;
        let tokens = match d.logits {
            Some(logits) => {
                let mut order: Vec<u32> = (0..logits.len() as u32).collect();
                order.sort_unstable_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
                let logprob = |i: u32| (f64::from(logits[i as usize]) - d.logsumexp).min(0.0);
                order.into_iter().map(|i| (TokenId(i), logprob(i))).collect()
            }
            // All that servers list.
            None => d.top.iter().map(|t| (t.id, t.logprob)).collect(),
        };
        let Distribution { entropy, varentropy, exactness, .. } = d;
        let ranked = Arc::new(Ranked { run: run.id.into(), node, tokens, entropy, varentropy, exactness });
        self.ranked.truncate(RANKED - 1);
        self.ranked.insert(0, ranked.clone());
        Ok(ranked)
    }
}

fn check(tree: &Tree, node: NodeId) -> Result<()> {
    if node.index() >= tree.len() {
        bail!("the run has no node {}", node.0);
    }
    Ok(())
}
