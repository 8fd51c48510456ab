//! Byte-level BPE (`gpt2` in GGUF files) on the tokenizers library.
//!
//! GGUF files name the way text is cut into words before merging (`tokenizer.ggml.pre`) but do not hold it;
//! the patterns here are those of the models' own tokenizer.json.

use super::{ByteTable, Encoder, Kind, TokenizerError};
use logitree_core::TokenId;
use std::collections::HashMap;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

pub(super) struct Bpe(tokenizers::Tokenizer);

const KNOWN: &str = "default, gpt-2, smollm, llama-bpe, qwen2";

/// Words of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Words of Llama 3: case-blind contractions, numbers by three digits, lines kept apart.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words of Qwen 2: as Llama 3's, but digits one by one.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Cuts of files that name no pre-tokenizer, made one after the other.
const DEFAULT: [&str; 4] = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"];

fn library(e: impl std::fmt::Display) -> TokenizerError {
    TokenizerError::Library(e.to_string())
}

fn split(pattern: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let pattern = SplitPattern::Regex(pattern.into());
    Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(Into::into).map_err(library)
}

impl Bpe {
    pub(super) fn new(tokens: &[&[u8]], merges: &[&[u8]], pre: &str) -> Result<Bpe, TokenizerError> {
        let text = |b: &[u8], what: &str| match std::str::from_utf8(b) {
            Ok(s) => Ok(s.to_string()),
            Err(_) => Err(TokenizerError::metadata(format!("a {what} is not UTF-8"))),
        };
        let mut vocab = HashMap::with_capacity(tokens.len());
        for (i, token) in tokens.iter().enumerate() {
            vocab.insert(text(token, "token")?, i as u32);
        }
        let mut pairs = Vec::with_capacity(merges.len());
        for merge in merges {
            let merge = text(merge, "merge")?;
            let pair = merge.split_once(' ').filter(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains(' '));
            let (a, b) = pair.ok_or_else(|| TokenizerError::metadata(format!("merge {merge:?} is not a pair")))?;
            pairs.push((a.to_string(), b.to_string()));
        }
        let bytes = |regex| PreTokenizerWrapper::from(ByteLevel::new(false, false, regex));
        let cuts = match pre {
            "gpt-2" => vec![bytes(true)],
            "smollm" => vec![Digits::new(true).into(), bytes(true)],
            "llama-bpe" | "llama3" => vec![split(LLAMA3)?, bytes(false)],
            "qwen2" => vec![split(QWEN2)?, bytes(false)],
            "default" => {
                let mut cuts = DEFAULT.iter().map(|p| split(p)).collect::<Result<Vec<_>, _>>()?;
                cuts.push(bytes(false));
                cuts
            }
            _ => return Err(TokenizerError::Unsupported { what: "pre-tokenizer", name: pre.into(), known: KNOWN }),
        };
        let model = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<tokenizers::models::bpe::Vocab>(), pairs)
            // Llama 3 takes a word that is a token as it is, even if merges would not lead there.
            .ignore_merges(matches!(pre, "llama-bpe" | "llama3"))
            .build()
            .map_err(library)?;
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(Sequence::new(cuts)));
        if pre == "qwen2" {
            tokenizer.with_normalizer(Some(NFC)).map_err(library)?;
        }
        Ok(Bpe(tokenizer))
    }
}

impl Encoder for Bpe {
    fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let encoding = self.0.encode_fast(text, false).map_err(library)?;
        out.extend(encoding.get_ids().iter().map(|&id| TokenId(id)));
        Ok(())
    }
}

/// The character that byte-level vocabularies write for each byte: printable bytes stand for themselves, the others
/// are counted up from U+0100.
pub(super) fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255u8)
        .map(|b| match b {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (char::from(b), b),
            _ => {
                next += 1;
                (char::from_u32(next - 1).unwrap_or_default(), b)
            }
        })
        .collect()
}

/// Raw bytes of one byte-level token; a token with other characters stands for its own text.
pub(super) fn token_bytes(alphabet: &HashMap<char, u8>, token: &str) -> Vec<u8> {
    token.chars().map(|c| alphabet.get(&c).copied()).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.into())
}

/// Raw bytes of every token.
pub(super) fn bytes(tokens: &[&[u8]], kinds: &[Kind]) -> ByteTable {
    let alphabet = alphabet();
    let mut table = ByteTable::default();
    for (token, kind) in tokens.iter().zip(kinds) {
        match (kind, std::str::from_utf8(token)) {
            (Kind::Text | Kind::Byte, Ok(token)) => table.push(token_bytes(&alphabet, token)),
            _ => table.push(token.iter().copied()),
        }
    }
    table
}
