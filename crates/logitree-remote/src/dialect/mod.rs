//! What each kind of server is asked for one step after many paths, and how it answers.
//!
//! Every request asks for the model's own distribution: temperature 1, nothing cut, no penalties, whatever defaults the
//! server was started with.

mod llama_server;
mod openai;
mod sglang;
mod vllm;

use logitree_core::TokenId;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// vLLM, and `logitree serve`: token ids both ways, arrays of prompts.
    Vllm,
    /// SGLang: token ids both ways, arrays of prompts.
    Sglang,
    /// llama.cpp's server: token ids both ways, lists of any length.
    LlamaServer,
    /// OpenAI's completions API: text both ways.
    OpenAi,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [Kind::Vllm, Kind::Sglang, Kind::LlamaServer, Kind::OpenAi];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Vllm => "vllm",
            Kind::Sglang => "sglang",
            Kind::LlamaServer => "llama-server",
            Kind::OpenAi => "openai",
        }
    }

    /// Whether paths are sent as token ids.
    pub fn takes_ids(self) -> bool {
        self != Kind::OpenAi
    }

    /// Whether one request may hold several prompts. The usage that tells how a text was read is counted by request,
    /// so texts go one by one.
    pub(crate) fn takes_arrays(self) -> bool {
        matches!(self, Kind::Vllm | Kind::Sglang)
    }

    /// Where steps are asked for.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Kind::Vllm | Kind::OpenAi => "/v1/completions",
            Kind::Sglang => "/generate",
            Kind::LlamaServer => "/completion",
        }
    }

    /// The request for the next-token lists after these paths, as JSON.
    pub(crate) fn request(self, paths: &Paths<'_>, step: &Step<'_>) -> String {
        // Paths go into the JSON as they are: as values they would take thirty times their size.
        let (prompts, count) = match paths {
            Paths::Ids(ids) => (serde_json::to_string(ids), ids.len()),
            Paths::Texts(texts) => (serde_json::to_string(texts), texts.len()),
        };
        // Lists of numbers and texts have no reason to fail.
        let prompts = prompts.unwrap_or_default();
        let (key, rest) = match self {
            Kind::Vllm => ("prompt", vllm::request(step)),
            Kind::Sglang => ("input_ids", sglang::request(step, count)),
            Kind::LlamaServer => ("prompt", llama_server::request(step)),
            Kind::OpenAi => ("prompt", openai::request(step)),
        };
        // A single prompt goes as it is, where its answer then is an object in every version.
        let one = count == 1 && self == Kind::LlamaServer;
        let prompts = if one { &prompts[1..prompts.len() - 1] } else { &prompts };
        format!("{{\"{key}\":{prompts},{}", &rest.to_string()[1..])
    }

    /// The lists of an answer, one per path. The error says what is missing.
    pub(crate) fn lists(self, answer: &Value, paths: usize) -> Result<Vec<List>, String> {
        let lists = match self {
            Kind::Vllm => vllm::lists(answer, paths),
            Kind::Sglang => sglang::lists(answer, paths),
            Kind::LlamaServer => llama_server::lists(answer, paths),
            Kind::OpenAi => openai::lists(answer, paths),
        }?;
        lists.into_iter().map(List::checked).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Paths from the start of the sequence.
pub(crate) enum Paths<'a> {
    Ids(Vec<&'a [TokenId]>),
    Texts(Vec<&'a str>),
}

/// What is asked about every path.
pub(crate) struct Step<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Length of the list.
    pub top: usize,
    /// Tokens that some path asks for by name.
    pub tokens: &'a [TokenId],
    /// 1, but to see what the server makes of another.
    pub temperature: f64,
}

/// A token as a server names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// Absent where only text is told.
    pub id: Option<TokenId>,
    /// Its bytes, where they are told.
    pub bytes: Option<Vec<u8>>,
    pub logprob: f64,
}

/// What a server says of the step after one path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct List {
    /// The most likely tokens, most likely first.
    pub top: Vec<Listed>,
    /// Tokens asked for by name.
    pub named: Vec<Listed>,
    /// Tokens that the server counts in the path.
    pub prompt_tokens: Option<usize>,
}

impl List {
    /// Sorted as ranks go; an error if the numbers are no probabilities.
    fn checked(mut self) -> Result<List, String> {
        for t in self.top.iter_mut().chain(&mut self.named) {
            t.logprob = possible(t.logprob)?;
        }
        // What cannot come has no place in a list of the most likely.
        self.top.retain(|t| t.logprob > f64::NEG_INFINITY);
        for t in &mut self.named {
            t.logprob = t.logprob.max(f64::MIN_POSITIVE.ln());
        }
        self.top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then(a.id.cmp(&b.id)));
        let mut seen = BTreeSet::new();
        if let Some(id) = self.top.iter().filter_map(|t| t.id).find(|&id| !seen.insert(id)) {
            return Err(format!("token {id} twice"));
        }
        let sum: f64 = self.top.iter().map(|t| t.logprob.exp()).sum();
        if sum > 1.01 {
            return Err(format!("probabilities that add up to {sum:.3}"));
        }
        if self.top.is_empty() {
            return Err("no log probabilities".into());
        }
        Ok(self)
    }
}

