//! Text to token ids, and ids back to bytes.
//!
//! Three kinds of tokenizer are behind one type: SentencePiece-style BPE and byte-level BPE from
//! GGUF metadata, and whatever a folder's tokenizer.json describes.
//!
//! **Special tokens in text.** With `parse_special` the name of a control token, such as `<eos>`,
//! becomes that token; without, it is split like any text. Chat templates need the former, a
//! user's own text the latter. User-defined tokens (Gemma has some for runs of spaces and newlines,
//! and for HTML tags) are text and always found. A tokenizer.json may also call names special or not;
//! those it does not call special are always found.
//!
//! **BOS.** [`Tokenizer::encode`] never adds it. The caller puts [`Tokenizer::bos`] in front of every
//! sequence if it is `Some`, and uses [`Tokenizer::encode_chat`] for rendered chats, which may
//! already begin with it.
//!
//! **End tokens.** The set that ends a generation is the union of the ids named by the model's
//! metadata (`tokenizer.ggml.eos_token_id` and its `eot`/`eom` relatives, `generation_config.json`) and
//! [`Tokenizer::end_tokens`], as llama.cpp does it: metadata often names only one of two.

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
    /// The tokenizer that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// If the kind of tokenizer or pre-tokenizer is not supported, or fields are missing or contradict each other.
    pub fn from_gguf(vocabulary: GgufVocabulary<'_>) -> Result<Self, TokenizerError> {
        vocabulary.build()
    }

    /// The tokenizer of a model folder: its tokenizer.json, with tokenizer_config.json and its older companions for
    /// special tokens if they are there.
    ///
    /// # Errors
    /// If a file cannot be read or understood.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        tokenizer_json::load(folder)
    }
}
