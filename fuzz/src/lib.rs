//! Fuzz targets: one function for each kind of untrusted file or answer that the program reads.
//!
//! libFuzzer calls these with inputs of its own (`fuzz/run`). The ordinary tests call them with the seeds in
//! `fixtures/fuzz` and simple changes of these (`crates/logitree-cli/tests/fuzz.rs`, which includes this file). A
//! target fails by a panic: input may be refused, but nothing that was accepted may break a promise.

use logitree::export::{self, Format};
use logitree::import::{self, Document};
use logitree_core::explore::{Explorer, Policy, Strategy};
use logitree_core::run::{Message, ReadError, Run, RunReader, write_run};
use logitree_core::{Distribution, Exactness, ModelError, NodeHandle, Query, Session, TokenId, TokenStats};
use logitree_engine::chat::{Arguments, ChatTemplate, DATE};
use logitree_engine::tokenizer::Tokenizer;
use logitree_engine::tokenizer_of;
use logitree_engine::weights::{Role, Weights};
use logitree_remote::{ServerKind, fuzzing::lists as answered};
use std::path::PathBuf;

/// The name of a target's folder of seeds, and the target: a function that returns whether it accepted the input.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("chat_template", chat_template),
    ("experiment", experiment),
    ("gguf", gguf),
    ("model_folder", model_folder),
    ("records", records),
    ("reply", reply),
    ("run_file", run_file),
    ("tokenizer", tokenizer),
    ("tree_json", tree_json),
];

/// Text with what tokenizers treat in their own ways: names of special tokens, spaces, composed characters.
const TEXT: &str = "Hello <eos> \u{2581} wo\u{308}rld\n\n  1234 it's <|im_end|>\u{1f600}";

/// A run file. It must pass `check_run`, and every strategy must either refuse it or grow it into a valid run. It is
/// accepted if its own strategy grows it.
pub fn run_file(data: &[u8]) -> bool {
    let Ok(run) = read_run(data) else { return false };
    assert!(run.valid_bytes <= data.len() as u64);
    check_run(&run);
    let own = serde_json::json!({ "strategy": run.header.strategy, "parameters": run.header.parameters });
    let own = serde_json::from_value::<Strategy>(own).ok();
    let others = Strategy::NAMES.iter().filter_map(|name| Strategy::named(name).ok());
    let mut resumed = false;
    for strategy in own.into_iter().chain(others) {
        if let Ok(policy) = strategy.policy(&run.tree) {
            go_on(&run, policy);
            resumed |= strategy.name() == run.header.strategy;
        }
    }
    resumed
}

/// The notebook's tree JSON. What can be read must be a valid run; it is accepted if all formats can export it, but for
/// records, which a tree without a complete path does not have.
pub fn tree_json(data: &[u8]) -> bool {
    // `import::read` chooses the kind of file by its content and may take this one for a run file.
    if let Ok(Document::Run(run)) = import::read(data).map(|i| i.document) {
        check_run(&run);
    }
    let Ok(run) = import::tree_json::read(data, &mut Vec::new()) else { return false };
    check_run(&run);
    let exports = |format| export::export(&run, format, true, &mut std::io::sink()).is_ok();
    Format::ALL.iter().all(|&(_, format)| exports(format) || format == Format::Jsonl)
}

/// The notebook's logprobs records, one per line. Accepted if at least one can be read.
pub fn records(data: &[u8]) -> bool {
    let _ = import::read(data);
    let Ok((records, bad)) = import::jsonl::read(data, &mut Vec::new()) else { return false };
    let (records, bad) = (records.len(), bad.count);
    let lines = data.split(|&b| b == b'\n').count();
    assert!(records + bad <= lines, "{records} records and {bad} others in {lines} lines");
    records > 0
}

/// An experiment in TOML, checked as far as this is possible without loading models.
pub fn experiment(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|text| logitree_cli::fuzzing::experiment(text).is_ok())
}

