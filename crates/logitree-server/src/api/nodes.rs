//! Requests about the nodes of a run: continuing from them, and the whole distributions after them.

use super::{Answer, App, blocking};
use crate::problem::{Body, Parameters, Place, Problem};
use crate::store::State as RunState;
use crate::worker::{Command, How, Request};
use axum::Json;
use axum::extract::State;
use logitree_core::{NodeId, TokenId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

/// A request to continue from nodes by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpandRequest {
    /// The nodes to continue from.
    #[schema(min_items = 1, max_items = 256)]
    pub nodes: Vec<u32>,
    /// The token to continue with, whatever its probability; if absent, the most likely one.
    #[serde(default)]
    pub token: Option<u32>,
    /// Number of greedy steps (20 if neither this nor `max_nodes` is given).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000)]
    pub steps: Option<usize>,
    /// Continue with the run's strategy instead, up to this many nodes for each node.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub max_nodes: Option<usize>,
}

/// The nodes from which the model continues.
#[derive(Serialize, ToSchema)]
pub struct Expanded {
    pub nodes: Vec<u32>,
}

/// Lets the model go on from nodes; what it finds comes as events of the run
#[utoipa::path(post, path = "/api/v1/runs/{id}/expand", params(("id" = String, Path, description = "Id of the run")), request_body = ExpandRequest,
    responses((status = 200, body = Expanded), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn expand(
    State(app): State<App>,
    Place(id): Place<String>,
    Body(request): Body<ExpandRequest>,
) -> Answer<Json<Expanded>> {
    let model = app.model()?;
    let info = app.run(&id)?;
    if info.status.state == RunState::Imported {
        return Err(Problem::conflict("the run was not made by an engine: start a run with its prompt"));
    }
    if request.nodes.is_empty() || request.nodes.len() > 256 {
        return Err(Problem::bad("`nodes` has 1 to 256 nodes"));
    }
    if request.token.is_some_and(|t| t as usize >= model.vocab_size()) {
        return Err(Problem::bad(format!("`token` is outside the vocabulary of {}", model.vocab_size())));
    }
    let how = match (request.steps, request.max_nodes) {
        (Some(_), Some(_)) => return Err(Problem::bad("give `steps` or `max_nodes`, not both")),
        (_, Some(n)) if (1..=100_000).contains(&n) => How::Strategy { max_nodes: n },
        (steps, None) if steps.unwrap_or(20) <= 10_000 => How::Greedy { steps: steps.unwrap_or(20) },
        _ => return Err(Problem::bad("`steps` is at most 10000, `max_nodes` 1 to 100000")),
    };
    let (reply, answer) = oneshot::channel();
    let nodes = request.nodes.iter().map(|&n| NodeId(n)).collect();
    let request = Request { nodes, token: request.token.map(TokenId), how };
    app.send(Command::Expand(id, request, reply))?;
    let starts = answer.await.map_err(|_| Problem::internal("the engine has stopped"))?;
    let starts = starts?;
    Ok(Json(Expanded { nodes: starts.iter().map(|n| n.0).collect() }))
}

/// Which part of a distribution is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Number of tokens to leave out at the top.
    #[serde(default)]
    pub offset: usize,
    /// Number of tokens wanted: 50 if absent, at most 1000.
    #[serde(default)]
    #[param(maximum = 1000)]
    pub limit: Option<usize>,
    /// Only tokens whose text contains this, ignoring case.
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
    /// Number of tokens that match.
    pub total: usize,
    /// Entropy of the distribution, in nats.
    pub entropy: f64,
    /// Varentropy of the distribution, in nats².
    pub varentropy: f64,
    /// `exact`: the distribution is over the whole vocabulary. `lower_bound`: it has only the tokens that a server
    /// lists, and the entropy is a lower bound.
    pub exactness: &'static str,
}

/// The whole distribution after a node, page by page
#[utoipa::path(get, path = "/api/v1/runs/{id}/nodes/{node}/distribution",
    params(("id" = String, Path, description = "Id of the run"), ("node" = u32, Path, description = "The node"), Page),
    responses((status = 200, body = DistributionPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn distribution(
    State(app): State<App>,
    Place((id, node)): Place<(String, u32)>,
    Parameters(page): Parameters<Page>,
) -> Answer<Json<DistributionPage>> {
    let model = app.model()?;
    app.run(&id)?;
    let (reply, answer) = oneshot::channel();
    app.send(Command::Distribution(id, NodeId(node), reply))?;
    let ranked = answer.await.map_err(|_| Problem::internal("the engine has stopped"))?;
    let ranked = ranked?;
    blocking(move || {
        let wanted = page.search.unwrap_or_default().to_lowercase();
        let matches = |id: TokenId| wanted.is_empty() || model.text(id).to_lowercase().contains(&wanted);
        let all: Vec<(usize, (TokenId, f64))> =
            (1..).zip(ranked.tokens.iter().copied()).filter(|(_, (id, _))| matches(*id)).collect();
        let limit = page.limit.unwrap_or(50).min(1000);
        let token = |&(rank, (id, logprob)): &(usize, (TokenId, f64))| RankedToken {
            id: id.0,
            text: model.text(id),
            logprob,
            rank,
        };
        Ok(Json(DistributionPage {
            tokens: all.iter().skip(page.offset).take(limit).map(token).collect(),
            total: all.len(),
            entropy: ranked.entropy,
            varentropy: ranked.varentropy,
            exactness: ranked.exactness.name(),
        }))
    })
    .await
}
