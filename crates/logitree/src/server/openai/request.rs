//! What a request asks for, checked.

use super::error::Failure;
use super::shapes::{LogprobsWanted, Request, Stop};
use crate::server::worker::generate::Options;
use logitree_core::sampling::Sampler;
use serde_json::Value;

/// Most likely tokens that may be listed per position.
pub const LISTED: usize = 1000;
/// Answers per prompt.
const ANSWERS: usize = 128;
/// Stop strings, and bytes of each.
const STOPS: (usize, usize) = (64, 1024);

/// A parameter's value that changes nothing.
enum Neutral {
    Number(f64),
    Bool(bool),
    Word(&'static str),
    /// An empty text, list or object.
    Empty,
    /// Only null.
    Null,
}

/// Parameters of OpenAI, vLLM and llama-server that would change the answer, and the values with which they do not.
const UNSUPPORTED: &[(&str, &[Neutral])] = &[
    ("suffix", &[Neutral::Empty]),
    ("frequency_penalty", &[Neutral::Number(0.0)]),
    ("presence_penalty", &[Neutral::Number(0.0)]),
    ("repetition_penalty", &[Neutral::Number(1.0)]),
    ("repeat_penalty", &[Neutral::Number(1.0)]),
    ("length_penalty", &[Neutral::Number(1.0)]),
    ("typical_p", &[Neutral::Number(1.0)]),
    ("mirostat", &[Neutral::Number(0.0)]),
    ("min_tokens", &[Neutral::Number(0.0)]),
    ("logit_bias", &[Neutral::Empty]),
    ("bad_words", &[Neutral::Empty]),
    ("stop_token_ids", &[Neutral::Empty]),
    ("allowed_token_ids", &[Neutral::Empty]),
    ("use_beam_search", &[Neutral::Bool(false)]),
    ("include_stop_str_in_output", &[Neutral::Bool(false)]),
    ("skip_special_tokens", &[Neutral::Bool(true)]),
    ("truncate_prompt_tokens", &[Neutral::Null]),
    ("prompt_embeds", &[Neutral::Null]),
    ("response_format", &[Neutral::Word("text")]),
    ("structured_outputs", &[Neutral::Empty]),
    ("guided_json", &[Neutral::Null]),
    ("guided_regex", &[Neutral::Null]),
    ("guided_choice", &[Neutral::Null]),
    ("guided_grammar", &[Neutral::Null]),
    ("grammar", &[Neutral::Empty]),
    ("json_schema", &[Neutral::Empty]),
    ("tools", &[Neutral::Empty]),
    ("tool_choice", &[Neutral::Word("none"), Neutral::Word("auto")]),
    ("functions", &[Neutral::Empty]),
    ("function_call", &[Neutral::Word("none"), Neutral::Word("auto")]),
    ("modalities", &[Neutral::Word("text")]),
    ("audio", &[Neutral::Null]),
    ("documents", &[Neutral::Empty]),
    ("chat_template", &[Neutral::Null]),
    ("chat_template_kwargs", &[Neutral::Empty]),
    ("add_generation_prompt", &[Neutral::Bool(true)]),
    ("continue_final_message", &[Neutral::Bool(false)]),
    ("web_search_options", &[Neutral::Null]),
];

impl Neutral {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Neutral::Number(n), Value::Number(v)) => v.as_f64() == Some(*n),
            (Neutral::Bool(b), Value::Bool(v)) => v == b,
            (Neutral::Word(w), Value::String(v)) => v == w,
            // As OpenAI writes it: {"type": "text"}, ["text"].
            (Neutral::Word(w), Value::Object(v)) => v.get("type").is_some_and(|t| t == w),
            (Neutral::Word(w), Value::Array(v)) => v.iter().all(|t| t == w),
            (Neutral::Empty, Value::String(v)) => v.is_empty(),
            (Neutral::Empty, Value::Array(v)) => v.is_empty(),
            (Neutral::Empty, Value::Object(v)) => v.is_empty(),
            _ => false,
        }
    }
}

/// What is wanted of every prompt.
pub struct Settings {
    pub n: usize,
    /// With `max_tokens` still to be set.
    pub options: Options,
    /// As it was given.
    pub max_tokens: Option<usize>,
    /// Most likely tokens to list, if tokens are scored at all.
    pub lists: Option<usize>,
    /// Most likely tokens to list per token of the prompt, if these are scored as vLLM does it.
    pub prompt_lists: Option<usize>,
    pub echo: bool,
    pub seed: u64,
    pub stream: bool,
    pub usage_chunk: bool,
    pub names_as_ids: bool,
    pub tell_ids: bool,
}

