//! What answers: a model in this process, or servers.

use crate::cli::{ModelOptions, RemoteOptions, UsageError, usage};
use crate::{message, models, terminal};
use anyhow::{Context, Result, bail};
use logitree_core::run::{self, Message, REMOTE, Run};
use logitree_core::{Exactness, LanguageModel, TokenId};
use logitree_engine::chat::{Arguments, ChatError, ChatTemplate};
use logitree_engine::tokenizer::Tokenizer;
use logitree_engine::weights::Weights;
use logitree_engine::{Arithmetic, LocalModel, tokenizer_of};
use logitree_remote::{Options, RemoteError, RemoteModel, Vocabulary};
use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A model and what runs it.
// There is one of these in a program: what its smaller variant leaves unused does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Engine {
    Local(LocalModel),
    Remote(Remote),
}

/// A model behind servers, with its tokenizer, if that is here.
pub struct Remote {
    model: RemoteModel,
    words: Option<Arc<Words>>,
}

/// A tokenizer without its model.
pub struct Words {
    tokenizer: Tokenizer,
    end_tokens: Vec<TokenId>,
    template: Result<ChatTemplate, String>,
}

impl Deref for Engine {
    type Target = dyn LanguageModel;

    fn deref(&self) -> &Self::Target {
        match self {
            Engine::Local(model) => model,
            Engine::Remote(remote) => &remote.model,
        }
    }
}

impl Remote {
    /// The model's name at the servers.
    pub fn name(&self) -> &str {
        self.model.name()
    }
}

impl Engine {
    /// The engine and its arithmetic, for reports.
    pub fn engine(&self) -> String {
        match self {
            Engine::Local(model) => model.engine(),
            Engine::Remote(remote) => remote.model.engine(),
        }
    }

    /// The model in this process, for what only that can do.
    pub fn local(&self) -> Result<&LocalModel> {
        match self {
            Engine::Local(model) => Ok(model),
            Engine::Remote(_) => bail!("this needs a model in this process: leave out --engine"),
        }
    }

    /// Takes over the texts of a run that is to be gone on with: a server's tokens are known by what was seen of them.
    pub fn learn(&self, run: &Run) -> Result<()> {
        match self {
            Engine::Local(_) => Ok(()),
            Engine::Remote(remote) => Ok(remote.model.learn(run.texts.iter().map(|(&id, bytes)| (id, &bytes[..])))?),
        }
    }

    /// What is known of its distributions.
    pub fn exactness(&self) -> Exactness {
        match self {
            Engine::Local(_) => Exactness::Exact,
            Engine::Remote(_) => Exactness::LowerBound,
        }
    }

    /// Refuses what needs the tokens of a text, where a server takes texts and does not tell their tokens.
    pub fn need_tokens(&self, what: &str) -> Result<()> {
        match self {
            Engine::Remote(remote) if !remote.model.splits_text() => bail!(
                "{what} needs the tokens of its text, and {} takes texts and does not tell their tokens: use vLLM, \
                 SGLang or llama-server",
                remote.name()
            ),
            _ => Ok(()),
        }
    }

    /// Whether conversations can be laid out.
    pub fn chats(&self, name: &str) -> bool {
        match self {
            Engine::Local(model) => model.chat_template(name).is_ok(),
            Engine::Remote(Remote { words: Some(words), .. }) => words.template.is_ok(),
            Engine::Remote(remote) => remote.model.chat(&[Message::new("user", "a")]).is_ok(),
        }
    }

