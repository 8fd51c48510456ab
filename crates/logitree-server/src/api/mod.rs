//! The requests of logitree's own API. The OpenAPI document is generated from these functions.

pub mod compare;
pub mod decide;
pub mod files;
pub mod layers;
pub mod models;
pub mod nodes;
pub mod runs;
mod task;

use super::current::Loading;
use super::problem::{Body, Problem};
use super::store::{Info, Kind};
use super::worker::generate::Desk;
use super::worker::{Command, Shared};
use axum::Json;
use axum::extract::State;
use logitree::{Given, Model};
use logitree_core::TokenId;
use logitree_core::explore::Strategy;
use logitree_core::run::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

/// Largest prompt, in bytes.
const PROMPT: usize = 1 << 20;

/// What every request handler can use.
#[derive(Clone)]
pub struct App {
    pub shared: Arc<Shared>,
    pub commands: Sender<Command>,
    /// Where texts to generate are ordered.
    pub desk: Desk,
    /// Each task that takes long holds one of these permits until it has ended.
    pub tasks: Arc<Semaphore>,
    /// Becomes true when the server shuts down.
    pub closing: watch::Receiver<bool>,
}

type Answer<T> = Result<T, Problem>;

impl App {
    /// The model, for work that begins now.
    pub fn model(&self) -> Answer<Model> {
        if let Some(name) = self.shared.current.coming() {
            return Err(Problem::conflict(format!("{name} is being loaded: try again when it is there")));
        }
        let none = || Problem::conflict("no model is loaded: this server only shows files");
        self.shared.current.model().ok_or_else(none)
    }

    pub fn send(&self, command: Command) -> Answer<()> {
        self.commands.send(command).map_err(|_| Problem::internal("the engine has stopped: restart the server"))
    }

    fn run(&self, id: &str) -> Answer<Info> {
        let info = self.shared.store.get(id)?;
        if info.kind != Kind::Run {
            return Err(Problem::conflict("this is a file of records, not a run"));
        }
        Ok(info)
    }
}

/// Runs blocking work on a thread for such work, so that other requests do not wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?
}

/// The model that the server has loaded.
#[derive(Serialize, ToSchema)]
pub struct ModelInfo {
    pub name: String,
    /// The SHA-256 that this model's runs have as `model.sha256`: these runs can be continued here. Empty for servers
    /// that are used as engine.
    pub sha256: String,
    pub architecture: String,
    pub dtype: String,
    pub vocab: usize,
    pub context: usize,
    pub end_tokens: Vec<u32>,
    pub engine: String,
    /// Whether the model has a chat template.
    pub chat: bool,
    /// Whether the model runs in the server's process, so that its layers can be looked at.
    pub local: bool,
}

/// The server and its settings.
#[derive(Serialize, ToSchema)]
pub struct ServerInfo {
    pub version: String,
    /// The model; absent if the server only shows files.
    pub model: Option<ModelInfo>,
    /// Whether another model can be loaded.
    pub can_choose: bool,
    /// How the loading of another model gets on, or why it failed; absent if none was asked for, or it is there.
    pub loading: Option<Loading>,
    /// Number of texts that are generated for the OpenAI-compatible API, or wait.
    pub generating: usize,
    /// Every strategy with its default parameters.
    #[schema(value_type = Object)]
    pub strategies: Map<String, Value>,
}

/// The server and its model
#[utoipa::path(get, path = "/api/v1/server", responses((status = 200, body = ServerInfo), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub async fn server(State(app): State<App>) -> Answer<Json<ServerInfo>> {
    let mut known = Map::new();
    for name in Strategy::NAMES {
        let default = Strategy::named(name).map_err(Problem::internal)?;
        known.insert(name.into(), Value::Object(default.parameters()));
    }
    let model = |model: &Model| {
        let record = model.record()?;
        Ok::<_, Problem>(ModelInfo {
            name: record.name,
            sha256: record.sha256,
            architecture: record.architecture,
            dtype: record.dtype,
            vocab: record.vocab,
            context: record.context,
            end_tokens: record.end_tokens.iter().map(|t| t.0).collect(),
            engine: model.engine(),
            chat: model.chats(),
            local: model.local().is_some(),
        })
    };
    let model = app.shared.current.model().as_ref().map(model).transpose()?;
    Ok(Json(ServerInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        model,
        can_choose: app.shared.current.can_choose(),
        loading: app.shared.current.loading(),
        generating: app.desk.taken(),
        strategies: known,
    }))
}

/// A prompt to convert to tokens.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    /// A plain text.
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
}

/// A message of a conversation.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// `system`, `user` or `assistant`, as far as the chat template knows them.
    pub role: String,
    #[schema(min_length = 1)]
    pub content: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct TokenInfo {
    pub id: u32,
    pub text: String,
    /// Whether the token is a control token rather than text.
    pub special: bool,
}

impl TokenInfo {
    fn of(model: &Model, id: TokenId) -> TokenInfo {
        TokenInfo { id: id.0, text: model.text(id), special: model.is_special(id) }
    }
}

/// A name for people, without control characters and characters that change the direction of text.
fn clean(name: &str) -> String {
    let acts = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars().filter(|&c| !acts(c)).collect()
}

/// Refuses a text that cannot be used in a request; `place` is the name of its field.
fn check_text(text: &str, place: &str) -> Answer<()> {
    if text.is_empty() {
        return Err(Problem::bad(format!("{place} is empty")));
    }
    match text.find('\0') {
        Some(at) => Err(Problem::bad(format!("{place} has a NUL character at byte {at}: is it text?"))),
        None => Ok(()),
    }
}

fn given(
    prompt: Option<String>,
    messages: Option<Vec<MessageRequest>>,
    arguments: Map<String, Value>,
) -> Answer<Given> {
    let given = match (prompt, messages) {
        (Some(_), None) if !arguments.is_empty() => {
            return Err(Problem::bad("`chat_template_kwargs` is for `messages`: leave it out with `prompt`"));
        }
        (Some(text), None) => Given::Text(text),
        (None, Some(m)) => Given::Chat(m.into_iter().map(|m| Message::new(m.role, m.content)).collect(), arguments),
        _ => return Err(Problem::bad("give either `prompt` or `messages`")),
    };
    let length = match &given {
        Given::Text(text) | Given::Special(text) => {
            check_text(text, "`prompt`")?;
            text.len()
        }
        Given::Chat(messages, _) => {
            for (i, m) in messages.iter().enumerate() {
                check_text(&m.content, &format!("`messages[{i}].content`"))?;
            }
            messages.iter().map(|m| m.content.len()).sum()
        }
    };
    if length > PROMPT {
        return Err(Problem::bad(format!("the prompt is longer than {PROMPT} bytes")));
    }
    Ok(given)
}

/// The exact tokens that a prompt becomes
#[utoipa::path(post, path = "/api/v1/tokenize", request_body = PromptRequest, responses(
    (status = 200, body = Vec<TokenInfo>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn tokenize(State(app): State<App>, Body(request): Body<PromptRequest>) -> Answer<Json<Vec<TokenInfo>>> {
    blocking(move || {
        let model = app.model()?;
        let given = given(request.prompt, request.messages, request.chat_template_kwargs)?;
        let prepared = model.prepare(&given, "")?;
        Ok(Json(prepared.tokens.iter().map(|&id| TokenInfo::of(&model, id)).collect()))
    })
    .await
}
