//! Typed access to metadata by key.

use super::value::{self, Strings, Value, ValueType};
use super::{CONVERT, Gguf};
use crate::error::WeightsError;

/// A type that a metadata value can be read as.
pub trait FromValue<'a>: Sized {
    /// The type in words, for errors.
    const WHAT: &'static str;

    /// Reads a value of `gguf`; `None` if it is of another type or does not fit.
    fn from_value(gguf: &'a Gguf, value: &'a Value) -> Option<Self>;
}

impl FromValue<'_> for u64 {
    const WHAT: &'static str = "a non-negative integer";

    fn from_value(_: &Gguf, value: &Value) -> Option<u64> {
        match *value {
            Value::Unsigned(n) => Some(n),
            _ => None,
        }
    }
}

impl FromValue<'_> for u32 {
    const WHAT: &'static str = "a non-negative 32-bit integer";

    fn from_value(gguf: &Gguf, value: &Value) -> Option<u32> {
        u64::from_value(gguf, value).and_then(|n| u32::try_from(n).ok())
    }
}

impl FromValue<'_> for f32 {
    const WHAT: &'static str = "a number";

    fn from_value(_: &Gguf, value: &Value) -> Option<f32> {
        match *value {
            Value::Float(x) => Some(x as f32),
            // Some converters write floats that are whole numbers as integers.
            Value::Unsigned(n) => Some(n as f32),
            Value::Signed(n) => Some(n as f32),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    const WHAT: &'static str = "a boolean";

    fn from_value(_: &Gguf, value: &Value) -> Option<bool> {
        match *value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const WHAT: &'static str = "a UTF-8 string";

    fn from_value(gguf: &'a Gguf, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::String(range) => std::str::from_utf8(gguf.metadata_bytes(range)).ok(),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for Strings<'a> {
    const WHAT: &'static str = "an array of strings";

    fn from_value(gguf: &'a Gguf, value: &'a Value) -> Option<Strings<'a>> {
        match value {
            Value::Array(a) if a.of == ValueType::String => Some(Strings::new(gguf.metadata_bytes(&a.bytes), a.len)),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<f32> {
    const WHAT: &'static str = "an array of floats";

    fn from_value(gguf: &Gguf, value: &Value) -> Option<Vec<f32>> {
        elements(gguf, value, |of, b| value::float(of, b).map(|x| x as f32))
    }
}

impl FromValue<'_> for Vec<i64> {
    const WHAT: &'static str = "an array of integers";

    fn from_value(gguf: &Gguf, value: &Value) -> Option<Vec<i64>> {
        elements(gguf, value, |of, b| i64::try_from(value::integer(of, b)?).ok())
    }
}

impl FromValue<'_> for Vec<bool> {
    const WHAT: &'static str = "an array of booleans";

    fn from_value(gguf: &Gguf, value: &Value) -> Option<Vec<bool>> {
        elements(gguf, value, |of, b| (of == ValueType::Bool).then(|| b == [1]))
    }
}

/// Decodes the elements of an array; `None` if `decode` fails for one of them, or the value is not an array.
fn elements<T>(gguf: &Gguf, value: &Value, decode: impl Fn(ValueType, &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let Value::Array(a) = value else { return None };
    gguf.metadata_bytes(&a.bytes).chunks_exact(a.of.size()?).map(|b| decode(a.of, b)).collect()
}

/// Whether a value is of the type that a key of the specification calls for.
type Fits = fn(&Gguf, &Value) -> bool;

fn is<'a, T: FromValue<'a>>(gguf: &'a Gguf, value: &'a Value) -> bool {
    T::from_value(gguf, value).is_some()
}

/// Keys outside the architecture's own that this engine reads, with the types they must have.
const KNOWN: [(&str, &str, Fits); 16] = [
    ("general.architecture", <&str>::WHAT, |g, v| is::<&str>(g, v)),
    ("split.tensors.count", u64::WHAT, |g, v| is::<u64>(g, v)),
    ("tokenizer.chat_template", <&str>::WHAT, |g, v| is::<&str>(g, v)),
    ("tokenizer.ggml.model", <&str>::WHAT, |g, v| is::<&str>(g, v)),
    ("tokenizer.ggml.pre", <&str>::WHAT, |g, v| is::<&str>(g, v)),
    ("tokenizer.ggml.tokens", Strings::WHAT, |g, v| is::<Strings<'_>>(g, v)),
    ("tokenizer.ggml.merges", Strings::WHAT, |g, v| is::<Strings<'_>>(g, v)),
    ("tokenizer.ggml.scores", <Vec<f32>>::WHAT, |_, v| is_array(v, &[ValueType::F32, ValueType::F64])),
    ("tokenizer.ggml.token_type", "an array of 32-bit integers", |_, v| is_array(v, &[ValueType::I32, ValueType::U32])),
    ("tokenizer.ggml.bos_token_id", u32::WHAT, is_id),
    ("tokenizer.ggml.eos_token_id", u32::WHAT, is_id),
    ("tokenizer.ggml.eot_token_id", u32::WHAT, is_id),
    ("tokenizer.ggml.eom_token_id", u32::WHAT, is_id),
    ("tokenizer.ggml.unknown_token_id", u32::WHAT, is_id),
    ("tokenizer.ggml.add_bos_token", bool::WHAT, |g, v| is::<bool>(g, v)),
    ("tokenizer.ggml.add_space_prefix", bool::WHAT, |g, v| is::<bool>(g, v)),
];

/// An id with all bits set means that there is none; some files have it as a signed number, -1.
fn is_id(gguf: &Gguf, value: &Value) -> bool {
    is::<u32>(gguf, value) || matches!(value, Value::Signed(-1))
}

/// Looks only at the type of the elements: decoding an array as long as the vocabulary would cost more than opening the
/// file.
fn is_array(value: &Value, of: &[ValueType]) -> bool {
    matches!(value, Value::Array(a) if of.contains(&a.of))
}

/// The short getters (such as [`Gguf::u64`]) return `None` for an absent key. For the keys of the tokenizer and
/// `general.architecture` there is no other reason for `None`, because their types were checked when the file was
/// opened. For other keys, only [`Gguf::read`] tells a wrong type from an absent key.
impl Gguf {
    /// Fails if one of the [`KNOWN`] keys has a wrong type.
    pub(super) fn check_known_keys(&self) -> Result<(), WeightsError> {
        for (key, wanted, fits) in KNOWN {
            match self.get(key) {
                Some(value) if !fits(self, value) => return Err(self.wrong_type(key, value, wanted)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The value of a key: `None` if it is absent, an error if it is of another type.
    ///
    /// # Errors
    /// If the key holds a value of another type.
    pub fn read<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        T::from_value(self, value).map(Some).ok_or_else(|| self.wrong_type(key, value, T::WHAT))
    }

    fn wrong_type(&self, key: &str, value: &Value, wanted: &str) -> WeightsError {
        self.error(key, format!("is {}, expected {wanted}", value.describe()), CONVERT)
    }

    fn short<'a, T: FromValue<'a>>(&'a self, key: &str) -> Option<T> {
        T::from_value(self, self.get(key)?)
    }

    /// A non-negative integer.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.short(key)
    }

    /// The id of the special token `tokenizer.ggml.NAME_token_id`; `None` if the key is absent or the id has all bits
    /// set.
    pub(crate) fn token_id(&self, name: &str) -> Option<u32> {
        self.short(&format!("tokenizer.ggml.{name}_token_id")).filter(|&id: &u32| id != u32::MAX)
    }

    /// A float.
    pub fn f32(&self, key: &str) -> Option<f32> {
        self.short(key)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.short(key)
    }

    /// A string.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.short(key)
    }

    /// An array of strings, as raw bytes that are borrowed from the file.
    pub fn strings(&self, key: &str) -> Option<Vec<&[u8]>> {
        self.short::<Strings<'_>>(key).map(Strings::collect)
    }

    /// An array of floats.
    pub fn f32s(&self, key: &str) -> Option<Vec<f32>> {
        self.short(key)
    }

    /// An array of integers.
    pub fn i64s(&self, key: &str) -> Option<Vec<i64>> {
        self.short(key)
    }
}
