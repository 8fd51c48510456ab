//! llama.cpp's `/completion`. `post_sampling_probs: false` gives the softmax of the logits before any sampler.

use super::list::{List, ListQuery, Listed, id, number};
use serde_json::{Value, json};

pub(super) fn request(query: &ListQuery<'_>) -> Value {
    json!({
        "n_predict": 1,
        "n_probs": query.top,
        "post_sampling_probs": false,
        "cache_prompt": true,
        "temperature": query.temperature,
        "stream": false,
    })
}

pub(super) fn lists(answer: &Value, paths: usize) -> Result<Vec<List>, String> {
    let one = std::slice::from_ref(answer);
    let all = answer.as_array().map_or(one, Vec::as_slice);
    if all.len() != paths {
        return Err(format!("{} answers for {paths} prompts", all.len()));
    }
    let mut by_index = vec![None; paths];
    for (i, a) in all.iter().enumerate() {
        let index = a["index"].as_u64().map_or(i, |n| n as usize);
        if let Some(place) = by_index.get_mut(index) {
            *place = Some(list(a)?);
        }
    }
    by_index.into_iter().collect::<Option<_>>().ok_or_else(|| "answers without all indices".into())
}

fn list(answer: &Value) -> Result<List, String> {
    let top = answer.pointer("/completion_probabilities/0/top_logprobs").and_then(Value::as_array);
    let top = top.ok_or("no log probabilities")?;
    if answer["truncated"] == true {
        return Err("a prompt cut to the slot's context: start it with a larger -c".into());
    }
    let listed = top.iter().map(|t| {
        let bytes = t["bytes"].as_array().map(|b| b.iter().filter_map(|b| Some(b.as_u64()? as u8)).collect());
        let logprob = t.get("logprob").and_then(number).ok_or("an entry without log probability")?;
        Ok(Listed { id: Some(id(&t["id"]).ok_or("an entry without id")?), bytes, logprob })
    });
    let prompt_tokens = answer["tokens_evaluated"].as_u64().map(|n| n as usize);
    Ok(List { top: listed.collect::<Result<_, String>>()?, named: Vec::new(), prompt_tokens })
}
