//! Reads the tokenizer of a model folder: tokenizer.json, and the files beside it that declare special tokens.

use super::config::FolderConfig;
use super::encode::{Engine, Tokenizer};
use super::error::{TokenizerError, file};
use super::files::read;
use super::folder::Folder;
use super::library::{AddedToken, Library};
use super::vocabulary::{Kind, Vocabulary};
use super::{bytes, spm};
use logitree_core::TokenId;
use std::collections::HashMap;
use std::path::Path;

/// How the vocabulary writes the bytes of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Each byte is a character of GPT-2's byte alphabet.
    ByteLevel,
    /// A space is U+2581, and a token for a single byte is written like `<0x0A>`.
    SentencePiece,
    /// The token's text is its name.
    Plain,
}

/// Loads the tokenizer of a folder.
pub(super) fn load(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let path = folder.join("tokenizer.json");
    let library = Library::from_json(&read(&path)?).map_err(|(field, problem)| file(&path, field, problem))?;
    let config = FolderConfig::read(folder)?;
    library.add(undeclared(&library, &config)).map_err(|e| file(&path, "added_tokens", e))?;
    let spelling = spelling(&path, &library)?;
    let vocabulary = vocabulary(&path, &library, spelling)?;
    let front = added_in_front(&path, &library)?;
    if let Some(id) = front.filter(|id| id.index() >= vocabulary.len()) {
        return Err(file(&path, "post_processor", format!("adds the token {}, which there is not", id.0)));
    }
    let id = |name: &Option<String>| name.as_ref().and_then(|n| library.id(n)).map(TokenId);
    let (add_bos, note) = adds_bos(&library, &config, front.is_some());
    let bos = front.or_else(|| id(&config.bos));
    let eos = id(&config.eos);
    let kind = match spelling {
        Spelling::ByteLevel => "byte-level BPE (tokenizer.json)",
        Spelling::SentencePiece => "SentencePiece (tokenizer.json)",
        Spelling::Plain => "tokenizer.json",
    };
    let engine = Engine::Folder(Box::new(Folder::new(library, spelling == Spelling::ByteLevel)));
    let notes = note.into_iter().collect();
    Ok(Tokenizer { vocabulary, engine, kind: kind.to_owned(), bos, eos, add_bos, rows: None, notes })
}

/// Tokens that the configuration declares and tokenizer.json does not; transformers adds them. A declaration that makes
/// a token special wins over tokenizer.json, where the same token is not special.
fn undeclared(library: &Library, config: &FolderConfig) -> Vec<AddedToken> {
    let known: HashMap<String, AddedToken> = library.added().into_values().map(|t| (t.content.clone(), t)).collect();
    config.declared.iter().filter(|t| known.get(&t.content).is_none_or(|k| !k.special && t.special)).cloned().collect()
}

/// Whether texts start with BOS, and a note for the user about contradictions.
///
/// As in transformers 5 the post-processor decides, if there is one or the tokenizer's class is generic. Otherwise
/// `add_bos_token` decides, because the other classes add BOS themselves.
fn adds_bos(library: &Library, config: &FolderConfig, front: bool) -> (bool, Option<String>) {
    match config.add_bos {
        Some(flag) if library.has_post_processor() || config.generic => {
            let what = if front { "puts BOS in front" } else { "adds no BOS" };
            let note = format!(
                "add_bos_token in tokenizer_config.json is {flag}, but tokenizer.json {what}: the latter decides, as in \
                 transformers"
            );
            (front, (flag != front).then_some(note))
        }
        Some(flag) => (flag, None),
        None => (front, None),
    }
}

/// The steps of the decoder in the file.
fn decoders(library: &Library) -> Vec<serde_json::Value> {
    let decoder = library.decoder();
    decoder.get("decoders").and_then(|d| d.as_array()).cloned().unwrap_or_else(|| vec![decoder.clone()])
}

/// Finds the spelling by looking at the decoder, because the decoder turns tokens back into text.
fn spelling(path: &Path, library: &Library) -> Result<Spelling, TokenizerError> {
    let mut spelling = Spelling::Plain;
    for step in &decoders(library) {
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

fn vocabulary(path: &Path, library: &Library, spelling: Spelling) -> Result<Vocabulary, TokenizerError> {
    let ids = library.vocabulary(true);
    let n = ids.values().max().map_or(0, |&id| id as usize + 1);
    // Ids may have gaps, but a single id of four billion must not determine the size of the tables.
    if n == 0 || n > 4 * ids.len() + 1024 {
        return Err(file(path, "model.vocab", format!("the largest id is {n} for {} tokens", ids.len())));
    }
    let added = library.added();
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

/// The token that the post-processor adds at the start of a text; `None` if it adds nothing.
///
/// # Errors
/// If it adds more than one token at the start, or anything at the end, because this engine supports only one BOS
/// token.
fn added_in_front(path: &Path, library: &Library) -> Result<Option<TokenId>, TokenizerError> {
    let failed = |e| file(path, "post_processor", e);
    for text in ["a", "0", "e", " ", "\n"] {
        let plain = library.encode(text, false, false).map_err(failed)?;
        let whole = library.encode(text, false, true).map_err(failed)?;
        if plain.is_empty() {
            // The vocabulary has no token for this text, so added tokens before and after it cannot be told apart.
            continue;
        }
        let at = whole.windows(plain.len()).position(|w| w == plain);
        let at = at.ok_or_else(|| file(path, "post_processor", "changes the tokens of a text"))?;
        let (front, behind) = (&whole[..at], &whole[at + plain.len()..]);
        if let Some(last) = behind.last() {
            let problem = format!("puts the token {} behind a text, so that nothing can follow; take it out", last.0);
            return Err(file(path, "post_processor", problem));
        }
        if front.len() > 1 {
            let problem = format!("puts {} tokens in front of a text; supported is one", front.len());
            return Err(file(path, "post_processor", problem));
        }
        return Ok(front.first().copied());
    }
    Ok(None)
}
