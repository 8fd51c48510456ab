//! The server in a program that carries requests by itself, such as a notebook's kernel: no socket, no token.

use super::current::Current;
use super::store::{Store, of_file};
use super::{Begun, api, begin, ended, router};
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use axum::response::Response;
use futures_util::StreamExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use logitree::{Error, ErrorKind, Events, Model, Progress, Result, import};
use logitree_core::run::Run;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long requests may go on when the server is closed.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The type of the body.
    pub content_type: Option<String>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

/// A piece of an answer: first the head, then the body, then the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The status, and the headers that are text.
    Head(u16, Vec<(String, String)>),
    /// Some bytes of the body.
    Data(Vec<u8>),
    /// The body is whole.
    End,
    /// The answer breaks off here, for this reason.
    Broken(String),
}

/// A server without a socket. It ends when it is dropped.
pub struct InProcess {
    router: axum::Router,
    shared: Arc<super::Shared>,
    stop: Arc<Stop>,
    close: watch::Sender<bool>,
    // `None` only while it is dropped.
    running: Option<(Runtime, JoinHandle<Result<()>>)>,
}

/// Passes the events of a program on, and says when the server is to end.
struct Stop {
    to: Arc<dyn Events>,
    now: AtomicBool,
}

impl Events for Stop {
    fn note(&self, text: &str) {
        self.to.note(text);
    }

    fn status(&self, text: &str) {
        self.to.status(text);
    }

    fn progress(&self, progress: Progress<'_>) {
        self.to.progress(progress);
    }

    // What stops the program's other work does not stop the server.
    fn stop(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }
}

impl InProcess {
    /// Starts a server over a folder of runs, which nobody else may use meanwhile. Without a model it only shows files.
    ///
    /// # Errors
    /// If the folder cannot be used, or no thread can be started.
    pub fn start(folder: &Path, model: Option<Model>, events: Arc<dyn Events>) -> Result<InProcess> {
        let stop = Arc::new(Stop { to: events, now: AtomicBool::new(false) });
        let store = Store::open(folder, &*stop)?;
        let Begun { app, close, engine } = begin(store, Current::new(model, None), stop.clone())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = app.shared.clone();
        Ok(InProcess { router: router(app), shared, stop, close, running: Some((runtime, engine)) })
    }

    /// Takes in a file, as an upload does; returns the id of its run.
    ///
    /// # Errors
    /// If it is no file that is known.
    pub fn take_in(&self, name: &str, bytes: &[u8]) -> Result<String> {
        Ok(api::files::take_in(&self.shared.store, name, bytes)?.0)
    }

    /// Ids of the runs and other files, newest first.
    pub fn ids(&self) -> Vec<String> {
        self.shared.store.list().into_iter().map(|info| info.id).collect()
    }

    /// A run as its file has it now.
    ///
    /// # Errors
    /// If there is no such run.
    pub fn run(&self, id: &str) -> Result<Run> {
        import::run_file(&self.shared.store.path(id)?).map_err(of_file)
    }

