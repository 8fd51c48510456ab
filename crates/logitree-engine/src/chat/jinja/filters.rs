//! Jinja2's filters of single values, and `tojson` as transformers defines it.

use super::fault::{Outcome, failed};
use super::methods::{capitalize, justify, lines, replace};
use super::ops::escaped;
use super::run::{Call, Run};
use super::text::{Json, is_space, with_str};
use super::value::{Meter, Value};

/// The names of all filters; the test `filter` looks a name up here.
const NAMES: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "filesizeformat",
    "pprint",
    "random",
    "striptags",
    "urlize",
    "wordwrap",
    "xmlattr",
];
/// Filters of Jinja2 that are not implemented, because chat templates do not need them.
const REFUSED: &[&str] = &["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"];
/// Filters that may be applied to a text that is marked as HTML. Other filters would have to escape their arguments.
const OF_SAFE: &[&str] =
    &["safe", "string", "escape", "e", "forceescape", "length", "count", "default", "d", "tojson", "list", "items"];

/// Whether there is a filter of this name.
pub(super) fn is_filter(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Run {
    /// Computes `of | name(…)`.
    pub fn filter(&mut self, name: &str, of: Value, call: Call) -> Outcome<Value> {
        if matches!(of, Value::Safe(_)) && !OF_SAFE.contains(&name) {
            return failed(format!(
                "the filter `{name}` on a text marked as safe is not supported: leave out `safe` or `escape`"
            ));
        }
        if super::seq::NAMES.contains(&name) {
            return self.sequence_filter(name, &of, call);
        }
        let meter = &self.meter;
        meter.spend(of.as_str().map_or(0, |s| 4 * s.len()))?;
        Ok(match name {
            "default" | "d" => {
                let a = call.bind(name, &["default_value", "boolean"], 0)?;
                let missing = matches!(of, Value::Undefined(_));
                if missing || (a[1].as_ref().is_some_and(Value::is_true) && !of.is_true()) {
                    a[0].clone().unwrap_or_else(|| Value::str(""))
                } else {
                    of
                }
            }
            "length" | "count" => {
                call.bind(name, &[], 0)?;
                length(&of)?
            }
            "string" => {
                call.bind(name, &[], 0)?;
                if of.as_str().is_some() { of } else { Value::str(super::text::to_str(&of, meter)?) }
            }
            "safe" => {
                call.bind(name, &[], 0)?;
                Value::Safe(super::text::to_str(&of, meter)?.into())
            }
            "escape" | "e" | "forceescape" => {
                call.bind(name, &[], 0)?;
                let text = Value::str(super::text::to_str(&of, meter)?);
                meter.spend(6 * text.as_str().map_or(0, str::len))?;
                let of = if matches!(of, Value::Safe(_)) && name != "forceescape" { &of } else { &text };
                Value::Safe(escaped(of).into())
            }
            "abs" => {
                call.bind(name, &[], 0)?;
                match of {
                    Value::Float(x) => Value::Float(x.abs()),
                    other => match other.as_int().and_then(i64::checked_abs) {
                        Some(i) => Value::Int(i),
                        None => return failed(format!("bad operand type for abs(): '{}'", other.type_name())),
                    },
                }
            }
            "attr" => {
                let wanted = call.bind(name, &["name"], 1)?.remove(0);
                let wanted = wanted.as_ref().and_then(Value::as_str).unwrap_or_default();
                if let Value::Undefined(_) = of {
                    return Ok(Value::undefined("an attribute of what is undefined"));
                }
                let found = self.own_attribute(&of, wanted)?;
                found.unwrap_or_else(|| Value::undefined(format!("'{}' has no attribute '{wanted}'", of.object_name())))
            }
            "format" => {
                let args = match (call.positional.is_empty(), call.named.is_empty()) {
                    (_, true) => Value::tuple(call.positional)?,
                    (true, false) => Value::dict(call.named.into_iter().map(|(n, v)| (Value::Str(n), v)).collect())?,
                    _ => return failed("can't handle positional and keyword arguments at the same time"),
                };
                Value::str(with_str(&of, meter, |s| super::printf::percent(s, &args, meter))?)
            }
            "int" => {
                let a = call.bind(name, &["default", "base"], 0)?;
                let base = a[1].as_ref().map_or(Some(10), Value::as_int).and_then(|b| u32::try_from(b).ok());
                let Some(base @ 2..=36) = base else { return failed("int needs a base from 2 to 36") };
                to_int(&of, base)?.or_else(|| a[0].clone()).unwrap_or(Value::Int(0))
            }
            "float" => {
                let default = call.bind(name, &["default"], 0)?.remove(0).unwrap_or(Value::Float(0.0));
                if let Value::Undefined(message) = &of {
                    return failed(&**message);
                }
                to_float(&of).map_or(default, Value::Float)
            }
            "wordcount" => {
                call.bind(name, &[], 0)?;
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let count = |s: &str| Ok(s.split(|c| !word(c)).filter(|w| !w.is_empty()).count());
                Value::Int(with_str(&of, meter, count)? as i64)
            }
            "round" => round(&of, &call.bind(name, &["precision", "method"], 0)?)?,
            "tojson" => {
                let a = call.bind(name, &["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
                let mut out = String::new();
                json_options(&a, meter)?.dump(&mut out, &of, 0)?;
                Value::str(out)
            }
            _ if is_filter(name) && !REFUSED.contains(&name) => {
                let value = with_str(&of, meter, |text| text_filter(text, &of, name, call, meter))?;
                Value::str(value)
            }
            _ if REFUSED.contains(&name) => {
                return failed(format!("the filter `{name}` is not supported in a chat template"));
            }
            _ => return failed(format!("No filter named '{name}'.")),
        })
    }
}

fn length(of: &Value) -> Outcome<Value> {
    let n = match of {
        Value::Undefined(_) => 0,
        Value::Str(s) | Value::Safe(s) => s.chars().count(),
        Value::List(l) | Value::Tuple(l) => l.items.len(),
        Value::Dict(d) | Value::View(_, d) => d.entries.len(),
        Value::Range(_, n, _) => usize::try_from(*n).unwrap_or(0),
        other => return failed(format!("object of type '{}' has no len()", other.type_name())),
    };
    Ok(Value::Int(n as i64))
}

fn whole(value: Option<&Value>, default: i64, what: &str) -> Outcome<i64> {
    match value {
        None => Ok(default),
        Some(value) => value.as_int().map_or_else(|| failed(format!("{what} needs a whole number")), Ok),
    }
}

/// Calls the filters that turn a text into a text.
fn text_filter(text: &str, of: &Value, name: &str, call: Call, meter: &Meter) -> Outcome<String> {
    let string = |value: Option<&Value>, default: &str| match value {
        None => Ok(default.to_owned()),
        Some(value) => super::text::to_str(value, meter),
    };
    match name {
        "upper" | "lower" | "capitalize" | "title" | "urlencode" => {
            call.bind(name, &[], 0)?;
            Ok(match name {
                "upper" => text.to_uppercase(),
                "lower" => text.to_lowercase(),
                "capitalize" => capitalize(text),
                "title" => title(text),
                "urlencode" if of.as_str().is_none() => return failed("urlencode is supported for texts only"),
                _ => {
                    meter.spend(3 * text.len())?;
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-~/".contains(&b);
                    text.bytes()
                        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
                        .collect()
                }
            })
        }
        "trim" => {
            let chars = call.bind(name, &["chars"], 0)?.remove(0).filter(|c| !matches!(c, Value::None));
            let Some(chars) = chars else { return Ok(text.trim_matches(is_space).to_owned()) };
            let Some(chars) = chars.as_str() else { return failed("trim needs the characters as a text") };
            meter.spend(text.len().saturating_mul(chars.len()) / 8)?;
            Ok(text.trim_matches(|c| chars.contains(c)).to_owned())
        }
        "center" => {
            let width = whole(call.bind(name, &["width"], 0)?.remove(0).as_ref(), 80, name)?;
            justify(text, name, usize::try_from(width).unwrap_or(0), " ", meter)
        }
        "replace" => {
            let a = call.bind(name, &["old", "new", "count"], 2)?;
            let count = a[2].as_ref().filter(|c| !matches!(c, Value::None));
            let most = usize::try_from(whole(count, -1, name)?).ok();
            replace(text, &string(a[0].as_ref(), "")?, &string(a[1].as_ref(), "")?, most, meter)
        }
        "indent" => indent(text, of, &call.bind(name, &["width", "first", "blank"], 0)?, meter),
        _ => {
            let a = call.bind(name, &["length", "killwords", "end", "leeway"], 0)?;
            let leeway = a[3].as_ref().filter(|v| !matches!(v, Value::None));
            let (length, leeway) = (whole(a[0].as_ref(), 255, name)?, whole(leeway, 5, name)?);
            let end = string(a[2].as_ref(), "...")?;
            let keep = length - end.chars().count() as i64;
            if of.as_str().is_none() || keep < 0 || leeway < 0 {
                return failed("truncate needs a text, and a length not below that of its end");
            }
            if text.chars().count() as i64 <= length.saturating_add(leeway) {
                return Ok(text.to_owned());
            }
            let mut kept: &str = text.char_indices().nth(keep as usize).map_or(text, |(at, _)| &text[..at]);
            if !a[1].as_ref().is_some_and(Value::is_true) {
                kept = kept.rsplit_once(' ').map_or(kept, |(before, _)| before);
            }
            Ok(kept.to_owned() + &end)
        }
    }
}

/// The filter `title`: words begin at the start of the text and after certain characters.
fn title(text: &str) -> String {
    let mut out = String::new();
    let is_mark = |c: char| is_space(c) || "-({[<".contains(c);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mark = is_mark(first);
        let end = rest.find(|c| is_mark(c) != mark).unwrap_or(rest.len());
        out.extend(first.to_uppercase());
        out.push_str(&rest[first.len_utf8()..end].to_lowercase());
        rest = &rest[end..];
    }
    out
}

fn indent(text: &str, of: &Value, a: &[Option<Value>], meter: &Meter) -> Outcome<String> {
    if of.as_str().is_none() {
        return failed(format!("indent needs a text, not '{}'", of.type_name()));
    }
    let indention = match &a[0] {
        Some(Value::Str(s)) => s.to_string(),
        width => {
            let width = usize::try_from(whole(width.as_ref(), 4, "indent")?).unwrap_or(0);
            meter.spend(width)?;
            " ".repeat(width)
        }
    };
    let [first, blank] = [1, 2].map(|i| a[i].as_ref().is_some_and(Value::is_true));
    let ended = text.to_owned() + "\n";
    let lines = lines(&ended, false);
    meter.spend(lines.len().saturating_mul(indention.len() + 1) + text.len())?;
    let mut out = String::new();
    for (i, line) in lines.into_iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(out)
}

fn to_float(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => {
            let text = text.trim_matches(is_space);
            let inner = text.trim_matches('_').len() == text.len() && !text.contains("__");
            text.replace('_', "").parse().ok().filter(|_| inner)
        }
        None => value.as_float(),
    }
}

/// Python's `int(value)`, or `int(float(value))`.
fn to_int(value: &Value, base: u32) -> Outcome<Option<Value>> {
    if let Value::Undefined(message) = value {
        return failed(&**message);
    }
    if let Some(i) = value.as_int() {
        return Ok(Some(Value::Int(i)));
    }
    if let Some(text) = value.as_str() {
        let text = text.trim_matches(is_space).to_lowercase();
        let (sign, mut digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        let prefix = match base {
            16 => "0x",
            8 => "0o",
            2 => "0b",
            _ => "",
        };
        digits = digits.strip_prefix(prefix).unwrap_or(digits);
        let well = digits.trim_matches('_').len() == digits.len() && !digits.contains("__") && !digits.is_empty();
        let digits = digits.replace('_', "");
        if well && digits.chars().all(|c| c.is_digit(base)) {
            let Ok(i) = i64::from_str_radix(&(sign.to_owned() + &digits), base) else {
                return failed("integers beyond 64 bits are not supported");
            };
            return Ok(Some(Value::Int(i)));
        }
    }
    match to_float(value) {
        Some(x) if x.abs() < 9.2e18 => Ok(Some(Value::Int(x as i64))),
        Some(x) if x.is_nan() => Ok(None),
        Some(_) => failed("integers beyond 64 bits are not supported"),
        None => Ok(None),
    }
}

fn round(value: &Value, a: &[Option<Value>]) -> Outcome<Value> {
    let precision = whole(a[0].as_ref(), 0, "round")?.clamp(-400, 400) as i32;
    let Some(x) = value.as_float() else {
        return failed(format!("type {} doesn't define __round__ method", value.type_name()));
    };
    let power = 10f64.powi(precision);
    match (a[1].as_ref().map_or(Some("common"), Value::as_str), value.as_int()) {
        (Some("common"), Some(i)) if precision >= 0 => Ok(Value::Int(i)),
        (Some("common"), Some(i)) => {
            let Some(unit) = 10i64.checked_pow(precision.unsigned_abs()) else { return Ok(Value::Int(0)) };
            let (down, rest) = (i.div_euclid(unit), i.rem_euclid(unit));
            let up = rest > unit / 2 || (rest == unit / 2 && down % 2 != 0);
            let rounded = (down + i64::from(up)).checked_mul(unit);
            rounded.map_or_else(|| failed("integers beyond 64 bits are not supported"), |i| Ok(Value::Int(i)))
        }
        // Like Python, Rust formats the exact value, and rounds a half to the even digit.
        (Some("common"), None) if precision >= 0 => {
            let digits = format!("{x:.*}", precision as usize);
            Ok(Value::Float(digits.parse().unwrap_or(x)))
        }
        (Some("common"), None) => Ok(Value::Float((x * power).round_ties_even() / power)),
        (Some("ceil"), _) => Ok(Value::Float(((x * power).ceil() + 0.0) / power)),
        (Some("floor"), _) => Ok(Value::Float(((x * power).floor() + 0.0) / power)),
        _ => failed("method must be common, ceil or floor"),
    }
}

fn json_options<'m>(a: &[Option<Value>], meter: &'m Meter) -> Outcome<Json<'m>> {
    let given = |i: usize| a[i].as_ref().filter(|v| !matches!(v, Value::None));
    let indent = match given(1) {
        None => None,
        Some(Value::Str(s)) => Some(s.to_string()),
        Some(n) => match n.as_int() {
            Some(n @ ..=1000) => Some(" ".repeat(usize::try_from(n).unwrap_or(0))),
            _ => return failed("tojson needs an indent of 1000 at most"),
        },
    };
    let separators = match given(2) {
        None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
        Some(pair) => {
            let pair = pair.iterate(meter)?;
            match (pair.len(), pair.first().and_then(Value::as_str), pair.get(1).and_then(Value::as_str)) {
                (2, Some(item), Some(key)) => (item.to_owned(), key.to_owned()),
                _ => return failed("tojson needs two separators"),
            }
        }
    };
    let flag = |i: usize| a[i].as_ref().is_some_and(Value::is_true);
    Ok(Json { ascii: flag(0), indent, separators, sort_keys: flag(3), meter })
}
