//! GGUF versions 2 and 3 over a memory map.
//!
//! Format: magic `GGUF`, version u32, tensor count u64, metadata count u64; metadata as key, type, value;
//! tensor infos as name, dimensions (fastest first), type, offset; padding; data. Little-endian.
//! All counts and offsets are checked against the bytes that are left before anything is allocated.

use super::{Map, TensorView, WeightsError};
use logitree_kernels::DType;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A metadata value. Arrays stay in the map and are decoded when asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// Where the string's bytes are.
    String(Range<usize>),
    /// Element type, length, and where the elements are.
    Array(u32, usize, Range<usize>),
}

struct Tensor {
    part: usize,
    dtype: DType,
    rows: usize,
    cols: usize,
    data: Range<usize>,
}

/// An open GGUF file, or all parts of a split one.
pub struct Gguf {
    parts: Vec<Map>,
    /// Of the first part.
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, Tensor>,
}

/// Most dimensions a tensor may have.
const MAX_DIMS: u32 = 4;
/// Longest name of a key or tensor.
const MAX_NAME: usize = 1 << 16;
/// Arrays nested deeper are refused.
const MAX_NESTING: usize = 4;

impl Gguf {
    /// Opens a file; given any part of a split model, opens all of them.
    pub fn open(path: &Path) -> Result<Gguf, WeightsError> {
        let first = split_parts(path).map_or_else(|| path.to_path_buf(), |(_, _, name)| name(1));
        let mut gguf = Gguf { parts: Vec::new(), metadata: HashMap::new(), tensors: HashMap::new() };
        gguf.add(&first)?;
        if let Some((_, count, name)) = split_parts(&first) {
            for i in 2..=count {
                gguf.add(&name(i))?;
            }
            if let Some(expected) = gguf.u64("split.tensors.count")
                && expected != gguf.tensors.len() as u64
            {
                let what = format!("the parts hold {} tensors instead of {expected}", gguf.tensors.len());
                return Err(WeightsError::format(&first, what));
            }
        }
        Ok(gguf)
    }

    fn add(&mut self, path: &Path) -> Result<(), WeightsError> {
        let map = Map::open(path)?;
        let part = self.parts.len();
        let mut r = Reader { path, bytes: map.bytes(), at: 0 };
        let version = r.header()?;
        // Version 1 had 32-bit counts and ended in 2023.
        if !(2..=3).contains(&version) {
            return Err(
                r.error(format!("GGUF version {version} is not supported, only 2 and 3; convert the model anew"))
            );
        }
        let tensor_count = r.count("tensor count", 24)?;
        let metadata_count = r.count("metadata count", 13)?;
        let mut metadata = HashMap::with_capacity(metadata_count);
        for _ in 0..metadata_count {
            let key = r.name("metadata key")?;
            let kind = r.u32("value type")?;
            let value = r.value(kind, &key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(r.error(format!("metadata key `{key}` comes twice")));
            }
        }
        let mut infos = Vec::with_capacity(tensor_count);
        for _ in 0..tensor_count {
            infos.push(r.tensor_info()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(&Value::Unsigned(a)) if a.is_power_of_two() && a <= 1 << 20 => a as usize,
            Some(_) => return Err(r.error("`general.alignment` is not a power of two".into())),
        };
        let data = r.at.next_multiple_of(alignment);
        let mut spans: Vec<(usize, usize, String)> = Vec::with_capacity(tensor_count);
        for (name, dtype, rows, cols, offset) in infos {
            let size = dtype.row_bytes(cols).and_then(|row| row.checked_mul(rows));
            let range = size.and_then(|size| {
                let start = data.checked_add(usize::try_from(offset).ok()?)?;
                Some(start..start.checked_add(size)?)
            });
            let range = range.filter(|range| range.end <= r.bytes.len()).ok_or_else(|| {
                r.error(format!(
                    "tensor `{name}` ([{rows}, {cols}] {dtype} at offset {offset}) does not fit the file of {} bytes: it is truncated or damaged, download it again",
                    r.bytes.len()
                ))
            })?;
            if !offset.is_multiple_of(alignment as u64) {
                return Err(
                    r.error(format!("tensor `{name}` starts at offset {offset}, not a multiple of {alignment}"))
                );
            }
            spans.push((range.start, range.end, name.clone()));
            let tensor = Tensor { part, dtype, rows, cols, data: range };
            if self.tensors.insert(name.clone(), tensor).is_some() {
                return Err(r.error(format!("tensor `{name}` comes twice")));
            }
        }
        spans.sort();
        if let Some(w) = spans.windows(2).find(|w| w[0].1 > w[1].0) {
            return Err(r.error(format!("tensors `{}` and `{}` overlap", w[0].2, w[1].2)));
        }
        if part == 0 {
            self.metadata = metadata;
        }
        self.parts.push(map);
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.parts[0].path()
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|p| p.path().to_path_buf()).collect()
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let t = self.tensors.get(name)?;
        let data = &self.parts[t.part].bytes()[t.data.clone()];
        Some(TensorView { name: name.into(), dtype: t.dtype, rows: t.rows, cols: t.cols, data })
    }

