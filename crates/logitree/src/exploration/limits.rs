//! The budgets of a run.

use crate::error::{Result, fail};
use logitree_core::explore::{Keep, Strategy};
use logitree_core::run::{EndReason, Run};
use logitree_core::{NodeId, Tree};
use serde_json::{Map, Value, json};

/// The budgets that end a run early, and what of each distribution it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest number of nodes of the tree.
    pub max_nodes: Option<usize>,
    /// Largest time of exploring in seconds, including the time before the run was resumed.
    pub max_seconds: Option<f64>,
    /// How much of each distribution is kept.
    pub keep: Keep,
    /// Whether the hash of all logits of each step is kept.
    pub hash_logits: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_nodes: None, max_seconds: None, keep: Keep::Top(10), hash_logits: false }
    }
}

/// Largest number of nodes of a best-first tree that was given no budget: `cover` of all continuations of a text may be
/// further away than anybody waits for.
pub const BEST_FIRST_NODES: usize = 5000;

impl Limits {
    /// The limits with the budget that this strategy has if none is given: best-first stops at
    /// [`BEST_FIRST_NODES`]; the others end of themselves.
    pub fn with_default(self, strategy: &Strategy) -> Limits {
        match (strategy, self.max_nodes, self.max_seconds) {
            (Strategy::BestFirst(_), None, None) => Limits { max_nodes: Some(BEST_FIRST_NODES), ..self },
            _ => self,
        }
    }

    /// Checks the budgets' ranges.
    ///
    /// # Errors
    /// If a budget is out of its range; the error names it.
    pub fn check(&self) -> Result<()> {
        if self.max_nodes == Some(0) {
            fail!(Parameter("max_nodes"), "`max_nodes` must be at least 1");
        }
        if let Some(s) = self.max_seconds.filter(|s| !s.is_finite() || *s < 0.0) {
            fail!(Parameter("max_seconds"), "`max_seconds` must be a number from 0 up, not {s}");
        }
        Ok(())
    }

    /// The budgets as they are written in headers.
    pub fn json(&self) -> Map<String, Value> {
        let budgets = [("max_nodes", json!(self.max_nodes)), ("max_seconds", json!(self.max_seconds))];
        budgets.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_string(), v)).collect()
    }

    /// The budgets that a run was begun with. The oldest files do not say how many tokens were kept of each step: then
    /// it is the number that the root has.
    pub fn of(run: &Run) -> Limits {
        let number = |name: &str| run.header.limits.get(name).and_then(Value::as_f64);
        let listed = run.tree.expansion(NodeId::ROOT).map_or(10, |e| e.top.len());
        let keep = run.header.store_top.unwrap_or(Keep::Top(listed));
        Limits {
            max_nodes: number("max_nodes").map(|n| n as usize),
            max_seconds: number("max_seconds"),
            keep,
            hash_logits: run.header.hash_logits,
        }
    }

    /// The budget that is used up after this many seconds, if any.
    pub fn reached(&self, tree: &Tree, seconds: f64) -> Option<EndReason> {
        if self.max_nodes.is_some_and(|n| tree.len() >= n) {
            Some(EndReason::MaxNodes)
        } else if self.max_seconds.is_some_and(|s| seconds >= s) {
            Some(EndReason::MaxSeconds)
        } else {
            None
        }
    }
}