    /// Answers a request: `tell` gets the pieces, on a thread of the server, and returns whether it wants more. A dropped
    /// handle changes nothing; [`Asked::cancel`] ends the answer early.
    ///
    /// # Errors
    /// If method or path are none that HTTP has.
    pub fn ask(&self, ask: Ask, tell: impl Fn(Piece) -> bool + Send + 'static) -> Result<Asked> {
        let Some((runtime, _)) = &self.running else { return Err(Error::new(ErrorKind::Internal, "closed")) };
        let mut request = Request::builder().method(ask.method.as_str()).uri(&ask.path);
        if let Some(kind) = &ask.content_type {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .body(Body::from(ask.body))
            .map_err(|e| Error::new(ErrorKind::Input, format!("{} {}: no request: {e}", ask.method, ask.path)))?;
        let router = TowerToHyperService::new(self.router.clone());
        let task = runtime.spawn(async move {
            match router.call(request).await {
                Ok(response) => pass_on(response, tell).await,
                Err(never) => match never {},
            }
        });
        Ok(Asked(task.abort_handle()))
    }
}

async fn pass_on(response: Response, tell: impl Fn(Piece) -> bool) {
    let headers = response.headers().iter();
    let text = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    if !tell(Piece::Head(response.status().as_u16(), text)) {
        return;
    }
    let mut body = response.into_body().into_data_stream();
    while let Some(data) = body.next().await {
        let wanted = match data {
            Ok(data) => tell(Piece::Data(Bytes::into(data))),
            Err(e) => {
                tell(Piece::Broken(e.to_string()));
                return;
            }
        };
        if !wanted {
            return;
        }
    }
    tell(Piece::End);
}

/// A request that is being answered.
pub struct Asked(AbortHandle);

impl Asked {
    /// Ends the answer; no further piece is told after the one that is being told now.
    pub fn cancel(&self) {
        self.0.abort();
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.now.store(true, Ordering::Relaxed);
        self.close.send_replace(true);
        if let Some((runtime, engine)) = self.running.take() {
            runtime.shutdown_timeout(PATIENCE);
            // What failed there was told when it did.
            let _ = ended(engine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logitree::{OpenOptions, Quiet};
    use std::sync::mpsc::{Receiver, channel};

    /// A tiny model with a tokenizer.
    fn tiny() -> Model {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny");
        for from in ["gemma3", "tokenizer"] {
            for file in std::fs::read_dir(fixtures.join(from)).unwrap().map(|f| f.unwrap().path()) {
                std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
            }
        }
        let options = OpenOptions { threads: Some(1), backend: None, arithmetic: None, events: Arc::new(Quiet) };
        options.open(folder.path().to_str().unwrap()).unwrap()
    }

    fn ask(server: &InProcess, method: &str, path: &str, body: &str) -> (Asked, Receiver<Piece>) {
        let (tell, told) = channel();
        let ask = Ask {
            method: method.into(),
            path: path.into(),
            content_type: (!body.is_empty()).then(|| "application/json".into()),
            body: body.into(),
        };
        (server.ask(ask, move |piece| tell.send(piece).is_ok()).unwrap(), told)
    }

    /// The status and the whole body.
    fn whole(server: &InProcess, method: &str, path: &str, body: &str) -> (u16, String) {
        let (_, told) = ask(server, method, path, body);
        let mut pieces = told.iter();
        let Some(Piece::Head(status, _)) = pieces.next() else { panic!("no head") };
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Data(data) => bytes.extend(data),
                Piece::End => return (status, String::from_utf8(bytes).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        panic!("no end");
    }

    #[test]
    fn runs_grow_and_are_read_without_a_socket_or_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let server = InProcess::start(folder.path(), Some(tiny()), Arc::new(Quiet)).unwrap();
        let (status, body) = whole(&server, "POST", "/api/v1/runs", r#"{"prompt":"The","max_nodes":40}"#);
        assert_eq!(status, 201, "{body}");
        let id = server.ids().remove(0);
        // The stream tells the run as it grows, and does not end by itself.
        let (asked, told) = ask(&server, "GET", &format!("/api/v1/runs/{id}/events"), "");
        let mut text = String::new();
        for piece in &told {
            if let Piece::Data(data) = piece {
                text += std::str::from_utf8(&data).unwrap();
            }
            if text.contains("\"finished\"") {
                break;
            }
        }
        asked.cancel();
        // The sender goes with the answer.
        while told.recv().is_ok() {}
        let run = server.run(&id).unwrap();
        assert!(run.tree.len() >= 40, "{}", run.tree.len());
        assert_eq!(text.matches("\"parent\"").count() + 1, run.tree.len());
        let (status, body) = whole(&server, "GET", "/api/v1/nothing", "");
        assert_eq!((status, body.contains("no such address")), (404, true), "{body}");
        assert!(whole(&server, "GET", "/", "").0 == 200);
    }

    #[test]
    fn two_servers_share_no_runs_and_end_when_dropped() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let model = tiny();
        let [a, b] =
            folders.each_ref().map(|f| InProcess::start(f.path(), Some(model.clone()), Arc::new(Quiet)).unwrap());
        whole(&a, "POST", "/api/v1/runs", r#"{"prompt":"The","max_nodes":5}"#);
        assert_eq!((a.ids().len(), b.ids().len()), (1, 0));
        let (_, told) = ask(&a, "GET", &format!("/api/v1/runs/{}/events", a.ids()[0]), "");
        drop(a);
        // A stream that nobody ended is over with its server.
        while told.recv().is_ok() {}
        assert_eq!(whole(&b, "GET", "/api/v1/runs", "").0, 200);
    }

    #[test]
    fn a_request_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let server = InProcess::start(folder.path(), None, Arc::new(Quiet)).unwrap();
        for (method, path) in [("GE T", "/"), ("GET", "no path"), ("", "/")] {
            let ask = Ask { method: method.into(), path: path.into(), ..Ask::default() };
            assert!(server.ask(ask, |_| true).is_err(), "{method} {path}");
        }
    }
}
