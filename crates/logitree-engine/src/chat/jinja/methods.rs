//! Methods of Python's texts, lists and dicts.

use super::fault::{Outcome, failed};
use super::run::{Call, Run};
use super::text::{is_printable, is_space, push};
use super::value::{Meter, VALUE, Value};

impl Run {
    /// Calls `of.name(…)`. `name` must be one that [`Run::own_attribute`] knows.
    pub fn method(&mut self, of: &Value, name: &str, call: Call) -> Outcome<Value> {
        match of {
            Value::Str(text) => self.str_method(text, name, call),
            Value::Safe(_) => failed(format!(
                "`{name}` of a text that is marked as safe is not supported: leave out `safe` or `escape`"
            )),
            Value::Loop(number) => self.loop_method(*number, name, call),
            Value::Dict(dict) if name == "get" => {
                no_names(&call, name)?;
                let mut found = call.bind(name, &["key", "default"], 1)?.into_iter();
                let (key, default) = (found.next().flatten().unwrap_or(Value::None), found.next().flatten());
                Ok(dict.get(&key, &self.meter)?.cloned().or(default).unwrap_or(Value::None))
            }
            Value::Dict(_) | Value::List(_) if name == "copy" => call.bind(name, &[], 0).map(|_| of.clone()),
            Value::Dict(_) => {
                call.bind(name, &[], 0)?;
                super::builtins::view(of, name).map_or_else(|| failed(format!("dict has no method `{name}`")), Ok)
            }
            Value::List(items) | Value::Tuple(items) => {
                let item = call.bind(name, &["value"], 1)?.remove(0).unwrap_or(Value::None);
                let mut n = 0;
                for (at, other) in items.items.iter().enumerate() {
                    if other.equals(&item, &self.meter)? {
                        if name == "index" {
                            return Ok(Value::Int(at as i64));
                        }
                        n += 1;
                    }
                }
                if name == "index" { failed("the value is not in the list") } else { Ok(Value::Int(n)) }
            }
            other => failed(format!("'{}' has no method `{name}`", other.object_name())),
        }
    }

    fn str_method(&mut self, text: &str, name: &str, call: Call) -> Outcome<Value> {
        // Counts for all methods: each reads the whole text a few times and makes a text that is not much longer.
        // Methods that can make a much longer one count it separately.
        self.meter.spend(4 * text.len())?;
        if name == "format" {
            return self.format(text, &call).map(Value::str);
        }
        let meter = &self.meter;
        if let Some(answer) = without_arguments(text, name) {
            call.bind(name, &[], 0)?;
            return Ok(answer);
        }
        match name {
            "split" | "rsplit" => {
                let given = call.bind(name, &["sep", "maxsplit"], 0)?;
                let most = int(given[1].as_ref(), -1)?;
                let separator = match &given[0] {
                    None | Some(Value::None) => None,
                    Some(value) => Some(need_str(value)?),
                };
                split(text, separator, usize::try_from(most).ok(), name == "rsplit", meter)
            }
            "splitlines" => {
                let keep = call.bind(name, &["keepends"], 0)?.remove(0).is_some_and(|v| v.is_true());
                strings(lines(text, keep).into_iter(), meter)
            }
            "expandtabs" => {
                let size = int(call.bind(name, &["tabsize"], 0)?.remove(0).as_ref(), 8)?;
                expand_tabs(text, size, meter).map(Value::str)
            }
            _ => {
                no_names(&call, name)?;
                positional(text, name, &call.positional, meter)
            }
        }
    }
}

fn no_names(call: &Call, of: &str) -> Outcome<()> {
    if call.named.is_empty() { Ok(()) } else { failed(format!("{of}() takes no keyword arguments")) }
}

fn need_str(value: &Value) -> Outcome<&str> {
    match value {
        Value::Str(text) => Ok(text),
        Value::Undefined(message) => failed(&**message),
        other => failed(format!("a text is needed, not '{}'", other.type_name())),
    }
}

fn int(value: Option<&Value>, default: i64) -> Outcome<i64> {
    match value {
        None => Ok(default),
        Some(value) => match value.as_int() {
            Some(i) => Ok(i),
            None => failed(format!("'{}' object cannot be interpreted as an integer", value.type_name())),
        },
    }
}

fn without_arguments(text: &str, name: &str) -> Option<Value> {
    let all = |test: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(test));
    let cased = |test: fn(char) -> bool, other: fn(char) -> bool| {
        Value::Bool(text.chars().any(test) && !text.chars().any(|c| other(c) || is_title(c)))
    };
    Some(match name {
        "upper" => Value::str(text.to_uppercase()),
        "lower" => Value::str(text.to_lowercase()),
        "casefold" if text.is_ascii() => Value::str(text.to_ascii_lowercase()),
        "capitalize" => Value::str(capitalize(text)),
        "title" => Value::str(title(text)),
        "swapcase" => Value::str(swap_case(text)),
        "isspace" => all(is_space),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isascii" => Value::Bool(text.is_ascii()),
        "isdigit" | "isdecimal" | "isnumeric" if text.is_ascii() => all(|c| c.is_ascii_digit()),
        "isdigit" | "isdecimal" if !text.chars().any(char::is_numeric) => Value::Bool(false),
        "isnumeric" => all(char::is_numeric),
        "isprintable" => Value::Bool(text.chars().all(is_printable)),
        "isidentifier" => Value::Bool(
            text.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !text.starts_with(|c: char| c.is_numeric())
                && !text.is_empty(),
        ),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => {
            let (mut before, mut any, mut right) = (false, false, true);
            for c in text.chars() {
                let (up, low) = (c.is_uppercase() || is_title(c), c.is_lowercase());
                right &= if before { !up } else { !low };
                before = up || low;
                any |= before;
            }
            Value::Bool(any && right)
        }
        _ => return None,
    })
}

fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}')
}

/// Appends a character in the case that it has at the start of a word.
fn title_case(out: &mut String, c: char) {
    match c {
        '\u{1c4}'..='\u{1c6}' => out.push('\u{1c5}'),
        '\u{1c7}'..='\u{1c9}' => out.push('\u{1c8}'),
        '\u{1ca}'..='\u{1cc}' => out.push('\u{1cb}'),
        '\u{1f1}'..='\u{1f3}' => out.push('\u{1f2}'),
        c => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            // Only the first character is capital: `ß` becomes `Ss`.
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// Python's `capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut out = String::new();
    let Some(first) = text.chars().next() else { return out };
    title_case(&mut out, first);
    // The text is lowered as a whole, because a small sigma at the end of a word has its own form.
    let first_length: usize = first.to_lowercase().map(char::len_utf8).sum();
    out.push_str(&text.to_lowercase()[first_length..]);
    out
}

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut before = false;
    let small = text.to_lowercase();
    // If the lowered text has the same number of characters, each letter is taken from it, so that the form of a small
    // sigma depends on the whole text.
    let same = small.chars().count() == text.chars().count();
    let mut small = small.chars();
    for c in text.chars() {
        let low = small.next();
        match (before, low.filter(|_| same)) {
            (false, _) => title_case(&mut out, c),
            (true, Some(low)) => out.push(low),
            (true, None) => out.extend(c.to_lowercase()),
        }
        before = c.is_uppercase() || c.is_lowercase() || is_title(c);
    }
    out
}

fn swap_case(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn strings<'a>(parts: impl Iterator<Item = &'a str>, meter: &Meter) -> Outcome<Value> {
    let mut items = Vec::new();
    for part in parts {
        meter.spend(VALUE + 16 + part.len())?;
        items.push(Value::str(part));
    }
    Value::list(items)
}

fn split(text: &str, separator: Option<&str>, most: Option<usize>, from_right: bool, meter: &Meter) -> Outcome<Value> {
    let most = most.unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    let Some(separator) = separator else {
        let mut rest = if from_right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
        while !rest.is_empty() {
            meter.spend(VALUE)?;
            let end = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
            let Some(end) = end.filter(|_| parts.len() < most) else {
                // The remaining text stays as it is, with its inner spaces.
                parts.push(rest);
                break;
            };
            let space = rest[end..].chars().next().map_or(1, char::len_utf8);
            if from_right {
                parts.push(&rest[end + space..]);
                rest = rest[..end].trim_end_matches(is_space);
            } else {
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start_matches(is_space);
            }
        }
        if from_right {
            parts.reverse();
        }
        return strings(parts.into_iter(), meter);
    };
    if separator.is_empty() {
        return failed("empty separator");
    }
    meter.spend(text.len() / separator.len() * VALUE)?;
    let n = most.saturating_add(1);
    if from_right {
        parts.extend(text.rsplitn(n, separator));
        parts.reverse();
    } else {
        parts.extend(text.splitn(n, separator));
    }
    strings(parts.into_iter(), meter)
}

/// Python's `splitlines`.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c' | '\x1d' | '\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let mut end = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        if rest[at..].starts_with("\r\n") {
            end = at + 2;
        }
        lines.push(&rest[..if keep { end } else { at }]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn expand_tabs(text: &str, size: i64, meter: &Meter) -> Outcome<String> {
    let size = usize::try_from(size).unwrap_or(0);
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                meter.spend(n)?;
                out.push_str(&" ".repeat(n));
                column += n;
            }
            '\t' => {}
            c => {
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                out.push(c);
            }
        }
    }
    Ok(out)
}

/// The part of a text between two positions in characters, and the position where it begins.
fn part<'t>(text: &'t str, start: Option<&Value>, end: Option<&Value>) -> Outcome<Option<(&'t str, usize)>> {
    let n = text.chars().count() as i64;
    let place = |value: Option<&Value>, default: i64| match value {
        None | Some(Value::None) => Ok(default),
        value => int(value, 0).map(|i| if i < 0 { i.saturating_add(n).max(0) } else { i }),
    };
    let (start, end) = (place(start, 0)?, place(end, n)?.min(n));
    if start > end {
        return Ok(None);
    }
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    Ok(Some((&text[byte(start)..byte(end)], start as usize)))
}