    pub(crate) fn each(&self, f: &mut dyn FnMut(DType, usize)) {
        self.tensors.values().for_each(|t| f(t.dtype, t.data.len()));
    }

    pub(crate) fn release_pages(&self, data: &[u8]) {
        self.parts.iter().for_each(|p| p.release(data));
    }

    /// A metadata value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All keys with their values.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(k, v)| (&k[..], v))
    }

    /// A non-negative integer.
    pub fn u64(&self, key: &str) -> Option<u64> {
        match *self.get(key)? {
            Value::Unsigned(n) => Some(n),
            Value::Signed(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }

    /// A number as f32.
    pub fn f32(&self, key: &str) -> Option<f32> {
        match *self.get(key)? {
            Value::Float(x) => Some(x as f32),
            Value::Unsigned(n) => Some(n as f32),
            Value::Signed(n) => Some(n as f32),
            _ => None,
        }
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match *self.get(key)? {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// A string; `None` too if it is not UTF-8.
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::String(range) => std::str::from_utf8(&self.parts[0].bytes()[range.clone()]).ok(),
            _ => None,
        }
    }

    /// An array of strings, as bytes.
    pub fn strings(&self, key: &str) -> Option<Vec<&[u8]>> {
        let Value::Array(STRING, len, range) = self.get(key)? else { return None };
        let mut r = Reader { path: self.path(), bytes: self.parts[0].bytes(), at: range.start };
        // The ranges were walked when the file was opened, so this does not fail.
        (0..*len).map(|_| r.bytes_of_string("array element").ok().map(|range| &r.bytes[range])).collect()
    }

    /// An array of numbers as f32.
    pub fn f32s(&self, key: &str) -> Option<Vec<f32>> {
        self.numbers(key, |kind, b| match kind {
            F32 => b.try_into().ok().map(f32::from_le_bytes),
            F64 => b.try_into().ok().map(|b| f64::from_le_bytes(b) as f32),
            _ => integer(kind, b).map(|n| n as f32),
        })
    }

    /// An array of integers.
    pub fn i64s(&self, key: &str) -> Option<Vec<i64>> {
        self.numbers(key, integer)
    }

    fn numbers<T>(&self, key: &str, decode: impl Fn(u32, &[u8]) -> Option<T>) -> Option<Vec<T>> {
        let Value::Array(kind, _, range) = self.get(key)? else { return None };
        let size = fixed_size(*kind)?;
        self.parts[0].bytes()[range.clone()].chunks_exact(size).map(|b| decode(*kind, b)).collect()
    }
}

const U32: u32 = 4;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const F64: u32 = 12;

/// Bytes of a value type; `None` for strings, arrays and unknown types.
fn fixed_size(kind: u32) -> Option<usize> {
    Some(match kind {
        0 | 1 | BOOL => 1,
        2 | 3 => 2,
        U32 | 5 | F32 => 4,
        10 | 11 | F64 => 8,
        _ => return None,
    })
}

fn integer(kind: u32, b: &[u8]) -> Option<i64> {
    Some(match kind {
        0 | BOOL => i64::from(*b.first()?),
        1 => i64::from(*b.first()? as i8),
        2 => i64::from(u16::from_le_bytes(b.try_into().ok()?)),
        3 => i64::from(i16::from_le_bytes(b.try_into().ok()?)),
        U32 => i64::from(u32::from_le_bytes(b.try_into().ok()?)),
        5 => i64::from(i32::from_le_bytes(b.try_into().ok()?)),
        10 => i64::try_from(u64::from_le_bytes(b.try_into().ok()?)).ok()?,
        11 => i64::from_le_bytes(b.try_into().ok()?),
        _ => return None,
    })
}

/// For `NAME-00002-of-00005.gguf`: 2, 5 and how to name part `i`.
fn split_parts(path: &Path) -> Option<(usize, usize, impl Fn(usize) -> PathBuf + use<>)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, index) = rest.rsplit_once('-')?;
    if count.len() != 5 || index.len() != 5 {
        return None;
    }
    let (index, count) = (index.parse().ok()?, count.parse::<usize>().ok()?);
    let (stem, folder) = (stem.to_string(), path.parent().map(Path::to_path_buf).unwrap_or_default());
    (index >= 1 && index <= count && count > 1)
        .then_some((index, count, move |i| folder.join(format!("{stem}-{i:05}-of-{count:05}.gguf"))))
}

/// Reads from a map, checking every length against what is left.
struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

type Info = (String, DType, usize, usize, u64);

impl<'a> Reader<'a> {
    fn error(&self, what: String) -> WeightsError {
        WeightsError::format(self.path, what)
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], WeightsError> {
        let left = self.bytes.len() - self.at;
        if n > left {
            return Err(self.error(format!(
                "{what} at byte {} needs {n} bytes but {left} are left: the file is truncated or damaged, download it again",
                self.at
            )));
        }
        let out = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(out)
    }

