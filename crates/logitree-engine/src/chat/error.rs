//! The errors of rendering a chat.

use crate::tokenizer::TokenizerError;
use std::path::PathBuf;

/// Errors of [`super::ChatTemplate`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The model has no template.
    #[error(
        "{model} has no chat template: it is a base model, or its file was made without one; use an instruction-tuned model, or give the text as a plain prompt"
    )]
    Missing {
        /// The model's name or path.
        model: String,
    },
    /// The template is not valid Jinja, or uses a feature that is not supported.
    #[error("the chat template does not compile: {0}; report it, or give the text as a plain prompt")]
    Syntax(String),
    /// The template called `raise_exception`: it does not accept these messages.
    #[error("the chat template does not accept these messages: {0}; change the messages' roles or order")]
    Rejected(String),
    /// An operation of the template failed.
    #[error("the chat template failed: {0}; give the text as a plain prompt")]
    Failed(String),
    /// The template did not finish within its limits on steps and output.
    #[error("the chat template was stopped: {0}; it may be broken or malicious, give the text as a plain prompt")]
    Stopped(String),
    /// An argument for the template is not allowed.
    #[error("the template argument `{name}`: {problem}")]
    Argument {
        /// The argument's name.
        name: String,
        /// The reason, and what the user can do.
        problem: String,
    },
    /// A file of a model folder could not be read.
    #[error("{path}: cannot be read: {reason}; check its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// A file of a model folder has wrong contents.
    #[error("{path}: {field}: {problem}; download the file again, or remove it to use another template")]
    File {
        /// The file.
        path: PathBuf,
        /// The field within it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The configuration with the names of BOS and EOS could not be read.
    #[error(transparent)]
    Config(#[from] TokenizerError),
}
