//! Options that choose how a tree is explored.

use crate::flags::with_flags;
use crate::options::{self};
use crate::usage::{UsageError, usage};
use anyhow::Result;
use clap::{Args, ValueEnum};
use logitree_core::explore::{Keep, Strategy};
use serde_json::{Map, Value, json};

/// Names of the strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Breadth first, pickier the more paths are open
    #[default]
    Dynamic,
    /// Always the most likely paths, until enough of the probability is finished
    BestFirst,
    /// Beam search
    Beam,
    /// Random samples, merged into a tree
    Sample,
}

/// How to explore.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Exploration")]
pub struct StrategyOptions {
    /// How to explore [default: dynamic]
    #[arg(long, value_enum)]
    pub strategy: Option<Name>,
    /// dynamic: the threshold T begins here and rises with the open paths: with one open path and the defaults it is 0.113
    /// (see below) [default: 0.1]
    #[arg(long, value_parser = options::probability, value_name = "PROB")]
    pub min_branch_threshold: Option<f64>,
    /// dynamic: the threshold T when soft-queue-limit or more paths are open [default: 0.5]
    #[arg(long, value_parser = options::probability, value_name = "PROB")]
    pub max_branch_threshold: Option<f64>,
    /// dynamic: open paths at which the threshold reaches its maximum [default: 30]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub soft_queue_limit: Option<usize>,
    /// dynamic: list tokens above this probability as candidates of a step [default: 0.01]
    #[arg(long, value_parser = options::probability, value_name = "PROB")]
    pub candidate_threshold: Option<f64>,
    /// best-first: nodes expanded together; with 1, completions come in exact order [default: 24]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub batch: Option<usize>,
    /// best-first: end when completed paths have this much of the probability [default: 0.9]
    #[arg(long, value_parser = options::probability, value_name = "PROB")]
    pub cover: Option<f64>,
    /// beam: paths followed at once [default: 8]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub width: Option<usize>,
    /// sample: how many samples to draw [default: 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub samples: Option<u32>,
    /// sample: the same seed gives the same samples [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// sample, best-first: temperature; best-first then walks what a sampler would draw, and all probabilities are the
    /// sampler's; 0 always takes the most likely token [default: 1]
    #[arg(long, value_parser = options::non_negative, value_name = "T")]
    pub temperature: Option<f64>,
    /// sample, best-first: draw from this many of the most likely tokens; 0 is all [default: 0]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// sample, best-first: draw from the most likely tokens that make up this probability [default: 1]
    #[arg(long, value_parser = options::probability, value_name = "P")]
    pub top_p: Option<f64>,
    /// sample, best-first: draw from tokens with at least this share of the most likely one's probability [default: 0]
    #[arg(long, value_parser = options::probability, value_name = "P")]
    pub min_p: Option<f64>,
    /// Do not look further than this many tokens [default: dynamic 30, others 1000; the notebook has 1000]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub max_depth: Option<usize>,
    /// End when this many paths have reached an end token [default: dynamic 5, best-first no limit, beam its width]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub max_completed_paths: Option<usize>,
    /// Cut branches whose path is less likely than this [default: best-first 1e-9, others 0]
    #[arg(long, value_parser = options::probability, value_name = "PROB")]
    pub min_path_prob: Option<f64>,
    /// Branch only into the most likely tokens that make up this probability [default: 1]
    #[arg(long, value_parser = options::probability, value_name = "P")]
    pub top_p_branch: Option<f64>,
    /// Branch into at most so many tokens [default: best-first 32, others no limit]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub max_branches: Option<usize>,
}

impl StrategyOptions {
    /// The strategy with its parameters, checked.
    pub fn build(&self) -> Result<Strategy> {
        let name = self.strategy.unwrap_or_default().to_possible_value();
        let name = name.map_or(String::new(), |v| v.get_name().to_string());
        let made = Strategy::with(&name, &self.given());
        Ok(made.map_err(|e| UsageError(with_flags(&e.to_string())))?)
    }

    /// The parameters that the user gave, by the names that they have in run files' headers.
    fn given(&self) -> Map<String, Value> {
        let all = [
            ("min_branch_threshold", json!(self.min_branch_threshold)),
            ("max_branch_threshold", json!(self.max_branch_threshold)),
            ("soft_queue_limit", json!(self.soft_queue_limit)),
            ("candidate_threshold", json!(self.candidate_threshold)),
            ("batch", json!(self.batch)),
            ("cover", json!(self.cover)),
            ("width", json!(self.width)),
            ("samples", json!(self.samples)),
            ("seed", json!(self.seed)),
            ("temperature", json!(self.temperature)),
            ("top_k", json!(self.top_k)),
            ("top_p", json!(self.top_p)),
            ("min_p", json!(self.min_p)),
            ("max_depth", json!(self.max_depth)),
            ("max_completed_paths", json!(self.max_completed_paths)),
            ("min_path_prob", json!(self.min_path_prob)),
            ("top_p_branch", json!(self.top_p_branch)),
            ("max_branches", json!(self.max_branches)),
        ];
        all.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name.to_string(), v)).collect()
    }

    /// Refuses options of strategies for a run that is resumed: it keeps its strategy and parameters.
    pub fn refuse_on_resume(&self) -> Result<()> {
        let strategy = self.strategy.map(|_| "strategy".to_string());
        if let Some(name) = strategy.into_iter().chain(self.given().into_iter().map(|(name, _)| name)).next() {
            usage!(
                "--{} cannot be changed on --resume: a run goes on with the strategy and the parameters that it began with",
                name.replace('_', "-")
            );
        }
        Ok(())
    }
}

/// Parses what a run keeps of each distribution: the `K` most likely tokens, or with `p=P` as many as make up
/// probability P.
pub fn keep(text: &str) -> Result<Keep, String> {
    match text.strip_prefix("p=") {
        Some(p) => options::probability(p).map(Keep::Mass),
        None => options::at_least_one(text).map(Keep::Top).map_err(|e| format!("{e}, or p=PROB")),
    }
}
