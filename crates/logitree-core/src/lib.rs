//! The basic types of logitree: tokens, next-token distributions, the token tree, the policies that grow it, and the
//! run file that records it.
//!
//! This crate reads no file and no clock. Anything that can produce next-token distributions implements
//! [`LanguageModel`]. The rest of logitree works with any such model, including the tables used in tests.
//!
//! Words used throughout:
//!
//! * **logprob**: natural-log probability. **prob**: probability in `[0, 1]`.
//! * **surprisal**: `-logprob`. **entropy**, **varentropy**: mean and variance of surprisal under
//!   the full distribution, in nats and nats².
//! * **rank**: `1 +` the number of tokens with a larger logit; ties go to the smaller id.
//! * **node**: one token in context, at the end of one path from the root; the root is the prompt.
//! * **mass**: a path's probability. `finished + frontier + pruned = 1` for every tree.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod answers;
pub mod compare;
pub mod decide;
pub mod distribution;
pub mod end_tokens;
pub mod explore;
pub mod forks;
pub mod layers;
pub mod lens;
pub mod metrics;
pub mod model;
pub mod nucleus;
mod parameters;
pub mod paths;
pub mod run;
pub mod sampled;
pub mod sampling;
pub mod spans;
pub mod thought;
pub mod token;
pub mod tree;
pub mod verify;
pub mod watch;
pub mod wobble;

pub use distribution::{Distribution, Exactness, LogitsHash, TokenStats, logprob, most_likely_unlisted};
pub use model::{LanguageModel, ModelError, NodeHandle, Query, Session};
pub use token::TokenId;
pub use tree::{Bounds, Mass, NodeId, Stop, Tree};
