//! Runs as files: their events while they grow, exports, and imports.

use super::{Answer, App, blocking, clean};
use crate::problem::{Parameters, Place, Problem, Upload};
use crate::report;
use crate::sse::ServerSentEvent;
use crate::store::{Info, Kind, Store, lines, of_file};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use logitree::export::{self, Format};
use logitree::import::{self, Document};
use logitree_core::run::write_run;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufWriter, Write};
use utoipa::{IntoParams, ToSchema};

/// Largest number of bytes sent to a client in one event; the rest is read from the file later.
const CHUNK: usize = 256 << 10;

/// Where a stream of events begins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// Byte of the file to begin at, as in the ids of events; the header `Last-Event-ID` does the same.
    #[serde(default)]
    pub from: Option<u64>,
}

/// The run's file as it grows, and how the run gets on, as server-sent events
///
/// `lines` events have whole lines of the run file; their id is the byte at which the next line begins. `status`
/// events have the run's status. Nothing is buffered for a slow client: it is sent the lines from the file when it can
/// receive them.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", params(("id" = String, Path, description = "Id of the run"), From),
    responses((status = 200, content_type = "text/event-stream", body = ServerSentEvent), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn events(
    State(app): State<App>,
    Place(id): Place<String>,
    Parameters(from): Parameters<From>,
    headers: HeaderMap,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
    app.run(&id)?;
    let path = app.shared.store.path(&id)?;
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let at: u64 = last.or(from.from).unwrap_or(0);
    let length = app.shared.store.get(&id)?.status.length;
    if at > length {
        return Err(Problem::bad(format!("the file has {length} bytes, not {at}")));
    }
    let status = app.shared.store.subscribe(&id)?;
    let state = (path, at, status, app.closing.clone(), true);
    let stream = futures_util::stream::unfold(state, |(path, at, mut status, mut closing, mut fresh)| async move {
        loop {
            if *closing.borrow() {
                return None;
            }
            let now = status.borrow_and_update().clone();
            if at < now.length {
                let most = CHUNK.min((now.length - at) as usize);
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || lines(&file, at, most)).await.ok()?.ok()?;
                if read.1 > at {
                    // A carriage return in a line would end the event's data. Between JSON tokens it is white space,
                    // so a space is equivalent.
                    let data = read.0.trim_end_matches('\n').replace('\r', " ");
                    let event = Event::default().event("lines").id(read.1.to_string()).data(data);
                    return Some((Ok(event), (path, read.1, status, closing, true)));
                }
            }
            if fresh {
                let event = Event::default().event("status").json_data(&now).ok()?;
                return Some((Ok(event), (path, at, status, closing, false)));
            }
            tokio::select! {
                changed = status.changed() => changed.ok()?,
                _ = closing.changed() => {
                    return Some((Ok(Event::default().event("bye").data("the server goes down")), (path, at, status, closing, false)));
                }
            }
            fresh = true;
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// The run's file as it is
#[utoipa::path(get, path = "/api/v1/runs/{id}/content", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, content_type = "application/jsonl", body = String), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn content(State(app): State<App>, Place(id): Place<String>) -> Answer<Response> {
    blocking(move || {
        let path = app.shared.store.path(&id)?;
        let bytes = std::fs::read(&path).map_err(Problem::internal)?;
        Ok(download(bytes, "application/jsonl", path.file_name().and_then(|n| n.to_str()).unwrap_or("run")))
    })
    .await
}

fn download(body: impl Into<Body>, kind: &'static str, name: &str) -> Response {
    // The plain name has only ASCII letters, digits and `.-_`; names in other alphabets need the longer form, too.
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"");
    ([(header::CONTENT_TYPE, kind.to_string()), (header::CONTENT_DISPOSITION, disposition)], body.into())
        .into_response()
}

/// The run in another format
#[utoipa::path(get, path = "/api/v1/runs/{id}/export/{format}",
    params(("id" = String, Path, description = "Id of the run"), ("format" = String, Path, description = "tree-json, jsonl, csv, parquet, dot, graphml, mermaid, text or html")),
    responses((status = 200, content_type = "application/octet-stream", body = String), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn export(State(app): State<App>, Place((id, format)): Place<(String, String)>) -> Answer<Response> {
    app.run(&id)?;
    blocking(move || {
        let path = app.shared.store.path(&id)?;
        let run = import::run_file(&path).map_err(of_file)?;
        if format == "html" {
            let html = report::html(&run).map_err(|e| Problem::conflict(format!("{e:#}")))?;
            return Ok(download(html.into_bytes(), "text/html; charset=utf-8", &format!("{id}.html")));
        }
        let known = Format::ALL.iter().find(|(name, _)| *name == format);
        let &(_, known) = known.ok_or_else(|| Problem::not_found(format!("there is no format {format:?}")))?;
        let (kind, ending) = match known {
            Format::TreeJson => ("application/json", "tree.json"),
            Format::Jsonl => ("application/jsonl", "jsonl"),
            Format::Csv => ("text/csv; charset=utf-8", "csv"),
            Format::Parquet => ("application/vnd.apache.parquet", "parquet"),
            Format::Dot => ("text/vnd.graphviz; charset=utf-8", "dot"),
            Format::Graphml => ("application/xml; charset=utf-8", "graphml"),
            Format::Mermaid => ("text/vnd.mermaid; charset=utf-8", "mmd"),
            Format::Text => ("text/plain; charset=utf-8", "txt"),
        };
        let body = stream(move |out| export::export(&run, known, true, out))?;
        Ok(download(body, kind, &format!("{id}.{ending}")))
    })
    .await
}

/// Number of pieces that wait for the client before the writer waits too.
const WAITING: usize = 4;

/// Makes a response body that is written while it is sent, because an export can be very large: with the text of every
/// path, as long as the square of the tree. An error before the first piece becomes the response; after it, the
/// connection is broken off.
///
/// Must be called on a thread that may block.
fn stream(write: impl FnOnce(&mut (dyn Write + Send)) -> logitree::Result<()> + Send + 'static) -> Answer<Body> {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK, Pieces(sender.clone()));
        let written = write(&mut out).and_then(|()| Ok(out.flush()?));
        // If there was no error, closing the channel ends the body.
        written.err().map(|e| sender.blocking_send(Err(std::io::Error::other(format!("{e:#}")))));
    });
    let first = match pieces.blocking_recv() {
        Some(Err(e)) => return Err(Problem::conflict(e.to_string())),
        Some(Ok(first)) => first,
        None => return Ok(Body::empty()),
    };
    let rest = futures_util::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let first = futures_util::stream::once(std::future::ready(Ok(first)));
    Ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)))
}

