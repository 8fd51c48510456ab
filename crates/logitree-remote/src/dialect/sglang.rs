//! SGLang's `/generate`. It lists the distribution after the temperature was applied, so requests have temperature 1.

use super::list::{List, ListQuery, Listed, id, number};
use serde_json::{Value, json};

pub(super) fn request(query: &ListQuery<'_>, paths: usize) -> Value {
    let mut request = json!({
        "sampling_params": {
            "max_new_tokens": 1,
            "temperature": query.temperature,
            "top_p": 1,
            "top_k": -1,
            "min_p": 0,
            "repetition_penalty": 1,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "ignore_eos": true,
        },
        "return_logprob": true,
        "logprob_start_len": -1,
        "top_logprobs_num": query.top,
        "return_text_in_logprobs": false,
    });
    if !query.tokens.is_empty() {
        request["token_ids_logprob"] = json!(vec![query.tokens; paths]);
    }
    request
}

pub(super) fn lists(answer: &Value, paths: usize) -> Result<Vec<List>, String> {
    let one = std::slice::from_ref(answer);
    let all = answer.as_array().map_or(one, Vec::as_slice);
    if all.len() != paths {
        return Err(format!("{} answers for {paths} prompts", all.len()));
    }
    all.iter().map(|a| list(&a["meta_info"])).collect()
}

fn list(meta: &Value) -> Result<List, String> {
    let top = meta.pointer("/output_top_logprobs/0").ok_or("no log probabilities")?;
    let named = meta.pointer("/output_token_ids_logprobs/0").map_or(Ok(Vec::new()), entries)?;
    let prompt_tokens = meta["prompt_tokens"].as_u64().map(|n| n as usize);
    Ok(List { top: entries(top)?, named, prompt_tokens })
}

/// `[[logprob, id, text or null], …]`
fn entries(list: &Value) -> Result<Vec<Listed>, String> {
    let entry = |e: &Value| {
        let logprob = e.get(0).and_then(number).ok_or("an entry without log probability")?;
        Ok(Listed { id: Some(id(&e[1]).ok_or("an entry without id")?), bytes: None, logprob })
    };
    list.as_array().ok_or("log probabilities that are no list")?.iter().map(entry).collect()
}
