//! The API's requests. The OpenAPI document is made from these functions.

use super::problem::{Body, Parameters, Problem};
use super::store::{Info, Kind, State as RunState, lines, write_run};
use super::worker::{Command, Expand, How, Shared};
use crate::cli::PromptOptions;
use crate::command::grow::{Job, Limits, Record};
use crate::export::{self, Format};
use crate::import::{self, Document};
use crate::setup;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use logitree_core::explore::{Keep, Strategy};
use logitree_core::{LanguageModel, NodeId, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use tokio::sync::{oneshot, watch};
use utoipa::{IntoParams, ToSchema};

/// Runs that may wait or run at once.
const QUEUE: usize = 32;
/// Longest prompt in bytes.
const PROMPT: usize = 1 << 20;
/// Bytes sent to a client at once; more waits in the file.
const CHUNK: usize = 256 << 10;

/// What every request can reach.
#[derive(Clone)]
pub struct App {
    pub shared: Arc<Shared>,
    pub commands: Sender<Command>,
    /// Becomes true when the server goes down.
    pub closing: watch::Receiver<bool>,
}

type Answer<T> = Result<T, Problem>;

impl App {
    fn loaded(&self) -> Answer<&setup::Loaded> {
        let none = || Problem::conflict("no model is loaded: start with `logitree serve --model NAME`");
        self.shared.loaded.as_ref().ok_or_else(none)
    }

    fn send(&self, command: Command) -> Answer<()> {
        self.commands.send(command).map_err(|_| Problem::internal("the engine has stopped: restart the server"))
    }

    fn run(&self, id: &str) -> Answer<Info> {
        let info = self.shared.store.get(id)?;
        if info.kind != Kind::Run {
            return Err(Problem::conflict("this is a file of records, not a run"));
        }
        Ok(info)
    }

    fn is_busy(state: RunState) -> bool {
        matches!(state, RunState::Queued | RunState::Running)
    }
}

/// Work that blocks goes to a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?
}

/// The model that is loaded.
#[derive(Serialize, ToSchema)]
pub struct ModelInfo {
    pub name: String,
    pub architecture: String,
    pub dtype: String,
    pub vocab: usize,
    pub context: usize,
    pub end_tokens: Vec<u32>,
    pub engine: String,
    /// Whether it has a chat template.
    pub chat: bool,
}

/// The server.
#[derive(Serialize, ToSchema)]
pub struct ServerInfo {
    pub version: String,
    /// Absent if the server only shows files.
    pub model: Option<ModelInfo>,
    /// Every strategy with its default parameters.
    #[schema(value_type = Object)]
    pub strategies: Map<String, Value>,
}

fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::Dynamic(Default::default()),
        Strategy::BestFirst(Default::default()),
        Strategy::Beam(Default::default()),
        Strategy::Sample(Default::default()),
    ]
}

/// The server and its model
#[utoipa::path(get, path = "/api/v1/server", responses((status = 200, body = ServerInfo), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub async fn server(State(app): State<App>) -> Answer<Json<ServerInfo>> {
    let mut known = Map::new();
    for s in strategies() {
        let parameters = crate::command::grow::strategy_json(s).map_err(Problem::internal)?;
        known.insert(s.name().into(), Value::Object(parameters));
    }
    let model = app.shared.loaded.as_ref().map(|loaded| {
        let m = &loaded.model;
        ModelInfo {
            name: loaded.name.clone(),
            architecture: m.config().architecture.clone(),
            dtype: m.weights().quantisation(),
            vocab: m.vocab_size(),
            context: m.context_length(),
            end_tokens: m.end_tokens().iter().map(|t| t.0).collect(),
            engine: m.engine(),
            chat: m.chat_template(&loaded.name).is_ok(),
        }
    });
    Ok(Json(ServerInfo { version: env!("CARGO_PKG_VERSION").into(), model, strategies: known }))
}

