//! `/v1/completions`: continues texts.

use super::echo::Prompted;
use super::error::{ErrorShape, Failure, Input};
use super::model::{Served, blocking};
use super::reply::Reply;
use super::request::Settings;
use super::shapes::{Answer, Prompt, Request};
use super::stream::{self, Order};
use crate::api::App;
use crate::sse::ServerSentEvent;
use crate::worker::generate::Task;
use axum::extract::State;
use axum::response::Response;
use logitree_core::TokenId;

/// Number of tokens that may be generated if the request does not say.
const MAX_TOKENS: usize = 16;
/// Largest number of texts of one request.
const TEXTS: usize = 256;
/// Largest number of listed tokens in one answer, which makes some hundred megabytes of JSON.
const ENTRIES: usize = 4_000_000;

/// Completes texts
#[utoipa::path(post, path = "/v1/completions", request_body(content = Request, example = json!({"prompt": "The capital of India is", "max_tokens": 5, "logprobs": 2, "stream": true})), responses(
    (status = 200, content((Answer = "application/json"), (ServerSentEvent = "text/event-stream"))),
    (status = "4XX", body = ErrorShape)))]
pub async fn completions(State(app): State<App>, Input(request): Input<Request>) -> Result<Response, Failure> {
    let order = blocking(&app, move |served| {
        served.check_name(request.model.as_deref())?;
        let settings = Settings::of(&request, false)?;
        let add_bos = request.add_special_tokens.unwrap_or(true);
        let prompt = request.prompt.ok_or_else(|| Failure::value("prompt", "prompt is missing"))?;
        let prompts = prompts(&served, prompt, add_bos)?;
        let room = if settings.unlimited { served.model.context_length() } else { MAX_TOKENS };
        let max_tokens = settings.max_tokens.unwrap_or(room);
        order(&served, false, settings, max_tokens, prompts)
    });
    let order = order.await?;
    stream::answer(app, order).await
}

/// Converts the prompts of a request to tokens.
fn prompts(served: &Served<'_>, prompt: Prompt, add_bos: bool) -> Result<Vec<Prompted>, Failure> {
    let vocab = served.model.vocab_size();
    let text = |text: String| {
        let spans = served.spans(&text, add_bos)?;
        Ok(Prompted::of_text(text, spans))
    };
    let ids = |ids: Vec<u32>| {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            let message = format!("prompt: token id {id} is not in the vocabulary of {vocab} tokens");
            return Err(Failure::value("prompt", message));
        }
        Ok(Prompted::of_ids(ids.into_iter().map(TokenId).collect(), served))
    };
    match prompt {
        Prompt::Text(t) => Ok(vec![text(t)?]),
        Prompt::Texts(t) => t.into_iter().map(text).collect(),
        Prompt::Ids(i) => Ok(vec![ids(i)?]),
        Prompt::Lists(l) => l.into_iter().map(ids).collect(),
    }
}

/// Checks that the engine can do what is asked, and makes the order for it.
pub fn order(
    served: &Served<'_>,
    chat: bool,
    mut settings: Settings,
    max_tokens: usize,
    prompts: Vec<Prompted>,
) -> Result<Order, Failure> {
    let param = if chat { "messages" } else { "prompt" };
    let (n, limit) = (settings.n, served.model.context_length());
    if prompts.is_empty() || prompts.len() * n > TEXTS {
        let message = format!("{} prompts with n = {n}: 1 to {TEXTS} texts are generated per request", prompts.len());
        return Err(Failure::value(param, message));
    }
    let mut entries = 0;
    for p in &prompts {
        let len = p.ids.len();
        if len == 0 {
            // If the model has BOS, an empty text still has one token, unless the request declined BOS.
            let message = match served.model.bos() {
                None => "the prompt has no tokens, and this model has no BOS: give it one at least".into(),
                Some(bos) => format!(
                    "the prompt has no tokens: token ids, and texts without add_special_tokens, are taken as they are; \
                     give BOS ([{bos}]) at least"
                ),
            };
            return Err(Failure::value(param, message));
        }
        // The number of tokens that was asked for must fit the context. A default is reduced to fit, but to no less
        // than one token.
        let wanted = settings.max_tokens.unwrap_or(1);
        if len.saturating_add(wanted) > limit {
            let message = format!(
                "the model's context is {limit} tokens, but the prompt has {len} and {wanted} are to be generated: shorten the \
                 prompt or lower max_tokens"
            );
            return Err(Failure::context(param, message));
        }
        let scored = max_tokens.min(limit - len) + if settings.echo { len } else { 0 };
        entries += n * scored * settings.lists.map_or(0, |k| k + 1);
        entries += n * len * settings.prompt_lists.map_or(0, |k| k + 1);
    }
    if entries > ENTRIES {
        let message = format!(
            "{entries} listed tokens would be too many for one answer: lower max_tokens, n or the number of listed tokens"
        );
        return Err(Failure::value("logprobs", message));
    }
    settings.options.max_tokens = max_tokens;
    let task = |index: usize| {
        let seed = settings.seed.wrapping_add((index % n) as u64);
        Task { index, prompt: prompts[index / n].ids.clone(), seed }
    };
    let tasks = (0..prompts.len() * n).map(task).collect();
    let options = settings.options.clone();
    Ok(Order {
        model: served.model.clone(),
        options,
        tasks,
        reply: Reply::new(chat, settings, prompts, served.id.clone()),
    })
}
