//! A run as a table with one row per node.

use super::table::Table;
use logitree_core::NodeId;
use logitree_core::run::Run;

/// All nodes of a run, parents first. The text of the root is the prompt. `bytes` are a token's in hexadecimal, if they
/// are not UTF-8; logprobs and the entropy after an expanded node are in nats, the varentropy in nats²; `state` is
/// `expanded` or why the node was stopped; `samples` counts those that went through the node, if the strategy draws
/// any. The columns of the watched strings' logprobs come last, in the order of the run's header.
pub fn table(run: &Run) -> Table<'_, NodeId> {
    let tree = &run.tree;
    let raw = |n: NodeId| tree.token(n).map(|t| run.bytes(t));
    let broken = move |n| raw(n).filter(|b| std::str::from_utf8(b).is_err());
    let text = move |n| raw(n).map(|b| String::from_utf8_lossy(b).into_owned());
    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let expansion = |n: NodeId| tree.expansion(n);
    let table = Table::of(tree.nodes())
        .column("node", |n| n.0)
        .column("parent", |&n| tree.parent(n).map(|p| p.0))
        .column("depth", |&n| tree.depth(n))
        .column("token_id", |&n| tree.token(n).map(|t| t.0))
        .column("text", move |&n| text(n).unwrap_or_else(|| run.header.prompt.text.clone()))
        .column("bytes", move |&n| broken(n).map(hex))
        .column("logprob", |&n| tree.logprob(n))
        .column("prob", |&n| tree.logprob(n).exp())
        .column("path_logprob", |&n| tree.path_logprob(n))
        .column("path_prob", |&n| tree.path_logprob(n).exp())
        .column("entropy", move |&n| expansion(n).map(|e| e.entropy))
        .column("varentropy", move |&n| expansion(n).map(|e| e.varentropy))
        .column("exactness", move |&n| expansion(n).map(|e| e.exactness.name()))
        .column("threshold", move |&n| expansion(n).and_then(|e| e.threshold))
        .column("queue", move |&n| expansion(n).map(|e| e.queue))
        .column("state", |&n| tree.stop(n).map_or("expanded", |s| s.name()))
        .column("children", |&n| tree.children(n).len())
        .column("samples", |&n| Some(tree.samples(n)).filter(|&s| s > 0));
    (0..run.header.watch.len()).fold(table, |table, i| {
        let watched = move |&n: &NodeId| expansion(n).and_then(|e| e.watched.get(i)).map(|w| w.logprob);
        table.column(format!("watch_{}_logprob", i + 1), watched)
    })
}
