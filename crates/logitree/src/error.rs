//! Errors of the library, with a kind for programs and a message for people.
//!
//! A message says what was wrong and how to fix it. It names parameters by their names in this library, between
//! backticks (`` `max_nodes` ``). A front end whose users know a parameter by another name, such as a command-line
//! flag, replaces the name.

use logitree_core::ModelError;
use logitree_core::explore::{ParameterError, ResumeError};
use logitree_core::run::ReadError;
use logitree_engine::LoadError;
use logitree_engine::chat::ChatError;
use logitree_engine::tokenizer::TokenizerError;
use logitree_engine::weights::WeightsError;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;

/// A result with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error: who caused it, and so what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A parameter has a value that is not valid. The string is its name in this library.
    Parameter(&'static str),
    /// The input cannot be used: for example a file of an unknown kind, or a prompt that does not fit the model.
    Input,
    /// The model, file or node does not exist.
    NotFound,
    /// The request conflicts with what exists: for example another model made the run, or another process is writing
    /// the file.
    Conflict,
    /// The model, or the server that is used instead, cannot do this.
    Unsupported,
    /// The engine failed.
    Model,
    /// Another machine could not be reached, or did not answer correctly.
    Network,
    /// The operating system refused, for example for lack of permission or disk space.
    Io,
    /// The reader of the output has closed it. This is not a failure.
    Closed,
    /// The caller asked to stop.
    Interrupted,
    /// A bug in this library.
    Internal,
}

/// An error with its kind. [`std::error::Error::source`] returns the cause; `{:#}` prints the message with all causes.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// An error of this kind with its cause.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error { kind, message: message.into(), source: Some(source.into()) }
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The name in this library of the parameter that is wrong; `None` if the error is not about a parameter.
    pub fn parameter(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Parameter(name) => Some(name),
            _ => None,
        }
    }

    /// All messages from this one to the first cause, joined by colons.
    pub fn chain(&self) -> String {
        let mut text = self.message.to_string();
        let mut at = self.source();
        while let Some(e) = at {
            text.push_str(": ");
            text.push_str(&e.to_string());
            at = e.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { f.write_str(&self.chain()) } else { f.write_str(&self.message) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Converts another library's error. Its own message becomes the message, and its causes stay causes.
fn from_foreign(kind: ErrorKind, e: &(dyn StdError + 'static)) -> Error {
    let mut error = Error::new(kind, e.to_string());
    let mut reasons = Vec::new();
    let mut at = e.source();
    while let Some(reason) = at {
        reasons.push(reason.to_string());
        at = reason.source();
    }
    for reason in reasons.into_iter().rev() {
        error.source = Some(Box::new(Error { kind, message: reason.into(), source: error.source.take() }));
    }
    error
}

macro_rules! from {
    ($($error:ty => $kind:expr;)*) => {
        $(impl From<$error> for Error {
            fn from(e: $error) -> Error {
                let kind: fn(&$error) -> ErrorKind = $kind;
                from_foreign(kind(&e), &e)
            }
        })*
    };
}

from! {
    io::Error => |e| match e.kind() {
        io::ErrorKind::BrokenPipe => ErrorKind::Closed,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        // The content of a file is not valid.
        io::ErrorKind::InvalidData => ErrorKind::Input,
        _ => ErrorKind::Io,
    };
    ModelError => |e| match e {
        ModelError::Engine(_) => ErrorKind::Model,
        _ => ErrorKind::Input,
    };
    ParameterError => |_| ErrorKind::Input;
    ResumeError => |_| ErrorKind::Conflict;
    ReadError => |_| ErrorKind::Input;
    LoadError => |_| ErrorKind::Input;
    WeightsError => |_| ErrorKind::Input;
    TokenizerError => |_| ErrorKind::Input;
    ChatError => |e| match e {
        ChatError::Missing { .. } => ErrorKind::Unsupported,
        ChatError::Argument { .. } => ErrorKind::Parameter("template_args"),
        _ => ErrorKind::Input,
    };
    serde_json::Error => |e| if e.is_io() { ErrorKind::Io } else { ErrorKind::Input };
    std::string::FromUtf8Error => |_| ErrorKind::Input;
    struson::reader::ReaderError => |e| match e {
        struson::reader::ReaderError::IoError { .. } => ErrorKind::Io,
        _ => ErrorKind::Input,
    };
    csv::Error => |e| if e.is_io_error() { ErrorKind::Io } else { ErrorKind::Input };
}

#[cfg(feature = "parquet")]
from! {
    parquet::errors::ParquetError => |_| ErrorKind::Io;
}

#[cfg(feature = "hub")]
from! {
    zip::result::ZipError => |_| ErrorKind::Input;
}

#[cfg(feature = "remote")]
from! {
    logitree_remote::RemoteError => |_| ErrorKind::Network;
}

impl From<std::sync::Arc<ChatError>> for Error {
    fn from(e: std::sync::Arc<ChatError>) -> Error {
        let kind = match *e {
            ChatError::Missing { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Input,
        };
        from_foreign(kind, &*e)
    }
}

/// Adds to an error what was being done when it occurred. The kind of the error stays the same.
pub trait Context<T> {
    /// Puts this message in front of the error.
    ///
    /// # Errors
    /// The original error, with the message in front.
    fn context(self, message: impl fmt::Display) -> Result<T>;

    /// Puts a message in front of the error. The message is made only if there is an error.
    ///
    /// # Errors
    /// The original error, with the message in front.
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|e| {
            let inner: Error = e.into();
            Error::with_source(inner.kind, message().to_string(), inner)
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.ok_or_else(|| Error::new(ErrorKind::Input, message().to_string()))
    }
}

/// Returns from a function with an [`Error`] of a kind.
macro_rules! fail {
    ($kind:ident $(($name:expr))?, $($text:tt)*) => {
        return Err($crate::Error::new($crate::ErrorKind::$kind $(($name))?, format!($($text)*)))
    };
}
pub(crate) use fail;

/// Makes an [`Error`] of kind [`ErrorKind::Input`].
macro_rules! invalid {
    ($($text:tt)*) => { $crate::Error::new($crate::ErrorKind::Input, format!($($text)*)) };
}
pub(crate) use invalid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_goes_with_an_error_and_every_reason_is_said_once() {
        let full = io::Error::new(io::ErrorKind::StorageFull, "no space left");
        let error = Err::<(), _>(full).context("cannot write a.csv").unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Io, "cannot write a.csv".into()));
        assert_eq!(format!("{error:#}"), "cannot write a.csv: no space left");
        assert_eq!(error.source().map(|e| e.to_string()), Some("no space left".into()));
        let fails = || -> Result<()> { fail!(Parameter("watch"), "`watch` {:?} is nothing", "x") };
        assert_eq!(fails().unwrap_err().parameter(), Some("watch"));
    }
}
