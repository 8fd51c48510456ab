//! The tokens of all sequences as one tree: what begins alike is evaluated once, and kept for a while.

use logitree_core::{Distribution, LanguageModel, ModelError, NodeHandle, Query, Session, TokenId};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Rows that are kept for later requests when no sequence needs them.
const KEEP: usize = 2048;
/// Longest list that is remembered with a node.
const REMEMBERED: usize = 32;

struct Node {
    token: TokenId,
    parent: Option<u32>,
    handle: NodeHandle,
    children: u32,
    /// Sequences that go through this node.
    pins: u32,
    /// It has its row, or gets it in this step.
    planned: bool,
    /// What was found out about it, without logits.
    known: Option<Rc<Distribution>>,
    /// When it was last let go of.
    used: u64,
}

/// A question about a node.
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
    /// Leaves that no sequence needs, by when they were let go of.
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

    /// Forgets everything; nothing may be pinned.
    pub fn clear(&mut self) -> Result<(), ModelError> {
        *self = Paths::new(self.model)?;
        Ok(())
    }

    /// Nodes that sequences need.
    pub fn pinned(&self) -> usize {
        self.pinned
    }

    fn at(&self, id: u32) -> &Node {
        self.nodes[id as usize].as_ref().expect("ids are of nodes that are pinned, or have pinned children")
    }

    fn at_mut(&mut self, id: u32) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("ids are of nodes that are pinned, or have pinned children")
    }

    /// How many of these tokens are not on a path that some sequence needs anyway.
    pub fn missing(&self, tokens: &[TokenId]) -> usize {
        let mut parent = None;
        let shared = tokens.iter().take_while(|&&token| {
            parent = self.children.get(&(parent, token)).copied();
            parent.is_some_and(|id| self.at(id).pins > 0)
        });
        tokens.len() - shared.count()
    }

    /// The node of a token after another, made if it is not there, and pinned.
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

    /// Unpins a sequence's whole path; what nobody needs is kept while there is room.
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
            // A row that was never made is not worth keeping.
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

    /// Takes out a leaf that nobody needs.
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

    /// Sees to it that the node has its row after this step; whether that is work.
    pub fn plan(&mut self, node: u32) -> bool {
        !std::mem::replace(&mut self.at_mut(node).planned, true)
    }

    /// Answers all questions in one batch.
    pub fn evaluate(&mut self, asks: &[Ask]) -> Result<Vec<Rc<Distribution>>, ModelError> {
        // One query per node: what several sequences want of it is read off the same column.
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

    /// Whether the answer is known already.
    pub fn knows(&self, ask: &Ask) -> bool {
        self.answer(ask).is_some()
    }
}

/// What is asked of the session about a node.
struct Wanted {
    node: u32,
    handle: NodeHandle,
    top: usize,
    tokens: Vec<TokenId>,
    logits: bool,
}

impl Wanted {
    fn query(&self) -> Query<'_> {
        Query { node: self.handle, top: self.top, tokens: &self.tokens, logits: self.logits }
    }
}

/// A copy without the logits.
fn lean(d: &Distribution) -> Distribution {
    Distribution {
        top: d.top.clone(),
        tokens: d.tokens.clone(),
        logits: None,
        logsumexp: d.logsumexp,
        entropy: d.entropy,
        varentropy: d.varentropy,
        exactness: d.exactness,
    }
}
