//! A run as a table with one row per node.

use logitree_core::NodeId;
use logitree_core::run::Run;

/// Names of the columns of watched strings (their log probabilities), in the order of the run's header. They come
/// last.
pub fn watch_columns(run: &Run) -> Vec<String> {
    (1..=run.header.watch.len()).map(|i| format!("watch_{i}_logprob")).collect()
}

/// The columns of a node, common to all tables.
pub struct Row {
    /// Id of the node.
    pub node: u32,
    /// Id of its parent; `None` for the root.
    pub parent: Option<u32>,
    /// Number of tokens from the prompt to the node.
    pub depth: u32,
    /// Id of its token; `None` for the root.
    pub token_id: Option<u32>,
    /// Text of its token.
    pub text: String,
    /// Bytes of the token in hexadecimal, if they are not UTF-8.
    pub bytes: Option<String>,
    /// Log probability of its token after its parent, in nats.
    pub logprob: f64,
    /// Log probability of all tokens from the prompt to the node, in nats.
    pub path_logprob: f64,
    /// Entropy of the distribution after the node, in nats, if the node was expanded.
    pub entropy: Option<f64>,
    /// Varentropy of that distribution, in nats².
    pub varentropy: Option<f64>,
    /// Whether the entropy is exact, if the node was expanded.
    pub exactness: Option<&'static str>,
    /// The branch threshold when the node was expanded, if the strategy has one.
    pub threshold: Option<f64>,
    /// Number of open paths when the node was expanded.
    pub queue: Option<u32>,
    /// `expanded`, or why the node was stopped.
    pub state: &'static str,
    /// Number of its children.
    pub children: u32,
    /// Number of samples that went through the node, if the strategy draws samples.
    pub samples: Option<u32>,
    /// Log probability of each watched string, if the node was expanded.
    pub watched: Vec<Option<f64>>,
}

/// All rows of a run, parents first. The text of the root is the prompt.
pub fn rows(run: &Run) -> impl Iterator<Item = Row> {
    run.tree.nodes().map(|n| {
        let tree = &run.tree;
        let e = tree.expansion(n);
        let raw = tree.token(n).map(|t| run.bytes(t));
        let text = raw.map_or_else(|| run.header.prompt.text.clone(), |b| String::from_utf8_lossy(b).into_owned());
        let broken = raw.filter(|b| std::str::from_utf8(b).is_err());
        Row {
            node: n.0,
            parent: tree.parent(n).map(|p: NodeId| p.0),
            depth: tree.depth(n) as u32,
            token_id: tree.token(n).map(|t| t.0),
            text,
            bytes: broken.map(|b| b.iter().map(|b| format!("{b:02x}")).collect()),
            logprob: tree.logprob(n),
            path_logprob: tree.path_logprob(n),
            entropy: e.map(|e| e.entropy),
            varentropy: e.map(|e| e.varentropy),
            exactness: e.map(|e| e.exactness.name()),
            threshold: e.and_then(|e| e.threshold),
            queue: e.map(|e| e.queue),
            state: tree.stop(n).map_or("expanded", |s| s.name()),
            children: tree.children(n).len() as u32,
            samples: Some(tree.samples(n)).filter(|&s| s > 0),
            watched: (0..run.header.watch.len()).map(|i| e.and_then(|e| e.watched.get(i)).map(|w| w.logprob)).collect(),
        }
    })
}
