//! Reads a run file line by line. Every statement of a line is checked, since the file may come from anywhere.

use super::{By, End, Event, Expand, FORMAT, Header, NewNode, Token, VERSION};
use crate::tree::{State, Turn};
use crate::{Distribution, NodeId, Stop, TokenId, TokenStats, Tree};
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read};

/// Largest length of a line in bytes: enough for a full distribution of a million tokens.
pub const MAX_LINE: usize = 1 << 28;

/// Byte order mark in UTF-8, which some editors put before a text.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads a line, with its line feed, into `line`, whose old content is dropped. Returns the number of bytes, 0 at the
/// end of the file. A line longer than [`MAX_LINE`] is cut one byte above this length, and [`RunReader::feed`] refuses
/// it.
///
/// # Errors
/// If reading fails.
pub fn read_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    file.take(MAX_LINE as u64 + 1).read_until(b'\n', line)
}

/// What is wrong with a run file, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ReadError {
    /// The line's number, counted from 1.
    pub line: usize,
    /// What is wrong, and how to fix it if that is known.
    pub what: String,
}

/// A run file's content.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The header, with the budgets and the orders of sums of all `end` lines.
    pub header: Header,
    /// The tree of the run.
    pub tree: Tree,
    /// The last `end` line, if nothing came after it.
    pub end: Option<End>,
    /// Raw bytes of every token that the file names.
    pub texts: HashMap<TokenId, Box<[u8]>>,
    /// Seconds spent exploring, as the last `end` line read says. A part that was killed before it wrote one is not
    /// counted.
    pub seconds: f64,
    /// Length in bytes up to the last complete event; a resumed run is appended there.
    pub valid_bytes: u64,
    /// Whether an incomplete event follows: the program was killed while it wrote.
    pub torn: bool,
}

impl Run {
    /// Raw bytes of a token; nothing for one that the file does not name.
    pub fn bytes(&self, id: TokenId) -> &[u8] {
        self.texts.get(&id).map_or(&[], |b| b)
    }

    /// Text from below the root to the node; characters split over tokens are whole.
    pub fn text(&self, n: NodeId) -> String {
        crate::token::decode(self.tree.path(n).iter().map(|&t| self.bytes(t)))
    }
}

/// An `expand` whose `node` lines are not all read yet.
struct Pending {
    expand: Expand,
    children: Vec<TokenStats>,
    samples: Vec<u32>,
    /// Tokens of these children and of those that the node has already.
    tokens: HashSet<TokenId>,
}

/// The tokens and the probability of a node's children, against which each child that the user adds is checked. They
/// are stored because collecting them again for each of thousands of children takes too long.
#[derive(Default)]
struct Siblings {
    tokens: HashSet<TokenId>,
    /// Sum of the children's probabilities.
    kept: f64,
}

/// Reads a run file line by line.
#[derive(Default)]
pub struct RunReader {
    /// The children of nodes to which the user added some, one by one. They are sorted when the whole file is read.
    grafted: HashMap<NodeId, Siblings>,
    header: Option<Header>,
    tree: Tree,
    end: Option<End>,
    texts: HashMap<TokenId, Box<[u8]>>,
    pending: Option<Pending>,
    seconds: f64,
    line: usize,
    bytes: u64,
    valid_bytes: u64,
}

