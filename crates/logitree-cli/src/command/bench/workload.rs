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
}

/// The amount of work that was done.
pub struct Done {
    /// Number of tokens or nodes.
    pub count: usize,
    /// Floating-point operations of products with weights.
    pub flops: f64,
    /// Bytes of weights, each counted once per pass.
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

    /// A tree or a width of any size, from its name.
    pub fn of_size(name: &str) -> Option<Workload> {
        let size = |prefix| name.strip_prefix(prefix)?.parse().ok().filter(|n| (1..=10_000).contains(n));
        size("tree").map(Workload::Tree).or_else(|| size("width").map(Workload::Width))
    }

    pub fn name(&self) -> String {
        match self {
            Workload::Decode => "decode".into(),
            Workload::Prefill => "prefill".into(),
            Workload::Score => "score".into(),
            Workload::Tree(depth) => format!("tree{depth}"),
            Workload::Width(n) => format!("width{n}"),
        }
    }

    /// What is counted.
    pub fn unit(&self) -> &'static str {
        if matches!(self, Workload::Tree(_) | Workload::Width(_)) { "nodes" } else { "tokens" }
    }

    pub fn run(&self, model: &LocalModel) -> Result<Done> {
        match *self {
            Workload::Decode => paths(model, 1, DECODE),
            Workload::Prefill => prefill(model),
            Workload::Score => score(model),
            Workload::Tree(depth) => tree(model, depth),
            Workload::Width(n) => paths(model, n, (NODES / n).max(2)),
        }
    }
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
fn paths(model: &LocalModel, width: usize, steps: usize) -> Result<Done> {
    let mut session = model.session()?;
    let nodes = session.push_all(None, &prompt(model)?)?;
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
    let mut session = model.session()?;
    let len = PREFILL.min(model.context_length());
    let nodes = session.push_all(None, &text(model, len))?;
    session.evaluate(&[Query::top(nodes[len - 1], 10)])?;
    Ok(done(model, len, len, 1, 1))
}

fn score(model: &LocalModel) -> Result<Done> {
    let mut session = model.session()?;
    let len = SCORE.min(model.context_length() - 1);
    let tokens = text(model, len + 1);
    let nodes = session.push_all(None, &tokens)?;
    let query = |i: usize| Query { node: nodes[i], top: 5, tokens: &tokens[i + 1..i + 2], logits: false };
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
