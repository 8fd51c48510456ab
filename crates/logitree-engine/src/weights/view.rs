//! Views of matrices as they are stored in files.

use crate::error::WeightsError;
use logitree_kernels::DType;
use std::path::Path;

/// A stored matrix `[rows, cols]`, row-major. A vector has one row. One tensor `[experts, rows, cols]` may hold the
/// matrices of all experts.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The file that holds the tensor.
    pub file: &'a Path,
    /// Name in the file.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Number of matrices; 1 unless the tensor holds those of all experts.
    pub experts: usize,
    /// Number of output features.
    pub rows: usize,
    /// Number of input features, which are contiguous; a multiple of the type's block size.
    pub cols: usize,
    /// The mapped bytes: `experts · rows · dtype.row_bytes(cols)`, little-endian, with no particular alignment.
    pub data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A view over `data`. Fails unless `shape` (slowest dimension first) is that of a vector, a matrix or the matrices
    /// of experts, and agrees with the number of bytes. Leading dimensions of 1 are ignored.
    pub(super) fn new(
        file: &'a Path,
        name: &'a str,
        dtype: DType,
        shape: &[usize],
        data: &'a [u8],
    ) -> Result<TensorView<'a>, WeightsError> {
        let error = |problem: String| WeightsError::Tensor { path: file.into(), name: name.into(), problem };
        let (experts, rows, cols) = match *shape {
            [cols] => (1, 1, cols),
            [ref leading @ .., experts, rows, cols] if leading.iter().all(|&n| n == 1) => (experts, rows, cols),
            [rows, cols] => (1, rows, cols),
            _ => {
                let what = format!(
                    "shape {shape:?} is neither a vector's nor a matrix's; the model is not of a supported architecture"
                );
                return Err(error(what));
            }
        };
        let size = dtype.row_bytes(cols).and_then(|row| row.checked_mul(rows)?.checked_mul(experts));
        if size != Some(data.len()) || data.is_empty() {
            let what = format!("{shape:?} of {dtype} do not make {} bytes; download the file again", data.len());
            return Err(error(what));
        }
        Ok(TensorView { file, name, dtype, experts, rows, cols, data })
    }

    /// An error about this tensor; `problem` says what is wrong with it, and the fix.
    pub(crate) fn error(&self, problem: impl Into<String>) -> WeightsError {
        WeightsError::Tensor { path: self.file.into(), name: self.name.into(), problem: problem.into() }
    }

    /// Fails unless the shape is `[rows, cols]`.
    ///
    /// # Errors
    /// If the shape is different; the error gives both shapes.
    pub fn expect_shape(&self, rows: usize, cols: usize) -> Result<(), WeightsError> {
        self.expect_experts(1, rows, cols)
    }

    /// Fails unless the shape is `[experts, rows, cols]`.
    pub(crate) fn expect_experts(&self, experts: usize, rows: usize, cols: usize) -> Result<(), WeightsError> {
        if (self.experts, self.rows, self.cols) == (experts, rows, cols) {
            return Ok(());
        }
        let shape = |experts: usize, rows: usize, cols: usize| match experts {
            1 => format!("[{rows}, {cols}]"),
            _ => format!("[{experts}, {rows}, {cols}]"),
        };
        let (found, asked) = (shape(self.experts, self.rows, self.cols), shape(experts, rows, cols));
        Err(self.error(
            format!(
                "shape is {found} but the model's configuration asks for {asked}; weights and configuration must be of the same model"
            ),
        ))
    }

    /// The matrix of one expert.
    pub(crate) fn expert(self, expert: usize) -> TensorView<'a> {
        let size = self.data.len() / self.experts;
        TensorView { experts: 1, data: &self.data[expert * size..][..size], ..self }
    }

    /// A range of a vector's elements. Fails for types that store elements in blocks.
    pub(crate) fn element_range(self, elements: std::ops::Range<usize>) -> Result<TensorView<'a>, WeightsError> {
        match self.dtype.row_bytes(1) {
            Some(size) if self.rows == 1 => {
                let data = &self.data[elements.start * size..elements.end * size];
                Ok(TensorView { cols: elements.len(), data, ..self })
            }
            _ => Err(self.error(format!("is not a vector of single numbers but {} rows of {}", self.rows, self.dtype))),
        }
    }

    /// A range of a matrix's rows.
    pub(crate) fn row_range(self, rows: std::ops::Range<usize>) -> TensorView<'a> {
        let size = self.data.len() / self.rows;
        TensorView { rows: rows.len(), data: &self.data[rows.start * size..rows.end * size], ..self }
    }
}
