//! OpenAI's `/v1/completions`: texts in, texts out. Tokens with the same text cannot be told apart.

use super::list::{List, ListQuery, Listed, choices, number, token_id};
use serde_json::{Value, json};

pub(super) fn request(query: &ListQuery<'_>) -> Value {
    json!({ "model": query.model, "max_tokens": 1, "logprobs": query.top, "temperature": query.temperature, "top_p": 1 })
}

pub(super) fn lists(answer: &Value, paths: usize) -> Result<Vec<List>, String> {
    let prompt_tokens = answer.pointer("/usage/prompt_tokens").and_then(Value::as_u64).map(|n| n as usize);
    let prompt_tokens = prompt_tokens.filter(|_| paths == 1);
    choices(answer, paths)?.into_iter().map(|c| list(c, prompt_tokens)).collect()
}

fn list(choice: &Value, prompt_tokens: Option<usize>) -> Result<List, String> {
    // llama.cpp's server answers here in the shape of chat completions.
    if let Some(content) = choice.pointer("/logprobs/content/0/top_logprobs").and_then(Value::as_array) {
        let entry = |t: &Value| {
            let bytes = t["bytes"].as_array().map(|b| b.iter().filter_map(|b| Some(b.as_u64()? as u8)).collect());
            let bytes = bytes.or_else(|| Some(text_bytes(t["token"].as_str()?)));
            Some(Listed { id: None, bytes, logprob: number(t.get("logprob")?)? })
        };
        let top = content.iter().map(entry).collect::<Option<_>>().ok_or("an entry without log probability")?;
        return Ok(List { top, named: Vec::new(), prompt_tokens });
    }
    let top = choice.pointer("/logprobs/top_logprobs/0").and_then(Value::as_object).ok_or("no log probabilities")?;
    let entry = |(key, logprob): (&String, &Value)| {
        let id = token_id(key);
        let bytes = id.is_none().then(|| text_bytes(key));
        Some(Listed { id, bytes, logprob: number(logprob)? })
    };
    let top = top.iter().map(entry).collect::<Option<_>>().ok_or("an entry without log probability")?;
    Ok(List { top, named: Vec::new(), prompt_tokens })
}

/// A token's bytes from its text. Servers write a token that is a part of a character as `bytes:\xe2\x80`.
fn text_bytes(text: &str) -> Vec<u8> {
    let part = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2);
    let escaped = text.strip_prefix("bytes:\\x").and_then(|hex| hex.split("\\x").map(part).collect::<Option<Vec<_>>>());
    escaped.unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_characters_are_bytes() {
        assert_eq!(text_bytes("bytes:\\xe2\\x80"), [0xe2, 0x80]);
        assert_eq!(text_bytes(" the"), b" the");
        assert_eq!(text_bytes("bytes:\\xzz"), b"bytes:\\xzz");
    }
}
