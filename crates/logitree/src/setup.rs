//! From options to a loaded model and the tokens of a prompt.

use crate::cli::{FormOptions, ModelOptions, TemplateArg, UsageError};
use crate::engine::{self, Engine};
use crate::input::check_text;
use crate::message;
use crate::models;
use crate::visible::visible;
use anyhow::{Context, Result, bail};
use logitree_core::run::{self, Message, Token};
use logitree_core::{Bounds, TokenId};
use logitree_engine::chat::{self, Arguments};
use logitree_engine::{Arithmetic, Backend, Compute, LocalModel};
use std::path::Path;
use std::sync::OnceLock;

/// A model with the name it was asked for by.
pub struct Loaded {
    pub name: String,
    pub model: Engine,
    /// Made once: files may be replaced while the model is used, which changes nothing of what was loaded.
    record: OnceLock<run::Model>,
}

/// Loads the model of the options, or asks the servers that stand for it.
pub fn load(options: &ModelOptions) -> Result<Loaded> {
    engine::check_options(options)?;
    if !options.remote.engines.is_empty() {
        let model = engine::connect(&options.remote)?;
        return Ok(Loaded { name: model.name().into(), model: Engine::Remote(model), record: OnceLock::new() });
    }
    let path = models::resolve(&options.model, models::Extent::Whole)?;
    let backend = match &options.backend {
        None => Backend::detect(),
        Some(name) => {
            let all = Backend::available();
            let names: Vec<&str> = all.iter().map(|b| b.name()).collect();
            let found = all.iter().find(|b| b.name() == name);
            *found.ok_or_else(|| UsageError(format!("--backend {name}: this CPU has {}", names.join(", "))))?
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let arithmetic = options.arithmetic.asked().unwrap_or(backend.arithmetic());
    let compute = Compute::new(backend, options.threads.map_or(cores, usize::from)).with(arithmetic).with_context(|| {
        format!(
            "8-bit activations need a CPU with VNNI: with {} alone, exact arithmetic is as fast; leave out --fast, or ask for another --arithmetic",
            backend.name()
        )
    })?;
    let model = LocalModel::load(&path, compute).with_context(|| format!("cannot load {}", options.model))?;
    if arithmetic == Arithmetic::Bits8 && model.arithmetic() != arithmetic {
        let dtype = model.weights().quantisation();
        bail!(
            "8-bit activations are for quantised weights, and {} has none ({dtype}): leave out --fast, or ask for another --arithmetic",
            options.model
        );
    }
    model.notes().iter().for_each(message::note);
    Ok(Loaded { name: options.model.clone(), model: Engine::Local(model), record: OnceLock::new() })
}

/// A run was made by another model than the one that is loaded.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {fix}")]
pub struct OtherModel {
    /// How they differ.
    pub what: String,
    /// What to do about it on the command line. A server's clients cannot.
    fix: String,
}

impl Loaded {
    /// The model's record in a run file.
    pub fn record(&self) -> Result<run::Model> {
        if let Some(record) = self.record.get() {
            return Ok(record.clone());
        }
        let record = self.model.record(&self.name)?;
        Ok(self.record.get_or_init(|| record).clone())
    }

    /// Refuses to go on with, or to compare, what another model made.
    ///
    /// # Errors
    /// [`OtherModel`], or that the weights cannot be read.
    pub fn check_made(&self, file: &Path, recorded: &run::Model) -> Result<()> {
        let now = self.record()?;
        let file = file.display();
        if recorded.sha256 != now.sha256 {
            let what = format!("{file} was made with other weights (sha256 {}, not {})", recorded.sha256, now.sha256);
            return Err(OtherModel { what, fix: "name the right model with --model".into() }.into());
        }
        if recorded.arithmetic != now.arithmetic {
            let [was, is] = [recorded, &now].map(|m| m.arithmetic.as_deref().unwrap_or(Arithmetic::F32.name()));
            let what = format!("{file} was made with {was} activations, and this model runs with {is} ones");
            return Err(OtherModel { what, fix: format!("start with --arithmetic {was}") }.into());
        }
        let kind = |m: &run::Model| (m.vocab, m.tokenizer.clone(), m.tokenizer_sha256.clone());
        if kind(recorded) != kind(&now) {
            let what = format!(
                "{file} was made with another tokenizer ({}, {} tokens; this is {}, {}, with another content or size)",
                recorded.tokenizer, recorded.vocab, now.tokenizer, now.vocab
            );
            return Err(OtherModel { what, fix: "name the right model with --model".into() }.into());
        }
        Ok(())
    }

    /// Tokens of a text without BOS. With `special`, names of control tokens in it are these tokens, and a BOS that it
    /// begins with is left out, as it stands in front of every text anyway.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn body(&self, text: &str, special: bool) -> Result<Vec<TokenId>> {
        let mut ids = self.model.tokenize(text, special)?;
        if let Some(bos) = self.model.bos().filter(|_| special) {
            let there = ids.iter().take_while(|&&id| id == bos).count();
            ids.drain(..there);
        }
        Ok(ids)
    }

    /// Names of control tokens that a text has, each once, at most three.
    pub fn control_names(&self, text: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        // A text that cannot be split is refused where it is used.
        let [letters, tokens] = [false, true].map(|special| self.model.tokenize(text, special).unwrap_or_default());
        if letters == tokens {
            return names;
        }
        for name in tokens.into_iter().filter(|&id| self.model.is_special(id)).map(|id| self.text(id)) {
            if names.len() < 3 && !names.contains(&name) && text.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the model imposes on paths behind a prompt of so many tokens.
    pub fn bounds(&self, prompt: usize) -> Bounds {
        let used = prompt + usize::from(matches!(self.model, Engine::Remote(_)));
        Bounds::new(self.model.end_tokens(), self.model.context_length(), used)
    }

    /// What stands before every text of this model, in words.
    pub fn front(&self) -> String {
        self.model.bos().map_or_else(|| "no BOS".into(), |id| format!("BOS {} in front", visible(&self.text(id))))
    }

    /// Text of a token.
    pub fn text(&self, id: TokenId) -> String {
        String::from_utf8_lossy(&self.model.token_bytes(id)).into_owned()
    }

    /// A token as run files have it.
    pub fn token(&self, id: TokenId) -> Token {
        Token::new(id, &self.model.token_bytes(id))
    }
}

/// What the model is to go on from, as the user gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum Given {
    /// A text as it is: names of control tokens in it are letters.
    Text(String),
    /// A text in which names of control tokens, such as `<start_of_turn>`, are these tokens.
    Special(String),
    /// A conversation, for the model's chat template.
    Chat(Vec<Message>, Arguments),
}

impl Given {
    /// A text, or a conversation of one message by the user.
    pub fn new(text: &str, form: &FormOptions) -> Given {
        match form {
            FormOptions { chat: false, special: false, .. } => Given::Text(text.into()),
            FormOptions { chat: false, special: true, .. } => Given::Special(text.into()),
            FormOptions { system, template_args, .. } => {
                let system = system.iter().map(|s| Message::new("system", s));
                let arguments = template_args.iter().map(|TemplateArg(name, value)| (name.clone(), value.clone()));
                Given::Chat(system.chain([Message::new("user", text)]).collect(), arguments.collect())
            }
        }
    }

    /// Whether a run was given this; the date that its template saw counts only if one is asked for.
    pub fn is_of(&self, prompt: &run::Prompt) -> bool {
        match (self, Given::of(prompt)) {
            (Given::Chat(messages, arguments), Given::Chat(recorded, mut seen)) => {
                if !arguments.contains_key(chat::DATE) {
                    seen.remove(chat::DATE);
                }
                *messages == recorded && *arguments == seen
            }
            (given, recorded) => *given == recorded,
        }
    }

    /// What a run was given.
    pub fn of(prompt: &run::Prompt) -> Given {
        match prompt {
            run::Prompt { chat: true, messages, template_args, .. } => {
                Given::Chat(messages.clone(), template_args.clone())
            }
            run::Prompt { special: true, text, .. } => Given::Special(text.clone()),
            run::Prompt { text, .. } => Given::Text(text.clone()),
        }
    }
}

/// A prompt ready to run.
pub struct Prepared {
    /// What the user says, of a conversation the last message.
    pub text: String,
    pub tokens: Vec<TokenId>,
    pub bos: bool,
    /// Whether names of control tokens in the text were taken as these tokens.
    pub special: bool,
    /// The conversation, if it is one.
    pub messages: Vec<Message>,
    /// The arguments for its template, with the date that it saw, if it asked for it.
    pub template_args: Arguments,
}

/// Tokens of a prompt, in the chat template if asked for, with BOS if the model wants it; `suffix` goes
/// behind what the template wrote. The prompt is taken as it is: [`crate::input::text_argument`] has read it.
///
/// # Errors
/// If the prompt is empty, is no text, or does not fit the model's context, or the tokenizer or the template fails.
pub fn prepare(loaded: &Loaded, given: Given, suffix: &str) -> Result<Prepared> {
    let model = &loaded.model;
    let bos = model.bos();
    let special = matches!(given, Given::Special(_));
    let (text, body, messages, template_args) = match given {
        Given::Text(text) | Given::Special(text) => {
            check_text(&text, "PROMPT")?;
            let body = loaded.body(&format!("{text}{suffix}"), special)?;
            (text, body, Vec::new(), Arguments::new())
        }
        Given::Chat(messages, arguments) => {
            for m in &messages {
                check_text(&m.content, &format!("the {} message", m.role))?;
            }
            let last = messages.last().filter(|m| m.role == "user");
            let last = last.context("a conversation must end with what the user says")?;
            let (body, arguments) = model.chat(&loaded.name, &messages, &arguments, suffix)?;
            (last.content.clone(), body, messages, arguments)
        }
    };
    let tokens: Vec<TokenId> = bos.into_iter().chain(body).collect();
    if tokens.len() > model.context_length() {
        let (n, limit) = (tokens.len(), model.context_length());
        bail!("the prompt has {n} tokens but the model's context is {limit}: shorten it");
    }
    Ok(Prepared { text, tokens, bos: bos.is_some(), special, messages, template_args })
}

/// Says what became of names of control tokens in a prompt, if it has any.
pub fn note_names(loaded: &Loaded, given: &Given, suffix: &str) {
    let (texts, taken) = match given {
        Given::Special(_) => return,
        Given::Text(text) => (format!("{text}{suffix}"), false),
        Given::Chat(messages, _) => (messages.iter().map(|m| &m.content[..]).collect::<Vec<_>>().join("\n"), true),
    };
    let names = loaded.control_names(&texts);
    if names.is_empty() {
        return;
    }
    let names = names.join(", ");
    message::note(if taken {
        format!("the prompt names control tokens ({names}): with --chat they are these tokens")
    } else {
        format!("the text names control tokens ({names}), which are taken as letters: --special takes them as tokens")
    });
}

/// Strings to watch as tokens; none may be empty.
pub fn watch(loaded: &Loaded, texts: &[String]) -> Result<Vec<run::Watch>> {
    let watch = |text: &String| {
        check_text(text, "--watch")?;
        // A special token's name means that token.
        let ids = loaded.model.tokenize(text, true)?;
        if ids.is_empty() {
            bail!("--watch {text:?} is nothing in this model's vocabulary");
        }
        Ok(run::Watch { text: text.clone(), tokens: ids.into_iter().map(|id| loaded.token(id)).collect() })
    };
    texts.iter().map(watch).collect()
}

/// Ids of watched strings.
pub fn watched_ids(watch: &[run::Watch]) -> Vec<Vec<TokenId>> {
    watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect()
}

/// The moment, RFC 3339.
pub fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok().and_then(|t| t.format(format).ok()).unwrap_or_default()
}
