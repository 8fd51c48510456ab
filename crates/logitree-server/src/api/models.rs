//! Requests about the model: which ones there are, and to load another.

use super::{Answer, App, blocking};
use crate::current::{Candidate, Loading};
use crate::problem::{Body, Problem};
use crate::worker::Command;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

/// The models that can be loaded here; none if the server keeps the one that it was started with
#[utoipa::path(get, path = "/api/v1/models", responses((status = 200, body = Vec<Candidate>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(State(app): State<App>) -> Answer<Json<Vec<Candidate>>> {
    blocking(move || Ok(Json(app.shared.current.candidates()?))).await
}

/// A request for another model.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadRequest {
    /// A name of the list of models.
    #[schema(min_length = 1)]
    pub name: String,
}

/// Loads another model in the place of the one that is there
///
/// How it gets on is in `loading` of `/api/v1/server`. Runs of the model before stay, and go on when it is loaded again.
#[utoipa::path(put, path = "/api/v1/model", request_body = LoadRequest, responses(
    (status = 202, body = Loading), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn load(State(app): State<App>, Body(request): Body<LoadRequest>) -> Answer<(StatusCode, Json<Loading>)> {
    blocking(move || {
        let current = &app.shared.current;
        if let Some(name) = current.coming() {
            return Err(Problem::conflict(format!("{name} is being loaded: wait until it is there")));
        }
        let busy = |i: &crate::store::Info| i.status.state.is_busy() || i.status.writing > 0;
        if let Some(run) = app.shared.store.list().iter().find(|i| busy(i)) {
            return Err(Problem::conflict(format!("the run {:?} is going on: stop it first", run.name)));
        }
        let texts = app.desk.taken();
        if texts > 0 {
            return Err(Problem::conflict(format!("{texts} texts are being generated: wait until they are done")));
        }
        let loading = current.ask(&request.name)?;
        if let Err(problem) = app.send(Command::Load(request.name)) {
            current.fail(&logitree::Error::new(logitree::ErrorKind::Internal, "the engine has stopped"));
            return Err(problem);
        }
        Ok((StatusCode::ACCEPTED, Json(loading)))
    })
    .await
}
