//! How a tree's levels keep servers busy, on servers that only take their time: `cargo bench -p logitree-remote`.
//!
//! A server here works as engines with continuous batching do: it takes up to `slots` waiting prompts, computes what its
//! prefix cache has not, and answers all. A step of `n` prompts with `u` uncached tokens takes `15 ms + 0.05 ms · n +
//! u / 12 ms`, which is about a model of 70B parameters on eight GPUs (docs/scaling.md). The cache holds whole blocks of 16
//! tokens. Client, requests and answers are the real ones.
//!
//! Client and servers share this machine. `SLOW=8` gives every step eight times its time and shows eight times the nodes/s:
//! what is left is the client's scheduling, not this machine's haste in playing servers.

use logitree_core::{LanguageModel, NodeHandle, Query, TokenId};
use logitree_remote::{ConnectOptions, RemoteModel, ServerKind};
use serde_json::json;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Tokens of the prompt that all paths share.
const PROMPT: usize = 500;
/// Levels that are measured, at full width.
const LEVELS: usize = 3;
/// Tokens in a block of the prefix cache.
const BLOCK: usize = 16;
/// Tokens that a list has.
const LIST: usize = 20;

/// A prompt that waits, and where its turn is told.
struct Waiting {
    path: Vec<u32>,
    done: Sender<()>,
}

/// What a server did.
#[derive(Default)]
struct Work {
    /// Prompts answered.
    prompts: u64,
    steps: u64,
    /// Tokens computed, and tokens that the cache had.
    computed: u64,
    cached: u64,
    /// Seconds of steps.
    busy: f64,
    /// Seconds of steps, each counted by how full it was.
    filled: f64,
}

/// By how much servers are slowed.
fn slow() -> f64 {
    std::env::var("SLOW").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0)
}

fn schedule(slots: usize, waiting: &Receiver<Waiting>, work: &Mutex<Work>) {
    let mut cache: HashSet<u64> = HashSet::new();
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(slots - 1));
        let (mut computed, mut cached) = (0, 0);
        for w in &batch {
            let mut hash = 7u64;
            let mut known = 0;
            for (i, block) in w.path.chunks_exact(BLOCK).enumerate() {
                hash = block.iter().fold(hash, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x100_0000_01b3));
                if !cache.insert(hash) && known == i * BLOCK {
                    known += BLOCK;
                }
            }
            // The last token is always computed.
            let known = known.min(w.path.len() - 1);
            computed += (w.path.len() - known) as u64;
            cached += known as u64;
        }
        let seconds = slow() * (0.015 + 5e-5 * batch.len() as f64 + computed as f64 / 12_000.0);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        {
            let mut w = work.lock().unwrap();
            w.prompts += batch.len() as u64;
            (w.steps, w.computed, w.cached) = (w.steps + 1, w.computed + computed, w.cached + cached);
            w.busy += seconds;
            w.filled += seconds * batch.len() as f64 / slots as f64;
        }
        for w in batch {
            let _ = w.done.send(());
        }
    }
}

/// What of a request matters.
#[derive(serde::Deserialize)]
struct Body {
    prompt: Vec<Vec<u32>>,
    logprobs: usize,
}

struct Server {
    url: String,
    work: Arc<Mutex<Work>>,
}

fn start(slots: usize) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let work = Arc::new(Mutex::new(Work::default()));
    let (queue, waiting) = channel();
    let theirs = work.clone();
    std::thread::spawn(move || schedule(slots, &waiting, &theirs));
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let queue = queue.clone();
            std::thread::spawn(move || while serve(&socket, &queue).is_some() {});
        }
    });
    Server { url, work }
}

