//! Standard output for people, colours, width and Ctrl-C.

use crate::export::text::Style;
use crate::output;
use crate::visible::{harmless, harmless_but_colours};
use anyhow::Result;
use std::io::{IsTerminal, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether an interrupt asks for an orderly end, rather than ending at once.
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// Ctrl-C, and being told to end, leave no temporary file: for every command, from the beginning. The program ends at once
/// unless [`catch_interrupts`] was called.
pub fn clean_up_when_interrupted() {
    // Fails only if a handler is there already, which then does the same.
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

/// Colours if the stream is a terminal and nobody objects.
pub fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    !set("NO_COLOR")
        && (stream.is_terminal() || set("CLICOLOR_FORCE"))
        && std::env::var("TERM").as_deref() != Ok("dumb")
}

/// Columns below which lines are wrapped by the terminal.
const NARROWEST: usize = 40;

/// How to lay out what goes to standard output.
pub fn style() -> Style {
    let told = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let width = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)).or_else(told).unwrap_or(100);
    Style { width: width.clamp(NARROWEST, 200), colour: colours(&stdout()) }
}

/// A line for people, in as many lines as the terminal needs.
pub fn paragraph(text: &str) -> String {
    crate::export::text::wrap(text, style().width, "") + "\n"
}

/// Prints text or JSON to standard output; a closed pipe is an error that ends the program quietly. Nothing in the text can
/// control the terminal: JSON keeps its value.
pub fn print(text: &str) -> Result<()> {
    let text = if style().colour { harmless_but_colours(text) } else { harmless(text) };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// ANSI colour of a probability: green for what was all but certain, cyan for what was likelier than not, magenta for what
/// was a surprise. Most tokens of a tree are none of these and nothing is wrong with them: they have no colour.
pub fn colour_of(prob: f64) -> &'static str {
    match prob {
        p if p > 0.8 => "32",
        p if p > 0.45 => "36",
        p if p > 0.01 => "0",
        _ => "35",
    }
}
