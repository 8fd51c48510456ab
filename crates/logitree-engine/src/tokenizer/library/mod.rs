//! The only module that calls the `tokenizers` library.
//!
//! The library was not written for untrusted files. So a tokenizer.json is checked before the library reads it
//! (`check`), and calls run where a panic becomes an error ([`quietly`]).

mod check;
pub(super) mod pre;

use super::error::TokenizerError;
use super::span::Span;
use crate::quiet::quietly;
use check::{Parts, Problem};
use logitree_core::TokenId;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
pub(super) use tokenizers::AddedToken;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
pub(super) use tokenizers::models::bpe::{Merges, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::{NormalizedString, Normalizer};

/// A tokenizer of the library.
pub(super) struct Library {
    /// The lock is needed because the setting whether special tokens are looked for is a state of the library's object,
    /// not an argument. Splitting prompts is rare and fast, so waiting for the lock does not matter.
    inner: Mutex<tokenizers::Tokenizer>,
    decoder: Value,
    has_post_processor: bool,
}

const PANICKED: &str = "the library gave up";

/// Calls the library and turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    quietly(work).ok_or_else(|| PANICKED.to_owned())?.map_err(|e| e.to_string())
}

fn failed(problem: String) -> TokenizerError {
    TokenizerError::Library(problem)
}

/// Converts text to Unicode normal form C.
pub(super) fn normal_form(text: &str) -> Result<String, TokenizerError> {
    let normalise = || {
        let mut normal = NormalizedString::from(text);
        NFC.normalize(&mut normal)?;
        Ok(normal.get().to_owned())
    };
    guarded(normalise).map_err(failed)
}

impl Library {
    /// Makes the tokenizer that a tokenizer.json describes.
    ///
    /// # Errors
    /// The field that is wrong, and what is wrong with it.
    pub(super) fn from_json(json: &[u8]) -> Result<Library, Problem> {
        let parts: Parts = serde_json::from_slice(json).map_err(|e| ("contents", e.to_string()))?;
        parts.check()?;
        let parsed = quietly(|| tokenizers::Tokenizer::from_bytes(json));
        let parsed = parsed.ok_or(("model", "contradicts itself (a merge of tokens that make no token?)".into()))?;
        let mut inner = parsed.map_err(|e| ("contents", e.to_string()))?;
        if let ModelWrapper::BPE(bpe) = inner.get_model()
            && bpe.dropout.is_some_and(|d| d > 0.0)
        {
            return Err(("model.dropout", "is set, so that the same text is split differently each time".into()));
        }
        // Some files still have truncation and padding settings of the training run, but a prompt must be split
        // completely.
        inner.with_truncation(None).map_err(|e| ("truncation", e.to_string()))?;
        inner.with_padding(None);
        let has_post_processor = !parts.post_processor.is_null();
        Ok(Library { inner: Mutex::new(inner), decoder: parts.decoder, has_post_processor })
    }

    /// Makes a byte-level BPE tokenizer; `pre` is the rule that cuts text into words.
    pub(super) fn byte_level(ids: Vocab, merges: Merges, pre: &pre::Rule) -> Result<Library, String> {
        let build = || {
            let model = BPE::builder().vocab_and_merges(ids, merges).ignore_merges(pre.whole_words).build()?;
            let mut inner = tokenizers::Tokenizer::new(model);
            inner.with_pre_tokenizer(Some(pre.pre_tokenizer()?));
            if pre.normalises {
                inner.with_normalizer(Some(NFC))?;
            }
            Ok(inner)
        };
        let inner = Mutex::new(guarded(build)?);
        Ok(Library { inner, decoder: Value::Null, has_post_processor: false })
    }

    /// Makes a BPE tokenizer over text whose spaces are written as `▁`. Characters without a token are written with the
    /// byte tokens `<0xXX>`.
    pub(super) fn over_text(ids: Vocab, merges: Merges, unknown: Option<String>) -> Result<Library, String> {
        let build = || {
            let mut model = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
            if let Some(unknown) = unknown {
                model = model.unk_token(unknown);
            }
            let mut inner = tokenizers::Tokenizer::new(model.build()?);
            inner.with_normalizer(Some(Replace::new(" ", "\u{2581}")?))?;
            Ok(inner)
        };
        let inner = Mutex::new(guarded(build)?);
        Ok(Library { inner, decoder: Value::Null, has_post_processor: false })
    }

    fn with<T>(&self, work: impl FnOnce(&mut tokenizers::Tokenizer) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The field `decoder` of the tokenizer.json; null for other tokenizers.
    pub(super) fn decoder(&self) -> &Value {
        &self.decoder
    }

    /// Whether the tokenizer.json has a `post_processor`, of any kind.
    pub(super) fn has_post_processor(&self) -> bool {
        self.has_post_processor
    }

    /// The ids of all tokens by name; `added` says whether added tokens are included.
    pub(super) fn vocabulary(&self, added: bool) -> HashMap<String, u32> {
        self.with(|t| t.get_vocab(added))
    }

    /// The added tokens, by id.
    pub(super) fn added(&self) -> HashMap<u32, AddedToken> {
        self.with(|t| t.get_added_tokens_decoder().into_iter().collect())
    }

    /// The id of a name.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.with(|t| t.token_to_id(name))
    }

    /// Adds tokens. Tokens that are already in the vocabulary keep their ids; others get the next free ids.
    pub(super) fn add(&self, tokens: Vec<AddedToken>) -> Result<(), String> {
        guarded(|| self.with(|t| t.add_tokens(tokens))).map(|_| ())
    }

    /// Splits text into tokens. `parse_special` says whether names of special tokens become these tokens, `template`
    /// whether the post-processor adds its tokens.
    pub(super) fn encode(
        &self,
        text: &str,
        parse_special: bool,
        template: bool,
    ) -> Result<Vec<TokenId>, TokenizerError> {
        let split = |t: &mut tokenizers::Tokenizer| {
            t.set_encode_special_tokens(!parse_special);
            t.encode_fast(text, template)
        };
        let encoding = guarded(|| self.with(split)).map_err(failed)?;
        Ok(encoding.get_ids().iter().map(|&id| TokenId(id)).collect())
    }

    /// The tokens of [`Library::encode`], each with the number of characters of the text that it stands for.
    pub(super) fn spans(&self, text: &str, parse_special: bool) -> Result<Vec<Span>, TokenizerError> {
        let split = |t: &mut tokenizers::Tokenizer| {
            t.set_encode_special_tokens(!parse_special);
            t.encode_char_offsets(text, false)
        };
        let encoding = guarded(|| self.with(split)).map_err(failed)?;
        let mut done = 0;
        let spans = encoding.get_ids().iter().zip(encoding.get_offsets()).map(|(&id, &(_, end))| {
            let chars = end.saturating_sub(done);
            done = done.max(end);
            Span { token: TokenId(id), chars }
        });
        Ok(spans.collect())
    }
}