/// A server's answer, read as the answer of each kind of server. Accepted numbers must be logarithms of probabilities.
pub fn reply(data: &[u8]) -> bool {
    let mut accepted = false;
    for kind in ServerKind::ALL {
        for paths in [1, 2] {
            let Ok(lists) = answered(kind, data, paths) else { continue };
            accepted = true;
            assert_eq!(lists.len(), paths);
            for [top, named] in lists {
                assert!(!top.is_empty() && top.iter().map(|l| l.exp()).sum::<f64>() <= 1.011);
                assert!(top.iter().chain(&named).all(|&l| l.is_finite() && l <= 0.0));
            }
        }
    }
    accepted
}

/// A chat template, compiled and used for a few conversations.
pub fn chat_template(data: &[u8]) -> bool {
    let Ok(source) = std::str::from_utf8(data) else { return false };
    let Ok(template) = ChatTemplate::new(source, Some("<bos>"), Some("<eos>")) else { return false };
    let mut arguments = Arguments::new();
    // A template may print the date. It is fixed, because two renders of the template are compared.
    arguments.insert(DATE.into(), "2026-07-04".into());
    let user = Message::new("user", "Hello \u{e9}\n<b> 12 ");
    let system = Message::new("system", "Be \"brief\".");
    let assistant = Message::new("assistant", "<think>x</think>Yes");
    let mut accepted = false;
    for messages in [vec![], vec![user.clone()], vec![system, user.clone(), assistant, user]] {
        let rendered = template.render(&messages, &arguments, true);
        if let Ok(rendered) = &rendered {
            let again = template.render(&messages, &arguments, true);
            assert!(again.is_ok_and(|again| again.text == rendered.text));
            accepted = true;
        }
    }
    accepted
}

/// A tokenizer.json. The tokens into which it splits a text must be in its vocabulary.
pub fn tokenizer(data: &[u8]) -> bool {
    let folder = Place::folder(&[("tokenizer.json", data)]);
    Tokenizer::from_folder(&folder.0).is_ok_and(|tokenizer| use_tokenizer(&tokenizer))
}

/// A GGUF file: opened, every tensor looked at, configuration and tokenizer made.
pub fn gguf(data: &[u8]) -> bool {
    let folder = Place::folder(&[("model.gguf", data)]);
    Weights::open(&folder.0.join("model.gguf")).is_ok_and(|weights| use_weights(&weights))
}

/// A model's folder: config.json, a zero byte, and model.safetensors.
pub fn model_folder(data: &[u8]) -> bool {
    let cut = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (config, tensors) = (&data[..cut], data.get(cut + 1..).unwrap_or(&[]));
    let folder = Place::folder(&[("config.json", config), ("model.safetensors", tensors)]);
    Weights::open(&folder.0).is_ok_and(|weights| use_weights(&weights))
}

/// Reads all that weights tell. Returns whether they have a configuration; if so, the embedding and the last norm must
/// exist.
fn use_weights(weights: &Weights) -> bool {
    let config = weights.config();
    let _ = (weights.end_tokens(), weights.parameters(), weights.notes(), weights.dtypes());
    for role in [Role::TokenEmbedding, Role::Output, Role::OutputNorm] {
        let tensor = weights.tensor(role, None).map(|t| t.data.len());
        assert!(config.is_err() || role == Role::Output || tensor.is_ok(), "the configuration has no {role:?}");
    }
    if let Ok(tokenizer) = tokenizer_of(weights) {
        use_tokenizer(&tokenizer);
    }
    config.is_ok()
}

/// Encodes and decodes [`TEXT`]. Returns whether the tokenizer can encode it.
fn use_tokenizer(tokenizer: &Tokenizer) -> bool {
    let mut splits = false;
    for special in [false, true] {
        if let Ok(tokens) = tokenizer.encode(TEXT, special) {
            assert!(tokens.iter().all(|t| t.index() < tokenizer.vocab_size()));
            let _ = tokenizer.decode(&tokens);
            splits = true;
        }
        let _ = tokenizer.encode_spans(TEXT, special);
    }
    let _ = (tokenizer.end_tokens(), tokenizer.bos_name(), tokenizer.eos_name(), tokenizer.encode_chat(TEXT));
    splits
}

