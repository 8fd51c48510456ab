//! The token tree: columns, parent before child.

use crate::watch::Watched;
use crate::{Distribution, Exactness, TokenId, TokenStats, most_likely_unlisted};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// A node's index in its [`Tree`]. A parent's id is always smaller than its children's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The root: the whole prompt.
    pub const ROOT: NodeId = NodeId(0);

    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a leaf is a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Its token ends the generation: the path is complete.
    EndToken,
    /// It lies at the depth limit and was not expanded.
    MaxDepth,
    /// It was not expanded when the run ended.
    Frontier,
    /// It was set aside by the user or a policy.
    Pruned,
    /// What was asked is answered by its path alone; it was not expanded.
    Decided,
    /// The model's context has no room for what would come next.
    Context,
}

impl Stop {
    /// The name used in files and output.
    pub fn name(self) -> &'static str {
        match self {
            Stop::EndToken => "end_token",
            Stop::MaxDepth => "max_depth",
            Stop::Frontier => "frontier",
            Stop::Pruned => "pruned",
            Stop::Decided => "decided",
            Stop::Context => "context",
        }
    }
}

/// What was learned when a node was expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    /// The most likely next tokens, most likely first; at least the children.
    pub top: Vec<TokenStats>,
    /// Entropy in nats over the full vocabulary.
    pub entropy: f64,
    /// Variance of surprisal in nats².
    pub varentropy: f64,
    /// Natural log of the sum of the exponentials of all logits, in nats, where it is known. A token's logit is its logprob plus this.
    pub logsumexp: Option<f64>,
    /// Whether the numbers cover the full vocabulary.
    pub exactness: Exactness,
    /// The branch threshold in force; absent for policies without one.
    pub threshold: Option<f64>,
    /// Open paths at that moment, counting this node.
    pub queue: u32,
    /// The children, most likely first.
    pub children: Vec<NodeId>,
    /// The run's watched strings, in their order, as continuations of this node.
    pub watched: Vec<Watched>,
    /// The user asked for it, and the policy has not expanded the node.
    pub by_user: bool,
    /// What the policy said of a node that the user had gone on from, or goes on from now.
    pub stopped: Option<Stop>,
    /// Children that the user had made before the policy wanted them.
    pub adopted: Vec<NodeId>,
}

/// Where a node stands for the policy, which knows nothing of what the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has yet to visit the node.
    Open,
    /// It made the node a leaf.
    Stopped(Stop),
    /// It expanded the node.
    Expanded,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not expanded yet.
    Open,
    /// A leaf, with the reason.
    Stopped(Stop),
    /// It has children.
    Expanded(Box<Expansion>),
}

/// What a model imposes on every path, whatever the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Ids that end a generation: a path that reached one is finished, whether or not a policy came by.
    pub end_tokens: Vec<TokenId>,
    /// The deepest node after which the model can still say what comes next: tokens that its context holds behind the prompt.
    pub room: usize,
}

impl Default for Bounds {
    /// No end tokens are known, and paths may be of any length.
    fn default() -> Self {
        Bounds { end_tokens: Vec::new(), room: usize::MAX }
    }
}

impl Bounds {
    /// Of a model whose context holds `context` tokens (0 if that is not known), `used` of which are taken by the prompt.
    pub fn new(end_tokens: &[TokenId], context: usize, used: usize) -> Bounds {
        let room = if context == 0 { usize::MAX } else { context.saturating_sub(used) };
        Bounds { end_tokens: end_tokens.to_vec(), room }
    }

    /// The same for paths that begin `depth` tokens further down.
    pub fn below(&self, depth: usize) -> Bounds {
        Bounds { end_tokens: self.end_tokens.clone(), room: self.room.saturating_sub(depth) }
    }

    /// The same where what follows each node is asked for too: the longest of these strings must fit behind it.
    pub fn watching(self, watch: &[Vec<TokenId>]) -> Bounds {
        let behind = watch.iter().map(|w| w.len().saturating_sub(1)).max().unwrap_or(0);
        Bounds { room: self.room.saturating_sub(behind), ..self }
    }
}

/// A tree of tokens with the probability of each path.
///
/// Stored as columns; `parent[i] < i` for every node but the root.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    token: Vec<Option<TokenId>>,
    parent: Vec<NodeId>,
    depth: Vec<u32>,
    logprob: Vec<f64>,
    path_logprob: Vec<f64>,
    /// How many samples went this way, in trees of samples.
    samples: Vec<u32>,
    /// Made by the user rather than by the policy.
    by_user: Vec<bool>,
    state: Vec<State>,
    bounds: Bounds,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::new(Bounds::default())
    }
}

/// How a run's probability is accounted for; the three add up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mass {
    /// Paths that reached an end token.
    pub finished: f64,
    /// Nodes that exist but were not expanded, the limits' of depth and context included.
    pub frontier: f64,
    /// Tokens that were never made nodes, and nodes set aside.
    pub pruned: f64,
}

