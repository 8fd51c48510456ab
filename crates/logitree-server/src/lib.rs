//! The web server of logitree: an API over runs, the web app, and OpenAI-compatible completions, over one model.
//!
//! [`run`] serves until the listener of its events asks to stop; [`InProcess`] answers requests that a program carries by
//! itself; [`report::html`] makes one HTML file of a run and the web app.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod api;
mod assets;
mod connections;
mod current;
pub mod guard;
mod in_process;
mod openai;
mod problem;
pub mod report;
mod sse;
mod store;
mod worker;

pub use current::{Choice, Engine};
pub use in_process::{Ask, Asked, InProcess, Piece};

use api::App;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use current::Current;
use guard::Guard;
use logitree::lock::Folder;
use logitree::{Context, Error, ErrorKind, Events, Model, Result};
use openai::error::Failure;
use problem::{BODY, FILE, Problem};
use rand::{RngExt, rngs::StdRng};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use worker::Shared;
use worker::generate::Desk;

/// How long the server waits for its clients when it shuts down.
const PATIENCE: Duration = Duration::from_secs(3);
/// Number of tasks that take long, such as decision curves, that are done side by side.
const TASKS: usize = 4;
/// Number of ports that are tried after the one that was asked for.
const PORTS: u16 = 20;

#[derive(OpenApi)]
#[openapi(info(
    title = "logitree",
    description = "What a language model could have said: runs, their trees and distributions. All requests need the token of the printed link, as its cookie or as a bearer token."
))]
struct Document;

/// The options of a server.
pub struct Options<'a> {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Whether to use another port if this one is taken.
    pub any_port: bool,
    /// Whether other machines may connect.
    pub remote: bool,
    /// Origins of web pages that may use the OpenAI-compatible API.
    pub origins: Vec<String>,
    /// The folder where runs are kept, locked by this process.
    pub data: &'a Folder,
    /// The model; without one, the server can only show files.
    pub model: Option<Model>,
    /// From where clients may load another model; they cannot if `None`.
    pub choice: Option<Choice>,
    /// Receives what cannot be told to a client, and says when to stop.
    pub events: Arc<dyn Events>,
    /// Files to import at the start, with their names.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The addresses of the server, for whoever may use all of them.
fn router(app: App) -> axum::Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(api::server))
        .routes(routes!(api::models::list))
        .routes(routes!(api::models::load))
        .routes(routes!(api::tokenize))
        .routes(routes!(api::runs::list, api::runs::start))
        .routes(routes!(api::runs::get, api::runs::rename, api::runs::delete))
        .routes(routes!(api::runs::resume))
        .routes(routes!(api::runs::pause))
        .routes(routes!(api::runs::stop))
        .routes(routes!(api::runs::duplicate))
        .routes(routes!(api::nodes::expand))
        .routes(routes!(api::nodes::distribution))
        .routes(routes!(api::layers::layers))
        .routes(routes!(api::decide::decide))
        .routes(routes!(api::compare::compare))
        .routes(routes!(api::files::events))
        .routes(routes!(api::files::content))
        .routes(routes!(api::files::export))
        .merge(openai::router())
        .layer(DefaultBodyLimit::max(BODY))
        .merge(OpenApiRouter::new().routes(routes!(api::files::import)).layer(DefaultBodyLimit::max(FILE)))
        .split_for_parts();
    let document = Arc::new(document);
    router
        .route("/api/v1/openapi.json", axum::routing::get(move || async move { axum::Json((*document).clone()) }))
        .route(
            "/api/{*rest}",
            axum::routing::any(|| async { Problem::not_found("there is no such address in the API") }),
        )
        .route("/v1/{*rest}", axum::routing::any(openai::not_found))
        .fallback(assets::serve)
        .method_not_allowed_fallback(|uri: Uri| async move {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "another method is needed here");
            if openai::is_openai(uri.path()) { Failure::from(problem).into_response() } else { problem.into_response() }
        })
        .with_state(app)
}

/// A server whose engine's thread works.
struct Begun {
    app: App,
    /// Set to true, it ends the streams of events.
    close: watch::Sender<bool>,
    engine: JoinHandle<Result<()>>,
}

