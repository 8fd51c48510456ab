//! Chat templates: a model's own Jinja program that lays out messages as the text it was trained on.
//!
//! A template behaves here as it does in Hugging Face `transformers`, whose `apply_chat_template`
//! defines the dialect: Jinja with `trim_blocks`, `lstrip_blocks` and loop controls, Python's string methods,
//! and the functions `raise_exception` and `strftime_now`. `tools` and `documents` are none.
//!
//! The rendered text often begins with the name of BOS; [`crate::tokenizer::Tokenizer::encode_chat`] turns
//! it into tokens with BOS counted once.

mod error;
mod jinja;
mod python;
mod source;
mod time;

pub use error::ChatError;
pub use logitree_core::run::Message;

use minijinja::{Environment, Value, context};
use std::path::Path;
use std::time::SystemTime;

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
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
        let environment = jinja::environment(source)?;
        let name = |name: Option<&str>| name.map(str::to_owned);
        Ok(ChatTemplate { environment, source: source.into(), bos: name(bos), eos: name(eos) })
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

    /// Lays out the messages; `add_generation_prompt` adds what comes before the answer.
    ///
    /// A template may ask for the date; it is today's in UTC.
    ///
    /// # Errors
    /// If the template refuses the messages or does not finish within its limits.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ChatError> {
        self.render_at(messages, add_generation_prompt, SystemTime::now())
    }

    /// The same at a given time, for results that do not depend on the day.
    ///
    /// # Errors
    /// Those of [`ChatTemplate::render`].
    pub fn render_at(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        now: SystemTime,
    ) -> Result<String, ChatError> {
        let text: usize = messages.iter().map(|m| m.role.len() + m.content.len()).sum();
        let context = context! {
            messages => messages,
            add_generation_prompt,
            // Templates ask `tools is not none`, which an undefined name would answer wrongly.
            tools => Value::from(()),
            documents => Value::from(()),
            strftime_now => time::strftime_now(now),
            // transformers leaves out the names of tokens that a model has not.
            bos_token => self.bos.as_deref().map_or(Value::UNDEFINED, Value::from),
            eos_token => self.eos.as_deref().map_or(Value::UNDEFINED, Value::from),
        };
        jinja::render(&self.environment, context, text)
    }
}

#[cfg(test)]
mod tests;
