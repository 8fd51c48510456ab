//! What the library tells its caller while it works, and what it asks.
//!
//! The library itself prints nothing, shows no progress and catches no signals: a terminal, a web server and a notebook each
//! have their own way. Whoever opens a model gives it an [`Events`]; everything done with that model speaks to it.

/// Listens to the library, and says when to stop. Every method has a default: [`Quiet`] is what does nothing.
pub trait Events: Send + Sync {
    /// Something that the user should know: a sentence without a full stop.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// What is being done now, where that takes time or the network.
    fn status(&self, text: &str) {
        let _ = text;
    }

    /// How far it is. Called often: whoever shows it decides how often.
    fn progress(&self, progress: Progress<'_>) {
        let _ = progress;
    }

    /// Whether to stop soon. What is done so far is kept.
    fn stop(&self) -> bool {
        false
    }
}

/// How far some work is.
#[derive(Clone, Copy)]
pub enum Progress<'a> {
    /// Bytes of a file that comes here.
    Bytes {
        /// What comes.
        name: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Bytes that there will be.
        total: u64,
    },
    /// In words, which are made only if somebody looks.
    Words(&'a dyn Fn() -> String),
    /// The work that was spoken of has ended.
    Ended,
}

/// Hears nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Events for Quiet {}

/// Says at its end, however it ends, that some work has ended.
pub(crate) struct Work<'e>(pub &'e dyn Events);

impl Work<'_> {
    /// How far it is, in words.
    pub fn words(&self, words: impl Fn() -> String) {
        self.0.progress(Progress::Words(&words));
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.progress(Progress::Ended);
    }
}
