//! Servers instead of a model in this process. The model's tokenizer may be on this machine.

use super::conversation::lay_out;
use crate::error::{Context, Error, ErrorKind, Result, fail};
use crate::events::Events;
use crate::models;
use logitree_core::end_tokens::union;
use logitree_core::run::{self, Message, REMOTE};
use logitree_core::wobble::{self, Wobble};
use logitree_core::{LanguageModel, TokenId};
use logitree_engine::chat::{Arguments, ChatTemplate};
use logitree_engine::tokenizer::Tokenizer;
use logitree_engine::tokenizer_of;
use logitree_engine::weights::Weights;
use logitree_remote::{ConnectOptions, RemoteError, RemoteModel, ServerKind, Vocabulary};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How servers are used instead of a model in this process.
#[derive(Clone)]
pub struct ServerOptions {
    /// Addresses of the servers; requests are spread over all of them.
    pub urls: Vec<String>,
    /// The kind of the servers; detected if `None`.
    pub kind: Option<ServerKind>,
    /// Name of the model on the servers; the first that they serve if `None`.
    pub model: Option<String>,
    /// API key for the servers.
    pub key: Option<String>,
    /// Number of prompts sent to a server at the same time; twice the number that it processes at once if `None`.
    pub concurrency: Option<usize>,
    /// Largest number of tokens listed per step. More tokens give tighter bounds but slower answers.
    pub list: usize,
    /// Time after which a request is repeated.
    pub deadline: Duration,
    /// Name of a model on this machine with the same tokenizer; if `None`, the servers are asked for tokens.
    pub tokenizer: Option<String>,
    /// Tokens that end a generation, by id or name, instead of those that were detected.
    pub end_tokens: Vec<String>,
    /// Whether to measure, when the model is opened, how much the servers' numbers vary ([`wobble()`]). The result is part
    /// of [`Model::engine`], and so in the header of every run.
    ///
    /// [`Model::engine`]: crate::Model::engine
    pub wobble: bool,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            urls: Vec::new(),
            kind: None,
            model: None,
            key: None,
            concurrency: None,
            list: 100,
            deadline: Duration::from_secs(120),
            tokenizer: None,
            end_tokens: Vec::new(),
            wobble: false,
        }
    }
}

/// Texts on which servers are measured.
const SAMPLES: [&str; 8] = [
    "The capital of India is",
    "Once upon a time, in a village by the sea, there lived",
    "def fibonacci(n):\n    if n < 2:\n        return",
    "The three largest countries by area are Russia, Canada and",
    "Der Zug nach Hamburg hat heute leider",
    "Water boils at 100 degrees, and it freezes at",
    "She opened the letter, read it twice, and",
    "1, 1, 2, 3, 5, 8, 13,",
];

/// Measures how much the numbers of a model depend on what it does at the same time and has in its cache.
///
/// # Errors
/// If the model cannot read the sample texts, or fails.
pub fn wobble(model: &dyn LanguageModel, list: usize) -> Result<Vec<Wobble>> {
    let tokens = |text: &&str| {
        let text = model.tokenize(text, false)?;
        Ok(model.bos().into_iter().chain(text).collect())
    };
    let prompts = SAMPLES.iter().map(tokens).collect::<Result<Vec<Vec<TokenId>>>>()?;
    Ok(wobble::measure(model, &prompts, list)?)
}

/// The result of [`wobble()`] in a few words: `the same numbers alone, in a batch and cached`, or by how much they differ.
pub fn wobble_in_words(measured: &[Wobble]) -> String {
    let largest = measured.iter().map(|w| w.largest).fold(0.0, f64::max);
    let flips: usize = measured.iter().map(|w| w.flips).sum();
    let all: usize = measured.iter().map(|w| w.distributions).sum();
    if largest == 0.0 && flips == 0 {
        return "the same numbers alone, in a batch and cached".into();
    }
    format!("numbers vary by up to {largest:.2e} nats, the most likely token in {flips} of {all} repetitions")
}

