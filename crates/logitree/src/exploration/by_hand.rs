//! Adding nodes to a run by hand: continuing from any node, with any token.
//!
//! This does not disturb the run's own strategy: added nodes are marked as the user's, and a run that is growing
//! continues to grow.

use super::{Exploration, Held, Limits, read, strategy_of};
use crate::Model;
use crate::error::{Context, Result, fail};
use logitree_core::explore::{BeamParameters, Change, Continuation, Paused, Strategy};
use logitree_core::layers::LayerDistributions;
use logitree_core::run::{EndReason, end_event};
use logitree_core::{Distribution, Exactness, NodeId, Stop, TokenId, TokenStats, Tree, logprob};

/// An exploration below a node that the user asked for, in progress.
pub struct Following {
    continuation: Continuation,
    max_nodes: usize,
}

/// All tokens after a node, most likely first. A server gives only those that it lists.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The tokens, with log probabilities in nats.
    pub tokens: Vec<(TokenId, f64)>,
    /// Entropy of the distribution, in nats.
    pub entropy: f64,
    /// Varentropy of the distribution, in nats².
    pub varentropy: f64,
    /// Whether these numbers are exact.
    pub exactness: Exactness,
}

impl Exploration {
    /// Opens a run to add nodes by hand, whatever ended it. Its own strategy does not continue.
    ///
    /// # Errors
    /// If another model made the run, or the file cannot be read.
    pub fn open(model: &Model, held: Held) -> Result<Exploration> {
        let run = read(model, &held)?;
        let limits = Limits::of(&run);
        let record = held.append(run.valid_bytes)?;
        let mut opened = Exploration::new(model, run.header, Box::new(Paused), run.tree, record, &limits, run.seconds)?;
        opened.ended = Some(run.end.as_ref().map_or(EndReason::Interrupted, |e| e.reason));
        opened.end = run.end;
        Ok(opened)
    }

    /// Refuses a node after which no token can come.
    ///
    /// # Errors
    /// If the node does not exist, is an end token, or its path fills the model's context.
    pub fn check_open(&self, node: NodeId) -> Result<()> {
        self.check_node(node)?;
        if self.tree().stop(node) == Some(Stop::EndToken) {
            fail!(Conflict, "node {} is an end token: nothing follows it", node.0);
        }
        if self.tree().is_full(node) {
            fail!(Conflict, "the path to node {} fills the model's context: nothing can follow it", node.0);
        }
        Ok(())
    }

    /// Refuses a node that the run does not have.
    ///
    /// # Errors
    /// If the node does not exist.
    pub fn check_node(&self, node: NodeId) -> Result<()> {
        if node.index() >= self.tree().len() {
            fail!(NotFound, "the run has no node {}", node.0);
        }
        Ok(())
    }

    /// The child of a node with this token. It is made if it does not exist.
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
                if stats.logprob == f64::NEG_INFINITY {
                    fail!(Conflict, "this run's sampler never draws token {} after node {}", token.0, node.0);
                }
                self.note_order()?;
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

    /// Number of tokens that are listed for a step that the user asked for.
    fn listed(&self) -> usize {
        match self.limits.keep {
            logitree_core::explore::Keep::Top(n) => n.max(10),
            logitree_core::explore::Keep::Mass(_) => 10,
        }
    }

    /// Begins to explore below a node, up to `max_nodes` nodes, with a strategy of its own (the run's, if `None`). The
    /// steps are done by [`Exploration::follow`]. `None` if no token can follow the node.
    ///
    /// # Errors
    /// If the node does not exist, the strategy's parameters are not valid, or it has a sampler that is not the run's.
    pub fn begin_following(
        &mut self,
        from: NodeId,
        strategy: Option<Strategy>,
        max_nodes: usize,
    ) -> Result<Option<Following>> {
        self.check_node(from)?;
        if self.tree().stop(from) == Some(Stop::EndToken) || self.tree().is_full(from) {
            return Ok(None);
        }
        let strategy = strategy.map_or_else(|| strategy_of(&self.header), Ok)?;
        if strategy.sampler().is_some() && strategy.sampler() != self.header.sampler() {
            fail!(Conflict, "the run's probabilities are not this sampler's: leave the strategy's sampler out");
        }
        // The strategy begins with an empty tree of its own.
        let policy = strategy.policy(&Tree::default())?;
        let continuation = Continuation::new(&mut self.explorer, from, policy)?;
        Ok(Some(Following { continuation, max_nodes }))
    }

