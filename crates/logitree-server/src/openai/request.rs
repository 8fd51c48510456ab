//! Checks requests and extracts their settings.

use super::error::Failure;
use super::shapes::{LogprobsWanted, Request, Stop};
use crate::worker::generate::Options;
use logitree_core::sampling::Sampler;
use rand::{RngExt, rngs::StdRng};
use serde_json::Value;

/// Largest number of tokens that may be listed at a position.
pub const LISTED: usize = 1000;
/// Largest number of answers to a prompt.
const ANSWERS: usize = 128;
/// Largest number of stop strings, and the largest length of each in bytes.
const STOPS: (usize, usize) = (64, 1024);

/// A value of a parameter that has no effect.
enum Neutral {
    Number(f64),
    Bool(bool),
    Word(&'static str),
    /// An empty text, list or object.
    Empty,
    /// Only null, so any other value is refused.
    Null,
}

/// Parameters of other servers that would change the answer, each with the values that have no effect.
const UNSUPPORTED: &[(&str, &[Neutral])] = &[
    // OpenAI.
    ("suffix", &[Neutral::Empty]),
    ("frequency_penalty", &[Neutral::Number(0.0)]),
    ("presence_penalty", &[Neutral::Number(0.0)]),
    ("logit_bias", &[Neutral::Empty]),
    ("response_format", &[Neutral::Word("text")]),
    ("tools", &[Neutral::Empty]),
    ("tool_choice", &[Neutral::Word("none"), Neutral::Word("auto")]),
    ("functions", &[Neutral::Empty]),
    ("function_call", &[Neutral::Word("none"), Neutral::Word("auto")]),
    ("modalities", &[Neutral::Word("text")]),
    ("audio", &[Neutral::Null]),
    ("reasoning", &[Neutral::Empty]),
    ("reasoning_effort", &[Neutral::Word("none")]),
    ("verbosity", &[Neutral::Null]),
    ("web_search_options", &[Neutral::Null]),
    // vLLM and SGLang.
    ("repetition_penalty", &[Neutral::Number(1.0)]),
    ("length_penalty", &[Neutral::Number(1.0)]),
    ("early_stopping", &[Neutral::Bool(false)]),
    ("use_beam_search", &[Neutral::Bool(false)]),
    ("min_tokens", &[Neutral::Number(0.0)]),
    ("min_new_tokens", &[Neutral::Number(0.0)]),
    ("bad_words", &[Neutral::Empty]),
    ("stop_token_ids", &[Neutral::Empty]),
    ("stop_regex", &[Neutral::Empty]),
    ("allowed_token_ids", &[Neutral::Empty]),
    ("logprob_token_ids", &[Neutral::Empty]),
    ("token_ids_logprob", &[Neutral::Empty]),
    ("logits_processors", &[Neutral::Empty]),
    ("logits_processor_pattern", &[Neutral::Empty]),
    ("custom_logit_processor", &[Neutral::Empty]),
    ("custom_params", &[Neutral::Empty]),
    ("vllm_xargs", &[Neutral::Empty]),
    ("include_stop_str_in_output", &[Neutral::Bool(false)]),
    ("no_stop_trim", &[Neutral::Bool(false)]),
    ("skip_special_tokens", &[Neutral::Bool(true)]),
    ("truncate_prompt_tokens", &[Neutral::Null]),
    ("prompt_embeds", &[Neutral::Null]),
    ("structured_outputs", &[Neutral::Empty]),
    ("structural_tag", &[Neutral::Empty]),
    ("regex", &[Neutral::Empty]),
    ("ebnf", &[Neutral::Empty]),
    ("sampling_params", &[Neutral::Empty]),
    ("lora_path", &[Neutral::Empty]),
    ("thinking_token_budget", &[Neutral::Null]),
    ("documents", &[Neutral::Empty]),
    ("chat_template", &[Neutral::Null]),
    ("chat_template_kwargs", &[Neutral::Empty]),
    ("add_generation_prompt", &[Neutral::Bool(true)]),
    ("continue_final_message", &[Neutral::Bool(false)]),
    // The server of llama.cpp, and chat programs that use it.
    ("n_predict", &[Neutral::Null]),
    ("n_probs", &[Neutral::Number(0.0)]),
    ("post_sampling_probs", &[Neutral::Bool(false)]),
    ("repeat_penalty", &[Neutral::Number(1.0)]),
    ("rep_pen", &[Neutral::Number(1.0)]),
    ("typical_p", &[Neutral::Number(1.0)]),
    ("typ_p", &[Neutral::Number(1.0)]),
    ("typical", &[Neutral::Number(1.0)]),
    ("tfs_z", &[Neutral::Number(1.0)]),
    ("tfs", &[Neutral::Number(1.0)]),
    ("top_a", &[Neutral::Number(0.0)]),
    ("top_n_sigma", &[Neutral::Number(-1.0), Neutral::Number(0.0)]),
    ("nsigma", &[Neutral::Number(-1.0), Neutral::Number(0.0)]),
    ("eta_cutoff", &[Neutral::Number(0.0)]),
    ("epsilon_cutoff", &[Neutral::Number(0.0)]),
    ("dynatemp_range", &[Neutral::Number(0.0)]),
    ("dynamic_temperature", &[Neutral::Bool(false)]),
    ("smoothing_factor", &[Neutral::Number(0.0)]),
    ("xtc_probability", &[Neutral::Number(0.0)]),
    ("dry_multiplier", &[Neutral::Number(0.0)]),
    ("mirostat", &[Neutral::Number(0.0)]),
    ("mirostat_mode", &[Neutral::Number(0.0)]),
    ("adaptive_target", &[Neutral::Number(-1.0)]),
    ("no_repeat_ngram_size", &[Neutral::Number(0.0)]),
    ("encoder_repetition_penalty", &[Neutral::Number(1.0)]),
    ("penalty_alpha", &[Neutral::Number(0.0)]),
    ("guidance_scale", &[Neutral::Number(1.0)]),
    ("negative_prompt", &[Neutral::Empty]),
    ("ban_eos_token", &[Neutral::Bool(false)]),
    ("custom_token_bans", &[Neutral::Empty]),
    ("banned_tokens", &[Neutral::Empty]),
    ("samplers", &[Neutral::Empty]),
    ("sampler_priority", &[Neutral::Empty]),
    ("sampler_order", &[Neutral::Empty]),
    ("temperature_last", &[Neutral::Bool(false)]),
    ("min_keep", &[Neutral::Number(0.0)]),
    ("n_indent", &[Neutral::Number(0.0)]),
    ("t_max_predict_ms", &[Neutral::Number(0.0), Neutral::Number(-1.0)]),
    ("grammar", &[Neutral::Empty]),
    ("grammar_string", &[Neutral::Empty]),
    ("json_schema", &[Neutral::Empty]),
    ("lora", &[Neutral::Empty]),
    ("image_data", &[Neutral::Empty]),
    ("input_extra", &[Neutral::Empty]),
    ("add_bos_token", &[Neutral::Bool(true)]),
    // Text Generation Inference, transformers and Ollama.
    ("max_new_tokens", &[Neutral::Null]),
    ("max_length", &[Neutral::Null]),
    ("max_time", &[Neutral::Null]),
    ("num_predict", &[Neutral::Null]),
    ("do_sample", &[Neutral::Bool(true)]),
    ("num_beams", &[Neutral::Number(1.0)]),
    ("num_return_sequences", &[Neutral::Number(1.0)]),
    ("top_n_tokens", &[Neutral::Number(0.0)]),
    ("watermark", &[Neutral::Bool(false)]),
    ("stop_sequences", &[Neutral::Empty]),
    ("stopping_strings", &[Neutral::Empty]),
    ("options", &[Neutral::Empty]),
    ("format", &[Neutral::Empty]),
    ("system", &[Neutral::Empty]),
    ("template", &[Neutral::Empty]),
    ("images", &[Neutral::Empty]),
    ("think", &[Neutral::Bool(false)]),
    ("enable_thinking", &[Neutral::Bool(false)]),
];

impl Neutral {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Neutral::Number(n), Value::Number(v)) => v.as_f64() == Some(*n),
            (Neutral::Bool(b), Value::Bool(v)) => v == b,
            (Neutral::Word(w), Value::String(v)) => v == w,
            // OpenAI also writes a word as {"type": "text"} or ["text"].
            (Neutral::Word(w), Value::Object(v)) => v.get("type").is_some_and(|t| t == w),
            (Neutral::Word(w), Value::Array(v)) => v.iter().all(|t| t == w),
            (Neutral::Empty, Value::String(v)) => v.is_empty(),
            (Neutral::Empty, Value::Array(v)) => v.is_empty(),
            (Neutral::Empty, Value::Object(v)) => v.is_empty(),
            _ => false,
        }
    }
}

