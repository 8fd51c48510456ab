//! Chat templates. A chat template is a Jinja program that comes with a model and renders messages as the text format
//! that the model was trained on.
//!
//! A template gives the same text here as in Hugging Face `transformers`, whose `apply_chat_template` defines the
//! dialect: Jinja with `trim_blocks`, `lstrip_blocks` and loop controls, Python's string methods, and the functions
//! `raise_exception` and `strftime_now`. The variables `tools` and `documents` are none unless the caller gives them.
//!
//! A template is a program from an untrusted source. It runs in an interpreter of this crate, which bounds its time,
//! memory and stack within this process: see `jinja`.
//!
//! The rendered text often begins with the name of the BOS token. [`crate::tokenizer::Tokenizer::encode_chat`] turns
//! the text into tokens and takes care that BOS is not there twice.

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
    /// Compiles a template. `bos` and `eos` are the names of these tokens, which templates write into the text.
    ///
    /// # Errors
    /// If the template is not valid Jinja.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, ChatError> {
        let template = Template::compile(source)?;
        let name = |name: Option<&str>| name.map(str::to_owned);
        Ok(ChatTemplate { template, source: source.into(), bos: name(bos), eos: name(eos) })
    }

    /// The source of the template.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Compiles a model's template, if it has one; `model` is the model's name for the error.
    ///
    /// # Errors
    /// If the model has no template, or the template is not valid Jinja.
    pub fn of_model(
        source: Option<&str>,
        model: &str,
        bos: Option<&str>,
        eos: Option<&str>,
    ) -> Result<Self, ChatError> {
        let source = source.ok_or_else(|| ChatError::Missing { model: model.to_owned() })?;
        ChatTemplate::new(source, bos, eos)
    }

    /// Reads the template of a model folder: from chat_template.jinja if it exists, else from `chat_template` in
    /// tokenizer_config.json, else from chat_template.json. If a file has several named templates, the one named
    /// `default` is used. The names of BOS and EOS come from tokenizer_config.json.
    ///
    /// # Errors
    /// If the folder has no template, a file cannot be read, or the template is not valid Jinja.
    pub fn from_folder(folder: &Path) -> Result<Self, ChatError> {
        let config = crate::tokenizer::FolderConfig::read(folder)?;
        let source = source::of_folder(folder)?;
        let model = folder.display().to_string();
        ChatTemplate::of_model(source.as_deref(), &model, config.bos.as_deref(), config.eos.as_deref())
    }

    /// Renders the messages as text. `arguments` become variables of the template. `add_generation_prompt` asks the
    /// template to add the beginning of the model's answer.
    ///
    /// If the template asks for the date, it gets today's date in UTC, or the argument [`DATE`] if that is given.
    ///
    /// # Errors
    /// If the template refuses the messages, uses an unsupported feature, or exceeds its limits; or if an argument is
    /// not allowed.
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
            // Templates test `tools is not none`, which is true for an undefined name, so the variables must be defined
            // as none.
            ("tools", Value::Null),
            ("documents", Value::Null),
        ];
        // As in transformers, the variable of a token that the model does not have is not defined.
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

/// Variables for a template, such as `enable_thinking` or `reasoning_effort`.
pub type Arguments = serde_json::Map<String, Value>;

/// The argument that sets the date for the template, instead of today's.
pub const DATE: &str = "strftime_now";

/// A rendered conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The text that the model continues.
    pub text: String,
    /// Arguments that give the same text at any time: those that the caller gave, and the date, if the template asked
    /// for it.
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
