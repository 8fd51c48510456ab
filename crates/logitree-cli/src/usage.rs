//! Errors of whoever typed the command.

/// What was asked for cannot be done, whatever the files and the model: the program ends with code 2, as for what the
/// command line's own grammar refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Ends a function with a [`UsageError`].
macro_rules! usage {
    ($($text:tt)*) => { return Err($crate::usage::UsageError(format!($($text)*)).into()) };
}
pub(crate) use usage;
