//! Growing a run's tree over a session.

use super::growth::{Growth, Source};
use super::{Change, Keep, Policy};
use crate::watch::{self, Watched};
use crate::{Distribution, ModelError, NodeHandle, NodeId, Query, Session, TokenId, Tree};

/// Grows a tree over a session.
pub struct Explorer<P> {
    /// The policy in charge.
    pub policy: P,
    /// The tree so far.
    pub tree: Tree,
    pub(super) source: Source,
    growth: Growth,
    /// The prompt's last token, and the session's node of all before it.
    last: TokenId,
    before: Option<NodeHandle>,
}

impl<P: Policy> Explorer<P> {
    /// Explores after `prompt`, which must not be empty, in an empty session of a model of `vocab` tokens. `tree` is empty for a
    /// new run, or what a stopped run had; `policy` must have been told of it. More tokens than the policy needs may be kept per step.
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
        let &last = prompt.last().ok_or_else(|| ModelError::Engine("the prompt has no tokens".into()))?;
        let mut nodes = session.push_all(None, prompt)?;
        let root = nodes.pop().ok_or_else(|| ModelError::Engine("the session gave the prompt no nodes".into()))?;
        let source = Source { session, vocab, keep: keep.into(), watch: Vec::new() };
        Ok(Explorer { policy, tree, source, growth: Growth::new(root), last, before: nodes.pop() })
    }

    /// Notes the probability of these strings at every step. None may be empty.
    pub fn watching(mut self, watch: Vec<Vec<TokenId>>) -> Self {
        assert!(watch.iter().all(|w| !w.is_empty()), "a watched string has at least one token");
        self.source.watch = watch;
        self
    }

    /// Evaluates nodes that the policy wants in one batch, as many as the session answers well together: a wide level comes
    /// in slices, between which the caller can serve others. Returns how many there were; 0 when the exploration is over.
    ///
    /// # Errors
    /// If the session cannot answer.
    pub fn evaluate(&mut self) -> Result<usize, ModelError> {
        self.growth.evaluate(&mut self.source, &self.policy, &self.tree)
    }

    /// Lets the policy visit one node. `None` when it waits for [`Explorer::evaluate`] or is done.
    pub fn visit(&mut self) -> Option<Change> {
        self.growth.visit(&mut self.source, &mut self.policy, &mut self.tree)
    }

    /// Asks for the distribution after any node, with the watched strings there: its `top` most likely tokens, those of `tokens`, and
    /// all logits if they are wanted. Neither the tree nor the policy learns of it.
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
        let query = Query { node: way.node, top, tokens, logits };
        let found = watch::evaluate(&mut *self.source.session, &[query], &self.source.watch);
        way.end(&mut self.source);
        found?.pop().ok_or_else(|| ModelError::Engine("the session did not answer".into()))
    }

    /// A session node for a tree node that is nobody else's: whatever the run lets go of, it stays.
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

/// A session node of its own for a tree node.
pub(super) struct Branch {
    pub(super) node: NodeHandle,
    /// Those of its ancestors that the run had no nodes for.
    above: Vec<NodeHandle>,
}

impl Branch {
    /// Lets go of it.
    pub(super) fn end(self, source: &mut Source) {
        for handle in std::iter::once(self.node).chain(self.above.into_iter().rev()) {
            source.session.forget(handle);
        }
    }
}
