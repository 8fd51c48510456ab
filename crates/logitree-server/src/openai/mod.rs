//! An OpenAI-compatible API: completions and chat completions with exact log probabilities, also of prompts.
//!
//! Both kinds of requests become orders for the [`Desk`](super::worker::generate::Desk) of the generator, and its
//! steps are converted to the format of the request. docs/openai-server.md says what is supported.

mod chat;
mod completions;
mod echo;
pub mod error;
mod logprobs;
mod model;
mod reply;
mod request;
mod shapes;
mod stream;
mod tokenize;

use super::api::App;
use axum::http::StatusCode;
use error::Failure;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Whether errors at this path must have OpenAI's format.
pub fn is_openai(path: &str) -> bool {
    path.starts_with("/v1/") || ["/tokenize", "/detokenize", "/tokenizer_info"].contains(&path)
}

/// The routes of this module.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(model::list))
        .routes(routes!(model::get))
        .routes(routes!(completions::completions))
        .routes(routes!(chat::completions))
        .routes(routes!(tokenize::tokenize))
        .routes(routes!(tokenize::detokenize))
        .routes(routes!(tokenize::info))
}

/// The answer for an unknown path.
pub async fn not_found() -> Failure {
    let message = "there is no such address: there are /v1/models, /v1/completions and /v1/chat/completions";
    Failure::new(StatusCode::NOT_FOUND, message, None, Some("unknown_url"))
}
