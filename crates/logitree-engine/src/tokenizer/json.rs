//! `tokenizer.json`, on the tokenizers library.

use super::{ByteTable, Encoder, Kind, Tokenizer, TokenizerError, bpe};
use logitree_core::TokenId;
use serde_json::Value;
use std::path::Path;
use tokenizers::{DecoderWrapper, PreTokenizerWrapper};

struct Json(tokenizers::Tokenizer);

fn library(e: impl std::fmt::Display) -> TokenizerError {
    TokenizerError::Library(e.to_string())
}

fn read(path: &Path) -> Result<Value, TokenizerError> {
    let text = std::fs::read(path).map_err(|e| library(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&text).map_err(|e| library(format!("{}: not valid JSON: {e}", path.display())))
}

pub(super) fn open(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let path = folder.join("tokenizer.json");
    if !path.exists() {
        let what = format!("{}: no tokenizer.json here; copy it from where the model came from", folder.display());
        return Err(TokenizerError::metadata(what));
    }
    let mut inner = tokenizers::Tokenizer::from_file(&path).map_err(|e| library(format!("{}: {e}", path.display())))?;
    // Special tokens are cut out before (see the parent module); inside fragments their names are text.
    inner.set_encode_special_tokens(true);
    let config = match folder.join("tokenizer_config.json") {
        path if path.exists() => read(&path)?,
        _ => Value::Null,
    };
    let byte_level = is_byte_level(&inner);
    let alphabet = bpe::alphabet();
    let added = inner.get_added_tokens_decoder();
    let size = inner.get_vocab_size(true).max(added.keys().max().map_or(0, |&id| id as usize + 1));
    let (mut bytes, mut kinds) = (ByteTable::default(), Vec::with_capacity(size));
    for id in 0..size as u32 {
        match added.get(&id) {
            Some(token) => {
                bytes.push(token.content.bytes());
                kinds.push(if token.special { Kind::Control } else { Kind::UserDefined });
            }
            None => {
                let text = inner.id_to_token(id).unwrap_or_default();
                bytes.push(if byte_level { bpe::token_bytes(&alphabet, &text) } else { sentencepiece_bytes(&text) });
                kinds.push(Kind::Text);
            }
        }
    }
    let named = |key: &str| {
        let value = config.get(key)?;
        let name = value.as_str().or_else(|| value.get("content")?.as_str())?;
        inner.token_to_id(name).map(TokenId)
    };
    let (bos, eos) = (named("bos_token"), named("eos_token"));
    // Either the configuration says so, or the post-processor puts it there.
    let adds = config.get("add_bos_token").and_then(Value::as_bool).unwrap_or_else(|| {
        let first = inner.encode_fast("a", true).ok().and_then(|e| e.get_ids().first().copied());
        bos.is_some() && first == bos.map(|b| b.0)
    });
    let kind = if byte_level { "byte-level BPE (tokenizer.json)" } else { "tokenizer.json" };
    Tokenizer::build(kind, Box::new(Json(inner)), bytes, kinds, bos, eos, adds)
}

fn is_byte_level(t: &tokenizers::Tokenizer) -> bool {
    let decoder = matches!(t.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
    let pre = match t.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::ByteLevel(_)) => true,
        Some(PreTokenizerWrapper::Sequence(s)) => {
            s.as_ref().iter().any(|p| matches!(p, PreTokenizerWrapper::ByteLevel(_)))
        }
        _ => false,
    };
    decoder || pre
}

/// `▁` is a space and `<0xXX>` a byte.
fn sentencepiece_bytes(token: &str) -> Vec<u8> {
    let hex = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>')).filter(|h| h.len() == 2);
    match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
        Some(byte) => vec![byte],
        None => token.replace('\u{2581}', " ").into_bytes(),
    }
}

impl Encoder for Json {
    fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let encoding = self.0.encode_fast(text, false).map_err(library)?;
        out.extend(encoding.get_ids().iter().map(|&id| TokenId(id)));
        Ok(())
    }
}
