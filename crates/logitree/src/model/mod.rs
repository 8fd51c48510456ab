//! Models: one in this process, one behind servers, or one of the caller's own.

mod conversation;
mod open;
mod record;
#[cfg(feature = "remote")]
mod servers;

pub use open::OpenOptions;
pub use record::{arithmetic_of, check_arithmetic};
#[cfg(feature = "remote")]
pub use servers::{ServerOptions, wobble, wobble_in_words};

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

/// A language model that is open, with the name that was used to open it. Clones share one model.
///
/// It is a [`LanguageModel`]: everything in `logitree_core` takes it.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    events: Arc<dyn Events>,
}

struct Inner {
    name: String,
    engine: Engine,
    /// The description for run files. It is made once: if the model's files are replaced later, the loaded model is
    /// still the old one.
    record: OnceLock<run::Model>,
}

/// What computes a model's answers.
// A program has few of these values, so the memory that the smaller variants leave unused does not matter.
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
    /// If the model does not exist, or cannot be fetched, read or run.
    pub fn open(name: &str) -> Result<Model> {
        OpenOptions::default().open(name)
    }

    fn new(name: String, engine: Engine, events: Arc<dyn Events>) -> Model {
        Model { inner: Arc::new(Inner { name, engine, record: OnceLock::new() }), events }
    }

    /// Wraps a language model of the caller's own. Any model with exact next-token distributions can be explored,
    /// recorded and verified. `record` is its description in run files; its `sha256` distinguishes it from other
    /// models.
    pub fn of(model: impl LanguageModel + 'static, record: run::Model, events: Arc<dyn Events>) -> Model {
        Model::new(record.name.clone(), Engine::Custom(Box::new(model), Box::new(record)), events)
    }

    /// The name that was used to open the model.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether this is the same open model, not only one of the same name.
    pub fn is(&self, other: &Model) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The listener of what is done with this model.
    pub fn events(&self) -> &dyn Events {
        &*self.events
    }

    /// The same open model for one piece of work with a listener of its own. (Servers go on to report to the listener that
    /// they were connected with.)
    pub fn heard_by(&self, events: Arc<dyn Events>) -> Model {
        Model { inner: self.inner.clone(), events }
    }

    fn language_model(&self) -> &dyn LanguageModel {
        match &self.inner.engine {
            Engine::Local(model) => model,
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => &remote.model,
            Engine::Custom(model, _) => &**model,
        }
    }

    /// Names of the engine and its arithmetic, for reports.
    pub fn engine(&self) -> String {
        match &self.inner.engine {
            Engine::Local(model) => model.engine(),
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => remote.engine(),
            Engine::Custom(_, record) => record.architecture.clone(),
        }
    }

    /// The model that runs in this process; `None` if it is behind servers or the caller's own.
    pub fn local(&self) -> Option<&LocalModel> {
        match &self.inner.engine {
            Engine::Local(model) => Some(model),
            _ => None,
        }
    }

    /// Takes over the token texts of a run that is continued: a server's tokens are known only from its earlier
    /// answers.
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

    /// Whether the model's distributions are exact.
    pub fn exactness(&self) -> Exactness {
        if self.is_remote() { Exactness::LowerBound } else { Exactness::Exact }
    }

    /// Whether the model is behind servers.
    fn is_remote(&self) -> bool {
        !matches!(self.inner.engine, Engine::Local(_) | Engine::Custom(..))
    }

    /// Refuses an operation that needs the tokens of a text, if the model is behind a server that does not tell them.
    ///
    /// # Errors
    /// If the model is behind such a server.
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

    /// Whether the model has a chat template for conversations.
    pub fn chats(&self) -> bool {
        match &self.inner.engine {
            Engine::Local(model) => model.chat_template(self.name()).is_ok(),
            #[cfg(feature = "remote")]
            Engine::Remote(remote) => remote.chats(),
            Engine::Custom(..) => false,
        }
    }

    /// The tokens of a conversation in the model's chat template, without BOS. `suffix` is appended to the template's
    /// text. The second value is the template's arguments, with the current date if the template asked for it.
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

    /// The tokens of a text, without BOS. With `special`, names of control tokens in the text become these tokens, and
    /// a BOS at its beginning is left out, because BOS is put before every text anyway.
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

    /// Names of control tokens in a text, each once, at most three.
    pub(crate) fn control_names(&self, text: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        // A text that cannot be tokenized has no names here; it is refused where it is used.
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

    /// The limits that the model sets to paths after a prompt of this many tokens.
    pub(crate) fn bounds(&self, prompt: usize) -> Bounds {
        let used = prompt + usize::from(self.is_remote());
        Bounds::new(self.end_tokens(), self.context_length(), used)
    }

    /// What is put before every text of this model, in words.
    pub fn front(&self) -> String {
        self.bos().map_or_else(|| "no BOS".into(), |id| format!("BOS {} in front", visible(&self.text(id))))
    }

    /// The text of a token; bytes that are not UTF-8 become replacement characters.
    pub fn text(&self, id: TokenId) -> String {
        decode([&self.token_bytes(id)[..]])
    }

    /// The text of tokens, leaving out special ones.
    pub fn text_of(&self, ids: impl IntoIterator<Item = TokenId>) -> String {
        let words = ids.into_iter().filter(|&id| !self.is_special(id));
        let words: Vec<_> = words.map(|id| self.token_bytes(id)).collect();
        decode(words.iter().map(|bytes| &bytes[..]))
    }

    /// A token as it is written in run files.
    pub fn token(&self, id: TokenId) -> Token {
        Token::new(id, &self.token_bytes(id))
    }
}

impl Model {
    /// Number of tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.language_model().vocab_size()
    }

    /// Length of the longest sequence that the model accepts, in tokens.
    pub fn context_length(&self) -> usize {
        self.language_model().context_length()
    }

    /// All tokens that end a generation.
    pub fn end_tokens(&self) -> &[TokenId] {
        self.language_model().end_tokens()
    }

    /// The token put before every text, if the model wants one.
    pub fn bos(&self) -> Option<TokenId> {
        self.language_model().bos()
    }

    /// The bytes of a token, which need not be UTF-8; of a special token, the bytes of its name.
    pub fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.language_model().token_bytes(id)
    }

    /// Whether the token is a control token rather than text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.language_model().is_special(id)
    }

    /// Splits a text into tokens, without BOS. With `parse_special`, names of special tokens in it become these
    /// tokens.
    ///
    /// # Errors
    /// If the tokenizer refuses the text, or a server does not answer.
    pub fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError> {
        self.language_model().tokenize(text, parse_special)
    }

    /// Opens an empty session, which holds a tree of token paths and evaluates them.
    ///
    /// # Errors
    /// If the engine cannot open one.
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
