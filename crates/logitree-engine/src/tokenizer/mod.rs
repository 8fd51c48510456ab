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
//! [`Tokenizer::end_tokens_by_name`], as llama.cpp does it: metadata often names only one of two.

mod bpe;
mod bytes;
mod end;
mod error;
pub(crate) mod folder;
mod gguf;
mod merge;
mod pre;
mod spans;
mod special;
mod spm;
mod vocabulary;

pub use error::TokenizerError;
pub use gguf::GgufVocabulary;
pub use spans::Span;

use logitree_core::TokenId;
use std::borrow::Cow;
use std::path::Path;
use vocabulary::{Kind, Vocabulary};

/// A model's tokenizer.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    engine: Engine,
    kind: String,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    add_bos: bool,
}

enum Engine {
    Spm(Box<spm::Spm>),
    Bpe(Box<bpe::Bpe>),
    Folder(Box<folder::Folder>),
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {} tokens)", self.kind, self.vocab_size())
    }
}

impl Tokenizer {
    /// The tokenizer that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// If the kind of tokenizer or pre-tokenizer is not supported, or fields are missing or contradict each other.
    pub fn from_gguf(vocabulary: GgufVocabulary<'_>) -> Result<Self, TokenizerError> {
        vocabulary.build()
    }

    /// The tokenizer of a model folder: its tokenizer.json, with tokenizer_config.json and
    /// special_tokens_map.json for BOS and EOS if they are there.
    ///
    /// # Errors
    /// If a file cannot be read or understood.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        folder::load(folder)
    }

    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// What kind of tokenizer this is, for people.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Raw bytes of a token, not necessarily UTF-8. A special token gives the bytes of its name; an id
    /// outside the vocabulary gives nothing.
    pub fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.vocabulary.bytes(id))
    }

    /// Whether the token is structure, such as `<eos>`, rather than text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.vocabulary.kind(id).is_some_and(Kind::is_special)
    }

    /// The token that every sequence starts with, if the model wants one.
    ///
    /// The model's own flag decides: `tokenizer.ggml.add_bos_token`, or `add_bos_token` in
    /// tokenizer_config.json. Where a GGUF file has no flag, SentencePiece and Llama 3 vocabularies
    /// want BOS and others don't; where a folder has none, the post-processor of tokenizer.json decides.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos.filter(|_| self.add_bos)
    }

    /// The name of the BOS token, whether or not sequences start with it. Chat templates ask for it.
    pub fn bos_name(&self) -> Option<Cow<'_, str>> {
        self.bos.map(|id| self.name(id))
    }

    /// The name of the token that the metadata calls end of sequence.
    pub fn eos_name(&self) -> Option<Cow<'_, str>> {
        self.eos.map(|id| self.name(id))
    }

    /// The token that the metadata calls end of sequence.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    fn name(&self, id: TokenId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.vocabulary.bytes(id))
    }

    /// The token with these bytes: a special one of this name, else a piece of text.
    pub fn token_id(&self, name: &str) -> Option<TokenId> {
        let find = |want: fn(Kind) -> bool| {
            self.vocabulary.of_kind(want).find(|(_, bytes)| *bytes == name.as_bytes()).map(|(id, _)| id)
        };
        find(|k| k.is_special()).or_else(|| find(|k| !k.is_special() && k != Kind::Byte))
    }

    /// Control tokens whose name is well known to end a text, turn or message (`<eos>`, `<end_of_turn>`,
    /// `<|im_end|>`, `<|eot_id|>`, `</s>`, …), in order of id. A token that the vocabulary calls text
    /// is not among them: Gemma's `</s>` is HTML.
    pub fn end_tokens_by_name(&self) -> Vec<TokenId> {
        end::by_name(&self.vocabulary)
    }

    /// Splits text into tokens, without BOS. No text gives no tokens.
    ///
    /// # Errors
    /// If the text has something that the vocabulary cannot say, or more than 4 GiB.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, TokenizerError> {
        match &self.engine {
            Engine::Spm(spm) => {
                let spans = spm.spans(&self.vocabulary, text, parse_special)?;
                Ok(spans.into_iter().map(|s| s.token).collect())
            }
            Engine::Bpe(bpe) => bpe.encode(text, parse_special),
            Engine::Folder(folder) => folder.encode(&self.vocabulary, text, parse_special),
        }
    }

    /// Splits a rendered chat into tokens: special names become special tokens, and BOS at the start
    /// is taken off if [`Tokenizer::bos`] is about to be put there, so that the model sees it once.
    ///
    /// A model that wants no BOS keeps the one its template writes. Names of special tokens within a
    /// message become special tokens too, as everywhere that chat templates are used.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn encode_chat(&self, rendered: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let mut ids = self.encode(rendered, true)?;
        if let Some(bos) = self.bos() {
            let doubled = ids.iter().take_while(|&&id| id == bos).count();
            ids.drain(..doubled);
        }
        Ok(ids)
    }
}
