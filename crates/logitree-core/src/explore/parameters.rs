//! Checks of parameters that policies have in common.

use super::BranchRules;

/// A parameter outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A threshold that is not a probability.
    #[error("{name} must be a probability between 0 and 1, not {value}")]
    NotAProbability {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The minimum lies above the maximum.
    #[error("min_branch_threshold ({min}) must not be above max_branch_threshold ({max})")]
    MinAboveMax {
        /// `min_branch_threshold`.
        min: f64,
        /// `max_branch_threshold`.
        max: f64,
    },
    /// More than is possible.
    #[error("{name} must be at most {most}")]
    TooMany {
        /// Name of the parameter.
        name: &'static str,
        /// What is possible.
        most: usize,
    },
    /// A limit of zero.
    #[error("{name} must be at least 1")]
    Zero {
        /// Name of the parameter.
        name: &'static str,
    },
}

impl ParameterError {
    pub(super) fn probability(name: &'static str, value: f64) -> Result<(), ParameterError> {
        if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(ParameterError::NotAProbability { name, value }) }
    }

    pub(super) fn at_least_one(name: &'static str, value: usize) -> Result<(), ParameterError> {
        if value > 0 { Ok(()) } else { Err(ParameterError::Zero { name }) }
    }

    pub(super) fn at_most(name: &'static str, value: usize, most: usize) -> Result<(), ParameterError> {
        if value <= most { Ok(()) } else { Err(ParameterError::TooMany { name, most }) }
    }

    pub(super) fn rules(rules: &BranchRules) -> Result<(), ParameterError> {
        ParameterError::probability("min_path_prob", rules.min_path_prob)?;
        ParameterError::probability("top_p", rules.top_p)?;
        rules.max_branches.map_or(Ok(()), |n| ParameterError::at_least_one("max_branches", n))
    }
}
