//! Builds a run from paths of tokens that another program listed with their alternatives.

use super::jsonl::{ROUNDED, check};
use super::tree_json::scale;
use crate::error::{Context, Result, fail};
use logitree_core::run::{EndReason, FORMAT, Header, Model, Prompt, Run, VERSION, end_event};
use logitree_core::{Bounds, Distribution, Exactness, NodeId, Stop, TokenId, TokenStats, Tree};
use serde_json::Map;
use std::collections::{HashMap, VecDeque};

/// A list that leaves out more than this probability is worth a note.
const LEFT_OUT: f64 = 0.01;
/// Largest number of nodes that are built.
pub const MOST_NODES: usize = 1 << 20;

/// A token as another program lists it.
pub struct Listed {
    /// The bytes of its text.
    pub text: Vec<u8>,
    /// Its id, if the program tells it.
    pub id: Option<u32>,
    /// Natural log probability.
    pub logprob: f64,
}

struct Node {
    token: Option<TokenStats>,
    /// The listed tokens after this node, most likely first.
    top: Vec<TokenStats>,
    children: Vec<usize>,
    stop: Option<Stop>,
}

impl Node {
    fn new(token: Option<TokenStats>) -> Node {
        Node { token, top: Vec::new(), children: Vec::new(), stop: None }
    }
}

/// Collects paths that share their beginnings.
pub struct Builder {
    nodes: Vec<Node>,
    /// Ids by text, and by how many times the text came before in the same list.
    ids: HashMap<(Vec<u8>, usize), TokenId>,
    texts: HashMap<TokenId, Box<[u8]>>,
    /// Whether the ids are the program's own, or numbers in the order of appearance.
    numbered: bool,
}

impl Builder {
    /// Begins with the prompt alone.
    pub fn new() -> Builder {
        Builder { nodes: vec![Node::new(None)], ids: HashMap::new(), texts: HashMap::new(), numbered: false }
    }

    /// The place of the prompt.
    pub const ROOT: usize = 0;

    fn id(&mut self, token: &Listed, before: usize) -> Result<TokenId> {
        if let Some(id) = token.id {
            let id = TokenId(id);
            self.texts.entry(id).or_insert_with(|| token.text.as_slice().into());
            return Ok(id);
        }
        self.numbered = true;
        let key = (token.text.clone(), before);
        if let Some(&known) = self.ids.get(&key) {
            return Ok(known);
        }
        let id = TokenId(u32::try_from(self.ids.len()).ok().context("more tokens than ids")?);
        self.ids.insert(key, id);
        self.texts.insert(id, token.text.as_slice().into());
        Ok(id)
    }

    /// Sets the alternatives after a place, unless they are known, and goes to the tokens of `chosen`, which may be
    /// among them. Returns their places. `what` names the position in errors.
    pub fn step(&mut self, at: usize, listed: &[Listed], chosen: &[Listed], what: &str) -> Result<Vec<usize>> {
        let mut top = Vec::with_capacity(listed.len());
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        for token in listed {
            check(token.logprob).map_err(|e| crate::Error::new(crate::ErrorKind::Input, format!("{what}: {e}")))?;
            let before = seen.entry(&token.text).or_default();
            let id = self.id(token, *before)?;
            *before += 1;
            top.push(TokenStats { id, logprob: token.logprob.min(0.0), rank: 0 });
        }
        top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        top.iter_mut().zip(1..).for_each(|(t, rank)| t.rank = rank);
        let together: f64 = top.iter().map(TokenStats::prob).sum();
        if together > 1.0 + ROUNDED {
            fail!(
                Input,
                "{what}: the listed tokens have a probability of {together:.3} together: these are no log probabilities of one distribution (raw logits?)"
            );
        }
        if self.nodes[at].top.is_empty() {
            self.nodes[at].top = top;
        }
        let mut places = Vec::with_capacity(chosen.len());
        for token in chosen {
            check(token.logprob).map_err(|e| crate::Error::new(crate::ErrorKind::Input, format!("{what}: {e}")))?;
            let id = self.id(token, 0)?;
            let known = self.nodes[at].children.iter().copied();
            let known = known.into_iter().find(|&c| self.nodes[c].token.is_some_and(|t| t.id == id));
            let place = match known {
                Some(place) => place,
                None => {
                    if self.nodes.len() == MOST_NODES {
                        fail!(Input, "more than {MOST_NODES} tokens");
                    }
                    let stats = TokenStats { id, logprob: token.logprob.min(0.0), rank: 0 };
                    self.nodes.push(Node::new(Some(stats)));
                    let place = self.nodes.len() - 1;
                    self.nodes[at].children.push(place);
                    place
                }
            };
            places.push(place);
        }
        Ok(places)
    }

