//! Decides whether the embedding matrix is also the output matrix, or the output matrix is separate.
//!
//! config.json may say that both are one matrix (`tie_word_embeddings`) while both are stored. Then, as in transformers
//! 5, the stored matrices decide: if they are equal they are one, otherwise two. A tied matrix may also be stored only
//! under the name of the output matrix.

use super::role::Role;
use super::safetensors::Folder;
use super::view::TensorView;
use crate::error::WeightsError;
use logitree_kernels::dequantise_row;

impl Folder {
    /// Whether one matrix can serve as both: only one is stored, or both are stored and equal.
    pub(crate) fn can_be_tied(&self) -> bool {
        let names = [Role::TokenEmbedding, Role::Output].map(|role| self.own_name(role, None));
        if names.iter().any(|name| !self.has(name)) {
            return true;
        }
        // The result is kept, because comparing means reading both matrices, which may have gigabytes.
        *self.equal_heads.get_or_init(|| match names.each_ref().map(|name| self.tensor(name)) {
            [Ok(Some(a)), Ok(Some(b))] => {
                let equal = equal(&a, &b);
                self.release_pages(a.data);
                self.release_pages(b.data);
                equal
            }
            // An unreadable matrix gives no error here; reading it as a weight reports it.
            _ => false,
        })
    }

    /// Fails unless the embedding matrix is stored under its own name. An untied model needs this.
    pub(crate) fn require_embedding(&self) -> Result<(), WeightsError> {
        let name = self.own_name(Role::TokenEmbedding, None);
        if self.has(&name) { Ok(()) } else { Err(WeightsError::MissingTensor { path: self.path().into(), name }) }
    }
}

/// Whether two matrices have equal numbers, even if their element types differ.
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