impl RunReader {
    /// Reads one line, which includes its line feed. Blank lines are skipped. If the last line has no line feed, it is
    /// incomplete: do not feed it, but tell [`RunReader::finish`].
    ///
    /// # Errors
    /// What is wrong with the line, or with what it says of the tree so far.
    pub fn feed(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.line += 1;
        self.bytes += line.len() as u64;
        if line.len() > MAX_LINE {
            return Err(self.error(format!("the line is longer than {} MB", MAX_LINE >> 20)));
        }
        let line = line.strip_prefix(BOM).filter(|_| self.line == 1).unwrap_or(line);
        if !line.iter().all(u8::is_ascii_whitespace) {
            let event = Event::parse(line).map_err(|e| self.json_error(line, &e))?;
            self.take(event)?;
        }
        if self.pending.is_none() {
            self.valid_bytes = self.bytes;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), ReadError> {
        match (self.header.is_some(), event) {
            (false, Event::Header(h)) => self.header(*h)?,
            (false, _) => return Err(self.error("the file does not begin with a header")),
            (true, Event::Header(_)) => return Err(self.error("a second header")),
            (true, event) => self.event(event)?,
        }
        Ok(())
    }

    /// The run so far; `torn` says whether an incomplete line followed.
    ///
    /// # Errors
    /// If there is no header.
    pub fn finish(self, torn: bool) -> Result<Run, ReadError> {
        let Some(header) = self.header else {
            return Err(ReadError {
                line: 1,
                what: "no header: the file is empty or was cut before its first line".into(),
            });
        };
        let torn = torn || self.pending.is_some();
        let RunReader { mut tree, end, texts, seconds, valid_bytes, grafted, .. } = self;
        grafted.into_keys().for_each(|n| tree.sort_children(n));
        Ok(Run { header, tree, end, texts, seconds, valid_bytes, torn })
    }

    fn error(&self, what: impl Into<String>) -> ReadError {
        ReadError { line: self.line, what: what.into() }
    }

    fn json_error(&self, line: &[u8], e: &serde_json::Error) -> ReadError {
        // A header of a newer version may not parse. The error then names the version, not the first field that is
        // unknown.
        #[derive(serde::Deserialize)]
        struct Versioned {
            version: u64,
        }
        match serde_json::from_slice(line).ok().map(|v: Versioned| v.version) {
            Some(v) if self.header.is_none() && v > u64::from(VERSION) => self.newer(v),
            _ => self.error(format!("not an event of a run file: {e}")),
        }
    }

    fn newer(&self, version: u64) -> ReadError {
        self.error(format!(
            "format version {version} was made by a newer logitree; this one reads up to {VERSION}: update it"
        ))
    }

    fn header(&mut self, h: Header) -> Result<(), ReadError> {
        if h.format != FORMAT {
            return Err(self.error(format!("`format` is {:?}, not {FORMAT:?}", h.format)));
        }
        if h.version > VERSION {
            return Err(self.newer(h.version.into()));
        }
        for token in &h.prompt.tokens {
            self.check_id(&h, token.id)?;
            self.name(token.clone());
        }
        if h.watch.iter().any(|w| w.tokens.is_empty()) {
            return Err(self.error("a string of `watch` has no tokens"));
        }
        for token in h.watch.iter().flat_map(|w| &w.tokens) {
            self.check_id(&h, token.id)?;
            self.name(token.clone());
        }
        self.tree = Tree::new(h.bounds());
        self.header = Some(h);
        Ok(())
    }

    fn check_id(&self, h: &Header, id: TokenId) -> Result<(), ReadError> {
        // The vocabulary of an imported run is not known: its size is 0.
        if h.model.vocab > 0 && id.index() >= h.model.vocab {
            return Err(self.error(format!("token id {id} is outside the vocabulary of {}", h.model.vocab)));
        }
        Ok(())
    }

    fn name(&mut self, token: Token) {
        self.texts.entry(token.id).or_insert_with(|| token.bytes.unwrap_or_else(|| token.text.into_bytes()).into());
    }

    fn token(&mut self, id: TokenId, text: String, bytes: Option<Vec<u8>>, logprob: f64) -> Result<(), ReadError> {
        if let Some(h) = &self.header {
            self.check_id(h, id)?;
        }
        // Exact arithmetic gives at most 0; other writers may round.
        if !(logprob.is_finite() && logprob <= 1e-6) {
            return Err(self.error(format!("`logprob` of token {id} is {logprob}, not a log probability")));
        }
        self.name(Token { id, text, bytes });
        Ok(())
    }

    fn open(&self, n: NodeId) -> Result<(), ReadError> {
        if n.index() >= self.tree.len() {
            return Err(self.error(format!("node {} does not exist yet", n.0)));
        }
        if self.tree.turn(n) != Turn::Open {
            return Err(self.error(format!("node {} was already visited", n.0)));
        }
        Ok(())
    }

    /// Checks that the node can be expanded as the line says.
    fn expandable(&self, e: &Expand) -> Result<(), ReadError> {
        if e.by.is_none() {
            self.open(e.node)?;
            let is_taken_over =
                |n: NodeId| n.index() < self.tree.len() && self.tree.by_user(n) && self.tree.parent(n) == Some(e.node);
            let distinct: HashSet<NodeId> = e.adopts.iter().map(|a| a.node).collect();
            if distinct.len() != e.adopts.len() || !distinct.into_iter().all(is_taken_over) {
                return Err(self.error("`adopts` may only list children made by the user, each once"));
            }
            return Ok(());
        }
        if !e.adopts.is_empty() {
            return Err(self.error("`adopts` is for the strategy, not for the user"));
        }
        if e.node.index() >= self.tree.len() {
            return Err(self.error(format!("node {} does not exist yet", e.node.0)));
        }
        // Earlier versions let the user expand an end token that the strategy had not visited, so this is accepted.
        let is_end = || self.tree.stop(e.node) == Some(Stop::EndToken);
        match self.tree.state(e.node) {
            State::Expanded(_) => Err(self.error(format!("node {} cannot be expanded by the user", e.node.0))),
            State::Stopped(_) if is_end() => {
                Err(self.error(format!("node {} cannot be expanded by the user", e.node.0)))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: Event) -> Result<(), ReadError> {
        if let Some(pending) = self.pending.take() {
            let Event::Node(node) = event else {
                let missing = pending.expand.children - pending.children.len();
                return Err(self.error(format!("{missing} `node` lines of the last `expand` are missing")));
            };
            return self.child(pending, node);
        }
        match event {
            Event::Header(_) => Err(self.error("a second header")),
            Event::Node(n) => self.graft(n),
            Event::Stop(s) => {
                self.open(s.node)?;
                if s.reason == Stop::Frontier {
                    return Err(self.error("`frontier` is no reason to stop: nodes that were not visited have no line"));
                }
                self.end = None;
                self.tree.stop_node(s.node, s.reason);
                Ok(())
            }
            Event::End(end) => {
                self.seconds = end.seconds;
                if let Some(h) = &mut self.header {
                    h.limits.extend(end.limits.clone());
                    if !end.summation_orders.is_empty() {
                        h.model.summation_orders.clone_from(&end.summation_orders);
                    }
                }
                self.end = Some(end);
                Ok(())
            }
            Event::Expand(mut e) => {
                self.expandable(&e)?;
                self.end = None;
                if !e.entropy.is_finite() || !e.varentropy.is_finite() {
                    return Err(self.error("`entropy` and `varentropy` must be finite"));
                }
                for t in &mut e.top {
                    self.token(t.id, std::mem::take(&mut t.text), t.bytes.take(), t.logprob)?;
                }
                let watch = self.header.as_ref().map_or(0, |h| h.watch.len());
                if e.watch.len() != watch || e.watch.iter().any(|w| w.logprob.is_nan() || w.logprob > 1e-6) {
                    return Err(self.error(format!("`watch` must have {watch} log probabilities, as the header says")));
                }
                if e.children + e.adopts.len() == 0 {
                    return Err(self.error("an `expand` has at least one child"));
                }
                let tokens = self.tree.children(e.node).iter().filter_map(|&c| self.tree.token(c)).collect();
                let pending = Pending { expand: e, children: Vec::new(), samples: Vec::new(), tokens };
                if pending.expand.children == 0 { self.complete(pending) } else { self.wait(pending) }
            }
        }
    }

    fn child(&mut self, mut pending: Pending, n: NewNode) -> Result<(), ReadError> {
        let expected = self.tree.len() + pending.children.len();
        if n.node.index() != expected {
            return Err(self.error(format!("node {} where node {expected} should be", n.node.0)));
        }
        if n.parent != pending.expand.node {
            let parent = pending.expand.node.0;
            return Err(self.error(format!("the parent of node {expected} is {}, not {parent}", n.parent.0)));
        }
        self.token(n.id, n.text, n.bytes, n.logprob)?;
        if !pending.tokens.insert(n.id) {
            return Err(self.error(format!("token {} comes twice among the children of node {}", n.id, n.parent.0)));
        }
        if n.by != pending.expand.by {
            return Err(self.error(format!("node {expected} and its `expand` differ in `by`")));
        }
        pending.children.push(TokenStats { id: n.id, logprob: n.logprob, rank: 0 });
        pending.samples.push(n.samples);
        if pending.children.len() < pending.expand.children { self.wait(pending) } else { self.complete(pending) }
    }

    fn wait(&mut self, pending: Pending) -> Result<(), ReadError> {
        self.pending = Some(pending);
        Ok(())
    }

    /// The tokens of a node's children and the sum of their probabilities.
    fn siblings(&self, parent: NodeId) -> Siblings {
        let children = self.tree.children(parent);
        Siblings {
            tokens: children.iter().filter_map(|&c| self.tree.token(c)).collect(),
            kept: children.iter().map(|&c| self.tree.logprob(c).exp()).sum(),
        }
    }

    /// Refuses `count` children whose probabilities add up to more than 1.
    fn check_kept(&self, parent: NodeId, kept: f64, count: usize) -> Result<(), ReadError> {
        // The tolerance allows for writers that round to six digits, and for children of different orders of sums.
        let mixed = self.header.as_ref().is_some_and(|h| h.model.orders().len() > 1);
        if kept > 1.0 + 1e-6 * (1 + count) as f64 + if mixed { 5e-4 } else { 0.0 } {
            return Err(self.error(format!("the children of node {} have a probability of {kept} together", parent.0)));
        }
        Ok(())
    }

    /// Adds a child that the user gave to a node that was expanded before.
    fn graft(&mut self, n: NewNode) -> Result<(), ReadError> {
        if n.by != Some(By::User) {
            return Err(self.error(format!("node {} belongs to no `expand`", n.node.0)));
        }
        if n.node.index() != self.tree.len() {
            return Err(self.error(format!("node {} where node {} should be", n.node.0, self.tree.len())));
        }
        if n.parent.index() >= self.tree.len() || self.tree.expansion(n.parent).is_none() {
            return Err(self.error(format!("the parent of node {} is not an expanded node", n.node.0)));
        }
        self.token(n.id, n.text, n.bytes, n.logprob)?;
        let mut siblings = self.grafted.remove(&n.parent).unwrap_or_else(|| self.siblings(n.parent));
        if !siblings.tokens.insert(n.id) {
            return Err(self.error(format!("token {} comes twice among the children of node {}", n.id, n.parent.0)));
        }
        siblings.kept += n.logprob.exp();
        self.check_kept(n.parent, siblings.kept, siblings.tokens.len())?;
        self.grafted.insert(n.parent, siblings);
        self.end = None;
        self.tree.graft_last(n.parent, n.id, n.logprob);
        Ok(())
    }

    fn complete(&mut self, pending: Pending) -> Result<(), ReadError> {
        let node = pending.expand.node;
        let before = self.tree.children(node).iter().map(|&c| self.tree.logprob(c).exp());
        let kept = pending.children.iter().map(TokenStats::prob).chain(before).sum();
        self.check_kept(node, kept, pending.tokens.len())?;
        // The node's children change, and the tree sorts them, so what was stored about them is out of date.
        self.grafted.remove(&node);
        let Expand {
            node,
            threshold,
            queue,
            entropy,
            varentropy,
            exactness,
            top,
            watch,
            logsumexp,
            logits_sha256,
            by,
            adopts,
            ..
        } = pending.expand;
        let stats = (1..).zip(top).map(|(rank, t)| TokenStats { id: t.id, logprob: t.logprob, rank });
        let distribution = Distribution {
            logsumexp: logsumexp.unwrap_or(f64::NAN),
            logits_sha256,
            entropy,
            varentropy,
            ..Distribution::of_list(stats.collect(), exactness)
        };
        let first = self.tree.len() as u32;
        if by == Some(By::User) {
            self.tree.expand_by_user(node, distribution, &pending.children);
        } else {
            let adopted = adopts.iter().filter_map(|a| {
                Some(TokenStats { id: self.tree.token(a.node)?, logprob: self.tree.logprob(a.node), rank: 0 })
            });
            let children: Vec<TokenStats> = adopted.chain(pending.children.iter().copied()).collect();
            self.tree.expand(node, distribution, &children, threshold, queue);
        }
        self.tree.set_watched(node, watch);
        let new = (first..).map(NodeId).zip(pending.samples);
        for (child, count) in new.chain(adopts.into_iter().map(|a| (a.node, a.samples))) {
            self.tree.set_samples(child, count);
        }
        Ok(())
    }
}
