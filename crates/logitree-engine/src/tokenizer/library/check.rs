//! Checks the contents of a tokenizer.json before the library reads it.
//!
//! The library trusts its files. A wrong file can make it panic, allocate gigabytes, or turn one letter into a megabyte
//! of text. So only known kinds of steps are accepted, their texts must be short, and what they can add to a text is
//! bounded.

use serde::Deserialize;
use serde_json::Value;

/// The parts of the file that are checked here. The library itself checks the model, in a call of `quietly`, which
/// catches panics.
#[derive(Deserialize)]
pub(super) struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    pub(super) post_processor: Value,
    #[serde(default)]
    pub(super) decoder: Value,
}

/// A field and what is wrong with it.
pub(super) type Problem = (&'static str, String);

const NORMALIZER: &str = "normalizer";
const PRE_TOKENIZER: &str = "pre_tokenizer";
const POST_PROCESSOR: &str = "post_processor";

/// Largest number of bytes of a text that a step inserts. (Known files insert `▁`, quotes or a few words.)
const LONGEST_CONTENT: usize = 64;
/// Largest number of bytes of a regular expression. (Known ones have up to about 600.)
const LONGEST_PATTERN: usize = 4096;
/// Largest number of steps in one field.
const MOST_STEPS: usize = 64;
/// Largest nesting depth of steps.
const DEEPEST: usize = 8;
/// Largest factor by which all normalizers together may lengthen a text.
const MOST_GROWTH: usize = 256;
/// Largest number of tokens that one name in a post-processor may stand for.
const MOST_IDS: usize = 16;

impl Parts {
    /// Fails if a part is not acceptable, with the field and what is wrong with it.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let mut growth = 1usize;
        for step in steps(&self.normalizer, NORMALIZER, "normalizers")? {
            growth = growth.saturating_mul(normalizer(step)?);
        }
        if growth > MOST_GROWTH {
            return Err((NORMALIZER, format!("can make a text {growth} times as long, more than {MOST_GROWTH}")));
        }
        steps(&self.pre_tokenizer, PRE_TOKENIZER, "pretokenizers")?.into_iter().try_for_each(pre_tokenizer)?;
        steps(&self.post_processor, POST_PROCESSOR, "processors")?.into_iter().try_for_each(post_processor)
    }
}

/// All steps of a field in order. A sequence is replaced by its steps.
fn steps<'v>(value: &'v Value, field: &'static str, list: &str) -> Result<Vec<&'v Value>, Problem> {
    let mut found = Vec::new();
    let mut open = vec![(value, 0)];
    while let Some((step, depth)) = open.pop() {
        if step.is_null() {
            continue;
        }
        if kind(step) != Some("Sequence") {
            found.push(step);
        } else {
            let inner = step.get(list).and_then(Value::as_array).ok_or((field, format!("a Sequence has no {list}")))?;
            open.extend(inner.iter().rev().map(|s| (s, depth + 1)));
        }
        if depth > DEEPEST || found.len() + open.len() > MOST_STEPS {
            return Err((field, format!("more than {MOST_STEPS} steps, or nested more than {DEEPEST} deep")));
        }
    }
    Ok(found)
}

fn kind(step: &Value) -> Option<&str> {
    step.get("type")?.as_str()
}

fn unknown(field: &'static str, step: &Value) -> Problem {
    let name: String = kind(step).unwrap_or("(none)").chars().take(40).collect();
    (field, format!("a step of type `{name}` is not known"))
}

/// Checks a step, and returns the factor by which it can lengthen a text.
fn normalizer(step: &Value) -> Result<usize, Problem> {
    let content = || {
        let content = step.get("content").or_else(|| step.get("prepend")).and_then(Value::as_str).unwrap_or_default();
        match content.len() {
            n if n <= LONGEST_CONTENT => Ok(content),
            n => Err((NORMALIZER, format!("a text of {n} bytes to put in, more than {LONGEST_CONTENT}"))),
        }
    };
    match kind(step) {
        // These steps replace a character by a few others at most, and only once.
        Some("NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "Nmt" | "StripAccents" | "Strip" | "BertNormalizer") => {
            Ok(1)
        }
        Some("ByteLevel") => Ok(2),
        Some("Prepend") if content()?.is_empty() => Err((NORMALIZER, "Prepend of nothing".into())),
        Some("Prepend") => Ok(1),
        Some("Replace") => {
            let least = pattern(step, NORMALIZER)?;
            Ok(content()?.len().div_ceil(least).max(1))
        }
        Some("Precompiled") => precompiled(step).map(|()| 1),
        _ => Err(unknown(NORMALIZER, step)),
    }
}

