//! A tree of the token paths of all sequences, over one session of the model.
//!
//! Sequences that begin alike share nodes, so a common prefix is evaluated once. Each node counts the sequences on it
//! (`pins`). When the last one leaves, the node is kept as a cache for later requests. A node can be removed only if
//! it is unpinned and has no children; such nodes are in `idle`, ordered by the time when they were released. While
//! there are more than [`KEEP`] nodes, the oldest idle one is removed, and its parent may become idle in turn, with
//! its own time.

use logitree_core::{Distribution, LanguageModel, ModelError, NodeHandle, Query, Session, TokenId};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Number of nodes up to which rows are kept for later requests when no sequence needs them.
const KEEP: usize = 2048;
/// Largest list of tokens that is cached with a node.
const REMEMBERED: usize = 32;

struct Node {
    token: TokenId,
    parent: Option<u32>,
    handle: NodeHandle,
    children: u32,
    /// Number of sequences that go through this node.
    pins: u32,
    /// Whether the node has its row in the session's cache, or gets it in this step.
    planned: bool,
    /// The distribution after the node, if it was computed and its list is not too long; without logits.
    known: Option<Rc<Distribution>>,
    /// Time (on `clock`) at which the last sequence left the node.
    used: u64,
}

/// A question about the distribution after a node.
pub struct Ask {
    pub node: u32,
    pub top: usize,
    pub token: Option<TokenId>,
    pub logits: bool,
}

impl Ask {
    fn is_answered_by(&self, d: &Distribution, vocab: usize) -> bool {
        let listed = |t: &TokenId| d.tokens.iter().chain(&d.top).any(|s| s.id == *t);
        d.top.len() >= self.top.min(vocab) && !self.logits && self.token.iter().all(listed)
    }
}

/// A tree of token paths over one session.
pub struct Paths<'m> {
    model: &'m dyn LanguageModel,
    session: Box<dyn Session>,
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    children: HashMap<(Option<u32>, TokenId), u32>,
    /// Nodes that no sequence needs and that have no children, with the time of their release, oldest first.
    idle: BTreeSet<(u64, u32)>,
    pinned: usize,
    clock: u64,
}

impl<'m> Paths<'m> {
    pub fn new(model: &'m dyn LanguageModel) -> Result<Self, ModelError> {
        Ok(Paths {
            model,
            session: model.session()?,
            nodes: Vec::new(),
            free: Vec::new(),
            children: HashMap::new(),
            idle: BTreeSet::new(),
            pinned: 0,
            clock: 0,
        })
    }

    /// Removes all nodes. No sequence may hold any.
    pub fn clear(&mut self) -> Result<(), ModelError> {
        *self = Paths::new(self.model)?;
        Ok(())
    }

    /// Number of nodes that sequences need.
    pub fn pinned(&self) -> usize {
        self.pinned
    }

    fn at(&self, id: u32) -> &Node {
        self.nodes[id as usize].as_ref().expect("ids are of nodes that are pinned, or have pinned children")
    }

