//! Adding to a run by hand: going on from any of its nodes, with any token.
//!
//! The run's own strategy is not disturbed: what is added is marked as the user's, and a run that is growing goes on beside it.

use super::{Exploration, Held, Limits, read, strategy_of};
use crate::Model;
use crate::error::{Context, Result, fail};
use logitree_core::explore::{Change, Continuation, Paused, Strategy};
use logitree_core::run::{EndReason, end_event};
use logitree_core::{Distribution, Exactness, NodeId, Stop, TokenId, TokenStats, Tree, logprob};

/// An exploration below a node that somebody asked for, under way.
pub struct Following {
    continuation: Continuation,
    max_nodes: usize,
}

/// All tokens after a node, most likely first; of a server, all that it lists.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Each with its logprob in nats.
    pub tokens: Vec<(TokenId, f64)>,
    /// In nats.
    pub entropy: f64,
    /// In nats².
    pub varentropy: f64,
    /// Whether these are exact.
    pub exactness: Exactness,
}

impl Exploration {
    /// Opens a run to be added to by hand, however it ended. Its own strategy does not go on.
    ///
    /// # Errors
    /// If another model made it, or the file cannot be read.
    pub fn open(model: &Model, held: Held) -> Result<Exploration> {
        let run = read(model, &held)?;
        let limits = Limits::of(&run);
        let record = held.append(run.valid_bytes)?;
        let mut opened = Exploration::new(model, run.header, Box::new(Paused), run.tree, record, &limits, run.seconds)?;
        opened.ended = Some(run.end.as_ref().map_or(EndReason::Interrupted, |e| e.reason));
        opened.end = run.end;
        Ok(opened)
    }

    /// Refuses a node after which nothing can come.
    ///
    /// # Errors
    /// If there is no such node, it is an end token, or its path fills the model's context.
    pub fn check_open(&self, node: NodeId) -> Result<()> {
        self.check(node)?;
        if self.tree().stop(node) == Some(Stop::EndToken) {
            fail!(Conflict, "node {} is an end token: nothing follows it", node.0);
        }
        if self.tree().is_full(node) {
            fail!(Conflict, "the path to node {} fills the model's context: nothing can follow it", node.0);
        }
        Ok(())
    }

    fn check(&self, node: NodeId) -> Result<()> {
        if node.index() >= self.tree().len() {
            fail!(NotFound, "the run has no node {}", node.0);
        }
        Ok(())
    }

    /// The node's child with this token, made if it is not there.
    ///
    /// # Errors
    /// As for [`Exploration::check_open`]; or the model fails, or the file cannot be written.
    pub fn child(&mut self, node: NodeId, token: TokenId) -> Result<NodeId> {
        self.check_open(node)?;
        if let Some(child) = self.tree().child(node, token) {
            return Ok(child);
        }
        let listed = self.tree().expansion(node).and_then(|e| e.top.iter().find(|t| t.id == token)).copied();
        let change = match listed {
            Some(t) => Change::Grafted(self.explorer.tree.graft(node, token, t.logprob)),
            None => {
                let (d, watched) = self.explorer.ask(node, self.listed(), &[token], false)?;
                let stats = TokenStats { rank: 0, ..*d.tokens.first().context("the token was asked for")? };
                let tree = &mut self.explorer.tree;
                if tree.expansion(node).is_some() {
                    Change::Grafted(tree.graft(node, token, stats.logprob))
                } else {
                    tree.expand_by_user(node, d, &[stats]);
                    tree.set_watched(node, watched);
                    Change::ByUser(node)
                }
            }
        };
        self.write_changes(&[change])?;
        let child = self.tree().child(node, token).context("made above")?;
        let stop = match self.tree().is_end(child) {
            true => Some(Stop::EndToken),
            false => self.tree().is_full(child).then_some(Stop::Context),
        };
        if let Some(stop) = stop {
            self.explorer.tree.stop_node(child, stop);
            self.write_changes(&[Change::Stopped(child, stop)])?;
        }
        self.added()?;
        Ok(child)
    }