    fn u32(&mut self, what: &str) -> Result<u32, WeightsError> {
        let b = self.take(4, what)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn u64(&mut self, what: &str) -> Result<u64, WeightsError> {
        let (low, high) = (self.u32(what)?, self.u32(what)?);
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, what: &str, least: usize) -> Result<usize, WeightsError> {
        let n = self.u64(what)?;
        let most = ((self.bytes.len() - self.at) / least) as u64;
        if n > most {
            return Err(self.error(format!("{what} is {n}, but the file has room for {most} at most: it is damaged")));
        }
        Ok(n as usize)
    }

    fn header(&mut self) -> Result<u32, WeightsError> {
        match self.take(4, "magic number")? {
            b"GGUF" => {}
            b"FUGG" => return Err(self.error("big-endian GGUF is not supported; convert the model anew".into())),
            _ => {
                return Err(self.error("not a GGUF file (a model is a .gguf file or a folder with config.json)".into()));
            }
        }
        let version = self.u32("version")?;
        if version & 0xffff == 0 && version != 0 {
            return Err(self.error("big-endian GGUF is not supported; convert the model anew".into()));
        }
        Ok(version)
    }

    fn bytes_of_string(&mut self, what: &str) -> Result<Range<usize>, WeightsError> {
        let len = self.count(what, 1)?;
        self.take(len, what)?;
        Ok(self.at - len..self.at)
    }

    fn name(&mut self, what: &str) -> Result<String, WeightsError> {
        let range = self.bytes_of_string(what)?;
        if range.len() > MAX_NAME {
            return Err(self.error(format!("{what} of {} bytes at byte {}", range.len(), range.start)));
        }
        let name = std::str::from_utf8(&self.bytes[range.clone()]);
        name.map(str::to_string).map_err(|_| self.error(format!("{what} at byte {} is not UTF-8", range.start)))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, WeightsError> {
        if let Some(size) = fixed_size(kind) {
            let b = self.take(size, key)?;
            return Ok(match kind {
                BOOL => Value::Bool(b[0] != 0),
                F32 => Value::Float(f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
                F64 => Value::Float(f64::from_bits(b.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))),
                10 => Value::Unsigned(b.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))),
                _ => match integer(kind, b) {
                    Some(n) if n < 0 => Value::Signed(n),
                    n => Value::Unsigned(n.unwrap_or(0) as u64),
                },
            });
        }
        match kind {
            STRING => Ok(Value::String(self.bytes_of_string(key)?)),
            ARRAY => self.array(key),
            _ => Err(self.error(format!("metadata key `{key}` has unknown type {kind}"))),
        }
    }

    /// Walks over an array. Nested ones are skipped level by level, without recursion.
    fn array(&mut self, key: &str) -> Result<Value, WeightsError> {
        let kind = self.u32(key)?;
        let len = self.count(key, fixed_size(kind).unwrap_or(8))?;
        let start = self.at;
        // Arrays still to be walked: element type and elements left.
        let mut open = vec![(kind, len)];
        while let Some((kind, left)) = open.pop() {
            if let Some(size) = fixed_size(kind) {
                self.take(left * size, key)?;
            } else if left > 0 {
                open.push((kind, left - 1));
                match kind {
                    STRING => {
                        self.bytes_of_string(key)?;
                    }
                    ARRAY if open.len() < MAX_NESTING => {
                        let kind = self.u32(key)?;
                        open.push((kind, self.count(key, fixed_size(kind).unwrap_or(8))?));
                    }
                    ARRAY => return Err(self.error(format!("metadata key `{key}`: arrays nested too deeply"))),
                    _ => return Err(self.error(format!("metadata key `{key}`: array of unknown type {kind}"))),
                }
            }
        }
        Ok(Value::Array(kind, len, start..self.at))
    }

    fn tensor_info(&mut self) -> Result<Info, WeightsError> {
        let name = self.name("tensor name")?;
        let dims = self.u32(&name)?;
        if dims == 0 || dims > MAX_DIMS {
            return Err(self.error(format!("tensor `{name}` has {dims} dimensions")));
        }
        let mut shape = Vec::with_capacity(dims as usize);
        for _ in 0..dims {
            let n = self.u64(&name)?;
            match usize::try_from(n) {
                Ok(n) if n > 0 => shape.push(n),
                _ => return Err(self.error(format!("tensor `{name}` has a dimension of {n}"))),
            }
        }
        let kind = self.u32(&name)?;
        let offset = self.u64(&name)?;
        let dtype = DType::from_ggml(kind).ok_or_else(|| {
            let known = DType::ALL.map(DType::name).join(", ");
            self.error(format!("tensor `{name}` has type number {kind}, which is not supported; supported are {known}"))
        })?;
        // The fastest dimension comes first.
        let rows = shape[1..].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        let rows = rows.ok_or_else(|| self.error(format!("tensor `{name}` is impossibly large")))?;
        Ok((name, dtype, rows, shape[0], offset))
    }
}