impl Mass {
    /// `finished + frontier + pruned`, which is 1 up to rounding.
    pub fn total(&self) -> f64 {
        self.finished + self.frontier + self.pruned
    }
}

impl Tree {
    /// The root alone.
    pub fn new(bounds: Bounds) -> Tree {
        Tree {
            token: vec![None],
            parent: vec![NodeId::ROOT],
            depth: vec![0],
            logprob: vec![0.0],
            path_logprob: vec![0.0],
            samples: vec![0],
            by_user: vec![false],
            state: vec![State::Open],
            bounds,
        }
    }

    /// What the model imposes on every path.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether the node's token ends the generation.
    pub fn is_end(&self, n: NodeId) -> bool {
        self.token(n).is_some_and(|t| self.bounds.end_tokens.contains(&t))
    }

    /// Whether the model cannot say what comes after the node, since its path fills the context.
    pub fn is_full(&self, n: NodeId) -> bool {
        self.depth(n) > self.bounds.room
    }

    /// Number of nodes, the root included.
    #[allow(clippy::len_without_is_empty)] // a tree always has its root
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// All nodes, parents before children.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.len() as u32).map(NodeId)
    }

    /// The node's token; `None` for the root.
    pub fn token(&self, n: NodeId) -> Option<TokenId> {
        self.token[n.index()]
    }

    /// The node's parent; `None` for the root.
    pub fn parent(&self, n: NodeId) -> Option<NodeId> {
        (n != NodeId::ROOT).then(|| self.parent[n.index()])
    }

    /// Tokens between the root and this node.
    pub fn depth(&self, n: NodeId) -> usize {
        self.depth[n.index()] as usize
    }

    /// Log probability of the node's token given its path, in nats; 0 for the root.
    pub fn logprob(&self, n: NodeId) -> f64 {
        self.logprob[n.index()]
    }

    /// Log probability of the whole path from the root, in nats.
    pub fn path_logprob(&self, n: NodeId) -> f64 {
        self.path_logprob[n.index()]
    }

    /// Probability of the whole path from the root.
    pub fn mass(&self, n: NodeId) -> f64 {
        self.path_logprob(n).exp()
    }

    /// How many samples went this way; 0 in trees not made of samples.
    pub fn samples(&self, n: NodeId) -> u32 {
        self.samples[n.index()]
    }

    /// Notes how many samples went this way.
    pub fn set_samples(&mut self, n: NodeId, count: u32) {
        self.samples[n.index()] = count;
    }

    /// Notes the watched strings of an expanded node.
    pub fn set_watched(&mut self, n: NodeId, watched: Vec<Watched>) {
        if let State::Expanded(e) = &mut self.state[n.index()] {
            e.watched = watched;
        }
    }

    /// Where the node stands.
    pub fn state(&self, n: NodeId) -> &State {
        &self.state[n.index()]
    }

    /// What was learned at the node, if it was expanded.
    pub fn expansion(&self, n: NodeId) -> Option<&Expansion> {
        match self.state(n) {
            State::Expanded(e) => Some(e),
            _ => None,
        }
    }

    /// Why the node is a leaf; an open node is on the frontier. `None` if it was expanded.
    ///
    /// A path that reached an end token is finished as soon as it is in the tree, whatever the policy made of it or would
    /// yet make of it ([`Tree::turn`]).
    pub fn stop(&self, n: NodeId) -> Option<Stop> {
        self.left_as(n).map(|stop| if self.is_end(n) { Stop::EndToken } else { stop })
    }

    /// Why the node is a leaf by what was done to it alone: an end token that nobody came to is on the frontier.
    pub(crate) fn left_as(&self, n: NodeId) -> Option<Stop> {
        match self.state(n) {
            State::Expanded(_) => None,
            State::Open => Some(Stop::Frontier),
            State::Stopped(s) => Some(*s),
        }
    }

    /// The paths that reached an end token.
    pub fn finished(&self) -> impl Iterator<Item = NodeId> {
        self.nodes().filter(|&n| self.stop(n) == Some(Stop::EndToken))
    }

    /// The children of a node, most likely first; none for a leaf.
    pub fn children(&self, n: NodeId) -> &[NodeId] {
        self.expansion(n).map_or(&[], |e| &e.children)
    }

    /// Tokens from the root (excluded) to the node (included).
    pub fn path(&self, n: NodeId) -> Vec<TokenId> {
        let mut tokens: Vec<TokenId> =
            std::iter::successors(Some(n), |&n| self.parent(n)).filter_map(|n| self.token(n)).collect();
        tokens.reverse();
        tokens
    }

    /// The child with this token.
    pub fn child(&self, n: NodeId, token: TokenId) -> Option<NodeId> {
        self.children(n).iter().copied().find(|&c| self.token(c) == Some(token))
    }

    /// Whether the user made the node, not the policy.
    pub fn by_user(&self, n: NodeId) -> bool {
        self.by_user[n.index()]
    }

    /// Where the node stands for the policy. Only meaningful for the policy's own nodes.
    pub fn turn(&self, n: NodeId) -> Turn {
        match self.state(n) {
            State::Open => Turn::Open,
            State::Stopped(stop) => Turn::Stopped(*stop),
            State::Expanded(e) if e.by_user => e.stopped.map_or(Turn::Open, Turn::Stopped),
            State::Expanded(_) => Turn::Expanded,
        }
    }

    /// The children that the policy made or took over, most likely first.
    pub fn own_children(&self, n: NodeId) -> Vec<NodeId> {
        self.children(n).iter().copied().filter(|&c| !self.by_user(c)).collect()
    }

    /// The policy's own nodes that it visited and found to be end tokens.
    pub fn own_ended(&self) -> impl Iterator<Item = NodeId> {
        self.nodes().filter(|&n| !self.by_user(n) && self.turn(n) == Turn::Stopped(Stop::EndToken))
    }

    /// Marks a node as a leaf; one that the user went on from keeps its children.
    ///
    /// # Panics
    /// If the policy was there before: it visits each node once.
    pub fn stop_node(&mut self, n: NodeId, stop: Stop) {
        assert!(self.turn(n) == Turn::Open, "node {} was already visited", n.0);
        match &mut self.state[n.index()] {
            State::Expanded(e) => e.stopped = Some(stop),
            state => *state = State::Stopped(stop),
        }
    }

    /// Expands a node: `children` becomes its children, most likely first. Where the user made some of them before,
    /// these are taken over.
    ///
    /// # Panics
    /// If the policy was there before: it visits each node once.
    pub fn expand(
        &mut self,
        n: NodeId,
        distribution: Distribution,
        children: &[TokenStats],
        threshold: Option<f64>,
        queue: u32,
    ) -> &Expansion {
        assert!(self.turn(n) == Turn::Open, "node {} was already visited", n.0);
        let mut all = self.children(n).to_vec();
        let before: HashMap<TokenId, NodeId> = all.iter().filter_map(|&b| Some((self.token(b)?, b))).collect();
        let mut adopted = Vec::new();
        for c in children {
            match before.get(&c.id).copied() {
                Some(child) => {
                    self.by_user[child.index()] = false;
                    // The policy will see for itself whether it ends here.
                    match &mut self.state[child.index()] {
                        State::Expanded(e) => e.stopped = None,
                        state => *state = State::Open,
                    }
                    adopted.push(child);
                }
                None => all.push(self.add(n, c.id, c.logprob, false)),
            }
        }
        if !before.is_empty() {
            self.sort(&mut all);
        }
        self.state[n.index()] = State::Expanded(Box::new(Expansion { adopted, ..expansion(distribution, all) }));
        match &mut self.state[n.index()] {
            State::Expanded(e) => {
                (e.threshold, e.queue) = (threshold, queue);
                e
            }
            _ => unreachable!("set on the line above"),
        }
    }

    /// Expands a leaf because the user asks for it; the policy's turn is still to come, unless it has stopped there.
    ///
    /// # Panics
    /// If the node is expanded.
    pub fn expand_by_user(&mut self, n: NodeId, distribution: Distribution, children: &[TokenStats]) {
        let stopped = match self.state(n) {
            State::Open => None,
            State::Stopped(stop) => Some(*stop),
            State::Expanded(_) => panic!("node {} was already expanded", n.0),
        };
        let children = children.iter().map(|c| self.add(n, c.id, c.logprob, true)).collect();
        let e = Expansion { by_user: true, stopped, ..expansion(distribution, children) };
        self.state[n.index()] = State::Expanded(Box::new(e));
    }

    /// Adds a child to an expanded node because the user asks for it.
    ///
    /// # Panics
    /// If the node is a leaf.
    pub fn graft(&mut self, n: NodeId, token: TokenId, logprob: f64) -> NodeId {
        let child = self.graft_last(n, token, logprob);
        self.sort_children(n);
        child
    }

    /// [`Tree::graft`], but the child stands last, whatever its probability, until [`Tree::sort_children`]: many are put in
    /// order at once.
    pub(crate) fn graft_last(&mut self, n: NodeId, token: TokenId, logprob: f64) -> NodeId {
        let child = self.add(n, token, logprob, true);
        match &mut self.state[n.index()] {
            State::Expanded(e) => e.children.push(child),
            _ => panic!("node {} is a leaf", n.0),
        }
        child
    }

    /// Puts a node's children in their order.
    pub(crate) fn sort_children(&mut self, n: NodeId) {
        let State::Expanded(e) = &mut self.state[n.index()] else { return };
        let mut children = std::mem::take(&mut e.children);
        self.sort(&mut children);
        if let State::Expanded(e) = &mut self.state[n.index()] {
            e.children = children;
        }
    }

    /// Siblings stand most likely first, ties by smaller id.
    fn sort(&self, siblings: &mut [NodeId]) {
        siblings.sort_by(|&a, &b| self.logprob(b).total_cmp(&self.logprob(a)).then(self.token(a).cmp(&self.token(b))));
    }

    fn add(&mut self, parent: NodeId, token: TokenId, logprob: f64, by_user: bool) -> NodeId {
        let id = NodeId(self.len() as u32);
        self.token.push(Some(token));
        self.parent.push(parent);
        self.depth.push(self.depth[parent.index()] + 1);
        self.logprob.push(logprob);
        self.path_logprob.push(self.path_logprob[parent.index()] + logprob);
        self.samples.push(0);
        self.by_user.push(by_user);
        self.state.push(State::Open);
        id
    }

    /// Where the probability went. Exact up to f64 rounding, since every expansion knows the
    /// probability of each of its children.
    pub fn accounting(&self) -> Mass {
        self.accounting_by(Tree::stop)
    }

    /// [`Tree::accounting`] with another rule of why a node is a leaf.
    pub(crate) fn accounting_by(&self, stop: impl Fn(&Tree, NodeId) -> Option<Stop>) -> Mass {
        let mut mass = Mass { finished: 0.0, frontier: 0.0, pruned: 0.0 };
        for n in self.nodes() {
            let m = self.mass(n);
            match stop(self, n) {
                Some(Stop::MaxDepth | Stop::Frontier | Stop::Decided | Stop::Context) => mass.frontier += m,
                Some(Stop::EndToken) => mass.finished += m,
                Some(Stop::Pruned) => mass.pruned += m,
                None => {
                    let kept: f64 = self.children(n).iter().map(|&c| self.logprob(c).exp()).sum();
                    mass.pruned += m * (1.0 - kept);
                }
            }
        }
        // Where all tokens are kept, rounding may leave them a little more than 1. No probability is negative.
        if mass.pruned < 0.0 {
            let rest = mass.finished + mass.frontier;
            mass = Mass { finished: mass.finished / rest, frontier: mass.frontier / rest, pruned: 0.0 };
        }
        mass
    }

    /// Leaves in order of falling path probability, ties by node id.
    pub fn ranked_leaves(&self) -> Vec<NodeId> {
        let mut leaves: Vec<NodeId> = self.nodes().filter(|&n| self.stop(n).is_some()).collect();
        leaves.sort_by(|&a, &b| self.by_mass(a, b));
        leaves
    }

    /// Order of falling path probability, ties by node id.
    pub fn by_mass(&self, a: NodeId, b: NodeId) -> std::cmp::Ordering {
        self.path_logprob(b).total_cmp(&self.path_logprob(a)).then(a.cmp(&b))
    }

    /// Whether a node may have more branches than it shows: its list, all that an engine gave, ends above the threshold.
    pub fn possibly_more(&self, n: NodeId) -> bool {
        let Some(e) = self.expansion(n).filter(|e| e.exactness != Exactness::Exact) else { return false };
        let threshold = e.threshold.unwrap_or(0.0);
        // Where listed tokens above the threshold were cut, a rule limits the branches, not the list.
        let listed = e.top.iter().filter(|t| t.prob() > threshold).count();
        most_likely_unlisted(&e.top) > threshold && e.children.len() >= listed
    }

    /// An upper bound of the probability of any path that was cut: no path outside the tree is more likely.
    pub fn heaviest_cut(&self) -> f64 {
        let cut = |n: NodeId| match self.state(n) {
            State::Stopped(Stop::Pruned) if !self.is_end(n) => self.mass(n),
            State::Expanded(e) => {
                let children: HashSet<Option<TokenId>> = e.children.iter().map(|&c| self.token(c)).collect();
                let listed = e.top.iter().find(|t| !children.contains(&Some(t.id))).map(|t| t.prob());
                self.mass(n) * listed.unwrap_or_else(|| most_likely_unlisted(&e.top))
            }
            _ => 0.0,
        };
        self.nodes().map(cut).fold(0.0, f64::max)
    }
}

fn expansion(distribution: Distribution, children: Vec<NodeId>) -> Expansion {
    let Distribution { top, entropy, varentropy, exactness, logsumexp, .. } = distribution;
    Expansion {
        top,
        entropy,
        varentropy,
        logsumexp: Some(logsumexp).filter(|l| l.is_finite()),
        exactness,
        threshold: None,
        queue: 0,
        children,
        watched: Vec::new(),
        by_user: false,
        stopped: None,
        adopted: Vec::new(),
    }
}
