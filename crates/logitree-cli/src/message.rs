//! Messages on standard error: the only place that writes there, beside the progress line.
//!
//! If a message cannot be written, because standard error is closed or full, the work goes on and the exit code stays
//! the same. Messages contain names of files and models and texts from servers, so all of them pass [`harmless`]:
//! nothing in them can control the terminal.

use crate::flags::with_flags;
use logitree::visible::{harmless, harmless_but_colours};
use std::fmt::Display;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Sets which messages are printed. Must be called before the first message.
pub fn set(quiet: bool, verbose: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Whether the user wants only results and errors.
pub fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line about what is being done, if the user asked for such lines.
pub fn detail(text: impl Display) {
    if VERBOSE.load(Ordering::Relaxed) {
        line(text);
    }
}

/// Prints a message and a line end, unless the user wants only results and errors.
pub fn line(text: impl Display) {
    lines(&format!("{text}\n"));
}

/// Prints a line that begins with `note: `.
pub fn note(text: impl Display) {
    line(format_args!("note: {text}"));
}

/// Prints why the program fails: the error with all its causes.
pub fn error(e: &anyhow::Error) {
    write(&harmless(&format!("error: {}\n", chain(e))));
}

/// The messages of an error and its causes, in which parameters have the names of their flags.
fn chain(e: &anyhow::Error) -> String {
    let say = |e: &(dyn std::error::Error + 'static)| match e.downcast_ref::<logitree::Error>() {
        // An error about an input may quote words of the input, which must not be changed.
        Some(e) if e.kind() != logitree::ErrorKind::Input => with_flags(&e.to_string()),
        _ => e.to_string(),
    };
    e.chain().map(say).collect::<Vec<_>>().join(": ")
}

/// Prints whole lines, unless the user wants only results and errors.
pub fn lines(text: &str) {
    if !quiet() {
        write(&harmless(text));
    }
}

/// Prints whole lines that may have colours.
pub fn coloured(text: &str) {
    write(&harmless_but_colours(text));
}

fn write(text: &str) {
    let mut err = stderr().lock();
    // An error is ignored: there is nowhere else to report it.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
