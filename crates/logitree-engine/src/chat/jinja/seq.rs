//! The filters that make, select or order values of a sequence.

use super::ast::Name;
use super::fault::{Outcome, failed};
use super::run::{Call, Run};
use super::sort::sort_by;
use super::text::{push, with_str};
use super::value::{Meter, VALUE, Value, check_key};
use std::cmp::Ordering;

/// The filters of this file.
pub(super) const NAMES: &[&str] = &[
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "sort",
    "dictsort",
    "unique",
    "min",
    "max",
    "sum",
    "groupby",
    "batch",
    "slice",
    "join",
    "list",
    "first",
    "last",
    "reverse",
    "items",
];

/// The value that is compared: with `case_sensitive=False` a text is lowered.
fn folded(value: &Value, sensitive: bool, meter: &Meter) -> Outcome<Value> {
    match value {
        Value::Str(s) if !sensitive => {
            meter.spend(2 * s.len())?;
            Ok(Value::str(s.to_lowercase()))
        }
        other => Ok(other.clone()),
    }
}

fn flag(value: Option<&Value>, default: bool) -> bool {
    value.map_or(default, Value::is_true)
}

impl Run {
    /// The attribute of a value by a path such as `a.b.0`, as in the argument `attribute` of filters.
    pub fn attribute_path(&mut self, of: &Value, path: &Value, default: Option<&Value>) -> Outcome<Value> {
        let mut value = of.clone();
        if path.as_int().is_some() {
            value = self.item(&value, path)?;
        } else {
            let Some(path) = path.as_str() else { return failed("an attribute is a text or a number") };
            self.meter.spend(path.len())?;
            for part in path.split('.') {
                let key = match part.parse::<i64>() {
                    Ok(i) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(i),
                    _ => Value::str(part),
                };
                value = self.item(&value, &key)?;
                if let (Value::Undefined(_), Some(default)) = (&value, default) {
                    value = default.clone();
                }
            }
        }
        Ok(value)
    }

    /// The values by which items are compared.
    fn keys(&mut self, items: &[Value], attribute: Option<&Value>, sensitive: bool) -> Outcome<Vec<Value>> {
        let mut keys = Vec::new();
        for item in items {
            let key = match attribute {
                Some(Value::None) | None => item.clone(),
                Some(path) => self.attribute_path(item, path, None)?,
            };
            keys.push(folded(&key, sensitive, &self.meter)?);
        }
        Ok(keys)
    }

    fn sorted(&mut self, items: Vec<Value>, keys: Vec<Value>, reverse: bool) -> Outcome<Vec<(Value, Value)>> {
        self.meter.spend(items.len() * 4 * VALUE)?;
        let mut pairs: Vec<(Value, Value)> = keys.into_iter().zip(items).collect();
        let meter = &self.meter;
        // As in Python, equal items keep their order in a reversed sort too; reversing the result would not do that.
        sort_by(&mut pairs, |a, b| if reverse { b.0.compare(&a.0, meter) } else { a.0.compare(&b.0, meter) })?;
        Ok(pairs)
    }