fn read_run(data: &[u8]) -> Result<Run, ReadError> {
    let mut reader = RunReader::default();
    let mut torn = false;
    for line in data.split_inclusive(|&b| b == b'\n') {
        torn = !line.ends_with(b"\n");
        if !torn {
            reader.feed(line)?;
        }
    }
    reader.finish(torn)
}

/// Asserts what must hold for every run: its mass adds up to 1, and it is the same run after it was written and read.
fn check_run(run: &Run) {
    let mass = run.tree.accounting();
    assert!((mass.total() - 1.0).abs() < 1e-6 * run.tree.len() as f64, "{mass:?}");
    for n in run.tree.ranked_leaves() {
        let _ = run.text(n);
    }
    let mut file = Vec::new();
    write_run(run, &mut file).expect("memory takes what is written");
    let again = read_run(&file).expect("what is written can be read");
    assert!(again.tree == run.tree && again.header == run.header && again.end == run.end, "another run is read back");
}

/// Grows the run with this policy by about 200 nodes, and checks the longer run.
fn go_on(run: &Run, policy: Box<dyn Policy>) {
    let model = Box::new(Model::default());
    let explorer = Explorer::new(model, VOCAB, &[TokenId(0)], policy, run.tree.clone(), 0);
    let watch = run.header.watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect();
    let mut explorer = explorer.expect("the model takes every prompt").watching(watch);
    let most = run.tree.len() + 200;
    while explorer.tree.len() < most && explorer.evaluate().expect("the model knows every path") > 0 {
        while explorer.tree.len() < most && explorer.visit().is_some() {}
    }
    check_run(&Run { tree: explorer.tree, end: None, ..run.clone() });
}

/// Number of tokens in the vocabulary of [`Model`].
const VOCAB: usize = 16;

/// A model that gives the same distribution after every path.
#[derive(Default)]
struct Model {
    nodes: u32,
}

impl Session for Model {
    fn push(&mut self, _: Option<NodeHandle>, _: TokenId) -> Result<NodeHandle, ModelError> {
        self.nodes += 1;
        Ok(NodeHandle(self.nodes - 1))
    }

    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
        let logits: Vec<f32> = (0..VOCAB).map(|i| -0.7 * i as f32).collect();
        let logsumexp = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
        let logprobs: Vec<f64> = logits.iter().map(|&l| f64::from(l) - logsumexp).collect();
        let mean = |power: i32, centre: f64| logprobs.iter().map(|l| l.exp() * (-l - centre).powi(power)).sum::<f64>();
        let entropy = mean(1, 0.0);
        let varentropy = mean(2, entropy);
        let stats = |(i, &logprob): (u32, &f64)| TokenStats { id: TokenId(i), logprob, rank: i + 1 };
        let top: Vec<TokenStats> = (0..).zip(&logprobs).map(stats).collect();
        // A run file may have tokens that are not in this vocabulary. They are given the last token's numbers.
        let stats_of = |id: TokenId| TokenStats { id, ..top[id.index().min(VOCAB - 1)] };
        let answer = |q: &Query<'_>| Distribution {
            top: top[..q.top.min(VOCAB)].to_vec(),
            tokens: q.tokens.iter().map(|&t| stats_of(t)).collect(),
            logsumexp,
            entropy,
            logits_sha256: None,
            varentropy,
            exactness: Exactness::Exact,
            logits: q.logits.then(|| logits.clone()),
        };
        Ok(queries.iter().map(answer).collect())
    }

    fn width(&self) -> usize {
        16
    }

    fn release(&mut self, _: NodeHandle) {}
}

/// A temporary folder for a target's input files. Each process and thread has its own, in memory where the system has
/// such a place.
struct Place(PathBuf);

impl Place {
    fn folder(files: &[(&str, &[u8])]) -> Place {
        let memory = PathBuf::from("/dev/shm");
        let top = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let thread = format!("{:?}", std::thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
        let folder = top.join(format!("logitree-fuzz-{}-{thread}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the input");
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).expect("write the input");
        }
        Place(folder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If the folder cannot be removed, it is left among the system's temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