    /// Notes why a path ends at a place, if nothing goes on there.
    pub fn stop(&mut self, at: usize, stop: Stop) {
        self.nodes[at].stop = Some(stop);
    }

    /// What the lists leave out, one sentence each.
    fn notes(&self, notes: &mut Vec<String>) {
        let expanded: Vec<&Node> = self.nodes.iter().filter(|n| !n.children.is_empty()).collect();
        let bare = expanded.iter().filter(|n| n.top.len() < 2).count();
        if bare > 0 {
            notes.push(format!(
                "{bare} of {} positions list no alternatives: what else the model could have said there is unknown",
                expanded.len()
            ));
        }
        let rest = |n: &Node| 1.0 - n.top.iter().map(TokenStats::prob).sum::<f64>();
        let left: Vec<f64> =
            expanded.iter().filter(|n| n.top.len() > 1).map(|n| rest(n)).filter(|&r| r > LEFT_OUT).collect();
        if let Some(most) = left.iter().copied().reduce(f64::max) {
            notes.push(format!(
                "at {} of {} positions the list leaves out more than 1 % of the probability, at most {:.1} %",
                left.len(),
                expanded.len(),
                100.0 * most
            ));
        }
        if self.numbered {
            notes.push("the file has no token ids: tokens are numbered as they come".into());
        }
    }

    /// The run of all paths. `from` names the kind of file.
    ///
    /// # Errors
    /// If a token's children have more than all probability, beyond rounding.
    pub fn finish(self, prompt: String, model: Option<String>, from: &str, notes: &mut Vec<String>) -> Result<Run> {
        if self.nodes.len() == 1 {
            fail!(Input, "{from}: there is no token with a log probability in it (were logprobs asked for?)");
        }
        self.notes(notes);
        let mut tree = Tree::new(Bounds::default());
        let mut queue = VecDeque::from([(Self::ROOT, NodeId::ROOT)]);
        while let Some((at, n)) = queue.pop_front() {
            let node = &self.nodes[at];
            if node.children.is_empty() {
                if let Some(stop) = node.stop {
                    tree.stop_node(n, stop);
                }
                continue;
            }
            let mut order = node.children.clone();
            let stats = |at: usize| self.nodes[at].token.context("only the prompt has no token");
            let likely = |at: &usize| self.nodes[*at].token.map_or(0.0, |t| t.logprob);
            order.sort_by(|a, b| likely(b).total_cmp(&likely(a)));
            let mut children = order.iter().map(|&c| stats(c)).collect::<Result<Vec<_>>>()?;
            let together: f64 = children.iter().map(TokenStats::prob).sum();
            if together > 1.0 + ROUNDED {
                fail!(Input, "{from}: the tokens after one place have a probability of {together:.3} together");
            }
            scale(&mut children, together);
            let distribution = Distribution::of_list(node.top.clone(), Exactness::LowerBound);
            let made = tree.expand(n, distribution, &children, None, 0).children.clone();
            queue.extend(order.into_iter().zip(made));
        }
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            logitree: env!("CARGO_PKG_VERSION").into(),
            created: String::new(),
            model: Model { name: model.unwrap_or_else(|| "(not recorded)".into()), ..Default::default() },
            engine: format!("imported from {from}"),
            prompt: Prompt { text: prompt, ..Default::default() },
            strategy: "imported".into(),
            parameters: Map::new(),
            limits: Map::new(),
            store_top: None,
            hash_logits: false,
            watch: Vec::new(),
        };
        let end = end_event(&tree, EndReason::Finished, 0.0);
        Ok(Run { header, tree, end: Some(end), texts: self.texts, seconds: 0.0, valid_bytes: 0, torn: false })
    }
}