/// Starts the engine's thread over a folder of runs.
fn begin(store: store::Store, current: Current, events: Arc<dyn Events>) -> Result<Begun> {
    let shared = Arc::new(Shared { store, current, events });
    let (commands, receiver) = std::sync::mpsc::channel();
    let (desk, texts) = Desk::new();
    let engine = {
        let shared = shared.clone();
        std::thread::Builder::new().name("engine".into()).spawn(move || worker::work(&shared, receiver, texts))?
    };
    let (close, closing) = watch::channel(false);
    let tasks = Arc::new(Semaphore::new(TASKS));
    Ok(Begun { app: App { shared, commands, desk, tasks, closing }, close, engine })
}

/// The result of the engine's thread.
fn ended(engine: JoinHandle<Result<()>>) -> Result<()> {
    engine.join().map_err(|_| Error::new(ErrorKind::Internal, "the engine's thread failed"))?
}

/// Serves until the listener of the events asks to stop. When the server answers, `ready` gets the link and the ids of
/// the imported files.
///
/// # Errors
/// If the address is taken, a file cannot be imported, or the data folder cannot be used.
pub fn run(options: Options<'_>, ready: impl FnOnce(&str, &[String])) -> Result<()> {
    let store = store::Store::open(options.data.path(), &*options.events)?;
    let mut ids = Vec::new();
    for (name, bytes) in &options.files {
        // If the same file is given again after a restart, its run in the folder is used instead of a second copy.
        let id = match store.same(bytes) {
            Some(id) => id,
            None => {
                let (id, notes) = api::files::take_in(&store, name, bytes).with_context(|| name.clone())?;
                notes.iter().for_each(|note| options.events.note(&format!("{name}: {note}")));
                id
            }
        };
        ids.push(id);
    }
    let events = options.events;
    let Begun { app, close, engine } = begin(store, Current::new(options.model, options.choice), events.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = bind(options.address, options.any_port).await?;
        let address = listener.local_addr()?;
        let token = token(options.data.path())?;
        let link = format!("http://{address}/?token={token}");
        let guard = Guard { token, address, remote: options.remote, origins: options.origins };
        let ending = app.closing.clone();
        let router = router(app).layer(axum::middleware::from_fn_with_state(Arc::new(guard), guard::guard));
        ready(&link, &ids);
        let stopping = events.clone();
        let ended = async move {
            stopped(&*stopping).await;
            // Event streams end by themselves when this becomes true.
            close.send_replace(true);
            // Never return: `close` must live until all clients have seen its value.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = connections::serve(listener, router, ending) => Ok(()),
            () = ended => Ok(()),
            // Do not wait longer than this for a client that neither reads nor disconnects.
            () = async { stopped(&*events).await; tokio::time::sleep(PATIENCE).await } => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    served.and(ended(engine))
}

/// Whether this binary contains the web app.
pub fn has_web_app() -> bool {
    assets::is_built()
}

/// Makes the data folder, if it does not exist, readable only by its owner, since prompts are private.
///
/// # Errors
/// If the folder cannot be made.
pub fn private_folder(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).with_context(|| path.display().to_string())
}

/// Waits until the listener of the events asks to stop.
async fn stopped(events: &dyn Events) {
    while !events.stop() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The token of the data folder. It is made once and kept, so that an open page still works after a restart.
fn token(data: &Path) -> Result<String> {
    let path = data.join("token");
    if let Ok(known) = std::fs::read_to_string(&path)
        && known.len() == 32
        && known.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Ok(known);
    }
    let mut random: StdRng = rand::make_rng();
    let token: String = (0..32).map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16usize)])).collect();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).with_context(|| path.display().to_string())?;
    file.write_all(token.as_bytes()).with_context(|| path.display().to_string())?;
    Ok(token)
}

async fn bind(address: SocketAddr, any_port: bool) -> Result<TcpListener> {
    let mut last = None;
    for port in address.port()..=address.port().saturating_add(if any_port { PORTS } else { 0 }) {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(e) => last = Some(e),
        }
    }
    let e = last.context("no port to try")?;
    Err(e).with_context(|| format!("cannot listen on {address}: choose another with --port"))
}
