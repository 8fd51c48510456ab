//! `/v1/chat/completions`: continues conversations, with the model's own chat template.

use super::completions::order;
use super::echo::Prompted;
use super::error::{ErrorShape, Failure, Input};
use super::model::{Served, blocking};
use super::request::Settings;
use super::shapes::{Answer, ChatMessage, Content, Request};
use super::stream;
use crate::api::App;
use crate::sse::ServerSentEvent;
use axum::extract::State;
use axum::response::Response;
use logitree_core::TokenId;
use logitree_core::run::Message;
use logitree_engine::chat::{Arguments, ChatError};

/// Goes on with a conversation
#[utoipa::path(post, path = "/v1/chat/completions", request_body(content = Request, example = json!({"messages": [{"role": "user", "content": "What is the capital of India?"}], "max_tokens": 5, "logprobs": true, "stream": true})), responses(
    (status = 200, content((Answer = "application/json"), (ServerSentEvent = "text/event-stream"))),
    (status = "4XX", body = ErrorShape)))]
pub async fn completions(State(app): State<App>, Input(request): Input<Request>) -> Result<Response, Failure> {
    let order = blocking(&app, move |served| {
        served.check_name(request.model.as_deref())?;
        let settings = Settings::of(&request, true)?;
        let messages = request.messages.ok_or_else(|| Failure::value("messages", "messages are missing"))?;
        let ids = tokens(&served, messages, &request.chat_template_kwargs.unwrap_or_default(), true)?;
        let max_tokens = settings.max_tokens.unwrap_or(served.model.context_length());
        order(&served, true, settings, max_tokens, vec![Prompted::of_chat(ids)])
    });
    let order = order.await?;
    stream::answer(app, order).await
}

/// The tokens of a conversation, with BOS if the model wants it.
pub fn tokens(
    served: &Served<'_>,
    messages: Vec<ChatMessage>,
    arguments: &Arguments,
    add_generation_prompt: bool,
) -> Result<Vec<TokenId>, Failure> {
    if messages.is_empty() {
        return Err(Failure::value("messages", "messages are empty: a conversation has one at least"));
    }
    let messages: Vec<Message> = messages.into_iter().enumerate().map(message).collect::<Result<_, _>>()?;
    let bad = |e: String| Failure::value("messages", format!("messages: {e}"));
    let template = served.local.chat_template(&served.id).map_err(|e| bad(e.to_string()))?;
    let rendered = template.render(&messages, arguments, add_generation_prompt).map_err(|e| match e {
        ChatError::Argument { .. } => Failure::value("chat_template_kwargs", format!("chat_template_kwargs: {e}")),
        e => bad(e.to_string()),
    })?;
    served.tokens(&rendered.text, true)
}

fn message((i, m): (usize, ChatMessage)) -> Result<Message, Failure> {
    let role = match m.role.as_str() {
        "system" | "user" | "assistant" => m.role,
        // For some models, OpenAI calls the system role "developer".
        "developer" => "system".into(),
        other => {
            let message = format!("messages[{i}].role is {other:?}: there are system, developer, user and assistant");
            return Err(Failure::value(&format!("messages[{i}].role"), message));
        }
    };
    let place = format!("messages[{i}].content");
    let content = match m.content {
        None => return Err(Failure::value(&place, format!("{place} is missing"))),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let mut all = String::new();
            for (j, part) in parts.into_iter().enumerate() {
                match (part.r#type.as_str(), part.text) {
                    ("text", Some(text)) => all += &text,
                    ("text", None) => return Err(Failure::value(&place, format!("{place}[{j}].text is missing"))),
                    (other, _) => {
                        let message = format!("{place}[{j}].type is {other:?}: only text is supported");
                        return Err(Failure::unsupported(&place, message));
                    }
                }
            }
            all
        }
    };
    Ok(Message::new(role, content))
}
