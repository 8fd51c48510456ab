//! The token tree, stored as one column per property, parents before children.
//!
//! A tree grows by a policy's visits and by what the user adds. [`State`] is what a node is after both; [`Turn`] is
//! what it is for the policy alone, which does not see the user's nodes until it takes them over.

use crate::watch::Watched;
use crate::{Distribution, Exactness, LogitsHash, TokenId, TokenStats, most_likely_unlisted};
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

/// Why a node was not expanded.
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
    /// Its path alone answers the question that was asked, so it was not expanded.
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

/// What is known of an expanded node: the next token's distribution, and the children.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    /// The most likely next tokens, most likely first.
    pub top: Vec<TokenStats>,
    /// Entropy in nats over the full vocabulary.
    pub entropy: f64,
    /// Variance of surprisal in nats².
    pub varentropy: f64,
    /// Natural log of the sum of the exponentials of all logits, in nats, where it is known. A token's logit is its
    /// logprob plus this.
    pub logsumexp: Option<f64>,
    /// The hash of all logits, in runs that keep it.
    pub logits_sha256: Option<LogitsHash>,
    /// Whether the numbers cover the full vocabulary.
    pub exactness: Exactness,
    /// The branch threshold in force; absent for policies without one.
    pub threshold: Option<f64>,
    /// Number of open paths when the node was expanded, this node included.
    pub queue: u32,
    /// The children, most likely first.
    pub children: Vec<NodeId>,
    /// The run's watched strings as continuations of this node, in the order of the header.
    pub watched: Vec<Watched>,
    /// Whether the user expanded the node and the policy has not.
    pub by_user: bool,
    /// Why the policy stopped at this node, before or after the user expanded it.
    pub stopped: Option<Stop>,
    /// Children that the user made first and that the policy took over when it expanded the node.
    pub adopted: Vec<NodeId>,
}

/// A node's state for the policy, which does not see what the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The policy has not visited the node yet.
    Open,
    /// The policy made the node a leaf.
    Stopped(Stop),
    /// The policy expanded the node.
    Expanded,
}

/// A node's state, whether the policy or the user brought it there.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not expanded yet.
    Open,
    /// A leaf, with the reason.
    Stopped(Stop),
    /// It has children.
    Expanded(Box<Expansion>),
}

/// Limits that a model sets to every path, whatever the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Ids that end a generation: a path that reached one is finished, even if no policy has visited its last node.
    pub end_tokens: Vec<TokenId>,
    /// Largest depth at which the model can still give the next token's distribution: the number of tokens that its
    /// context can hold after the prompt.
    pub room: usize,
}

impl Default for Bounds {
    /// No end tokens are known, and paths may be of any length.
    fn default() -> Self {
        Bounds { end_tokens: Vec::new(), room: usize::MAX }
    }
}

impl Bounds {
    /// The bounds of a model whose context holds `context` tokens (0 if that is not known), of which the prompt takes
    /// `used`.
    pub fn new(end_tokens: &[TokenId], context: usize, used: usize) -> Bounds {
        let room = if context == 0 { usize::MAX } else { context.saturating_sub(used) };
        Bounds { end_tokens: end_tokens.to_vec(), room }
    }

    /// The same bounds for paths that begin `depth` tokens further down.
    pub fn below(&self, depth: usize) -> Bounds {
        Bounds { end_tokens: self.end_tokens.clone(), room: self.room.saturating_sub(depth) }
    }

    /// The same bounds if the probabilities of these strings are asked for after each node: all but the last token of
    /// the longest string must fit in the context behind the node.
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
    /// How many samples passed through the node, in trees of samples.
    samples: Vec<u32>,
    /// Whether the user made the node, not the policy.
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
    /// Probability of paths that reached an end token.
    pub finished: f64,
    /// Probability of nodes that were not expanded, including those at the depth limit and where the context is full.
    pub frontier: f64,
    /// Probability of tokens that did not become nodes, and of nodes that were set aside.
    pub pruned: f64,
}

impl Mass {
    /// `finished + frontier + pruned`, which is 1 up to rounding.
    pub fn total(&self) -> f64 {
        self.finished + self.frontier + self.pruned
    }
}

impl Tree {
    /// A tree that has only its root.
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

    /// The limits that the model sets to every path.
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

    /// The node's state.
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
    /// A path that reached an end token counts as finished as soon as it is in the tree, even if the policy has not
    /// visited its last node or stopped there for another reason ([`Tree::turn`]).
    pub fn stop(&self, n: NodeId) -> Option<Stop> {
        self.left_as(n).map(|stop| if self.is_end(n) { Stop::EndToken } else { stop })
    }

