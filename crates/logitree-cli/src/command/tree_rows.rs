//! What `tree` finds, as JSON and as a table: of one prompt, and of every prompt of a data set.

use super::dataset::{Answer, Question};
use crate::options::FormOptions;
use logitree::dataset::{Column, ColumnKind};
use logitree::{Destination, Exploration, Explored, Limits, Model, Prompt};
use logitree_core::explore::Strategy;
use logitree_core::run::{EndReason, Run, end_event};
use serde_json::{Value, json};

/// Most tokens that the listed paths may have together.
const MOST_PATH_TOKENS: usize = 10_000_000;

/// The summary of a tree as a JSON object, with the `most` likely paths. `rate` (nodes per second) is given if the tree
/// was grown just now.
pub fn object(run: &Run, most: usize, rate: Option<f64>) -> Value {
    let tree = &run.tree;
    // Numbers are counted anew, as in the summary as text, because those in a file may be wrong.
    let end = end_event(tree, EndReason::Interrupted, run.end.as_ref().map_or(0.0, |e| e.seconds));
    let leaves = tree.ranked_leaves();
    let mut tokens = 0;
    // Every path is written from the prompt on, so the size of all of them can grow with the square of the tree's.
    let fits = |n: &&logitree_core::NodeId| {
        tokens += tree.depth(**n);
        tokens <= MOST_PATH_TOKENS
    };
    let paths: Vec<Value> = leaves
        .iter()
        .take(most)
        .take_while(fits)
        .map(|&n| {
            json!({
                "node": n.0,
                "prob": tree.mass(n),
                "logprob": tree.path_logprob(n),
                "depth": tree.depth(n),
                "stop": tree.stop(n).map(|s| s.name()),
                "text": run.text(n),
            })
        })
        .collect();
    json!({
        "nodes": end.nodes,
        "completed": end.completed,
        "seconds": end.seconds,
        "nodes_per_second": rate,
        "reason": run.end.as_ref().map(|e| e.reason),
        "mass": end.mass,
        "prompt": { "text": run.header.prompt.text, "tokens": run.header.prompt.tokens, "bos": run.header.prompt.bos },
        "model": run.header.model.name,
        "engine": run.header.engine,
        "parameters": run.header.parameters,
        "paths_left_out": most.min(leaves.len()) - paths.len(),
        "paths": paths,
    })
}

/// The question that `tree` asks about each prompt of a data set.
pub struct TreeRows {
    pub form: FormOptions,
    pub strategy: Strategy,
    pub limits: Limits,
    pub watch: Vec<String>,
    /// Number of paths that are listed.
    pub paths: usize,
}

impl Question for TreeRows {
    type Ready = Prompt;

    fn command(&self) -> &'static str {
        "tree"
    }

    fn parameters(&self) -> Value {
        json!({
            "strategy": self.strategy.name(),
            "parameters": self.strategy.parameters(),
            "limits": self.limits.with_default(&self.strategy).json(),
            "watch": self.watch,
            "paths": self.paths,
            "form": self.form.json(),
        })
    }

    fn batch(&self) -> (usize, usize) {
        // A tree fills batches by itself.
        (1, usize::MAX)
    }

    fn check(&self, model: &Model) -> logitree::Result<()> {
        model.watch(&self.watch).map(drop)
    }

    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Prompt> {
        model.prepare(&self.form.given(text), "")
    }

    fn tokens(&self, prompt: &Prompt) -> usize {
        prompt.tokens.len()
    }

    fn answer(&self, model: &Model, prompts: &[Prompt], _: bool) -> logitree::Result<Option<Vec<Answer>>> {
        let mut answers = Vec::new();
        for prompt in prompts {
            let begun =
                Exploration::begin(model, prompt, self.strategy, &self.watch, &self.limits, Destination::Nowhere)?;
            let Explored { run, rate, failure } = begun.run(|_, _| ())?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            if run.end.as_ref().is_some_and(|e| e.reason == EndReason::Interrupted) {
                return Ok(None);
            }
            let json = object(&run, self.paths, Some(rate)).to_string();
            answers.push(Answer { json, tokens: prompt.tokens.len() + run.tree.len() - 1 });
        }
        Ok(Some(answers))
    }

    fn columns(&self) -> Vec<Column> {
        use ColumnKind::{Integer, Number, Text};
        let names = [
            ("node", Integer),
            ("prob", Number),
            ("logprob", Number),
            ("depth", Integer),
            ("stop", Text),
            ("text", Text),
            ("nodes", Integer),
            ("completed", Integer),
            ("reason", Text),
            ("finished", Number),
            ("frontier", Number),
            ("pruned", Number),
        ];
        names.into_iter().map(|(name, kind)| Column::new(name, kind)).collect()
    }

    fn rows(&self, tree: &Value) -> Vec<Vec<Value>> {
        let row = |path: &Value| {
            let own = ["node", "prob", "logprob", "depth", "stop", "text"].map(|name| path[name].clone());
            let common = ["nodes", "completed", "reason"].map(|name| tree[name].clone());
            let mass = ["finished", "frontier", "pruned"].map(|name| tree["mass"][name].clone());
            own.into_iter().chain(common).chain(mass).collect()
        };
        tree["paths"].as_array().into_iter().flatten().map(row).collect()
    }
}
