//! Messages on standard error: the only place that writes there, beside the progress line.
//!
//! A message is for whoever looks on. If it cannot be written, because standard error is closed or full, the work goes on and
//! the exit code stays what it is. Messages name files, models and what servers said, so all pass [`harmless`].

use crate::visible::{harmless, harmless_but_colours};
use std::fmt::Display;
use std::io::{Write, stderr};

/// A line, or several.
pub fn line(text: impl Display) {
    lines(&format!("{text}\n"));
}

/// A line that begins with `note: `.
pub fn note(text: impl Display) {
    line(format_args!("note: {text}"));
}

/// Why the program ends without success, with the reasons behind it.
pub fn error(e: &anyhow::Error) {
    line(format_args!("error: {e:#}"));
}

/// Whole lines.
pub fn lines(text: &str) {
    write(&harmless(text));
}

/// Whole lines that may have colours.
pub fn coloured(text: &str) {
    write(&harmless_but_colours(text));
}

fn write(text: &str) {
    let mut err = stderr().lock();
    // See above: nobody is left to tell.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