    /// Tokens that are listed of a step that somebody asked for.
    fn listed(&self) -> usize {
        match self.limits.keep {
            logitree_core::explore::Keep::Top(n) => n.max(10),
            logitree_core::explore::Keep::Mass(_) => 10,
        }
    }

    /// Goes on below a node by a strategy of its own (the run's, if `None`), up to so many nodes; [`Exploration::follow`] does
    /// the steps. Nothing is done where nothing can follow.
    ///
    /// # Errors
    /// If there is no such node, or the strategy cannot be.
    pub fn begin_following(
        &mut self,
        from: NodeId,
        strategy: Option<Strategy>,
        max_nodes: usize,
    ) -> Result<Option<Following>> {
        self.check(from)?;
        if self.tree().stop(from) == Some(Stop::EndToken) || self.tree().is_full(from) {
            return Ok(None);
        }
        let strategy = strategy.map_or_else(|| strategy_of(&self.header), Ok)?;
        // It begins with a tree of its own.
        let policy = strategy.policy(&Tree::default())?;
        let continuation = Continuation::new(&mut self.explorer, from, policy)?;
        Ok(Some(Following { continuation, max_nodes }))
    }

    /// Evaluates one batch of it, and writes down what came of that. False when it is done.
    ///
    /// # Errors
    /// If the model fails, or the file cannot be written. It is still to be ended.
    pub fn follow(&mut self, following: &mut Following) -> Result<bool> {
        if following.continuation.nodes() > following.max_nodes {
            return Ok(false);
        }
        let Some(changes) = following.continuation.step(&mut self.explorer)? else { return Ok(false) };
        self.write_changes(&changes)?;
        self.added()?;
        Ok(true)
    }

    /// Lets go of what it held of the model, at its end or before. What it found stays.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end_following(&mut self, following: Following) -> Result<()> {
        following.continuation.finish(&mut self.explorer);
        self.added()
    }

    /// Goes on below a node by a strategy of its own, to its end.
    ///
    /// # Errors
    /// As for [`Exploration::begin_following`] and [`Exploration::follow`].
    pub fn expand(&mut self, from: NodeId, strategy: Strategy) -> Result<()> {
        let Some(mut following) = self.begin_following(from, Some(strategy), usize::MAX)? else { return Ok(()) };
        let followed = loop {
            match self.follow(&mut following) {
                Ok(true) if !self.model.events().stop() => {}
                outcome => break outcome,
            }
        };
        self.end_following(following)?;
        followed.map(drop)
    }

    /// Makes what was added readable. A run that has ended says so again, as what it ended with has changed.
    fn added(&mut self) -> Result<()> {
        self.record.flush()?;
        let end = self.end.as_ref().filter(|end| end.nodes != self.explorer.tree.len());
        if let Some(end) = end.map(|end| end_event(&self.explorer.tree, end.reason, end.seconds)) {
            self.write_end(end)?;
        }
        Ok(())
    }

    /// All tokens after a node.
    ///
    /// # Errors
    /// If there is no such node, or the model fails.
    pub fn distribution(&mut self, node: NodeId) -> Result<Ranked> {
        self.check(node)?;
        let logits = self.model.exactness() == Exactness::Exact;
        // A server lists no more than it is asked for, and no more than it can.
        let top = if logits { 1 } else { self.model.vocab_size() };
        let (d, _) = self.explorer.ask(node, top, &[], logits)?;
        let Distribution { top, logits, logsumexp, entropy, varentropy, exactness, .. } = d;
        let tokens = match logits {
            Some(logits) => {
                let mut order: Vec<u32> = (0..logits.len() as u32).collect();
                order.sort_unstable_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
                order.into_iter().map(|i| (TokenId(i), logprob(logits[i as usize], logsumexp))).collect()
            }
            None => top.iter().map(|t| (t.id, t.logprob)).collect(),
        };
        Ok(Ranked { tokens, entropy, varentropy, exactness })
    }
}