    /// Calls one of the filters of [`NAMES`].
    pub fn sequence_filter(&mut self, name: &str, of: &Value, call: Call) -> Outcome<Value> {
        Ok(match name {
            "map" => self.map(of, call)?,
            "select" | "reject" | "selectattr" | "rejectattr" => self.select(name, of, call)?,
            "sort" => {
                let a = call.bind(name, &["reverse", "case_sensitive", "attribute"], 0)?;
                let items = of.iterate(&self.meter)?;
                let keys = self.sort_keys(&items, a[2].as_ref(), flag(a[1].as_ref(), false))?;
                let sorted = self.sorted(items, keys, flag(a[0].as_ref(), false))?;
                Value::list(sorted.into_iter().map(|(_, item)| item).collect())?
            }
            "dictsort" => {
                let a = call.bind(name, &["case_sensitive", "by", "reverse"], 0)?;
                let at = match a[1].as_ref().map_or(Some("key"), Value::as_str) {
                    Some("key") => 0,
                    Some("value") => 1,
                    _ => return failed("dictsort sorts by 'key' or 'value'"),
                };
                let Some(pairs) = super::builtins::view(of, "items") else { return failed("dictsort needs a dict") };
                let items = pairs.iterate(&self.meter)?;
                let keys = self.keys(&items, Some(&Value::Int(at)), flag(a[0].as_ref(), false))?;
                let sorted = self.sorted(items, keys, flag(a[2].as_ref(), false))?;
                Value::list(sorted.into_iter().map(|(_, item)| item).collect())?
            }
            "unique" => {
                let a = call.bind(name, &["case_sensitive", "attribute"], 0)?;
                let items = of.iterate(&self.meter)?;
                let keys = self.keys(&items, a[1].as_ref(), flag(a[0].as_ref(), false))?;
                let (mut seen, mut kept): (Vec<Value>, _) = (Vec::new(), Vec::new());
                keys.iter().try_for_each(|key| check_key(key, &self.meter))?;
                for (key, item) in keys.into_iter().zip(items) {
                    let mut new = true;
                    for other in &seen {
                        new &= !other.equals(&key, &self.meter)?;
                    }
                    if new {
                        kept.push(item);
                        seen.push(key);
                    }
                }
                Value::generator(kept)?
            }
            "min" | "max" => {
                let a = call.bind(name, &["case_sensitive", "attribute"], 0)?;
                let items = of.iterate(&self.meter)?;
                let keys = self.keys(&items, a[1].as_ref(), flag(a[0].as_ref(), false))?;
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                let mut best: Option<(Value, Value)> = None;
                for (key, item) in keys.into_iter().zip(items) {
                    let better = match &best {
                        None => true,
                        Some((b, _)) => key.compare(b, &self.meter)? == Some(wanted),
                    };
                    if better {
                        best = Some((key, item));
                    }
                }
                best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty."), |(_, item)| item)
            }
            "sum" => {
                let a = call.bind(name, &["attribute", "start"], 0)?;
                let mut total = a[1].clone().unwrap_or(Value::Int(0));
                for item in of.iterate(&self.meter)? {
                    let item = match &a[0] {
                        None | Some(Value::None) => item,
                        Some(path) => self.attribute_path(&item, path, None)?,
                    };
                    if item.as_str().is_some() || total.as_str().is_some() {
                        return failed("sum() can't sum strings: use join");
                    }
                    total = self.binary(super::ast::Op::Add, &total, &item)?;
                }
                total
            }
            "groupby" => {
                let a = call.bind(name, &["attribute", "default", "case_sensitive"], 1)?;
                self.group_by(of, a)?
            }
            "batch" | "slice" => {
                let names = if name == "batch" { ["linecount", "fill_with"] } else { ["slices", "fill_with"] };
                let a = call.bind(name, &names, 1)?;
                let n = a[0].as_ref().and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
                let Some(n) = n else { return failed(format!("{name} needs a number above 0")) };
                let fill = a[1].clone().filter(|v| !matches!(v, Value::None));
                self.parts(of, n, fill, name == "batch")?
            }
            "join" => {
                let a = call.bind(name, &["d", "attribute"], 0)?;
                let separator = a[0].clone().unwrap_or_else(|| Value::str(""));
                let mut out = String::new();
                for (i, item) in of.iterate(&self.meter)?.into_iter().enumerate() {
                    let item = match &a[1] {
                        None | Some(Value::None) => item,
                        Some(path) => self.attribute_path(&item, path, None)?,
                    };
                    if i > 0 {
                        with_str(&separator, &self.meter, |s| push(&mut out, s, &self.meter))?;
                    }
                    with_str(&item, &self.meter, |s| push(&mut out, s, &self.meter))?;
                }
                Value::str(out)
            }
            "list" => {
                call.bind(name, &[], 0)?;
                Value::list(of.iterate(&self.meter)?)?
            }
            "first" => {
                call.bind(name, &[], 0)?;
                let first = match of {
                    // Only one value is taken from a generator; the others stay in it.
                    Value::Generator(g) => g.rest.borrow_mut().next(),
                    other => other.iterate(&self.meter)?.into_iter().next(),
                };
                first.unwrap_or_else(|| Value::undefined("No first item, sequence was empty."))
            }
            "last" => {
                call.bind(name, &[], 0)?;
                if let Value::Generator(_) = of {
                    return failed("'generator' object is not reversible");
                }
                let last = of.iterate(&self.meter)?.pop();
                last.unwrap_or_else(|| Value::undefined("No last item, sequence was empty."))
            }
            "reverse" => {
                call.bind(name, &[], 0)?;
                if let Value::Str(text) = of {
                    self.meter.spend(text.len())?;
                    return Ok(Value::str(text.chars().rev().collect::<String>()));
                }
                let mut items = of.iterate(&self.meter)?;
                items.reverse();
                Value::generator(items)?
            }
            "items" => {
                call.bind(name, &[], 0)?;
                match of {
                    Value::Undefined(_) => Value::generator(Vec::new())?,
                    Value::Dict(_) => {
                        let view = super::builtins::view(of, "items").unwrap_or(Value::None);
                        Value::generator(view.iterate(&self.meter)?)?
                    }
                    _ => return failed("Can only get item pairs from a mapping."),
                }
            }
            _ => return failed(format!("No filter named '{name}'.")),
        })
    }

    /// The keys of the filter `sort`. They are lists, because `sort` accepts several attributes between commas.
    fn sort_keys(&mut self, items: &[Value], attribute: Option<&Value>, sensitive: bool) -> Outcome<Vec<Value>> {
        let mut columns = Vec::new();
        match attribute.and_then(Value::as_str) {
            Some(paths) => {
                for path in paths.split(',') {
                    columns.push(self.keys(items, Some(&Value::str(path)), sensitive)?.into_iter());
                }
            }
            None => columns.push(self.keys(items, attribute, sensitive)?.into_iter()),
        }
        let rows = items.iter().map(|_| Value::list(columns.iter_mut().filter_map(Iterator::next).collect()));
        rows.collect()
    }

