//! Metadata values of a GGUF file.

use super::cursor::Cursor;
use crate::error::WeightsError;
use std::ops::Range;

/// Types of metadata values, by their numbers in the GGUF specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const ALL: [ValueType; 13] = {
        use ValueType::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64]
    };

    /// Size of a value in bytes; `None` for strings and arrays, whose size varies.
    pub(super) fn size(self) -> Option<usize> {
        Some(match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 => 8,
            ValueType::String | ValueType::Array => return None,
        })
    }

    /// Smallest size in bytes of an array element. A string has at least its length, an array its element type and
    /// length.
    fn least(self) -> usize {
        self.size().unwrap_or(if self == ValueType::String { 8 } else { 12 })
    }

    fn read(c: &mut Cursor<'_>, key: &str) -> Result<ValueType, WeightsError> {
        let number = c.u32(key)?;
        let known = ValueType::ALL.get(number as usize).copied();
        known.ok_or_else(|| c.damaged(key, format!("value type {number} is unknown")))
    }
}

/// A metadata value. Strings and arrays stay in the file and are decoded when asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any non-negative integer.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// Any float; f32 is widened exactly.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A string: the position of its bytes in the first file.
    String(Range<usize>),
    /// An array, whose elements stay in the first file.
    Array(Array),
}

/// An array of metadata values.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Element type.
    pub of: ValueType,
    /// Number of elements.
    pub len: usize,
    /// Position of the encoded elements in the first file.
    pub bytes: Range<usize>,
}

/// Deepest accepted nesting of arrays. No known key has nested arrays.
const MAX_NESTING: usize = 8;

impl Value {
    pub(super) fn read(c: &mut Cursor<'_>, key: &str) -> Result<Value, WeightsError> {
        let kind = ValueType::read(c, key)?;
        match kind {
            ValueType::String => Ok(Value::String(c.string(key)?)),
            ValueType::Array => Ok(Value::Array(Array::read(c, key)?)),
            ValueType::Bool => match c.take(1, key)?[0] {
                b @ 0..=1 => Ok(Value::Bool(b == 1)),
                b => Err(c.damaged(key, format!("a boolean is {b}"))),
            },
            number => {
                let bytes = c.take(number.least(), key)?;
                let value = integer(number, bytes).map(Value::from_integer);
                value.or_else(|| float(number, bytes).map(Value::Float)).ok_or_else(|| c.damaged(key, "not a number"))
            }
        }
    }

    fn from_integer(n: i128) -> Value {
        // Every integer type of GGUF fits in i64 or in u64.
        u64::try_from(n).map_or(Value::Signed(n as i64), Value::Unsigned)
    }

    /// Describes the value for errors; numbers and booleans are given in full.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Unsigned(n) => format!("the integer {n}"),
            Value::Signed(n) => format!("the integer {n}"),
            Value::Float(x) => format!("the float {x}"),
            Value::Bool(b) => b.to_string(),
            Value::String(_) => "a string".into(),
            Value::Array(_) => "an array".into(),
        }
    }
}

impl Array {
    /// Skips over an array and checks it, without allocating memory for its elements.
    fn read(c: &mut Cursor<'_>, key: &str) -> Result<Array, WeightsError> {
        let (of, len) = Array::header(c, key)?;
        let start = c.at();
        // The arrays that enclose the current position, outermost first, with the number of elements left in each.
        let mut open = vec![(of, len)];
        while let Some((kind, left)) = open.pop() {
            match kind {
                ValueType::String => {
                    for _ in 0..left {
                        c.string(key)?;
                    }
                }
                ValueType::Array if left > 0 => {
                    open.push((kind, left - 1));
                    open.push(Array::header(c, key)?);
                    if open.len() > MAX_NESTING {
                        return Err(c.damaged(key, format!("arrays are nested more than {MAX_NESTING} levels deep")));
                    }
                }
                ValueType::Array => {}
                // The product cannot overflow, because `header` has checked the size of the array.
                number => {
                    let bytes = c.take(left * number.least(), key)?;
                    if number == ValueType::Bool && bytes.iter().any(|&b| b > 1) {
                        return Err(c.damaged(key, "a boolean is neither 0 nor 1"));
                    }
                }
            }
        }
        Ok(Array { of, len, bytes: start..c.at() })
    }

    fn header(c: &mut Cursor<'_>, key: &str) -> Result<(ValueType, usize), WeightsError> {
        let of = ValueType::read(c, key)?;
        Ok((of, c.count(of.least(), key)?))
    }
}

/// Decodes an integer of `kind` from its bytes; `None` for other types.
pub(super) fn integer(kind: ValueType, bytes: &[u8]) -> Option<i128> {
    Some(match kind {
        ValueType::U8 => i128::from(*bytes.first()?),
        ValueType::I8 => i128::from(*bytes.first()? as i8),
        ValueType::U16 => i128::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        ValueType::I16 => i128::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        ValueType::U32 => i128::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        ValueType::I32 => i128::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        ValueType::U64 => i128::from(u64::from_le_bytes(bytes.try_into().ok()?)),
        ValueType::I64 => i128::from(i64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

/// Decodes a float of `kind` from its bytes; `None` for other types.
pub(super) fn float(kind: ValueType, bytes: &[u8]) -> Option<f64> {
    match kind {
        ValueType::F32 => bytes.try_into().ok().map(|b| f64::from(f32::from_le_bytes(b))),
        ValueType::F64 => bytes.try_into().ok().map(f64::from_le_bytes),
        _ => None,
    }
}

/// Iterator over the strings of an array, as bytes that are borrowed from the file.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Strings<'a> {
    /// `bytes` is the encoding of `len` strings that [`Array::read`] walked over.
    pub(super) fn new(bytes: &'a [u8], len: usize) -> Strings<'a> {
        Strings { bytes, left: len }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.bytes.split_first_chunk::<8>()?;
        let (string, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        (self.bytes, self.left) = (rest, self.left.checked_sub(1)?);
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}
