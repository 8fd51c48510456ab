//! Python's two kinds of format strings: `'%s' % value` and `'{}'.format(value)`.

use super::fault::{Outcome, failed};
use super::run::{Call, Run};
use super::text::{float, push, repr, to_str, with_str};
use super::value::{Meter, Value};

/// Largest width of a field, and largest number of digits after the point.
const WIDEST: usize = 1 << 16;

/// A format specification.
#[derive(Clone, Debug, Default)]
struct Spec {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    align: Option<char>,
    /// `+` or a space.
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    /// `,` or `_`.
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn wide<T>() -> Outcome<T> {
    failed(format!("a width or precision of more than {WIDEST} is not supported"))
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Outcome<Option<usize>> {
    let mut value = None;
    while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let next = value.unwrap_or(0) * 10 + d as usize;
        if next > WIDEST {
            return wide();
        }
        value = Some(next);
    }
    Ok(value)
}

/// Computes `format % args`.
pub(super) fn percent(format: &str, args: &Value, meter: &Meter) -> Outcome<String> {
    let positional = match args {
        Value::Tuple(items) => items.items.clone(),
        one => vec![one.clone()],
    };
    let (mut next, mut named) = (0, false);
    let mut take = || {
        next += 1;
        positional.get(next - 1).cloned().map_or_else(|| failed("not enough arguments for format string"), Ok)
    };
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            push(&mut out, c.encode_utf8(&mut [0; 4]), meter)?;
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            push(&mut out, "%", meter)?;
            continue;
        }
        let mut value = None;
        if chars.next_if_eq(&'(').is_some() {
            let mut name = String::new();
            loop {
                match chars.next() {
                    Some(')') => break,
                    Some(c) => name.push(c),
                    None => return failed("incomplete format key"),
                }
            }
            let Value::Dict(dict) = args else { return failed("format requires a mapping") };
            let Some(found) = dict.get(&Value::str(name.as_str()), meter)? else {
                return failed(format!("there is no key '{name}' to format"));
            };
            value = Some(found.clone());
            named = true;
        }
        let (mut spec, mut left) = (Spec::default(), false);
        while let Some(flag) = chars.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => left = true,
                '+' => spec.sign = Some('+'),
                ' ' => spec.sign = spec.sign.or(Some(' ')),
                '#' => spec.alternate = true,
                _ => spec.zero = true,
            }
        }
        if chars.next_if_eq(&'*').is_some() {
            let width = take()?.as_int().map_or_else(|| failed("* wants int"), Ok)?;
            left |= width < 0;
            spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        } else {
            spec.width = digits(&mut chars)?.unwrap_or(0);
        }
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut chars)?.unwrap_or(0));
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        spec.align = Some(if left { '<' } else { '>' });
        let kind = chars.next().map_or_else(|| failed("incomplete format"), Ok)?;
        let value = value.map_or_else(&mut take, Ok)?;
        convert(&mut out, kind, &value, spec, meter)?;
    }
    let as_mapping =
        matches!(args, Value::Dict(_) | Value::Undefined(_)) || (next == 0 && matches!(args, Value::List(_)));
    if !named && next < positional.len() && !as_mapping {
        return failed("not all arguments converted during string formatting");
    }
    Ok(out)
}

fn convert(out: &mut String, kind: char, value: &Value, mut spec: Spec, meter: &Meter) -> Outcome<()> {
    match kind {
        's' | 'r' | 'a' => {
            let text = match kind {
                's' => to_str(value, meter)?,
                _ => quoted(value, kind == 'a', meter)?,
            };
            spec.zero = false;
            spec.sign = None;
            text_field(out, &text, &spec, meter)
        }
        'c' => {
            let text = match (value.as_int(), value.as_str()) {
                (Some(i), _) => u32::try_from(i).ok().and_then(char::from_u32).map(String::from),
                (_, Some(s)) if s.chars().count() == 1 => Some(s.to_owned()),
                _ => None,
            };
            let Some(text) = text else { return failed("%c requires int or char") };
            spec.precision = None;
            text_field(out, &text, &spec, meter)
        }
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let whole = match value {
                Value::Float(x) if matches!(kind, 'd' | 'i' | 'u') && x.abs() < 9e18 => Some(*x as i64),
                other => other.as_int(),
            };
            let Some(i) = whole else {
                return failed(format!("%{kind} format: a number is required, not {}", value.type_name()));
            };
            if spec.align == Some('>') && spec.zero {
                spec.align = Some('=');
            } else {
                spec.zero = false;
            }
            let (prefix, mut text) = integer(i, if matches!(kind, 'i' | 'u') { 'd' } else { kind });
            let prefix = if spec.alternate { prefix } else { "" };
            if let Some(least) = spec.precision {
                text = "0".repeat(least.saturating_sub(text.len())) + &text;
            }
            number_field(out, i < 0, prefix, &text, &spec, meter)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let Some(x) = value.as_float() else {
                return failed(format!("must be real number, not {}", value.type_name()));
            };
            if spec.align == Some('>') && spec.zero {
                spec.align = Some('=');
            } else {
                spec.zero = false;
            }
            spec.kind = Some(kind);
            float_field(out, x, &spec, meter)
        }
        other => failed(format!("unsupported format character {other:?}")),
    }
}

