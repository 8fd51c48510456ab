//! Typed access to the metadata of one architecture, with errors that name the file and the key.

use crate::error::WeightsError;
use crate::weights::{Gguf, Value};

/// Advice in errors about metadata that is incomplete or contradicts itself.
pub(super) const RECONVERT: &str = "use a file made by a current converter";

/// The metadata of one architecture, whose keys begin with the architecture's name.
pub(super) struct Keys<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) arch: &'a str,
}

impl Keys<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    pub(super) fn error(&self, name: &str, problem: impl Into<String>) -> WeightsError {
        self.gguf.error(&self.key(name), problem, RECONVERT)
    }

    /// Reads an optional size. Some converters write an array with one equal number per layer instead of a single
    /// number.
    pub(super) fn optional(&self, name: &str) -> Result<Option<usize>, WeightsError> {
        if let Some(Value::Array(_)) = self.gguf.get(&self.key(name)) {
            return self.of_all_layers(name).map(Some);
        }
        // A size must fit 32 bits; the getter reports larger numbers.
        Ok(self.gguf.read::<u32>(&self.key(name))?.map(|n| n as usize))
    }

    /// The number of an array that has the same number for every layer.
    pub(super) fn of_all_layers(&self, name: &str) -> Result<usize, WeightsError> {
        let list = self.gguf.read::<Vec<i64>>(&self.key(name))?.unwrap_or_default();
        let layers = self.gguf.read::<u32>(&self.key("block_count"))?.unwrap_or_default() as usize;
        if list.len() != layers {
            return Err(self.error(name, format!("has {} entries for {layers} layers", list.len())));
        }
        let first = list.first().copied().unwrap_or_default();
        if let Some(other) = list.iter().find(|&&n| n != first) {
            let problem = format!("is {first} in one layer and {other} in another, which this engine does not run");
            return Err(self.gguf.error(&self.key(name), problem, "use another model"));
        }
        u32::try_from(first).map(|n| n as usize).map_err(|_| self.error(name, format!("is {first}, which is no size")))
    }

    pub(super) fn size(&self, name: &str) -> Result<usize, WeightsError> {
        self.optional(name)?.ok_or_else(|| self.error(name, "is missing"))
    }

    /// Reads the size for each of `count` layers: the file has one number for all of them, or a list.
    pub(super) fn by_layer(&self, name: &str, count: usize) -> Result<Vec<usize>, WeightsError> {
        let Some(Value::Array(_)) = self.gguf.get(&self.key(name)) else { return Ok(vec![self.size(name)?; count]) };
        let list = self.gguf.read::<Vec<i64>>(&self.key(name))?.unwrap_or_default();
        if list.len() != count {
            return Err(self.error(name, format!("has {} entries for {count} layers", list.len())));
        }
        let size = |&n: &i64| u32::try_from(n).map_err(|_| self.error(name, format!("{n} is not a size")));
        list.iter().map(|n| size(n).map(|n| n as usize)).collect()
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, WeightsError> {
        self.gguf.read(&self.key(name))
    }
}
