//! What a server is and can do, found out by asking it.

use crate::dialect::{List, ListQuery, Paths, ServerKind};
use crate::http::{Failure, Http, most};
use crate::vocabulary;
use logitree_core::TokenId;
use serde_json::Value;

/// Lengths of lists that are tried if the server refuses the wanted length.
const LENGTHS: [usize; 6] = [256, 100, 50, 20, 5, 1];

/// What a server is and can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The server's address.
    pub url: String,
    /// Which interface the server has.
    pub kind: ServerKind,
    /// The model's name at the server.
    pub model: String,
    /// Longest sequence in tokens, if the server tells it.
    pub context: Option<usize>,
    /// Number of tokens in the vocabulary, if the server tells it.
    pub vocab: Option<usize>,
    /// How many prompts the server works on at once, if it tells.
    pub slots: Option<usize>,
    /// How many tokens the server lists per step, at most as many as were asked for.
    pub list: usize,
    /// True if log probabilities do not depend on the sampler's temperature. Otherwise they are the model's own because
    /// requests have temperature 1.
    pub raw: bool,
    /// True if the server repeats a text with its tokens and their log probabilities. Only servers that take text are
    /// asked to.
    pub echoes: bool,
}

/// Finds out the kind of a server by requests that only servers of that kind answer.
fn kind_of(http: &Http, models: &Value) -> ServerKind {
    let owner = models.pointer("/data/0/owned_by").and_then(Value::as_str).unwrap_or_default();
    match owner {
        "vllm" | "logitree" => return ServerKind::Vllm,
        "llamacpp" => return ServerKind::LlamaServer,
        "sglang" => return ServerKind::Sglang,
        _ => {}
    }
    if http.get("/props").is_ok_and(|p| p["total_slots"].is_u64()) {
        ServerKind::LlamaServer
    } else if ["/get_model_info", "/model_info"].iter().any(|p| http.get(p).is_ok_and(|i| i["model_path"].is_string()))
    {
        ServerKind::Sglang
    } else if http.get("/version").is_ok_and(|v| v["version"].is_string()) {
        ServerKind::Vllm
    } else {
        ServerKind::OpenAi
    }
}

/// Asks a server what it is. `list` is how many tokens per step are wanted.
pub(crate) fn probe(http: &Http, kind: Option<ServerKind>, model: Option<&str>, list: usize) -> Result<Probe, Failure> {
    let models = http.get("/v1/models")?;
    let kind = kind.unwrap_or_else(|| kind_of(http, &models));
    let served: Vec<&Value> = models["data"].as_array().into_iter().flatten().collect();
    let names: Vec<&str> = served.iter().filter_map(|m| m["id"].as_str()).collect();
    let at = match model {
        Some(name) => names.iter().position(|n| *n == name).ok_or_else(|| Failure::Refused {
            status: 404,
            message: format!("it serves no model {name:?}, but {}", names.join(", ")),
        })?,
        None => 0,
    };
    let name = names.get(at).ok_or_else(|| Failure::Broken("/v1/models names no model".into()))?.to_string();
    let number = |v: Option<&Value>| v.and_then(Value::as_u64).map(|n| n as usize);
    let mut context = number(served[at].get("max_model_len"));
    let vocab = number(served[at].pointer("/meta/n_vocab")).filter(|&n| n > 0);
    let mut slots = None;
    if kind == ServerKind::LlamaServer {
        let props = http.get("/props")?;
        context = number(props.pointer("/default_generation_settings/n_ctx")).or(context);
        slots = number(props.get("total_slots"));
    }
    if kind == ServerKind::Sglang {
        let info = http.get("/get_model_info").or_else(|_| http.get("/model_info")).unwrap_or_default();
        context = number(info.get("context_length")).or(context);
    }
    let mut probe =
        Probe { url: http.root().into(), kind, model: name, context, vocab, slots, list: 0, raw: false, echoes: false };
    probe.list = longest(http, &probe, list)?;
    let (one, two) = (step(http, &probe, probe.list, 1.0)?, step(http, &probe, probe.list, 2.0)?);
    // Some servers put the token that they drew behind the list of the most likely ones.
    probe.raw = one.top.iter().zip(&two.top).take(probe.list).all(|(a, b)| (a.logprob - b.logprob).abs() < 0.02);
    probe.echoes = !kind.takes_ids() && vocabulary::echoed(http, &probe.model, "a b").is_ok();
    Ok(probe)
}

/// Length of the longest list that the server gives, up to `wanted`: shorter ones are tried after each refusal.
fn longest(http: &Http, probe: &Probe, wanted: usize) -> Result<usize, Failure> {
    let lengths = [wanted].into_iter().chain(LENGTHS.into_iter().filter(|&n| n < wanted));
    let mut refusal = None;
    for n in lengths {
        match step(http, probe, n, 1.0) {
            Ok(list) => return Ok(list.top.len().min(n)),
            Err(e @ Failure::Refused { .. }) => refusal = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(refusal.unwrap_or_else(|| Failure::Broken("it lists no log probabilities".into())))
}

/// The list after a path of one arbitrary token, to see what the server can do.
fn step(http: &Http, probe: &Probe, top: usize, temperature: f64) -> Result<List, Failure> {
    let ids = [TokenId(2)];
    let paths = if probe.kind.takes_ids() { Paths::Ids(vec![&ids]) } else { Paths::Texts(vec!["a"]) };
    let step = ListQuery { model: &probe.model, top, tokens: &[], temperature };
    let request = probe.kind.request(&paths, &step);
    let room = most(request.len(), 1, top);
    let answer = http.post(probe.kind.endpoint(), request, room)?;
    let lists = probe.kind.lists(&answer, 1).map_err(Failure::Broken)?;
    lists.into_iter().next().ok_or_else(|| Failure::Broken("an empty answer".into()))
}
