//! Tensors of weight files in the form that the kernels want: packed matrices, and vectors and rows in f32.

use crate::config::Config;
use crate::weights::{Role, TensorView, Weights, WeightsError};
use logitree_kernels::{Compute, DType, PackedMatrix, dequantise_row};

/// Packs a matrix of `[rows, cols]`, and gives the mapped pages back that it was read from.
pub(crate) fn pack(
    compute: &mut Compute,
    weights: &Weights,
    role: Role,
    layer: Option<usize>,
    rows: usize,
    cols: usize,
) -> Result<PackedMatrix, WeightsError> {
    let view = weights.tensor(role, layer)?;
    view.expect_shape(rows, cols)?;
    packed(compute, weights, &view)
}

/// Packs a matrix, and gives the mapped pages back that it was read from.
pub(crate) fn packed(
    compute: &mut Compute,
    weights: &Weights,
    view: &TensorView<'_>,
) -> Result<PackedMatrix, WeightsError> {
    PackedMatrix::pack_in_parts(compute, view.dtype, view.rows, view.cols, view.data, |read| {
        weights.release_pages(read)
    })
    .map_err(|e| view.error(e.to_string()))
}

/// The weights of a norm, `[len]`: the stored ones, or 1 plus these.
pub(crate) fn norm(
    weights: &Weights,
    c: &Config,
    role: Role,
    layer: Option<usize>,
    len: usize,
) -> Result<Vec<f32>, WeightsError> {
    let mut w = vector(weights, role, layer, len)?;
    if c.norm_offset {
        w.iter_mut().for_each(|w| *w += 1.0);
    }
    Ok(w)
}

/// A tensor of one dimension as f32, `[len]`.
pub(crate) fn vector(
    weights: &Weights,
    role: Role,
    layer: Option<usize>,
    len: usize,
) -> Result<Vec<f32>, WeightsError> {
    let view = weights.tensor(role, layer)?;
    view.expect_shape(1, len)?;
    row(&view, 0)
}

/// One row of a tensor as f32, `[cols]`.
pub(crate) fn row(view: &TensorView<'_>, row: usize) -> Result<Vec<f32>, WeightsError> {
    let size = view.data.len() / view.rows;
    if DType::row_bytes(view.dtype, view.cols) != Some(size) {
        return Err(view.error(format!("rows of {} {} elements", view.cols, view.dtype)));
    }
    let mut out = vec![0.0; view.cols];
    dequantise_row(view.dtype, &view.data[row * size..][..size], &mut out);
    Ok(out)
}
