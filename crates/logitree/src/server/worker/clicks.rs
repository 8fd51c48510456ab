//! What a click asks of the model: to go on from a node, or a node's whole distribution.

use super::{Opened, Shared, TOP};
use crate::setup::Loaded;
use crate::terminal;
use anyhow::{Context, Result, bail};
use logitree_core::explore::{BeamParameters, Change, Continuation, Strategy};
use logitree_core::run::change_events;
use logitree_core::watch::Watched;
use logitree_core::{Distribution, Exactness, NodeId, Stop, TokenId, TokenStats, Tree};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

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
    ranked: Vec<Arc<Ranked>>,
}

impl<'m> Clicks<'m> {
    pub fn new(shared: &'m Shared, loaded: &'m Loaded) -> Self {
        Clicks { shared, loaded, ranked: Vec::new() }
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
            check(&run.explorer.tree, node)?;
            if run.explorer.tree.stop(node) == Some(Stop::EndToken) {
                bail!("node {} is an end token: nothing follows it", node.0);
            }
            if run.explorer.tree.is_full(node) {
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
            if run.explorer.tree.stop(start) != Some(Stop::EndToken) && !run.explorer.tree.is_full(start) {
                self.follow(run, start, request, between)?;
            }
        }
        Ok(())
    }

    /// Lets the model go on below a node.
    fn follow(&self, run: &mut Opened<'_>, start: NodeId, request: &Request, between: &mut dyn FnMut()) -> Result<()> {
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
        let bytes = self.bytes();
        let (shared, ticket) = (self.shared, request.ticket);
        let stale = || shared.ticket.load(Ordering::SeqCst) != ticket || terminal::interrupted();
        let mut c = Continuation::new(run.explorer, start, policy)?;
        let mut went = || {
            while c.nodes() <= max_nodes && !stale() {
                let Some(changes) = c.step(run.explorer)? else { break };
                for change in changes {
                    run.record.write(&change_events(&run.explorer.tree, change, &bytes))?;
                }
                run.tell(&shared.store)?;
                between();
            }
            Ok(())
        };
        let done = went();
        c.finish(run.explorer);
        done
    }

    /// The distribution after a node of a run, and its watched strings.
    fn ask(
        &self,
        run: &mut Opened<'_>,
        node: NodeId,
        tokens: &[TokenId],
        whole: bool,
    ) -> Result<(Distribution, Vec<Watched>)> {
        let logits = whole && self.loaded.model.exactness() == Exactness::Exact;
        // A server lists no more than it is asked for, and no more than it can.
        let top = if whole && !logits { self.loaded.model.vocab_size() } else { TOP };
        Ok(run.explorer.ask(node, top, tokens, logits)?)
    }

    /// The node's child with this token, made if it is not there.
    fn child(&self, run: &mut Opened<'_>, node: NodeId, token: TokenId) -> Result<NodeId> {
        if let Some(child) = run.explorer.tree.child(node, token) {
            return Ok(child);
        }
        let listed = run.explorer.tree.expansion(node).and_then(|e| e.top.iter().find(|t| t.id == token)).copied();
        let bytes = self.bytes();
        let change = match listed {
            Some(t) => Change::Grafted(run.explorer.tree.graft(node, token, t.logprob)),
            None => {
                let (d, watched) = self.ask(run, node, &[token], false)?;
                let stats = TokenStats { rank: 0, ..*d.tokens.first().context("the token was asked for")? };
                if run.explorer.tree.expansion(node).is_some() {
                    Change::Grafted(run.explorer.tree.graft(node, token, stats.logprob))
                } else {
                    run.explorer.tree.expand_by_user(node, d, &[stats]);
                    run.explorer.tree.set_watched(node, watched);
                    Change::ByUser(node)
                }
            }
        };
        run.record.write(&change_events(&run.explorer.tree, change, &bytes))?;
        let child = run.explorer.tree.child(node, token).context("made above")?;
        let stop = match run.explorer.tree.is_end(child) {
            true => Some(Stop::EndToken),
            false => run.explorer.tree.is_full(child).then_some(Stop::Context),
        };
        if let Some(stop) = stop {
            run.explorer.tree.stop_node(child, stop);
            run.record.write(&change_events(&run.explorer.tree, Change::Stopped(child, stop), &bytes))?;
        }
        Ok(child)
    }

    /// All tokens after a node.
    pub fn distribution(&mut self, run: &mut Opened<'_>, node: NodeId) -> Result<Arc<Ranked>> {
        if let Some(known) = self.ranked.iter().find(|r| r.run == run.id && r.node == node) {
            return Ok(known.clone());
        }
        check(&run.explorer.tree, node)?;
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