/// Least log probability that a softmax can have, with room: no logits are further apart.
const LEAST: f64 = -1e6;

/// A log probability that there can be, of 0 at most; minus infinity for what cannot come.
///
/// # Errors
/// If it is no logarithm of a probability. Numbers of 32 bits at their end stand for minus infinity: JSON has none.
pub(crate) fn possible(logprob: f64) -> Result<f64, String> {
    // The least number of 32 bits is written with more or fewer digits.
    if logprob == f64::NEG_INFINITY || logprob == f64::MIN || (-3.5e38..=-3.4e38).contains(&logprob) {
        return Ok(f64::NEG_INFINITY);
    }
    if !(LEAST..=1e-3).contains(&logprob) {
        return Err(format!("a log probability of {logprob:e}"));
    }
    Ok(logprob.min(0.0))
}

/// A log probability as servers write it. An impossible token has null, or the word that JavaScript or Python has for
/// minus infinity.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NEG_INFINITY),
        Value::String(word) if ["-Infinity", "-inf"].contains(&word.as_str()) => Some(f64::NEG_INFINITY),
        other => other.as_f64(),
    }
}

/// `token_id:506`, as vLLM writes ids in place of texts.
fn token_id(key: &str) -> Option<TokenId> {
    key.strip_prefix("token_id:")?.parse().ok().map(TokenId)
}

fn id(value: &Value) -> Option<TokenId> {
    u32::try_from(value.as_u64()?).ok().map(TokenId)
}

/// The entries of an answer's `choices` by their `index`: they need not come in order.
fn choices(answer: &Value, paths: usize) -> Result<Vec<&Value>, String> {
    let all = answer["choices"].as_array().ok_or("no `choices`")?;
    let mut by_index = vec![None; paths];
    for (i, choice) in all.iter().enumerate() {
        let index = choice["index"].as_u64().map_or(i, |n| n as usize);
        if let Some(place) = by_index.get_mut(index) {
            *place = Some(choice);
        }
    }
    by_index.into_iter().collect::<Option<_>>().ok_or_else(|| format!("{} choices for {paths} prompts", all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An answer of each kind with these log probabilities of tokens 5, 6, …
    fn answer(kind: Kind, logprobs: &[Value]) -> Value {
        let entries = || (5..).zip(logprobs);
        let map = |key: fn(u32) -> String| -> Value {
            entries().map(|(id, l)| (key(id), l.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        match kind {
            Kind::Vllm => {
                json!({ "choices": [{ "logprobs": { "top_logprobs": [map(|id| format!("token_id:{id}"))] } }] })
            }
            Kind::OpenAi => json!({ "choices": [{ "logprobs": { "top_logprobs": [map(|id| format!("t{id}"))] } }] }),
            Kind::Sglang => {
                let list: Vec<Value> = entries().map(|(id, l)| json!([l, id, null])).collect();
                json!({ "meta_info": { "output_top_logprobs": [list] } })
            }
            Kind::LlamaServer => {
                let list: Vec<Value> = entries().map(|(id, l)| json!({ "id": id, "logprob": l })).collect();
                json!({ "completion_probabilities": [{ "top_logprobs": list }] })
            }
        }
    }

    #[test]
    fn impossible_tokens_are_left_out_and_impossible_numbers_refused() {
        for kind in Kind::ALL {
            let lists = |logprobs: &[Value]| kind.lists(&answer(kind, logprobs), 1);
            for never in [json!(null), json!("-Infinity"), json!(-3.4028234663852886e38), json!(f64::MIN)] {
                let list = &lists(&[json!(-0.5), never.clone(), json!(-1.5)]).unwrap()[0];
                let logprobs: Vec<f64> = list.top.iter().map(|t| t.logprob).collect();
                assert_eq!(logprobs, [-0.5, -1.5], "{kind} {never}");
            }
            assert_eq!(lists(&[json!(-0.5), json!(-9999.0)]).unwrap()[0].top.len(), 2);
            for wrong in [json!(-1e308), json!(-2e6), json!(0.5), json!(5)] {
                let why = lists(&[json!(-0.5), wrong.clone()]).unwrap_err();
                assert!(why.contains("log probability of"), "{kind} {wrong}: {why}");
            }
            for wrong in [json!("NaN"), json!({}), json!(true)] {
                assert!(lists(&[json!(-0.5), wrong.clone()]).is_err(), "{kind} {wrong}");
            }
            assert!(lists(&[json!(null)]).unwrap_err().contains("no log probabilities"));
        }
    }
}
