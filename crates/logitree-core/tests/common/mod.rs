//! A model that is a function from paths to probabilities.

#![allow(dead_code)] // each test file uses a part

use logitree_core::*;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};

/// Probabilities of the next token after a path (the prompt included), `[vocab]`.
pub type Table = Arc<dyn Fn(&[TokenId]) -> Vec<f64> + Send + Sync>;

/// A table-driven model that checks how it is used.
pub struct TableModel {
    pub vocab: usize,
    pub end_tokens: Vec<TokenId>,
    pub table: Table,
}

/// Its session, which checks how it is used.
pub struct TableSession {
    table: Table,
    vocab: usize,
    nodes: Vec<(Option<NodeHandle>, TokenId)>,
    seen: Seen,
    /// Queries that are wanted at once.
    pub width: usize,
}

/// What a session was asked. A copy of it stays with the test when an explorer takes the session.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Counts>>);

#[derive(Default)]
pub struct Counts {
    /// Of each node: whether it was let go of, and whether it was promised that it is not named again.
    pub released: Vec<bool>,
    pub forgotten: Vec<bool>,
    /// Distributions that were made.
    pub evaluated: usize,
    pub batches: Vec<usize>,
}

impl Seen {
    pub fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap()
    }

    /// Nodes that were not let go of.
    pub fn live(&self) -> usize {
        self.lock().released.iter().filter(|r| !**r).count()
    }
}

impl TableModel {
    /// A tree of the model's paths, with the root alone.
    pub fn tree(&self) -> Tree {
        Tree::new(Bounds::new(&self.end_tokens, 0, 0))
    }

    pub fn open(&self) -> TableSession {
        let table = self.table.clone();
        TableSession { table, vocab: self.vocab, nodes: Vec::new(), seen: Seen::default(), width: 128 }
    }
}

impl TableSession {
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }
}

impl LanguageModel for TableModel {
    fn vocab_size(&self) -> usize {
        self.vocab
    }
    fn context_length(&self) -> usize {
        usize::MAX
    }
    fn end_tokens(&self) -> &[TokenId] {
        &self.end_tokens
    }
    fn bos(&self) -> Option<TokenId> {
        None
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        Cow::Owned(vec![b'a' + id.0 as u8])
    }
    fn is_special(&self, _: TokenId) -> bool {
        false
    }
    fn tokenize(&self, text: &str, _: bool) -> Result<Vec<TokenId>, ModelError> {
        Ok(text.bytes().map(|b| TokenId(u32::from(b - b'a'))).collect())
    }
    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        Ok(Box::new(self.open()))
    }
}

impl Session for TableSession {
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        let mut seen = self.seen.lock();
        assert!(parent.is_none_or(|p| !seen.forgotten[p.0 as usize]), "a forgotten node is named again");
        self.nodes.push((parent, token));
        seen.released.push(false);
        seen.forgotten.push(false);
        Ok(NodeHandle(self.nodes.len() as u32 - 1))
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        let mut seen = self.seen.lock();
        if !queries.is_empty() {
            seen.batches.push(queries.len());
        }
        seen.evaluated += queries.len();
        Ok(queries
            .iter()
            .map(|q| {
                assert!(!seen.forgotten[q.node.0 as usize], "a forgotten node is named again");
                let mut path: Vec<TokenId> = Vec::new();
                let mut at = Some(q.node);
                while let Some(n) = at {
                    path.push(self.nodes[n.0 as usize].1);
                    at = self.nodes[n.0 as usize].0;
                }
                path.reverse();
                let probs = (self.table)(&path);
                assert_eq!(probs.len(), self.vocab);
                let mut order: Vec<usize> = (0..probs.len()).collect();
                order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]).then(a.cmp(&b)));
                let stats = |rank: usize| TokenStats {
                    id: TokenId(order[rank] as u32),
                    logprob: probs[order[rank]].ln(),
                    rank: rank as u32 + 1,
                };
                Distribution {
                    top: (0..q.top.min(probs.len())).map(stats).collect(),
                    tokens: q
                        .tokens
                        .iter()
                        .map(|t| stats(order.iter().position(|&i| i == t.index()).expect("a token of the table")))
                        .collect(),
                    logsumexp: 0.0,
                    entropy: 0.0,
                    varentropy: 0.0,
                    exactness: Exactness::Exact,
                    logits: q.logits.then(|| probs.iter().map(|p| p.ln() as f32).collect()),
                    logits_sha256: None,
                }
            })
            .collect())
    }

    fn width(&self) -> usize {
        self.width
    }

    fn release(&mut self, node: NodeHandle) {
        let released = &mut self.seen.lock().released[node.0 as usize];
        assert!(!std::mem::replace(released, true), "released twice");
    }

    fn forget(&mut self, node: NodeHandle) {
        let mut seen = self.seen.lock();
        seen.released[node.0 as usize] = true;
        assert!(!std::mem::replace(&mut seen.forgotten[node.0 as usize], true), "forgotten twice");
    }
}

/// A random but fixed distribution for every path: some sharp, some flat, with exact ties.
pub fn hashed(seed: u64, vocab: usize) -> Table {
    Arc::new(move |path| {
        let mut h = seed;
        for t in path {
            h = (h ^ u64::from(t.0 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        }
        let weights: Vec<f64> = (0..vocab)
            .map(|i| {
                let x = (h.wrapping_mul(2 * i as u64 + 3) >> 60) as f64 + 0.25;
                x.powi((h >> 3) as i32 % 4)
            })
            .collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    })
}
