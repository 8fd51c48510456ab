//! Writes values as text, like Python's `str`, `repr` and `json.dumps`.

use super::fault::{Outcome, failed};
use super::value::{Meter, VALUE, Value, View};

/// Whether a character is white space for Python's `str`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// Python's `str(value)`.
pub(super) fn to_str(value: &Value, meter: &Meter) -> Outcome<String> {
    let mut out = String::new();
    match value {
        Value::Str(s) | Value::Safe(s) => push(&mut out, s, meter)?,
        Value::Undefined(_) => {}
        other => repr(&mut out, other, meter)?,
    }
    Ok(out)
}

/// Calls `then` with Python's `str(value)`, without a copy if the value is a text already.
pub(super) fn with_str<T>(value: &Value, meter: &Meter, then: impl FnOnce(&str) -> Outcome<T>) -> Outcome<T> {
    match value.as_str() {
        Some(text) => then(text),
        None => then(&to_str(value, meter)?),
    }
}

/// Appends a text, and counts its bytes.
pub(super) fn push(out: &mut String, text: &str, meter: &Meter) -> Outcome<()> {
    meter.spend(text.len())?;
    out.push_str(text);
    Ok(())
}

/// Python's `repr(value)`. The recursion is bounded, because the nesting of values is.
pub(super) fn repr(out: &mut String, value: &Value, meter: &Meter) -> Outcome<()> {
    meter.spend(VALUE)?;
    let list = |out: &mut String, items: &[Value], open: &str, close: &str| -> Outcome<()> {
        out.push_str(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            repr(out, item, meter)?;
        }
        out.push_str(close);
        Ok(())
    };
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(x) => out.push_str(&float(*x)),
        Value::Str(s) => quote(out, s, meter)?,
        Value::Safe(s) => {
            out.push_str("Markup(");
            quote(out, s, meter)?;
            out.push(')');
        }
        Value::List(l) => list(out, &l.items, "[", "]")?,
        Value::Tuple(l) => list(out, &l.items, "(", if l.items.len() == 1 { ",)" } else { ")" })?,
        Value::Dict(d) => {
            out.push('{');
            for (i, (k, v)) in d.entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                repr(out, k, meter)?;
                out.push_str(": ");
                repr(out, v, meter)?;
            }
            out.push('}');
        }
        Value::View(kind, _) => {
            let name = match kind {
                View::Keys => "dict_keys([",
                View::Values => "dict_values([",
                View::Items => "dict_items([",
            };
            list(out, &value.iterate(meter)?, name, "])")?;
        }
        Value::Range(start, n, step) => {
            // A range does not keep the stop value that was given. It is known only for a range with step 1 that has
            // items.
            if *step != 1 || *n == 0 {
                return failed(
                    "a range with a step, or without items, cannot be printed, which is not supported: make it a list",
                );
            }
            out.push_str(&format!("range({start}, {})", start + n));
        }
        other => {
            return failed(format!(
                "a value of type '{}' cannot be printed, which is not supported",
                other.type_name()
            ));
        }
    }
    Ok(())
}

/// Python's `repr` of a float: the shortest digits that are read back as the same float.
pub(super) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Whether Python would print a character as it is.
pub(super) fn is_printable(c: char) -> bool {
    // Rust's `escape_debug` escapes the same categories, but a combining mark only at the start of a text, hence the
    // `a`.
    let probe: String = ['a', c].iter().collect();
    c == '\\' || c == '"' || c == '\'' || probe.escape_debug().eq(probe.chars())
}

/// Python's `repr` of a text.
fn quote(out: &mut String, text: &str, meter: &Meter) -> Outcome<()> {
    meter.spend(2 * text.len())?;
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if is_printable(c) => out.push(c),
            c => match c as u32 {
                n @ 0..=0xff => out.push_str(&format!("\\x{n:02x}")),
                n @ 0x100..=0xffff => out.push_str(&format!("\\u{n:04x}")),
                n => out.push_str(&format!("\\U{n:08x}")),
            },
        }
    }
    out.push(mark);
    Ok(())
}

/// Options of `json.dumps`.
pub(super) struct Json<'a> {
    pub ascii: bool,
    /// The indentation of one level; `None` writes everything in one line.
    pub indent: Option<String>,
    /// The text between items, and the text between a key and its value.
    pub separators: (String, String),
    pub sort_keys: bool,
    pub meter: &'a Meter,
}

impl Json<'_> {
    /// Python's `json.dumps(value)`.
    pub fn dump(&self, out: &mut String, value: &Value, level: usize) -> Outcome<()> {
        self.meter.spend(VALUE)?;
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => out.push_str(&i.to_string()),
            Value::Float(x) => out.push_str(&json_float(*x)),
            Value::Str(s) | Value::Safe(s) => self.quote(out, s)?,
            Value::List(l) | Value::Tuple(l) => {
                let items = l.items.iter().map(|item| (None, item)).collect();
                self.block(out, items, ['[', ']'], level)?;
            }
            Value::Dict(d) => {
                let mut entries: Vec<&(Value, Value)> = d.entries.iter().collect();
                if self.sort_keys {
                    super::sort::sort_by(&mut entries, |a, b| a.0.compare(&b.0, self.meter))?;
                }
                let mut items = Vec::with_capacity(entries.len());
                for (k, v) in entries {
                    let key = match k {
                        Value::Str(s) | Value::Safe(s) => s.to_string(),
                        Value::None => "null".into(),
                        Value::Bool(b) => (if *b { "true" } else { "false" }).into(),
                        Value::Int(i) => i.to_string(),
                        Value::Float(x) => json_float(*x),
                        other => {
                            let name = other.type_name();
                            return failed(format!("keys must be str, int, float, bool or None, not {name}"));
                        }
                    };
                    items.push((Some(key), v));
                }
                self.block(out, items, ['{', '}'], level)?;
            }
            other => {
                return failed(format!("Object of type {} is not JSON serializable", other.type_name()));
            }
        }
        Ok(())
    }

    fn block(
        &self,
        out: &mut String,
        items: Vec<(Option<String>, &Value)>,
        marks: [char; 2],
        level: usize,
    ) -> Outcome<()> {
        out.push(marks[0]);
        let line = |out: &mut String, level: usize| -> Outcome<()> {
            if let Some(indent) = &self.indent {
                self.meter.spend(1 + indent.len() * level)?;
                out.push('\n');
                out.push_str(&indent.repeat(level));
            }
            Ok(())
        };
        let empty = items.is_empty();
        for (i, (key, value)) in items.into_iter().enumerate() {
            if i > 0 {
                push(out, &self.separators.0, self.meter)?;
            }
            line(out, level + 1)?;
            if let Some(key) = key {
                self.quote(out, &key)?;
                push(out, &self.separators.1, self.meter)?;
            }
            self.dump(out, value, level + 1)?;
        }
        if !empty {
            line(out, level)?;
        }
        out.push(marks[1]);
        Ok(())
    }

    fn quote(&self, out: &mut String, text: &str) -> Outcome<()> {
        self.meter.spend(2 * text.len())?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", c as u32)),
                c if !self.ascii || matches!(c, ' '..='~') => out.push(c),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        out.push('"');
        Ok(())
    }
}

fn json_float(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        x if x == f64::INFINITY => "Infinity".into(),
        x if x == f64::NEG_INFINITY => "-Infinity".into(),
        x => float(x),
    }
}