/// A prompt as the user gives it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    /// The text.
    #[schema(min_length = 1, max_length = 1_048_576)]
    pub prompt: String,
    /// Put the text into the model's chat template.
    #[serde(default)]
    pub chat: bool,
    /// The system message, with `chat`.
    #[serde(default)]
    pub system: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct TokenInfo {
    pub id: u32,
    pub text: String,
    /// A control token rather than text.
    pub special: bool,
}

fn prompt_options(request: &PromptRequest) -> Answer<PromptOptions> {
    if request.prompt.len() > PROMPT {
        return Err(Problem::bad(format!("the prompt is longer than {PROMPT} bytes")));
    }
    // A lone dash means standard input on the command line, and nothing here.
    if request.prompt == "-" {
        return Err(Problem::bad("the prompt `-` cannot be used here"));
    }
    if request.system.is_some() && !request.chat {
        return Err(Problem::bad("`system` needs `chat`"));
    }
    Ok(PromptOptions { prompt: request.prompt.clone(), chat: request.chat, system: request.system.clone() })
}

/// The exact tokens that a prompt becomes
#[utoipa::path(post, path = "/api/v1/tokenize", request_body = PromptRequest, responses(
    (status = 200, body = Vec<TokenInfo>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn tokenize(State(app): State<App>, Body(request): Body<PromptRequest>) -> Answer<Json<Vec<TokenInfo>>> {
    blocking(move || {
        let loaded = app.loaded()?;
        let options = prompt_options(&request)?;
        let prepared = setup::prepare(loaded, &options, "").map_err(|e| Problem::bad(format!("{e:#}")))?;
        let token = |&id: &TokenId| TokenInfo { id: id.0, text: loaded.text(id), special: loaded.model.is_special(id) };
        Ok(Json(prepared.tokens.iter().map(token).collect()))
    })
    .await
}

/// All runs, newest first
#[utoipa::path(get, path = "/api/v1/runs", responses((status = 200, body = Vec<Info>), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub async fn list(State(app): State<App>) -> Json<Vec<Info>> {
    Json(app.shared.store.list())
}

/// A new run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    #[schema(min_length = 1, max_length = 1_048_576)]
    pub prompt: String,
    #[serde(default)]
    pub chat: bool,
    #[serde(default)]
    pub system: Option<String>,
    /// `dynamic` if absent.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Those that shall differ from the strategy's defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_nodes: Option<usize>,
    #[serde(default)]
    #[schema(minimum = 0)]
    pub max_seconds: Option<f64>,
    /// Tokens to record per step, at least.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub store_top: Option<usize>,
    /// Strings whose probability is noted at every step.
    #[serde(default)]
    pub watch: Vec<String>,
}

/// The strategy of a request: the defaults, with what was given in their place.
fn strategy(request: &RunRequest) -> Answer<Strategy> {
    let name = request.strategy.as_deref().unwrap_or("dynamic");
    let all = strategies();
    let names: Vec<&str> = all.iter().map(|s| s.name()).collect();
    let default = all.iter().find(|s| s.name() == name);
    let default = *default.ok_or_else(|| Problem::bad(format!("strategy {name:?}: there are {}", names.join(", "))))?;
    let mut parameters = crate::command::grow::strategy_json(default).map_err(Problem::internal)?;
    for (key, value) in &request.parameters {
        if !parameters.contains_key(key) && key != "rules" {
            let known: Vec<&String> = parameters.keys().collect();
            return Err(Problem::bad(format!("{name} has no parameter {key:?}; it has {known:?} and \"rules\"")));
        }
        parameters.insert(key.clone(), value.clone());
    }
    let made = serde_json::from_value::<Strategy>(json!({ "strategy": name, "parameters": parameters }));
    let made = made.map_err(|e| Problem::bad(format!("parameters: {e}")))?;
    made.check().map_err(|e| Problem::bad(e.to_string()))?;
    Ok(made)
}

