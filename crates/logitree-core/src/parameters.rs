//! Checks of parameters that policies have in common. Messages have the parameter's name between backticks, so that a
//! caller who knows it by another name, such as the command line, can replace it.

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
    /// A value above the largest possible one.
    #[error("`{name}` must be at most {most}")]
    TooMany {
        /// Name of the parameter.
        name: &'static str,
        /// The largest possible value.
        most: usize,
    },
    /// A negative value, or one that is not finite.
    #[error("`{name}` must be a number from 0 up, not {value}")]
    Negative {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A strategy that does not exist.
    #[error("`strategy` must be one of {}, not {name:?}", known.join(", "))]
    UnknownStrategy {
        /// The name that was given.
        name: String,
        /// The strategies that exist.
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
    /// A value of the wrong type.
    #[error("`{name}` cannot be {value}: {why}")]
    Kind {
        /// Name of the parameter.
        name: String,
        /// The value as JSON.
        value: String,
        /// What was expected.
        why: String,
    },
    /// A value of zero where at least 1 is needed.
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
