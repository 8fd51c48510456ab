//! See what a language model could have said.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod answers;
mod error;
mod events;
mod exploration;
pub mod export;
mod forks;
mod generation;
mod guide;
pub mod import;
pub mod lock;
mod model;
pub mod models;
pub mod output;
mod prompt;
mod recorder;
mod scored;
mod verify;
pub mod visible;

pub use error::{Context, Error, ErrorKind, Result};
pub use events::{Events, Progress, Quiet};
pub use exploration::{Exploration, Explored, Following, Level, Limits, Ranked, check_resumable, now, slug};
pub use forks::{ForkOptions, Forks, Tested};
pub use generation::{GenerateOptions, Generation, ScoreOptions, Scored, StopReason};
#[cfg(feature = "remote")]
pub use model::ServerOptions;
pub use model::{Model, OpenOptions, arithmetic_of, check_arithmetic};
pub use prompt::{Given, Prompt, check_text, watched_ids};
pub use recorder::{Destination, Held};
pub use scored::{LISTED, ScoredToken, totals_of};
pub use verify::{Verification, check_verifiable};
