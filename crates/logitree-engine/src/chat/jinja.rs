//! The Jinja environment of chat templates, and its limits.

use super::{ChatError, python};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use std::borrow::Cow;
use std::io::{self, Write};

/// Steps a template may take. A long chat under the longest known template needs some thousands.
const FUEL: u64 = 5_000_000;
/// Nesting of macros, includes and blocks.
const RECURSION: usize = 64;
/// Longest template that is compiled, in bytes; the longest known has 20 kB.
const LONGEST_SOURCE: usize = 1 << 20;
/// Output that a template may make of its own, in bytes.
const OWN_OUTPUT: usize = 1 << 20;
/// How often it may repeat what the messages say.
const REPEATS: usize = 16;

const NAME: &str = "chat template";

/// An environment that holds the compiled template.
pub(super) fn environment(source: &str) -> Result<Environment<'static>, ChatError> {
    if source.len() > LONGEST_SOURCE {
        return Err(ChatError::Syntax(format!("it has {} bytes, more than {LONGEST_SOURCE}", source.len())));
    }
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_recursion_limit(RECURSION);
    env.set_fuel(Some(FUEL));
    env.set_formatter(python::format);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("tojson", python::tojson);
    env.add_function("raise_exception", raise_exception);
    env.add_template_owned(NAME, without_generation_tags(source).into_owned())
        .map_err(|e| ChatError::Syntax(describe(&e)))?;
    Ok(env)
}

/// Renders the template; `text` is the length of the messages.
pub(super) fn render(env: &Environment<'_>, context: Value, text: usize) -> Result<String, ChatError> {
    let template = env.get_template(NAME).map_err(|e| ChatError::Failed(describe(&e)))?;
    let limit = text.saturating_mul(REPEATS).saturating_add(OWN_OUTPUT);
    let mut out = Limited { bytes: Vec::new(), limit, full: false };
    let result = template.render_captured_to(context, &mut out).map(drop);
    if out.full {
        return Err(ChatError::Stopped("it wrote far more than the messages hold"));
    }
    result.map_err(|e| failure(&e))?;
    String::from_utf8(out.bytes).map_err(|e| ChatError::Failed(e.to_string()))
}

/// A buffer that refuses to grow beyond a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template said through `raise_exception`, carried within the engine's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Rejection(String);

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()).with_source(Rejection(message.to_owned())))
}

fn failure(error: &Error) -> ChatError {
    if error.kind() == ErrorKind::OutOfFuel {
        return ChatError::Stopped("it took too many steps");
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = cause {
        if let Some(Rejection(message)) = e.downcast_ref() {
            return ChatError::Rejected(message.clone());
        }
        cause = e.source();
    }
    ChatError::Failed(describe(error))
}

/// Kind, detail and line, without the name of the template, which there is only one of.
fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

/// transformers adds a block tag, `{% generation %}`, that marks the assistant's words for training
/// and prints what is inside. To the same effect its tags become those of an `if true`.
fn without_generation_tags(source: &str) -> Cow<'_, str> {
    if !source.contains("endgeneration") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let word = tag[2..end].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        match word {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}
