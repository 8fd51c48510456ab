//! A run as a table: a row per node.

use logitree_core::NodeId;
use logitree_core::run::Run;

/// Columns of the watched strings, after the others: their log probabilities, in the order of the run's header.
pub fn watch_columns(run: &Run) -> Vec<String> {
    (1..=run.header.watch.len()).map(|i| format!("watch_{i}_logprob")).collect()
}

/// A node's columns, as the tables have them.
pub struct Row {
    /// Its id.
    pub node: u32,
    /// Id of its parent; the root has none.
    pub parent: Option<u32>,
    /// Tokens from the prompt to it.
    pub depth: u32,
    /// Its token; the root has none.
    pub token_id: Option<u32>,
    /// Text of its token.
    pub text: String,
    /// Hexadecimal, where the bytes are not UTF-8.
    pub bytes: Option<String>,
    /// Of its token after its parent, in nats.
    pub logprob: f64,
    /// Of all tokens from the prompt to it, in nats.
    pub path_logprob: f64,
    /// Of what follows it, in nats, if it was expanded.
    pub entropy: Option<f64>,
    /// In nats².
    pub varentropy: Option<f64>,
    /// Whether entropy is exact, where the node was expanded.
    pub exactness: Option<&'static str>,
    /// The branch threshold when it was expanded, of strategies that have one.
    pub threshold: Option<f64>,
    /// Open paths then.
    pub queue: Option<u32>,
    /// `expanded`, or why it was stopped.
    pub state: &'static str,
    /// How many it has.
    pub children: u32,
    /// Samples that went through it, where samples were drawn.
    pub samples: Option<u32>,
    /// Log probability of each watched string, if the node was expanded.
    pub watched: Vec<Option<f64>>,
}

/// All rows of a run, parents first; the root's text is the prompt.
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
