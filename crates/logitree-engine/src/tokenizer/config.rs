//! Reads tokenizer_config.json and its older companions, which add to what tokenizer.json says about special tokens.

use super::error::{TokenizerError, file};
use super::files::read;
use super::library::AddedToken;
use logitree_core::TokenId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The keys of named tokens that every tokenizer may have, in the order in which transformers adds them.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Tokenizer classes that only follow tokenizer.json and do nothing themselves.
const GENERIC: [&str; 3] = ["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"];
/// Largest number of tokens that the configuration may declare. (Known files have a few thousand.)
const MOST_TOKENS: usize = 1 << 17;

/// The contents of these files, as far as they concern special tokens.
#[derive(Debug, Default)]
pub(crate) struct FolderConfig {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    /// The value of `add_bos_token`.
    pub(super) add_bos: Option<bool>,
    /// Whether the tokenizer's class is one of [`GENERIC`].
    pub(super) generic: bool,
    /// The declared tokens, in the order in which transformers adds them to those of tokenizer.json.
    pub(super) declared: Vec<AddedToken>,
}

impl FolderConfig {
    /// Reads tokenizer_config.json and, for what is missing from it, special_tokens_map.json and added_tokens.json.
    /// Each of the files may be absent.
    ///
    /// # Errors
    /// If a file is not readable, or has wrong contents.
    pub(crate) fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let path = folder.join("tokenizer_config.json");
        let config = object(&path)?;
        // As in transformers, a file with `added_tokens_decoder` needs no added_tokens.json.
        let complete = config.get("added_tokens_decoder").is_some_and(Value::is_object);
        let map = object(&folder.join("special_tokens_map.json"))?;
        let added = if complete { Map::new() } else { object(&folder.join("added_tokens.json"))? };
        let get = |key: &str| match complete {
            true => config.get(key).or_else(|| map.get(key)),
            false => map.get(key).or_else(|| config.get(key)),
        };
        let name = |key: &str| get(key).and_then(token_name);
        let class = config.get("tokenizer_class").and_then(Value::as_str);
        let mut found = FolderConfig {
            bos: name("bos_token"),
            eos: name("eos_token"),
            add_bos: get("add_bos_token").and_then(Value::as_bool),
            generic: class.is_some_and(|class| GENERIC.contains(&class)),
            declared: Vec::new(),
        };
        let special = specials(&config, get);
        let listed = config.get("added_tokens_decoder").and_then(Value::as_object);
        found.declared = by_id(&path, listed, &added, &special)?;
        for token in special {
            if !found.declared.iter().any(|t| t.content == token.content) {
                found.declared.push(token);
            }
        }
        match found.declared.len() {
            n if n > MOST_TOKENS => Err(file(&path, "added_tokens_decoder", format!("{n} tokens"))),
            _ => Ok(found),
        }
    }
}

/// Tokens that have a key of their own or are listed as special, in transformers' order.
fn specials<'v>(config: &'v Map<String, Value>, get: impl Fn(&str) -> Option<&'v Value>) -> Vec<AddedToken> {
    // Some models have additional keys, such as `image_token`.
    let own = config.iter().filter(|(key, _)| key.ends_with("_token") && !NAMED.contains(&key.as_str()));
    let own = own.map(|(_, value)| value).filter(|value| value.is_string());
    let extra = get("extra_special_tokens").filter(|v| !is_empty(v)).or_else(|| get("additional_special_tokens"));
    let extra: Vec<&Value> = match extra {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(named)) => named.values().collect(),
        _ => Vec::new(),
    };
    let all = NAMED.iter().filter_map(|key| get(key)).chain(own).chain(extra);
    let tokens = all.filter_map(|value| token(value, true).map(|t| t.special(true)));
    tokens.filter(|t| !t.content.is_empty()).collect()
}

/// Tokens that are listed with their ids, in order of id: in `added_tokens_decoder`, or in an old added_tokens.json.
fn by_id(
    path: &Path,
    listed: Option<&Map<String, Value>>,
    added: &Map<String, Value>,
    special: &[AddedToken],
) -> Result<Vec<AddedToken>, TokenizerError> {
    let is_special = |name: &str| special.iter().any(|t| t.content == name);
    let mut tokens: BTreeMap<TokenId, AddedToken> = BTreeMap::new();
    for (id, value) in listed.into_iter().flatten() {
        let number = id.parse().map_err(|_| file(path, "added_tokens_decoder", format!("{id:?} is not a token id")))?;
        let token =
            token(value, false).ok_or_else(|| file(path, "added_tokens_decoder", format!("{id}: no content")))?;
        let special = token.special || is_special(&token.content);
        tokens.insert(TokenId(number), token.special(special));
    }
    for (name, id) in added {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else { continue };
        let special = is_special(name);
        tokens.insert(TokenId(id), AddedToken::from(name, special));
    }
    Ok(tokens.into_values().filter(|t| !t.content.is_empty()).collect())
}

/// Reads a JSON object from a file; an absent file counts as an empty object.
fn object(path: &Path) -> Result<Map<String, Value>, TokenizerError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&read(path)?).map_err(|e| file(path, "contents", e))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// A token's name, which is a string or the `content` of an object.
fn token_name(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// Reads a token: a string, or an object with flags. `special` is used if the object has no such flag.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(special);
    let token = AddedToken::from(token_name(value)?, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false));
    Some(match flag("normalized") {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}
