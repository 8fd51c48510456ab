//! One call from Python into the library: the work runs on a thread of its own while the calling one looks after Python's
//! signals and passes on what the work says.
//!
//! So Ctrl-C is seen at once whatever the work does, other Python threads go on, and what is told (progress, notes) is told
//! on the thread that called, where notebooks expect it. A wish to stop reaches the work by [`Listener::stop`].

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

/// How often the calling thread looks for signals.
const LOOK: Duration = Duration::from_millis(50);
/// How often progress is told, at most.
const TELL: Duration = Duration::from_millis(100);
/// Of the thread that works: what programs have for their first.
const STACK: usize = 8 << 20;

/// What the work says.
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
    /// The branch threshold now in force.
    pub threshold: Option<f64>,
    /// New nodes per second.
    pub rate: f64,
}

impl Level {
    /// As `logitree.Level`.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Level { nodes, open, completed, threshold, rate } = *self;
        py.import("logitree._types")?.getattr("Level")?.call1((nodes, open, completed, threshold, rate))
    }
}

/// What the thread that works knows of its call.
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
            // Nobody listens any more only when the call is over.
            let _ = work.says.send(said);
        }
    });
}

/// Whether it is time to tell progress again.
fn is_time() -> bool {
    WORK.with_borrow_mut(|work| match work {
        Some(work) if work.told.elapsed() >= TELL => {
            work.told = Instant::now();
            true
        }
        _ => false,
    })
}

/// Tells of a level, if it is time.
pub fn tell_level(level: impl FnOnce() -> Level) {
    if is_time() {
        say(Said::Level(level()));
    }
}

/// What a model says, passed on to the call that is being worked on.
#[derive(Default)]
pub struct Listener {
    /// Calls that are to stop: for threads of the engine, which do not know what call they work for.
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

/// A call: whom it asks, and who hears of its progress.
pub struct Call<'a> {
    listener: Option<&'a Listener>,
    progress: Option<Bound<'a, PyAny>>,
}

impl<'a> Call<'a> {
    /// A call that tells its progress to nobody.
    pub fn new(listener: Option<&'a Listener>) -> Call<'a> {
        Call { listener, progress: None }
    }

    /// A call with somebody who hears of its progress.
    pub fn telling(listener: Option<&'a Listener>, progress: Option<Bound<'a, PyAny>>) -> Call<'a> {
        Call { listener, progress }
    }

    /// Does work of which a part is worth nothing.
    ///
    /// # Errors
    /// What the work fails of, or `KeyboardInterrupt`.
    pub fn whole<T: Send>(&self, py: Python<'_>, work: impl FnOnce() -> logitree::Result<T> + Send) -> PyResult<T> {
        let (value, interrupt) = self.run(py, work)?;
        interrupt.map_or(Ok(value), Err)
    }

    /// Does work that can be stopped: what is done then is given back. The second value says whether it was.
    ///
    /// # Errors
    /// What the work fails of, or what a listener or a handler of signals raised that is no `KeyboardInterrupt`.
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

/// Waits for the work to be done; says why it is to stop, if it is.
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

/// Something that works only in the process that made it: the engine's threads are not in a forked one, where it would be
/// waited for for ever.
pub struct Here<T> {
    process: u32,
    value: Arc<T>,
}

impl<T> Here<T> {
    /// Belongs to this process.
    pub fn new(value: T) -> Here<T> {
        Here { process: std::process::id(), value: Arc::new(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// If this is another process.
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

    /// For what needs no thread of the engine.
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Here<T> {
    fn drop(&mut self) {
        // Elsewhere its end would wait for threads that are not there: it is never dropped.
        if self.process != std::process::id() {
            std::mem::forget(self.value.clone());
        }
    }
}
