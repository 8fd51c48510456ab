//! Options that choose how a tree is explored.

use crate::cli::{self, UsageError, usage};
use anyhow::Result;
use clap::{Args, ValueEnum};
use logitree_core::explore::{
    BeamParameters, BestFirstParameters, BranchRules, DynamicParameters, Keep, SampleParameters, Strategy,
};
use logitree_core::sampling::Sampler;

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
    /// How to explore
    #[arg(long, value_enum, default_value_t)]
    pub strategy: Name,
    /// dynamic: the threshold T begins here and rises with the open paths: with one open path and the defaults it is 0.113
    /// (see below) [default: 0.1]
    #[arg(long, value_parser = cli::probability, value_name = "PROB")]
    pub min_branch_threshold: Option<f64>,
    /// dynamic: the threshold T when soft-queue-limit or more paths are open [default: 0.5]
    #[arg(long, value_parser = cli::probability, value_name = "PROB")]
    pub max_branch_threshold: Option<f64>,
    /// dynamic: open paths at which the threshold reaches its maximum [default: 30]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub soft_queue_limit: Option<usize>,
    /// dynamic: list tokens above this probability as candidates of a step [default: 0.01]
    #[arg(long, value_parser = cli::probability, value_name = "PROB")]
    pub candidate_threshold: Option<f64>,
    /// best-first: nodes expanded together; with 1, completions come in exact order [default: 24]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub batch: Option<usize>,
    /// best-first: end when completed paths have this much of the probability [default: 0.9]
    #[arg(long, value_parser = cli::probability, value_name = "PROB")]
    pub cover: Option<f64>,
    /// beam: paths followed at once [default: 8]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub width: Option<usize>,
    /// sample: how many samples to draw [default: 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub samples: Option<u32>,
    /// sample: the same seed gives the same samples [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// sample: temperature; 0 always takes the most likely token [default: 1]
    #[arg(long, value_parser = cli::non_negative, value_name = "T")]
    pub temperature: Option<f64>,
    /// sample: draw from this many of the most likely tokens; 0 is all [default: 0]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// sample: draw from the most likely tokens that make up this probability [default: 1]
    #[arg(long, value_parser = cli::probability, value_name = "P")]
    pub top_p: Option<f64>,
    /// sample: draw from tokens with at least this share of the most likely one's probability [default: 0]
    #[arg(long, value_parser = cli::probability, value_name = "P")]
    pub min_p: Option<f64>,
    /// Do not look further than this many tokens [default: 1000]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub max_depth: Option<usize>,
    /// End when this many paths have reached an end token [default: dynamic 5, best-first no limit, beam its width]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub max_completed_paths: Option<usize>,
    /// Cut branches whose path is less likely than this [default: best-first 1e-9, others 0]
    #[arg(long, value_parser = cli::probability, value_name = "PROB")]
    pub min_path_prob: Option<f64>,
    /// Branch only into the most likely tokens that make up this probability [default: 1]
    #[arg(long, value_parser = cli::probability, value_name = "P")]
    pub top_p_branch: Option<f64>,
    /// Branch into at most so many tokens [default: best-first 32, others no limit]
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub max_branches: Option<usize>,
}