impl ServerOptions {
    /// Asks the servers what they are and which functions they have, without opening their model.
    ///
    /// # Errors
    /// If the servers do not answer, or the tokenizer cannot be read.
    pub fn probe(&self, events: &Arc<dyn Events>) -> Result<RemoteModel> {
        RemoteModel::connect(self.client(events)?.0).map_err(at_start)
    }

    /// The options of the connection, and the tokenizer of this machine, if one is named.
    fn client(&self, events: &Arc<dyn Events>) -> Result<(ConnectOptions, Option<Arc<Words>>)> {
        let words = self.tokenizer.as_deref().map(|spec| Words::open(spec, events)).transpose()?.map(Arc::new);
        let vocabulary = words.clone().map(|w| Box::new(w) as Box<dyn Vocabulary>);
        let (asked, told) = (events.clone(), events.clone());
        let options = ConnectOptions {
            urls: self.urls.clone(),
            kind: self.kind,
            model: self.model.clone(),
            key: self.key.clone(),
            concurrency: self.concurrency,
            list: self.list,
            deadline: self.deadline,
            vocabulary,
            interrupted: Arc::new(move || asked.stop()),
            note: Box::new(move |text| told.note(text)),
        };
        Ok((options, words))
    }
}

/// A model behind servers, with its tokenizer if that is on this machine.
pub(super) struct Remote {
    pub model: RemoteModel,
    words: Option<Arc<Words>>,
    /// How much its numbers vary, in words, if that was asked for.
    wobble: Option<String>,
}

/// A tokenizer without its model.
struct Words {
    tokenizer: Tokenizer,
    end_tokens: Vec<TokenId>,
    template: Result<ChatTemplate, String>,
}

/// Adds advice to the error when a server does not answer at the start.
fn at_start(e: RemoteError) -> Error {
    match e {
        RemoteError::Unreachable(why) => {
            let message = format!("{why}; is the server running, and is this its address?");
            Error::new(ErrorKind::Network, message)
        }
        other => other.into(),
    }
}

impl Remote {
    pub fn connect(servers: &ServerOptions, events: &Arc<dyn Events>) -> Result<Remote> {
        let (options, words) = servers.client(events)?;
        let mut model = RemoteModel::connect(options).map_err(at_start)?;
        if !servers.end_tokens.is_empty() {
            let id = |text: &String| {
                let known = text.parse().ok().map(TokenId).or_else(|| match model.tokenize(text, true).as_deref() {
                    Ok(&[one]) => Some(one),
                    _ => None,
                });
                known.ok_or_else(|| {
                    let message = format!("`end_token` {text:?} is neither an id nor the name of one token");
                    Error::new(ErrorKind::Parameter("end_token"), message)
                })
            };
            let ids = servers.end_tokens.iter().map(id).collect::<Result<_, _>>()?;
            model.set_end_tokens(ids);
        }
        let p = &model.probes()[0];
        if !p.kind.takes_ids() {
            let one = if model.splits_text() { "" } else { "; the prompt counts as one token" };
            events.note(&format!(
                "{} takes and gives tokens as text only: a path that it reads otherwise is marked{one}",
                p.url
            ));
        }
        if !p.raw {
            events.note(&format!(
                "{} lists what its sampler made of the distribution; it is asked to change nothing",
                p.url
            ));
        }
        let wobble = if servers.wobble {
            let measured = wobble_in_words(&wobble(&model, servers.list)?);
            events.note(&format!("{}: {measured}", p.url));
            Some(measured)
        } else {
            None
        };
        Ok(Remote { model, words, wobble })
    }

    /// The engine's name for reports, with how much its numbers vary if that was measured.
    pub fn engine(&self) -> String {
        let wobble = self.wobble.iter().map(|w| format!("; {w}"));
        self.model.engine() + &wobble.collect::<String>()
    }

