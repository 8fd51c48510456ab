//! Requests about runs: list, start, pause, resume, stop, rename, copy, delete.

use super::{Answer, App, MessageRequest, blocking, check_text, clean, given};
use crate::problem::{Body, Place, Problem};
use crate::store::{Info, Kind, State as RunState};
use crate::worker::{Command, TOP};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use logitree::output::Target;
use logitree::{Destination, Exploration, Limits, Model};
use logitree_core::explore::{Keep, Strategy};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Number of runs that may wait or run at once.
const QUEUE: usize = 32;
/// Number of strings that a run may watch: each one costs work at every step.
const WATCHED: usize = 64;
/// Largest length of a watched string, in bytes.
const WATCHED_BYTES: usize = 1024;

/// All runs, newest first
#[utoipa::path(get, path = "/api/v1/runs", responses((status = 200, body = Vec<Info>), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub async fn list(State(app): State<App>) -> Json<Vec<Info>> {
    Json(app.shared.store.list())
}

/// A request for a new run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// A plain text to continue.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 1_048_576)]
    pub prompt: Option<String>,
    /// Or a conversation for the model's chat template; the last message must be the user's.
    #[serde(default)]
    pub messages: Option<Vec<MessageRequest>>,
    /// Variables for the chat template, such as `{"enable_thinking": false}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub chat_template_kwargs: Map<String, Value>,
    /// Name of the strategy; `dynamic` if absent.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Parameters that differ from the strategy's defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_nodes: Option<usize>,
    #[serde(default)]
    #[schema(minimum = 0)]
    pub max_seconds: Option<f64>,
    /// Least number of tokens to record per step.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub store_top: Option<usize>,
    /// Whether to record a hash of all logits at each step.
    #[serde(default)]
    pub hash_logits: bool,
    /// Strings whose probability is recorded at every step.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub watch: Vec<String>,
}

/// Refuses strings to watch that are too many or too long, or that have no tokens in this model.
fn check_watch(model: &Model, watch: &[String]) -> Answer<()> {
    if watch.len() > WATCHED {
        return Err(Problem::bad(format!("`watch` has {} strings: {WATCHED} at most", watch.len())));
    }
    for (i, text) in watch.iter().enumerate() {
        let place = format!("`watch[{i}]`");
        if text.len() > WATCHED_BYTES {
            return Err(Problem::bad(format!("{place} has {} bytes: {WATCHED_BYTES} at most", text.len())));
        }
        check_text(text, &place)?;
        let ids = model.tokenize(text, true).map_err(|e| Problem::bad(format!("{place}: {e}")))?;
        if ids.is_empty() {
            return Err(Problem::bad(format!("{place} is nothing in this model's vocabulary")));
        }
    }
    Ok(())
}

/// Starts a run
#[utoipa::path(post, path = "/api/v1/runs", request_body = RunRequest, responses(
    (status = 201, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn start(State(app): State<App>, Body(request): Body<RunRequest>) -> Answer<(StatusCode, Json<Info>)> {
    blocking(move || {
        let model = app.model()?;
        let waiting = app.shared.store.list().iter().filter(|i| i.status.state.is_busy()).count();
        if waiting >= QUEUE {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, format!("{waiting} runs wait already: stop some")));
        }
        if request.store_top.is_some_and(|k| !(1..=100_000).contains(&k)) {
            return Err(Problem::bad("`store_top` must be 1 to 100000"));
        }
        let name = request.strategy.as_deref().unwrap_or("dynamic");
        let strategy = Strategy::with(name, &request.parameters).map_err(|e| Problem::bad(e.to_string()))?;
        check_watch(&model, &request.watch)?;
        let given = given(request.prompt, request.messages, request.chat_template_kwargs)?;
        let keep = Keep::Top(request.store_top.unwrap_or(TOP));
        let RunRequest { max_nodes, max_seconds, hash_logits, .. } = request;
        let limits = Limits { max_nodes, max_seconds, keep, hash_logits };
        limits.check()?;
        // Check the request before a file is made, so that the user's errors leave no file.
        let prepared = model.prepare(&given, "")?;
        let made = app.shared.store.create(&prepared.text, Kind::Run, |path| {
            let target = Destination::Named(Target::check(path, true, &[])?);
            Exploration::begin(&model, &prepared, strategy, &request.watch, &limits, target).map(drop)
        });
        let id = made?;
        app.shared.store.update(&id, |s| s.state = RunState::Queued);
        app.send(Command::Explore(id.clone()))?;
        Ok((StatusCode::CREATED, Json(app.shared.store.get(&id)?)))
    })
    .await
}