    /// Why the node is a leaf by its state alone: an end token that was not visited is on the frontier.
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

    /// The node's state for the policy. Only meaningful for the policy's own nodes.
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

    /// Notes that the policy stops at a node. The node becomes a leaf, or keeps its children if the user expanded it.
    ///
    /// # Panics
    /// If the policy visited the node before.
    pub fn stop_node(&mut self, n: NodeId, stop: Stop) {
        assert!(self.turn(n) == Turn::Open, "node {} was already visited", n.0);
        match &mut self.state[n.index()] {
            State::Expanded(e) => e.stopped = Some(stop),
            state => *state = State::Stopped(stop),
        }
    }

    /// Expands a node for the policy: `children`, most likely first, become its children. Children that the user made
    /// before stay; those that are among `children` are taken over.
    ///
    /// # Panics
    /// If the policy visited the node before.
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
                    // The user's continuation may have stopped at the child; for the policy the child is still to be
                    // visited.
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

    /// Expands a leaf for the user. For the policy the node stays what it was: open, or stopped.
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

    /// [`Tree::graft`] without sorting: the child stays last, whatever its probability, until [`Tree::sort_children`]
    /// is called. To add many children, sorting once is faster.
    pub(crate) fn graft_last(&mut self, n: NodeId, token: TokenId, logprob: f64) -> NodeId {
        let child = self.add(n, token, logprob, true);
        match &mut self.state[n.index()] {
            State::Expanded(e) => e.children.push(child),
            _ => panic!("node {} is a leaf", n.0),
        }
        child
    }

    /// Sorts a node's children: most likely first, ties by smaller token id.
    pub(crate) fn sort_children(&mut self, n: NodeId) {
        let State::Expanded(e) = &mut self.state[n.index()] else { return };
        let mut children = std::mem::take(&mut e.children);
        self.sort(&mut children);
        if let State::Expanded(e) = &mut self.state[n.index()] {
            e.children = children;
        }
    }

    /// Sorts siblings: most likely first, ties by smaller token id.
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

    /// How the probability is divided. Exact up to f64 rounding, since the tree has the probability of each child.
    pub fn accounting(&self) -> Mass {
        self.accounting_by(Tree::stop)
    }

    /// [`Tree::accounting`] with another rule for why a node is a leaf.
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
        // If all tokens became children, rounding may bring their sum slightly above 1. The pruned probability must not
        // be negative.
        if mass.pruned < 0.0 {
            let rest = mass.finished + mass.frontier;
            mass = Mass { finished: mass.finished / rest, frontier: mass.frontier / rest, pruned: 0.0 };
        }
        mass
    }

    /// How much of the probability the tree still has after each number of tokens: at index `d − 1`, the mass of the
    /// nodes at depth d and of the paths that ended before. It never rises.
    pub fn coverage(&self) -> Vec<f64> {
        let deepest = self.nodes().map(|n| self.depth(n)).max().unwrap_or(0);
        let (mut at, mut ended) = (vec![0.0; deepest + 1], vec![0.0; deepest + 1]);
        for n in self.nodes() {
            at[self.depth(n)] += self.mass(n);
            if self.stop(n) == Some(Stop::EndToken) {
                ended[self.depth(n)] += self.mass(n);
            }
        }
        let mut before = 0.0;
        let covered = |d: usize| {
            before += ended[d - 1];
            at[d] + before
        };
        (1..=deepest).map(covered).collect()
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

    /// Whether a node may lack branches: its engine listed only some tokens, and one that is not listed may be above
    /// the threshold.
    pub fn possibly_more(&self, n: NodeId) -> bool {
        let Some(e) = self.expansion(n).filter(|e| e.exactness != Exactness::Exact) else { return false };
        let threshold = e.threshold.unwrap_or(0.0);
        // If listed tokens above the threshold are missing among the children, a branch rule set the limit, not the
        // list.
        let listed = e.top.iter().filter(|t| t.prob() > threshold).count();
        most_likely_unlisted(&e.top) > threshold && e.children.len() >= listed
    }

    /// An upper bound of the probability of any path that was cut, at a pruned node or at a token that did not become a
    /// node.
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
    let Distribution { top, entropy, varentropy, exactness, logsumexp, logits_sha256, .. } = distribution;
    Expansion {
        top,
        entropy,
        varentropy,
        logsumexp: Some(logsumexp).filter(|l| l.is_finite()),
        logits_sha256,
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
