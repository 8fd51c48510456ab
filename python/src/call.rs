//! One call from Python into the library: the work runs on a thread of its own while the calling thread checks for
//! Python's signals and passes on the work's progress and notes.
//!
//! ```text
//! calling thread, without the GIL:            thread of the work:
//!   loop                                        work(), which sends progress and notes
//!     wait up to 50 ms for a message              and asks `Listener::stop` now and then
//!     take the GIL                              send `Done`
//!       check signals: Ctrl-C raises
//!       pass the message on to Python
//!     after an exception: tell the work to stop, go on until `Done`
//! ```
//!
//! In this way Ctrl-C is seen at once whatever the work does, other Python threads go on, and progress is shown by the
//! thread that called, where notebooks expect it.

use crate::error;
use logitree::{Events, Progress};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often the calling thread checks for signals.
const LOOK: Duration = Duration::from_millis(50);
/// Shortest time between two messages about progress.
const TELL: Duration = Duration::from_millis(100);
/// Stack of the thread of the work, in bytes: as large as that of a program's main thread usually is.
const STACK: usize = 8 << 20;

/// A message from the thread of the work to the calling thread.
enum Said {
    Note(String),
    Words(String),
    Bytes { name: String, done: u64, total: u64 },
    Level(Level),
    Ended,
    Done,
}

/// How far an exploration is.
#[derive(Clone, Copy)]
pub struct Level {
    /// Nodes of the tree.
    pub nodes: usize,
    /// Open paths.
    pub open: usize,
    /// Paths that reached an end token.
    pub completed: usize,
    /// Their probability together.
    pub finished: f64,
    /// The branch threshold now in force.
    pub threshold: Option<f64>,
    /// New nodes per second.
    pub rate: f64,
}

impl Level {
    /// The level as Python's `logitree.Level`.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Level { nodes, open, completed, finished, threshold, rate } = *self;
        py.import("logitree._types")?.getattr("Level")?.call1((nodes, open, completed, finished, threshold, rate))
    }
}

/// What the thread of the work knows of its call.
struct Work {
    stopped: Arc<AtomicBool>,
    says: Sender<Said>,
    told: Instant,
}

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

fn say(said: Said) {
    WORK.with_borrow(|work| {
        if let Some(work) = work {
            // Sending fails only after the call has ended, when the message is not needed.
            let _ = work.says.send(said);
        }
    });
}

/// Whether [`TELL`] has passed since progress was last told. If so, the time is set anew.
fn is_time() -> bool {
    WORK.with_borrow_mut(|work| match work {
        Some(work) if work.told.elapsed() >= TELL => {
            work.told = Instant::now();
            true
        }
        _ => false,
    })
}

/// Tells how far an exploration is, but not more often than every [`TELL`].
pub fn tell_level(level: impl FnOnce() -> Level) {
    if is_time() {
        say(Said::Level(level()));
    }
}

/// Passes a model's events on to the call that the current thread works for.
#[derive(Default)]
pub struct Listener {
    /// How many calls are being stopped. The engine's own threads do not know which call they work for, so they stop if
    /// there is any.
    stopping: AtomicUsize,
}

impl Events for Listener {
    fn note(&self, text: &str) {
        say(Said::Note(text.into()));
    }

    fn status(&self, text: &str) {
        say(Said::Words(text.into()));
    }

    fn progress(&self, progress: Progress<'_>) {
        match progress {
            Progress::Bytes { name, done, total } if is_time() || done == total => {
                say(Said::Bytes { name: name.into(), done, total });
            }
            Progress::Words(words) if is_time() => say(Said::Words(words())),
            Progress::Ended => say(Said::Ended),
            _ => {}
        }
    }

    fn stop(&self) -> bool {
        let own = WORK.with_borrow(|work| work.as_ref().map(|w| w.stopped.load(Ordering::Relaxed)));
        own.unwrap_or_else(|| self.stopping.load(Ordering::Relaxed) > 0)
    }
}

/// A call: the model's listener, and the Python object that is told of progress.
pub struct Call<'a> {
    listener: Option<&'a Listener>,
    progress: Option<Bound<'a, PyAny>>,
}

impl<'a> Call<'a> {
    /// A call without progress messages.
    pub fn new(listener: Option<&'a Listener>) -> Call<'a> {
        Call { listener, progress: None }
    }

    /// A call that tells its progress to a Python object, if there is one.
    pub fn telling(listener: Option<&'a Listener>, progress: Option<Bound<'a, PyAny>>) -> Call<'a> {
        Call { listener, progress }
    }

    /// Does work whose result is useless if it was stopped: then the exception that stopped it is returned.
    ///
    /// # Errors
    /// If the work fails, or with the exception that stopped it, such as `KeyboardInterrupt`.
    pub fn whole<T: Send>(&self, py: Python<'_>, work: impl FnOnce() -> logitree::Result<T> + Send) -> PyResult<T> {
        let (value, interrupt) = self.run(py, work)?;
        interrupt.map_or(Ok(value), Err)
    }

