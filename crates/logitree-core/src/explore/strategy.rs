//! A policy by name, with its parameters: what a run file's header holds.

use super::{
    Beam, BeamParameters, BestFirst, BestFirstParameters, Dynamic, DynamicParameters, ParameterError, Policy, Sample,
    SampleParameters,
};
use crate::{TokenId, Tree};
use serde::{Deserialize, Serialize};

/// How a tree is grown. As JSON: `{"strategy": NAME, "parameters": {…}}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", content = "parameters", rename_all = "kebab-case")]
pub enum Strategy {
    /// [`Dynamic`], the default.
    Dynamic(DynamicParameters),
    /// [`BestFirst`].
    BestFirst(BestFirstParameters),
    /// [`Beam`].
    Beam(BeamParameters),
    /// [`Sample`].
    Sample(SampleParameters),
}

impl Strategy {
    /// The name in headers and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Strategy::Dynamic(_) => "dynamic",
            Strategy::BestFirst(_) => "best-first",
            Strategy::Beam(_) => "beam",
            Strategy::Sample(_) => "sample",
        }
    }

    /// Checks every parameter's range.
    pub fn check(&self) -> Result<(), ParameterError> {
        match self {
            Strategy::Dynamic(p) => p.check(),
            Strategy::BestFirst(p) => p.check(),
            Strategy::Beam(p) => p.check(),
            Strategy::Sample(p) => p.check(),
        }
    }

    /// The policy, told of what a stopped run had.
    pub fn policy(&self, end_tokens: &[TokenId], tree: &Tree) -> Result<Box<dyn Policy>, ParameterError> {
        Ok(match *self {
            Strategy::Dynamic(p) => Box::new(Dynamic::resume(p, end_tokens, tree)?),
            Strategy::BestFirst(p) => Box::new(BestFirst::new(p, end_tokens, tree)?),
            Strategy::Beam(p) => Box::new(Beam::new(p, end_tokens, tree)?),
            Strategy::Sample(p) => Box::new(Sample::new(p, end_tokens, tree)?),
        })
    }
}
