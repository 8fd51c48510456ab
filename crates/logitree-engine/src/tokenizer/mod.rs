//! Text to token ids and back to bytes.
//!
//! Three kinds of vocabulary: SentencePiece-style BPE from GGUF metadata ([`spm`]), byte-level BPE from
//! GGUF metadata ([`bpe`]) and whatever a `tokenizer.json` holds ([`json`]). What they
//! share is here: special tokens are cut out of the text first, BOS is never added by encoding, and
//! every token has raw bytes.

mod bpe;
mod json;
mod spm;

use crate::weights::{Gguf, Weights};
use aho_corasick::{AhoCorasick, MatchKind};
use logitree_core::TokenId;
use std::borrow::Cow;
use std::collections::HashMap;

/// Why a tokenizer cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The metadata is incomplete or contradicts itself.
    #[error("{0}")]
    Metadata(String),
    /// A kind that is not supported.
    #[error("{what} `{name}` is not supported; supported are {known}")]
    Unsupported {
        /// What is of the unknown kind.
        what: &'static str,
        /// Its name.
        name: String,
        /// Known names.
        known: &'static str,
    },
    /// The tokenizers library refused.
    #[error("{0}")]
    Library(String),
}

impl TokenizerError {
    fn metadata(what: impl Into<String>) -> TokenizerError {
        TokenizerError::Metadata(what.into())
    }
}

/// Tokens as the model's file describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Never made from text, unless its name is asked for.
    Control,
    /// Matched in text before anything else.
    UserDefined,
    Byte,
}

/// Names of control tokens that end a text, a turn or a message.
const END_NAMES: [&str; 10] = [
    "<eos>",
    "<end_of_turn>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "</s>",
    "<|end|>",
    "<|endofturn|>",
];

/// Encodes fragments of text that hold no special token.
trait Encoder: Send + Sync {
    fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError>;
}

/// A vocabulary with its rules.
pub struct Tokenizer {
    kind: &'static str,
    encoder: Box<dyn Encoder>,
    bytes: ByteTable,
    kinds: Vec<Kind>,
    /// Finds user-defined tokens; with control tokens in the second.
    finders: [Finder; 2],
    special_ids: HashMap<String, TokenId>,
    bos: Option<TokenId>,
    add_bos: bool,
    /// Whether special tokens may swallow a leading BOS that a template wrote.
    eos: Option<TokenId>,
}

/// Raw bytes of all tokens in one buffer.
#[derive(Default)]
struct ByteTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl ByteTable {
    fn push(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.bytes.extend(bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        match self.ends.get(i) {
            Some(&end) => &self.bytes[i.checked_sub(1).map_or(0, |j| self.ends[j] as usize)..end as usize],
            None => &[],
        }
    }
}

/// Finds tokens by name in text, leftmost and longest first.
struct Finder {
    automaton: Option<AhoCorasick>,
    ids: Vec<TokenId>,
}

impl Finder {
    fn new(tokens: Vec<(&[u8], TokenId)>) -> Result<Finder, TokenizerError> {
        let tokens: Vec<_> = tokens.into_iter().filter(|(name, _)| !name.is_empty()).collect();
        let ids = tokens.iter().map(|t| t.1).collect();
        let automaton = (!tokens.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(tokens.iter().map(|t| t.0)))
            .transpose()
            .map_err(|e| TokenizerError::Library(e.to_string()))?;
        Ok(Finder { automaton, ids })
    }

    /// Cuts text into fragments and found tokens, in order.
    fn split<'t>(
        &self,
        text: &'t str,
        mut f: impl FnMut(Fragment<'t>) -> Result<(), TokenizerError>,
    ) -> Result<(), TokenizerError> {
        let mut at = 0;
        for m in self.automaton.iter().flat_map(|a| a.find_iter(text)) {
            if m.start() > at {
                f(Fragment::Text(&text[at..m.start()]))?;
            }
            f(Fragment::Token(self.ids[m.pattern().as_usize()]))?;
            at = m.end();
        }
        if at < text.len() { f(Fragment::Text(&text[at..])) } else { Ok(()) }
    }
}

enum Fragment<'t> {
    Text(&'t str),
    Token(TokenId),
}

impl Tokenizer {
    /// The tokenizer of open weights: from a GGUF file's metadata or a folder's `tokenizer.json`.
    pub fn open(weights: &Weights) -> Result<Tokenizer, TokenizerError> {
        match (weights.gguf(), weights.folder()) {
            (Some(gguf), _) => Tokenizer::from_gguf(gguf),
            (None, Some(folder)) => json::open(folder),
            (None, None) => Err(TokenizerError::metadata("no tokenizer")),
        }
    }