/// Starts a run
#[utoipa::path(post, path = "/api/v1/runs", request_body = RunRequest, responses(
    (status = 201, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn start(State(app): State<App>, Body(request): Body<RunRequest>) -> Answer<(StatusCode, Json<Info>)> {
    blocking(move || {
        let loaded = app.loaded()?;
        let waiting = app.shared.store.list().iter().filter(|i| App::is_busy(i.status.state)).count();
        if waiting >= QUEUE {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, format!("{waiting} runs wait already: stop some")));
        }
        if request.max_seconds.is_some_and(|s| !s.is_finite() || s < 0.0) || request.max_nodes == Some(0) {
            return Err(Problem::bad("budgets must be positive numbers"));
        }
        if request.store_top.is_some_and(|k| !(1..=100_000).contains(&k)) {
            return Err(Problem::bad("`store_top` must be 1 to 100000"));
        }
        let strategy = strategy(&request)?;
        let prompt = PromptRequest { prompt: request.prompt, chat: request.chat, system: request.system };
        let options = prompt_options(&prompt)?;
        let keep = Keep::Top(request.store_top.unwrap_or(10));
        let limits = Limits { max_nodes: request.max_nodes, max_seconds: request.max_seconds, keep };
        // What the user got wrong is told before there is a file.
        setup::prepare(loaded, &options, "").map_err(|e| Problem::bad(format!("{e:#}")))?;
        setup::watch(loaded, &request.watch).map_err(|e| Problem::bad(format!("{e:#}")))?;
        let made = app.shared.store.create(&prompt.prompt, Kind::Run, |path| {
            let file = OpenOptions::new().write(true).truncate(true).open(path)?;
            let record = Record::File(BufWriter::new(file), path.into());
            Job::begin(loaded, &options, strategy, &request.watch, &limits, record).map(drop)
        });
        let id = made.map_err(|e| Problem::internal(format!("{e:#}")))?;
        app.shared.limits.lock().unwrap_or_else(|e| e.into_inner()).insert(id.clone(), limits);
        app.shared.store.update(&id, |s| s.state = RunState::Queued);
        app.send(Command::Explore(id.clone()))?;
        Ok((StatusCode::CREATED, Json(app.shared.store.get(&id)?)))
    })
    .await
}

/// A run
#[utoipa::path(get, path = "/api/v1/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Info>> {
    Ok(Json(app.shared.store.get(&id)?))
}

/// What can be changed about a run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
}

/// Renames a run
#[utoipa::path(patch, path = "/api/v1/runs/{id}", params(("id" = String, Path, description = "Id of the run")), request_body = Rename,
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn rename(State(app): State<App>, Path(id): Path<String>, Body(r): Body<Rename>) -> Answer<Json<Info>> {
    if r.name.trim().is_empty() || r.name.chars().count() > 200 {
        return Err(Problem::bad("a name has 1 to 200 characters"));
    }
    blocking(move || {
        app.shared.store.rename(&id, r.name.trim())?;
        Ok(Json(app.shared.store.get(&id)?))
    })
    .await
}

/// Deletes a run and its file
#[utoipa::path(delete, path = "/api/v1/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(State(app): State<App>, Path(id): Path<String>) -> Answer<StatusCode> {
    blocking(move || {
        if App::is_busy(app.shared.store.get(&id)?.status.state) {
            return Err(Problem::conflict("the run is going on: stop it first"));
        }
        let _ = app.commands.send(Command::Forget(id.clone()));
        app.shared.store.remove(&id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Goes on with a run that was paused, stopped or killed
#[utoipa::path(post, path = "/api/v1/runs/{id}/resume", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn resume(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Info>> {
    app.loaded()?;
    let info = app.run(&id)?;
    match info.status.state {
        RunState::Paused | RunState::Interrupted | RunState::Failed | RunState::Finished => {}
        RunState::Imported => return Err(Problem::conflict("the run was not made by an engine: it cannot go on")),
        _ => return Err(Problem::conflict("the run is going on already")),
    }
    app.shared.store.update(&id, |s| s.state = RunState::Queued);
    app.send(Command::Explore(id.clone()))?;
    Ok(Json(app.shared.store.get(&id)?))
}

fn end(app: &App, id: &str, state: RunState) -> Answer<Json<Info>> {
    if !App::is_busy(app.run(id)?.status.state) {
        return Err(Problem::conflict("the run is not going on"));
    }
    app.send(Command::End(id.into(), state))?;
    Ok(Json(app.shared.store.get(id)?))
}

/// Pauses a run at the end of its level
#[utoipa::path(post, path = "/api/v1/runs/{id}/pause", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn pause(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Info>> {
    end(&app, &id, RunState::Paused)
}

/// Stops a run at the end of its level, and whatever goes on by hand
#[utoipa::path(post, path = "/api/v1/runs/{id}/stop", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn stop(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Info>> {
    app.run(&id)?;
    app.shared.ticket.fetch_add(1, Ordering::SeqCst);
    if !App::is_busy(app.run(&id)?.status.state) {
        return Ok(Json(app.shared.store.get(&id)?));
    }
    end(&app, &id, RunState::Interrupted)
}