/// The settings of a request, for all of its prompts.
pub struct Settings {
    pub n: usize,
    /// Options of the generator, where `max_tokens` is not set yet.
    pub options: Options,
    /// The value in the request, if there is one.
    pub max_tokens: Option<usize>,
    /// Whether the request gave -1: as many tokens as the context has room for.
    pub unlimited: bool,
    /// Number of most likely tokens to list; `None` if tokens are not scored.
    pub lists: Option<usize>,
    /// Number of most likely tokens to list for each token of the prompt, in vLLM's format; `None` if it is not asked
    /// for.
    pub prompt_lists: Option<usize>,
    pub echo: bool,
    pub seed: u64,
    pub stream: bool,
    pub usage_chunk: bool,
    pub names_as_ids: bool,
    pub tell_ids: bool,
}

impl Settings {
    /// Checks a request for completions, or (`chat`) for chat completions.
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
        let unlimited = max_tokens == Some(-1);
        let max_tokens = max_tokens.filter(|_| !unlimited).map(|n| {
            usize::try_from(n).map_err(|_| {
                let message =
                    format!("max_tokens is {n}: 0 or more are possible, and -1 for all that the context has room for");
                Failure::value("max_tokens", message)
            })
        });
        let max_tokens = max_tokens.transpose()?;
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
            unlimited,
            lists,
            prompt_lists,
            echo,
            seed: r.seed.map_or_else(random, |s| s as u64),
            stream,
            usage_chunk: r.stream_options.as_ref().is_some_and(|o| o.include_usage == Some(true)),
            names_as_ids: r.return_tokens_as_token_ids.unwrap_or(false),
            tell_ids: r.return_token_ids.unwrap_or(false),
        })
    }
}