/// A run
#[utoipa::path(get, path = "/api/v1/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn get(State(app): State<App>, Place(id): Place<String>) -> Answer<Json<Info>> {
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
pub async fn rename(State(app): State<App>, Place(id): Place<String>, Body(r): Body<Rename>) -> Answer<Json<Info>> {
    let name = clean(&r.name).trim().to_owned();
    if name.is_empty() || name.chars().count() > 200 {
        return Err(Problem::bad("`name` has 1 to 200 characters"));
    }
    blocking(move || {
        app.shared.store.rename(&id, &name)?;
        Ok(Json(app.shared.store.get(&id)?))
    })
    .await
}

/// Deletes a run and its file
#[utoipa::path(delete, path = "/api/v1/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(State(app): State<App>, Place(id): Place<String>) -> Answer<StatusCode> {
    blocking(move || {
        if app.shared.store.get(&id)?.status.state.is_busy() {
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
pub async fn resume(State(app): State<App>, Place(id): Place<String>) -> Answer<Json<Info>> {
    let model = app.model()?;
    let info = app.run(&id)?;
    match info.status.state {
        RunState::Paused | RunState::Interrupted | RunState::Failed => {}
        RunState::Finished => return Err(Problem::conflict("the run has ended: go on from one of its nodes")),
        RunState::Imported => return Err(Problem::conflict("the run was not made by an engine: it cannot go on")),
        _ => return Err(Problem::conflict("the run is going on already")),
    }
    // A run of another model waits for that model; it has not failed.
    if let Some(made_by) = &info.made_by {
        model.check_continuable(&format!("the run {:?}", info.name), made_by)?;
    }
    app.shared.store.update(&id, |s| s.state = RunState::Queued);
    app.send(Command::Explore(id.clone()))?;
    Ok(Json(app.shared.store.get(&id)?))
}

fn end(app: &App, id: &str, state: RunState) -> Answer<Json<Info>> {
    if !app.run(id)?.status.state.is_busy() {
        return Err(Problem::conflict("the run is not going on"));
    }
    app.send(Command::End(id.into(), state))?;
    Ok(Json(app.shared.store.get(id)?))
}

/// Pauses a run at the end of its level
#[utoipa::path(post, path = "/api/v1/runs/{id}/pause", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn pause(State(app): State<App>, Place(id): Place<String>) -> Answer<Json<Info>> {
    end(&app, &id, RunState::Paused)
}

/// Stops a run at the end of its level, and whatever goes on by hand
#[utoipa::path(post, path = "/api/v1/runs/{id}/stop", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn stop(State(app): State<App>, Place(id): Place<String>) -> Answer<Json<Info>> {
    app.run(&id)?;
    app.send(Command::Halt(id.clone()))?;
    if !app.run(&id)?.status.state.is_busy() {
        return Ok(Json(app.shared.store.get(&id)?));
    }
    end(&app, &id, RunState::Interrupted)
}

/// Copies a run
#[utoipa::path(post, path = "/api/v1/runs/{id}/duplicate", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 201, body = Info), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn duplicate(State(app): State<App>, Place(id): Place<String>) -> Answer<(StatusCode, Json<Info>)> {
    blocking(move || {
        let info = app.shared.store.get(&id)?;
        if info.status.state.is_busy() {
            return Err(Problem::conflict("the run is going on: pause it first"));
        }
        let from = app.shared.store.path(&id)?;
        let made = app.shared.store.create(&info.name, info.kind, |path| Ok(std::fs::copy(&from, path).map(drop)?));
        let copy = made?;
        let name: String = info.name.chars().take(190).collect();
        app.shared.store.rename(&copy, &format!("{name} (copy)"))?;
        Ok((StatusCode::CREATED, Json(app.shared.store.get(&copy)?)))
    })
    .await
}
