//! A stored matrix.

use super::error::WeightsError;
use logitree_kernels::DType;
use std::path::Path;

/// A stored matrix `[rows, cols]`, row-major; a vector has one row.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The file it is in.
    pub file: &'a Path,
    /// Name in the file.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Output features.
    pub rows: usize,
    /// Input features; contiguous, and a whole number of the type's blocks.
    pub cols: usize,
    /// The bytes as mapped: `rows · dtype.row_bytes(cols)`, little-endian, of any alignment.
    pub data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A view over `data`, if `shape` (slowest dimension first) is that of a vector or matrix and agrees
    /// with the number of bytes. Leading dimensions of 1 don't count.
    pub(super) fn new(
        file: &'a Path,
        name: &'a str,
        dtype: DType,
        shape: &[usize],
        data: &'a [u8],
    ) -> Result<TensorView<'a>, WeightsError> {
        let error = |problem: String| WeightsError::Tensor { path: file.into(), name: name.into(), problem };
        let (rows, cols) = match *shape {
            [cols] => (1, cols),
            [ref leading @ .., rows, cols] if leading.iter().all(|&n| n == 1) => (rows, cols),
            _ => {
                let what = format!(
                    "shape {shape:?} is neither a vector's nor a matrix's; the model is not of a supported architecture"
                );
                return Err(error(what));
            }
        };
        let size = dtype.row_bytes(cols).and_then(|row| row.checked_mul(rows));
        if size != Some(data.len()) || data.is_empty() {
            let what = format!("[{rows}, {cols}] of {dtype} do not make {} bytes; download the file again", data.len());
            return Err(error(what));
        }
        Ok(TensorView { file, name, dtype, rows, cols, data })
    }

    /// Fails unless the shape is `[rows, cols]`.
    pub fn expect_shape(&self, rows: usize, cols: usize) -> Result<(), WeightsError> {
        if (self.rows, self.cols) == (rows, cols) {
            return Ok(());
        }
        let found = [self.rows, self.cols];
        Err(WeightsError::tensor(
            self,
            format!(
                "shape is {found:?} but the model's configuration asks for [{rows}, {cols}]; weights and configuration must be of the same model"
            ),
        ))
    }
}