/// Checks a step's pattern, and returns the smallest number of bytes that it matches, or 1 if that is not known.
fn pattern(step: &Value, field: &'static str) -> Result<usize, Problem> {
    let of = |kind: &str| step.get("pattern").and_then(|p| p.get(kind)).and_then(Value::as_str);
    let (text, least) = match (of("String"), of("Regex")) {
        (Some(text), None) => (text, text.len()),
        (None, Some(text)) => (text, 1),
        _ => return Err((field, "a pattern that is neither a String nor a Regex".into())),
    };
    match text.len() {
        0 => Err((field, "an empty pattern".into())),
        n if n > LONGEST_PATTERN => Err((field, format!("a pattern of {n} bytes, more than {LONGEST_PATTERN}"))),
        _ => Ok(least),
    }
}

/// Checks a SentencePiece table: the length of a trie, the trie in words of four bytes, and texts that end in NUL. The
/// library allocates as much as the length says, so the length must be correct.
fn precompiled(step: &Value) -> Result<(), Problem> {
    let table = step.get("precompiled_charsmap").and_then(Value::as_str).and_then(base64);
    let problem = |what: &str| Err((NORMALIZER, format!("precompiled_charsmap {what}")));
    let Some(table) = table else { return problem("is not base64") };
    let Some((length, rest)) = table.split_first_chunk::<4>() else { return problem("is too short") };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || !length.is_multiple_of(4) || length > rest.len() {
        return problem("has a trie longer than itself");
    }
    match rest[length..].split(|&b| b == 0).map(<[u8]>::len).max() {
        Some(longest) if longest > LONGEST_CONTENT => problem("puts in texts that are too long"),
        _ => Ok(()),
    }
}

/// Decodes base64 with the standard alphabet.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

fn pre_tokenizer(step: &Value) -> Result<(), Problem> {
    match kind(step) {
        Some(
            "BertPreTokenizer" | "ByteLevel" | "CharDelimiterSplit" | "Digits" | "Metaspace" | "Punctuation"
            | "UnicodeScripts" | "Whitespace" | "WhitespaceSplit",
        ) => Ok(()),
        Some("Split") => pattern(step, PRE_TOKENIZER).map(|_| ()),
        Some("FixedLength") if step.get("length").is_some_and(|n| *n == 0) => {
            Err((PRE_TOKENIZER, "words of length 0".into()))
        }
        Some("FixedLength") => Ok(()),
        _ => Err(unknown(PRE_TOKENIZER, step)),
    }
}

fn post_processor(step: &Value) -> Result<(), Problem> {
    let problem = |what: String| Err((POST_PROCESSOR, what));
    match kind(step) {
        Some("ByteLevel" | "BertProcessing" | "RobertaProcessing") => return Ok(()),
        Some("TemplateProcessing") => {}
        _ => return Err(unknown(POST_PROCESSOR, step)),
    }
    let known = step.get("special_tokens").and_then(Value::as_object);
    let name = |piece: &Value| piece.get("id").and_then(Value::as_str).map(str::to_owned);
    for template in ["single", "pair"] {
        let Some(pieces) = step.get(template).and_then(Value::as_array) else {
            return problem(format!("the template `{template}` is missing, or no list"));
        };
        let mut texts = 0;
        for piece in pieces {
            if let Some(token) = piece.get("SpecialToken").and_then(name) {
                let ids = known.and_then(|k| k.get(&token)?.get("ids")?.as_array()).map_or(0, Vec::len);
                if !(1..=MOST_IDS).contains(&ids) {
                    return problem(format!("the template `{template}` has a token that special_tokens does not name"));
                }
            } else {
                match piece.get("Sequence").and_then(name).as_deref() {
                    Some("A") => texts += 1,
                    Some("B") if template == "pair" => {}
                    _ => {
                        return problem(format!("the template `{template}` has a part that is neither token nor text"));
                    }
                }
            }
        }
        if texts != 1 {
            return problem(format!("the template `{template}` has its text {texts} times"));
        }
    }
    Ok(())
}
