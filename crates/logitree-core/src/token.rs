//! Token ids and the display of token bytes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Index of a token in the model's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

impl TokenId {
    /// The id as an index into vocabulary-sized tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Joins token bytes and decodes them as UTF-8; invalid sequences become U+FFFD.
///
/// Characters split over several tokens are whole again in the result, which is why text is made
/// from a path's bytes and not by joining the tokens' texts.
pub fn decode<'a>(tokens: impl IntoIterator<Item = &'a [u8]>) -> String {
    let bytes: Vec<u8> = tokens.into_iter().flatten().copied().collect();
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
