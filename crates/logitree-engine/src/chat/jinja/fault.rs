//! The errors of compiling and rendering a template.

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chat) enum Kind {
    /// The source is not a template.
    Syntax,
    /// An operation of the template failed, or is not supported.
    Failed,
    /// The template called `raise_exception`.
    Rejected,
    /// The template reached a limit.
    Stopped,
}

/// An error with its line.
#[derive(Debug)]
pub(in crate::chat) struct Fault {
    pub kind: Kind,
    message: String,
    line: Option<u32>,
}

/// A result of this interpreter.
pub(in crate::chat) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), line: None }
    }

    /// Adds a line to the error, unless it has one: the line of the innermost statement is kept.
    pub fn at(mut self, line: u32) -> Fault {
        self.line.get_or_insert(line);
        self
    }

    /// The message for the user, with the line if that helps.
    pub fn describe(&self) -> String {
        match self.line {
            Some(line) if matches!(self.kind, Kind::Syntax | Kind::Failed) => {
                format!("{} (line {line} of the template)", self.message)
            }
            _ => self.message.clone(),
        }
    }
}

/// An error while rendering.
pub(super) fn failed<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Fault::new(Kind::Failed, message))
}

/// An error in the source.
pub(super) fn syntax<T>(line: u32, message: impl Into<String>) -> Outcome<T> {
    Err(Fault::new(Kind::Syntax, message).at(line))
}

/// An error for reaching a limit.
pub(super) fn stopped<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Fault::new(Kind::Stopped, message))
}
