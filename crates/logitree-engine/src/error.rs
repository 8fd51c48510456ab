//! What can be wrong with weight files.

use std::path::{Path, PathBuf};

/// The usual fix for a file that contradicts itself.
pub(crate) const DAMAGED: &str = "the file is incomplete or damaged: download it again";

/// Why weights or their configuration cannot be used. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{path}: {reason}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Reason.
        reason: std::io::Error,
    },
    /// A part of the file is not what it should be.
    #[error("{path}: {field}: {problem}; {fix}")]
    Field {
        /// File or folder.
        path: PathBuf,
        /// Where in the file: a metadata key, a tensor, a part of the header.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        fix: String,
    },
    /// The model is of a family that the engine does not know.
    #[error(
        "{path}: {field}: architecture `{name}` is not supported; supported are {known}: use a model of one of these"
    )]
    UnknownArchitecture {
        /// File or folder.
        path: PathBuf,
        /// The key that names it.
        field: String,
        /// The architecture.
        name: String,
        /// Those that are supported.
        known: String,
    },
    /// The file is something that comes beside models, or a model of another kind.
    #[error("{path}: {field}: this is {what}")]
    NotAModel {
        /// File or folder.
        path: PathBuf,
        /// The key that says so.
        field: String,
        /// What it is, and the fix.
        what: &'static str,
    },
    /// A tensor that the architecture needs is not there.
    #[error(
        "{path}: tensor `{name}` is missing; the file is incomplete or of another architecture: use a complete one"
    )]
    MissingTensor {
        /// File or folder.
        path: PathBuf,
        /// Its name.
        name: String,
    },
    /// A tensor that cannot be used.
    #[error("{path}: tensor `{name}`: {problem}")]
    Tensor {
        /// The file it is in.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What is wrong, and the fix.
        problem: String,
    },
}

impl WeightsError {
    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> WeightsError {
        WeightsError::Field { path: path.into(), field: field.into(), problem: problem.into(), fix: fix.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WeightsError {
        let path = path.to_path_buf();
        move |reason| WeightsError::Io { path, reason }
    }
}