/// Copies a run
#[utoipa::path(post, path = "/api/v1/runs/{id}/duplicate", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 201, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn duplicate(State(app): State<App>, Path(id): Path<String>) -> Answer<(StatusCode, Json<Info>)> {
    blocking(move || {
        let info = app.shared.store.get(&id)?;
        if App::is_busy(info.status.state) {
            return Err(Problem::conflict("the run is going on: pause it first"));
        }
        let from = app.shared.store.path(&id)?;
        let made = app.shared.store.create(&info.name, info.kind, |path| Ok(std::fs::copy(&from, path).map(drop)?));
        let copy = made.map_err(|e| Problem::internal(format!("{e:#}")))?;
        let name: String = info.name.chars().take(190).collect();
        app.shared.store.rename(&copy, &format!("{name} (copy)"))?;
        Ok((StatusCode::CREATED, Json(app.shared.store.get(&copy)?)))
    })
    .await
}

/// How to go on by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpandRequest {
    /// Where to go on.
    #[schema(min_items = 1, max_items = 256)]
    pub nodes: Vec<u32>,
    /// With this token, whatever its probability; otherwise with the most likely.
    #[serde(default)]
    pub token: Option<u32>,
    /// So many greedy steps (20 if neither this nor `max_nodes` is given).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000)]
    pub steps: Option<usize>,
    /// As the run's strategy does, up to so many nodes for each.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub max_nodes: Option<usize>,
}

/// Nodes from which the model goes on.
#[derive(Serialize, ToSchema)]
pub struct Expanded {
    pub nodes: Vec<u32>,
}

/// Lets the model go on from nodes; what it finds comes as events of the run
#[utoipa::path(post, path = "/api/v1/runs/{id}/expand", params(("id" = String, Path, description = "Id of the run")), request_body = ExpandRequest,
    responses((status = 200, body = Expanded), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn expand(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(request): Body<ExpandRequest>,
) -> Answer<Json<Expanded>> {
    let loaded = app.loaded()?;
    let info = app.run(&id)?;
    if info.status.state == RunState::Imported {
        return Err(Problem::conflict("the run was not made by an engine: start a run with its prompt"));
    }
    if request.nodes.is_empty() || request.nodes.len() > 256 {
        return Err(Problem::bad("`nodes` has 1 to 256 nodes"));
    }
    if request.token.is_some_and(|t| t as usize >= loaded.model.vocab_size()) {
        return Err(Problem::bad(format!("`token` is outside the vocabulary of {}", loaded.model.vocab_size())));
    }
    let how = match (request.steps, request.max_nodes) {
        (Some(_), Some(_)) => return Err(Problem::bad("give `steps` or `max_nodes`, not both")),
        (_, Some(n)) if (1..=100_000).contains(&n) => How::Strategy { max_nodes: n },
        (steps, None) if steps.unwrap_or(20) <= 10_000 => How::Greedy { steps: steps.unwrap_or(20) },
        _ => return Err(Problem::bad("`steps` is at most 10000, `max_nodes` 1 to 100000")),
    };
    let ticket = app.shared.ticket.fetch_add(1, Ordering::SeqCst) + 1;
    let (reply, answer) = oneshot::channel();
    let nodes = request.nodes.iter().map(|&n| NodeId(n)).collect();
    app.send(Command::Expand(Expand { run: id, nodes, token: request.token.map(TokenId), how, ticket, reply }))?;
    let starts = answer.await.map_err(|_| Problem::internal("the engine has stopped"))?;
    let starts = starts.map_err(|e| Problem::bad(format!("{e:#}")))?;
    Ok(Json(Expanded { nodes: starts.iter().map(|n| n.0).collect() }))
}

/// Which part of a distribution.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Tokens to leave out at the top.
    #[serde(default)]
    pub offset: usize,
    /// Tokens wanted: 50 if absent, at most 1000.
    #[serde(default)]
    #[param(maximum = 1000)]
    pub limit: Option<usize>,
    /// Only tokens with this in their text, small and capital letters alike.
    #[serde(default)]
    pub search: Option<String>,
}