    /// The tokens of a conversation in the model's chat template, without BOS; `suffix` goes behind what it wrote.
    /// Beside them, the template's arguments with the date that it saw, if it asked for it.
    pub fn chat(
        &self,
        name: &str,
        messages: &[Message],
        arguments: &Arguments,
        suffix: &str,
    ) -> Result<(Vec<TokenId>, Arguments)> {
        let lay_out = |template: &ChatTemplate, tokenizer: &Tokenizer| {
            let rendered = template.render(messages, arguments, true).map_err(|e| match e {
                ChatError::Argument { .. } => anyhow::Error::from(UsageError(e.to_string())),
                e => e.into(),
            })?;
            Ok((tokenizer.encode_chat(&(rendered.text + suffix))?, rendered.arguments))
        };
        match self {
            Engine::Local(model) => {
                let template = model.chat_template(name).context("the chat template")?;
                lay_out(template, model.tokenizer().context("the model has no tokenizer")?)
            }
            Engine::Remote(Remote { words: Some(words), .. }) => {
                let template =
                    words.template.as_ref().map_err(|e| anyhow::anyhow!("the tokenizer's chat template: {e}"))?;
                lay_out(template, &words.tokenizer)
            }
            Engine::Remote(Remote { model, words: None }) => {
                if !arguments.is_empty() {
                    bail!(
                        "--template-arg needs the chat template here, and the server has it: name the model's \
                         tokenizer with --tokenizer"
                    );
                }
                let mut ids = model.chat(messages)?;
                ids.extend(model.tokenize(suffix, false)?);
                Ok((ids, Arguments::new()))
            }
        }
    }

    /// The model's record in a run file. A server's weights cannot be seen: the hash is of what it says it is.
    pub fn record(&self, name: &str) -> Result<run::Model> {
        let model = match self {
            Engine::Local(model) => model,
            Engine::Remote(Remote { model, .. }) => {
                let probe = &model.probes()[0];
                let identity = format!("{} {} {}", probe.kind, probe.model, model.vocab_size());
                return Ok(run::Model {
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
                });
            }
        };
        let weights = model.weights();
        let tokenizer = weights.path().join("tokenizer.json");
        let own_tokenizer = weights.gguf().is_none() && tokenizer.is_file();
        Ok(run::Model {
            name: name.into(),
            sha256: models::weights_sha256(weights),
            architecture: model.config().architecture.clone(),
            dtype: weights.quantisation(),
            tokenizer: model.tokenizer().map_or("none", |t| t.kind()).into(),
            tokenizer_sha256: if own_tokenizer { Some(models::sha256(&tokenizer)?) } else { None },
            vocab: model.vocab_size(),
            context: model.context_length(),
            end_tokens: model.end_tokens().to_vec(),
            arithmetic: match model.arithmetic() {
                Arithmetic::F32 => None,
                other => Some(other.name().into()),
            },
        })
    }
}

