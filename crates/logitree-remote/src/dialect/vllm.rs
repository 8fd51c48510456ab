//! vLLM's `/v1/completions`, which `logitree serve` speaks too.
//!
//! `return_tokens_as_token_ids` makes keys `token_id:N`. The list holds the sampled token beside the k asked for. With
//! `--logprobs-mode` raw (the default) the numbers are the model's own. With a processed mode they are the same,
//! because the parameters below change nothing in the distribution.

use super::list::{List, ListQuery, Listed, choices, number, token_id};
use serde_json::{Value, json};

pub(super) fn request(query: &ListQuery<'_>) -> Value {
    json!({
        "model": query.model,
        "max_tokens": 1,
        "logprobs": query.top,
        "return_tokens_as_token_ids": true,
        "ignore_eos": true,
        "temperature": query.temperature,
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "repetition_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "seed": 0,
    })
}

pub(super) fn lists(answer: &Value, paths: usize) -> Result<Vec<List>, String> {
    choices(answer, paths)?.into_iter().map(list).collect()
}

fn list(choice: &Value) -> Result<List, String> {
    let top = choice.pointer("/logprobs/top_logprobs/0").and_then(Value::as_object);
    let top = top.ok_or("no log probabilities (was the server started with a limit of 0?)")?;
    let listed = top.iter().map(|(key, logprob)| {
        let id = token_id(key).ok_or_else(|| format!("the token {key:?} without its id"))?;
        let logprob = number(logprob).ok_or_else(|| format!("no log probability of {key}"))?;
        Ok(Listed { id: Some(id), bytes: None, logprob })
    });
    Ok(List { top: listed.collect::<Result<_, String>>()?, ..List::default() })
}
