//! Splitting text by a tokenizer.json. The splitting is left to the `tokenizers` library, which defines the format.

use super::bytes;
use super::error::TokenizerError;
use super::library::Library;
use super::library::pre::check_space;
use super::span::Span;
use super::vocabulary::Vocabulary;
use logitree_core::TokenId;

/// A tokenizer.json.
pub(super) struct Folder {
    library: Library,
    /// For byte-level tokenizers: whether a byte has a token. The library drops those that have none.
    covered: Option<[bool; 256]>,
}

/// The bytes that a byte-level vocabulary can say.
fn covered(library: &Library) -> [bool; 256] {
    let mut covered = [false; 256];
    for b in library.vocabulary(false).keys().filter_map(|name| bytes::single(name)) {
        covered[b as usize] = true;
    }
    covered
}

impl Folder {
    /// The splitting of a tokenizer.json, `library`, whose tokens are spelled in the byte alphabet of GPT-2 or otherwise.
    pub(super) fn new(library: Library, byte_level: bool) -> Folder {
        let covered = byte_level.then(|| covered(&library));
        Folder { library, covered }
    }

    /// Splits text into tokens; `vocabulary` is the one made with this.
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

    /// The tokens with the characters of the text that each stands for.
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

    /// A byte-level tokenizer whose vocabulary lacks a byte drops it from the text.
    fn check_nothing_is_lost(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        ids: &[TokenId],
    ) -> Result<(), TokenizerError> {
        let Some(covered) = &self.covered else { return Ok(()) };
        let Some(lost) = text.bytes().find(|&b| !covered[b as usize]) else { return Ok(()) };
        // The byte may be part of a special token's name.
        if ids.iter().any(|&id| vocabulary.bytes(id).contains(&lost)) {
            return Ok(());
        }
        Err(TokenizerError::Unencodable(format!("the byte 0x{lost:02X}")))
    }
}
