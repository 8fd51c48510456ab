//! What can go wrong, for programs that decide by its kind and for people who read it.
//!
//! A message says what was wrong and how to mend it. It names parameters by their names in this library, between backticks
//! (`` `max_nodes` ``): a front end whose users know them by other names, as a command line does by its flags, puts those in
//! their place.

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

/// Whose fault it is, and so what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A parameter has a value that it cannot have; its name in this library.
    Parameter(&'static str),
    /// What was given cannot be used: a file that is none of the known ones, a prompt that does not fit the model.
    Input,
    /// There is no such model, file, or node.
    NotFound,
    /// What was asked for does not go together with what is there: another model made the run, another process writes it.
    Conflict,
    /// The model, or the server in its place, cannot do this.
    Unsupported,
    /// The engine failed.
    Model,
    /// Another machine could not be reached, or did not answer as it should.
    Network,
    /// The operating system refused: no permission, a full disk.
    Io,
    /// Whoever reads the output has closed it: nothing is wrong.
    Closed,
    /// The caller wished to stop.
    Interrupted,
    /// A fault of this library.
    Internal,
}

/// An error with its kind. [`std::error::Error::source`] leads to the reasons behind it; `{:#}` prints all of them.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// An error of this kind, with the reason behind it.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error { kind, message: message.into(), source: Some(source.into()) }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The parameter that is wrong, by its name in this library, if it is one.
    pub fn parameter(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Parameter(name) => Some(name),
            _ => None,
        }
    }

    /// All messages from this one to the first cause, with colons between them.
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

/// What an error says by itself, without the reasons behind it, which stay its sources.
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
        // What its bytes cannot be.
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

/// Says what was being done when something failed; the kind of what failed stays.
pub trait Context<T> {
    /// With this message in front.
    ///
    /// # Errors
    /// What failed, with the message.
    fn context(self, message: impl fmt::Display) -> Result<T>;

    /// With a message in front that is made only then.
    ///
    /// # Errors
    /// What failed, with the message.
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

/// Ends a function with an [`Error`] of a kind.
macro_rules! fail {
    ($kind:ident $(($name:expr))?, $($text:tt)*) => {
        return Err($crate::Error::new($crate::ErrorKind::$kind $(($name))?, format!($($text)*)))
    };
}
pub(crate) use fail;

/// An [`Error`] about what was given, as a value.
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
