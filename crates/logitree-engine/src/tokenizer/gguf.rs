//! Makes a tokenizer from the metadata of a GGUF file.

use super::encode::{Engine, Tokenizer};
use super::error::{CONVERT, TokenizerError, field};
use super::vocabulary::{Kind, Vocabulary};
use super::{bpe, spm};
use logitree_core::TokenId;

/// The `tokenizer.ggml.*` metadata of a GGUF file, borrowed from it.
///
/// Field names follow the GGUF specification's standard metadata keys.
#[derive(Clone, Debug, Default)]
pub struct GgufVocabulary<'a> {
    /// `general.architecture`.
    pub architecture: &'a str,
    /// `model`: `llama` (SentencePiece-style BPE), `gpt2` (byte-level BPE) or `gemma4` (BPE over text).
    pub model: &'a str,
    /// `pre`: which rule cuts text into words before byte-level BPE.
    pub pre: Option<&'a str>,
    /// `tokens`: the pieces, by id.
    pub tokens: Vec<&'a [u8]>,
    /// `scores`: one per piece. The pair that makes the piece with the largest score is merged first.
    pub scores: Option<Vec<f32>>,
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Option<Vec<i32>>,
    /// `merges`: pairs in order of priority, separated by a space.
    pub merges: Option<Vec<&'a str>>,
    /// `bos_token_id`. An id with all bits set means that there is none.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
    /// `add_bos_token`: whether texts start with BOS.
    pub add_bos: Option<bool>,
    /// `add_space_prefix`: whether a space is added at the start of a text before it is split.
    pub add_space_prefix: Option<bool>,
}

