//! Chat templates: a model's own Jinja program that lays out messages as the text it was trained on.
//!
//! A template behaves here as it does in Hugging Face `transformers`, whose `apply_chat_template`
//! defines the dialect: Jinja with `trim_blocks`, `lstrip_blocks` and loop controls, Python's string methods,
//! and the functions `raise_exception` and `strftime_now`. `tools` and `documents` are none unless they are given.
//!
//! Templates are programs of strangers. They run in an interpreter of our own, which bounds their time, memory and stack
//! within this process: see `jinja`.
//!
//! The rendered text often begins with the name of BOS; [`crate::tokenizer::Tokenizer::encode_chat`] turns
//! it into tokens with BOS counted once.

mod error;
mod jinja;
mod source;
mod time;

pub use error::ChatError;
pub use logitree_core::run::Message;

use jinja::{Fault, Kind, Template};
use serde_json::Value;
use std::path::Path;
use std::time::SystemTime;

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    source: String,
    bos: Option<String>,
    eos: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the names of those tokens, which templates write.
    ///
    /// # Errors
    /// If the template is not valid Jinja.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, ChatError> {
        let template = Template::compile(source)?;
        let name = |name: Option<&str>| name.map(str::to_owned);
        Ok(ChatTemplate { template, source: source.into(), bos: name(bos), eos: name(eos) })
    }

    /// The Jinja text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Compiles the template that a model has, if it has one; `model` is its name for the error.
    ///
    /// # Errors
    /// If there is none, or it is not valid Jinja.
    pub fn of_model(
        source: Option<&str>,
        model: &str,
        bos: Option<&str>,
        eos: Option<&str>,
    ) -> Result<Self, ChatError> {
        let source = source.ok_or_else(|| ChatError::Missing { model: model.to_owned() })?;
        ChatTemplate::new(source, bos, eos)
    }

    /// The template of a model folder: chat_template.jinja if it is there, else `chat_template` in
    /// tokenizer_config.json, else in chat_template.json. Where a file has several named templates,
    /// `default` is meant. BOS and EOS are those of tokenizer_config.json.
    ///
    /// # Errors
    /// If there is none, a file cannot be read, or the template is not valid Jinja.
    pub fn from_folder(folder: &Path) -> Result<Self, ChatError> {
        let config = crate::tokenizer::FolderConfig::read(folder)?;
        let source = source::of_folder(folder)?;
        let model = folder.display().to_string();
        ChatTemplate::of_model(source.as_deref(), &model, config.bos.as_deref(), config.eos.as_deref())
    }

    /// Lays out the messages; `arguments` are variables of the template, and `add_generation_prompt` adds what comes
    /// before the answer.
    ///
    /// A template may ask for the date: it is today's in UTC, or that of the argument [`DATE`].
    ///
    /// # Errors
    /// If the template refuses the messages, uses what is not supported, or does not finish within its limits; if an
    /// argument cannot be given.
    pub fn render(
        &self,
        messages: &[Message],
        arguments: &Arguments,
        add_generation_prompt: bool,
    ) -> Result<Rendered, ChatError> {
        let now = match arguments.get(DATE) {
            None => SystemTime::now(),
            Some(date) => date.as_str().and_then(time::parse).ok_or_else(|| ChatError::Argument {
                name: DATE.into(),
                problem: "it is the date that the template sees: give it as 2026-07-04 or 2026-07-04T12:30:00".into(),
            })?,
        };
        for taken in ["messages", "add_generation_prompt", "raise_exception"] {
            if arguments.contains_key(taken) {
                let problem = "it has its value from the conversation: leave it out".into();
                return Err(ChatError::Argument { name: taken.into(), problem });
            }
        }
        let message = |m: &Message| serde_json::json!({"role": m.role, "content": m.content});
        let mut variables: Vec<(&str, Value)> = vec![
            ("messages", Value::Array(messages.iter().map(message).collect())),
            ("add_generation_prompt", Value::Bool(add_generation_prompt)),
            // Templates ask `tools is not none`, which an undefined name would answer wrongly.
            ("tools", Value::Null),
            ("documents", Value::Null),
        ];
        // transformers leaves out the names of tokens that a model has not.
        let names = [("bos_token", &self.bos), ("eos_token", &self.eos)];
        variables.extend(names.iter().filter_map(|(name, text)| Some((*name, Value::from(text.as_deref()?)))));
        let given = arguments.iter().filter(|(name, _)| *name != DATE);
        variables.extend(given.map(|(name, value)| (name.as_str(), value.clone())));
        let text = messages.iter().map(|m| m.role.len() + m.content.len()).sum::<usize>();
        let text = text + Value::Object(arguments.clone()).to_string().len();
        let rendered = self.template.render(&variables, now, text)?;
        let mut arguments = arguments.clone();
        if rendered.asked_date && !arguments.contains_key(DATE) {
            arguments.insert(DATE.into(), time::print(now).into());
        }
        Ok(Rendered { text: rendered.text, arguments })
    }
}

/// Variables for a template: `enable_thinking`, `reasoning_effort` or whatever it asks for.
pub type Arguments = serde_json::Map<String, Value>;

/// The argument that pins the date which a template sees.
pub const DATE: &str = "strftime_now";

/// A conversation as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// What the model is to go on from.
    pub text: String,
    /// The arguments that lay it out so at any time: those that were given, and the date, if the template asked for it.
    pub arguments: Arguments,
}

impl From<Fault> for ChatError {
    fn from(fault: Fault) -> ChatError {
        let message = fault.describe();
        match fault.kind {
            Kind::Syntax => ChatError::Syntax(message),
            Kind::Failed => ChatError::Failed(message),
            Kind::Rejected => ChatError::Rejected(message),
            Kind::Stopped => ChatError::Stopped(message),
        }
    }
}

#[cfg(test)]
mod tests;
