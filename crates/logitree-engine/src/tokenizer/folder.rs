//! The tokenizer of a model folder: tokenizer.json, with tokenizer_config.json beside it.
//!
//! The splitting is left to the `tokenizers` library, which defines the format.

use super::spans::{Span, from_ends};
use super::spm;
use super::vocabulary::{Kind, Vocabulary};
use super::{Engine, Tokenizer, TokenizerError, bytes, pre};
use logitree_core::TokenId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokenizers::models::ModelWrapper;

/// A tokenizer.json.
pub(super) struct Folder {
    /// Whether special tokens are looked for is a state of the library's object, not an argument,
    /// hence the lock. Splitting prompts is rare and quick.
    inner: Mutex<tokenizers::Tokenizer>,
    /// For byte-level tokenizers: whether a byte has a token. The library drops those that have none.
    covered: Option<[bool; 256]>,
}

/// What tokenizer_config.json says about BOS and EOS.
#[derive(Debug, Default)]
pub(crate) struct FolderConfig {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    add_bos: Option<bool>,
}

/// How tokens are spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// In the byte alphabet of GPT-2.
    ByteLevel,
    /// Spaces as U+2581, bytes as `<0x0A>`.
    SentencePiece,
    /// As they are.
    Plain,
}

/// Loads the tokenizer of a folder.
pub(super) fn load(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let path = folder.join("tokenizer.json");
    let json = read(&path)?;
    let mut inner = parse(&path, &json)?;
    inner.set_encode_special_tokens(true);
    let config = FolderConfig::read(folder)?;
    let spelling = spelling(&path, &inner)?;
    let vocabulary = vocabulary(&path, &inner, spelling)?;
    let first = first_added(&path, &inner)?;
    let id = |name: &Option<String>| name.as_ref().and_then(|n| inner.token_to_id(n)).map(TokenId);
    let add_bos = config.add_bos.unwrap_or(first.is_some());
    let bos = if config.add_bos.is_none() { first.or_else(|| id(&config.bos)) } else { id(&config.bos).or(first) };
    let eos = id(&config.eos);
    let covered = (spelling == Spelling::ByteLevel).then(|| covered(&inner));
    let kind = match spelling {
        Spelling::ByteLevel => "byte-level BPE (tokenizer.json)",
        Spelling::SentencePiece => "SentencePiece (tokenizer.json)",
        Spelling::Plain => "tokenizer.json",
    };
    let engine = Engine::Folder(Box::new(Folder { inner: Mutex::new(inner), covered }));
    Ok(Tokenizer { vocabulary, engine, kind: kind.to_owned(), bos, eos, add_bos })
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    std::fs::read(path).map_err(|reason| TokenizerError::Read { path: path.to_owned(), reason })
}

fn file(path: &Path, field: &'static str, problem: impl ToString) -> TokenizerError {
    TokenizerError::File { path: path.to_owned(), field, problem: problem.to_string() }
}

fn parse(path: &Path, json: &[u8]) -> Result<tokenizers::Tokenizer, TokenizerError> {
    // The library panics on some merges that do not fit the vocabulary; a broken file must not.
    let parsed = catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(json)))
        .map_err(|_| file(path, "model", "contradicts itself (a merge of tokens that make no token?)"))?;
    let mut inner = parsed.map_err(|e| file(path, "contents", e))?;
    if let ModelWrapper::BPE(bpe) = inner.get_model()
        && bpe.dropout.is_some_and(|d| d > 0.0)
    {
        return Err(file(path, "model.dropout", "is set, so that the same text is split differently each time"));
    }
    // Some files carry the settings of the training run; a prompt must be split whole.
    inner.with_truncation(None).map_err(|e| file(path, "truncation", e))?;
    inner.with_padding(None);
    Ok(inner)
}

/// Decides by the decoder, which is what turns tokens back into text.
fn spelling(path: &Path, inner: &tokenizers::Tokenizer) -> Result<Spelling, TokenizerError> {
    let decoder = serde_json::to_value(inner.get_decoder()).map_err(|e| file(path, "decoder", e))?;
    let steps = decoder.get("decoders").and_then(|d| d.as_array()).cloned().unwrap_or_else(|| vec![decoder]);
    let mut spelling = Spelling::Plain;
    for step in &steps {
        match step.get("type").and_then(|t| t.as_str()) {
            Some("ByteLevel") => return Ok(Spelling::ByteLevel),
            Some("ByteFallback" | "Metaspace") => spelling = Spelling::SentencePiece,
            Some("Replace") if step.pointer("/pattern/String").is_some_and(|p| p == "\u{2581}") => {
                spelling = Spelling::SentencePiece;
            }
            Some("Replace" | "Fuse" | "Strip" | "Sequence") | None => {}
            Some(other) => {
                return Err(file(path, "decoder", format!("`{other}` does not tell the bytes of a single token")));
            }
        }
    }
    Ok(spelling)
}

