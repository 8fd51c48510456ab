//! `/tokenize`, `/detokenize` and `/tokenizer_info`, compatible with vLLM, for clients that need token ids.

use super::chat;
use super::error::{ErrorShape, Failure, Input};
use super::model::blocking;
use super::shapes::ChatMessage;
use crate::api::App;
use axum::Json;
use axum::extract::State;
use logitree_core::TokenId;
use logitree_engine::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A text or a conversation to split into tokens.
#[derive(Deserialize, ToSchema)]
pub struct TokenizeRequest {
    pub model: Option<String>,
    pub prompt: Option<String>,
    pub messages: Option<Vec<ChatMessage>>,
    /// Variables for the chat template.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Whether to put BOS in front of a text.
    pub add_special_tokens: Option<bool>,
    /// Whether the chat template adds what comes before the answer.
    pub add_generation_prompt: Option<bool>,
    /// Whether to return the tokens' texts, too.
    pub return_token_strs: Option<bool>,
}

/// The tokens of a text or conversation.
#[derive(Serialize, ToSchema)]
pub struct Tokenized {
    pub count: usize,
    pub max_model_len: usize,
    pub tokens: Vec<u32>,
    pub token_strs: Option<Vec<String>>,
}

/// Splits a text or a conversation into tokens
#[utoipa::path(post, path = "/tokenize", request_body = TokenizeRequest, responses(
    (status = 200, body = Tokenized), (status = "4XX", body = ErrorShape)))]
pub async fn tokenize(State(app): State<App>, Input(r): Input<TokenizeRequest>) -> Result<Json<Tokenized>, Failure> {
    let work = blocking(&app, move |served| {
        served.check_name(r.model.as_deref())?;
        let ids = match (r.prompt, r.messages) {
            (Some(text), None) => served.tokens(&text, r.add_special_tokens.unwrap_or(true))?,
            (None, Some(messages)) => {
                let arguments = r.chat_template_kwargs.unwrap_or_default();
                chat::tokens(&served, messages, &arguments, r.add_generation_prompt.unwrap_or(true))?
            }
            _ => return Err(Failure::value("prompt", "give either prompt or messages")),
        };
        let texts = || ids.iter().map(|&id| served.model.text(id)).collect();
        Ok(Json(Tokenized {
            count: ids.len(),
            max_model_len: served.model.context_length(),
            token_strs: r.return_token_strs.unwrap_or(false).then(texts),
            tokens: ids.iter().map(|t| t.0).collect(),
        }))
    });
    work.await
}

/// Tokens to convert to text.
#[derive(Deserialize, ToSchema)]
pub struct DetokenizeRequest {
    pub model: Option<String>,
    pub tokens: Vec<u32>,
}

/// The text of the tokens.
#[derive(Serialize, ToSchema)]
pub struct Detokenized {
    pub prompt: String,
}

/// Joins tokens to a text, special ones by name; a space that the tokenizer puts in front is taken off
#[utoipa::path(post, path = "/detokenize", request_body = DetokenizeRequest, responses(
    (status = 200, body = Detokenized), (status = "4XX", body = ErrorShape)))]
pub async fn detokenize(
    State(app): State<App>,
    Input(r): Input<DetokenizeRequest>,
) -> Result<Json<Detokenized>, Failure> {
    let work = blocking(&app, move |served| {
        served.check_name(r.model.as_deref())?;
        let vocab = served.model.vocab_size();
        if let Some(id) = r.tokens.iter().find(|&&id| id as usize >= vocab) {
            return Err(Failure::value("tokens", format!("tokens: {id} is not in the vocabulary of {vocab} tokens")));
        }
        let ids: Vec<TokenId> = r.tokens.into_iter().map(TokenId).collect();
        Ok(Json(Detokenized { prompt: String::from_utf8_lossy(&served.decode(&ids).concat()).into_owned() }))
    });
    work.await
}

/// Information about the tokenizer.
#[derive(Serialize, ToSchema)]
pub struct TokenizerInfo {
    pub tokenizer_class: String,
    pub vocab_size: usize,
    pub model_max_length: usize,
    pub bos_token: Option<String>,
    pub eos_token: Option<String>,
    /// Whether texts get BOS in front by default.
    pub add_bos_token: bool,
    pub chat_template: Option<String>,
}

/// The tokenizer
#[utoipa::path(get, path = "/tokenizer_info", responses((status = 200, body = TokenizerInfo), (status = "4XX", body = ErrorShape)))]
pub async fn info(State(app): State<App>) -> Result<Json<TokenizerInfo>, Failure> {
    let work = blocking(&app, |served| {
        let tokenizer = served.local.tokenizer();
        let template = served.local.chat_template(&served.id).ok();
        Ok(Json(TokenizerInfo {
            tokenizer_class: tokenizer.map_or("none", Tokenizer::kind).into(),
            vocab_size: served.model.vocab_size(),
            model_max_length: served.model.context_length(),
            bos_token: tokenizer.and_then(Tokenizer::bos_name).map(Into::into),
            eos_token: tokenizer.and_then(Tokenizer::eos_name).map(Into::into),
            add_bos_token: served.model.bos().is_some(),
            chat_template: template.map(|t| t.source().to_owned()),
        }))
    });
    work.await
}
