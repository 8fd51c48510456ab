//! The kinds of work that are measured. `benches/peers` runs the same on other engines: keep them alike.

use anyhow::Result;
use logitree_core::LanguageModel;
use logitree_core::explore::{Dynamic, DynamicParameters, Explorer};
use logitree_core::{Bounds, Query, TokenId, Tree};
use logitree_engine::LocalModel;
use std::time::Instant;

const PROMPT: &str = "The capital of India is";
/// Numbers of tokens that are generated, read and scored; fewer if the model's context is shorter.
const DECODE: usize = 64;
const PREFILL: usize = 512;
const SCORE: usize = 1000;
/// About how many nodes are evaluated at a given width.
const NODES: usize = 192;
/// Open paths after a long prompt, unless a name says how many.
const PATHS: usize = 24;

/// A kind of work.
#[derive(Clone, Copy)]
pub enum Workload {
    /// One sequence, greedy, with the statistics of every distribution.
    Decode,
    /// A prompt, with the distribution at its end only.
    Prefill,
    /// A text, with the distribution at every position.
    Score,
    /// The default tree to a depth.
    Tree(usize),
    /// This number of open paths, all of which grow by one token at a time.
    Width(usize),
    /// A prompt of this many thousand tokens, with the distribution at its end only.
    LongPrompt(usize),
    /// One sequence, greedy, after a prompt of this many thousand tokens.
    LongDecode(usize),
    /// A number of open paths after a prompt of this many thousand tokens.
    LongTree(usize, usize),
}

/// The amount of work that was done.
pub struct Done {
    /// Number of tokens or nodes.
    pub count: usize,
    /// Floating-point operations of products with weights; in long contexts of attention, too.
    pub flops: f64,
    /// Bytes of weights, each counted once per pass; in long contexts of keys and values, too.
    pub bytes: f64,
    /// Time in seconds, if only a part of the work is timed.
    pub seconds: Option<f64>,
}

impl Workload {
    pub fn all() -> Vec<Workload> {
        let widths = [1, 2, 4, 8, 16, 24, 32, 48, 64].map(Workload::Width);
        let others = [Workload::Decode, Workload::Prefill, Workload::Score, Workload::Tree(30), Workload::Tree(200)];
        others.into_iter().chain(widths).collect()
    }

    /// A kind of work whose size its name says, such as `width5`, `prompt16k` and `tree6kx5`.
    pub fn of_size(name: &str) -> Option<Workload> {
        let number = |text: &str| text.parse().ok().filter(|n| (1..=10_000).contains(n));
        let thousands = |text: &str| number(text.strip_suffix('k')?);
        let long = [("prompt", Workload::LongPrompt as fn(usize) -> Workload), ("decode", Workload::LongDecode)];
        if let Some((k, of)) = long.iter().find_map(|(prefix, of)| Some((thousands(name.strip_prefix(prefix)?)?, of))) {
            return Some(of(k));
        }
        if let Some(size) = name.strip_prefix("width") {
            return number(size).map(Workload::Width);
        }
        let size = name.strip_prefix("tree")?;
        match size.split_once("kx") {
            Some((k, paths)) => Some(Workload::LongTree(number(k)?, number(paths)?)),
            None => thousands(size).map(|k| Workload::LongTree(k, PATHS)).or_else(|| number(size).map(Workload::Tree)),
        }
    }

    pub fn name(&self) -> String {
        match self {
            Workload::Decode => "decode".into(),
            Workload::Prefill => "prefill".into(),
            Workload::Score => "score".into(),
            Workload::Tree(depth) => format!("tree{depth}"),
            Workload::Width(n) => format!("width{n}"),
            Workload::LongPrompt(k) => format!("prompt{k}k"),
            Workload::LongDecode(k) => format!("decode{k}k"),
            Workload::LongTree(k, PATHS) => format!("tree{k}k"),
            Workload::LongTree(k, paths) => format!("tree{k}kx{paths}"),
        }
    }

    /// What is counted.
    pub fn unit(&self) -> &'static str {
        let nodes = matches!(self, Workload::Tree(_) | Workload::Width(_) | Workload::LongTree(..));
        if nodes { "nodes" } else { "tokens" }
    }

    /// Whether attention is part of the work that is counted.
    pub fn counts_attention(&self) -> bool {
        self.context() > 0
    }

    /// Length of the context that a model must have; 0 if the work is cut to what the model has.
    pub fn context(&self) -> usize {
        match *self {
            Workload::LongPrompt(k) => 1000 * k,
            Workload::LongDecode(k) => 1000 * k + DECODE,
            Workload::LongTree(k, paths) => 1000 * k + levels(paths),
            _ => 0,
        }
    }

    pub fn run(&self, model: &LocalModel) -> Result<Done> {
        match *self {
            Workload::Decode => paths(model, &prompt(model)?, 1, DECODE),
            Workload::Prefill => prefill(model),
            Workload::Score => score(model),
            Workload::Tree(depth) => tree(model, depth),
            Workload::Width(n) => paths(model, &prompt(model)?, n, levels(n)),
            Workload::LongPrompt(k) => long_prompt(model, 1000 * k),
            Workload::LongDecode(k) => long_paths(model, 1000 * k, 1, DECODE),
            Workload::LongTree(k, n) => long_paths(model, 1000 * k, n, levels(n)),
        }
    }
}

