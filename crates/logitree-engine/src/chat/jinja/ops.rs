//! Python's operators.

use super::ast::Op;
use super::fault::{Outcome, failed};
use super::printf;
use super::run::Run;
use super::value::{Meter, VALUE, Value};

const LARGE: &str = "the result is an integer beyond 64 bits, which is not supported";

impl Run {
    /// Computes `left op right`.
    pub fn binary(&mut self, op: Op, left: &Value, right: &Value) -> Outcome<Value> {
        if let (Value::Undefined(message), _) | (_, Value::Undefined(message)) = (left, right)
            && !(op == Op::Rem && left.as_str().is_some())
        {
            return failed(&**message);
        }
        let meter = &self.meter;
        match (op, left, right) {
            (Op::Add, Value::Str(a), Value::Str(b)) => {
                meter.spend(a.len() + b.len())?;
                return Ok(Value::str([&**a, b].concat()));
            }
            (Op::Add, Value::Safe(_) | Value::Str(_), Value::Safe(_) | Value::Str(_)) => {
                meter.spend(6 * (length_of(left) + length_of(right)))?;
                return Ok(Value::Safe((escaped(left) + &escaped(right)).into()));
            }
            (Op::Add, Value::List(a), Value::List(b)) => {
                meter.spend((a.items.len() + b.items.len()) * VALUE)?;
                return Value::list([&a.items[..], &b.items].concat());
            }
            (Op::Add, Value::Tuple(a), Value::Tuple(b)) => {
                meter.spend((a.items.len() + b.items.len()) * VALUE)?;
                return Value::tuple([&a.items[..], &b.items].concat());
            }
            (Op::Mul, sequence @ (Value::Str(_) | Value::List(_) | Value::Tuple(_)), n)
            | (Op::Mul, n, sequence @ (Value::Str(_) | Value::List(_) | Value::Tuple(_)))
                if n.as_int().is_some() =>
            {
                return repeat(sequence, n.as_int().unwrap_or(0), meter);
            }
            (Op::Rem, Value::Str(format), args) => return printf::percent(format, args, meter).map(Value::str),
            (_, Value::Safe(_), _) => {
                return failed("text marked as safe can be joined and printed only: leave out `safe` or `escape`");
            }
            _ => {}
        }
        if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
            return integers(op, a, b);
        }
        match (left.as_float(), right.as_float()) {
            (Some(a), Some(b)) => floats(op, a, b),
            _ => failed(format!(
                "unsupported operand type(s) for {}: '{}' and '{}'",
                sign(op),
                left.type_name(),
                right.type_name()
            )),
        }
    }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::Div => "/",
        Op::FloorDiv => "//",
        Op::Rem => "%",
        Op::Pow => "**",
    }
}

fn length_of(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

/// The value as HTML: escaped, unless it is marked as HTML already.
pub(super) fn escaped(value: &Value) -> String {
    match value {
        Value::Safe(s) => s.to_string(),
        other => escape(other.as_str().unwrap_or_default()),
    }
}

/// Escapes a text like Python's `markupsafe.escape`.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('>', "&gt;").replace('<', "&lt;");
    text.replace('\'', "&#39;").replace('"', "&#34;")
}

fn repeat(sequence: &Value, n: i64, meter: &Meter) -> Outcome<Value> {
    let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    let items = match sequence {
        Value::Str(s) => {
            meter.spend(s.len().saturating_mul(n))?;
            return Ok(Value::str(s.repeat(n)));
        }
        Value::List(l) | Value::Tuple(l) => &l.items,
        _ => return failed("only texts, lists and tuples can be repeated"),
    };
    meter.spend(items.len().saturating_mul(n).saturating_mul(VALUE))?;
    let n = if items.is_empty() { 0 } else { n };
    let items = items.iter().cycle().take(items.len() * n).cloned().collect();
    if matches!(sequence, Value::List(_)) { Value::list(items) } else { Value::tuple(items) }
}

fn integers(op: Op, a: i64, b: i64) -> Outcome<Value> {
    let result = match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::Div | Op::FloorDiv | Op::Rem if b == 0 => return failed("division by zero"),
        Op::Div => return Ok(Value::Float(a as f64 / b as f64)),
        Op::FloorDiv => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        Op::Rem => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        Op::Pow if b < 0 => return floats(op, a as f64, b as f64),
        Op::Pow => match (a, u32::try_from(b)) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, Ok(b)) => a.checked_pow(b),
            _ => None,
        },
    };
    result.map_or_else(|| failed(LARGE), |i| Ok(Value::Int(i)))
}

