//! The values of a template: those of Python that templates use.
//!
//! As in transformers' sandbox, lists and dicts cannot be changed after they are made. So they cannot contain
//! themselves, and their nesting depth is known and limited. Namespaces can change, so a value refers to a namespace by
//! its number.

use super::ast::Macro;
use super::fault::{Outcome, failed, stopped};
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

/// Largest nesting depth of lists and dicts.
const DEEPEST: u32 = 200;
/// Number of bytes that the meter counts for a value within a list.
pub(super) const VALUE: usize = 32;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An undefined value, with the message of the error that Jinja2 gives when it is used.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    /// A text that `safe` or `escape` marked as HTML.
    Safe(Arc<str>),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    /// A `range`, with its start, number of items and step.
    Range(i64, i64, i64),
    /// A generator, whose items can be read only once.
    Generator(Rc<Generator>),
    /// The result of `keys()`, `values()` or `items()` of a dict.
    View(View, Rc<Dict>),
    Namespace(usize),
    Macro(Rc<Closure>),
    /// A method with the value that it belongs to.
    Method(Rc<(Value, Arc<str>)>),
    /// A global function.
    Function(&'static str),
    /// The variable `loop`, with the number of its loop.
    Loop(usize),
    Cycler(usize),
    Joiner(usize),
}

/// The items of a list or tuple.
#[derive(Debug)]
pub(super) struct Items {
    pub items: Vec<Value>,
    depth: u32,
}

/// The entries of a dict, in the order in which the keys were added.
#[derive(Debug)]
pub(super) struct Dict {
    pub entries: Vec<(Value, Value)>,
    depth: u32,
}

/// The items of a generator that have not been read yet.
#[derive(Debug)]
pub(super) struct Generator {
    pub rest: RefCell<std::vec::IntoIter<Value>>,
    depth: u32,
}

/// The kinds of views of a dict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Keys,
    Values,
    Items,
}

/// A macro, with the number of the scope in which it was defined.
#[derive(Debug)]
pub(super) struct Closure {
    pub definition: Arc<Macro>,
    pub scope: usize,
}

/// The units that a rendering may still spend. Steps and bytes that are made or read are counted together. The count
/// never goes down, so it bounds memory as well as time.
#[derive(Debug)]
pub(super) struct Meter {
    left: Cell<u64>,
}

impl Meter {
    pub fn new(units: u64) -> Meter {
        Meter { left: Cell::new(units) }
    }

    /// Counts `bytes`, or fails if not enough is left. Must be called before the bytes are allocated or read.
    pub fn spend(&self, bytes: usize) -> Outcome<()> {
        match self.left.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(0);
                stopped("it took too many steps, or more memory than any chat needs")
            }
        }
    }
}

impl Value {
    pub fn undefined(message: impl Into<Rc<str>>) -> Value {
        Value::Undefined(message.into())
    }

