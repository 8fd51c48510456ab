//! A tiny model, here and behind loopback servers that answer as the real ones are documented to.

use logitree_core::{
    Distribution, Exactness, LanguageModel, ModelError, NodeHandle, Query, Session, TokenId, TokenStats,
};
use logitree_remote::{ConnectOptions, RemoteError, RemoteModel, ServerKind};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const VOCAB: usize = 24;
pub const BOS: u32 = 0;
const END: u32 = 1;
const SPACE: u32 = VOCAB as u32 - 1;

/// `<s>`, `</s>`, then `a` to `u` and a space.
pub fn text(id: u32) -> String {
    match id {
        BOS => "<s>".into(),
        SPACE => " ".into(),
        END => "</s>".into(),
        _ => char::from(b'a' + id as u8 - 2).to_string(),
    }
}

fn split(text: &str, special: bool) -> Vec<u32> {
    let mut rest = text;
    let mut ids = Vec::new();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("</s>").filter(|_| special) {
            (rest, _) = (after, ids.push(END));
        } else if let Some(after) = rest.strip_prefix("<s>").filter(|_| special) {
            (rest, _) = (after, ids.push(BOS));
        } else {
            ids.push(match c {
                ' ' => SPACE,
                'a'..='u' => 2 + (c as u32 - 'a' as u32),
                _ => 2,
            });
            rest = &rest[c.len_utf8()..];
        }
    }
    ids
}

/// Log probabilities after a path: a few likely tokens, a long tail.
pub fn logprobs(path: &[u32]) -> Vec<f64> {
    let seed = path.iter().fold(7u64, |h, &t| h.wrapping_mul(6364136223846793005).wrapping_add(u64::from(t) + 1));
    let weight = |id: u64| {
        let mut x = seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((x >> 40) as f64 / (1u64 << 24) as f64 * 6.0).exp()
    };
    let weights: Vec<f64> = (0..VOCAB as u64).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum).ln()).collect()
}

fn ranked(path: &[u32]) -> Vec<(u32, f64)> {
    let mut all: Vec<(u32, f64)> = (0..).zip(logprobs(path)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// The model in this process.
pub struct Here;

struct HereSession(Vec<(Option<NodeHandle>, TokenId)>);

impl LanguageModel for Here {
    fn vocab_size(&self) -> usize {
        VOCAB
    }
    fn context_length(&self) -> usize {
        1000
    }
    fn end_tokens(&self) -> &[TokenId] {
        &[TokenId(END)]
    }
    fn bos(&self) -> Option<TokenId> {
        Some(TokenId(BOS))
    }
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        text(id.0).into_bytes().into()
    }
    fn is_special(&self, id: TokenId) -> bool {
        id.0 < 2
    }
    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<TokenId>, ModelError> {
        Ok(split(text, special).into_iter().map(TokenId).collect())
    }
    fn session(&self) -> Result<Box<dyn Session>, ModelError> {
        Ok(Box::new(HereSession(Vec::new())))
    }
}

impl Session for HereSession {
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError> {
        self.0.push((parent, token));
        Ok(NodeHandle(self.0.len() as u32 - 1))
    }
    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        let one = |q: &Query<'_>| {
            let (mut path, mut at) = (Vec::new(), Some(q.node));
            while let Some(n) = at {
                let (parent, token) = self.0[n.0 as usize];
                path.push(token.0);
                at = parent;
            }
            path.reverse();
            let stats: Vec<TokenStats> = (1..)
                .zip(ranked(&path))
                .map(|(rank, (id, logprob))| TokenStats { id: TokenId(id), logprob, rank })
                .collect();
            let entropy = stats.iter().map(|t| -t.prob() * t.logprob).sum();
            let find = |id: &TokenId| *stats.iter().find(|t| t.id == *id).unwrap();
            Distribution {
                tokens: q.tokens.iter().map(find).collect(),
                top: stats[..q.top.min(VOCAB)].to_vec(),
                logsumexp: 0.0,
                entropy,
                varentropy: 0.0,
                exactness: Exactness::Exact,
                logits: None,
                logits_sha256: None,
            }
        };
        Ok(queries.iter().map(one).collect())
    }
    fn release(&mut self, _: NodeHandle) {}
}

/// What a server does with a request in place of answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Busy,
    Failure,
    NotJson,
    CutOff,
    Silence,
    NoLogprobs,
    Fewer,
    Impossible,
    /// A log probability that is no number's.
    Huge,
    /// More than anybody asked for.
    Endless,
    /// Other log probabilities than the model's, of which nobody can see that they are wrong.
    Drift,
}

