//! Jinja2's tests: `value is name(…)`.

use super::ast::Op;
use super::fault::{Outcome, failed};
use super::run::{Call, Run};
use super::text::to_str;
use super::value::{Value, View};
use std::cmp::Ordering;

const NAMES: &[&str] = &[
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

impl Run {
    /// Computes `of is name(…)`.
    pub fn test(&mut self, name: &str, of: &Value, call: Call) -> Outcome<bool> {
        if !NAMES.contains(&name) {
            return failed(format!("No test named '{name}'."));
        }
        if let "eq" | "==" | "equalto" | "ne" | "!=" | "lt" | "<" | "lessthan" | "le" | "<=" | "gt" | ">"
        | "greaterthan" | "ge" | ">=" | "in" | "sameas" | "divisibleby" = name
        {
            let other = call.bind(name, &["other"], 1)?.remove(0).unwrap_or(Value::None);
            return self.test_pair(name, of, &other);
        }
        call.bind(name, &[], 0)?;
        Ok(match name {
            "defined" => !matches!(of, Value::Undefined(_)),
            "undefined" => matches!(of, Value::Undefined(_)),
            "none" => matches!(of, Value::None),
            "boolean" => matches!(of, Value::Bool(_)),
            "true" => matches!(of, Value::Bool(true)),
            "false" => matches!(of, Value::Bool(false)),
            "integer" => matches!(of, Value::Int(_)),
            "float" => matches!(of, Value::Float(_)),
            "number" => of.as_float().is_some(),
            "string" => of.as_str().is_some(),
            "mapping" => matches!(of, Value::Dict(_)),
            "escaped" => matches!(of, Value::Safe(_)),
            "iterable" => matches!(
                of,
                Value::Undefined(_)
                    | Value::Str(_)
                    | Value::Safe(_)
                    | Value::List(_)
                    | Value::Tuple(_)
                    | Value::Dict(_)
                    | Value::Range(..)
                    | Value::Generator(_)
                    | Value::View(..)
                    | Value::Loop(_)
            ),
            "sequence" => matches!(
                of,
                Value::Undefined(_)
                    | Value::Str(_)
                    | Value::Safe(_)
                    | Value::List(_)
                    | Value::Tuple(_)
                    | Value::Dict(_)
                    | Value::Range(..)
            ),
            "callable" => matches!(
                of,
                Value::Undefined(_)
                    | Value::Macro(_)
                    | Value::Method(_)
                    | Value::Function(_)
                    | Value::Loop(_)
                    | Value::Joiner(_)
            ),
            "odd" | "even" => {
                let rest = self.binary(Op::Rem, of, &Value::Int(2))?;
                rest.equals(&Value::Int(i64::from(name == "odd")), &self.meter)?
            }
            "lower" | "upper" => {
                let text = Value::str(to_str(of, &self.meter)?);
                let method = if name == "lower" { "islower" } else { "isupper" };
                self.method(&text, method, Call::default())?.is_true()
            }
            "filter" => of.as_str().is_some_and(super::filters::is_filter),
            _ => of.as_str().is_some_and(|name| NAMES.contains(&name)),
        })
    }

    fn test_pair(&mut self, name: &str, of: &Value, other: &Value) -> Outcome<bool> {
        let meter = &self.meter;
        match name {
            "eq" | "==" | "equalto" => of.equals(other, meter),
            "ne" | "!=" => Ok(!of.equals(other, meter)?),
            "lt" | "<" | "lessthan" => Ok(of.compare(other, meter)? == Some(Ordering::Less)),
            "gt" | ">" | "greaterthan" => Ok(of.compare(other, meter)? == Some(Ordering::Greater)),
            "le" | "<=" => Ok(of.compare(other, meter)?.is_some_and(Ordering::is_le)),
            "ge" | ">=" => Ok(of.compare(other, meter)?.is_some_and(Ordering::is_ge)),
            "in" => other.contains(of, meter),
            "divisibleby" => self.binary(Op::Rem, of, other)?.equals(&Value::Int(0), &self.meter),
            _ => same(of, other),
        }
    }
}

/// Python's `is`. It is an error if the answer depends on how Python stores values.
fn same(a: &Value, b: &Value) -> Outcome<bool> {
    Ok(match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) if a != b || (-5..=256).contains(a) => a == b,
        (Value::Namespace(a), Value::Namespace(b)) | (Value::Loop(a), Value::Loop(b)) => a == b,
        (Value::View(View::Items, _), _) => false,
        (a, b) if a.type_name() != b.type_name() => false,
        (Value::Str(a), Value::Str(b)) if a != b => false,
        _ => return failed("whether two equal values are the same object is not known: use `==`"),
    })
}
