//! A session: the tree of paths that a model is asked about.

use crate::forward::{Buffers, Input, Observer};
use crate::kv::KvTree;
use crate::network::Network;
use logitree_core::{Distribution, Exactness, ModelError, NodeHandle, Query, Session, TokenId, TokenStats, logprob};
use logitree_kernels::{Summary, Wanted, head};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Exact evaluation of tree paths by the local engine.
pub struct LocalSession {
    network: Arc<Network>,
    kv: KvTree,
    buffers: Buffers,
}

impl LocalSession {
    pub(crate) fn new(network: Arc<Network>) -> LocalSession {
        let kv = KvTree::new(network.transformer.pages());
        LocalSession { network, kv, buffers: Buffers::default() }
    }

    /// Key/value rows held now.
    pub fn cached_rows(&self) -> usize {
        self.kv.rows()
    }

    /// Nodes that the session knows: those that were pushed and not forgotten, and the paths to them.
    pub fn nodes(&self) -> usize {
        self.kv.len()
    }

    /// Residual stream after every layer for one chain of tokens: `[layers + 1][tokens][hidden]`, the
    /// last after the final norm. For tests against a reference.
    ///
    /// # Errors
    /// If a token is none of the model's, or there are more of them than its context holds.
    pub fn hidden_states(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>, ModelError> {
        let nodes = self.push_all(None, tokens)?;
        let mut states = Vec::new();
        self.pass(&nodes, &vec![true; nodes.len()], Some(&mut |x| states.push(x.to_vec())))?;
        Ok(states)
    }

    /// Runs nodes whose ancestors have rows or come earlier in the list; returns the final states of those that are `wanted`, which
    /// says so for each node.
    fn pass(
        &mut self,
        nodes: &[NodeHandle],
        wanted: &[bool],
        observe: Option<Observer<'_>>,
    ) -> Result<&[f32], ModelError> {
        // Whatever can fail comes before rows are reserved: none may be left that was not filled.
        let tokens = || nodes.iter().map(|&node| self.kv.token(node));
        let embeddings: Vec<_> = tokens().map(|token| self.network.embedding(token)).collect::<Result<_, _>>()?;
        let of_layers: Vec<_> = tokens().map(|token| self.network.layer_embedding(token)).collect::<Result<_, _>>()?;
        // A chain shares the path of its last node: the paths of a batch take no quadratic space.
        let mut paths: Vec<Vec<u32>> = Vec::new();
        let mut place: Vec<(usize, usize)> = Vec::with_capacity(nodes.len());
        for (i, &node) in nodes.iter().enumerate() {
            let slot = self.kv.reserve(node);
            let follows = i > 0 && self.kv.ancestors(node).nth(1) == Some(nodes[i - 1]);
            match paths.last_mut() {
                Some(path) if follows => path.push(slot),
                _ => {
                    let mut path = Vec::with_capacity(self.kv.position(node) + 1);
                    for n in self.kv.ancestors(node) {
                        path.push(self.kv.slot(n).ok_or_else(|| broken("an ancestor has no row"))?);
                    }
                    path.reverse();
                    paths.push(path);
                }
            }
            place.push((paths.len() - 1, self.kv.position(node) + 1));
        }
        let mut inputs = Vec::with_capacity(nodes.len());
        for (i, (embedding, layers)) in embeddings.into_iter().zip(of_layers).enumerate() {
            let (path, len) = place[i];
            inputs.push(Input { embedding, layers, path: &paths[path][..len], wanted: wanted[i] });
        }
        let mut compute = self.network.compute();
        Ok(self.network.transformer.run(&mut compute, &mut self.kv.pages, &mut self.buffers, &inputs, observe))
    }

    /// Nodes to run for these queries: the queried ones and their ancestors without rows, parents first.
    fn plan(&self, queries: &[Query<'_>]) -> Vec<NodeHandle> {
        let mut nodes = BTreeSet::new();
        let numbered = |n| (self.kv.serial(n), n);
        for q in queries {
            nodes.insert(numbered(q.node));
            for n in self.kv.ancestors(q.node).skip(1) {
                if self.kv.slot(n).is_some() || !nodes.insert(numbered(n)) {
                    break;
                }
            }
        }
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

fn broken(what: &str) -> ModelError {
    ModelError::Engine(format!("internal error: {what}"))
}

impl Session for LocalSession {
    fn check(&self, parent: Option<NodeHandle>, tokens: &[TokenId]) -> Result<(), ModelError> {
        let config = &self.network.transformer.config;
        if parent.is_some_and(|p| !self.kv.contains(p)) {
            return Err(broken("unknown parent node"));
        }
        let needed = tokens.len() + parent.map_or(0, |p| self.kv.position(p) + 1);
        if needed > config.context {
            return Err(ModelError::ContextExceeded { needed, limit: config.context });
        }
        match tokens.iter().find(|t| t.index() >= config.vocab) {
            Some(&id) => Err(ModelError::UnknownToken { id, vocab: config.vocab }),
            None => Ok(()),
        }
    }

    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        self.check(parent, &[token])?;
        self.kv.push(parent, token).ok_or_else(|| broken("unknown parent node"))
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        if queries.iter().any(|q| !self.kv.contains(q.node)) {
            return Err(broken("unknown node"));
        }
        let vocab = self.network.transformer.config.vocab;
        if let Some(&id) = queries.iter().flat_map(|q| q.tokens).find(|t| t.index() >= vocab) {
            return Err(ModelError::UnknownToken { id, vocab });
        }
        let plan = self.plan(queries);
        // Only what was asked for lives on; ancestors made again on the way go with it.
        queries.iter().for_each(|q| self.kv.revive(q.node));
        let hidden = self.network.transformer.config.hidden;
        let mut answers: Vec<Option<Distribution>> = vec![None; queries.len()];
        let mut queried: Vec<NodeHandle> = queries.iter().map(|q| q.node).collect();
        queried.sort_unstable();
        let network = Arc::clone(&self.network);
        let batch = network.compute().arithmetic().batch();
        for nodes in plan.chunks(batch) {
            let wanted: Vec<bool> = nodes.iter().map(|node| queried.binary_search(node).is_ok()).collect();
            let states_of = nodes.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(&node, _)| node);
            let mut columns: Vec<(NodeHandle, usize)> = states_of.zip(0..).collect();
            columns.sort_unstable();
            // Several queries may name one node (and each gets its own answer).
            let mut asked: Vec<(usize, usize)> = Vec::new();
            for (i, q) in queries.iter().enumerate() {
                if let Ok(found) = columns.binary_search_by_key(&q.node, |&(node, _)| node) {
                    asked.push((i, columns[found].1));
                }
            }
            let states = self.pass(nodes, &wanted, None)?;
            let x: Vec<&[f32]> = asked.iter().map(|&(_, c)| &states[c * hidden..][..hidden]).collect();
            let tokens: Vec<Vec<u32>> =
                asked.iter().map(|&(i, _)| queries[i].tokens.iter().map(|t| t.0).collect()).collect();
            let summaries_of: Vec<Wanted<'_>> = asked
                .iter()
                .zip(&tokens)
                .map(|(&(i, _), tokens)| Wanted { top: queries[i].top, tokens, logits: queries[i].logits })
                .collect();
            let t = &network.transformer;
            let mut compute = network.compute();
            let summaries = head(&mut compute, &t.output, t.config.final_softcap, &x, &summaries_of);
            for (&(i, _), summary) in asked.iter().zip(summaries) {
                answers[i] = Some(distribution(queries[i].tokens, summary)?);
            }
        }
        answers.into_iter().map(|a| a.ok_or_else(|| broken("a query was not answered"))).collect()
    }

    fn forget(&mut self, node: NodeHandle) {
        if self.kv.contains(node) {
            self.kv.forget(node);
        }
    }

    fn release(&mut self, node: NodeHandle) {
        if self.kv.contains(node) {
            self.kv.release(node);
        }
    }
}

fn distribution(tokens: &[TokenId], s: Summary) -> Result<Distribution, ModelError> {
    if !s.logsumexp.is_finite() {
        return Err(ModelError::Engine(
            "the model produced logits that are not finite: its weights are damaged or overflow".into(),
        ));
    }
    let logprob = |logit: f32| logprob(logit, s.logsumexp);
    Ok(Distribution {
        top: (1..)
            .zip(&s.top)
            .map(|(rank, &(id, logit))| TokenStats { id: TokenId(id), logprob: logprob(logit), rank })
            .collect(),
        tokens: tokens
            .iter()
            .zip(&s.tokens)
            .map(|(&id, &(logit, rank))| TokenStats { id, logprob: logprob(logit), rank })
            .collect(),
        logsumexp: s.logsumexp,
        entropy: s.entropy,
        varentropy: s.varentropy,
        exactness: Exactness::Exact,
        logits: s.logits,
    })
}