    /// The tokenizer that a GGUF file describes.
    pub fn from_gguf(g: &Gguf) -> Result<Tokenizer, TokenizerError> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let tokens = g.strings(&key("tokens"));
        let tokens = tokens.ok_or_else(|| TokenizerError::metadata("`tokenizer.ggml.tokens` is missing"))?;
        let kinds = kinds(g.i64s(&key("token_type")), &tokens)?;
        let model = g.str(&key("model")).unwrap_or("(none)");
        let flag = |name: &str| g.bool(&key(name));
        let (kind, encoder, bytes, adds_bos): (_, Box<dyn Encoder>, _, _) = match model {
            "llama" | "gemma" => {
                let scores = g.f32s(&key("scores"));
                let scores = scores.ok_or_else(|| TokenizerError::metadata("`tokenizer.ggml.scores` is missing"))?;
                let unknown = g.u64(&key("unknown_token_id")).map(|id| TokenId(id as u32));
                // SentencePiece vocabularies want a space before the first word unless the file says otherwise.
                let prefix = flag("add_space_prefix").unwrap_or(true);
                let spm = spm::Spm::new(&tokens, &scores, &kinds, unknown, prefix)?;
                ("SentencePiece BPE", Box::new(spm), spm::bytes(&tokens, &kinds), true)
            }
            "gpt2" => {
                let merges = g.strings(&key("merges"));
                let merges = merges.ok_or_else(|| TokenizerError::metadata("`tokenizer.ggml.merges` is missing"))?;
                let pre = g.str(&key("pre")).unwrap_or("default");
                let bpe = bpe::Bpe::new(&tokens, &merges, pre)?;
                ("byte-level BPE", Box::new(bpe), bpe::bytes(&tokens, &kinds), false)
            }
            _ => {
                let known = "llama, gemma, gpt2";
                return Err(TokenizerError::Unsupported { what: "tokenizer model", name: model.into(), known });
            }
        };
        let id = |name: &str| g.u64(&key(name)).and_then(|id| u32::try_from(id).ok()).map(TokenId);
        let add_bos = flag("add_bos_token").unwrap_or(adds_bos);
        Tokenizer::build(kind, encoder, bytes, kinds, id("bos_token_id"), id("eos_token_id"), add_bos)
    }

    fn build(
        kind: &'static str,
        encoder: Box<dyn Encoder>,
        bytes: ByteTable,
        kinds: Vec<Kind>,
        bos: Option<TokenId>,
        eos: Option<TokenId>,
        add_bos: bool,
    ) -> Result<Tokenizer, TokenizerError> {
        let inside = |id: Option<TokenId>| id.filter(|id| id.index() < kinds.len());
        let (bos, eos) = (inside(bos), inside(eos));
        let of = |wanted: &[Kind]| {
            let ids = (0..kinds.len()).filter(|&i| wanted.contains(&kinds[i]));
            Finder::new(ids.map(|i| (bytes.get(i), TokenId(i as u32))).collect())
        };
        let finders = [of(&[Kind::UserDefined])?, of(&[Kind::UserDefined, Kind::Control])?];
        let special_ids = (0..kinds.len())
            .filter(|&i| kinds[i] == Kind::Control)
            .map(|i| (String::from_utf8_lossy(bytes.get(i)).into_owned(), TokenId(i as u32)))
            .collect();
        Ok(Tokenizer { kind, encoder, bytes, kinds, finders, special_ids, bos, eos, add_bos })
    }

    /// Kind of vocabulary, for people.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The token to put before every text, if the model's file asks for one.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos.filter(|_| self.add_bos)
    }

    /// Text of the beginning and end tokens, as chat templates want it; empty where there is none.
    pub fn bos_eos_text(&self) -> [String; 2] {
        [self.bos, self.eos]
            .map(|id| id.map_or_else(String::new, |id| String::from_utf8_lossy(&self.token_bytes(id)).into()))
    }

    /// Raw bytes of a token; a special token's are its name's. Nothing outside the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes.get(id.index()))
    }

    /// Whether a token is a control token rather than text.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.kinds.get(id.index()) == Some(&Kind::Control)
    }

    /// The control token of this name.
    pub fn special(&self, name: &str) -> Option<TokenId> {
        self.special_ids.get(name).copied()
    }

    /// Control tokens whose names say that they end a text or a turn. Metadata often names only one of
    /// them (a base model's `<eos>`, but not the `<end_of_turn>` its instructed sibling uses), so
    /// callers take both.
    pub fn end_tokens_by_name(&self) -> Vec<TokenId> {
        END_NAMES.iter().filter_map(|name| self.special(name)).collect()
    }

    /// Token ids of a text, without BOS. Names of control tokens in the text are text unless `parse_special`.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, TokenizerError> {
        let mut ids = Vec::new();
        self.finders[usize::from(parse_special)].split(text, |fragment| {
            match fragment {
                Fragment::Text(text) => self.encoder.encode(text, &mut ids)?,
                Fragment::Token(id) => ids.push(id),
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// Token ids of a rendered chat, without a leading BOS (templates often write one): the
    /// caller adds BOS as for any other text, so it is there exactly once.
    pub fn encode_chat(&self, rendered: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let mut ids = self.encode(rendered, true)?;
        if self.bos().is_some() && ids.first() == self.bos.as_ref() {
            ids.remove(0);
        }
        Ok(ids)
    }
}

/// Kinds from GGUF's numbers; all text if there are none.
fn kinds(types: Option<Vec<i64>>, tokens: &[&[u8]]) -> Result<Vec<Kind>, TokenizerError> {
    let Some(types) = types else { return Ok(vec![Kind::Text; tokens.len()]) };
    if types.len() != tokens.len() {
        return Err(TokenizerError::metadata(format!("{} token types for {} tokens", types.len(), tokens.len())));
    }
    let kind = |t| match t {
        // 2 is the unknown token, 5 an unused one: neither is made from text.
        2 | 3 | 5 => Kind::Control,
        4 => Kind::UserDefined,
        6 => Kind::Byte,
        _ => Kind::Text,
    };
    Ok(types.into_iter().map(kind).collect())
}
