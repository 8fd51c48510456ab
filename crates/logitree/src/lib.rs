//! See what a language model could have said.
//!
//! A language model gives every possible next token a probability; a text shows one choice at each step. This library
//! runs a model on this machine, or asks a server, reads the whole distribution at every step, and lets programs
//! explore it: log probabilities of generated, forced or given text; a tree of the likely continuations with all
//! probability accounted for; answers with bounds; forks; records that can be resumed and verified to the last bit.
//!
//! ```
//! use logitree::core::explore::Strategy;
//! use logitree::{GenerateOptions, Model, ScoreOptions};
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/tiny.rs"));
//! # fn main() -> logitree::Result<()> {
//! # let folder = tiny_model();
//! # let name = folder.path().to_str().unwrap();
//! // A known name such as "gemma-3-270m" (fetched if it is not here), a GGUF file, a folder, or OWNER/REPO of the Hub.
//! let model = Model::open(name)?;
//!
//! // How likely is each token of a text? In nats: 0 is certain.
//! let scored = model.score(&model.prompt("hello world")?, &ScoreOptions::default())?;
//! assert!(scored.tokens.iter().all(|t| t.token.logprob <= 0.0));
//!
//! // Token by token, each with what it was chosen from.
//! let prompt = model.prompt("hello")?;
//! for token in model.generate(&prompt, &GenerateOptions { max_new_tokens: 3, ..Default::default() })? {
//!     let token = token?;
//!     println!("{:?} {:.3}", model.text(token.token.id), token.token.logprob);
//! }
//!
//! // Everything that is likely enough, as a tree.
//! let run = model.explore(&prompt, Strategy::named("best-first")?).max_nodes(100).run()?;
//! for path in run.paths().take(5) {
//!     println!("{:7.3} %  {}", 100.0 * path.probability(), path.text());
//! }
//! let mass = run.tree.accounting();
//! assert!((mass.finished + mass.frontier + mass.pruned - 1.0).abs() < 1e-9);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Model`] answers. [`OpenOptions`] and [`ServerOptions`] open one. [`Events`] receives progress and notes: the
//!   library itself prints nothing and catches no signals.
//! * [`Prompt`] is the tokens that the model continues; [`Given`] is what the user wrote.
//! * [`Model::score`], [`Model::generate`] (an iterator), [`Model::explore`] (a tree, level by level: [`Exploration`]),
//!   [`Model::answers`], [`Model::forks`], [`Model::verify`]; [`compare`] puts two models or two runs side by side.
//! * `dataset` (with the feature `parquet`) reads texts from files and makes tables of them that can be gone on with.
//! * [`import`] and [`export`] read and write files; [`core`] has the types: tokens, distributions, trees, strategies,
//!   runs.
//! * [`Error`] has a kind, and names parameters as this library does.
//!
//! Log probabilities and entropies are in nats everywhere. Results are the same to the last bit whatever else is
//! computed in the same batch, with any number of threads and any instruction set.
//!
//! Features: `hub` (fetches models; on by default), `remote` (servers as engines; on by default), `parquet`, `arrow`.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod answers;
mod attribute;
mod boundaries;
pub mod compare;
#[cfg(feature = "parquet")]
pub mod dataset;
mod decide;
mod error;
mod events;
mod exploration;
mod explore;
pub mod export;
mod forks;
mod generation;
mod guide;
pub mod import;
mod layers;
pub mod lock;
mod model;
#[cfg_attr(not(feature = "hub"), allow(unused_variables, dead_code))]
pub mod models;
mod next;
pub mod output;
mod prompt;
mod recorder;
mod scored;
mod scoring;
mod spans;
mod verify;
pub mod visible;

/// Tokens, distributions, trees, strategies and run files.
pub use logitree_core as core;
/// How activations are multiplied with weights.
pub use logitree_engine::Arithmetic;

pub use attribute::{AttributeOptions, Attribution, Edited, Parts};
pub use decide::{DecideOptions, DecisionCurve, DecisionPoint};
pub use error::{Context, Error, ErrorKind, Result};
pub use events::{Events, Progress, Quiet};
pub use exploration::{
    BEST_FIRST_NODES, Exploration, Explored, Following, Level, Limits, Ranked, check_resumable, now, slug,
};
pub use explore::Explore;
pub use forks::{ForkOptions, Forks, Tested};
pub use generation::{GenerateOptions, Generated, Generation, StopReason};
pub use layers::LayerQuery;
pub use model::{Model, OpenOptions, arithmetic_of, check_arithmetic};
#[cfg(feature = "remote")]
pub use model::{ServerOptions, wobble, wobble_in_words};
pub use next::{NUCLEI, NextOptions, NextToken};
pub use prompt::{Given, Prompt, check_text, first_ids, watched_ids};
pub use recorder::{Destination, Held};
pub use scored::{LISTED, ScoredToken, totals_of};
pub use scoring::{SCORED_TOGETHER, ScoreOptions, Scored};
pub use spans::{ScoredSpan, least_confident};
pub use verify::{ORDER_TOLERANCE, Verification, check_verifiable};