/// Refuses options that would do nothing.
pub fn check_options(options: &ModelOptions) -> Result<()> {
    let r = &options.remote;
    let given = [
        ("--engine-kind", r.engine_kind.0.is_some()),
        ("--engine-model", r.engine_model.is_some()),
        ("--api-key-env", r.api_key_env.is_some()),
        ("--concurrency", r.concurrency.is_some()),
        ("--tokenizer", r.tokenizer.is_some()),
        ("--end-token", !r.end_tokens.is_empty()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given && r.engines.is_empty()) {
        usage!("{name} is about servers: name one with --engine");
    }
    if !r.engines.is_empty() && options.model != models::DEFAULT {
        usage!(
            "-m {} names a model for this process: with --engine, name the server's with --engine-model",
            options.model
        );
    }
    if !r.engines.is_empty()
        && (options.threads.is_some() || options.backend.is_some() || options.arithmetic.asked().is_some())
    {
        usage!(
            "--threads, --backend, --arithmetic and --fast are about a model in this process: leave them out with --engine"
        );
    }
    Ok(())
}

/// How servers are to be asked.
pub fn options(remote: &RemoteOptions) -> Result<(Options, Option<Arc<Words>>)> {
    let key = |name: &String| {
        let key = std::env::var(name).ok().filter(|k| !k.trim().is_empty());
        key.map(|k| k.trim().to_owned())
            .ok_or_else(|| UsageError(format!("--api-key-env {name}: the variable is not set")))
    };
    let words = remote.tokenizer.as_deref().map(words).transpose()?.map(Arc::new);
    let vocabulary = words.clone().map(|w| Box::new(w) as Box<dyn Vocabulary>);
    let options = Options {
        urls: remote.engines.clone(),
        kind: remote.engine_kind.0,
        model: remote.engine_model.clone(),
        key: remote.api_key_env.as_ref().map(key).transpose()?,
        concurrency: remote.concurrency,
        list: remote.engine_top,
        deadline: Duration::from_secs(remote.request_timeout),
        vocabulary,
        interrupted: terminal::interrupted,
        note: Box::new(|text| message::note(text)),
    };
    Ok((options, words))
}

/// What to try when a server does not answer at the start.
pub fn at_start(e: RemoteError) -> anyhow::Error {
    match e {
        RemoteError::Unreachable(why) => anyhow::anyhow!("{why}; is the server running, and is this its address?"),
        other => other.into(),
    }
}

/// Asks the servers of the options what they are.
pub fn connect(remote: &RemoteOptions) -> Result<Remote> {
    let (options, words) = options(remote)?;
    let mut model = RemoteModel::connect(options).map_err(at_start)?;
    if !remote.end_tokens.is_empty() {
        let id = |text: &String| {
            let known = text.parse().ok().map(TokenId).or_else(|| match model.tokenize(text, true).as_deref() {
                Ok(&[one]) => Some(one),
                _ => None,
            });
            known.ok_or_else(|| UsageError(format!("--end-token {text:?} is neither an id nor the name of one token")))
        };
        let ids = remote.end_tokens.iter().map(id).collect::<Result<_, _>>()?;
        model.set_end_tokens(ids);
    }
    let p = &model.probes()[0];
    if !p.kind.takes_ids() {
        let one = if model.splits_text() { "" } else { "; the prompt counts as one token" };
        message::note(format_args!(
            "{} takes and gives tokens as text only: a path that it reads otherwise is marked{one}",
            p.url
        ));
    }
    if !p.raw {
        message::note(format_args!(
            "{} lists what its sampler made of the distribution; it is asked to change nothing",
            p.url
        ));
    }
    Ok(Remote { model, words })
}

/// Refuses to go on with servers where a model in this process had begun, and the other way round.
pub fn check_kind(file: &Path, recorded: &run::Model, remote: &RemoteOptions) -> Result<()> {
    match (recorded.architecture == REMOTE, remote.engines.is_empty()) {
        (true, true) => bail!("{} was made with servers: name one with --engine", file.display()),
        (false, false) => bail!("{} was made with a model in this process: leave out --engine", file.display()),
        _ => Ok(()),
    }
}

/// The arithmetic in which a run was made; none if servers made it.
pub fn arithmetic_of(file: &Path, recorded: &run::Model) -> Result<Option<Arithmetic>> {
    if recorded.architecture == REMOTE {
        return Ok(None);
    }
    let name = recorded.arithmetic.as_deref().unwrap_or(Arithmetic::F32.name());
    let unknown = || format!("{} was made with {name} activations, which this version does not know", file.display());
    name.parse().map(Some).with_context(unknown)
}

/// Refuses to go on with a run in another arithmetic than it was made in.
pub fn check_arithmetic(file: &Path, recorded: &run::Model, asked: Arithmetic) -> Result<()> {
    let Some(made_in) = arithmetic_of(file, recorded)?.filter(|&made_in| made_in != asked) else { return Ok(()) };
    let (was, is, file) = (made_in.name(), asked.name(), file.display());
    bail!("{file} was made with {was} activations, and this model runs with {is} ones: start with --arithmetic {was}")
}

/// The tokenizer of a model: of a GGUF file, or of a folder, which needs no weights.
fn words(spec: &str) -> Result<Words> {
    let path = models::resolve(spec, models::Extent::Tokenizer).with_context(|| format!("--tokenizer {spec}"))?;
    let read = |path: &Path| -> Result<Words> {
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
    };
    let mut words = read(&path).with_context(|| format!("--tokenizer {spec}"))?;
    words.end_tokens.extend(words.tokenizer.end_tokens());
    words.end_tokens.retain(|t| t.index() < words.tokenizer.vocab_size());
    words.end_tokens.sort_unstable();
    words.end_tokens.dedup();
    Ok(words)
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
