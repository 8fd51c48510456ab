//! The kinds of servers, each with its way of asking and answering.

use super::list::{List, ListQuery, Paths};
use super::{llama_server, openai, sglang, vllm};
use serde_json::Value;
use std::fmt;

/// Which interface a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// vLLM, and `logitree serve`: token ids both ways, arrays of prompts.
    Vllm,
    /// SGLang: token ids both ways, arrays of prompts.
    Sglang,
    /// llama.cpp's server: token ids both ways, lists of any length.
    LlamaServer,
    /// OpenAI's completions API: text both ways.
    OpenAi,
}

impl ServerKind {
    /// All kinds.
    pub const ALL: [ServerKind; 4] =
        [ServerKind::Vllm, ServerKind::Sglang, ServerKind::LlamaServer, ServerKind::OpenAi];

    /// The kind's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ServerKind::Vllm => "vllm",
            ServerKind::Sglang => "sglang",
            ServerKind::LlamaServer => "llama-server",
            ServerKind::OpenAi => "openai",
        }
    }

    /// Whether paths are sent as token ids.
    pub fn takes_ids(self) -> bool {
        self != ServerKind::OpenAi
    }

    /// Whether one request may hold several prompts. OpenAI's API counts prompt tokens per request, and this count
    /// shows how the server split a text, so texts are sent one by one.
    pub(crate) fn takes_arrays(self) -> bool {
        matches!(self, ServerKind::Vllm | ServerKind::Sglang)
    }

    /// The HTTP path to which requests for next-token lists are sent.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            ServerKind::Vllm | ServerKind::OpenAi => "/v1/completions",
            ServerKind::Sglang => "/generate",
            ServerKind::LlamaServer => "/completion",
        }
    }

    /// The request for the next-token lists after these paths, as JSON.
    pub(crate) fn request(self, paths: &Paths<'_>, query: &ListQuery<'_>) -> String {
        // Paths are serialized straight into the request: as JSON values they would take thirty times the memory.
        let (prompts, count) = match paths {
            Paths::Ids(ids) => (serde_json::to_string(ids), ids.len()),
            Paths::Texts(texts) => (serde_json::to_string(texts), texts.len()),
        };
        // Serializing lists of numbers or texts cannot fail.
        let prompts = prompts.unwrap_or_default();
        let (key, rest) = match self {
            ServerKind::Vllm => ("prompt", vllm::request(query)),
            ServerKind::Sglang => ("input_ids", sglang::request(query, count)),
            ServerKind::LlamaServer => ("prompt", llama_server::request(query)),
            ServerKind::OpenAi => ("prompt", openai::request(query)),
        };
        // llama-server is given a single prompt without a list around it: then the answer is an object in every
        // version.
        let one = count == 1 && self == ServerKind::LlamaServer;
        let prompts = if one { &prompts[1..prompts.len() - 1] } else { &prompts };
        format!("{{\"{key}\":{prompts},{}", &rest.to_string()[1..])
    }

    /// The lists of an answer, one per path. The error says what is missing.
    pub(crate) fn lists(self, answer: &Value, paths: usize) -> Result<Vec<List>, String> {
        let lists = match self {
            ServerKind::Vllm => vllm::lists(answer, paths),
            ServerKind::Sglang => sglang::lists(answer, paths),
            ServerKind::LlamaServer => llama_server::lists(answer, paths),
            ServerKind::OpenAi => openai::lists(answer, paths),
        }?;
        lists.into_iter().map(List::checked).collect()
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An answer of each kind with these log probabilities of tokens 5, 6, …
    fn answer(kind: ServerKind, logprobs: &[Value]) -> Value {
        let entries = || (5..).zip(logprobs);
        let map = |key: fn(u32) -> String| -> Value {
            entries().map(|(id, l)| (key(id), l.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        match kind {
            ServerKind::Vllm => {
                json!({ "choices": [{ "logprobs": { "top_logprobs": [map(|id| format!("token_id:{id}"))] } }] })
            }
            ServerKind::OpenAi => {
                json!({ "choices": [{ "logprobs": { "top_logprobs": [map(|id| format!("t{id}"))] } }] })
            }
            ServerKind::Sglang => {
                let list: Vec<Value> = entries().map(|(id, l)| json!([l, id, null])).collect();
                json!({ "meta_info": { "output_top_logprobs": [list] } })
            }
            ServerKind::LlamaServer => {
                let list: Vec<Value> = entries().map(|(id, l)| json!({ "id": id, "logprob": l })).collect();
                json!({ "completion_probabilities": [{ "top_logprobs": list }] })
            }
        }
    }

    #[test]
    fn impossible_tokens_are_left_out_and_impossible_numbers_refused() {
        for kind in ServerKind::ALL {
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