impl Settings {
    /// Checks a request of completions, or of chat completions.
    pub fn of(r: &Request, chat: bool) -> Result<Settings, Failure> {
        let n = r.n.unwrap_or(1);
        if !(1..=ANSWERS).contains(&n) {
            return Err(Failure::value("n", format!("n is {n}: 1 to {ANSWERS} answers are possible")));
        }
        unsupported(r, n)?;
        let lists = if chat { chat_lists(r)? } else { text_lists(r)? };
        if let Some(k) = lists.filter(|k| *k > LISTED) {
            let param = if chat { "top_logprobs" } else { "logprobs" };
            return Err(Failure::value(param, format!("{param} is {k}: at most {LISTED} tokens are listed")));
        }
        let echo = r.echo.unwrap_or(false);
        if chat && echo {
            return Err(Failure::unsupported("echo", "echo is for /v1/completions: a conversation is not repeated"));
        }
        let max_tokens = match (r.max_tokens, r.max_completion_tokens) {
            (Some(a), Some(b)) if a != b => {
                return Err(Failure::value(
                    "max_tokens",
                    format!("max_tokens is {a} but max_completion_tokens {b}: give one"),
                ));
            }
            (a, b) => a.or(b),
        };
        let stream = r.stream.unwrap_or(false);
        let prompt_lists = prompt_lists(r, chat, stream)?;
        if r.stream_options.is_some() && !stream {
            return Err(Failure::value("stream_options", "stream_options is only for `stream`: true"));
        }
        Ok(Settings {
            n,
            options: Options {
                max_tokens: 0,
                sampler: sampler(r)?,
                stop: stops(r)?,
                ignore_eos: r.ignore_eos.unwrap_or(false),
                prompt_logprobs: echo && lists.is_some() || prompt_lists.is_some(),
                top: lists.max(prompt_lists).unwrap_or(0),
            },
            max_tokens,
            lists,
            prompt_lists,
            echo,
            seed: r.seed.map_or_else(super::random, |s| s as u64),
            stream,
            usage_chunk: r.stream_options.as_ref().is_some_and(|o| o.include_usage),
            names_as_ids: r.return_tokens_as_token_ids.unwrap_or(false),
            tell_ids: r.return_token_ids.unwrap_or(false),
        })
    }
}

/// Refuses what would change the answer but is not there.
fn unsupported(r: &Request, n: usize) -> Result<(), Failure> {
    for (name, value) in &r.rest {
        let known = UNSUPPORTED.iter().find(|(known, _)| known == name);
        if known.is_some_and(|(_, neutral)| !neutral.iter().any(|x| x.is(value))) {
            let shown: String = value.to_string().chars().take(60).collect();
            return Err(Failure::unsupported(name, format!("{name} is {shown}, which is not supported: leave it out")));
        }
        // Without alternatives to choose from, the best of n are the n.
        if name == "best_of" && !value.is_null() && value.as_u64() != Some(n as u64) {
            return Err(Failure::unsupported(
                "best_of",
                format!("best_of is {value} but n {n}: others are not supported"),
            ));
        }
    }
    Ok(())
}

fn text_lists(r: &Request) -> Result<Option<usize>, Failure> {
    match r.logprobs {
        None | Some(LogprobsWanted::Flag(false)) => Ok(None),
        Some(LogprobsWanted::Count(k)) => Ok(Some(k)),
        Some(LogprobsWanted::Flag(true)) => {
            Err(Failure::value("logprobs", "logprobs is a number of tokens here; true is for chat completions"))
        }
    }
}

fn chat_lists(r: &Request) -> Result<Option<usize>, Failure> {
    match (r.logprobs, r.top_logprobs) {
        (Some(LogprobsWanted::Flag(true)), k) => Ok(Some(k.unwrap_or(0))),
        (Some(LogprobsWanted::Count(_)), _) => {
            Err(Failure::value("logprobs", "logprobs is true or false here; the number of tokens is `top_logprobs`"))
        }
        (_, Some(k)) if k > 0 => Err(Failure::value("top_logprobs", "top_logprobs needs `logprobs`: true")),
        _ => Ok(None),
    }
}

fn prompt_lists(r: &Request, chat: bool, stream: bool) -> Result<Option<usize>, Failure> {
    let Some(k) = r.prompt_logprobs else { return Ok(None) };
    let param = "prompt_logprobs";
    if chat || stream {
        let message =
            "prompt_logprobs are told by /v1/completions without `stream` only: `echo` with `logprobs` can stream";
        return Err(Failure::unsupported(param, message));
    }
    if k > LISTED {
        return Err(Failure::value(param, format!("prompt_logprobs is {k}: at most {LISTED} tokens are listed")));
    }
    Ok(Some(k))
}

fn sampler(r: &Request) -> Result<Sampler, Failure> {
    let temperature = r.temperature.unwrap_or(1.0);
    if !(0.0..=100.0).contains(&temperature) {
        return Err(Failure::value("temperature", format!("temperature is {temperature}: 0 to 100 are possible")));
    }
    let share = |name: &str, value: Option<f64>, default: f64| {
        let value = value.unwrap_or(default);
        let fine = (0.0..=1.0).contains(&value);
        fine.then_some(value).ok_or_else(|| Failure::value(name, format!("{name} is {value}: 0 to 1 are possible")))
    };
    let top_k = match r.top_k.unwrap_or(0) {
        -1 | 0 => 0,
        k if k > 0 => k as usize,
        k => return Err(Failure::value("top_k", format!("top_k is {k}: 1 or more are possible, 0 or -1 keep all"))),
    };
    Ok(Sampler { temperature, top_k, top_p: share("top_p", r.top_p, 1.0)?, min_p: share("min_p", r.min_p, 0.0)? })
}

fn stops(r: &Request) -> Result<Vec<String>, Failure> {
    let stops = match &r.stop {
        None => Vec::new(),
        Some(Stop::One(s)) => vec![s.clone()],
        Some(Stop::Many(s)) => s.clone(),
    };
    let (many, long) = STOPS;
    if stops.len() > many || stops.iter().any(|s| s.is_empty() || s.len() > long) {
        let message = format!("stop takes up to {many} strings of 1 to {long} bytes");
        return Err(Failure::value("stop", message));
    }
    Ok(stops)
}
