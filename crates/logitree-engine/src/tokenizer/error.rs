//! The errors of making a tokenizer and of splitting text.

use std::path::{Path, PathBuf};

/// Supported values of `tokenizer.ggml.model`.
const KNOWN_MODELS: [&str; 4] = ["llama", "gemma", "gpt2", "gemma4"];
/// Advice in errors about metadata that contradicts itself.
pub(super) const CONVERT: &str = "convert the model to GGUF again, or download it again";
/// Longest run of white space that is certain to be cut correctly. The patterns look ahead from within such runs. The
/// regex engine stores every position of a run and gives up at a million; then the library takes the rest of the text
/// for a single word, without an error.
pub(super) const LONGEST_SPACE: usize = 100_000;

/// Errors of [`super::Tokenizer`].
///
/// Errors of GGUF metadata name the field; the caller, who opened the file, adds its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A metadata field is missing or contradicts another.
    #[error("{field}: {problem}; {fix}")]
    Field {
        /// The field's name in the file.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// `tokenizer.ggml.model` names a kind of tokenizer that is not implemented.
    #[error("tokenizer.ggml.model is `{0}`, which is not supported; use a model whose tokenizer is one of: {known}", known = KNOWN_MODELS.join(", "))]
    UnknownModel(String),
    /// `tokenizer.ggml.pre` names a pre-tokenizer that is not implemented.
    #[error(
        "tokenizer.ggml.pre is `{name}`, which is not supported; known are: {known}. Load the original folder with its tokenizer.json instead"
    )]
    UnknownPreTokenizer {
        /// The pre-tokenizer.
        name: String,
        /// The names of the supported pre-tokenizers.
        known: String,
    },
    /// A file of a model folder could not be read.
    #[error(
        "{path}: cannot be read: {reason}; a model folder needs a tokenizer.json (a tokenizer.model alone is not enough: save the tokenizer again with `AutoTokenizer.from_pretrained(..).save_pretrained(..)`)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// A file of a model folder has wrong contents.
    #[error(
        "{path}: {field}: {problem}; download the file again, or save the tokenizer again with a current `transformers`"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The field within it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The vocabulary has no token for a part of the text. Without this error that part would be lost.
    #[error("the model's vocabulary has no token for {0}; remove it from the text")]
    Unencodable(String),
    /// The text contains a token for which the model's embedding matrix has no row.
    #[error(
        "the text has the token {name:?} (id {id}), which the tokenizer knows but the model, with its {rows} rows, does not; remove it from the text"
    )]
    NoRow {
        /// The token's name.
        name: String,
        /// Its id.
        id: u32,
        /// Number of rows of the model's embedding matrix.
        rows: usize,
    },
    /// The text is too long for 32-bit positions.
    #[error("the text has {0} bytes, more than the {max} that can be split at once; shorten it", max = u32::MAX)]
    TooLong(usize),
    /// A run of white space is too long for the regular expressions that cut text into words.
    #[error("the text has {0} white-space characters in a row, more than the {max} that can be split exactly; shorten the run", max = LONGEST_SPACE)]
    TooMuchSpace(usize),
    /// The `tokenizers` library, which handles `tokenizer.json` and byte-level BPE, failed.
    #[error("the text could not be split into tokens: {0}; check tokenizer.json")]
    Library(String),
}

/// An error about a field of GGUF metadata.
pub(super) fn field(field: &'static str, problem: String, fix: &'static str) -> TokenizerError {
    TokenizerError::Field { field, problem, fix }
}

/// An error about a file of a model folder.
pub(super) fn file(path: &Path, field: &'static str, problem: impl ToString) -> TokenizerError {
    TokenizerError::File { path: path.to_owned(), field, problem: problem.to_string() }
}