impl Fault {
    pub const ALL: [Fault; 10] = [
        Fault::Busy,
        Fault::Failure,
        Fault::NotJson,
        Fault::CutOff,
        Fault::Silence,
        Fault::NoLogprobs,
        Fault::Fewer,
        Fault::Impossible,
        Fault::Huge,
        Fault::Endless,
    ];
}

/// How a server behaves.
pub struct Behaviour {
    pub kind: ServerKind,
    /// Longest list that it gives.
    pub most: usize,
    /// Whether it repeats prompts.
    pub echoes: bool,
    /// Decides by the number of the step request what goes wrong.
    pub fault: Box<dyn Fn(usize) -> Option<Fault> + Send + Sync>,
    /// Whether it merges a text's `ab` to one token, as no path does.
    pub merges: bool,
}

impl Behaviour {
    pub fn good(kind: ServerKind) -> Behaviour {
        Behaviour { kind, most: 1000, echoes: true, fault: Box::new(|_| None), merges: false }
    }
}

/// What a server was asked.
#[derive(Default)]
pub struct Log {
    pub steps: usize,
    /// Paths of steps, in their order.
    pub paths: Vec<Vec<u32>>,
    pub keys: BTreeSet<String>,
}

pub struct Server {
    pub url: String,
    pub log: Arc<Mutex<Log>>,
    listener: TcpListener,
}