    pub fn chats(&self) -> bool {
        match &self.words {
            Some(words) => words.template.is_ok(),
            None => self.model.chat(&[Message::new("user", "a")]).is_ok(),
        }
    }

    pub fn lay_out(
        &self,
        messages: &[Message],
        arguments: &Arguments,
        suffix: &str,
    ) -> Result<(Vec<TokenId>, Arguments)> {
        if let Some(words) = &self.words {
            let template = match &words.template {
                Ok(template) => template,
                Err(e) => fail!(Unsupported, "the tokenizer's chat template: {e}"),
            };
            return lay_out(template, &words.tokenizer, messages, arguments, suffix);
        }
        if !arguments.is_empty() {
            fail!(
                Parameter("template_arg"),
                "`template_arg` needs the chat template here, and the server has it: name the model's tokenizer with `tokenizer`"
            );
        }
        let mut ids = self.model.chat(messages)?;
        ids.extend(self.model.tokenize(suffix, false)?);
        Ok((ids, Arguments::new()))
    }

    pub fn record(&self, name: &str) -> run::Model {
        let model = &self.model;
        let probe = &model.probes()[0];
        let identity = format!("{} {} {}", probe.kind, probe.model, model.vocab_size());
        run::Model {
            name: name.into(),
            sha256: models::sha256_of(identity.as_bytes()),
            architecture: REMOTE.into(),
            dtype: "the server's".into(),
            tokenizer: model.tokenizer().into(),
            tokenizer_sha256: None,
            vocab: model.told_vocab().unwrap_or(0),
            context: model.context_length(),
            end_tokens: model.end_tokens().to_vec(),
            arithmetic: None,
            summation_orders: Vec::new(),
        }
    }
}

impl Words {
    /// Opens the tokenizer of a model: of a GGUF file, or of a folder, which need not contain weights.
    fn open(spec: &str, events: &Arc<dyn Events>) -> Result<Words> {
        let path = models::resolve(spec, models::Extent::Tokenizer, events);
        let path = path.with_context(|| format!("`tokenizer` {spec}"))?;
        let mut words = Words::read(spec, &path).with_context(|| format!("`tokenizer` {spec}"))?;
        words.end_tokens = union(words.end_tokens.into_iter().chain(words.tokenizer.end_tokens()));
        words.end_tokens.retain(|t| t.index() < words.tokenizer.vocab_size());
        Ok(words)
    }

    fn read(spec: &str, path: &Path) -> Result<Words> {
        if path.is_dir() {
            let tokenizer = Tokenizer::from_folder(path)?;
            let end_tokens = logitree_engine::config::end_tokens_of(path)?;
            let template = ChatTemplate::from_folder(path).map_err(|e| e.to_string());
            return Ok(Words { tokenizer, end_tokens, template });
        }
        let weights = Weights::open(path)?;
        let tokenizer = tokenizer_of(&weights)?;
        let source = weights.gguf().and_then(|g| g.str("tokenizer.chat_template"));
        let names = (tokenizer.bos_name(), tokenizer.eos_name());
        let template = ChatTemplate::of_model(source, spec, names.0.as_deref(), names.1.as_deref());
        let template = template.map_err(|e| e.to_string());
        Ok(Words { end_tokens: weights.end_tokens()?, template, tokenizer })
    }
}

impl Vocabulary for Words {
    fn size(&self) -> Option<usize> {
        Some(self.tokenizer.vocab_size())
    }
    fn kind(&self) -> &str {
        self.tokenizer.kind()
    }
    fn bos(&self) -> Option<TokenId> {
        self.tokenizer.bos()
    }
    fn end_tokens(&self) -> Vec<TokenId> {
        self.end_tokens.clone()
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        self.tokenizer.token_bytes(id)
    }
    fn is_special(&self, id: TokenId) -> bool {
        self.tokenizer.is_special(id)
    }
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, String> {
        self.tokenizer.encode(text, parse_special).map_err(|e| e.to_string())
    }
}