fn floats(op: Op, a: f64, b: f64) -> Outcome<Value> {
    let modulo = |a: f64, b: f64| {
        let r = a % b;
        if r != 0.0 && (r < 0.0) != (b < 0.0) {
            r + b
        } else if r == 0.0 {
            0f64.copysign(b)
        } else {
            r
        }
    };
    Ok(Value::Float(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div | Op::FloorDiv | Op::Rem if b == 0.0 => return failed("float division by zero"),
        Op::Div => a / b,
        Op::FloorDiv => {
            let q = (a - modulo(a, b)) / b;
            let floor = q.floor();
            match q {
                0.0 => 0f64.copysign(a / b),
                q if q - floor > 0.5 => floor + 1.0,
                _ => floor,
            }
        }
        Op::Rem => modulo(a, b),
        Op::Pow => {
            let power = a.powf(b);
            if (a < 0.0 && b.fract() != 0.0) || (a == 0.0 && b < 0.0) || (power.is_infinite() && a.is_finite()) {
                return failed(format!("{a} ** {b} is no finite real number, which is not supported"));
            }
            power
        }
    }))
}

/// Computes `-value`.
pub(super) fn negative(value: &Value) -> Outcome<Value> {
    match (value, value.as_int()) {
        (Value::Undefined(message), _) => failed(&**message),
        (_, Some(i)) => i.checked_neg().map_or_else(|| failed(LARGE), |i| Ok(Value::Int(i))),
        (Value::Float(x), _) => Ok(Value::Float(-x)),
        _ => failed(format!("bad operand type for unary -: '{}'", value.type_name())),
    }
}

/// Computes `+value`.
pub(super) fn positive(value: &Value) -> Outcome<Value> {
    match (value, value.as_int()) {
        (Value::Undefined(message), _) => failed(&**message),
        (_, Some(i)) => Ok(Value::Int(i)),
        (Value::Float(_), _) => Ok(value.clone()),
        _ => failed(format!("bad operand type for unary +: '{}'", value.type_name())),
    }
}

/// The position of `index` in a sequence of `n` items; a negative index counts from the end.
pub(super) fn position(index: i64, n: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add(i64::try_from(n).ok()?)? } else { index };
    usize::try_from(at).ok().filter(|&at| at < n)
}

/// The item `of[key]`; `None` if there is no such item.
pub(super) fn item(of: &Value, key: &Value, meter: &Meter) -> Outcome<Option<Value>> {
    Ok(match (of, key.as_int()) {
        (Value::Dict(dict), _) => match key {
            // As in Jinja2, a key that is not hashable gives no item and no error.
            Value::List(_) | Value::Dict(_) => None,
            _ => dict.get(key, meter)?.cloned(),
        },
        (Value::List(l) | Value::Tuple(l), Some(i)) => position(i, l.items.len()).map(|at| l.items[at].clone()),
        (Value::Range(start, n, step), Some(i)) => position(i, usize::try_from(*n).unwrap_or(0))
            .map(|at| Value::Int(start.wrapping_add((at as i64).wrapping_mul(*step)))),
        (Value::Str(s) | Value::Safe(s), Some(i)) => {
            meter.spend(s.len())?;
            let n = s.chars().count();
            let c = position(i, n).and_then(|at| s.chars().nth(at));
            c.map(|c| Value::str(&*c.encode_utf8(&mut [0; 4])))
        }
        _ => None,
    })
}

/// The positions that Python's `[start:stop:step]` selects in a sequence of `n` items.
fn places(n: usize, [start, stop, step]: [Option<i64>; 3]) -> Outcome<Vec<usize>> {
    let n = n as i64;
    let step = step.unwrap_or(1);
    if step == 0 {
        return failed("slice step cannot be zero");
    }
    let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i.saturating_add(n) } else { i }).clamp(low, high);
    let mut places = Vec::new();
    if step > 0 {
        let mut at = start.map_or(0, |i| clamp(i, 0, n));
        let stop = stop.map_or(n, |i| clamp(i, 0, n));
        while at < stop {
            places.push(at as usize);
            at = at.saturating_add(step);
        }
    } else {
        let mut at = start.map_or(n - 1, |i| clamp(i, -1, n - 1));
        let stop = stop.map_or(-1, |i| clamp(i, -1, n - 1));
        while at > stop {
            places.push(at as usize);
            at = at.saturating_add(step);
        }
    }
    Ok(places)
}

/// Computes `of[start:stop:step]`.
pub(super) fn slice(of: &Value, bounds: [Option<i64>; 3], meter: &Meter) -> Outcome<Value> {
    let items = match of {
        Value::Str(s) | Value::Safe(s) => {
            meter.spend(s.len() * 16)?;
            let chars: Vec<char> = s.chars().collect();
            let text: String = places(chars.len(), bounds)?.into_iter().map(|at| chars[at]).collect();
            return Ok(if matches!(of, Value::Safe(_)) { Value::Safe(text.into()) } else { Value::str(text) });
        }
        Value::List(l) | Value::Tuple(l) => {
            meter.spend(l.items.len() * VALUE)?;
            places(l.items.len(), bounds)?.into_iter().map(|at| l.items[at].clone()).collect()
        }
        other => return failed(format!("a slice of '{}' is not supported", other.type_name())),
    };
    if matches!(of, Value::List(_)) { Value::list(items) } else { Value::tuple(items) }
}