/// A token of a distribution.
#[derive(Serialize, ToSchema)]
pub struct RankedToken {
    pub id: u32,
    pub text: String,
    pub logprob: f64,
    pub rank: usize,
}

/// A part of a distribution.
#[derive(Serialize, ToSchema)]
pub struct DistributionPage {
    pub tokens: Vec<RankedToken>,
    /// Tokens that match.
    pub total: usize,
    /// In nats, over the whole vocabulary.
    pub entropy: f64,
    /// In nats².
    pub varentropy: f64,
}

/// The whole distribution after a node, page by page
#[utoipa::path(get, path = "/api/v1/runs/{id}/nodes/{node}/distribution",
    params(("id" = String, Path, description = "Id of the run"), ("node" = u32, Path, description = "The node"), Page),
    responses((status = 200, body = DistributionPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn distribution(
    State(app): State<App>,
    Path((id, node)): Path<(String, String)>,
    Parameters(page): Parameters<Page>,
) -> Answer<Json<DistributionPage>> {
    app.loaded()?;
    app.run(&id)?;
    let node = node.parse().map_err(|_| Problem::bad("a node is a number"))?;
    let (reply, answer) = oneshot::channel();
    app.send(Command::Distribution(id, NodeId(node), reply))?;
    let ranked = answer.await.map_err(|_| Problem::internal("the engine has stopped"))?;
    let ranked = ranked.map_err(|e| Problem::bad(format!("{e:#}")))?;
    blocking(move || {
        let loaded = app.loaded()?;
        let wanted = page.search.unwrap_or_default().to_lowercase();
        let matches = |id: TokenId| wanted.is_empty() || loaded.text(id).to_lowercase().contains(&wanted);
        let all: Vec<(usize, (TokenId, f64))> =
            (1..).zip(ranked.tokens.iter().copied()).filter(|(_, (id, _))| matches(*id)).collect();
        let limit = page.limit.unwrap_or(50).min(1000);
        let token = |&(rank, (id, logprob)): &(usize, (TokenId, f64))| RankedToken {
            id: id.0,
            text: loaded.text(id),
            logprob,
            rank,
        };
        Ok(Json(DistributionPage {
            tokens: all.iter().skip(page.offset).take(limit).map(token).collect(),
            total: all.len(),
            entropy: ranked.entropy,
            varentropy: ranked.varentropy,
        }))
    })
    .await
}

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// A byte of the file, as the ids of events have it; `Last-Event-ID` does the same.
    #[serde(default)]
    pub from: Option<u64>,
}

/// The run's file as it grows, and how the run gets on, as server-sent events
///
/// `lines` events have whole lines of the run file; their id is the byte at which the next one begins. `status` events have the run's status. Nothing is kept
/// for a slow client: it reads from the file.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", params(("id" = String, Path, description = "Id of the run"), From),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
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
                    let event =
                        Event::default().event("lines").id(read.1.to_string()).data(read.0.trim_end_matches('\n'));
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
pub async fn content(State(app): State<App>, Path(id): Path<String>) -> Answer<Response> {
    blocking(move || {
        let path = app.shared.store.path(&id)?;
        let bytes = std::fs::read(&path).map_err(Problem::internal)?;
        Ok(download(bytes, "application/jsonl", path.file_name().and_then(|n| n.to_str()).unwrap_or("run")))
    })
    .await
}

fn download(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    // Ids are letters, digits and dashes; letters of other alphabets need the longer form.
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"");
    ([(header::CONTENT_TYPE, kind.to_string()), (header::CONTENT_DISPOSITION, disposition)], bytes).into_response()
}

