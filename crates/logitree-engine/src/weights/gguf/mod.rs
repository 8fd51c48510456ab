//! GGUF versions 2 and 3 over memory maps.
//!
//! A file consists of: the magic `GGUF`, version (u32), tensor count (u64), metadata count (u64); the metadata, each
//! entry as key, type, value; the tensor table, each entry as name, dimensions (fastest first), type, offset; padding
//! to `general.alignment`; the data of the tensors. All numbers are little-endian; a string is a length (u64) and its
//! bytes. Source: the GGUF specification in the ggml repository.
//!
//! Files may be malicious. So every count and length is checked against the bytes left before anything is read or
//! allocated, no function recurses, and tensors must lie within the file without overlapping.

mod cursor;
mod getters;
mod split;
mod tensors;
mod value;

pub use getters::FromValue;
pub(crate) use split::Split;
pub use value::{Array, Strings, Value, ValueType};

use super::map::Map;
use super::view::TensorView;
use crate::error::{DAMAGED, WeightsError};
use cursor::Cursor;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tensors::{Info, Tensor};

/// An open GGUF file, or all parts of a split one.
pub struct Gguf {
    parts: Vec<Map>,
    files: Vec<PathBuf>,
    /// The metadata of the first part. The metadata of the other parts only gives their numbers.
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
}

/// The header of one file.
struct Header<'a> {
    metadata: BTreeMap<String, Value>,
    tensors: Vec<(&'a str, Tensor)>,
}

/// Largest number of bytes of a key, from the specification.
const MAX_KEY: usize = (1 << 16) - 1;
/// Alignment in bytes if `general.alignment` is absent.
const DEFAULT_ALIGNMENT: usize = 32;
const CONVERT: &str = "convert the model anew with a current converter";

impl Gguf {
    /// Opens a file. If it is any part of a split model, all parts are opened.
    ///
    /// # Errors
    /// If a file cannot be read, is not a GGUF file, is damaged or of another version, or if a part of a split model is
    /// missing.
    pub fn open(path: &Path) -> Result<Gguf, WeightsError> {
        let split = Split::of(path).filter(|s| s.count > 1);
        let mut gguf =
            Gguf { parts: Vec::new(), files: Vec::new(), metadata: BTreeMap::new(), tensors: BTreeMap::new() };
        match &split {
            None => gguf.add(path, None)?,
            Some(split) => (0..split.count).try_for_each(|i| gguf.add(&split.part(i), Some((i, split.count))))?,
        }
        gguf.check_known_keys()?;
        if split.is_some()
            && let Some(expected) = gguf.u64("split.tensors.count")
            && expected != gguf.tensors.len() as u64
        {
            let problem = format!("is {expected}, but the parts hold {} tensors", gguf.tensors.len());
            return Err(gguf.error("split.tensors.count", problem, DAMAGED));
        }
        Ok(gguf)
    }

    fn add(&mut self, path: &Path, split: Option<(usize, usize)>) -> Result<(), WeightsError> {
        let map = Map::open(path)?;
        let part = self.parts.len();
        let header = Header::read(path, map.bytes(), part)?;
        check_split(path, &header.metadata, split)?;
        for (name, tensor) in header.tensors {
            if self.tensors.insert(name.to_string(), tensor).is_some() {
                return Err(WeightsError::field(path, format!("tensor `{name}`"), "comes twice", DAMAGED));
            }
        }
        if part == 0 {
            self.metadata = header.metadata;
        }
        self.parts.push(map);
        self.files.push(path.into());
        Ok(())
    }

    /// The path of the first part.
    pub fn path(&self) -> &Path {
        &self.files[0]
    }

