//! Typed access to JSON objects, with errors that name the file and the field.

use crate::error::WeightsError;
use crate::weights::refuse_pointer;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;

/// Larger files are refused: the index of the largest known model has a few megabytes.
const MAX_BYTES: u64 = 64 << 20;
/// The fix where a file describes a model that the engine does not compute.
pub(crate) const UNSUPPORTED: &str = "this variant of the architecture is not supported; use another model";
/// The fix where config.json contradicts itself.
pub(crate) const CORRECT: &str = "download config.json again, or correct it";
const EDIT: &str = "download the file again, or correct it";

/// Reads a JSON file that must hold an object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, WeightsError> {
    let file = std::fs::File::open(path).map_err(WeightsError::io(path))?;
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(WeightsError::io(path))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(WeightsError::field(path, "length", format!("more than {MAX_BYTES} bytes of JSON"), EDIT));
    }
    refuse_pointer(path, &text)?;
    // The parser limits nesting by itself.
    let value = serde_json::from_slice(&text)
        .map_err(|e| WeightsError::field(path, format!("line {}", e.line()), format!("not valid JSON: {e}"), EDIT))?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(WeightsError::field(path, "line 1", format!("{} instead of an object", describe(&other)), EDIT)),
    }
}

/// An object of a JSON file. Getters give `None` where the key is absent or null, and an error where it holds
/// something else than what is asked for.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    pub(crate) file: &'a Path,
    /// Path to the object within the file, ending in a dot unless empty.
    prefix: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(file: &'a Path, map: &'a Map<String, Value>) -> Fields<'a> {
        Fields { file, prefix: String::new(), map }
    }

    pub(crate) fn error(&self, key: &str, problem: impl Into<String>, fix: &str) -> WeightsError {
        WeightsError::field(self.file, format!("{}{key}", self.prefix), problem, fix)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.map.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Whether the key is there, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        decode: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let problem = || self.error(key, format!("is {}, expected {wanted}", describe(value)), EDIT);
        decode(value).map(Some).ok_or_else(problem)
    }

    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, WeightsError> {
        self.typed(key, "a non-negative integer", |v| usize::try_from(v.as_u64()?).ok())
    }

    pub(crate) fn float(&self, key: &str) -> Result<Option<f64>, WeightsError> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn str(&self, key: &str) -> Result<Option<&'a str>, WeightsError> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn array(&self, key: &str) -> Result<Option<&'a [Value]>, WeightsError> {
        self.typed(key, "an array", |v| v.as_array().map(Vec::as_slice))
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<Fields<'a>>, WeightsError> {
        let map = self.typed(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Fields { file: self.file, prefix: format!("{}{key}.", self.prefix), map }))
    }

    /// The value of a getter, or an error if the key was absent.
    pub(crate) fn require<T>(&self, key: &str, value: Option<T>) -> Result<T, WeightsError> {
        value.ok_or_else(|| self.error(key, "is missing", EDIT))
    }
}

/// What a value is, for errors; small values in full.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::String(s) if s.len() > 60 => "a long string".into(),
        small => small.to_string(),
    }
}