    fn at_mut(&mut self, id: u32) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("ids are of nodes that are pinned, or have pinned children")
    }

    /// How many of these tokens would need new pinned nodes: those behind the prefix that some sequence needs already.
    pub fn missing(&self, tokens: &[TokenId]) -> usize {
        let mut parent = None;
        let shared = tokens.iter().take_while(|&&token| {
            parent = self.children.get(&(parent, token)).copied();
            parent.is_some_and(|id| self.at(id).pins > 0)
        });
        tokens.len() - shared.count()
    }

    /// Finds or makes the node of a token after a parent, and pins it.
    pub fn enter(&mut self, parent: Option<u32>, token: TokenId) -> Result<u32, ModelError> {
        if let Some(&id) = self.children.get(&(parent, token)) {
            let node = self.at_mut(id);
            node.pins += 1;
            if node.pins == 1 {
                let used = node.used;
                self.pinned += 1;
                self.idle.remove(&(used, id));
            }
            return Ok(id);
        }
        let above = parent.map(|p| self.at(p).handle);
        let handle = self.session.push(above, token)?;
        let node = Node { token, parent, handle, children: 0, pins: 1, planned: false, known: None, used: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                (self.nodes.len() - 1) as u32
            }
        };
        self.children.insert((parent, token), id);
        if let Some(parent) = parent {
            self.at_mut(parent).children += 1;
        }
        self.pinned += 1;
        Ok(id)
    }

    /// Unpins the whole path of a sequence. Nodes that no sequence needs are kept while there is room.
    pub fn leave(&mut self, path: &[u32]) {
        self.clock += 1;
        let now = self.clock;
        for &id in path.iter().rev() {
            let node = self.at_mut(id);
            node.pins -= 1;
            if node.pins > 0 {
                continue;
            }
            node.used = now;
            // A node whose row was never planned holds nothing worth keeping.
            let (is_leaf, is_empty) = (node.children == 0, !node.planned);
            self.pinned -= 1;
            match (is_leaf, is_empty) {
                (true, true) => self.remove(id),
                (true, false) => drop(self.idle.insert((now, id))),
                (false, _) => {}
            }
        }
        while self.nodes.len() - self.free.len() > KEEP {
            let Some((_, oldest)) = self.idle.pop_first() else { break };
            self.remove(oldest);
        }
    }

    /// Removes an unpinned node without children.
    fn remove(&mut self, id: u32) {
        let Some(node) = self.nodes[id as usize].take() else { return };
        self.session.forget(node.handle);
        self.children.remove(&(node.parent, node.token));
        self.free.push(id);
        if let Some(parent) = node.parent {
            let above = self.at_mut(parent);
            above.children -= 1;
            if above.children == 0 && above.pins == 0 {
                let used = above.used;
                self.idle.insert((used, parent));
            }
        }
    }

    /// Marks that the node will have its row after this step. Returns true if the row is new, so that it costs work.
    pub fn plan(&mut self, node: u32) -> bool {
        !std::mem::replace(&mut self.at_mut(node).planned, true)
    }

    /// Answers all questions; those that are not known already are evaluated in one batch.
    pub fn evaluate(&mut self, asks: &[Ask]) -> Result<Vec<Rc<Distribution>>, ModelError> {
        // Make one query per node, which asks for everything that several sequences want to know of it.
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut answers: Vec<Result<Rc<Distribution>, usize>> = Vec::with_capacity(asks.len());
        for ask in asks {
            if let Some(known) = self.answer(ask) {
                answers.push(Ok(known));
                continue;
            }
            let place = *places.entry(ask.node).or_insert_with(|| {
                let handle = self.at(ask.node).handle;
                wanted.push(Wanted { node: ask.node, handle, top: 1, tokens: Vec::new(), logits: false });
                wanted.len() - 1
            });
            let w = &mut wanted[place];
            w.top = w.top.max(ask.top);
            w.logits |= ask.logits;
            w.tokens.extend(ask.token.filter(|t| !w.tokens.contains(t)));
            answers.push(Err(place));
        }
        let queries: Vec<Query<'_>> = wanted.iter().map(Wanted::query).collect();
        let found = if queries.is_empty() { Vec::new() } else { self.session.evaluate(&queries)? };
        let found: Vec<Rc<Distribution>> = found.into_iter().map(Rc::new).collect();
        for (w, d) in wanted.iter().zip(&found).filter(|(_, d)| d.top.len() <= REMEMBERED) {
            let lean = lean(d);
            self.at_mut(w.node).known = Some(Rc::new(lean));
        }
        Ok(answers.into_iter().map(|a| a.unwrap_or_else(|place| found[place].clone())).collect())
    }

    fn answer(&self, ask: &Ask) -> Option<Rc<Distribution>> {
        let vocab = self.model.vocab_size();
        self.at(ask.node).known.clone().filter(|d| ask.is_answered_by(d, vocab))
    }

    /// Whether the question can be answered without the model.
    pub fn knows(&self, ask: &Ask) -> bool {
        self.answer(ask).is_some()
    }
}

/// The combined question about one node, for the session.
struct Wanted {
    node: u32,
    handle: NodeHandle,
    top: usize,
    tokens: Vec<TokenId>,
    logits: bool,
}

impl Wanted {
    fn query(&self) -> Query<'_> {
        Query { tokens: &self.tokens, logits: self.logits, ..Query::top(self.handle, self.top) }
    }
}

/// A copy of the distribution without its logits, which are large.
fn lean(d: &Distribution) -> Distribution {
    Distribution {
        top: d.top.clone(),
        tokens: d.tokens.clone(),
        logits: None,
        logits_sha256: None,
        logsumexp: d.logsumexp,
        entropy: d.entropy,
        varentropy: d.varentropy,
        exactness: d.exactness,
    }
}
