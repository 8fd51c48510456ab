//! The model's own chat template.

use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Instructions a template may run: a bound on hostile ones, thousands of times what real ones need.
const FUEL: u64 = 5_000_000;
/// Nesting of macros and includes.
const RECURSION: usize = 64;

/// Why a chat cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template does not parse.
    #[error("the model's chat template is not valid: {0}")]
    Template(String),
    /// The template refused the messages, or failed.
    #[error("the model's chat template failed: {0}")]
    Render(String),
    /// A file of the template cannot be read.
    #[error("{0}")]
    Read(String),
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// A chat template with the texts of the tokens it may name.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// The template of open weights, if there is one.
    pub fn open(weights: &Weights, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, ChatError> {
        let source = match (weights.gguf(), weights.folder()) {
            (Some(g), _) => g.str("tokenizer.chat_template").map(str::to_string),
            (None, Some(folder)) => from_folder(folder)?,
            (None, None) => None,
        };
        let [bos, eos] = tokenizer.bos_eos_text();
        source.map(|s| ChatTemplate::new(&s, &bos, &eos)).transpose()
    }

    /// A template from its Jinja source.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate, ChatError> {
        let mut environment = Environment::new();
        // As transformers sets them.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_recursion_limit(RECURSION);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", strftime_now);
        // Python's json.dumps does not escape for HTML, which is what Jinja's own filter does.
        environment.add_filter("tojson", |value: minijinja::Value, options: Kwargs| -> Result<String, Error> {
            let indent: Option<usize> = options.get("indent")?;
            let json = match indent {
                Some(_) => serde_json::to_string_pretty(&value),
                None => serde_json::to_string(&value),
            };
            json.map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
        });
        environment.add_template_owned(NAME, source.to_string()).map_err(|e| ChatError::Template(format!("{e:#}")))?;
        Ok(ChatTemplate { environment, bos: bos.into(), eos: eos.into() })
    }

    /// The text of a chat; with `generate`, up to where the model speaks.
    pub fn render(&self, messages: &[Message], generate: bool) -> Result<String, ChatError> {
        let failed = |e: Error| ChatError::Render(format!("{e:#}"));
        let template = self.environment.get_template(NAME).map_err(failed)?;
        template
            .render(context! {
                messages,
                add_generation_prompt => generate,
                bos_token => self.bos,
                eos_token => self.eos,
            })
            .map_err(failed)
    }
}

/// Today by strftime's rules, for the few codes that templates use.
fn strftime_now(format: &str) -> Result<String, Error> {
    let now = time::OffsetDateTime::now_local().unwrap_or_else(|_| time::OffsetDateTime::now_utc());
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let month = now.month().to_string();
        out.push_str(&match chars.next() {
            Some('Y') => format!("{:04}", now.year()),
            Some('m') => format!("{:02}", u8::from(now.month())),
            Some('d') => format!("{:02}", now.day()),
            Some('b') => month[..3].to_string(),
            Some('B') => month,
            Some('A') => now.weekday().to_string(),
            Some('a') => now.weekday().to_string()[..3].to_string(),
            Some('H') => format!("{:02}", now.hour()),
            Some('M') => format!("{:02}", now.minute()),
            Some('S') => format!("{:02}", now.second()),
            Some('%') => "%".into(),
            other => {
                let what = format!("strftime_now does not know %{}", other.unwrap_or(' '));
                return Err(Error::new(ErrorKind::InvalidOperation, what));
            }
        });
    }
    Ok(out)
}

/// `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`: a string, or a list of
/// named ones of which `default` counts.
fn from_folder(folder: &std::path::Path) -> Result<Option<String>, ChatError> {
    let read = |name: &str| {
        let path = folder.join(name);
        if !path.exists() {
            return Ok(None);
        }
        std::fs::read_to_string(&path).map(Some).map_err(|e| ChatError::Read(format!("{}: {e}", path.display())))
    };
    if let Some(source) = read("chat_template.jinja")? {
        return Ok(Some(source));
    }
    let Some(text) = read("tokenizer_config.json")? else { return Ok(None) };
    let json: Value = serde_json::from_str(&text)
        .map_err(|e| ChatError::Read(format!("{}/tokenizer_config.json: {e}", folder.display())))?;
    Ok(match json.get("chat_template") {
        Some(Value::String(source)) => Some(source.clone()),
        Some(Value::Array(named)) => named
            .iter()
            .find(|t| t.get("name").and_then(Value::as_str) == Some("default"))
            .or(named.first())
            .and_then(|t| t.get("template")?.as_str())
            .map(str::to_string),
        _ => None,
    })
}
