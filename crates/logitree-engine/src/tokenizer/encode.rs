//! The tokenizer of a model, of any kind: its tokens, and how it splits text into them.

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
    /// Number of rows of the model's embedding matrix, if known. The vocabulary may have more tokens than that.
    pub(super) rows: Option<usize>,
    pub(super) notes: Vec<String>,
}

/// The algorithm that splits text into tokens, with its data.
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
    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The kind of tokenizer, in words for the user.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Sentences for the user about contradictions in the tokenizer's files, and how they were resolved.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tells the tokenizer how many rows the model's embedding matrix has. From now on, texts with a token beyond these
    /// rows are refused. Such tokens exist: some published tokenizers have tokens that were added without enlarging the
    /// model.
    pub(crate) fn restrict(&mut self, rows: usize) {
        self.rows = Some(rows);
    }

    /// Raw bytes of a token, not necessarily valid UTF-8. For a special token these are the bytes of its name; for an
    /// id outside the vocabulary there are none.
    pub fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.vocabulary.bytes(id))
    }

    /// Whether the token marks structure, such as `<eos>`, and is not text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.vocabulary.kind(id).is_some_and(Kind::is_special)
    }

    /// The token that every sequence must start with; `None` if the model does not use one.
    ///
    /// In a GGUF file the flag `tokenizer.ggml.add_bos_token` decides. Without the flag, SentencePiece, Llama 3 and
    /// Tekken vocabularies use BOS, and others do not. In a folder the post-processor of tokenizer.json decides.
    /// Without a post-processor `add_bos_token` of tokenizer_config.json decides, unless the tokenizer's class is a
    /// generic one, which adds no tokens itself.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos.filter(|_| self.add_bos)
    }

    /// The name of the BOS token, whether or not sequences start with it, because chat templates may write it.
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

    /// The token with these bytes: a special token with this name if there is one, else a text token.
    pub fn token_id(&self, name: &str) -> Option<TokenId> {
        let find = |want: fn(Kind) -> bool| {
            self.vocabulary.of_kind(want).find(|(_, bytes)| *bytes == name.as_bytes()).map(|(id, _)| id)
        };
        find(|k| k.is_special()).or_else(|| find(|k| !k.is_special() && k != Kind::Byte))
    }

    /// The tokens that end a generation, as far as the tokenizer's own files tell: [`Tokenizer::eos`] and
    /// [`Tokenizer::end_tokens_by_name`], sorted.
    pub fn end_tokens(&self) -> Vec<TokenId> {
        let mut ids = self.end_tokens_by_name();
        ids.extend(self.eos);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Control tokens whose name is known to end a text, turn or message (`<eos>`, `<end_of_turn>`, `<|im_end|>`,
    /// `<|eot_id|>`, `</s>`, …), in order of id. Tokens that the vocabulary marks as text are excluded: Gemma's `</s>`
    /// is HTML.
    pub fn end_tokens_by_name(&self) -> Vec<TokenId> {
        end::by_name(&self.vocabulary)
    }

    /// Splits text into tokens, without BOS. An empty text gives no tokens.
    ///
    /// # Errors
    /// If the vocabulary cannot express a part of the text, the model has no row for one of its tokens, or the text has
    /// more than 4 GiB.
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

    /// Splits a rendered chat into tokens. Names of special tokens become special tokens. BOS tokens at the start are
    /// removed if [`Tokenizer::bos`] is `Some`, because the caller puts that token in front: the model must see it only
    /// once.
    ///
    /// If [`Tokenizer::bos`] is `None`, a BOS that the template writes is kept. Names of special tokens within a
    /// message become special tokens too, as in other programs that use chat templates.
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
