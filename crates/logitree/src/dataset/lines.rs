//! Files with a row per line: JSON objects, or plain texts. Blank lines are no rows.

use super::row::{MAX_ROW, Row, Source, listed, text_of};
use crate::error::Result;
use logitree_core::run::BOM;
use serde_json::{Map, Value};
use std::io::{BufRead, Read};

/// A line with its number, without its end; `Err` for one that is too long, whose rest is passed over.
type Line = (u64, Result<Vec<u8>, String>);

/// The lines of a file.
struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>> {
        loop {
            self.number += 1;
            let mut line = Vec::new();
            if self.from.by_ref().take(MAX_ROW as u64 + 1).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let ended = line.last() == Some(&b'\n');
            if !ended && line.len() > MAX_ROW {
                self.skip_line()?;
                return Ok(Some((self.number, Err(format!("the line is longer than {} MB", MAX_ROW >> 20)))));
            }
            if self.number == 1 && line.starts_with(BOM) {
                line.drain(..BOM.len());
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.number, Ok(line))));
            }
        }
    }

    /// Reads to the end of the line.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            let buffer = self.from.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|&b| b == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            self.from.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// Number of rows.
pub fn count(from: impl BufRead) -> Result<u64> {
    let mut lines = Lines { from, number: 0 };
    let mut count = 0;
    while lines.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A text per line.
pub struct Texts<R>(Lines<R>);

impl<R: BufRead> Texts<R> {
    pub fn read(from: R) -> Texts<R> {
        Texts(Lines { from, number: 0 })
    }
}

impl<R: BufRead> Iterator for Texts<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let row = |(number, line): Line| Row {
            number,
            id: number.into(),
            text: line.and_then(|line| text_of(&line, "the line")),
        };
        Some(self.0.next().transpose()?.map(row))
    }
}

/// A JSON object per line.
pub struct Objects<R> {
    lines: Lines<R>,
    source: Source,
}

impl<R: BufRead> Objects<R> {
    pub fn read(from: R, source: &Source) -> Objects<R> {
        Objects { lines: Lines { from, number: 0 }, source: source.clone() }
    }
}

impl<R: BufRead> Iterator for Objects<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let (number, line) = match self.lines.next().transpose()? {
            Ok(next) => next,
            Err(e) => return Some(Err(e)),
        };
        let mut id = number.into();
        let text = line.and_then(|line| object(&line)).and_then(|object| {
            let (name, text) = of_object(&object, &self.source);
            id = name?.unwrap_or(number.into());
            text
        });
        Some(Ok(Row { number, id, text }))
    }
}

/// A line as an object; the error says why it is none.
fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    let line = text_of(line, "the line")?;
    match serde_json::from_str(&line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("the line is {}, not a JSON object", kind(&other))),
        Err(e) => Err(format!("the line is not JSON: {e}")),
    }
}

type Named<T> = Result<T, String>;

/// The name of an object, if it has one, and its text.
fn of_object(object: &Map<String, Value>, source: &Source) -> (Named<Option<Value>>, Named<String>) {
    let name = source.id_column(|name| object.contains_key(name)).and_then(|column| match column.map(|c| &object[c]) {
        Some(name @ (Value::String(_) | Value::Number(_))) => Ok(Some(name.clone())),
        // An object without a name has its number, unless the user said that there are names.
        None | Some(Value::Null) if source.id_field.is_none() => Ok(None),
        None => Ok(None),
        Some(other) => Err(format!("{:?} is {}, not a text or a number", column.unwrap_or_default(), kind(other))),
    });
    let field = &source.field;
    let text = match object.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{field:?} is {}, not a text", kind(other))),
        None => Err(format!("there is no {field:?}; there are {}", listed(object.keys().map(String::as_str)))),
    };
    (name, text)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
