//! Growing a tree with a progress line: what `tree` and `run` have in common.

use crate::progress;
use anyhow::Result;
use logitree::export::text::percent;
use logitree::{Exploration, Explored, Level};

/// Grows the tree to its end with `label` before each progress line.
pub fn explore(exploration: Exploration, label: &str) -> Result<Explored> {
    let bar = progress::spinner();
    Ok(exploration.run(|e, level| bar.message(|| format!("{label}{}", progress_line(e, level))))?)
}

fn progress_line(e: &Exploration, level: Level) -> String {
    let (tree, policy) = (e.tree(), e.policy());
    format!(
        "{} nodes · {} open · {} completed{} · {:.0} steps/s · {} finished",
        tree.len(),
        policy.queue(tree),
        policy.completed(),
        policy.threshold(tree).map_or(String::new(), |t| format!(" · T {t:.3}")),
        level.steps_rate,
        percent(tree.accounting().finished),
    )
}
