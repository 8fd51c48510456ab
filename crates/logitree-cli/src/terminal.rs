//! Standard output for people, colours, width and Ctrl-C.

use crate::flags::with_flags;
use crate::message;
use crate::progress::{self, Bar};
use anyhow::Result;
use clap::ValueEnum;
use logitree::export::text::{self, Style};
use logitree::visible::{harmless, harmless_but_colours};
use logitree::{Events, Progress, output};
use std::collections::HashSet;
use std::io::{self, IsTerminal, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// True if an interrupt should let the command end in order, false if it should end the program at once.
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// Removes temporary files when Ctrl-C or the system ends the program. The program ends at once unless
/// [`catch_interrupts`] was called.
pub fn clean_up_when_interrupted() {
    // This fails only if the handler was set before, and then it does the same.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) || !ORDERLY.load(Ordering::SeqCst) {
            output::abandon();
            std::process::exit(130);
        }
    });
}

/// From now on Ctrl-C only asks for an orderly end; a second one ends at once.
pub fn catch_interrupts() {
    ORDERLY.store(true, Ordering::SeqCst);
}

/// Whether the user pressed Ctrl-C.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless the environment objects
    #[default]
    Auto,
    /// Also in files and pipes
    Always,
    /// Nowhere
    Never,
}

static COLOUR: OnceLock<Colour> = OnceLock::new();

/// Sets when there are colours. Must be called once, before anything is printed.
pub fn set(colour: Colour) {
    let _ = COLOUR.set(colour);
}

/// Whether to use colours on this stream: as the command line says, or else if it is a terminal and no environment
/// variable says otherwise.
pub fn colours(stream: &impl IsTerminal) -> bool {
    match COLOUR.get() {
        Some(Colour::Always) => return true,
        Some(Colour::Never) => return false,
        _ => {}
    }
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    !set("NO_COLOR")
        && (stream.is_terminal() || set("CLICOLOR_FORCE"))
        && std::env::var("TERM").as_deref() != Ok("dumb")
}

/// Narrowest layout, in columns. On narrower terminals, lines are wrapped by the terminal itself.
const NARROWEST: usize = 40;

/// Width and colours of what is printed to standard output.
pub fn style() -> Style {
    let told = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let width = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)).or_else(told).unwrap_or(100);
    Style { width: width.clamp(NARROWEST, 200), colour: colours(&stdout()) }
}

/// Wraps a text to the width of the terminal.
pub fn paragraph(text: &str) -> String {
    text::wrap(text, style().width, "") + "\n"
}

/// Prints text or JSON to standard output. A closed pipe is an error that ends the program without a message.
/// Characters that could control the terminal are made harmless, in a way that leaves the values in JSON unchanged.
pub fn print(text: &str) -> Result<()> {
    let text = if style().colour { harmless_but_colours(text) } else { harmless(text) };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Standard output for whole lines, in which characters that could control a terminal are made harmless. Each write
/// must have whole lines.
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        stdout().lock().write_all(harmless(&String::from_utf8_lossy(lines)).as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stdout().lock().flush()
    }
}

/// Handles the library's events: prints notes and progress to standard error, and asks the library to stop after
/// Ctrl-C.
#[derive(Default)]
pub struct Terminal {
    /// The progress line that is shown now.
    bar: Mutex<Option<Bar>>,
    /// Notes that were said while rows were done.
    said: Mutex<HashSet<String>>,
}

impl Events for Terminal {
    fn note(&self, text: &str) {
        // What is said of one row is likely said of the next ones, too.
        let said = || self.said.lock().unwrap_or_else(|e| e.into_inner()).insert(text.into());
        if progress::words_are_shown() || said() {
            message::note(with_flags(text));
        }
    }

    fn status(&self, text: &str) {
        message::line(text);
    }

    fn progress(&self, progress: Progress<'_>) {
        let mut bar = self.bar.lock().unwrap_or_else(|e| e.into_inner());
        match progress {
            Progress::Bytes { name, done, total } => {
                bar.get_or_insert_with(|| progress::bytes(name, total, done)).reach(done)
            }
            Progress::Words(_) if !progress::words_are_shown() => {}
            Progress::Words(words) => bar.get_or_insert_with(progress::spinner).message(words),
            Progress::Ended => drop(bar.take()),
        }
    }

    fn stop(&self) -> bool {
        interrupted()
    }
}