fn quoted(value: &Value, ascii: bool, meter: &Meter) -> Outcome<String> {
    let mut text = String::new();
    repr(&mut text, value, meter)?;
    if ascii && !text.is_ascii() {
        return failed("the format `a` is supported for ASCII only");
    }
    Ok(text)
}

/// The prefix (such as `0x`) and the digits of an integer, without its sign.
fn integer(i: i64, kind: char) -> (&'static str, String) {
    let n = i.unsigned_abs();
    match kind {
        'x' => ("0x", format!("{n:x}")),
        'X' => ("0X", format!("{n:X}")),
        'o' => ("0o", format!("{n:o}")),
        'b' => ("0b", format!("{n:b}")),
        _ => ("", n.to_string()),
    }
}

fn text_field(out: &mut String, text: &str, spec: &Spec, meter: &Meter) -> Outcome<()> {
    let cut = spec.precision.and_then(|n| text.char_indices().nth(n)).map_or(text.len(), |(at, _)| at);
    let text = &text[..cut];
    meter.spend(text.len())?;
    let missing = spec.width.saturating_sub(text.chars().count());
    let (before, after) = match spec.align {
        Some('>') => (missing, 0),
        Some('^') => (missing / 2, missing - missing / 2),
        _ => (0, missing),
    };
    pad(out, spec, before, meter)?;
    push(out, text, meter)?;
    pad(out, spec, after, meter)
}

fn pad(out: &mut String, spec: &Spec, n: usize, meter: &Meter) -> Outcome<()> {
    if n > WIDEST {
        return wide();
    }
    meter.spend(4 * n)?;
    let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
    out.extend(std::iter::repeat_n(fill, n));
    Ok(())
}

fn number_field(
    out: &mut String,
    negative: bool,
    prefix: &str,
    digits: &str,
    spec: &Spec,
    meter: &Meter,
) -> Outcome<()> {
    let mut sign = match spec.sign {
        _ if negative => "-".to_owned(),
        Some(sign) => sign.to_string(),
        None => String::new(),
    };
    sign += prefix;
    let missing = spec.width.saturating_sub(sign.len() + digits.len());
    let align = spec.align.unwrap_or(if spec.zero { '=' } else { '>' });
    let (before, within, after) = match align {
        '<' => (0, 0, missing),
        '^' => (missing / 2, 0, missing - missing / 2),
        '=' => (0, missing, 0),
        _ => (missing, 0, 0),
    };
    if within > 0 && spec.group.is_some() && spec.zero {
        return failed("zeros in front of grouped digits are not supported");
    }
    pad(out, spec, before, meter)?;
    push(out, &sign, meter)?;
    pad(out, spec, within, meter)?;
    push(out, digits, meter)?;
    pad(out, spec, after, meter)
}