impl Server {
    pub fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        let (behaviour, theirs, doors) = (Arc::new(behaviour), log.clone(), listener.try_clone().unwrap());
        std::thread::spawn(move || {
            for socket in doors.incoming().map_while(Result::ok) {
                let (behaviour, log) = (behaviour.clone(), theirs.clone());
                std::thread::spawn(move || while serve(&socket, &behaviour, &log).is_some() {});
            }
        });
        Server { url, log, listener }
    }

    /// Its requests for steps so far.
    pub fn steps(&self) -> usize {
        self.log.lock().unwrap().steps
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

/// Answers one request; nothing when the connection ends.
fn serve(socket: &TcpStream, behaviour: &Behaviour, log: &Mutex<Log>) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        match &name.to_lowercase()[..] {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => drop(log.lock().unwrap().keys.insert(value.trim().to_owned())),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_step = ["/v1/completions", "/generate", "/completion"].contains(&&path[..]) && body["echo"] != true;
    let mut fault = None;
    if is_step {
        let mut log = log.lock().unwrap();
        fault = (behaviour.fault)(log.steps);
        log.steps += 1;
        if fault.is_none() {
            log.paths.extend(paths(behaviour, &body));
        }
    }
    let (status, mut answer) = match fault {
        Some(Fault::Busy) => (429, json!({ "error": { "message": "slow down" } }).to_string()),
        Some(Fault::Failure) => (500, "out of luck".into()),
        Some(Fault::NotJson) => (200, "{\"choices\": [".into()),
        Some(Fault::NoLogprobs) => {
            (200, json!({ "choices": [{ "index": 0, "text": "a" }], "content": "a" }).to_string())
        }
        Some(Fault::Silence) => {
            std::thread::sleep(Duration::from_millis(1500));
            return None;
        }
        _ => {
            let (status, answer) = respond(behaviour, &path, &body);
            (status, answer.to_string())
        }
    };
    if fault == Some(Fault::Fewer) {
        let mut value: Value = serde_json::from_str(&answer).unwrap();
        match &mut value {
            Value::Array(all) => drop(all.pop()),
            other => drop(other["choices"].as_array_mut().map(|c| c.pop())),
        }
        if value["completion_probabilities"].is_array() {
            value["completion_probabilities"] = json!([]);
        }
        answer = value.to_string();
    }
    if fault == Some(Fault::Impossible) {
        answer = answer.replace("-0.", "10.").replace("-1.", "11.").replace("-2.", "12.");
    }
    if fault == Some(Fault::Huge) {
        answer = answer.replace("-0.", "-10000000.").replace("-1.", "-10000001.").replace("-2.", "-10000002.");
    }
    if fault == Some(Fault::Drift) {
        // At most 0.9 nats less.
        answer = answer.replace("-2.", "-2.9");
    }
    if fault == Some(Fault::Endless) {
        answer += &" ".repeat(64 << 20);
    }
    let shown = if fault == Some(Fault::CutOff) { answer.len() / 2 } else { answer.len() };
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
    let mut socket = socket;
    // In one piece: two would wait for each other's acknowledgement.
    socket.write_all(&[head.as_bytes(), &answer.as_bytes()[..shown]].concat()).ok()?;
    (fault != Some(Fault::CutOff)).then_some(())
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().map(|a| a.iter().filter_map(|v| Some(v.as_u64()? as u32)).collect()).unwrap_or_default()
}

/// The prompts of a request, as paths.
fn paths(behaviour: &Behaviour, body: &Value) -> Vec<Vec<u32>> {
    let prompt = if body["input_ids"].is_array() { &body["input_ids"] } else { &body["prompt"] };
    match prompt {
        Value::String(text) => vec![read(behaviour, text)],
        Value::Array(all) if all.iter().any(Value::is_u64) => vec![ids(prompt)],
        Value::Array(all) => {
            all.iter().map(|p| p.as_str().map_or_else(|| ids(p), |text| read(behaviour, text))).collect()
        }
        _ => Vec::new(),
    }
}

/// A text as the server reads it: BOS in front.
fn read(behaviour: &Behaviour, text: &str) -> Vec<u32> {
    let text = if behaviour.merges { text.replace("ab", "c") } else { text.into() };
    [vec![BOS], split(&text, true)].concat()
}

fn respond(behaviour: &Behaviour, path: &str, body: &Value) -> (u16, Value) {
    let kind = behaviour.kind;
    let scaled = |list: Vec<(u32, f64)>, temperature: f64| -> Vec<(u32, f64)> {
        let sum: f64 = list.iter().map(|(_, l)| (l / temperature).exp()).sum();
        list.into_iter().map(|(id, l)| (id, l / temperature - sum.ln())).collect()
    };
    let too_many = |k: usize| {
        let message =
            format!("Requested sample logprobs of {k}, which is greater than max allowed: {}", behaviour.most);
        (400, json!({ "error": { "message": message, "type": "BadRequestError" } }))
    };
    let missing = (404, json!({ "detail": "Not Found" }));
    match (path, kind) {
        ("/v1/models", _) => {
            let owner = match kind {
                ServerKind::Vllm => "vllm",
                ServerKind::LlamaServer => "llamacpp",
                ServerKind::Sglang => "sglang",
                ServerKind::OpenAi => "somebody",
            };
            let mut model = json!({ "id": "tiny", "object": "model", "owned_by": owner });
            match kind {
                ServerKind::Vllm => model["max_model_len"] = 1000.into(),
                ServerKind::LlamaServer => model["meta"] = json!({ "n_vocab": VOCAB, "n_ctx_train": 1000 }),
                _ => {}
            }
            (200, json!({ "object": "list", "data": [model] }))
        }
        ("/props", ServerKind::LlamaServer) => {
            (200, json!({ "total_slots": 4, "default_generation_settings": { "n_ctx": 1000 } }))
        }
        ("/get_model_info", ServerKind::Sglang) => (200, json!({ "model_path": "tiny", "is_generation": true })),
        ("/tokenize", ServerKind::LlamaServer) => {
            let text = body["content"].as_str().unwrap_or_default();
            let front = if body["add_special"] == true { vec![BOS] } else { Vec::new() };
            let all = [front, split(text, body["parse_special"] == true)].concat();
            let piece = |&id: &u32| json!({ "id": id, "piece": self::text(id) });
            (200, json!({ "tokens": all.iter().map(piece).collect::<Vec<_>>() }))
        }
        ("/tokenize", ServerKind::Vllm | ServerKind::Sglang) => {
            let text = body["prompt"].as_str().unwrap_or_default();
            let front = if body["add_special_tokens"] == true { vec![BOS] } else { Vec::new() };
            let all = [front, split(text, true)].concat();
            (200, json!({ "count": all.len(), "max_model_len": 1000, "tokens": all }))
        }
        ("/detokenize", ServerKind::Vllm | ServerKind::Sglang | ServerKind::LlamaServer) => {
            let joined: String = ids(&body["tokens"]).into_iter().map(text).collect();
            let key = match kind {
                ServerKind::Vllm => "prompt",
                ServerKind::Sglang => "text",
                _ => "content",
            };
            (200, json!({ key: joined }))
        }
        ("/v1/completions", ServerKind::Vllm | ServerKind::OpenAi) => {
            let by_id = body["return_tokens_as_token_ids"] == true;
            let name = |id: u32| if by_id { format!("token_id:{id}") } else { text(id) };
            let k = body["logprobs"].as_u64().unwrap_or(0) as usize;
            if k > behaviour.most {
                return too_many(k);
            }
            let all = paths(behaviour, body);
            if body["echo"] == true && !behaviour.echoes {
                return (400, json!({ "error": { "message": "echo is not supported" } }));
            }
            let choice = |(i, path): (usize, &Vec<u32>)| {
                if body["echo"] == true {
                    // Texts have no BOS in what is repeated.
                    let from = if body["prompt"].is_string() { 1 } else { 0 };
                    let mut tokens: Vec<String> = path[from..].iter().map(|&t| name(t)).collect();
                    let mut numbers: Vec<Value> = (from..path.len())
                        .map(|p| if p == 0 { Value::Null } else { logprobs(&path[..p])[path[p] as usize].into() })
                        .collect();
                    tokens.push(name(ranked(path)[0].0));
                    numbers.push(ranked(path)[0].1.into());
                    let mut choice =
                        json!({ "index": i, "text": "", "logprobs": { "tokens": tokens, "token_logprobs": numbers } });
                    if kind == ServerKind::Vllm && body["prompt_logprobs"] == 0 {
                        let last = *path.last().unwrap();
                        let before = ranked(&path[..path.len() - 1]);
                        let rank = 1 + before.iter().position(|&(id, _)| id == last).unwrap();
                        let entry = json!({ last.to_string(): { "logprob": before[rank - 1].1, "rank": rank } });
                        choice["prompt_logprobs"] = json!([null, entry]);
                    }
                    return choice;
                }
                // vLLM lists the sampled token too: here the least likely one.
                let list = ranked(path);
                let drawn = if kind == ServerKind::Vllm { list.last().copied() } else { None };
                let top: Map<String, Value> =
                    list[..k.min(VOCAB)].iter().copied().chain(drawn).map(|(id, l)| (name(id), l.into())).collect();
                json!({ "index": i, "text": "x", "finish_reason": "length",
                        "logprobs": { "tokens": ["x"], "token_logprobs": [0.0], "top_logprobs": [top] } })
            };
            // Not in order: `index` tells.
            let mut choices: Vec<Value> = all.iter().enumerate().map(choice).collect();
            choices.reverse();
            let read: usize = all.iter().map(Vec::len).sum();
            (200, json!({ "choices": choices, "usage": { "prompt_tokens": read, "completion_tokens": all.len() } }))
        }
        ("/generate", ServerKind::Sglang) => {
            let k = body["top_logprobs_num"].as_u64().unwrap_or(0) as usize;
            let temperature = body["sampling_params"]["temperature"].as_f64().unwrap_or(1.0);
            let answer = |(i, path): (usize, Vec<u32>)| {
                let list = scaled(ranked(&path), temperature);
                let entry = |&(id, l): &(u32, f64)| json!([l, id, null]);
                let top: Vec<Value> = list[..k.min(behaviour.most).min(VOCAB)].iter().map(entry).collect();
                let named = ids(&body["token_ids_logprob"][i]);
                let named: Vec<Value> = list.iter().filter(|(id, _)| named.contains(id)).map(entry).collect();
                json!({ "text": "x", "meta_info": { "prompt_tokens": path.len(), "output_top_logprobs": [top],
                        "output_token_ids_logprobs": [named], "finish_reason": { "type": "length" } } })
            };
            (200, paths(behaviour, body).into_iter().enumerate().map(answer).collect())
        }
        ("/completion", ServerKind::LlamaServer) => {
            let k = body["n_probs"].as_u64().unwrap_or(0) as usize;
            let answer = |(i, path): (usize, Vec<u32>)| {
                let entry = |&(id, l): &(u32, f64)| json!({ "id": id, "token": text(id), "bytes": text(id).as_bytes(), "logprob": l });
                let top: Vec<Value> = ranked(&path)[..k.min(VOCAB)].iter().map(entry).collect();
                json!({ "index": i, "content": "x", "tokens_evaluated": path.len(), "truncated": false,
                        "completion_probabilities": [{ "id": 2, "top_logprobs": top }] })
            };
            let mut all: Vec<Value> = paths(behaviour, body).into_iter().enumerate().map(answer).collect();
            (200, if all.len() == 1 { all.remove(0) } else { all.into() })
        }
        _ => missing,
    }
}

/// How long is waited for a server that may be silent.
pub fn patience(fault: Fault) -> Duration {
    if fault == Fault::Silence { Duration::from_secs(1) } else { Duration::from_secs(30) }
}

/// Options for these servers.
pub fn options(servers: &[&Server]) -> ConnectOptions {
    ConnectOptions {
        urls: servers.iter().map(|s| s.url.clone()).collect(),
        kind: None,
        model: None,
        key: None,
        concurrency: None,
        list: 12,
        deadline: Duration::from_secs(30),
        vocabulary: None,
        interrupted: std::sync::Arc::new(|| false),
        note: Box::new(|_| {}),
    }
}

pub fn connect(servers: &[&Server]) -> Result<RemoteModel, RemoteError> {
    RemoteModel::connect(options(servers))
}