impl GgufVocabulary<'_> {
    /// Checks the metadata and makes the tokenizer.
    pub(super) fn build(mut self) -> Result<Tokenizer, TokenizerError> {
        let n = self.tokens.len();
        if n == 0 || n > u32::MAX as usize {
            return Err(field("tokenizer.ggml.tokens", format!("{n} entries"), CONVERT));
        }
        let beyond = self.take_off_ids_beyond();
        let kinds = self.kinds()?;
        let notes = self.default_ids(beyond, &kinds);
        let mut tokenizer = match self.model {
            "llama" | "gemma" => self.sentencepiece(kinds),
            "gpt2" => self.byte_level(kinds),
            "gemma4" => self.over_text(kinds),
            other => Err(TokenizerError::UnknownModel(other.to_owned())),
        }?;
        tokenizer.notes = notes;
        Ok(tokenizer)
    }

    /// The special ids, with the names that they have in metadata keys.
    fn special_ids(&mut self) -> [(&'static str, &mut Option<u32>); 3] {
        [("bos", &mut self.bos), ("eos", &mut self.eos), ("unknown", &mut self.unknown)]
    }

    /// Removes special ids that are outside the vocabulary, and returns them. Ids with all bits set are how converters
    /// write "none"; they are removed but not returned.
    fn take_off_ids_beyond(&mut self) -> [Option<u32>; 3] {
        let n = self.tokens.len();
        self.special_ids().map(|(_, id)| {
            let beyond = id.filter(|&id| id as usize >= n);
            *id = id.filter(|&id| (id as usize) < n);
            beyond.filter(|&id| id != u32::MAX)
        })
    }

    /// Replaces the ids that were outside the vocabulary by defaults, as llama.cpp does, and returns a note for the
    /// user about each. The defaults are SentencePiece's usual ids, if the file has such tokens there; byte-level
    /// vocabularies have no usual ids.
    fn default_ids(&mut self, beyond: [Option<u32>; 3], kinds: &[Kind]) -> Vec<String> {
        let sentencepiece = matches!(self.model, "llama" | "gemma");
        let n = kinds.len();
        let mut notes = Vec::new();
        let defaults = [(1, Kind::Control), (2, Kind::Control), (0, Kind::Unknown)];
        for (((name, id), beyond), (default, kind)) in self.special_ids().into_iter().zip(beyond).zip(defaults) {
            let Some(beyond) = beyond else { continue };
            *id = (sentencepiece && kinds.get(default as usize) == Some(&kind)).then_some(default);
            let what = id.map_or("none is taken".to_owned(), |id| format!("the usual {id} is taken"));
            notes.push(format!("tokenizer.ggml.{name}_token_id is {beyond}, beyond the {n} tokens there are: {what}"));
        }
        notes
    }

    fn sentencepiece(mut self, kinds: Vec<Kind>) -> Result<Tokenizer, TokenizerError> {
        let scores = self.scores.take().ok_or_else(|| {
            field("tokenizer.ggml.scores", "missing, but SentencePiece merges by score".to_owned(), CONVERT)
        })?;
        same_length("tokenizer.ggml.scores", scores.len(), self.tokens.len())?;
        if let Some(i) = scores.iter().position(|s| s.is_nan()) {
            return Err(field("tokenizer.ggml.scores", format!("entry {i} is not a number"), CONVERT));
        }
        let vocabulary = spm::vocabulary(&self.tokens, kinds)?;
        // The original Llama adds a space in front, so SentencePiece models do unless the file says otherwise. Gemma
        // never does, even if a converter wrote that it does.
        let add_space_prefix = self.add_space_prefix.unwrap_or(true) && !self.is_gemma();
        let spm = spm::Spm::new(&vocabulary, scores, self.unknown.map(TokenId), add_space_prefix)?;
        Ok(self.finish(vocabulary, Engine::Spm(Box::new(spm)), "SentencePiece BPE".to_owned(), true))
    }

    fn byte_level(self, kinds: Vec<Kind>) -> Result<Tokenizer, TokenizerError> {
        let name = self.pre.ok_or_else(|| {
            field("tokenizer.ggml.pre", "missing, so the text cannot be cut into words exactly".to_owned(), CONVERT)
        })?;
        let merges = self.merges.as_deref().ok_or_else(|| {
            field("tokenizer.ggml.merges", "missing, but byte-level BPE needs them".to_owned(), CONVERT)
        })?;
        let rule = super::library::pre::Rule::named(name)?;
        let vocabulary = bpe::vocabulary(&self.tokens, kinds)?;
        let bpe = bpe::Bpe::new(&vocabulary, &self.tokens, merges, rule)?;
        let kind = format!("byte-level BPE ({name})");
        Ok(self.finish(vocabulary, Engine::Bpe(Box::new(bpe)), kind, rule.bos))
    }

    fn over_text(self, kinds: Vec<Kind>) -> Result<Tokenizer, TokenizerError> {
        let merges = self
            .merges
            .as_deref()
            .ok_or_else(|| field("tokenizer.ggml.merges", "missing, but this BPE needs them".to_owned(), CONVERT))?;
        let vocabulary = spm::vocabulary(&self.tokens, kinds)?;
        let bpe = bpe::Bpe::over_text(&vocabulary, &self.tokens, merges, self.unknown.map(TokenId))?;
        // Texts for Gemma 4 always begin with BOS, even if a converter wrote that they do not.
        let mut tokenizer = self.finish(vocabulary, Engine::Bpe(Box::new(bpe)), "BPE over text".to_owned(), true);
        tokenizer.add_bos = true;
        Ok(tokenizer)
    }

    fn finish(self, vocabulary: Vocabulary, engine: Engine, kind: String, default_bos: bool) -> Tokenizer {
        Tokenizer {
            vocabulary,
            engine,
            kind,
            bos: self.bos.map(TokenId),
            eos: self.eos.map(TokenId),
            add_bos: self.add_bos.unwrap_or(default_bos),
            rows: None,
            notes: Vec::new(),
        }
    }

    fn is_gemma(&self) -> bool {
        self.model == "gemma" || self.architecture.starts_with("gemma")
    }

    /// Checks the types of all tokens and returns the tokens' kinds.
    fn kinds(&mut self) -> Result<Vec<Kind>, TokenizerError> {
        let n = self.tokens.len();
        let mut kinds = match self.types.take() {
            Some(types) => {
                same_length("tokenizer.ggml.token_type", types.len(), n)?;
                let kind = |(i, &t): (usize, &i32)| {
                    Kind::from_gguf(t).ok_or_else(|| {
                        field("tokenizer.ggml.token_type", format!("entry {i} is {t}, not within 0 to 6"), CONVERT)
                    })
                };
                types.iter().enumerate().map(kind).collect::<Result<Vec<Kind>, _>>()?
            }
            // Files without types have byte tokens and special tokens too; they are recognised by names and ids.
            None => {
                let byte = self.model != "gpt2";
                let kind = |t: &&[u8]| if byte && spm::byte_of(t).is_some() { Kind::Byte } else { Kind::Normal };
                let mut kinds: Vec<Kind> = self.tokens.iter().map(kind).collect();
                for id in [self.bos, self.eos].into_iter().flatten() {
                    kinds[id as usize] = Kind::Control;
                }
                if let Some(id) = self.unknown {
                    kinds[id as usize] = Kind::Unknown;
                }
                kinds
            }
        };
        for (i, token) in self.tokens.iter().enumerate() {
            // Some converters have marked end tokens as user-defined or even normal. A text that only mentions such a
            // token must not end a turn, so the type is corrected.
            if super::end::is_unmistakable(token) && kinds[i] != Kind::Unused {
                kinds[i] = Kind::Control;
            }
        }
        Ok(kinds)
    }
}

fn same_length(name: &'static str, found: usize, tokens: usize) -> Result<(), TokenizerError> {
    if found == tokens {
        return Ok(());
    }
    Err(field(name, format!("{found} entries for {tokens} tokens"), CONVERT))
}