/// Refuses parameters that would change the answer but are not supported.
fn unsupported(r: &Request, n: usize) -> Result<(), Failure> {
    for (name, value) in &r.rest {
        let known = UNSUPPORTED.iter().find(|(known, _)| known == name).map(|(_, neutral)| *neutral);
        // `guided_json`, `guided_regex` and others constrain the answer. The two exceptions only say how, and have no
        // effect alone.
        let guides = name.starts_with("guided_")
            && !["guided_decoding_backend", "guided_whitespace_pattern"].contains(&&name[..]);
        let known = known.or(guides.then_some(&[Neutral::Null]));
        if known.is_some_and(|neutral| !value.is_null() && !neutral.iter().any(|x| x.is(value))) {
            let shown: String = value.to_string().chars().take(60).collect();
            return Err(Failure::unsupported(name, format!("{name} is {shown}, which is not supported: leave it out")));
        }
        // `best_of` equal to `n` has no effect: all of the answers are returned.
        if name == "best_of" && !value.is_null() && value.as_f64() != Some(n as f64) {
            return Err(Failure::unsupported(
                "best_of",
                format!("best_of is {value} but n {n}: others are not supported"),
            ));
        }
    }
    Ok(())
}

fn text_lists(r: &Request) -> Result<Option<usize>, Failure> {
    if r.top_logprobs.is_some_and(|k| k > 0) {
        let message = "top_logprobs is for chat completions: here `logprobs` is the number of tokens to list";
        return Err(Failure::unsupported("top_logprobs", message));
    }
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

/// A random number from an unpredictable seed.
pub fn random() -> u64 {
    rand::make_rng::<StdRng>().random()
}
