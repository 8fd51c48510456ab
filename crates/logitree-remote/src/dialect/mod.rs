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
        let wrong = |t: &&Listed| t.logprob.is_nan() || t.logprob > 1e-3;
        if let Some(t) = self.top.iter().chain(&self.named).find(wrong) {
            return Err(format!("a log probability of {}", t.logprob));
        }
        self.top.retain(|t| t.logprob.is_finite());
        for t in self.top.iter_mut().chain(&mut self.named) {
            t.logprob = t.logprob.min(0.0);
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