    /// Evaluates one batch and writes the new nodes down. Returns false when the exploration is done.
    ///
    /// # Errors
    /// If the model fails, or the file cannot be written. [`Exploration::end_following`] must still be called.
    pub fn follow(&mut self, following: &mut Following) -> Result<bool> {
        if following.continuation.nodes() > following.max_nodes {
            return Ok(false);
        }
        let Some(changes) = following.continuation.step(&mut self.explorer)? else { return Ok(false) };
        self.note_order()?;
        self.write_changes(&changes)?;
        self.added()?;
        Ok(true)
    }

    /// Ends an exploration, finished or not, and frees what it holds of the model. The nodes that it found stay.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end_following(&mut self, following: Following) -> Result<()> {
        following.continuation.finish(&mut self.explorer);
        self.added()
    }

    /// Explores below a node with a strategy of its own, until the strategy is done.
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

    /// Writes on below a node: with this token, if there is one, then with the most likely tokens, `steps` in all. Returns
    /// the nodes of these tokens. There are fewer if nothing can follow, or the listener of the model's events asks to
    /// stop.
    ///
    /// # Errors
    /// As for [`Exploration::child`].
    pub fn write_on(&mut self, from: NodeId, token: Option<TokenId>, steps: usize) -> Result<Vec<NodeId>> {
        self.check_open(from)?;
        let mut path = Vec::new();
        if let Some(token) = token {
            path.push(self.child(from, token)?);
        }
        let at = path.last().copied().unwrap_or(from);
        let more = steps.saturating_sub(path.len());
        if more > 0 {
            let greedy = BeamParameters { width: 1, max_depth: more, ..BeamParameters::default() };
            self.expand(at, Strategy::Beam(greedy))?;
        }
        let likeliest = |n: NodeId| {
            let children = self.tree().children(n).iter().copied();
            children.max_by(|&a, &b| self.tree().logprob(a).total_cmp(&self.tree().logprob(b)).then(b.cmp(&a)))
        };
        path.extend(std::iter::successors(likeliest(at), |&n| likeliest(n)).take(more));
        Ok(path)
    }

    /// Flushes the added nodes, so that others can read them. If the run had ended, its closing line is written again
    /// with the new numbers.
    fn added(&mut self) -> Result<()> {
        self.record.flush()?;
        let end = self.end.as_ref().filter(|end| end.nodes != self.explorer.tree.len());
        if let Some(end) = end.map(|end| end_event(&self.explorer.tree, end.reason, end.seconds)) {
            self.write_end(end)?;
        }
        Ok(())
    }

    /// What each layer of the model would have predicted after a node, with the numbers of these tokens besides those of
    /// the two most likely ones.
    ///
    /// # Errors
    /// If the model is not in this process, the node or a token does not exist, or the model fails.
    pub fn layers(&mut self, node: NodeId, tokens: &[TokenId]) -> Result<LayerDistributions> {
        self.model.need_layers("`layers`")?;
        self.check_node(node)?;
        Ok(self.explorer.layers(node, tokens)?)
    }

    /// The distribution of the tokens after a node.
    ///
    /// # Errors
    /// If the node does not exist, or the model fails.
    pub fn distribution(&mut self, node: NodeId) -> Result<Ranked> {
        self.check_node(node)?;
        let logits = self.model.exactness() == Exactness::Exact;
        // A server lists only as many tokens as it is asked for, so it is asked for all; it gives as many as it can.
        let top = if logits { 1 } else { self.model.vocab_size() };
        let (d, _) = self.explorer.ask(node, top, &[], logits)?;
        let Distribution { top, logits, logsumexp, entropy, varentropy, exactness, .. } = d;
        let tokens = match logits {
            Some(logits) => {
                let mut order: Vec<u32> = (0..logits.len() as u32).collect();
                order.sort_unstable_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
                // Tokens that a sampler cuts cannot come.
                let possible = order.into_iter().filter(|&i| logits[i as usize] > f32::NEG_INFINITY);
                possible.map(|i| (TokenId(i), logprob(logits[i as usize], logsumexp))).collect()
            }
            None => top.iter().map(|t| (t.id, t.logprob)).collect(),
        };
        Ok(Ranked { tokens, entropy, varentropy, exactness })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, GenerateOptions};

    include!("../../tests/common/tiny.rs");

    #[test]
    fn a_text_is_written_on_below_any_node() {
        let folder = tiny_model();
        let model = Model::open(folder.path().to_str().unwrap()).unwrap();
        let prompt = model.prompt("hello world").unwrap();
        let strategy = Strategy::named("best-first").unwrap();
        let limits = Limits { max_nodes: Some(20), ..Limits::default() };
        let mut made = Exploration::begin(&model, &prompt, strategy, &[], &limits, Destination::Nowhere).unwrap();
        made.next_level().unwrap();
        let greedy: Vec<TokenId> = model
            .generate(&prompt, &GenerateOptions { max_new_tokens: 4, ..Default::default() })
            .unwrap()
            .map(|t| t.unwrap().token.id)
            .collect();
        // An unlikely token first, so that the likeliest child is not the first one.
        let rare = made.distribution(NodeId::ROOT).unwrap().tokens.last().unwrap().0;
        let mine = made.write_on(NodeId::ROOT, Some(rare), 1).unwrap();
        assert_eq!((mine.len(), made.tree().token(mine[0])), (1, Some(rare)));
        let path = made.write_on(NodeId::ROOT, None, 4).unwrap();
        let tokens: Vec<TokenId> = path.iter().filter_map(|&n| made.tree().token(n)).collect();
        assert_eq!(tokens, greedy);
        assert_eq!(made.write_on(NodeId::ROOT, Some(greedy[0]), 4).unwrap(), path);
        assert!(made.write_on(NodeId(u32::MAX), None, 1).is_err());
        let so_far = made.so_far();
        assert_eq!((so_far.tree.len(), so_far.end.is_none()), (made.tree().len(), true));
        assert_eq!(made.finish().unwrap().run.tree, so_far.tree);
    }

    #[test]
    fn a_run_of_another_order_of_sums_is_gone_on_with_by_hand_if_it_is_exact() {
        let folder = tiny_model();
        let open = |arithmetic: Option<&str>, orders: &[u32]| {
            let model = Model::open(folder.path().to_str().unwrap()).unwrap();
            let mut record = model.record().unwrap();
            (record.arithmetic, record.summation_orders) = (arithmetic.map(Into::into), orders.into());
            Model::of(model, record, std::sync::Arc::new(crate::Quiet))
        };
        for (arithmetic, refused) in [(None, false), (Some("bf16x3"), false), (Some("8-bit"), true)] {
            let path = folder.path().join("r");
            let model = open(arithmetic, &[1]);
            let limits = Limits { max_nodes: Some(20), ..Limits::default() };
            let target = Destination::Named(crate::output::Target::check(&path, true, &[]).unwrap());
            let prompt = model.prompt("hello world").unwrap();
            let strategy = Strategy::named("best-first").unwrap();
            Exploration::begin(&model, &prompt, strategy, &[], &limits, target).unwrap().run(|_, _| ()).unwrap();
            let before = std::fs::read_to_string(&path).unwrap();
            let opened = Exploration::open(&open(arithmetic, &[2]), Held::open(&path).unwrap());
            if refused {
                let error = opened.map(drop).unwrap_err().to_string();
                assert!(error.contains("8-bit activations and order 1 of sums"), "{error}");
                assert!(Exploration::open(&model, Held::open(&path).unwrap()).is_ok());
                continue;
            }
            let mut opened = opened.unwrap();
            // Looking changes nothing, and neither does taking a token whose number is recorded.
            let rare = opened.distribution(NodeId::ROOT).unwrap().tokens.last().unwrap().0;
            let listed = opened.tree().expansion(NodeId::ROOT).unwrap().top.last().unwrap().id;
            opened.child(NodeId::ROOT, listed).unwrap();
            assert!(!std::fs::read_to_string(&path).unwrap().contains("\"summation_orders\":[1,2]"));
            opened.child(NodeId::ROOT, rare).unwrap();
            opened.write_on(NodeId::ROOT, None, 3).unwrap();
            drop(opened);
            let after = std::fs::read_to_string(&path).unwrap();
            assert!(after.starts_with(&before));
            assert_eq!(after.matches("\"summation_orders\":[1,2]").count(), 1, "{after}");
            let run = crate::import::run_file(&path).unwrap();
            assert_eq!(run.header.model.orders(), [1, 2]);
            // Another copy says so at its beginning.
            let mut copy = Vec::new();
            logitree_core::run::write_run(&run, &mut copy).unwrap();
            assert!(String::from_utf8(copy).unwrap().lines().next().unwrap().contains("\"summation_orders\":[1,2]"));
        }
    }
}
