//! How far the distributions of two runs of the loaded model are apart along a path.

use super::task;
use super::{Answer, App};
use crate::problem::{Parameters, Place, Problem};
use crate::sse::ServerSentEvent;
use axum::extract::State;
use axum::response::Response;
use logitree::Model;
use logitree::compare::{Comparison, Side, compare as compare_sides};
use logitree_core::NodeId;
use logitree_core::compare::ComparedStep;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// The other run.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// Id of the other run.
    pub with: String,
}

/// How far the distributions of the path to a node are from those of the same tokens after another run's prompt, as
/// server-sent events
///
/// Both runs must be of the loaded model, which must be in the server's process: the divergences are over its whole
/// vocabulary. `progress` events say in words what is being done. At last comes an `end` event with `steps`, one for each
/// token of the path: `logprob` and `entropy` in nats, `rank` and the most likely token `best`, each under the run and
/// under the other, and `kl_ab`, `kl_ba` and `js` in nats; or a `failed` event with a problem. The work ends when the
/// client hangs up.
#[utoipa::path(get, path = "/api/v1/runs/{id}/nodes/{node}/compare",
    params(("id" = String, Path, description = "Id of the run"), ("node" = u32, Path, description = "The node"), With),
    responses((status = 200, content_type = "text/event-stream", body = ServerSentEvent), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn compare(
    State(app): State<App>,
    Place((id, node)): Place<(String, u32)>,
    Parameters(With { with }): Parameters<With>,
) -> Answer<Response> {
    let model = app.model()?;
    if model.local().is_none() {
        let why = "whole distributions are compared, and the model is behind a server, which lists only the most likely tokens";
        return Err(Problem::bad(why));
    }
    app.run(&id)?;
    app.run(&with)?;
    if node == 0 {
        return Err(Problem::bad("the path to node 0 is the prompt alone: there is no text to compare"));
    }
    let places = vec![(id, NodeId(node)), (with, NodeId::ROOT)];
    task::stream(&app, "comparing", places, move |model, tokens, teller| {
        let [a, b] = &tokens[..] else { return Ok(()) };
        let sides = [Side::of_tokens(model, &a.prompt, &a.path)?, Side::of_tokens(model, &b.prompt, &a.path)?];
        if let Comparison::Steps { steps, .. } = compare_sides(&sides[0], &sides[1])? {
            let steps: Vec<Value> = steps.iter().map(|s| told(model, s)).collect();
            teller.tell("end", &json!({ "steps": steps }));
        }
        Ok(())
    })
    .await
}

fn told(model: &Model, step: &ComparedStep) -> Value {
    json!({
        "logprob": step.token.map(|t| t.logprob),
        "rank": step.token.map(|t| t.rank),
        "best": step.best.map(|t| model.token(t.id)),
        "entropy": step.entropy,
        "kl_ab": step.divergence.kl_ab,
        "kl_ba": step.divergence.kl_ba,
        "js": step.divergence.js,
    })
}
