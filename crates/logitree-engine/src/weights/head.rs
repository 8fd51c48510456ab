//! Whose rows the logits are products with: those of the embedding matrix, or of a matrix of their own.
//!
//! config.json may call the two matrices one (`tie_word_embeddings`) while both are stored. As transformers 5 does, what is stored
//! decides then: where they are equal there is one, where they differ there are two. And a tied matrix may be stored under the name
//! of the output matrix alone.

use super::role::Role;
use super::safetensors::Folder;
use super::view::TensorView;
use crate::error::WeightsError;
use logitree_kernels::dequantise_row;

impl Folder {
    /// Whether one matrix can be both: only one is stored, or two that are equal.
    pub(crate) fn can_be_tied(&self) -> bool {
        let names = [Role::TokenEmbedding, Role::Output].map(|role| self.own_name(role, None));
        if names.iter().any(|name| !self.has(name)) {
            return true;
        }
        // Reads both matrices, which may have gigabytes: once is enough.
        *self.equal_heads.get_or_init(|| match names.each_ref().map(|name| self.tensor(name)) {
            [Ok(Some(a)), Ok(Some(b))] => {
                let equal = equal(&a, &b);
                self.release_pages(a.data);
                self.release_pages(b.data);
                equal
            }
            // A matrix that cannot be read is reported by whoever asks for it.
            _ => false,
        })
    }

    /// Fails unless there is an embedding matrix under its own name, as there must be where there are two.
    pub(crate) fn require_embedding(&self) -> Result<(), WeightsError> {
        let name = self.own_name(Role::TokenEmbedding, None);
        if self.has(&name) { Ok(()) } else { Err(WeightsError::MissingTensor { path: self.path().into(), name }) }
    }
}

/// Whether two matrices have the same numbers, of whatever types they are.
fn equal(a: &TensorView<'_>, b: &TensorView<'_>) -> bool {
    if (a.rows, a.cols) != (b.rows, b.cols) {
        return false;
    }
    let (mut x, mut y) = (vec![0.0; a.cols], vec![0.0; b.cols]);
    let rows = |view: &TensorView<'_>| view.data.len() / view.rows;
    a.data.chunks_exact(rows(a)).zip(b.data.chunks_exact(rows(b))).all(|(m, n)| {
        if a.dtype == b.dtype && m == n {
            return true;
        }
        dequantise_row(a.dtype, m, &mut x);
        dequantise_row(b.dtype, n, &mut y);
        x == y
    })
}
