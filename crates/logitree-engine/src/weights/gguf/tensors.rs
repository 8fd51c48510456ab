//! The tensor table of a GGUF file: names, types, shapes, and the positions of the data.

use super::cursor::Cursor;
use crate::error::{DAMAGED, WeightsError};
use logitree_kernels::DType;
use std::ops::Range;

/// A tensor of a file.
pub(super) struct Tensor {
    /// Index of the part of a split file that holds the tensor.
    pub(super) part: usize,
    pub(super) dtype: DType,
    /// Dimensions, slowest first, as everywhere in this crate. In the file they are fastest first.
    pub(super) shape: Vec<usize>,
    /// Position of the tensor's bytes in that part.
    pub(super) bytes: Range<usize>,
}

/// An entry of the table as read, before its position in the file has been computed.
pub(super) struct Info<'a> {
    name: &'a str,
    dtype: DType,
    shape: Vec<usize>,
    size: usize,
    /// Offset in bytes from the start of the data.
    offset: u64,
}

/// Size in bytes of the smallest entry: length of the name, number of dimensions, one dimension, type, offset.
pub(super) const LEAST_INFO: usize = 8 + 4 + 8 + 4 + 8;
/// Largest number of dimensions, as in llama.cpp (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// Largest number of bytes of a name. Known names are far shorter.
const MAX_NAME: usize = 1024;

/// Element types of llama.cpp that this engine cannot read, by number.
const UNSUPPORTED: [(u32, &str); 21] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
    (4, "Q4_2"),
    (5, "Q4_3"),
];

impl<'a> Info<'a> {
    pub(super) fn read(c: &mut Cursor<'a>) -> Result<Info<'a>, WeightsError> {
        let name = c.name(MAX_NAME, "tensor table")?;
        let field = format!("tensor `{name}`");
        let dims = c.u32(&field)?;
        if dims == 0 || dims > MAX_DIMS {
            return Err(c.damaged(&field, format!("has {dims} dimensions; 1 to {MAX_DIMS} are possible")));
        }
        let mut shape = Vec::with_capacity(dims as usize);
        for _ in 0..dims {
            let n = c.u64(&field)?;
            let n = usize::try_from(n).ok().filter(|&n| n > 0);
            shape.push(n.ok_or_else(|| c.damaged(&field, "a dimension is zero or impossibly large"))?);
        }
        shape.reverse();
        let number = c.u32(&field)?;
        let dtype = DType::from_ggml(number).ok_or_else(|| unsupported(c, &field, number))?;
        let offset = c.u64(&field)?;
        let cols = shape[shape.len() - 1];
        let Some(row) = dtype.row_bytes(cols) else {
            let block = dtype.block_len();
            return Err(
                c.damaged(&field, format!("rows of {cols} elements are not whole blocks of {block} of {dtype}"))
            );
        };
        let size = shape[..shape.len() - 1].iter().try_fold(row, |size, &n| size.checked_mul(n));
        let size = size.ok_or_else(|| c.damaged(&field, format!("shape {shape:?} is impossibly large")))?;
        Ok(Info { name, dtype, shape, size, offset })
    }

    /// The position of the tensor's bytes; the data starts at `data` and the file ends at `end`.
    fn place(&self, c: &Cursor<'_>, data: usize, alignment: usize, end: usize) -> Result<Range<usize>, WeightsError> {
        let field = format!("tensor `{}`", self.name);
        if !self.offset.is_multiple_of(alignment as u64) {
            let problem = format!("offset {} is not a multiple of the alignment {alignment}", self.offset);
            return Err(c.damaged(&field, problem));
        }
        let start = usize::try_from(self.offset).ok().and_then(|offset| data.checked_add(offset));
        let range = start.and_then(|start| Some(start..start.checked_add(self.size)?));
        range.filter(|range| range.end <= end).ok_or_else(|| {
            let (size, offset) = (self.size, self.offset);
            let problem = format!(
                "{size} bytes at offset {offset} of the data that starts at {data} lie past the file's end at {end}"
            );
            c.damaged(&field, problem)
        })
    }
}

fn unsupported(c: &Cursor<'_>, field: &str, number: u32) -> WeightsError {
    let name = UNSUPPORTED.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| *name);
    let known = DType::ALL.map(DType::name).join(", ");
    let problem = format!("element type {number} ({name}) is not supported");
    WeightsError::field(c.path, field, problem, format!("use a file whose tensors are all of {known}"))
}

/// Computes the position of every tensor, in file order. Fails if a tensor lies outside the file or two tensors
/// overlap.
pub(super) fn place<'a>(
    c: &Cursor<'_>,
    infos: Vec<Info<'a>>,
    part: usize,
    alignment: usize,
    end: usize,
) -> Result<Vec<(&'a str, Tensor)>, WeightsError> {
    let Some(data) = c.at().checked_next_multiple_of(alignment) else {
        return Err(WeightsError::field(c.path, "general.alignment", format!("is {alignment}"), DAMAGED));
    };
    let mut placed = Vec::with_capacity(infos.len());
    for info in infos {
        let bytes = info.place(c, data, alignment, end)?;
        placed.push((info.name, Tensor { part, dtype: info.dtype, shape: info.shape, bytes }));
    }
    placed.sort_by_key(|(_, t)| t.bytes.start);
    if let Some(pair) = placed.windows(2).find(|pair| pair[0].1.bytes.end > pair[1].1.bytes.start) {
        let (first, second) = (pair[0].0, pair[1].0);
        return Err(c.damaged(&format!("tensor `{second}`"), format!("overlaps tensor `{first}`")));
    }
    Ok(placed)
}