/// A writer that sends what is written to a channel; it fails when the receiver is gone.
struct Pieces(tokio::sync::mpsc::Sender<std::io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(data)));
        sent.map(|()| data.len()).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The name of an imported file.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// The name of the file, shown to people.
    #[serde(default)]
    pub name: Option<String>,
}

/// What became of a file.
#[derive(Serialize, ToSchema)]
pub struct Imported {
    #[serde(flatten)]
    pub info: Info,
    /// What was read differently from how it is written, or is not in the file, one sentence each.
    pub notes: Vec<String>,
}

/// Takes in a file: a run, the notebook's tree JSON or logprobs JSONL, an answer of OpenAI, vLLM or llama-server with
/// logprobs, or a save of logitloom
#[utoipa::path(post, path = "/api/v1/import", params(Name), request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 201, body = Imported), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn import(
    State(app): State<App>,
    Parameters(name): Parameters<Name>,
    Upload(bytes): Upload,
) -> Answer<(StatusCode, Json<Imported>)> {
    blocking(move || {
        let name = name.name.unwrap_or_default();
        let name: String = clean(&name).chars().take(200).collect();
        let (id, notes) = take_in(&app.shared.store, &name, &bytes)
            .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{e:#}")))?;
        let info = app.shared.store.get(&id)?;
        Ok((StatusCode::CREATED, Json(Imported { info, notes })))
    })
    .await
}

/// Stores a file's content in the data folder; returns the id, and notes about the file.
pub fn take_in(store: &Store, name: &str, bytes: &[u8]) -> logitree::Result<(String, Vec<String>)> {
    let about = if name.trim().is_empty() { "imported" } else { name };
    let import::Import { document, notes } = import::read(bytes)?;
    let id = match document {
        Document::Run(run) => store.create(about, Kind::Run, |path| {
            let mut out = BufWriter::new(File::create(path)?);
            match run.valid_bytes {
                // The run was not read from a run file's lines, so it is written as one.
                0 => write_run(&run, &mut out)?,
                valid => out.write_all(&bytes[..valid as usize])?,
            }
            Ok(out.flush()?)
        })?,
        Document::Logprobs(..) => store.create(about, Kind::Records, |path| Ok(std::fs::write(path, bytes)?))?,
    };
    if !name.trim().is_empty() {
        store.rename(&id, name)?;
    }
    Ok((id, notes))
}