    pub fn str(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into())
    }

    pub fn list(items: Vec<Value>) -> Outcome<Value> {
        Ok(Value::List(Rc::new(Items { depth: above(&items)?, items })))
    }

    pub fn tuple(items: Vec<Value>) -> Outcome<Value> {
        Ok(Value::Tuple(Rc::new(Items { depth: above(&items)?, items })))
    }

    pub fn generator(items: Vec<Value>) -> Outcome<Value> {
        let depth = above(&items)?;
        Ok(Value::Generator(Rc::new(Generator { rest: RefCell::new(items.into_iter()), depth })))
    }

    /// A dict of these entries, whose keys must differ; [`Dict::build`] ensures that.
    pub fn dict(entries: Vec<(Value, Value)>) -> Outcome<Value> {
        let deepest = entries.iter().map(|(k, v)| k.depth().max(v.depth())).max().unwrap_or(0);
        if deepest >= DEEPEST {
            return too_deep();
        }
        Ok(Value::Dict(Rc::new(Dict { entries, depth: deepest + 1 })))
    }

    fn depth(&self) -> u32 {
        match self {
            Value::List(items) | Value::Tuple(items) => items.depth,
            Value::Dict(dict) => dict.depth,
            Value::View(_, dict) => dict.depth + 1,
            Value::Generator(generator) => generator.depth,
            Value::Method(method) => method.0.depth() + 1,
            _ => 0,
        }
    }

    /// The name of the type in Python.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Safe(_) => "Markup",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Range(..) => "range",
            Value::Generator(_) => "generator",
            Value::View(View::Keys, _) => "dict_keys",
            Value::View(View::Values, _) => "dict_values",
            Value::View(View::Items, _) => "dict_items",
            Value::Namespace(_) => "Namespace",
            Value::Macro(_) => "Macro",
            Value::Method(_) => "builtin_function_or_method",
            Value::Function(_) => "function",
            Value::Loop(_) => "LoopContext",
            Value::Cycler(_) => "Cycler",
            Value::Joiner(_) => "Joiner",
        }
    }

    /// The name of the type in Jinja2's error messages.
    pub fn object_name(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Undefined(_) => "Undefined".into(),
            other => format!("{} object", other.type_name()),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Float(x) => *x != 0.0,
            Value::Str(s) | Value::Safe(s) => !s.is_empty(),
            Value::List(l) | Value::Tuple(l) => !l.items.is_empty(),
            Value::Dict(d) | Value::View(_, d) => !d.entries.is_empty(),
            Value::Range(_, n, _) => *n > 0,
            _ => true,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) | Value::Safe(s) => Some(s),
            _ => None,
        }
    }

    /// The value as an integer, if it is an int or a bool.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// The value as a float, if it is a number.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(x) => Some(*x),
            other => other.as_int().map(|i| i as f64),
        }
    }

    /// The items that a loop over this value goes through.
    pub fn iterate(&self, meter: &Meter) -> Outcome<Vec<Value>> {
        let pair = |(k, v): &(Value, Value)| Value::tuple(vec![k.clone(), v.clone()]);
        Ok(match self {
            Value::Undefined(_) => Vec::new(),
            Value::Str(s) | Value::Safe(s) => {
                meter.spend(s.len() * (VALUE + 16))?;
                let mut utf8 = [0; 4];
                s.chars().map(|c| Value::str(&*c.encode_utf8(&mut utf8))).collect()
            }
            Value::List(l) | Value::Tuple(l) => {
                meter.spend(l.items.len() * VALUE)?;
                l.items.clone()
            }
            Value::Dict(d) | Value::View(View::Keys, d) => {
                meter.spend(d.entries.len() * VALUE)?;
                d.entries.iter().map(|(k, _)| k.clone()).collect()
            }
            Value::View(View::Values, d) => {
                meter.spend(d.entries.len() * VALUE)?;
                d.entries.iter().map(|(_, v)| v.clone()).collect()
            }
            Value::View(View::Items, d) => {
                meter.spend(d.entries.len() * VALUE * 4)?;
                d.entries.iter().map(pair).collect::<Outcome<_>>()?
            }
            Value::Range(start, n, step) => {
                meter.spend(*n as usize * VALUE)?;
                (0..*n).map(|i| Value::Int(start.wrapping_add(i.wrapping_mul(*step)))).collect()
            }
            Value::Generator(g) => {
                let rest = std::mem::take(&mut *g.rest.borrow_mut());
                meter.spend(rest.len() * VALUE)?;
                rest.collect()
            }
            other => return failed(format!("'{}' object is not iterable", other.type_name())),
        })
    }

    /// Computes Python's `==`.
    pub fn equals(&self, other: &Value, meter: &Meter) -> Outcome<bool> {
        meter.spend(VALUE)?;
        Ok(match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a) | Value::Safe(a), Value::Str(b) | Value::Safe(b)) => {
                meter.spend(a.len().min(b.len()))?;
                a == b
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                a.items.len() == b.items.len() && all(a.items.iter().zip(&b.items), |(a, b)| a.equals(b, meter))?
            }
            (Value::Dict(a), Value::Dict(b)) => {
                a.entries.len() == b.entries.len()
                    && all(a.entries.iter(), |(k, v)| match b.get(k, meter)? {
                        Some(w) => v.equals(w, meter),
                        None => Ok(false),
                    })?
            }
            (Value::Range(..), Value::Range(..)) => {
                let (a, b) = (self.iterate(meter)?, other.iterate(meter)?);
                a.len() == b.len() && all(a.iter().zip(&b), |(a, b)| a.equals(b, meter))?
            }
            (Value::Namespace(a), Value::Namespace(b)) => a == b,
            (Value::Function(a), Value::Function(b)) => a == b,
            (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
            (Value::View(View::Keys, a), Value::View(View::Keys, b)) => {
                a.entries.len() == b.entries.len() && all(a.entries.iter(), |(k, _)| Ok(b.get(k, meter)?.is_some()))?
            }
            (Value::View(View::Items, a), Value::View(View::Items, b)) => {
                Value::Dict(a.clone()).equals(&Value::Dict(b.clone()), meter)?
            }
            (Value::Method(_), Value::Method(_)) => return failed("comparing methods is not supported"),
            (Value::Generator(a), Value::Generator(b)) => Rc::ptr_eq(a, b),
            (a, b) => match (a.as_int(), b.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => match (a.as_float(), b.as_float()) {
                    (Some(a), Some(b)) => a == b,
                    _ => false,
                },
            },
        })
    }

    /// Python's order, or an error if the values have none; `None` if a number is NaN.
    pub fn compare(&self, other: &Value, meter: &Meter) -> Outcome<Option<Ordering>> {
        meter.spend(VALUE)?;
        Ok(match (self, other) {
            (Value::Str(a) | Value::Safe(a), Value::Str(b) | Value::Safe(b)) => {
                meter.spend(a.len().min(b.len()))?;
                // Rust compares UTF-8 bytes, which gives the same order as Python's code points.
                Some(a.cmp(b))
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (x, y) in a.items.iter().zip(&b.items) {
                    if !x.equals(y, meter)? {
                        return x.compare(y, meter);
                    }
                }
                Some(a.items.len().cmp(&b.items.len()))
            }
            (Value::Undefined(message), _) | (_, Value::Undefined(message)) => return failed(&**message),
            (a, b) => match (a.as_int(), b.as_int()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => match (a.as_float(), b.as_float()) {
                    (Some(a), Some(b)) => a.partial_cmp(&b),
                    _ => {
                        let (a, b) = (a.type_name(), b.type_name());
                        return failed(format!("'{a}' and '{b}' cannot be ordered"));
                    }
                },
            },
        })
    }

    /// Computes Python's `item in self`.
    pub fn contains(&self, item: &Value, meter: &Meter) -> Outcome<bool> {
        match self {
            Value::Str(s) | Value::Safe(s) => {
                let Some(part) = item.as_str() else {
                    return failed(format!("'in <string>' requires string as left operand, not {}", item.type_name()));
                };
                meter.spend(s.len() + part.len())?;
                Ok(s.contains(part))
            }
            Value::Dict(d) | Value::View(View::Keys, d) => Ok(d.get(item, meter)?.is_some()),
            Value::List(l) | Value::Tuple(l) => {
                for x in &l.items {
                    if x.equals(item, meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Namespace(_) => {
                failed(format!("argument of type '{}' is not iterable", self.type_name()))
            }
            other => {
                for x in other.iterate(meter)? {
                    if x.equals(item, meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Dict {
    /// The value of a key; `None` if the key is absent.
    pub fn get(&self, key: &Value, meter: &Meter) -> Outcome<Option<&Value>> {
        check_key(key, meter)?;
        for (k, v) in &self.entries {
            if k.equals(key, meter)? {
                return Ok(Some(v));
            }
        }
        Ok(None)
    }

    /// Sets the value of a key. A key that already exists keeps its position.
    pub fn set(entries: &mut Vec<(Value, Value)>, key: Value, value: Value, meter: &Meter) -> Outcome<()> {
        check_key(&key, meter)?;
        meter.spend(2 * VALUE)?;
        for (k, v) in entries.iter_mut() {
            if k.equals(&key, meter)? {
                *v = value;
                return Ok(());
            }
        }
        entries.push((key, value));
        Ok(())
    }
}

/// Fails if a key is not hashable in Python.
pub(super) fn check_key(key: &Value, meter: &Meter) -> Outcome<()> {
    match key {
        Value::List(_) | Value::Dict(_) => failed(format!("unhashable type: '{}'", key.type_name())),
        Value::Tuple(items) => {
            meter.spend(items.items.len() * VALUE)?;
            items.items.iter().try_for_each(|item| check_key(item, meter))
        }
        _ => Ok(()),
    }
}

fn above(items: &[Value]) -> Outcome<u32> {
    match items.iter().map(Value::depth).max().unwrap_or(0) {
        depth if depth >= DEEPEST => too_deep(),
        depth => Ok(depth + 1),
    }
}

fn too_deep<T>() -> Outcome<T> {
    stopped(format!("it nested values more than {DEEPEST} deep"))
}

fn all<T>(mut items: impl Iterator<Item = T>, mut test: impl FnMut(T) -> Outcome<bool>) -> Outcome<bool> {
    items.try_fold(true, |so_far, item| if so_far { test(item) } else { Ok(false) })
}
