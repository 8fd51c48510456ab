//! Global functions, and the attributes and methods of Python's values.

use super::ast::Name;
use super::fault::{Outcome, failed};
use super::run::{Call, Run, reject, set_attribute};
use super::text::to_str;
use super::value::{Dict, VALUE, Value};

/// Largest number of items of a `range`, as in Jinja2's sandbox.
const RANGE: i64 = 100_000;

/// Methods that templates may call, by type. [`REFUSED`] has the names of the other attributes of Python's types.
const STR: &[&str] = &[
    "capitalize",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "casefold",
];
const LIST: &[&str] = &["count", "index", "copy"];
const TUPLE: &[&str] = &["count", "index"];
const DICT: &[&str] = &["get", "items", "keys", "values", "copy"];

/// Attributes that Python's types have and this interpreter does not. They give an error, because treating them as
/// undefined would silently give other output than Python.
const REFUSED: &[(&str, &[&str])] = &[
    ("str", &["encode", "format_map", "maketrans", "translate"]),
    ("dict", &["fromkeys"]),
    ("range", &["start", "stop", "step", "count", "index"]),
    (
        "int",
        &[
            "real",
            "imag",
            "numerator",
            "denominator",
            "bit_length",
            "bit_count",
            "conjugate",
            "to_bytes",
            "from_bytes",
            "as_integer_ratio",
            "is_integer",
        ],
    ),
    (
        "bool",
        &[
            "real",
            "imag",
            "numerator",
            "denominator",
            "bit_length",
            "bit_count",
            "conjugate",
            "to_bytes",
            "from_bytes",
            "as_integer_ratio",
            "is_integer",
        ],
    ),
    ("float", &["real", "imag", "conjugate", "as_integer_ratio", "is_integer", "hex", "fromhex"]),
    ("Macro", &["catch_kwargs", "catch_varargs", "explicit_caller"]),
    ("Cycler", &["reset", "items", "pos"]),
    ("Joiner", &["sep", "used"]),
];

/// Methods that change a value, which the sandbox does not allow.
const CHANGING: &[(&str, &[&str])] = &[
    ("list", &["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"]),
    ("dict", &["clear", "pop", "popitem", "setdefault", "update"]),
];

impl Run {
    /// Calls a global function.
    pub fn function(&mut self, name: &str, call: Call) -> Outcome<Value> {
        match name {
            "range" => range(call),
            "dict" => self.new_dict(call),
            "namespace" => {
                let Value::Dict(dict) = self.new_dict(call)? else { return failed("a namespace holds names") };
                let mut attributes: Vec<(Name, Value)> = Vec::new();
                for (key, value) in &dict.entries {
                    let Value::Str(name) = key else { return failed("a namespace holds names") };
                    set_attribute(&mut attributes, name.clone(), value.clone())?;
                }
                self.namespaces.push(attributes);
                Ok(Value::Namespace(self.namespaces.len() - 1))
            }
            "cycler" => {
                if call.positional.is_empty() {
                    return failed("a cycler needs at least one item");
                }
                self.cyclers.push((call.positional, 0));
                Ok(Value::Cycler(self.cyclers.len() - 1))
            }
            "joiner" => {
                let separator = call.bind(name, &["sep"], 0)?.remove(0).unwrap_or_else(|| Value::str(", "));
                self.joiners.push((separator, false));
                Ok(Value::Joiner(self.joiners.len() - 1))
            }
            "raise_exception" => {
                let message = call.bind(name, &["message"], 1)?.remove(0).unwrap_or(Value::None);
                Err(reject(to_str(&message, &self.meter)?))
            }
            "strftime_now" => {
                let format = call.bind(name, &["format"], 1)?.remove(0).unwrap_or(Value::None);
                let Some(format) = format.as_str() else { return failed("strftime_now needs a text") };
                self.asked_date = true;
                self.meter.spend(32 * format.len())?;
                crate::chat::time::strftime(format, self.now).map_or_else(failed, |text| Ok(Value::str(text)))
            }
            other => failed(format!("the function `{other}` is not supported in a chat template")),
        }
    }

    fn new_dict(&mut self, call: Call) -> Outcome<Value> {
        let mut entries = Vec::new();
        if call.positional.len() > 1 {
            return failed(format!("dict expected at most 1 argument, got {}", call.positional.len()));
        }
        for from in &call.positional {
            if let Value::Dict(dict) = from {
                self.meter.spend(dict.entries.len() * 2 * VALUE)?;
                entries.clone_from(&dict.entries);
                continue;
            }
            for pair in from.iterate(&self.meter)? {
                let mut pair = pair.iterate(&self.meter)?.into_iter();
                let (Some(key), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                    return failed("a dict is made of pairs");
                };
                Dict::set(&mut entries, key, value, &self.meter)?;
            }
        }
        for (name, value) in call.named {
            Dict::set(&mut entries, Value::Str(name), value, &self.meter)?;
        }
        Value::dict(entries)
    }

    /// The next item of a cycler.
    pub fn next_of_cycler(&mut self, n: usize) -> Outcome<Value> {
        let (items, at) = &mut self.cyclers[n];
        let item = items[*at].clone();
        *at = (*at + 1) % items.len();
        Ok(item)
    }

