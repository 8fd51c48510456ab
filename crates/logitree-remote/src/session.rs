//! A session on servers: tree paths, and the distributions that follow them.
//!
//! ```text
//! evaluate(queries):
//!   collect what is asked about each node, once per node
//!   choose a server for each node                              `places`
//!   ask for the lists of most likely tokens after all paths    `lists`
//!   texts only: did the server read the path's own tokens?     `check_texts`
//!   ask for wanted tokens that no list has                     `seek`
//!   ask for texts of tokens that are not known yet             `learn`
//!   make a distribution of each list, with bounds              `distribution`
//! ```

use crate::RemoteError;
use crate::dialect::{List, ListQuery, Listed, Paths, ServerKind, number, possible};
use crate::http::{Failure, Http, most};
use crate::servers::Servers;
use crate::vocabulary::Words;
use logitree_core::paths::{PathNode, PathTable};
use logitree_core::{
    Distribution, Exactness, ModelError, NodeHandle, Query, Session, TokenId, TokenStats, most_likely_unlisted,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Most prompts in one request.
const ARRAY: usize = 128;
/// How many times a batch fills all slots of the servers. In a larger batch, waiting for the slowest request costs
/// less; after a smaller one, the caller can sooner do other work.
const ROUNDS: usize = 8;
/// Where lists may be of any length, a token that is not in the list is looked for in a list of this length before the
/// whole vocabulary is asked for.
const LONGER: usize = 4096;

/// Evaluation of tree paths by servers.
pub(crate) struct RemoteSession {
    servers: Arc<Servers>,
    /// The nodes, each with the server that was asked last about its path.
    nodes: PathTable<Option<usize>>,
}

/// What is asked about one node.
struct Ask {
    path: Vec<TokenId>,
    /// The path as text for servers that take text. `None` if it ends within a character.
    text: Option<String>,
    tokens: Vec<TokenId>,
}

impl RemoteSession {
    pub(crate) fn new(servers: Arc<Servers>) -> RemoteSession {
        RemoteSession { servers, nodes: PathTable::default() }
    }

    fn node(&self, n: NodeHandle) -> Result<&PathNode<Option<usize>>, ModelError> {
        self.nodes.get(n).ok_or_else(unknown)
    }

    fn path(&self, n: NodeHandle) -> Result<Vec<TokenId>, ModelError> {
        let mut at = Some(n);
        let mut path = Vec::new();
        while let Some(n) = at {
            let node = self.node(n)?;
            path.push(node.token);
            at = node.parent;
        }
        path.reverse();
        Ok(path)
    }

    /// Chooses a server for each node: the one that was last asked about the node or its nearest ancestor, because that
    /// server's prefix cache holds the path. If it is down or already has an equal share of the nodes, the server with
    /// the fewest nodes is taken.
    fn places(&mut self, nodes: &[NodeHandle]) -> Result<Vec<usize>, ModelError> {
        let up: Vec<usize> = (0..self.servers.pool.servers.len()).filter(|&s| self.servers.pool.is_up(s)).collect();
        let share = nodes.len().div_ceil(up.len().max(1));
        let mut load = vec![0; self.servers.pool.servers.len()];
        let mut places = Vec::with_capacity(nodes.len());
        for &n in nodes {
            let mut known = None;
            let mut at = Some(n);
            while let (None, Some(n)) = (known, at) {
                (known, at) = (self.node(n)?.value, self.node(n)?.parent);
            }
            let near = known.filter(|s| up.contains(s) && load[*s] < share);
            let server = near.or_else(|| up.iter().copied().min_by_key(|&s| load[s])).unwrap_or(0);
            load[server] += 1;
            self.nodes.get_mut(n).ok_or_else(unknown)?.value = Some(server);
            places.push(server);
        }
        Ok(places)
    }

    /// The `top` most likely tokens after each of these paths; `places` has a server for each path.
    fn lists(&self, asks: &[Ask], places: &[usize], top: usize) -> Result<Vec<List>, RemoteError> {
        let (kind, model) = (self.servers.probes[0].kind, self.servers.model());
        let named: BTreeSet<TokenId> = asks.iter().flat_map(|a| &a.tokens).copied().collect();
        let named: Vec<TokenId> = named.into_iter().collect();
        let chunk = if kind.takes_arrays() { self.chunk(asks.len()) } else { 1 };
        self.servers.pool.run(places, chunk, &|http, jobs| {
            let paths = if kind.takes_ids() {
                Paths::Ids(jobs.iter().map(|&j| &asks[j].path[..]).collect())
            } else {
                // A path that ends within a character cannot be sent as text, so nothing is known about its next token.
                let texts: Option<Vec<&str>> = jobs.iter().map(|&j| asks[j].text.as_deref()).collect();
                let Some(texts) = texts else { return Ok(vec![List::default(); jobs.len()]) };
                Paths::Texts(texts)
            };
            let query = ListQuery { model, top, tokens: &named, temperature: 1.0 };
            let request = kind.request(&paths, &query);
            let most = most(request.len(), jobs.len(), top + named.len());
            let answer = http.post(kind.endpoint(), request, most)?;
            kind.lists(&answer, jobs.len()).map_err(Failure::Broken)
        })
    }

    /// How many prompts go into one request. A server gets its share in four requests, so that it never waits for the
    /// network.
    fn chunk(&self, jobs: usize) -> usize {
        let servers = &self.servers.pool.servers;
        let slots = servers.iter().map(|s| s.slots()).min().unwrap_or(1);
        jobs.div_ceil(4 * servers.len()).clamp(1, slots.div_ceil(4).min(ARRAY))
    }

    /// Asks for the texts of tokens that are not known yet: the listed ones, and those asked for by name.
    fn learn(&self, asks: &[Ask], lists: &[List]) -> Result<(), RemoteError> {
        let Words::Asked(words) = &self.servers.words else { return Ok(()) };
        let named = asks.iter().flat_map(|a| &a.tokens).copied();
        let mut unknown: BTreeSet<TokenId> = named.filter(|&t| !words.knows(t)).collect();
        for t in lists.iter().flat_map(|l| &l.top) {
            match (t.id, &t.bytes) {
                // llama.cpp's server lists control tokens without text.
                (Some(id), Some(bytes)) if !bytes.is_empty() => words.learn(id, bytes),
                (Some(id), _) if !words.knows(id) => drop(unknown.insert(id)),
                _ => {}
            }
        }
        let unknown: Vec<TokenId> = unknown.into_iter().collect();
        let places: Vec<usize> = (0..unknown.len()).map(|i| i % self.servers.pool.servers.len()).collect();
        self.servers.pool.run(&places, 1, &|http, jobs| jobs.iter().map(|&j| words.ask(http, unknown[j])).collect())?;
        Ok(())
    }

    fn distribution(&self, q: &Query<'_>, list: &List, found: &Found) -> Result<Distribution, ModelError> {
        let id = |t: &Listed| t.id.or_else(|| Some(self.text_id(t.bytes.as_deref()?)));
        let all: Vec<TokenStats> = (1..)
            .zip(&list.top)
            .filter_map(|(rank, t)| Some(TokenStats { id: id(t)?, logprob: t.logprob, rank }))
            .collect();
        let whole = all.len() >= self.servers.vocab_size();
        let mut d = bounded(&all, whole);
        d.tokens = q.tokens.iter().map(|&t| found.stats(t, &all)).collect();
        if q.logits {
            if !whole {
                return Err(ModelError::Engine(format!(
                    "this needs the whole distribution, and {} lists only {} tokens: use the local engine, or another \
                     strategy",
                    self.servers.probes[0].kind,
                    all.len()
                )));
            }
            let mut logits = vec![f32::NEG_INFINITY; self.servers.vocab_size()];
            for t in &all {
                if let Some(place) = logits.get_mut(t.id.index()) {
                    *place = t.logprob as f32;
                }
            }
            d.logits = Some(logits);
        }
        d.top.truncate(q.top);
        Ok(d)
    }

    fn text_id(&self, bytes: &[u8]) -> TokenId {
        match &self.servers.words {
            Words::Texts(texts) => texts.id(bytes),
            _ => TokenId(u32::MAX),
        }
    }

    /// Finds the log probabilities of wanted tokens that no list has. llama.cpp's server is asked for longer lists,
    /// which replace those in `lists`. Other servers are asked to repeat the path with the token behind it, a request
    /// per token.
    fn seek(&self, asks: &[Ask], places: &[usize], lists: &mut [List]) -> Result<Vec<Found>, RemoteError> {
        let kind = self.servers.probes[0].kind;
        let mut found: Vec<Found> = lists.iter().map(|l| Found(named(l))).collect();
        let mut missing = Vec::new();
        for (i, ask) in asks.iter().enumerate().filter(|(_, ask)| !ask.tokens.is_empty()) {
            let listed: BTreeSet<TokenId> = lists[i].top.iter().filter_map(|t| self.id_of(t)).collect();
            let unknown = |t: &&TokenId| !listed.contains(t) && !found[i].0.contains_key(t);
            missing.extend(ask.tokens.iter().filter(unknown).map(|&t| (i, t)));
        }
        if missing.is_empty() {
            return Ok(found);
        }
        if kind == ServerKind::LlamaServer {
            let nodes: BTreeSet<usize> = missing.iter().map(|&(i, _)| i).collect();
            for length in [LONGER, self.servers.vocab_size()] {
                for &i in &nodes {
                    let has = |t: &TokenId| lists[i].top.iter().any(|l| l.id == Some(*t));
                    if !asks[i].tokens.iter().all(has) && length > lists[i].top.len() {
                        let one = Ask { path: asks[i].path.clone(), text: None, tokens: Vec::new() };
                        let mut longer = self.lists(&[one], &places[i..=i], length.min(self.servers.vocab_size()))?;
                        lists[i].top = std::mem::take(&mut longer[0].top);
                    }
                }
            }
            return Ok(found);
        }
        let at: Vec<usize> = missing.iter().map(|&(i, _)| places[i]).collect();
        let answers = self.servers.pool.run(&at, 1, &|http, jobs| {
            let ask = |&j: &usize| self.echo(http, &asks[missing[j].0], missing[j].1);
            jobs.iter().map(ask).collect()
        })?;
        for ((i, t), answer) in missing.into_iter().zip(answers) {
            if let Some(answer) = answer {
                found[i].0.insert(t, answer);
            }
        }
        Ok(found)
    }

    fn id_of(&self, t: &Listed) -> Option<TokenId> {
        t.id.or_else(|| Some(self.text_id(t.bytes.as_deref()?)))
    }

    /// Log probability (in nats) of `token` after a path, and its rank if the server tells it. The server is asked to
    /// repeat the path and the token with their log probabilities (`echo`). `None` if it does not do so.
    fn echo(&self, http: &Http, ask: &Ask, token: TokenId) -> Result<Option<(f64, Option<u32>)>, Failure> {
        let prompt = if self.servers.probes[0].kind.takes_ids() {
            let ids: Vec<TokenId> = ask.path.iter().copied().chain([token]).collect();
            json!(ids)
        } else {
            let mut bytes = ask.text.clone().unwrap_or_default().into_bytes();
            bytes.extend_from_slice(&self.servers.words.get().token_bytes(token));
            let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
            json!(text)
        };
        let mut body = json!({
            "model": self.servers.model(), "prompt": prompt, "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 1,
        });
        if self.servers.probes[0].kind == ServerKind::Vllm {
            body["prompt_logprobs"] = 0.into();
        }
        let body = body.to_string();
        // The answer has two entries for every token of the prompt, and each token takes at least one byte of the
        // request.
        let room = most(body.len(), 1, 2 * body.len());
        let answer = match http.post("/v1/completions", body, room) {
            Err(Failure::Refused { .. }) => return Ok(None),
            other => other?,
        };
        let choice = &answer["choices"][0];
        let ranked = choice["prompt_logprobs"].as_array().and_then(|p| p.last()?.get(token.0.to_string()));
        if let Some(entry) = ranked {
            let rank = entry["rank"].as_u64().map(|r| r as u32);
            return entry.get("logprob").and_then(number).map(|l| Ok((told(l)?, rank))).transpose();
        }
        // Some servers repeat the generated token too, others do not, so the place is counted from the front.
        let place = match prompt.as_str() {
            None => Some(ask.path.len()),
            Some(text) => last_of(text, &choice["logprobs"]["tokens"]),
        };
        let all = choice.pointer("/logprobs/token_logprobs").and_then(Value::as_array);
        // The first token of a text has no log probability: servers write null.
        place.filter(|&i| i > 0).and_then(|i| number(all?.get(i)?)).map(|l| Ok((told(l)?, None))).transpose()
    }

    /// For each path, whether the server counts as many tokens in its text as the path has. If not, it split the text
    /// into other tokens, and the caller marks the distribution [`Exactness::Retokenized`].
    fn check_texts(&self, asks: &[Ask], lists: &[List]) -> Result<Vec<bool>, RemoteError> {
        let Words::Texts(texts) = &self.servers.words else { return Ok(vec![true; asks.len()]) };
        let mut good = Vec::with_capacity(asks.len());
        for (ask, list) in asks.iter().zip(lists) {
            let (Some(&first), Some(read)) = (ask.path.first(), list.prompt_tokens) else {
                good.push(list.prompt_tokens.is_some() || list.top.is_empty());
                continue;
            };
            // The server may put tokens such as BOS in front of a text. The count for the first token's text alone
            // includes them; the server is asked for it once per first token.
            let front = match texts.front(first) {
                Some(n) => n,
                None => self.count(texts, first)?,
            };
            good.push(read == front + ask.path.len() - 1);
        }
        Ok(good)
    }

    /// How many tokens the server counts in the text of `first`, a token that begins a path.
    fn count(&self, texts: &crate::vocabulary::Texts, first: TokenId) -> Result<usize, RemoteError> {
        let text = String::from_utf8_lossy(&self.servers.words.get().token_bytes(first)).into_owned();
        let ask = Ask { path: vec![first], text: Some(text), tokens: Vec::new() };
        let list = self.lists(&[ask], &[0], 1)?;
        let n = list[0].prompt_tokens.unwrap_or(1);
        texts.set_front(first, n);
        Ok(n)
    }
}

/// Checks a server's log probability and makes it finite, since JSON records have no infinite numbers.
fn told(logprob: f64) -> Result<f64, Failure> {
    possible(logprob).map(|l| l.max(f64::MIN_POSITIVE.ln())).map_err(Failure::Broken)
}

/// Index of the token that ends `text` in `tokens`, the server's split of it. `None` if the tokens do not add up to the
/// text.
fn last_of(text: &str, tokens: &Value) -> Option<usize> {
    let mut rest = text;
    for (i, token) in tokens.as_array()?.iter().enumerate() {
        match rest.strip_prefix(token.as_str()?) {
            Some("") => return Some(i),
            Some(after) => rest = after,
            // BOS has a name but is no part of the text.
            None if i == 0 => {}
            None => return None,
        }
    }
    None
}

/// Tokens whose log probability (in nats) was asked for by name, each with its rank if the server tells it.
struct Found(HashMap<TokenId, (f64, Option<u32>)>);

fn named(list: &List) -> HashMap<TokenId, (f64, Option<u32>)> {
    list.named.iter().filter_map(|t| Some((t.id?, (t.logprob, None)))).collect()
}

impl Found {
    /// Log probability and rank of a token. If the server told no log probability, both are bounds: an unlisted token
    /// is no likelier than the last one listed, nor than all unlisted tokens together.
    fn stats(&self, id: TokenId, listed: &[TokenStats]) -> TokenStats {
        if let Some(t) = listed.iter().find(|t| t.id == id) {
            return *t;
        }
        let behind = listed.len() as u32 + 1;
        match self.0.get(&id) {
            Some(&(logprob, rank)) => {
                let at_least = 1 + listed.iter().filter(|t| t.logprob > logprob).count() as u32;
                TokenStats { id, logprob: logprob.min(0.0), rank: rank.unwrap_or(at_least) }
            }
            None => TokenStats { id, logprob: ln(most_likely_unlisted(listed)), rank: behind },
        }
    }
}

/// Statistics of a distribution of which `listed` is known; `whole` if that is all of it. Entropy is a lower bound: all
/// unlisted tokens count with the surprisal of the most likely one that can be unlisted, and none has less. Varentropy
/// counts them with the same surprisal and is an estimate.
fn bounded(listed: &[TokenStats], whole: bool) -> Distribution {
    let rest = (1.0 - listed.iter().map(TokenStats::prob).sum::<f64>()).max(0.0);
    let unlisted = -ln(most_likely_unlisted(listed));
    let rest = if whole { 0.0 } else { rest };
    let terms = || listed.iter().map(|t| (t.prob(), -t.logprob)).chain((rest > 0.0).then_some((rest, unlisted)));
    let entropy: f64 = terms().map(|(p, s)| p * s).sum();
    let varentropy: f64 = terms().map(|(p, s)| p * (s - entropy).powi(2)).sum();
    Distribution {
        entropy,
        varentropy,
        ..Distribution::of_list(listed.to_vec(), if whole { Exactness::Exact } else { Exactness::LowerBound })
    }
}

/// The logarithm of a probability, made finite for 0, since JSON has no infinite numbers.
fn ln(p: f64) -> f64 {
    p.max(f64::MIN_POSITIVE).ln()
}

fn unknown() -> ModelError {
    ModelError::Engine("internal error: unknown node".into())
}

fn engine(e: RemoteError) -> ModelError {
    ModelError::Engine(e.to_string())
}

impl Session for RemoteSession {
    fn width(&self) -> usize {
        // Several rounds of all that the servers take at once, so that waiting for the slowest request costs little.
        ROUNDS * self.servers.pool.servers.iter().map(|s| s.slots()).sum::<usize>()
    }

    fn check(&self, parent: Option<NodeHandle>, tokens: &[TokenId]) -> Result<(), ModelError> {
        let before = parent.map_or(Ok(0), |p| self.node(p).map(|n| n.position + 1))?;
        let (needed, limit) = (before + tokens.len(), self.servers.context_length());
        // A server must generate one token to list what may come next, and that token takes a place in the context too.
        if needed >= limit {
            return Err(ModelError::ContextExceeded { needed: needed + 1, limit });
        }
        let vocab = self.servers.vocab_size();
        // Where tokens are texts, an id that no text has would be left out of the path's text.
        let unknown = |t: &TokenId| match &self.servers.words {
            Words::Texts(texts) => !texts.knows(*t),
            _ => t.index() >= vocab,
        };
        match tokens.iter().find(|t| unknown(t)) {
            Some(&id) => Err(ModelError::UnknownToken { id, vocab }),
            None => Ok(()),
        }
    }

    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        self.check(parent, &[token])?;
        self.nodes.push(parent, token, None).ok_or_else(unknown)
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        // A node is asked about once, whatever number of queries name it.
        let mut nodes: Vec<NodeHandle> = queries.iter().map(|q| q.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let place = |n: NodeHandle| nodes.binary_search(&n).unwrap_or_default();
        let mut asks = Vec::with_capacity(nodes.len());
        for &n in &nodes {
            let path = self.path(n)?;
            let text = matches!(self.servers.words, Words::Texts(_)).then(|| {
                let bytes: Vec<u8> =
                    path.iter().flat_map(|&t| self.servers.words.get().token_bytes(t).into_owned()).collect();
                String::from_utf8(bytes).ok()
            });
            asks.push(Ask { path, text: text.flatten(), tokens: Vec::new() });
        }
        for q in queries {
            asks[place(q.node)].tokens.extend_from_slice(q.tokens);
        }
        let places = self.places(&nodes)?;
        let all = queries.iter().any(|q| q.logits) && self.servers.probes[0].kind == ServerKind::LlamaServer;
        let most = queries.iter().map(|q| q.top).max().unwrap_or(1).max(1);
        let top = if all { self.servers.vocab_size() } else { most.min(self.servers.list) };
        let mut lists = self.lists(&asks, &places, top).map_err(engine)?;
        for list in &mut lists {
            // Behind the k most likely tokens, vLLM lists the one that it drew.
            list.top.truncate(top);
        }
        let good = self.check_texts(&asks, &lists).map_err(engine)?;
        let found = self.seek(&asks, &places, &mut lists).map_err(engine)?;
        self.learn(&asks, &lists).map_err(engine)?;
        queries
            .iter()
            .map(|q| {
                let i = place(q.node);
                let mut d = self.distribution(q, &lists[i], &found[i])?;
                if !good[i] {
                    d.exactness = Exactness::Retokenized;
                }
                Ok(d)
            })
            .collect()
    }

    fn release(&mut self, _: NodeHandle) {}

    fn forget(&mut self, node: NodeHandle) {
        self.nodes.forget(node);
    }
}
