//! Text to token ids, and ids back to bytes.
//!
//! One type covers all kinds of tokenizers: SentencePiece-style BPE and BPE from GGUF metadata, and whatever a folder's
//! tokenizer.json describes.
//!
//! **Special tokens in text.** With `parse_special` the name of a control token, such as `<eos>`, becomes that token;
//! without it, the name is split like any text. Chat templates need the former, text written by a user the latter.
//! User-defined tokens (Gemma has some for runs of spaces and newlines, and for HTML tags) are text, and are always
//! found. In a tokenizer.json each added token is marked as special or not; those that are not special are always
//! found.
//!
//! **BOS.** [`Tokenizer::encode`] never adds it. The caller puts [`Tokenizer::bos`] in front of every
//! sequence if it is `Some`, and uses [`Tokenizer::encode_chat`] for rendered chats, which may
//! already begin with it.
//!
//! **End tokens.** As in llama.cpp, a generation ends at any of the ids given by the model's metadata
//! (`tokenizer.ggml.eos_token_id` and the keys for `eot` and `eom`, `generation_config.json`) and at any of
//! [`Tokenizer::end_tokens`], because metadata often gives only one of two end tokens.

mod bpe;
mod bytes;
mod config;
mod encode;
mod end;
mod error;
mod files;
mod folder;
mod gguf;
mod library;
mod merge;
mod span;
mod spans;
mod special;
mod spm;
mod tokenizer_json;
mod vocabulary;

pub(crate) use config::FolderConfig;
pub use encode::Tokenizer;
pub use error::TokenizerError;
pub use gguf::GgufVocabulary;
pub use span::Span;

use std::path::Path;

impl Tokenizer {
    /// Makes the tokenizer that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// If the kind of tokenizer or pre-tokenizer is not supported, or fields are missing or contradict each other.
    pub fn from_gguf(vocabulary: GgufVocabulary<'_>) -> Result<Self, TokenizerError> {
        vocabulary.build()
    }

    /// Reads the tokenizer of a model folder: its tokenizer.json, and for special tokens tokenizer_config.json and
    /// older files of this kind, if they are there.
    ///
    /// # Errors
    /// If a file cannot be read or understood.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        tokenizer_json::load(folder)
    }
}
