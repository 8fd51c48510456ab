//! A session: the tree of paths that a model is asked about.
//!
//! A node is one token after its parent's path. Pushing a node computes nothing. `evaluate` answers queries about
//! nodes:
//!
//! ```text
//! plan   = queried nodes, and their ancestors without a cached row; parents first
//! for each batch of the plan:
//!     run the batch; each node gets a row of keys and values, queried nodes also a final state
//!     multiply the final states with the output matrix, and summarise the logits for each query
//! ```
//!
//! A queried node is always computed again, because only its keys and values are cached, not its final state.

use crate::depth;
use crate::distribution::distribution;
use crate::forward::{Buffers, Input, Observer};
use crate::kv::KvTree;
use crate::network::Network;
use logitree_core::layers::LayerDistributions;
use logitree_core::{Distribution, ModelError, NodeHandle, Query, Session, TokenId};
use logitree_kernels::{Wanted, head};
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

    /// Number of key/value rows in the cache, one for each computed node.
    pub fn cached_rows(&self) -> usize {
        self.kv.rows()
    }

    /// Number of nodes in the session: those that were pushed and not forgotten, and all their ancestors.
    pub fn nodes(&self) -> usize {
        self.kv.len()
    }

    /// Residual stream before the first layer and after every layer, for one chain of tokens: `[layers +
    /// 1][tokens][hidden]`. The last entry is taken after the final norm. Used by tests that compare with a reference
    /// implementation.
    ///
    /// # Errors
    /// If a token is not in the model's vocabulary, or the chain is longer than the model's context.
    pub fn hidden_states(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>, ModelError> {
        let nodes = self.push_all(None, tokens)?;
        let mut states = Vec::new();
        let normed = self.pass(&nodes, &vec![true; nodes.len()], Some(&mut |x| states.push(x.to_vec())))?.to_vec();
        if let Some(last) = states.last_mut() {
            *last = normed;
        }
        Ok(states)
    }

    /// Computes the rows of `nodes`. Each ancestor of a node must have a row, or come earlier in the list. Returns the
    /// normed final states, `[wanted][hidden]`, of the nodes whose entry in `wanted` is true.
    fn pass(
        &mut self,
        nodes: &[NodeHandle],
        wanted: &[bool],
        observe: Option<Observer<'_>>,
    ) -> Result<&[f32], ModelError> {
        // Embeddings are read before rows are reserved, because reading can fail: a reserved row that is never filled
        // would be read as if it had been computed.
        let tokens = || nodes.iter().map(|&node| self.kv.token(node));
        let embeddings: Vec<_> = tokens().map(|token| self.network.embedding(token)).collect::<Result<_, _>>()?;
        let of_layers: Vec<_> = tokens().map(|token| self.network.layer_embedding(token)).collect::<Result<_, _>>()?;
        // A node that follows its parent in the batch shares its parent's path, which it extends by one slot. A
        // separate path for each node of a chain would take memory quadratic in the chain's length.
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

    /// Refuses queries for nodes or tokens that there are none of.
    fn check_queries(&self, queries: &[Query<'_>]) -> Result<(), ModelError> {
        if queries.iter().any(|q| !self.kv.contains(q.node)) {
            return Err(broken("unknown node"));
        }
        let vocab = self.network.transformer.config.vocab;
        match queries.iter().flat_map(|q| q.tokens).find(|t| t.index() >= vocab) {
            Some(&id) => Err(ModelError::UnknownToken { id, vocab }),
            None => Ok(()),
        }
    }

    /// The nodes to compute for these queries: the queried nodes, and those of their ancestors that have no row.
    /// Parents come first.
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

/// Which nodes of a batch are queried; and for each query of one of them, its index and the place of its node among
/// those that are queried. Several queries may name the same node: its state is computed once, and each gets its own
/// answer.
fn asked_of(queries: &[Query<'_>], nodes: &[NodeHandle]) -> (Vec<bool>, Vec<(usize, usize)>) {
    let mut queried: Vec<NodeHandle> = queries.iter().map(|q| q.node).collect();
    queried.sort_unstable();
    let wanted: Vec<bool> = nodes.iter().map(|node| queried.binary_search(node).is_ok()).collect();
    let states_of = nodes.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(&node, _)| node);
    let mut columns: Vec<(NodeHandle, usize)> = states_of.zip(0..).collect();
    columns.sort_unstable();
    let column = |q: &Query<'_>| columns.binary_search_by_key(&q.node, |&(node, _)| node).ok().map(|at| columns[at].1);
    let asked = queries.iter().enumerate().filter_map(|(i, q)| Some((i, column(q)?))).collect();
    (wanted, asked)
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
        self.check_queries(queries)?;
        let plan = self.plan(queries);
        // Only queried nodes become live again. Ancestors that are computed again on the way are freed together with
        // them.
        queries.iter().for_each(|q| self.kv.revive(q.node));
        let hidden = self.network.transformer.config.hidden;
        let mut answers: Vec<Option<Distribution>> = vec![None; queries.len()];
        let network = Arc::clone(&self.network);
        let batch = network.compute().arithmetic().batch();
        for nodes in plan.chunks(batch) {
            let (wanted, asked) = asked_of(queries, nodes);
            let states = self.pass(nodes, &wanted, None)?;
            let x: Vec<&[f32]> = asked.iter().map(|&(_, c)| &states[c * hidden..][..hidden]).collect();
            let tokens: Vec<Vec<u32>> =
                asked.iter().map(|&(i, _)| queries[i].tokens.iter().map(|t| t.0).collect()).collect();
            let summaries_of: Vec<Wanted<'_>> = asked
                .iter()
                .zip(&tokens)
                .map(|(&(i, _), tokens)| {
                    let Query { top, logits, hash, .. } = queries[i];
                    Wanted { top, tokens, logits, hash }
                })
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

    fn layers(&mut self, queries: &[Query<'_>]) -> Result<Vec<LayerDistributions>, ModelError> {
        self.check_queries(queries)?;
        let network = Arc::clone(&self.network);
        let batch = network.compute().arithmetic().batch();
        let mut answers = vec![None; queries.len()];
        queries.iter().for_each(|q| self.kv.revive(q.node));
        for nodes in self.plan(queries).chunks(batch) {
            let (wanted, asked) = asked_of(queries, nodes);
            let mut streams: Vec<Vec<f32>> = Vec::new();
            self.pass(nodes, &wanted, Some(&mut |x| streams.push(x.to_vec())))?;
            if asked.is_empty() {
                continue;
            }
            let columns: Vec<usize> = asked.iter().map(|&(_, column)| column).collect();
            let of: Vec<&Query<'_>> = asked.iter().map(|&(i, _)| &queries[i]).collect();
            let found = depth::distributions(&network, &streams, &columns, &of)?;
            asked.iter().zip(found).for_each(|(&(i, _), found)| answers[i] = Some(found));
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
