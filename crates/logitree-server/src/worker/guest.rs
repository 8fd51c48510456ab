//! Work of the library that takes many batches, such as a decision curve. It runs on a thread of its own, by turns with
//! all other work: before each batch the library asks its listener whether to stop, and the listener waits there until it
//! is the guest's turn again. So there is never more than one thread that asks the model.

use super::Tokens;
use super::guarded::guarded;
use logitree::{Events, Model, Progress, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Hears how a guest gets on.
pub trait Listener: Send + Sync {
    /// What is being done, in words.
    fn progress(&self, words: String);
    /// Something that the user should know.
    fn note(&self, text: &str);
    /// Whether nobody waits for the result any more.
    fn is_gone(&self) -> bool;
}

type Work = Box<dyn FnOnce(&Model, Vec<Tokens>) -> Result<()> + Send>;

/// Some work, and who hears of it.
pub struct Task {
    /// What the work is, for errors.
    pub what: &'static str,
    /// The work. It gets the model, whose events are the task's own, and the tokens that it asked for.
    pub work: Work,
    /// Gets the error, if there is one.
    pub failed: Box<dyn FnOnce(logitree::Error) + Send>,
    pub listener: Arc<dyn Listener>,
}

/// A task in progress.
pub struct Guest {
    turns: Sender<()>,
    rests: Receiver<()>,
}

impl Guest {
    /// Starts the thread of a task, which waits for its first turn.
    pub fn new(task: Task, model: &Model, tokens: Vec<Tokens>, events: Arc<dyn Events>) -> std::io::Result<Guest> {
        let ((turns, turn), (rest, rests)) = (channel(), channel());
        let table = Arc::new(Table { turn: Mutex::new(turn), rest, listener: task.listener, events });
        let model = model.heard_by(table.clone());
        std::thread::Builder::new().name(task.what.into()).spawn(move || {
            if table.wait()
                && let Err(e) = guarded(task.what, || (task.work)(&model, tokens))
            {
                (task.failed)(e);
            }
        })?;
        Ok(Guest { turns, rests })
    }

    /// Gives the guest a turn and waits until it is over. Returns false if the work has ended.
    pub fn turn(&self) -> bool {
        self.turns.send(()).is_ok() && self.rests.recv().is_ok()
    }
}

/// Where a guest waits for its turns.
struct Table {
    turn: Mutex<Receiver<()>>,
    rest: Sender<()>,
    listener: Arc<dyn Listener>,
    /// The server's events, which say when the program ends.
    events: Arc<dyn Events>,
}

impl Table {
    /// Waits for a turn; returns false if none will come, or nobody needs it.
    fn wait(&self) -> bool {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.recv().is_ok() && !self.listener.is_gone() && !self.events.stop()
    }
}

impl Events for Table {
    fn note(&self, text: &str) {
        self.listener.note(text);
    }

    fn progress(&self, progress: Progress<'_>) {
        if let Progress::Words(words) = progress {
            self.listener.progress(words());
        }
    }

    fn stop(&self) -> bool {
        // If nobody takes the turn back, the server is about to end.
        let _ = self.rest.send(());
        !self.wait()
    }
}