impl StrategyOptions {
    /// The strategy with its parameters, checked.
    pub fn build(&self) -> Result<Strategy> {
        self.refuse_others()?;
        let strategy = match self.strategy {
            Name::Dynamic => {
                let d = DynamicParameters::default();
                Strategy::Dynamic(DynamicParameters {
                    min_branch_threshold: self.min_branch_threshold.unwrap_or(d.min_branch_threshold),
                    max_branch_threshold: self.max_branch_threshold.unwrap_or(d.max_branch_threshold),
                    soft_queue_limit: self.soft_queue_limit.unwrap_or(d.soft_queue_limit),
                    candidate_threshold: self.candidate_threshold.unwrap_or(d.candidate_threshold),
                    max_depth: self.max_depth.unwrap_or(d.max_depth),
                    max_completed_paths: self.max_completed_paths.unwrap_or(d.max_completed_paths),
                    rules: self.rules(d.rules),
                })
            }
            Name::BestFirst => {
                let d = BestFirstParameters::default();
                Strategy::BestFirst(BestFirstParameters {
                    batch: self.batch.unwrap_or(d.batch),
                    cover: self.cover.unwrap_or(d.cover),
                    max_depth: self.max_depth.unwrap_or(d.max_depth),
                    max_completed_paths: self.max_completed_paths.unwrap_or(d.max_completed_paths),
                    rules: self.rules(d.rules),
                })
            }
            Name::Beam => {
                let d = BeamParameters::default();
                Strategy::Beam(BeamParameters {
                    width: self.width.unwrap_or(d.width),
                    max_depth: self.max_depth.unwrap_or(d.max_depth),
                    max_completed_paths: self.max_completed_paths.unwrap_or(d.max_completed_paths),
                    rules: self.rules(d.rules),
                })
            }
            Name::Sample => {
                let d = SampleParameters::default();
                Strategy::Sample(SampleParameters {
                    samples: self.samples.unwrap_or(d.samples),
                    seed: self.seed.unwrap_or(d.seed),
                    max_depth: self.max_depth.unwrap_or(d.max_depth),
                    sampler: Sampler {
                        temperature: self.temperature.unwrap_or(d.sampler.temperature),
                        top_k: self.top_k.unwrap_or(d.sampler.top_k),
                        top_p: self.top_p.unwrap_or(d.sampler.top_p),
                        min_p: self.min_p.unwrap_or(d.sampler.min_p),
                    },
                })
            }
        };
        strategy.check().map_err(|e| UsageError(as_flags(&e.to_string())))?;
        Ok(strategy)
    }

    fn rules(&self, default: BranchRules) -> BranchRules {
        BranchRules {
            min_path_prob: self.min_path_prob.unwrap_or(default.min_path_prob),
            top_p: self.top_p_branch.unwrap_or(default.top_p),
            max_branches: self.max_branches.or(default.max_branches),
        }
    }

    /// An option of another strategy would be ignored: better said than silently done.
    fn refuse_others(&self) -> Result<()> {
        use Name::{Beam, BestFirst, Dynamic, Sample};
        const BRANCHING: &[Name] = &[Dynamic, BestFirst, Beam];
        let options: [(&str, bool, &[Name]); 17] = [
            ("min-branch-threshold", self.min_branch_threshold.is_some(), &[Dynamic]),
            ("max-branch-threshold", self.max_branch_threshold.is_some(), &[Dynamic]),
            ("soft-queue-limit", self.soft_queue_limit.is_some(), &[Dynamic]),
            ("candidate-threshold", self.candidate_threshold.is_some(), &[Dynamic]),
            ("batch", self.batch.is_some(), &[BestFirst]),
            ("cover", self.cover.is_some(), &[BestFirst]),
            ("width", self.width.is_some(), &[Beam]),
            ("samples", self.samples.is_some(), &[Sample]),
            ("seed", self.seed.is_some(), &[Sample]),
            ("temperature", self.temperature.is_some(), &[Sample]),
            ("top-k", self.top_k.is_some(), &[Sample]),
            ("top-p", self.top_p.is_some(), &[Sample]),
            ("min-p", self.min_p.is_some(), &[Sample]),
            ("max-completed-paths", self.max_completed_paths.is_some(), BRANCHING),
            ("min-path-prob", self.min_path_prob.is_some(), BRANCHING),
            ("top-p-branch", self.top_p_branch.is_some(), BRANCHING),
            ("max-branches", self.max_branches.is_some(), BRANCHING),
        ];
        for (flag, given, of) in options {
            if given && !of.contains(&self.strategy) {
                let names: Vec<String> =
                    of.iter().filter_map(|n| Some(n.to_possible_value()?.get_name().to_string())).collect();
                usage!("--{flag} belongs to --strategy {}", names.join(" or "));
            }
        }
        Ok(())
    }
}

/// Parameter names as the flags that set them.
fn as_flags(text: &str) -> String {
    let words = text
        .split_inclusive(' ')
        .map(|word| if word.contains('_') { format!("--{}", word.replace('_', "-")) } else { word.to_string() });
    words.collect()
}

/// What a run keeps of each distribution: `K` tokens, or `p=P` for those that make up P.
pub fn keep(text: &str) -> Result<Keep, String> {
    match text.strip_prefix("p=") {
        Some(p) => cli::probability(p).map(Keep::Mass),
        None => cli::at_least_one(text).map(Keep::Top).map_err(|e| format!("{e}, or p=PROB")),
    }
}