    /// Does work that returns what it has done so far if it is stopped. The second value is true if Ctrl-C stopped it.
    ///
    /// # Errors
    /// If the work fails, or if a progress callback or a signal handler raised another exception than
    /// `KeyboardInterrupt`.
    pub fn partial<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce() -> logitree::Result<T> + Send,
    ) -> PyResult<(T, bool)> {
        let (value, interrupt) = self.run(py, work)?;
        match interrupt {
            Some(e) if !e.is_instance_of::<PyKeyboardInterrupt>(py) => Err(e),
            interrupt => Ok((value, interrupt.is_some())),
        }
    }

    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce() -> logitree::Result<T> + Send,
    ) -> PyResult<(T, Option<PyErr>)> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (says, hears) = channel();
        let here = Work { stopped: stopped.clone(), says: says.clone(), told: Instant::now() };
        let progress = self.progress.as_ref().map(|p| p.clone().unbind());
        let (listener, stop) = (self.listener, &*stopped);
        let (outcome, interrupt) = py.detach(move || {
            thread::scope(|scope| {
                let worker =
                    thread::Builder::new().name("logitree".into()).stack_size(STACK).spawn_scoped(scope, || {
                        WORK.set(Some(here));
                        let outcome = catch_unwind(AssertUnwindSafe(work));
                        let _ = says.send(Said::Done);
                        outcome
                    });
                let worker = match worker {
                    Ok(worker) => worker,
                    Err(e) => return (Err(format!("no thread to work on: {e}")), None),
                };
                let interrupt = attend(&hears, stop, listener, progress.as_ref());
                match worker.join() {
                    Ok(Ok(result)) => (Ok(result), interrupt),
                    Ok(Err(panic)) | Err(panic) => (Err(said_by(&*panic)), interrupt),
                }
            })
        });
        match (outcome, interrupt) {
            (Err(panic), _) => {
                let message = format!("a fault of logitree: {panic}; please report it with what you did");
                Err(error::named(py, "InternalError", message, None))
            }
            (Ok(Err(_)), Some(interrupt)) => Err(interrupt),
            (Ok(Err(e)), None) => Err(error::exception(py, &e)),
            (Ok(Ok(value)), interrupt) => Ok((value, interrupt)),
        }
    }
}

/// Waits until the work is done, checks for signals and passes messages on to Python. Returns the first exception that
/// was raised meanwhile; it also tells the work to stop.
fn attend(
    hears: &Receiver<Said>,
    stop: &AtomicBool,
    listener: Option<&Listener>,
    progress: Option<&Py<PyAny>>,
) -> Option<PyErr> {
    let mut interrupt: Option<PyErr> = None;
    let mut looked = Instant::now();
    loop {
        let said = match hears.recv_timeout(LOOK) {
            Ok(Said::Done) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(said) => Some(said),
            Err(RecvTimeoutError::Timeout) => None,
        };
        let look = looked.elapsed() >= LOOK;
        if said.is_none() && !look {
            continue;
        }
        let heard = Python::attach(|py| {
            if look {
                looked = Instant::now();
                py.check_signals()?;
            }
            said.map_or(Ok(()), |said| tell(py, said, progress))
        });
        if let (Err(e), None) = (heard, &interrupt) {
            interrupt = Some(e);
            stop.store(true, Ordering::Relaxed);
            if let Some(listener) = listener {
                listener.stopping.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    if let (Some(_), Some(listener)) = (&interrupt, listener) {
        listener.stopping.fetch_sub(1, Ordering::Relaxed);
    }
    interrupt
}

fn tell(py: Python<'_>, said: Said, progress: Option<&Py<PyAny>>) -> PyResult<()> {
    if let Said::Note(text) = &said {
        py.import("logitree._progress")?.getattr("note")?.call1((text,))?;
    }
    let Some(progress) = progress else { return Ok(()) };
    match said {
        Said::Words(text) => progress.call_method1(py, "words", (text,))?,
        Said::Bytes { name, done, total } => progress.call_method1(py, "bytes", (name, done, total))?,
        Said::Level(level) => progress.call_method1(py, "level", (level.object(py)?,))?,
        Said::Ended => progress.call_method0(py, "ended")?,
        Said::Note(_) | Said::Done => return Ok(()),
    };
    Ok(())
}

/// The message of a panic.
fn said_by(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// A value that can be used only in the process that made it. A forked process does not have the engine's threads, and
/// would wait for them for ever.
pub struct Here<T> {
    process: u32,
    value: Arc<T>,
}

impl<T> Here<T> {
    /// A value that belongs to this process.
    pub fn new(value: T) -> Here<T> {
        Here { process: std::process::id(), value: Arc::new(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// If another process made the value.
    pub fn get(&self, py: Python<'_>) -> PyResult<&T> {
        if self.process == std::process::id() {
            return Ok(&self.value);
        }
        let message = "the model was loaded before this process was forked, and its threads are not here: load it in the \
                       new process, or start processes by \"spawn\": multiprocessing.get_context(\"spawn\")";
        Err(error::named(py, "ForkError", message.into(), None))
    }
}

impl<T> Deref for Here<T> {
    type Target = T;

    /// Gives access without the check of the process, for uses that need no thread of the engine.
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Here<T> {
    fn drop(&mut self) {
        // In a forked process, dropping the value would wait for threads that are not there, so it is leaked.
        if self.process != std::process::id() {
            std::mem::forget(self.value.clone());
        }
    }
}