/// The run in another format
#[utoipa::path(get, path = "/api/v1/runs/{id}/export/{format}",
    params(("id" = String, Path, description = "Id of the run"), ("format" = String, Path, description = "tree-json, jsonl, csv, parquet, dot, text or html")),
    responses((status = 200, content_type = "application/octet-stream", body = String), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn export(State(app): State<App>, Path((id, format)): Path<(String, String)>) -> Answer<Response> {
    app.run(&id)?;
    blocking(move || {
        let path = app.shared.store.path(&id)?;
        let run = import::run(BufReader::new(File::open(&path).map_err(Problem::internal)?));
        let run = run.map_err(|e| Problem::internal(format!("{e:#}")))?;
        if format == "html" {
            let html = super::report::html(&run).map_err(|e| Problem::conflict(format!("{e:#}")))?;
            return Ok(download(html.into_bytes(), "text/html; charset=utf-8", &format!("{id}.html")));
        }
        let known = <Format as clap::ValueEnum>::from_str(&format, false);
        let known = known.map_err(|_| Problem::not_found(format!("there is no format {format:?}")))?;
        let (kind, ending) = match known {
            Format::TreeJson => ("application/json", "tree.json"),
            Format::Jsonl => ("application/jsonl", "jsonl"),
            Format::Csv => ("text/csv; charset=utf-8", "csv"),
            Format::Parquet => ("application/vnd.apache.parquet", "parquet"),
            Format::Dot => ("text/vnd.graphviz; charset=utf-8", "dot"),
            Format::Text => ("text/plain; charset=utf-8", "txt"),
        };
        let mut out = Vec::new();
        export::export(&run, known, true, &mut out).map_err(|e| Problem::internal(format!("{e:#}")))?;
        Ok(download(out, kind, &format!("{id}.{ending}")))
    })
    .await
}

/// What the file is called.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Its name, for people.
    #[serde(default)]
    pub name: Option<String>,
}

/// Takes in a file: a run, the notebook's tree JSON, or its logprobs JSONL
#[utoipa::path(post, path = "/api/v1/import", params(Name), request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 201, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn import(
    State(app): State<App>,
    Parameters(name): Parameters<Name>,
    bytes: Bytes,
) -> Answer<(StatusCode, Json<Info>)> {
    blocking(move || {
        let name = name.name.unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
        let id = take_in(&app.shared, &name, &bytes)
            .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{e:#}")))?;
        Ok((StatusCode::CREATED, Json(app.shared.store.get(&id)?)))
    })
    .await
}

/// Puts a file's content into the data folder.
pub fn take_in(shared: &Shared, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let document = import::read(bytes)?;
    let about = if name.trim().is_empty() { "imported" } else { name };
    let id = match document {
        Document::Run(run) => shared.store.create(about, Kind::Run, |path| {
            let mut out = BufWriter::new(File::create(path)?);
            if bytes.starts_with(b"{\"type\":\"header\"") {
                out.write_all(&bytes[..run.valid_bytes as usize])?;
            } else {
                write_run(&run, &mut out)?;
            }
            Ok(out.flush()?)
        })?,
        Document::Logprobs(..) => shared.store.create(about, Kind::Records, |path| Ok(std::fs::write(path, bytes)?))?,
    };
    if !name.trim().is_empty() {
        shared.store.rename(&id, name).map_err(|p| anyhow::anyhow!(p.detail))?;
    }
    Ok(id)
}
