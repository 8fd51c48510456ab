//! What answers: a model in this process, or servers in its place.

mod conversation;
mod open;
mod record;
#[cfg(feature = "remote")]
mod servers;

pub use open::OpenOptions;
pub use record::{arithmetic_of, check_arithmetic};
#[cfg(feature = "remote")]
pub use servers::ServerOptions;

use crate::error::{Context, Result, fail};
use crate::events::Events;
use crate::visible::visible;
use conversation::lay_out;
use logitree_core::run::{self, Message, Run, Token};
use logitree_core::token::decode;
use logitree_core::{Bounds, Exactness, LanguageModel, ModelError, Session, TokenId};
use logitree_engine::LocalModel;
use logitree_engine::chat::Arguments;
#[cfg(feature = "remote")]
use servers::Remote;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// A language model that is ready to answer, with the name it was asked for by. Copies share one model.
///
/// It is a [`LanguageModel`]: everything in `logitree_core` takes it.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    engine: Engine,
    events: Arc<dyn Events>,
    /// Made once: files may be replaced while the model is used, which changes nothing of what was loaded.
    record: OnceLock<run::Model>,
}

/// What runs a model.
// There are few of these in a program: what the smaller variant leaves unused does not matter.
#[allow(clippy::large_enum_variant)]
enum Engine {
    Local(LocalModel),
    #[cfg(feature = "remote")]
    Remote(Remote),
    Custom(Box<dyn LanguageModel>, Box<run::Model>),
}

impl Model {
    /// Opens a model with default [`OpenOptions`]: a known name (fetched if it is not here), a GGUF file, a folder with
    /// safetensors, or a model of the Hugging Face Hub.
    ///
    /// # Errors
    /// If there is no such model, or it cannot be fetched, read or run.
    pub fn open(name: &str) -> Result<Model> {
        OpenOptions::default().open(name)
    }

    fn new(name: String, engine: Engine, events: Arc<dyn Events>) -> Model {
        Model { inner: Arc::new(Inner { name, engine, events, record: OnceLock::new() }) }
    }

    /// A language model of the caller's own: whatever gives exact next-token distributions can be explored, recorded and
    /// verified. `record` is what run files say of it; its `sha256` tells it from others.
    pub fn of(model: impl LanguageModel + 'static, record: run::Model, events: Arc<dyn Events>) -> Model {
        Model::new(record.name.clone(), Engine::Custom(Box::new(model), Box::new(record)), events)
    }

    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Who listens to what is done with it.
    pub fn events(&self) -> &dyn Events {
        &*self.inner.events
    }

    fn language_model(&self) -> &dyn LanguageModel {
        match &self.inner.engine {
            Engine::Local(model) => model,
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => &remote.model,
            Engine::Custom(model, _) => &**model,
        }
    }

    /// The engine and its arithmetic, for reports.
    pub fn engine(&self) -> String {
        match &self.inner.engine {
            Engine::Local(model) => model.engine(),
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => remote.model.engine(),
            Engine::Custom(_, record) => record.architecture.clone(),
        }
    }

    /// The model that this process runs; `None` if servers answer in its place, or a model of the caller's own.
    pub fn local(&self) -> Option<&LocalModel> {
        match &self.inner.engine {
            Engine::Local(model) => Some(model),
            _ => None,
        }
    }

    /// Takes over the texts of a run that is to be gone on with: a server's tokens are known by what was seen of them.
    pub(crate) fn learn(&self, run: &Run) -> Result<()> {
        match &self.inner.engine {
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => Ok(remote.model.learn(run.texts.iter().map(|(&id, bytes)| (id, &bytes[..])))?),
            _ => {
                let _ = run;
                Ok(())
            }
        }
    }

    /// What is known of its distributions.
    pub fn exactness(&self) -> Exactness {
        if self.is_remote() { Exactness::LowerBound } else { Exactness::Exact }
    }

    /// Whether servers answer.
    fn is_remote(&self) -> bool {
        !matches!(self.inner.engine, Engine::Local(_) | Engine::Custom(..))
    }

    /// Refuses what needs the tokens of a text, where a server takes texts and does not tell their tokens.
    ///
    /// # Errors
    /// If this model is behind such a server.
    pub fn need_tokens(&self, what: &str) -> Result<()> {
        match &self.inner.engine {
            #[cfg(feature = "remote")]
            Engine::Remote(remote) if !remote.model.splits_text() => fail!(
                Unsupported,
                "{what} needs the tokens of its text, and {} takes texts and does not tell their tokens: use vLLM, \
                 SGLang or llama-server",
                remote.model.name()
            ),
            _ => {
                let _ = what;
                Ok(())
            }
        }
    }

    /// Whether conversations can be laid out.
    pub fn chats(&self) -> bool {
        match &self.inner.engine {
            Engine::Local(model) => model.chat_template(self.name()).is_ok(),
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => remote.chats(),
            Engine::Custom(..) => false,
        }
    }

