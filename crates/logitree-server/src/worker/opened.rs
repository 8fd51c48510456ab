//! A run that the engine's thread has open: its own strategy's work, and the requests that users made by hand.

use crate::store::{State, Store};
use logitree::{Error, ErrorKind, Exploration, Following, Ranked, Result};
use logitree_core::explore::{BeamParameters, Strategy};
use logitree_core::layers::LayerDistributions;
use logitree_core::run::EndReason;
use logitree_core::{NodeId, TokenId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Number of distributions that are cached for a run, as paging and searching ask for the same one again and again.
const RANKED: usize = 8;
/// Number of requests of one run that are worked on side by side. A new one beyond this ends the oldest.
const REQUESTS: usize = 8;

/// A request to continue from nodes by hand.
pub struct Request {
    /// The nodes to continue from.
    pub nodes: Vec<NodeId>,
    /// The token to continue with, whatever its probability; `None` lets the strategy choose.
    pub token: Option<TokenId>,
    /// How to continue, and how far.
    pub how: How,
}

/// The tokens that lead to a node.
pub struct Tokens {
    pub prompt: Vec<TokenId>,
    /// The tokens after the prompt.
    pub path: Vec<TokenId>,
}

/// How to continue from a node, and how far.
#[derive(Clone, Copy)]
pub enum How {
    /// Adds this many of the most likely tokens.
    Greedy { steps: usize },
    /// Uses the run's strategy, up to this many nodes.
    Strategy { max_nodes: usize },
}

/// A request in progress.
struct Asked {
    /// The nodes of the request that are not begun yet.
    starts: VecDeque<NodeId>,
    how: How,
    now: Option<Following>,
}

/// An open run.
pub struct Opened {
    /// Id of the run in the store.
    pub id: String,
    exploration: Exploration,
    /// Whether the run's own strategy is working.
    pub exploring: bool,
    /// The state to set when the run's own strategy has ended, if the user or the end of the program ended it early.
    pub end: Option<State>,
    asked: Vec<Asked>,
    ranked: Vec<(NodeId, Arc<Ranked>)>,
}

impl Opened {
    /// Makes an open run. `exploring` is true if the exploration was begun or resumed, false if it was only opened to
    /// add nodes by hand.
    pub fn new(id: &str, exploration: Exploration, exploring: bool) -> Opened {
        Opened { id: id.into(), exploration, exploring, end: None, asked: Vec::new(), ranked: Vec::new() }
    }

    /// Whether there is any work to do.
    pub fn is_busy(&self) -> bool {
        self.exploring || !self.asked.is_empty()
    }

    /// Whether requests made by hand are in progress.
    pub fn is_following(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Publishes the new length and number of nodes, so that clients read what was added, and how many requests are in
    /// progress.
    fn tell(&self, store: &Store) -> Result<()> {
        let (length, nodes) = (self.exploration.file_len()?, self.exploration.tree().len());
        store.update(&self.id, |s| (s.length, s.nodes, s.writing) = (length, nodes, self.asked.len()));
        Ok(())
    }

    /// Evaluates one level of the run's own strategy, or ends it if the user asked for that.
    pub fn explore(&mut self, store: &Store) -> Result<()> {
        let level = match self.end {
            None => self.exploration.next_level()?,
            Some(_) => None,
        };
        let Some(level) = level else { return self.close(store) };
        let e = &self.exploration;
        let (tree, policy) = (e.tree(), e.policy());
        let (length, completed) = (e.file_len()?, tree.finished().count());
        store.update(&self.id, |s| {
            (s.nodes, s.length, s.rate) = (tree.len(), length, level.rate);
            (s.completed, s.queue, s.threshold) = (completed, policy.queue(tree), policy.threshold(tree));
        });
        Ok(())
    }

    /// Ends the work of the run's own strategy.
    fn close(&mut self, store: &Store) -> Result<()> {
        self.exploring = false;
        let ended = self.end.take();
        let (reason, completed) = {
            let end = self.exploration.close()?;
            (end.reason, end.completed)
        };
        let state = match reason {
            EndReason::Interrupted => ended.unwrap_or(State::Interrupted),
            EndReason::Failed => State::Failed,
            _ => State::Finished,
        };
        let message = self.exploration.failure().map(|e| format!("{e:#}"));
        self.tell(store)?;
        store.update(&self.id, |s| (s.state, s.completed, s.message) = (state, completed, message));
        Ok(())
    }

    /// Begins a request made by hand; returns the nodes from which it continues.
    pub fn ask(&mut self, request: &Request, store: &Store) -> Result<Vec<NodeId>> {
        let mut starts = Vec::new();
        for &node in &request.nodes {
            if node.index() >= self.exploration.tree().len() {
                let message = format!("`nodes`: the run has no node {}", node.0);
                return Err(Error::new(ErrorKind::Parameter("nodes"), message));
            }
            self.exploration.check_open(node)?;
            starts.push(match request.token {
                Some(token) => self.exploration.child(node, token)?,
                None => node,
            });
        }
        store.update(&self.id, |s| s.message = None);
        if self.asked.len() >= REQUESTS {
            let oldest = self.asked.remove(0);
            self.halt_one(oldest)?;
        }
        self.asked.push(Asked { starts: starts.iter().copied().collect(), how: request.how, now: None });
        self.tell(store)?;
        Ok(starts)
    }

    /// Evaluates one batch of every request made by hand.
    pub fn follow(&mut self, store: &Store) -> Result<()> {
        let mut i = 0;
        while i < self.asked.len() {
            let asked = &mut self.asked[i];
            let going = follow(&mut self.exploration, asked);
            let ended = if matches!(going, Ok(true)) {
                i += 1;
                Ok(())
            } else {
                let over = self.asked.remove(i);
                self.halt_one(over)
            };
            // Clients learn that the request is over even if its end cannot be written.
            self.tell(store)?;
            ended?;
            going?;
        }
        Ok(())
    }

    /// Ends all requests made by hand.
    pub fn halt(&mut self, store: &Store) -> Result<()> {
        let halted = std::mem::take(&mut self.asked).into_iter().try_for_each(|asked| self.halt_one(asked));
        self.tell(store)?;
        halted
    }

    fn halt_one(&mut self, asked: Asked) -> Result<()> {
        asked.now.map_or(Ok(()), |following| self.exploration.end_following(following))
    }

    /// The distribution of the tokens after a node.
    pub fn distribution(&mut self, node: NodeId) -> Result<Arc<Ranked>> {
        if let Some((_, known)) = self.ranked.iter().find(|(n, _)| *n == node) {
            return Ok(known.clone());
        }
        let ranked = Arc::new(self.exploration.distribution(node)?);
        self.ranked.truncate(RANKED - 1);
        self.ranked.insert(0, (node, ranked.clone()));
        Ok(ranked)
    }

    /// The tokens of the run's prompt, and those of the path to a node.
    pub fn tokens(&self, node: NodeId) -> Result<Tokens> {
        self.exploration.check_node(node)?;
        let prompt = self.exploration.header().prompt.tokens.iter().map(|t| t.id).collect();
        Ok(Tokens { prompt, path: self.exploration.tree().path(node) })
    }

    /// What each layer of the model would have predicted after a node.
    pub fn layers(&mut self, node: NodeId, tokens: &[TokenId]) -> Result<LayerDistributions> {
        self.exploration.layers(node, tokens)
    }
}

/// Evaluates one batch of a request; returns false when the request is done.
fn follow(exploration: &mut Exploration, asked: &mut Asked) -> Result<bool> {
    if let Some(following) = &mut asked.now {
        if exploration.follow(following)? {
            return Ok(true);
        }
        if let Some(over) = asked.now.take() {
            exploration.end_following(over)?;
        }
    }
    while let Some(start) = asked.starts.pop_front() {
        let (strategy, max_nodes) = match asked.how {
            How::Greedy { steps: 0 } => continue,
            How::Greedy { steps } => {
                let greedy = BeamParameters { width: 1, max_depth: steps, ..Default::default() };
                (Some(Strategy::Beam(greedy)), usize::MAX)
            }
            How::Strategy { max_nodes } => (None, max_nodes),
        };
        asked.now = exploration.begin_following(start, strategy, max_nodes)?;
        if asked.now.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
