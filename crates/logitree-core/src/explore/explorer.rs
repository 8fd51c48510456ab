//! Runs a policy on a session. The caller alternates [`Explorer::evaluate`], which asks the session about a batch of
//! nodes, and [`Explorer::visit`], which lets the policy use one of the answers.

use super::growth::{Growth, Source};
use super::{Change, Keep, Policy};
use crate::layers::LayerDistributions;
use crate::watch::{self, Watched};
use crate::{Distribution, ModelError, NodeHandle, NodeId, Query, Session, TokenId, Tree};

/// A policy, the tree that it grows, and the model's session that answers it.
pub struct Explorer<P> {
    /// The policy that decides how the tree grows.
    pub policy: P,
    /// The tree so far.
    pub tree: Tree,
    pub(super) source: Source,
    growth: Growth,
    /// The prompt's last token. `before` is the session's node of the token before it, `None` if the prompt has one
    /// token. [`Explorer::branch`] pushes the last token again below `before` if it needs a second node for the root.
    last: TokenId,
    before: Option<NodeHandle>,
}

/// A token of a session after which an exploration begins.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The session's node of the token.
    pub node: NodeHandle,
    /// The token.
    pub token: TokenId,
    /// The session's node of the token before it; `None` if there is none.
    pub before: Option<NodeHandle>,
}

impl<P: Policy> Explorer<P> {
    /// Starts or resumes an exploration after `prompt`, which must not be empty. `session` is empty; `vocab` is the
    /// number of tokens in the model's vocabulary. `tree` is empty for a new run, or that of a stopped run; `policy`
    /// must have been made from the same tree. `keep` says how many tokens of each distribution are recorded if the
    /// policy needs fewer.
    ///
    /// # Errors
    /// If the prompt is empty, or the session refuses it.
    pub fn new(
        mut session: Box<dyn Session>,
        vocab: usize,
        prompt: &[TokenId],
        policy: P,
        tree: Tree,
        keep: impl Into<Keep>,
    ) -> Result<Self, ModelError> {
        let &token = prompt.last().ok_or_else(|| ModelError::Engine("the prompt has no tokens".into()))?;
        let mut nodes = session.push_all(None, prompt)?;
        let node = nodes.pop().ok_or_else(|| ModelError::Engine("the session gave the prompt no nodes".into()))?;
        let place = Place { node, token, before: nodes.pop() };
        Ok(Explorer::after(session, vocab, place, policy, tree, keep))
    }

    /// Starts or resumes an exploration after a token that the caller has pushed. The other arguments are those of
    /// [`Explorer::new`].
    pub fn after(
        session: Box<dyn Session>,
        vocab: usize,
        place: Place,
        policy: P,
        tree: Tree,
        keep: impl Into<Keep>,
    ) -> Self {
        let source = Source { session, vocab, keep: keep.into(), watch: Vec::new(), hash: false };
        Explorer { policy, tree, source, growth: Growth::new(place.node), last: place.token, before: place.before }
    }

    /// Ends the exploration and gives the session back. Its nodes are forgotten, except the one that the exploration
    /// began after and those before it.
    pub fn into_session(mut self) -> Box<dyn Session> {
        self.growth.end(&mut self.source);
        self.source.session
    }

    /// Records the probability of these strings, given as tokens, at every expanded node.
    ///
    /// # Panics
    /// If a string has no tokens.
    pub fn watching(mut self, watch: Vec<Vec<TokenId>>) -> Self {
        assert!(watch.iter().all(|w| !w.is_empty()), "a watched string has at least one token");
        self.source.watch = watch;
        self
    }

    /// Records the hash of all logits at every expanded node, or does not.
    pub fn hashing(mut self, hash: bool) -> Self {
        self.source.hash = hash;
        self
    }

    /// Evaluates one batch of the nodes that the policy wants. The batch is as wide as the session answers efficiently,
    /// so a wide level of the tree comes in slices, between which the caller can serve others. Returns the number of
    /// nodes; 0 if the policy wants none.
    ///
    /// # Errors
    /// If the session cannot answer.
    pub fn evaluate(&mut self) -> Result<usize, ModelError> {
        self.growth.evaluate(&mut self.source, &self.policy, &self.tree)
    }

    /// Lets the policy visit one node: expand it or make it a leaf. `None` when the policy waits for
    /// [`Explorer::evaluate`] or the exploration is over.
    pub fn visit(&mut self) -> Option<Change> {
        self.growth.visit(&mut self.source, &mut self.policy, &mut self.tree)
    }

    /// The distribution after any node of the tree, and the probabilities of the watched strings there. The
    /// distribution has the `top` most likely tokens, those in `tokens`, and all logits if `logits` is set. Neither the
    /// tree nor the policy changes.
    ///
    /// # Errors
    /// If the session cannot answer.
    pub fn ask(
        &mut self,
        n: NodeId,
        top: usize,
        tokens: &[TokenId],
        logits: bool,
    ) -> Result<(Distribution, Vec<Watched>), ModelError> {
        let way = self.branch(n)?;
        let query = Query { node: way.node, top, tokens, logits, hash: self.source.hash };
        let found = watch::evaluate(&mut *self.source.session, &[query], &self.source.watch);
        way.end(&mut self.source);
        let (distribution, watched) =
            found?.pop().ok_or_else(|| ModelError::Engine("the session did not answer".into()))?;
        self.source.check_hash(&distribution)?;
        Ok((distribution, watched))
    }

    /// What each layer of the model would have predicted after any node of the tree; see [`Session::layers`]. Neither
    /// the tree nor the policy changes.
    ///
    /// # Errors
    /// If the session does not see the model's layers, or cannot answer.
    pub fn layers(&mut self, n: NodeId, tokens: &[TokenId]) -> Result<LayerDistributions, ModelError> {
        let way = self.branch(n)?;
        let found = self.source.session.layers(&[Query { tokens, ..Query::top(way.node, 1) }]);
        way.end(&mut self.source);
        found?.pop().ok_or_else(|| ModelError::Engine("the session did not answer".into()))
    }

    /// Pushes a session node for a tree node that the caller alone owns: it stays valid when the run forgets its own
    /// node of the same path.
    pub(super) fn branch(&mut self, n: NodeId) -> Result<Branch, ModelError> {
        let mut tokens = Vec::new();
        let mut at = n;
        let above = loop {
            let Some(parent) = self.tree.parent(at) else {
                tokens.push(self.last);
                break self.before;
            };
            tokens.extend(self.tree.token(at));
            if let Some(handle) = self.growth.held(parent) {
                break Some(handle);
            }
            at = parent;
        };
        tokens.reverse();
        let mut above = self.source.session.push_all(above, &tokens)?;
        let node = above.pop().ok_or_else(|| ModelError::Engine("the session gave a path no nodes".into()))?;
        Ok(Branch { node, above })
    }
}

/// A session node that [`Explorer::branch`] made for its caller alone.
pub(super) struct Branch {
    pub(super) node: NodeHandle,
    /// Session nodes of the ancestors that the run did not hold, pushed for this branch; the topmost first.
    above: Vec<NodeHandle>,
}

impl Branch {
    /// Forgets the node, then the ancestors that were pushed for it, from the bottom up.
    pub(super) fn end(self, source: &mut Source) {
        for handle in std::iter::once(self.node).chain(self.above.into_iter().rev()) {
            source.session.forget(handle);
        }
    }
}