fn serve(socket: &TcpStream, queue: &Sender<Waiting>) -> Option<()> {
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
        if let Some(n) = header.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = match &path[..] {
        "/v1/models" => {
            json!({ "data": [{ "id": "simulated", "owned_by": "vllm", "max_model_len": 100_000 }] }).to_string()
        }
        "/v1/completions" => {
            let body: Body = serde_json::from_slice(&body).ok()?;
            let n = body.prompt.len();
            let (done, told) = channel();
            for path in body.prompt {
                queue.send(Waiting { path, done: done.clone() }).ok()?;
            }
            (0..n).try_for_each(|_| told.recv()).ok()?;
            let top: Vec<String> =
                (0..body.logprobs.min(LIST)).map(|i| format!("\"token_id:{i}\":-{}.5", 1 + i)).collect();
            let choice = |i| format!("{{\"index\":{i},\"logprobs\":{{\"top_logprobs\":[{{{}}}]}}}}", top.join(","));
            format!("{{\"choices\":[{}]}}", (0..n).map(choice).collect::<Vec<_>>().join(","))
        }
        "/tokenize" => json!({ "tokens": [1] }).to_string(),
        "/detokenize" => json!({ "prompt": "a" }).to_string(),
        _ => return None,
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
    let mut socket = socket;
    socket.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).ok()
}

/// Grows a tree to a width and measures levels there.
fn measure(servers: usize, slots: usize, concurrency: usize, width: usize) {
    let servers: Vec<Server> = (0..servers).map(|_| start(slots)).collect();
    let model = RemoteModel::connect(ConnectOptions {
        urls: servers.iter().map(|s| s.url.clone()).collect(),
        kind: Some(ServerKind::Vllm),
        model: None,
        key: None,
        concurrency: Some(concurrency),
        list: LIST,
        deadline: Duration::from_secs(600),
        vocabulary: None,
        interrupted: std::sync::Arc::new(|| false),
        note: Box::new(|text| eprintln!("{text}")),
    });
    let model = model.unwrap();
    let mut session = model.session().unwrap();
    let prompt: Vec<TokenId> = (0..PROMPT as u32).map(TokenId).collect();
    let mut level: Vec<NodeHandle> = vec![*session.push_all(None, &prompt).unwrap().last().unwrap()];
    let mut evaluate = |level: &[NodeHandle], children: usize, most: usize| -> Vec<NodeHandle> {
        let queries: Vec<Query<'_>> = level.iter().map(|&n| Query::top(n, LIST)).collect();
        session.evaluate(&queries).unwrap();
        let mut next = Vec::new();
        for &n in level {
            for c in 0..children.min(most - next.len()) {
                next.push(session.push(Some(n), TokenId(c as u32)).unwrap());
            }
        }
        next
    };
    while level.len() < width {
        level = evaluate(&level, 4, width);
    }
    // Servers now hold different prefixes; measure with warm caches.
    level = evaluate(&level, 1, width);
    let total = |f: fn(&Work) -> f64| -> f64 { servers.iter().map(|s| f(&s.work.lock().unwrap())).sum() };
    let now = || [total(|w| w.busy), total(|w| w.filled), total(|w| w.computed as f64), total(|w| w.prompts as f64)];
    let (before, started) = (now(), Instant::now());
    for _ in 0..LEVELS {
        level = evaluate(&level, 1, width);
    }
    let seconds = started.elapsed().as_secs_f64();
    let done: Vec<f64> = now().iter().zip(before).map(|(a, b)| a - b).collect();
    let share = |x: f64| 100.0 * x / (seconds * servers.len() as f64);
    println!(
        "| {} | {slots} | {concurrency} | {width} | {:.0} | {:.0} % | {:.0} % | {:.1} |",
        servers.len(),
        slow() * (LEVELS * width) as f64 / seconds,
        share(done[0]),
        share(done[1]),
        done[2] / done[3],
    );
}

fn main() {
    println!("| servers | slots | concurrency | width | nodes/s | busy | busy slots | tokens computed per node |");
    println!("|---|---|---|---|---|---|---|---|");
    for width in [16, 64, 256, 1024] {
        measure(1, 64, 128, width);
    }
    for concurrency in [16, 64, 256] {
        measure(1, 64, concurrency, 1024);
    }
    for servers in [4, 16] {
        for width in [1024, 4096, 16_384] {
            measure(servers, 64, 128, width);
        }
    }
}