fn vocabulary(path: &Path, inner: &tokenizers::Tokenizer, spelling: Spelling) -> Result<Vocabulary, TokenizerError> {
    let ids = inner.get_vocab(true);
    let n = ids.values().max().map_or(0, |&id| id as usize + 1);
    // Ids may have gaps, but one stray id of four billion must not size the tables.
    if n == 0 || n > 4 * ids.len() + 1024 {
        return Err(file(path, "model.vocab", format!("the largest id is {n} for {} tokens", ids.len())));
    }
    let added = inner.get_added_tokens_decoder();
    let mut names: Vec<(Option<String>, Kind)> = vec![(None, Kind::Unused); n];
    for (name, id) in ids {
        let kind = match added.get(&id) {
            Some(token) if token.special => Kind::Control,
            Some(_) => Kind::UserDefined,
            None if spelling == Spelling::SentencePiece && spm::byte_of(name.as_bytes()).is_some() => Kind::Byte,
            None => Kind::Normal,
        };
        names[id as usize] = (Some(name), kind);
    }
    let (names, kinds): (Vec<String>, Vec<Kind>) = names.into_iter().map(|(n, k)| (n.unwrap_or_default(), k)).unzip();
    if spelling == Spelling::SentencePiece {
        return spm::vocabulary(&names, kinds);
    }
    let mut vocabulary = Vocabulary::with_capacity(n, names.iter().map(String::len).sum());
    for (name, kind) in names.iter().zip(kinds) {
        vocabulary.push(kind, |out| match kind {
            Kind::Normal if spelling == Spelling::ByteLevel => bytes::decode(name, out),
            _ => out.extend_from_slice(name.as_bytes()),
        })?;
    }
    Ok(vocabulary)
}

/// The token that the post-processor puts in front of a text, if any.
fn first_added(path: &Path, inner: &tokenizers::Tokenizer) -> Result<Option<TokenId>, TokenizerError> {
    let ids = |special| {
        let encoding = inner.encode_fast("a", special).map_err(|e| file(path, "post_processor", e))?;
        Ok::<_, TokenizerError>(encoding.get_ids().first().copied())
    };
    let (with, without) = (ids(true)?, ids(false)?);
    Ok(if with == without { None } else { with.map(TokenId) })
}

/// The bytes that a byte-level vocabulary can say.
fn covered(inner: &tokenizers::Tokenizer) -> [bool; 256] {
    let mut covered = [false; 256];
    for b in inner.get_vocab(false).keys().filter_map(|name| bytes::single(name)) {
        covered[b as usize] = true;
    }
    covered
}

impl Folder {
    /// Splits text into tokens; `vocabulary` is the one made with this.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        parse_special: bool,
    ) -> Result<Vec<TokenId>, TokenizerError> {
        pre::check_space(text)?;
        let encoding = self.guarded(parse_special, |inner| inner.encode_fast(text, false))?;
        let ids: Vec<TokenId> = encoding.get_ids().iter().map(|&id| TokenId(id)).collect();
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
        pre::check_space(text)?;
        let encoding = self.guarded(parse_special, |inner| inner.encode_char_offsets(text, false))?;
        let mut spans = Vec::with_capacity(encoding.len());
        from_ends(&encoding, &mut spans);
        let ids: Vec<TokenId> = spans.iter().map(|s| s.token).collect();
        self.check_nothing_is_lost(vocabulary, text, &ids)?;
        Ok(spans)
    }

    /// See `parse`: the file is not trusted, and the library was not written for such.
    fn guarded(
        &self,
        parse_special: bool,
        encode: impl FnOnce(&tokenizers::Tokenizer) -> tokenizers::Result<tokenizers::Encoding>,
    ) -> Result<tokenizers::Encoding, TokenizerError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.set_encode_special_tokens(!parse_special);
        catch_unwind(AssertUnwindSafe(|| encode(&inner)))
            .map_err(|_| TokenizerError::Library("the library panicked".to_owned()))?
            .map_err(|e| TokenizerError::Library(e.to_string()))
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

impl FolderConfig {
    /// Reads tokenizer_config.json and, for what it leaves out, special_tokens_map.json.
    /// Neither file has to be there.
    pub(crate) fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let mut config = FolderConfig::default();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path: PathBuf = folder.join(name);
            let json = match std::fs::read(&path) {
                Ok(json) => json,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(reason) => return Err(TokenizerError::Read { path, reason }),
            };
            let json: serde_json::Value = serde_json::from_slice(&json).map_err(|e| file(&path, "contents", e))?;
            config.bos = config.bos.or_else(|| token_name(&json, "bos_token"));
            config.eos = config.eos.or_else(|| token_name(&json, "eos_token"));
            config.add_bos = config.add_bos.or_else(|| json.get("add_bos_token")?.as_bool());
        }
        Ok(config)
    }
}

/// A token's name: a string, or an object with its `content`.
fn token_name(json: &serde_json::Value, field: &str) -> Option<String> {
    let value = json.get(field)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}