    fn map(&mut self, of: &Value, mut call: Call) -> Outcome<Value> {
        // As in Jinja2, every false value, such as None, counts as an empty list.
        if !of.is_true() {
            return Value::generator(Vec::new());
        }
        let items = of.iterate(&self.meter)?;
        let mut mapped = Vec::new();
        if call.positional.is_empty() {
            let a = call.bind("map", &["attribute", "default"], 1)?;
            let path = a[0].clone().unwrap_or(Value::None);
            for item in items {
                mapped.push(self.attribute_path(&item, &path, a[1].as_ref())?);
            }
            return Value::generator(mapped);
        }
        let filter = call.positional.remove(0);
        let Some(filter) = filter.as_str() else { return failed("map needs the name of a filter") };
        for item in items {
            let call = call.again(&self.meter)?;
            mapped.push(self.deeper(|run| run.filter(filter, item, call))?);
        }
        Value::generator(mapped)
    }

    fn select(&mut self, name: &str, of: &Value, mut call: Call) -> Outcome<Value> {
        if !of.is_true() {
            return Value::generator(Vec::new());
        }
        let path = if name.ends_with("attr") {
            if call.positional.is_empty() {
                return failed("Missing parameter for attribute name");
            }
            Some(call.positional.remove(0))
        } else {
            None
        };
        let test = if call.positional.is_empty() { None } else { Some(call.positional.remove(0)) };
        let mut kept = Vec::new();
        for item in of.iterate(&self.meter)? {
            let tested = match &path {
                Some(path) => self.attribute_path(&item, path, None)?,
                None => item.clone(),
            };
            let holds = match &test {
                None => tested.is_true(),
                Some(test) => {
                    let Some(test) = test.as_str() else { return failed(format!("{name} needs the name of a test")) };
                    let call = call.again(&self.meter)?;
                    self.deeper(|run| run.test(test, &tested, call))?
                }
            };
            if holds == name.starts_with("select") {
                kept.push(item);
            }
        }
        Value::generator(kept)
    }

    fn group_by(&mut self, of: &Value, a: Vec<Option<Value>>) -> Outcome<Value> {
        let items = of.iterate(&self.meter)?;
        let (path, sensitive) = (a[0].clone().unwrap_or(Value::None), flag(a[2].as_ref(), false));
        let mut plain = Vec::new();
        for item in &items {
            plain.push(self.attribute_path(item, &path, a[1].as_ref())?);
        }
        let pairs: Vec<Value> = plain
            .iter()
            .zip(&items)
            .map(|(key, item)| Value::tuple(vec![key.clone(), item.clone()]))
            .collect::<Outcome<_>>()?;
        let keys = plain.iter().map(|key| folded(key, sensitive, &self.meter)).collect::<Outcome<_>>()?;
        let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
        for (key, pair) in self.sorted(pairs, keys, false)? {
            let Value::Tuple(pair) = pair else { continue };
            let (name, item) = (pair.items[0].clone(), pair.items[1].clone());
            match groups.last_mut() {
                Some((last, _, group)) if last.equals(&key, &self.meter)? => group.push(item),
                _ => groups.push((key, name, vec![item])),
            }
        }
        let mut named = Vec::new();
        for (_, name, group) in groups {
            named.push(Value::tuple(vec![name, Value::list(group)?])?);
        }
        Value::list(named)
    }

    /// The filters `batch` (parts of `n` items) and `slice` (`n` parts).
    fn parts(&mut self, of: &Value, n: usize, fill: Option<Value>, batch: bool) -> Outcome<Value> {
        let items = of.iterate(&self.meter)?;
        let mut parts = Vec::new();
        if batch {
            for part in items.chunks(n) {
                let mut part = part.to_vec();
                if let Some(fill) = &fill {
                    self.meter.spend((n - part.len()).saturating_mul(VALUE))?;
                    part.resize(n, fill.clone());
                }
                parts.push(Value::list(part)?);
            }
            return Value::generator(parts);
        }
        self.meter.spend(n.saturating_mul(4 * VALUE))?;
        let (each, more) = (items.len() / n, items.len() % n);
        let mut rest = items.into_iter();
        for i in 0..n {
            let mut part: Vec<Value> = rest.by_ref().take(each + usize::from(i < more)).collect();
            if let Some(fill) = fill.as_ref().filter(|_| i >= more) {
                part.push(fill.clone());
            }
            parts.push(Value::list(part)?);
        }
        Value::generator(parts)
    }
}

impl Call {
    /// A copy of the arguments, for a filter or test that is called once per item.
    fn again(&self, meter: &Meter) -> Outcome<Call> {
        meter.spend((self.positional.len() + 2 * self.named.len()) * VALUE)?;
        let named: Vec<(Name, Value)> = self.named.clone();
        Ok(Call { positional: self.positional.clone(), named })
    }
}
