//! The server of the live page, in this process: the widget carries the page's requests to it.
//!
//! Answers come in pieces, on threads of the server. They wait in a queue until a thread of Python takes them.

use crate::call::{Call, Here};
use crate::error;
use crate::model::Model;
use crate::run::Run;
use logitree::{Error, ErrorKind, Events, Quiet};
use logitree_core::run::write_run;
use logitree_server::{Ask, InProcess, Piece};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A request: the page that asks, by its own name, and its number there.
type Key = (String, u32);

/// A server in this process.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Server {
    here: Here<Parts>,
}

struct Parts {
    // `None` once it is closed.
    server: Mutex<Option<InProcess>>,
    asked: Arc<Mutex<HashMap<Key, logitree_server::Asked>>>,
    queue: Arc<Queue>,
}

/// Pieces of answers that wait to be taken.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<(Key, Piece)>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept here is whole after every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    fn push(&self, key: Key, piece: Piece) -> bool {
        let mut state = lock(&self.state);
        if state.closed {
            return false;
        }
        match (state.pieces.back_mut(), piece) {
            // Many small pieces of one body are one.
            (Some((last, Piece::Data(before))), Piece::Data(data)) if *last == key => before.extend(data),
            (_, piece) => state.pieces.push_back((key, piece)),
        }
        self.came.notify_all();
        true
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.came.notify_all();
    }
}

/// A piece for Python: page, number, status and headers or `None`, bytes or `None`, whether it is the last one, and why it
/// breaks off.
type Told<'py> = (String, u32, Option<(u16, Vec<(String, String)>)>, Option<Bound<'py, PyBytes>>, bool, Option<String>);

impl Parts {
    fn with<T>(&self, work: impl FnOnce(&InProcess) -> logitree::Result<T>) -> logitree::Result<T> {
        let closed = || Error::new(ErrorKind::Unsupported, "this live page is closed: make another with `live()`");
        work(lock(&self.server).as_ref().ok_or_else(closed)?)
    }

    fn close(&self) {
        self.queue.close();
        // Dropped without the lock, since its answers may still want to look.
        let server = lock(&self.server).take();
        drop(server);
        lock(&self.asked).clear();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.close();
    }
}

#[pymethods]
impl Server {
    /// Starts a server over an empty folder.
    #[new]
    fn new(py: Python<'_>, folder: PathBuf, model: Option<&Model>) -> PyResult<Server> {
        let model = model.map(|m| m.opened(py)).transpose()?;
        let events: Arc<dyn Events> = match model {
            Some(opened) => opened.listener.clone(),
            None => Arc::new(Quiet),
        };
        let model = model.map(|opened| opened.model.clone());
        let server = Call::new(None).whole(py, move || {
            // Every run needs the model's record; making it hashes the weights, which is better done before somebody waits.
            model.as_ref().map(|m| m.record()).transpose()?;
            InProcess::start(&folder, model, events)
        })?;
        let server = Mutex::new(Some(server));
        let parts = Parts { server, asked: Arc::default(), queue: Arc::default() };
        Ok(Server { here: Here::new(parts) })
    }

    /// Takes in a run; returns its id.
    fn take_in(&self, py: Python<'_>, run: &Run, name: &str) -> PyResult<String> {
        let parts = self.here.get(py)?;
        Call::new(None).whole(py, || {
            let mut lines = Vec::new();
            write_run(&run.run, &mut lines)?;
            parts.with(|server| server.take_in(name, &lines))
        })
    }

    /// Ids of the runs, newest first.
    fn ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let parts = self.here.get(py)?;
        Call::new(None).whole(py, || parts.with(|server| Ok(server.ids())))
    }

    /// A run as it is now.
    fn run(&self, py: Python<'_>, id: &str) -> PyResult<Run> {
        let parts = self.here.get(py)?;
        Ok(Call::new(None).whole(py, || parts.with(|server| server.run(id)))?.into())
    }

    /// Begins to answer a request.
    #[allow(clippy::too_many_arguments)]
    fn ask(
        &self,
        py: Python<'_>,
        page: String,
        id: u32,
        method: String,
        path: String,
        content_type: Option<String>,
        body: &[u8],
    ) -> PyResult<()> {
        let parts = self.here.get(py)?;
        let ask = Ask { method, path, content_type, body: body.to_vec() };
        let key = (page, id);
        let (queue, asked) = (parts.queue.clone(), parts.asked.clone());
        let own = key.clone();
        let tell = move |piece: Piece| {
            if !matches!(piece, Piece::Head(..) | Piece::Data(_)) {
                lock(&asked).remove(&own);
            }
            queue.push(own.clone(), piece)
        };
        py.detach(|| {
            // Held until the request is listed, so that its end cannot come before.
            let mut asked = lock(&parts.asked);
            let begun = parts.with(|server| server.ask(ask, tell))?;
            asked.insert(key, begun);
            Ok(())
        })
        .map_err(|e| error::exception(py, &e))
    }

    /// Ends a request whose answer is no longer wanted.
    fn cancel(&self, page: String, id: u32) {
        if let Some(asked) = lock(&self.here.asked).remove(&(page, id)) {
            asked.cancel();
        }
    }

    /// Ends all requests of a page.
    fn leave(&self, page: &str) {
        lock(&self.here.asked).retain(|(of, _), asked| {
            if of == page {
                asked.cancel();
            }
            of != page
        });
    }

    /// Waits for pieces of answers, and takes all that are there. `None` once the server is closed.
    fn take<'py>(&self, py: Python<'py>, seconds: f64) -> PyResult<Option<Vec<Told<'py>>>> {
        let parts = self.here.get(py)?;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let taken = py.detach(|| {
            let state = lock(&parts.queue.state);
            let empty = |s: &mut Waiting| s.pieces.is_empty() && !s.closed;
            let (mut state, _) =
                parts.queue.came.wait_timeout_while(state, wait, empty).unwrap_or_else(PoisonError::into_inner);
            (!state.closed).then(|| std::mem::take(&mut state.pieces))
        });
        let told = |((page, id), piece)| match piece {
            Piece::Head(status, headers) => (page, id, Some((status, headers)), None, false, None),
            Piece::Data(data) => (page, id, None, Some(PyBytes::new(py, &data)), false, None),
            Piece::End => (page, id, None, None, true, None),
            Piece::Broken(why) => (page, id, None, None, true, Some(why)),
        };
        Ok(taken.map(|pieces| pieces.into_iter().map(told).collect()))
    }

    /// Ends the server.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let parts = self.here.get(py)?;
        py.detach(|| parts.close());
        Ok(())
    }
}

/// The page for a frame; it shows a run, by its id, or its first screen.
#[pyfunction]
pub fn framed(py: Python<'_>, run: Option<&str>) -> PyResult<String> {
    Call::new(None).whole(py, || logitree_server::report::framed(run))
}