    /// The tokens of a conversation in the model's chat template, without BOS; `suffix` goes behind what it wrote.
    /// Beside them, the template's arguments with the date that it saw, if it asked for it.
    ///
    /// # Errors
    /// If there is no template, or it does not accept these messages or arguments.
    pub(crate) fn lay_out(
        &self,
        messages: &[Message],
        arguments: &Arguments,
        suffix: &str,
    ) -> Result<(Vec<TokenId>, Arguments)> {
        match &self.inner.engine {
            Engine::Local(model) => {
                let template = model.chat_template(self.name()).context("the chat template")?;
                let tokenizer = model.tokenizer().context("the model has no tokenizer")?;
                lay_out(template, tokenizer, messages, arguments, suffix)
            }
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => remote.lay_out(messages, arguments, suffix),
            Engine::Custom(..) => {
                fail!(Unsupported, "{} has no chat template: give the text as a plain prompt", self.name())
            }
        }
    }

    /// Tokens of a text without BOS. With `special`, names of control tokens in it are these tokens, and a BOS that it
    /// begins with is left out, as it stands in front of every text anyway.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn body(&self, text: &str, special: bool) -> Result<Vec<TokenId>> {
        let mut ids = self.tokenize(text, special)?;
        if let Some(bos) = self.bos().filter(|_| special) {
            let there = ids.iter().take_while(|&&id| id == bos).count();
            ids.drain(..there);
        }
        Ok(ids)
    }

    /// Names of control tokens that a text has, each once, at most three.
    pub(crate) fn control_names(&self, text: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        // A text that cannot be split is refused where it is used.
        let [letters, tokens] = [false, true].map(|special| self.tokenize(text, special).unwrap_or_default());
        if letters == tokens {
            return names;
        }
        for name in tokens.into_iter().filter(|&id| self.is_special(id)).map(|id| self.text(id)) {
            if names.len() < 3 && !names.contains(&name) && text.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the model imposes on paths behind a prompt of so many tokens.
    pub(crate) fn bounds(&self, prompt: usize) -> Bounds {
        let used = prompt + usize::from(self.is_remote());
        Bounds::new(self.end_tokens(), self.context_length(), used)
    }

    /// What stands before every text of this model, in words.
    pub fn front(&self) -> String {
        self.bos().map_or_else(|| "no BOS".into(), |id| format!("BOS {} in front", visible(&self.text(id))))
    }

    /// Text of a token; bytes that are no UTF-8 become replacement characters.
    pub fn text(&self, id: TokenId) -> String {
        decode([&self.token_bytes(id)[..]])
    }

    /// Text of tokens, without special ones.
    pub fn text_of(&self, ids: impl IntoIterator<Item = TokenId>) -> String {
        let words = ids.into_iter().filter(|&id| !self.is_special(id));
        let words: Vec<_> = words.map(|id| self.token_bytes(id)).collect();
        decode(words.iter().map(|bytes| &bytes[..]))
    }

    /// A token as run files have it.
    pub fn token(&self, id: TokenId) -> Token {
        Token::new(id, &self.token_bytes(id))
    }
}

impl Model {
    /// Number of tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.language_model().vocab_size()
    }

    /// Longest sequence, in tokens, that the model was made for.
    pub fn context_length(&self) -> usize {
        self.language_model().context_length()
    }

    /// Every token that ends a generation.
    pub fn end_tokens(&self) -> &[TokenId] {
        self.language_model().end_tokens()
    }

    /// The token put before every text, if the model wants one.
    pub fn bos(&self) -> Option<TokenId> {
        self.language_model().bos()
    }

    /// Raw bytes of a token, which need not be UTF-8; a special token gives the bytes of its name.
    pub fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.language_model().token_bytes(id)
    }

    /// Whether the token is a control token rather than text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.language_model().is_special(id)
    }

    /// Splits text into tokens, without BOS. With `parse_special`, names of special tokens in it are these tokens.
    ///
    /// # Errors
    /// If the tokenizer refuses the text, or a server does not answer.
    pub fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError> {
        self.language_model().tokenize(text, parse_special)
    }

    /// Opens an empty session: a tree of token paths, and the means to evaluate it.
    ///
    /// # Errors
    /// If the engine cannot give one.
    pub fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        self.language_model().session()
    }
}

impl LanguageModel for Model {
    fn vocab_size(&self) -> usize {
        self.vocab_size()
    }
    fn context_length(&self) -> usize {
        self.context_length()
    }
    fn end_tokens(&self) -> &[TokenId] {
        self.end_tokens()
    }
    fn bos(&self) -> Option<TokenId> {
        self.bos()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.token_bytes(id)
    }
    fn is_special(&self, id: TokenId) -> bool {
        self.is_special(id)
    }
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError> {
        self.tokenize(text, parse_special)
    }
    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        self.session()
    }
}
