//! Messages on standard error: the only place that writes there, beside the progress line.
//!
//! A message is for whoever looks on. If it cannot be written, because standard error is closed or full, the work goes on and
//! the exit code stays what it is. Messages name files, models and what servers said, so all pass [`harmless`].

use logitree::visible::{harmless, harmless_but_colours};
use std::fmt::Display;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Sets how much is said, before anything is.
pub fn set(quiet: bool, verbose: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Whether only results and errors are wanted.
pub fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line for those who want to know what is being done.
pub fn detail(text: impl Display) {
    if VERBOSE.load(Ordering::Relaxed) {
        line(text);
    }
}

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
    write(&harmless(&format!("error: {}\n", chain(e))));
}

/// All messages of an error, as users of the command line know the things.
fn chain(e: &anyhow::Error) -> String {
    let say = |e: &(dyn std::error::Error + 'static)| match e.downcast_ref::<logitree::Error>() {
        // What is wrong with an input may speak of anything in it.
        Some(e) if e.kind() != logitree::ErrorKind::Input => with_flags(&e.to_string()),
        _ => e.to_string(),
    };
    e.chain().map(say).collect::<Vec<_>>().join(": ")
}

/// Whole lines.
pub fn lines(text: &str) {
    if !quiet() {
        write(&harmless(text));
    }
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

/// Parameters of the library whose names are between backticks in its messages; here they are flags.
const PARAMETERS: &[&str] = &[
    "api_key_env",
    "arithmetic",
    "backend",
    "batch",
    "candidate_threshold",
    "choices",
    "cover",
    "end_token",
    "engine",
    "fast",
    "force",
    "max_branch_threshold",
    "max_branches",
    "max_completed_paths",
    "max_depth",
    "max_nodes",
    "max_seconds",
    "min_branch_threshold",
    "min_p",
    "min_path_prob",
    "model",
    "output",
    "pattern",
    "prefix",
    "samples",
    "seed",
    "soft_queue_limit",
    "special",
    "strategy",
    "temperature",
    "template_arg",
    "text",
    "tokenizer",
    "top_k",
    "top_p",
    "top_p_branch",
    "watch",
    "width",
];

/// A message of the library as users of the command line know the things: `` `max_nodes` `` is `--max-nodes`.
pub fn with_flags(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::with_capacity(text.len());
    for (i, part) in parts.iter().enumerate() {
        let is_name = i % 2 == 1 && i + 1 < parts.len() && PARAMETERS.contains(part);
        match (is_name, i % 2) {
            (true, _) => out.push_str(&format!("--{}", part.replace('_', "-"))),
            (false, 1) if i + 1 < parts.len() => out.push_str(&format!("`{part}`")),
            (false, 1) => out.push_str(&format!("`{part}")),
            _ => out.push_str(part),
        }
    }
    out
}