/// Calls the methods that take only positional arguments.
fn positional(text: &str, name: &str, args: &[Value], meter: &Meter) -> Outcome<Value> {
    let counts = match name {
        "strip" | "lstrip" | "rstrip" => 0..=1,
        "removeprefix" | "removesuffix" | "partition" | "rpartition" | "join" | "zfill" => 1..=1,
        "center" | "ljust" | "rjust" => 1..=2,
        "replace" => 2..=3,
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => 1..=3,
        _ => return failed(format!("`{name}` of this text is not supported")),
    };
    if !counts.contains(&args.len()) {
        return failed(format!("{name}() takes {} to {} arguments, not {}", counts.start(), counts.end(), args.len()));
    }
    for arg in args {
        meter.spend(arg.as_str().map_or(0, str::len))?;
    }
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let chars: Option<Vec<char>> = match args.first() {
                None | Some(Value::None) => None,
                Some(chars) => Some(need_str(chars)?.chars().collect()),
            };
            meter.spend(text.len().saturating_mul(chars.as_ref().map_or(1, Vec::len)) / 8)?;
            let is = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(is) };
            Ok(Value::str(if name == "lstrip" { text } else { text.trim_end_matches(is) }))
        }
        "removeprefix" => Ok(Value::str(text.strip_prefix(need_str(&args[0])?).unwrap_or(text))),
        "removesuffix" => Ok(Value::str(text.strip_suffix(need_str(&args[0])?).unwrap_or(text))),
        "partition" | "rpartition" => {
            let separator = need_str(&args[0])?;
            if separator.is_empty() {
                return failed("empty separator");
            }
            let parts = match (name, text.split_once(separator), text.rsplit_once(separator)) {
                ("partition", Some((a, b)), _) | ("rpartition", _, Some((a, b))) => [a, separator, b],
                ("partition", ..) => [text, "", ""],
                _ => ["", "", text],
            };
            Value::tuple(parts.map(Value::str).to_vec())
        }
        "join" => {
            let mut out = String::new();
            for (i, item) in args[0].iterate(meter)?.iter().enumerate() {
                if i > 0 {
                    push(&mut out, text, meter)?;
                }
                match item.as_str() {
                    Some(item) => push(&mut out, item, meter)?,
                    None => {
                        return failed(format!("sequence item {i}: expected str instance, {} found", item.type_name()));
                    }
                }
            }
            Ok(Value::str(out))
        }
        "zfill" | "center" | "ljust" | "rjust" => {
            let width = usize::try_from(int(args.first(), 0)?).unwrap_or(0);
            let fill = args.get(1).map_or(Ok(" "), need_str)?;
            if fill.chars().count() != 1 {
                return failed("The fill character must be exactly one character long");
            }
            justify(text, name, width, fill, meter).map(Value::str)
        }
        "replace" => {
            let most = usize::try_from(int(args.get(2), -1)?).ok();
            replace(text, need_str(&args[0])?, need_str(&args[1])?, most, meter).map(Value::str)
        }
        _ => search(text, name, args),
    }
}

/// Pads a text to a width: the methods `center`, `ljust`, `rjust` and `zfill`.
pub(super) fn justify(text: &str, name: &str, width: usize, fill: &str, meter: &Meter) -> Outcome<String> {
    let missing = width.saturating_sub(text.chars().count());
    let before = match name {
        "center" => missing / 2 + (missing & width & 1),
        "ljust" => 0,
        _ => missing,
    };
    meter.spend(missing.saturating_mul(fill.len()))?;
    if name == "zfill" {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        return Ok([sign, &"0".repeat(missing), digits].concat());
    }
    Ok([&fill.repeat(before), text, &fill.repeat(missing - before)].concat())
}

/// Python's `replace`. At most `most` occurrences are replaced, or all of them for `None`.
pub(super) fn replace(text: &str, old: &str, new: &str, most: Option<usize>, meter: &Meter) -> Outcome<String> {
    meter.spend(text.len() + old.len())?;
    let found = text.matches(old).take(most.unwrap_or(usize::MAX)).count();
    meter.spend(text.len() + found.saturating_mul(new.len()))?;
    Ok(text.replacen(old, new, found))
}

fn search(text: &str, name: &str, args: &[Value]) -> Outcome<Value> {
    let within = part(text, args.get(1), args.get(2))?;
    let ends = |affix: &Value| -> Outcome<bool> {
        let affix = need_str(affix)?;
        Ok(within.is_some_and(|(t, _)| if name == "startswith" { t.starts_with(affix) } else { t.ends_with(affix) }))
    };
    if matches!(name, "startswith" | "endswith") {
        let Value::Tuple(affixes) = &args[0] else { return ends(&args[0]).map(Value::Bool) };
        for affix in &affixes.items {
            if ends(affix)? {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    let needle = need_str(&args[0])?;
    if name == "count" {
        let n = within.map_or(0, |(t, _)| t.matches(needle).count());
        return Ok(Value::Int(n as i64));
    }
    let found = within.and_then(|(t, start)| {
        let at = if name.starts_with('r') { t.rfind(needle) } else { t.find(needle) };
        at.map(|at| start + t[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::Int(at as i64)),
        None if name.ends_with("index") => failed("substring not found"),
        None => Ok(Value::Int(-1)),
    }
}
