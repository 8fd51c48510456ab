//! A tokenizer of whatever kind: its tokens, and splitting text into them.

use super::error::TokenizerError;
use super::vocabulary::{Kind, Vocabulary};
use super::{bpe, end, folder, spm};
use logitree_core::TokenId;
use std::borrow::Cow;

/// A model's tokenizer.
pub struct Tokenizer {
    pub(super) vocabulary: Vocabulary,
    pub(super) engine: Engine,
    pub(super) kind: String,
    pub(super) bos: Option<TokenId>,
    pub(super) eos: Option<TokenId>,
    pub(super) add_bos: bool,
    /// Rows of the model's matrices; the vocabulary may have more tokens.
    pub(super) rows: Option<usize>,
    pub(super) notes: Vec<String>,
}

/// How it splits text.
pub(super) enum Engine {
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
    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// What kind of tokenizer this is, for people.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What in the files is not as it seems, and what was made of it: sentences for whoever chose the model.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Refuses from now on texts with tokens that a model of so many rows cannot read. Tokenizers with more tokens than
    /// their model has rows exist: somebody added a token and nothing else.
    pub(crate) fn restrict(&mut self, rows: usize) {
        self.rows = Some(rows);
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
    /// In a GGUF file the flag `tokenizer.ggml.add_bos_token` decides; where there is none, SentencePiece, Llama 3 and
    /// Tekken vocabularies want BOS and others don't. In a folder the post-processor of tokenizer.json decides; where
    /// there is none, and the tokenizer's class is not one that adds nothing, `add_bos_token` in tokenizer_config.json.
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

    pub(super) fn name(&self, id: TokenId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.vocabulary.bytes(id))
    }

    /// The token with these bytes: a special one of this name, else a piece of text.
    pub fn token_id(&self, name: &str) -> Option<TokenId> {
        let find = |want: fn(Kind) -> bool| {
            self.vocabulary.of_kind(want).find(|(_, bytes)| *bytes == name.as_bytes()).map(|(id, _)| id)
        };
        find(|k| k.is_special()).or_else(|| find(|k| !k.is_special() && k != Kind::Byte))
    }

    /// What the tokenizer's own files call the end: the token that they call end of sequence, and those of
    /// [`Tokenizer::end_tokens_by_name`].
    pub fn end_tokens(&self) -> Vec<TokenId> {
        let mut ids = self.end_tokens_by_name();
        ids.extend(self.eos);
        ids.sort_unstable();
        ids.dedup();
        ids
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
    /// If the text has something that the vocabulary cannot say or the model has no row for, or more than 4 GiB.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, TokenizerError> {
        let ids = match &self.engine {
            Engine::Spm(spm) => {
                let spans = spm.spans(&self.vocabulary, text, parse_special)?;
                Ok(spans.into_iter().map(|s| s.token).collect())
            }
            Engine::Bpe(bpe) => bpe.encode(text, parse_special),
            Engine::Folder(folder) => folder.encode(&self.vocabulary, text, parse_special),
        }?;
        self.check_rows(ids.iter().copied())?;
        Ok(ids)
    }

    /// Fails if the model has no row for one of these tokens.
    pub(super) fn check_rows(&self, ids: impl IntoIterator<Item = TokenId>) -> Result<(), TokenizerError> {
        let Some(rows) = self.rows else { return Ok(()) };
        match ids.into_iter().find(|id| id.index() >= rows) {
            None => Ok(()),
            Some(id) => Err(TokenizerError::NoRow { name: self.name(id).into_owned(), id: id.0, rows }),
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
