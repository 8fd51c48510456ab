//! What the library tells its caller during work, and how the caller tells it to stop.
//!
//! The library itself prints nothing, shows no progress and catches no signals, because a terminal, a web server and a
//! notebook each do this differently. The caller gives an [`Events`] when it opens a model; all work with that model
//! reports to it.

/// Receives reports from the library, and tells it when to stop. Every method has a default, which does nothing.
pub trait Events: Send + Sync {
    /// Something that the user should know, as a sentence without a full stop.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// What the library begins to do, if it takes time or uses the network.
    fn status(&self, text: &str) {
        let _ = text;
    }

    /// The progress of the current work. This is called often; the receiver decides how often to show it.
    fn progress(&self, progress: Progress<'_>) {
        let _ = progress;
    }

    /// Whether the library should stop soon. What is done so far is kept.
    fn stop(&self) -> bool {
        false
    }
}

/// The progress of some work.
#[derive(Clone, Copy)]
pub enum Progress<'a> {
    /// Progress of a download.
    Bytes {
        /// Name of what is downloaded.
        name: &'a str,
        /// Number of bytes that have arrived.
        done: u64,
        /// Number of bytes in all.
        total: u64,
    },
    /// Progress in words. The text is made only when the function is called.
    Words(&'a dyn Fn() -> String),
    /// The work has ended.
    Ended,
}

/// Ignores all reports and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Events for Quiet {}

/// Reports the end of some work when it is dropped, also after an error.
pub(crate) struct Work<'e>(pub &'e dyn Events);

impl Work<'_> {
    /// Reports the progress in words.
    pub fn words(&self, words: impl Fn() -> String) {
        self.0.progress(Progress::Words(&words));
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.progress(Progress::Ended);
    }
}
