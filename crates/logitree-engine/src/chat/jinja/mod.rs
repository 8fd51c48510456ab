//! An interpreter for Jinja as chat templates use it, with Python's values and strict limits.
//!
//! A chat template is an untrusted program, written for Jinja2 in Python. A general template engine does not give these
//! two guarantees, which are the reason for this interpreter:
//!
//! * **The output is exactly Jinja2's** within transformers' `ImmutableSandboxedEnvironment`, or there is an error that
//!   names the unsupported feature. Values are Python's: they print as `str` and `repr` do, floats round half to even,
//!   `tojson` is `json.dumps`.
//! * **Rendering ends**, with bounded memory and stack, on every platform and in any process. The source's length, its
//!   nesting and the chains of its expressions are limited at compilation. At run time every step, and every byte that
//!   is made or read, is counted *before* it is spent, and the count never goes down, so one number bounds time and
//!   memory. Values cannot contain themselves and nest up to a limit; calls nest up to a limit, on a stack that is
//!   large enough for it.
//!
//! A template passes through [`lex`], then [`parse`] and [`statements`], which make the tree of [`ast`]; [`run`] and
//! [`eval`] execute the tree on [`value`]s.

mod ast;
mod builtins;
mod checks;
mod eval;
mod fault;
mod filters;
mod globals;
mod lex;
mod methods;
mod ops;
mod parse;
mod printf;
mod run;
mod seq;
mod sort;
mod statements;
mod text;
mod value;

pub(super) use fault::{Fault, Kind};

use ast::Node;
use fault::{Outcome, failed, syntax};
use run::Run;
use std::time::SystemTime;
use value::Value;

/// Largest accepted source in bytes. The longest known template has about 30 kB.
const LONGEST_SOURCE: usize = 256 << 10;
/// Units (bytes and steps) that every template may spend: about 256 MB, or some seconds.
const OWN_UNITS: u64 = 256 << 20;
/// Additional units for every byte of the messages and arguments.
const UNITS_PER_BYTE: u64 = 64;
/// Upper limit of the units, however long the messages are.
const MOST_UNITS: u64 = 1 << 30;
/// Bytes of output that every template may write.
const OWN_OUTPUT: usize = 1 << 20;
/// Additional bytes of output for every byte of the messages and arguments.
const REPEATS: usize = 16;
/// Bytes of the stack on which a template is compiled and run. The system allocates only the part that is used.
const STACK: usize = 64 << 20;

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    nodes: Vec<Node>,
}

/// The result of a rendering.
pub(super) struct Rendered {
    pub text: String,
    /// Whether the template asked for the date.
    pub asked_date: bool,
}

/// Runs `work` on a thread whose stack is large enough for the limits on nesting.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chat template".into()).stack_size(STACK);
        match thread.spawn_scoped(scope, work) {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(e) => failed(format!("no thread for the chat template: {e}")),
        }
    })
}

impl Template {
    /// Compiles a template.
    pub fn compile(source: &str) -> Outcome<Template> {
        if source.len() > LONGEST_SOURCE {
            return syntax(1, format!("it has {} bytes, more than {LONGEST_SOURCE}", source.len()));
        }
        on_large_stack(|| {
            let tokens = lex::lex(source)?;
            Ok(Template { nodes: parse::Parser::new(tokens).template()? })
        })
    }

    /// Renders the template with these variables. `text` is the number of bytes of text in them, from which the limits
    /// follow.
    pub fn render(&self, variables: &[(&str, serde_json::Value)], now: SystemTime, text: usize) -> Outcome<Rendered> {
        on_large_stack(|| {
            let units = OWN_UNITS.saturating_add((text as u64).saturating_mul(UNITS_PER_BYTE)).min(MOST_UNITS);
            let longest = text.saturating_mul(REPEATS).saturating_add(OWN_OUTPUT);
            let named = variables.iter().map(|(name, value)| Ok(((*name).into(), from_json(value)?)));
            let mut run = Run::new(named.collect::<Outcome<_>>()?, now, units, longest);
            let mut out = String::new();
            run.statements(&self.nodes, &mut out)?;
            Ok(Rendered { text: out, asked_date: run.asked_date })
        })
    }
}

/// Converts a JSON value as Python's `json.loads` does.
fn from_json(json: &serde_json::Value) -> Outcome<Value> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(x)) if !n.is_u64() => Value::Float(x),
            _ => return failed("integers beyond 64 bits are not supported"),
        },
        Json::String(s) => Value::str(s.as_str()),
        Json::Array(items) => Value::list(items.iter().map(from_json).collect::<Outcome<_>>()?)?,
        Json::Object(entries) => {
            let entries = entries.iter().map(|(k, v)| Ok((Value::str(k.as_str()), from_json(v)?)));
            Value::dict(entries.collect::<Outcome<_>>()?)?
        }
    })
}

#[cfg(test)]
mod tests;
