//! Whose rows the logits are products with: those of the embedding matrix, or of a matrix of their own.

use super::safetensors::Folder;
use super::view::TensorView;
use logitree_kernels::dequantise_row;

/// What a folder stores of the two matrices, measured against what its config.json says of them.
///
/// config.json may call them one (`tie_word_embeddings`) while both are stored. As transformers 5 does, what is stored
/// decides then: where they are equal there is one, where they differ there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// As config.json says.
    AsConfigured,
    /// config.json ties it, but the stored one differs from the embedding matrix.
    Untied,
    /// config.json ties it, and only this one is stored: it is the embedding matrix too.
    IsEmbedding,
}

impl Head {
    /// `tied` is what config.json says.
    pub(super) fn of(folder: &Folder, tied: bool, embedding: &str, head: &str) -> Head {
        match (tied, folder.has(embedding), folder.has(head)) {
            (true, false, true) => Head::IsEmbedding,
            (true, true, true) => match (folder.tensor(embedding), folder.tensor(head)) {
                (Ok(Some(a)), Ok(Some(b))) => {
                    let equal = equal(&a, &b);
                    folder.release_pages(a.data);
                    folder.release_pages(b.data);
                    if equal { Head::AsConfigured } else { Head::Untied }
                }
                // A matrix that cannot be read is reported by whoever asks for it.
                _ => Head::Untied,
            },
            _ => Head::AsConfigured,
        }
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