    pub(super) fn maps(&self) -> &[Map] {
        &self.parts
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether there is a tensor of that name in the file.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of all tensors, sorted.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by its name in the file; `None` if there is none.
    ///
    /// # Errors
    /// If the tensor is of a type or shape that the engine does not read.
    pub fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, WeightsError> {
        let Some((name, t)) = self.tensors.get_key_value(name) else { return Ok(None) };
        let part = &self.parts[t.part];
        let data = &part.bytes()[t.bytes.clone()];
        TensorView::new(part.path(), name, t.dtype, &t.shape, data).map(Some)
    }

    /// Calls `f` with the element type, bytes and number of elements of every tensor.
    pub(super) fn each(&self, f: &mut dyn FnMut(&str, u64, u64)) {
        for t in self.tensors.values() {
            let bytes = t.bytes.len();
            f(t.dtype.name(), bytes as u64, (bytes / t.dtype.block_bytes() * t.dtype.block_len()) as u64);
        }
    }

    pub(super) fn release_pages(&self, data: &[u8]) {
        self.parts.iter().for_each(|p| p.release(data));
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// A metadata value of any type. [`Gguf::read`] and the short getters are usually more convenient.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The bytes of a string or array in the metadata.
    fn metadata_bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.parts[0].bytes()[range.clone()]
    }

    /// An error about a metadata key.
    pub(crate) fn error(&self, key: &str, problem: impl Into<String>, fix: &str) -> WeightsError {
        WeightsError::field(self.path(), key, problem, fix)
    }
}

impl<'a> Header<'a> {
    fn read(path: &'a Path, bytes: &'a [u8], part: usize) -> Result<Header<'a>, WeightsError> {
        let mut c = Cursor::new(path, bytes);
        check_magic(&mut c)?;
        let tensor_count = c.count(tensors::LEAST_INFO, "tensor count")?;
        // The smallest entry: length of the key, type, and one byte of value.
        let metadata_count = c.count(8 + 4 + 1, "metadata count")?;
        // Collections grow while entries are read, so a wrong count alone allocates nothing.
        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = c.name(MAX_KEY, "metadata key")?;
            let value = Value::read(&mut c, key)?;
            if metadata.insert(key.to_string(), value).is_some() {
                return Err(c.damaged(key, "comes twice"));
            }
        }
        let mut infos = Vec::new();
        for _ in 0..tensor_count {
            infos.push(Info::read(&mut c)?);
        }
        let alignment = alignment(&c, &metadata)?;
        let tensors = tensors::place(&c, infos, part, alignment, bytes.len())?;
        Ok(Header { metadata, tensors })
    }
}

fn check_magic(c: &mut Cursor<'_>) -> Result<(), WeightsError> {
    let magic = c.take(4, "magic number")?;
    if magic != b"GGUF" {
        let problem = format!("the file starts with \"{}\", not \"GGUF\"", magic.escape_ascii());
        let fix = "a model is a .gguf file or a folder with config.json and safetensors";
        return Err(WeightsError::field(c.path, "magic number", problem, fix));
    }
    let version = c.u32("version")?;
    let big_endian = (1..=3).contains(&version.swap_bytes());
    match version {
        2 | 3 => Ok(()),
        _ if big_endian => Err(WeightsError::field(c.path, "version", "the file is big-endian", CONVERT)),
        // Version 1 had 32-bit counts and was soon replaced.
        _ => Err(WeightsError::field(c.path, "version", format!("GGUF version {version} is not 2 or 3"), CONVERT)),
    }
}

fn alignment(c: &Cursor<'_>, metadata: &BTreeMap<String, Value>) -> Result<usize, WeightsError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        // The specification requires a multiple of 8, llama.cpp a power of two; both must hold.
        Some(&Value::Unsigned(n)) if n.is_power_of_two() && (8..=1 << 20).contains(&n) => Ok(n as usize),
        Some(value) => {
            let problem = format!("is {value:?}, expected a power of two from 8 to 1048576");
            Err(c.damaged("general.alignment", problem))
        }
    }
}

/// Checks that the part number and count in a file's metadata agree with its name.
fn check_split(
    path: &Path,
    metadata: &BTreeMap<String, Value>,
    expected: Option<(usize, usize)>,
) -> Result<(), WeightsError> {
    let number = |key: &str| match metadata.get(key) {
        Some(&Value::Unsigned(n)) => Some(n),
        _ => None,
    };
    let (index, count) = expected.unwrap_or((0, 1));
    for (key, expected) in [("split.no", index as u64), ("split.count", count as u64)] {
        // A file that is not split may omit both keys.
        let found = number(key).or((count == 1).then_some(expected));
        if found != Some(expected) {
            let found = metadata.get(key).map_or("absent".into(), |v| format!("{v:?}"));
            let problem = format!("is {found}, but by its name the file is part {} of {count}", index + 1);
            let fix = "keep all parts of a split model in one folder under their original names";
            return Err(WeightsError::field(path, key, problem, fix));
        }
    }
    Ok(())
}
