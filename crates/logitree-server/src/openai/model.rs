//! The model that the OpenAI-compatible API serves.

use super::error::{ErrorShape, Failure};
use crate::api::App;
use axum::Json;
use axum::extract::{Path, State};
use logitree::Model;
use logitree_core::TokenId;
use logitree_engine::LocalModel;
use logitree_engine::tokenizer::Span;
use serde::Serialize;
use std::sync::OnceLock;
use std::time::SystemTime;
use utoipa::ToSchema;

/// The model and the id under which it is served.
pub struct Served<'a> {
    pub id: String,
    pub model: &'a Model,
    pub local: &'a LocalModel,
}

impl<'a> Served<'a> {
    /// The model of the app, if it can be served.
    pub fn of(model: &'a Model) -> Result<Served<'a>, Failure> {
        let local = model.local().ok_or_else(|| {
            Failure::no_model(format!("{} is behind a server already: send this request to that server", model.name()))
        })?;
        Ok(Served { id: id(model.name()), model, local })
    }

    /// Refuses a request for another model.
    pub fn check_name(&self, name: Option<&str>) -> Result<(), Failure> {
        match name {
            Some(name) if name != self.id && name != self.model.name() => {
                Err(Failure::no_model(format!("there is no model {name:?} here: this server has {:?}", self.id)))
            }
            _ => Ok(()),
        }
    }

    /// The tokens of a text; names of special tokens become these tokens. With `bos`, there is one BOS in front if the
    /// model wants it.
    pub fn tokens(&self, text: &str, bos: bool) -> Result<Vec<TokenId>, Failure> {
        Ok(self.spans(text, bos)?.into_iter().map(|s| s.token).collect())
    }

    /// The same tokens, with the number of characters of the text that each one stands for: 0 for a BOS that was
    /// added.
    pub fn spans(&self, text: &str, bos: bool) -> Result<Vec<Span>, Failure> {
        let tokenizer = self
            .local
            .tokenizer()
            .ok_or_else(|| Failure::unsupported("prompt", "this model has no tokenizer: give prompts as token ids"))?;
        let mut spans = tokenizer.encode_spans(text, true).map_err(|e| Failure::value("prompt", e.to_string()))?;
        if let Some(bos) = self.model.bos().filter(|_| bos) {
            let there = spans.iter().take_while(|s| s.token == bos).count();
            let chars = spans[..there].iter().map(|s| s.chars).sum();
            spans.splice(..there, [Span { token: bos, chars }]);
        }
        Ok(spans)
    }

    /// The bytes of each token in the decoded text; special tokens are written by name.
    pub fn decode(&self, ids: &[TokenId]) -> Vec<&'a [u8]> {
        self.local.tokenizer().map_or(vec![&[][..]; ids.len()], |t| t.decode(ids))
    }
}

/// The id of a model: a known name unchanged; of a path, the last part without `.gguf`.
fn id(name: &str) -> String {
    let last = std::path::Path::new(name).file_name().map_or(name.into(), |n| n.to_string_lossy());
    last.strip_suffix(".gguf").unwrap_or(&last).to_owned()
}

/// The model that is loaded.
fn current(app: &App) -> Result<Model, Failure> {
    let model = app.shared.current.model();
    model.ok_or_else(|| Failure::no_model("no model is loaded: this server only shows files"))
}

/// Runs work with the model that takes time on a thread for blocking work.
pub async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(Served<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let model = current(app)?;
    tokio::task::spawn_blocking(move || work(Served::of(&model)?)).await.map_err(Failure::internal)?
}

/// A model of the list.
#[derive(Serialize, ToSchema)]
pub struct ModelCard {
    pub id: String,
    pub object: &'static str,
    /// When the server was started, in seconds since 1970.
    pub created: u64,
    pub owned_by: &'static str,
    /// Tokens of prompt and answer together.
    pub max_model_len: usize,
}

/// The list of models.
#[derive(Serialize, ToSchema)]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<ModelCard>,
}

fn card(served: &Served<'_>) -> ModelCard {
    static STARTED: OnceLock<u64> = OnceLock::new();
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    ModelCard {
        id: served.id.clone(),
        object: "model",
        created: *STARTED.get_or_init(now),
        owned_by: "logitree",
        max_model_len: served.model.context_length(),
    }
}

/// The model that is served, as a list
#[utoipa::path(get, path = "/v1/models", responses((status = 200, body = ModelList), (status = "4XX", body = ErrorShape)))]
pub async fn list(State(app): State<App>) -> Json<ModelList> {
    let data = current(&app).iter().flat_map(Served::of).map(|served| card(&served)).collect();
    Json(ModelList { object: "list", data })
}

/// The model that is served
#[utoipa::path(get, path = "/v1/models/{id}", params(("id" = String, Path, description = "Id of the model")),
    responses((status = 200, body = ModelCard), (status = "4XX", body = ErrorShape)))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Json<ModelCard>, Failure> {
    let model = current(&app)?;
    let served = Served::of(&model)?;
    served.check_name(Some(&id))?;
    Ok(Json(card(&served)))
}
