//! Splits text as a tokenizer.json describes. The `tokenizers` library, which defines the format, does the work.

use super::bytes;
use super::error::TokenizerError;
use super::library::Library;
use super::library::pre::check_space;
use super::span::Span;
use super::vocabulary::Vocabulary;
use logitree_core::TokenId;

/// The tokenizer of a tokenizer.json.
pub(super) struct Folder {
    library: Library,
    /// Only for byte-level tokenizers: whether each byte has a token. The library drops bytes that have none.
    covered: Option<[bool; 256]>,
}

/// The bytes for which a byte-level vocabulary has a token.
fn covered(library: &Library) -> [bool; 256] {
    let mut covered = [false; 256];
    for b in library.vocabulary(false).keys().filter_map(|name| bytes::single(name)) {
        covered[b as usize] = true;
    }
    covered
}

impl Folder {
    /// Makes the tokenizer. `byte_level` says whether the tokens of `library` are written in GPT-2's byte alphabet.
    pub(super) fn new(library: Library, byte_level: bool) -> Folder {
        let covered = byte_level.then(|| covered(&library));
        Folder { library, covered }
    }

    /// Splits text into tokens; `vocabulary` must be that of this tokenizer.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        parse_special: bool,
    ) -> Result<Vec<TokenId>, TokenizerError> {
        check_space(text)?;
        let ids = self.library.encode(text, parse_special, false)?;
        self.check_nothing_is_lost(vocabulary, text, &ids)?;
        Ok(ids)
    }

    /// The tokens of [`Folder::encode`], each with the number of characters of the text that it stands for.
    pub(super) fn spans(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        parse_special: bool,
    ) -> Result<Vec<Span>, TokenizerError> {
        check_space(text)?;
        let spans = self.library.spans(text, parse_special)?;
        let ids: Vec<TokenId> = spans.iter().map(|s| s.token).collect();
        self.check_nothing_is_lost(vocabulary, text, &ids)?;
        Ok(spans)
    }

    /// Fails if a byte of the text was lost: the library drops bytes for which a byte-level vocabulary has no token.
    fn check_nothing_is_lost(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        ids: &[TokenId],
    ) -> Result<(), TokenizerError> {
        let Some(covered) = &self.covered else { return Ok(()) };
        let Some(lost) = text.bytes().find(|&b| !covered[b as usize]) else { return Ok(()) };
        // A byte without a token is not lost if it is part of a special token's name.
        if ids.iter().any(|&id| vocabulary.bytes(id).contains(&lost)) {
            return Ok(());
        }
        Err(TokenizerError::Unencodable(format!("the byte 0x{lost:02X}")))
    }
}
