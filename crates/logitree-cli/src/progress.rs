//! Progress on standard error: a line that is updated in place on a terminal, a plain line every few seconds elsewhere.

use crate::message;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use logitree::visible::visible;
use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(5);

/// A progress line.
pub struct Bar {
    bar: ProgressBar,
    total: u64,
    plain: Option<Mutex<Instant>>,
}

fn plain() -> Option<Mutex<Instant>> {
    (!stderr().is_terminal() || message::quiet()).then(|| Mutex::new(Instant::now()))
}

fn target() -> ProgressDrawTarget {
    if message::quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

/// Progress through a known number of bytes.
pub fn bytes(name: &str, total: u64, start: u64) -> Bar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    if let Ok(style) = ProgressStyle::with_template("  {prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_prefix(visible(name));
    bar.set_position(start);
    Bar { bar, total, plain: plain() }
}

/// Progress of work whose end is not known.
pub fn spinner() -> Bar {
    let bar = ProgressBar::with_draw_target(None, target());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    Bar { bar, total: 0, plain: plain() }
}

/// Whether a command shows how far it is in many pieces of work, so that the pieces themselves are not shown.
static ROWS: AtomicBool = AtomicBool::new(false);

/// Progress through rows. While there is it, the progress in words that the library tells is not shown.
pub fn rows() -> Bar {
    ROWS.store(true, Ordering::Relaxed);
    spinner()
}

/// Whether the library's progress in words is shown.
pub fn words_are_shown() -> bool {
    !ROWS.load(Ordering::Relaxed)
}

impl Bar {
    /// Prints a line that stays, above the progress.
    pub fn line(&self, text: impl std::fmt::Display) {
        self.bar.suspend(|| message::line(text));
    }

    /// Shows that this many bytes are done.
    pub fn reach(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.say(|| format!("  {} of {} MB", self.bar.position() / 1_000_000, self.total / 1_000_000));
    }

    /// Shows a new message.
    pub fn message(&self, text: impl Fn() -> String) {
        if self.plain.is_none() {
            self.bar.set_message(visible(&text()));
            self.bar.tick();
        }
        self.say(text);
    }

    fn say(&self, text: impl FnOnce() -> String) {
        let Some(last) = &self.plain else { return };
        let mut last = last.lock().unwrap_or_else(|e| e.into_inner());
        if last.elapsed() >= PLAIN {
            *last = Instant::now();
            message::line(visible(&text()));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