/// The digits of a positive float.
fn float_digits(x: f64, spec: &Spec) -> Outcome<String> {
    let kind = spec.kind.unwrap_or('r');
    let upper = kind.is_ascii_uppercase();
    let precision = spec.precision.unwrap_or(6);
    if precision > 1000 {
        return failed("more than 1000 digits behind the point are not supported");
    }
    if !x.is_finite() {
        let text = if x.is_nan() { "nan" } else { "inf" };
        return Ok(if upper { text.to_uppercase() } else { text.into() });
    }
    let exponential = |precision: usize| {
        let text = format!("{x:.precision$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        (mantissa.to_owned(), exponent.parse::<i32>().unwrap_or(0))
    };
    let joined = |mantissa: &str, exponent: i32| {
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
    let text = match kind {
        'f' | 'F' => format!("{x:.precision$}"),
        'e' | 'E' => {
            let (mantissa, exponent) = exponential(precision);
            joined(&mantissa, exponent)
        }
        'r' if spec.precision.is_none() => float(x),
        _ => {
            let significant = precision.max(1);
            let (mantissa, exponent) = exponential(significant - 1);
            let limit = significant as i32 - i32::from(kind == 'r');
            let plain = (-4..limit).contains(&exponent);
            let mut text =
                if plain { format!("{x:.*}", (significant as i32 - 1 - exponent).max(0) as usize) } else { mantissa };
            if text.contains('.') && !spec.alternate {
                text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
            }
            if plain && kind == 'r' && !text.contains('.') {
                text += ".0";
            }
            if plain { text } else { joined(&text, exponent) }
        }
    };
    Ok(if upper { text.to_uppercase() } else { text })
}

fn float_field(out: &mut String, x: f64, spec: &Spec, meter: &Meter) -> Outcome<()> {
    let mut text = float_digits(x.abs(), spec)?;
    if let Some(mark) = spec.group {
        text = grouped(&text, mark);
    }
    number_field(out, x.is_sign_negative() && !x.is_nan(), "", &text, spec, meter)
}

/// Puts `mark` between groups of three digits before the point.
fn grouped(text: &str, mark: char) -> String {
    let whole = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut out = String::new();
    for (i, c) in text[..whole].chars().enumerate() {
        if i > 0 && (whole - i) % 3 == 0 {
            out.push(mark);
        }
        out.push(c);
    }
    out + &text[whole..]
}

fn parse_spec(text: &str) -> Outcome<Spec> {
    let mut spec = Spec::default();
    let mut chars = text.chars().peekable();
    let is_align = |c: Option<char>| c.is_some_and(|c| "<>^=".contains(c));
    if is_align(text.chars().nth(1)) {
        spec.fill = chars.next();
        spec.align = chars.next();
    } else if is_align(chars.peek().copied()) {
        spec.align = chars.next();
    }
    if let Some(sign) = chars.next_if(|c| "+- ".contains(*c)) {
        spec.sign = Some(sign).filter(|s| *s != '-');
    }
    spec.alternate = chars.next_if_eq(&'#').is_some();
    spec.zero = chars.next_if_eq(&'0').is_some();
    spec.width = digits(&mut chars)?.unwrap_or(0);
    spec.group = chars.next_if(|c| ",_".contains(*c));
    if chars.next_if_eq(&'.').is_some() {
        spec.precision = digits(&mut chars)?;
        if spec.precision.is_none() {
            return failed("Format specifier missing precision");
        }
    }
    spec.kind = chars.next();
    if chars.next().is_some() {
        return failed(format!("invalid format specifier {text:?}"));
    }
    Ok(spec)
}

/// Appends Python's `format(value, spec)`.
fn format_value(out: &mut String, value: &Value, text: &str, meter: &Meter) -> Outcome<()> {
    if text.is_empty() {
        return with_str(value, meter, |s| push(out, s, meter));
    }
    let mut spec = parse_spec(text)?;
    let unknown =
        |kind: char| failed(format!("unknown format code '{kind}' for a value of type '{}'", value.type_name()));
    match value {
        Value::Str(s) => match spec.kind {
            None | Some('s') if spec.sign.is_none() && spec.align != Some('=') && spec.group.is_none() => {
                text_field(out, s, &spec, meter)
            }
            kind => unknown(kind.unwrap_or('s')),
        },
        Value::Bool(_) if spec.kind.is_none() => {
            failed("a truth value with a format is not supported: give the format a type")
        }
        Value::Int(_) | Value::Bool(_) => {
            let i = value.as_int().unwrap_or(0);
            match spec.kind {
                None | Some('d' | 'x' | 'X' | 'o' | 'b' | 'n') => {
                    if spec.precision.is_some() {
                        return failed("Precision not allowed in integer format specifier");
                    }
                    let (prefix, mut digits) = integer(i, spec.kind.unwrap_or('d'));
                    let prefix = if spec.alternate { prefix } else { "" };
                    match spec.group {
                        Some(mark) if matches!(spec.kind, None | Some('d')) => digits = grouped(&digits, mark),
                        Some(_) => return failed("grouped digits are supported for decimal numbers only"),
                        None => {}
                    }
                    number_field(out, i < 0, prefix, &digits, &spec, meter)
                }
                Some('c') => match u32::try_from(i).ok().and_then(char::from_u32) {
                    Some(c) => text_field(out, c.encode_utf8(&mut [0; 4]), &spec, meter),
                    None => failed("%c arg not in range"),
                },
                Some('%') => format_percent(out, i as f64, spec, meter),
                Some('e' | 'E' | 'f' | 'F' | 'g' | 'G') => float_field(out, i as f64, &spec, meter),
                Some(kind) => unknown(kind),
            }
        }
        Value::Float(x) => match spec.kind {
            Some('%') => format_percent(out, *x, spec, meter),
            Some('n') => {
                spec.kind = Some('g');
                float_field(out, *x, &spec, meter)
            }
            None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G') => float_field(out, *x, &spec, meter),
            Some(kind) => unknown(kind),
        },
        other => failed(format!("unsupported format string passed to {}.__format__", other.type_name())),
    }
}

fn format_percent(out: &mut String, x: f64, mut spec: Spec, meter: &Meter) -> Outcome<()> {
    spec.kind = Some('f');
    let mut digits = float_digits((x * 100.0).abs(), &spec)?;
    if let Some(mark) = spec.group {
        digits = grouped(&digits, mark);
    }
    number_field(out, x.is_sign_negative(), "", &(digits + "%"), &spec, meter)
}

/// The source of the arguments of `'{}'.format(…)`.
struct Arguments<'a> {
    call: &'a Call,
    next: usize,
    /// Whether the fields so far were counted (`{}`) or had numbers (`{0}`); Python does not allow both.
    counted: Option<bool>,
}

impl Run {
    /// Computes `text.format(…)`.
    pub fn format(&mut self, text: &str, call: &Call) -> Outcome<String> {
        self.format_fields(text, &mut Arguments { call, next: 0, counted: None }, 2)
    }

    fn format_fields(&mut self, text: &str, args: &mut Arguments<'_>, nesting: u32) -> Outcome<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            push(&mut out, &rest[..at], &self.meter)?;
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return failed("Single '}' encountered in format string");
            }
            if nesting == 0 {
                return failed("Max string recursion exceeded");
            }
            let (mut open, mut end) = (1, None);
            for (i, c) in rest.char_indices() {
                match c {
                    '{' => open += 1,
                    '}' => open -= 1,
                    _ => {}
                }
                if open == 0 {
                    end = Some(i);
                    break;
                }
            }
            let Some(end) = end else { return failed("expected '}' before end of string") };
            self.format_field(&mut out, &rest[..end], args, nesting)?;
            rest = &rest[end + 1..];
        }
        push(&mut out, rest, &self.meter)?;
        Ok(out)
    }

    fn format_field(&mut self, out: &mut String, field: &str, args: &mut Arguments<'_>, nesting: u32) -> Outcome<()> {
        let (head, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = head.split_once('!').map_or((head, None), |(name, c)| (name, Some(c)));
        let value = self.format_argument(name, args)?;
        let spec = self.format_fields(spec, args, nesting - 1)?;
        let value = match conversion {
            None => value,
            Some("s") => Value::str(to_str(&value, &self.meter)?),
            Some("r") => Value::str(quoted(&value, false, &self.meter)?),
            Some("a") => Value::str(quoted(&value, true, &self.meter)?),
            Some(other) => return failed(format!("unknown conversion specifier {other:?}")),
        };
        format_value(out, &value, &spec, &self.meter)
    }

    fn format_argument(&mut self, name: &str, args: &mut Arguments<'_>) -> Outcome<Value> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut path) = name.split_at(end);
        let positional = |index: usize, call: &Call| match call.positional.get(index) {
            Some(value) => Ok(value.clone()),
            None => failed(format!("Replacement index {index} out of range for positional args tuple")),
        };
        let counted = first.is_empty();
        let mut value = if counted || first.bytes().all(|b| b.is_ascii_digit()) {
            if *args.counted.get_or_insert(counted) != counted {
                return failed("a format cannot have both numbered and unnumbered fields");
            }
            args.next += usize::from(counted);
            positional(if counted { args.next - 1 } else { first.parse().unwrap_or(usize::MAX) }, args.call)?
        } else {
            match args.call.named.iter().find(|(n, _)| **n == *first) {
                Some((_, value)) => value.clone(),
                None => return failed(format!("there is no argument '{first}' to format")),
            }
        };
        while !path.is_empty() {
            value = if let Some(rest) = path.strip_prefix('.') {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                path = &rest[end..];
                self.attribute(&value, &rest[..end])?
            } else {
                let Some((key, rest)) = path[1..].split_once(']') else {
                    return failed("Missing ']' in format string");
                };
                path = rest;
                let key = key.parse().map_or_else(|_| Value::str(key), Value::Int);
                self.item(&value, &key)?
            };
        }
        Ok(value)
    }
}
