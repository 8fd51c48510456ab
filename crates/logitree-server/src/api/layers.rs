//! What each layer of the model would have predicted after a node of a run.

use super::{Answer, App, TokenInfo};
use crate::problem::{Parameters, Place, Problem};
use crate::worker::Command;
use axum::Json;
use axum::extract::State;
use logitree::Model;
use logitree_core::layers::LayerDistributions;
use logitree_core::{NodeId, TokenId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

/// Which tokens are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// A token whose numbers are wanted besides those of the two most likely ones.
    #[serde(default)]
    pub token: Option<u32>,
}

/// A token whose numbers are known at every layer.
#[derive(Serialize, ToSchema)]
pub struct FollowedToken {
    #[serde(flatten)]
    pub token: TokenInfo,
    /// Its logit: the sum of its parts over the layers, and the rest.
    pub logit: f64,
    /// What the parts of the layers do not explain.
    pub rest: f64,
}

/// What a layer says of a token.
#[derive(Serialize, ToSchema)]
pub struct LayerToken {
    /// Log probability in nats.
    pub logprob: f64,
    /// 1 is the most likely token.
    pub rank: u32,
    /// What the layer adds to the token's logit.
    pub part: f64,
}

/// A layer with the model's final norm and output matrix right after it.
#[derive(Serialize, ToSchema)]
pub struct LayerInfo {
    /// The layer's most likely token.
    pub best: TokenInfo,
    /// Its log probability in nats.
    pub logprob: f64,
    /// The numbers of `tokens`, in their order.
    pub tokens: Vec<LayerToken>,
}

/// What each layer would have predicted.
#[derive(Serialize, ToSchema)]
pub struct LayersInfo {
    /// The layer from which on the model's most likely token stays the most likely one; 0 is the embedding.
    pub decided: usize,
    /// The model's most likely token, the runner-up, then the token that was asked for, each once.
    pub tokens: Vec<FollowedToken>,
    /// The embedding, then every layer.
    pub layers: Vec<LayerInfo>,
}

/// What each layer of the model would have predicted after a node
///
/// The residual stream after a layer is given to the model's own final norm and output matrix, as if no layer came
/// after it. For models in the server's process only.
#[utoipa::path(get, path = "/api/v1/runs/{id}/nodes/{node}/layers",
    params(("id" = String, Path, description = "Id of the run"), ("node" = u32, Path, description = "The node"), Wanted),
    responses((status = 200, body = LayersInfo), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn layers(
    State(app): State<App>,
    Place((id, node)): Place<(String, u32)>,
    Parameters(wanted): Parameters<Wanted>,
) -> Answer<Json<LayersInfo>> {
    let model = app.model()?;
    app.run(&id)?;
    if wanted.token.is_some_and(|t| t as usize >= model.vocab_size()) {
        return Err(Problem::bad(format!("`token` is outside the vocabulary of {}", model.vocab_size())));
    }
    let tokens = wanted.token.map(TokenId).into_iter().collect();
    let (reply, answer) = oneshot::channel();
    app.send(Command::Layers(id, NodeId(node), tokens, reply))?;
    let found = answer.await.map_err(|_| Problem::internal("the engine has stopped"))?;
    let found = told(&model, &found?);
    found.map(Json).ok_or_else(|| Problem::internal("the model gave a layer no tokens"))
}

fn told(model: &Model, found: &LayerDistributions) -> Option<LayersInfo> {
    let order = found.in_order();
    let token = |&i: &usize| FollowedToken {
        token: TokenInfo::of(model, found.tokens[i]),
        logit: found.parts[i].logit,
        rest: found.parts[i].rest(),
    };
    let layer = |(layer, d): (usize, &logitree_core::Distribution)| {
        let best = d.top.first()?;
        let number = |&i: &usize| {
            let t = d.tokens.get(i)?;
            Some(LayerToken { logprob: t.logprob, rank: t.rank, part: *found.parts[i].parts.get(layer)? })
        };
        let tokens = order.iter().map(number).collect::<Option<_>>()?;
        Some(LayerInfo { best: TokenInfo::of(model, best.id), logprob: best.logprob, tokens })
    };
    Some(LayersInfo {
        decided: found.decided(),
        tokens: order.iter().map(token).collect(),
        layers: found.layers.iter().enumerate().map(layer).collect::<Option<_>>()?,
    })
}