/// How many tokens each of `paths` open paths grows by.
fn levels(paths: usize) -> usize {
    (NODES / paths).max(2)
}

/// Work of evaluations that ran `layers` tokens and asked for `outputs` distributions in `passes` passes.
fn done(model: &LocalModel, count: usize, layers: usize, outputs: usize, passes: usize) -> Done {
    let c = model.cost();
    let prefix = layers - outputs;
    let flops = 2.0 * ((c.layers + c.output) as f64 * outputs as f64 + c.prefix_layers as f64 * prefix as f64);
    let bytes = passes as f64 * (c.layer_bytes + c.output_bytes) as f64;
    Done { count, flops, bytes, seconds: None }
}

/// A fixed sequence of common tokens. Only its length matters for the speed.
fn text(model: &LocalModel, len: usize) -> Vec<TokenId> {
    let vocab = model.vocab_size();
    let (first, range) = if vocab > 2000 { (1000, (vocab - 1000).min(20_000)) } else { (0, vocab) };
    let id = |i: usize| TokenId((first + 7919 * i % range) as u32);
    model.bos().into_iter().chain((0..).map(id)).take(len).collect()
}

fn prompt(model: &LocalModel) -> Result<Vec<TokenId>> {
    let text = model.tokenize(PROMPT, false)?;
    Ok(model.bos().into_iter().chain(text).collect())
}

/// The `width` most likely continuations of the prompt, each followed greedily for `steps` tokens; the prompt itself is
/// not timed.
fn paths(model: &LocalModel, prompt: &[TokenId], width: usize, steps: usize) -> Result<Done> {
    let mut session = model.session()?;
    let nodes = session.push_all(None, prompt)?;
    let root = nodes[nodes.len() - 1];
    let first = session.evaluate(&[Query::top(root, width)])?.remove(0);
    let mut next: Vec<_> = first.top.iter().map(|t| (root, t.id)).collect();
    let start = Instant::now();
    for _ in 0..steps {
        let mut nodes = Vec::with_capacity(width);
        for &(parent, token) in &next {
            nodes.push(session.push(Some(parent), token)?);
        }
        let queries: Vec<Query<'_>> = nodes.iter().map(|&n| Query::top(n, 10)).collect();
        let found = session.evaluate(&queries)?;
        next = nodes.into_iter().zip(found).map(|(n, d)| (n, d.top[0].id)).collect();
    }
    let count = steps * next.len();
    Ok(Done { seconds: Some(start.elapsed().as_secs_f64()), ..done(model, count, count, count, steps) })
}

fn prefill(model: &LocalModel) -> Result<Done> {
    read(model, PREFILL.min(model.context_length()))
}

/// A prompt of `len` tokens.
fn read(model: &LocalModel, len: usize) -> Result<Done> {
    let mut session = model.session()?;
    let nodes = session.push_all(None, &text(model, len))?;
    session.evaluate(&[Query::top(nodes[len - 1], 10)])?;
    Ok(done(model, len, len, 1, 1))
}

fn long_prompt(model: &LocalModel, len: usize) -> Result<Done> {
    let done = read(model, len)?;
    let config = model.config();
    let flops: f64 = (0..len).map(|position| config.attention_flops(position, position == len - 1)).sum();
    Ok(Done { flops: done.flops + flops, bytes: done.bytes + config.rows_bytes(len), ..done })
}

fn long_paths(model: &LocalModel, prompt: usize, width: usize, steps: usize) -> Result<Done> {
    let done = paths(model, &text(model, prompt), width, steps)?;
    let (config, width) = (model.config(), done.count / steps);
    let flops: f64 = (0..steps).map(|step| width as f64 * config.attention_flops(prompt + step, true)).sum();
    let bytes: f64 = (1..=steps).map(|own| config.attention_bytes(width, prompt, own)).sum();
    Ok(Done { flops: done.flops + flops, bytes: done.bytes + bytes, ..done })
}

fn score(model: &LocalModel) -> Result<Done> {
    let mut session = model.session()?;
    let len = SCORE.min(model.context_length() - 1);
    let tokens = text(model, len + 1);
    let nodes = session.push_all(None, &tokens)?;
    let query = |i: usize| Query { tokens: &tokens[i + 1..i + 2], ..Query::top(nodes[i], 5) };
    session.evaluate(&(0..len).map(query).collect::<Vec<_>>())?;
    Ok(done(model, len, len, len, 1))
}

fn tree(model: &LocalModel, depth: usize) -> Result<Done> {
    let parameters = DynamicParameters { max_depth: depth, ..DynamicParameters::default() };
    let policy = Dynamic::new(parameters)?;
    let vocab = model.vocab_size();
    let prompt = prompt(model)?;
    let tree = Tree::new(Bounds::new(model.end_tokens(), model.context_length(), prompt.len()));
    let mut explorer = Explorer::new(model.session()?, vocab, &prompt, policy, tree, 10)?;
    let (mut expanded, mut passes) = (0, 0);
    loop {
        while explorer.visit().is_some() {}
        match explorer.evaluate()? {
            0 => break,
            n => (expanded, passes) = (expanded + n, passes + 1),
        }
    }
    // Only expanded nodes are counted, because nodes at the depth limit are not evaluated.
    Ok(done(model, expanded, expanded + prompt.len() - 1, expanded, passes))
}
