//! A stored matrix.

use crate::error::WeightsError;
use logitree_kernels::DType;
use std::path::Path;

/// A stored matrix `[rows, cols]`, row-major; a vector has one row. The matrices of all experts may be stored as one tensor
/// `[experts, rows, cols]`.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The file it is in.
    pub file: &'a Path,
    /// Name in the file.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Matrices; 1 unless the tensor holds those of all experts.
    pub experts: usize,
    /// Output features.
    pub rows: usize,
    /// Input features; contiguous, and a whole number of the type's blocks.
    pub cols: usize,
    /// The bytes as mapped: `experts · rows · dtype.row_bytes(cols)`, little-endian, of any alignment.
    pub data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A view over `data`, if `shape` (slowest dimension first) is that of a vector, a matrix or the matrices of experts, and agrees
    /// with the number of bytes. Leading dimensions of 1 don't count.
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
    /// If it is another; the error names both.
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

    /// Some elements of a vector whose elements are stored one by one.
    pub(crate) fn element_range(self, elements: std::ops::Range<usize>) -> Result<TensorView<'a>, WeightsError> {
        match self.dtype.row_bytes(1) {
            Some(size) if self.rows == 1 => {
                let data = &self.data[elements.start * size..elements.end * size];
                Ok(TensorView { cols: elements.len(), data, ..self })
            }
            _ => Err(self.error(format!("is not a vector of single numbers but {} rows of {}", self.rows, self.dtype))),
        }
    }

    /// Some rows of a matrix.
    pub(crate) fn row_range(self, rows: std::ops::Range<usize>) -> TensorView<'a> {
        let size = self.data.len() / self.rows;
        TensorView { rows: rows.len(), data: &self.data[rows.start * size..rows.end * size], ..self }
    }
}
