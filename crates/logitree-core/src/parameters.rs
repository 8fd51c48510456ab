//! Checks of parameters that policies have in common. Messages name a parameter between backticks, so that whoever knows it by
//! another name, as the command line does, can put that in its place.

/// A parameter outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A threshold that is not a probability.
    #[error("`{name}` must be a probability between 0 and 1, not {value}")]
    NotAProbability {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The minimum lies above the maximum.
    #[error("`min_branch_threshold` ({min}) must not be above `max_branch_threshold` ({max})")]
    MinAboveMax {
        /// `min_branch_threshold`.
        min: f64,
        /// `max_branch_threshold`.
        max: f64,
    },
    /// More than is possible.
    #[error("`{name}` must be at most {most}")]
    TooMany {
        /// Name of the parameter.
        name: &'static str,
        /// What is possible.
        most: usize,
    },
    /// Less than nothing, or not a number.
    #[error("`{name}` must be a number from 0 up, not {value}")]
    Negative {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A strategy that there is not.
    #[error("`strategy` must be one of {}, not {name:?}", known.join(", "))]
    UnknownStrategy {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// A parameter that the strategy does not have.
    #[error("`{name}` {}", place(.strategy, .of))]
    Unknown {
        /// Name of the parameter.
        name: String,
        /// The strategy.
        strategy: &'static str,
        /// Strategies that have it.
        of: Vec<&'static str>,
    },
    /// A value of another kind.
    #[error("`{name}` cannot be {value}: {why}")]
    Kind {
        /// Name of the parameter.
        name: String,
        /// As JSON.
        value: String,
        /// What was expected.
        why: String,
    },
    /// A limit of zero.
    #[error("`{name}` must be at least 1")]
    Zero {
        /// Name of the parameter.
        name: &'static str,
    },
}

fn place(strategy: &str, of: &[&str]) -> String {
    match of {
        [] => format!("is no parameter of {strategy}"),
        _ => format!("belongs to `strategy` {}, not to {strategy}", of.join(" or ")),
    }
}

impl ParameterError {
    pub(crate) fn from_zero_up(name: &'static str, value: f64) -> Result<(), ParameterError> {
        if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(ParameterError::Negative { name, value }) }
    }

    pub(crate) fn probability(name: &'static str, value: f64) -> Result<(), ParameterError> {
        if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(ParameterError::NotAProbability { name, value }) }
    }

    pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<(), ParameterError> {
        if value > 0 { Ok(()) } else { Err(ParameterError::Zero { name }) }
    }

    pub(crate) fn at_most(name: &'static str, value: usize, most: usize) -> Result<(), ParameterError> {
        if value <= most { Ok(()) } else { Err(ParameterError::TooMany { name, most }) }
    }
}