    /// The attribute of a value in Python's sense; `None` if there is none.
    pub fn own_attribute(&mut self, of: &Value, name: &str) -> Outcome<Option<Value>> {
        if let Value::Undefined(message) = of {
            return failed(&**message);
        }
        // In the sandbox such attributes are undefined, and fail only when they are used.
        let unsafe_attribute =
            || Value::undefined(format!("access to attribute '{name}' of '{}' is unsafe", of.object_name()));
        if name.starts_with("__") && name.ends_with("__") {
            return Ok(Some(unsafe_attribute()));
        }
        let methods = match of {
            Value::Str(_) | Value::Safe(_) => STR,
            Value::List(_) => LIST,
            Value::Tuple(_) => TUPLE,
            Value::Dict(_) => DICT,
            _ => &[],
        };
        if methods.contains(&name) {
            return Ok(Some(Value::Method(std::rc::Rc::new((of.clone(), name.into())))));
        }
        let type_name = if matches!(of, Value::Safe(_)) { "str" } else { of.type_name() };
        let known = |attributes: &[(&str, &[&str])]| {
            attributes.iter().any(|(t, names)| *t == type_name && names.contains(&name))
        };
        if known(CHANGING) {
            return Ok(Some(unsafe_attribute()));
        }
        if known(REFUSED) {
            return failed(format!("the attribute `{name}` of '{type_name}' is not supported in a chat template"));
        }
        Ok(match of {
            Value::Namespace(n) => {
                self.meter.spend(self.namespaces[*n].len() * 16)?;
                self.namespaces[*n].iter().find(|(n, _)| **n == *name).map(|(_, v)| v.clone())
            }
            Value::Loop(n) => self.loop_attribute(*n, name)?,
            Value::Macro(closure) if name == "name" => Some(Value::Str(closure.definition.name.clone())),
            Value::Macro(closure) if name == "arguments" => {
                let names = closure.definition.parameters.iter().map(|(name, _)| Value::Str(name.clone()));
                Some(Value::tuple(names.collect())?)
            }
            Value::Macro(closure) if name == "caller" => Some(Value::Bool(closure.definition.uses.caller)),
            Value::Cycler(n) if name == "current" => {
                let (items, at) = &self.cyclers[*n];
                Some(items[*at].clone())
            }
            Value::Cycler(n) if name == "next" => Some(Value::Cycler(*n)),
            _ => None,
        })
    }

    fn loop_attribute(&mut self, number: usize, name: &str) -> Outcome<Option<Value>> {
        let state = &self.loops[number];
        let (at, n) = (state.index, state.items.len());
        let int = |i: usize| Value::Int(i as i64);
        Ok(Some(match name {
            "index" => int(at + 1),
            "index0" => int(at),
            "revindex" => int(n - at),
            "revindex0" => int(n - at - 1),
            "first" => Value::Bool(at == 0),
            "last" => Value::Bool(at + 1 == n),
            "length" => int(n),
            "depth" => int(state.depth + 1),
            "depth0" => int(state.depth),
            "previtem" => match at.checked_sub(1) {
                Some(before) => state.items[before].clone(),
                None => Value::undefined("there is no previous item"),
            },
            "nextitem" => state.items.get(at + 1).cloned().unwrap_or_else(|| Value::undefined("there is no next item")),
            "cycle" | "changed" => Value::Method(std::rc::Rc::new((Value::Loop(number), name.into()))),
            _ => return Ok(None),
        }))
    }

    /// Calls a method of the variable `loop`.
    pub fn loop_method(&mut self, number: usize, name: &str, call: Call) -> Outcome<Value> {
        let state = &mut self.loops[number];
        if name == "cycle" {
            if call.positional.is_empty() {
                return failed("no items for cycling given");
            }
            return Ok(call.positional[state.index % call.positional.len()].clone());
        }
        let (new, old) = (Value::tuple(call.positional.clone())?, state.changed.replace(call.positional));
        match old {
            None => Ok(Value::Bool(true)),
            Some(old) => Ok(Value::Bool(!Value::tuple(old)?.equals(&new, &self.meter)?)),
        }
    }
}

fn range(call: Call) -> Outcome<Value> {
    if !call.named.is_empty() {
        return failed("range() takes no keyword arguments");
    }
    let ints: Option<Vec<i64>> = call.positional.iter().map(Value::as_int).collect();
    let (start, stop, step) = match ints.as_deref() {
        Some([stop]) => (0, *stop, 1),
        Some([start, stop]) => (*start, *stop, 1),
        Some([start, stop, step]) if *step != 0 => (*start, *stop, *step),
        Some([_, _, _]) => return failed("range() arg 3 must not be zero"),
        _ => return failed("range() needs one to three integers"),
    };
    let span = (i128::from(stop) - i128::from(start)) * i128::from(step.signum());
    let n = (span.max(0) + i128::from(step.unsigned_abs()) - 1) / i128::from(step.unsigned_abs());
    if n > i128::from(RANGE) {
        return failed(format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({RANGE})."));
    }
    Ok(Value::Range(start, n as i64, step))
}
