//! Reads small JSON objects of any shape, as headers have them, with a limit on their size.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Largest number of values in an object, nested ones included. A strategy has a dozen parameters. A value takes 32
/// bytes of memory even if it has two in the file, so a longer list is refused while it is read.
const MOST: usize = 10_000;

/// Reads an object of at most [`MOST`] values.
///
/// # Errors
/// If there are more values, or it is no object.
pub fn map<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    let mut left = MOST;
    match (Few { left: &mut left }).deserialize(from)? {
        Value::Object(map) => Ok(map),
        _ => Err(D::Error::custom("not an object")),
    }
}

/// Reads a value and counts down how many more may come.
struct Few<'a> {
    left: &'a mut usize,
}

impl Few<'_> {
    fn count<E: Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom(format!("more than {MOST} values")))?;
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Few<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Few<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.count(Value::Null)
    }

    fn visit_bool<E: Error>(self, x: bool) -> Result<Value, E> {
        self.count(x)
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<Value, E> {
        self.count(x)
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<Value, E> {
        self.count(x)
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Value, E> {
        self.count(x)
    }

    fn visit_str<E: Error>(self, x: &str) -> Result<Value, E> {
        self.count(x)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(x) = from.next_element_seed(Few { left: self.left })? {
            list.push(x);
        }
        self.count(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            map.insert(name, from.next_value_seed(Few { left: self.left })?);
        }
        self.count(map)
    }
}
