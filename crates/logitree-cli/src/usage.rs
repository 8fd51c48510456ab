//! Errors in the command line.

/// The command line asks for something impossible, whatever the files and the model are. The program ends with code 2,
/// as for errors in the command line's grammar.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Ends a function with a [`UsageError`].
macro_rules! usage {
    ($($text:tt)*) => { return Err($crate::usage::UsageError(format!($($text)*)).into()) };
}
pub(crate) use usage;
