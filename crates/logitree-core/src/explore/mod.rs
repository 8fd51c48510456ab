//! Exploration: which nodes to evaluate, and what becomes of them.
//!
//! A [`Policy`] decides which nodes to expand. [`Explorer`] runs it on a model's [`Session`](crate::Session): it
//! evaluates the nodes that the policy wants in wide batches, gives the policy their distributions, and releases
//! session nodes that are no longer needed. A node's distribution does not depend on the rest of its batch, so the tree
//! is the same as one evaluated node by node.

mod beam;
mod best_first;
mod continuation;
mod dynamic;
mod explorer;
mod growth;
mod keep;
mod policy;
mod replay;
mod rules;
mod sample;
mod strategy;

pub use crate::parameters::ParameterError;
pub use beam::{Beam, BeamParameters};
pub use best_first::{BestFirst, BestFirstParameters, Judge};
pub use continuation::Continuation;
pub use dynamic::{Dynamic, DynamicParameters, MAX_CANDIDATES};
pub use explorer::{Explorer, Place};
pub use keep::Keep;
use policy::terminal;
pub use policy::{Change, Known, Paused, Policy};
pub use replay::ResumeError;
pub use rules::BranchRules;
pub use sample::{Sample, SampleParameters, chi_square};
pub use strategy::Strategy;
