//! Options that commands have in common, and the values that they may have.

use crate::{input, settings, terminal};
use anyhow::Result;
use clap::{Args, ValueEnum};
use logitree::Given;
use logitree::export::terminal_tree;
use logitree_core::run::{Message, Run};
use logitree_engine::Arithmetic;
use logitree_remote::ServerKind;
use serde_json::{Value, json};

/// Which model, and how to run it.
#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// A known name, a .gguf file, a folder with safetensors, or a model of the Hugging Face Hub: OWNER/REPO,
    /// OWNER/REPO:QUANTISATION or hf:OWNER/REPO/FILE.gguf, and @REVISION; `logitree model list --all` shows what is here
    /// [default: LOGITREE_MODEL, or gemma-3-270m]
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<String>,
    /// As llama.cpp has it (-hf, too): a model of the Hugging Face Hub, its usual GGUF file if no quantisation is named
    #[arg(long, value_name = "OWNER/REPO[:QUANT]", conflicts_with = "model", value_parser = hub_name)]
    pub hf: Option<String>,
    /// Threads to use [default: LOGITREE_THREADS, or all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Instruction set to use; results are the same bits with any, in the same arithmetic [default: the fastest]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    #[command(flatten)]
    pub arithmetic: ArithmeticOptions,
    #[command(flatten)]
    pub remote: RemoteOptions,
}

impl ModelOptions {
    /// Options for a model in this process or on servers, with defaults for all else.
    pub fn new(model: String, arithmetic: Option<Arithmetic>, remote: RemoteOptions) -> ModelOptions {
        let arithmetic = ArithmeticOptions { arithmetic, fast: false };
        // If there are servers, the model is named by another option, because servers have their own names for models.
        let model = remote.engines.is_empty().then_some(model);
        ModelOptions { model, hf: None, threads: None, backend: None, arithmetic, remote }
    }

    /// The model that the command line names, if any.
    pub fn named(&self) -> Option<&str> {
        self.model.as_deref().or(self.hf.as_deref())
    }

    /// The model to use: the one that the command line names, or else the user's default.
    ///
    /// # Errors
    /// If the user's settings cannot be read.
    pub fn name(&self) -> Result<String> {
        match self.named() {
            Some(name) => Ok(name.into()),
            None => Ok(settings::load()?.model.0),
        }
    }
}

/// The model of a stored run, and how to run it. Its arithmetic is the run's.
#[derive(Args)]
pub struct MadeOptions {
    /// The model that made it [default: the one the file names]
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Threads to use [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Instruction set to use [default: the fastest]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
}

/// How to multiply.
#[derive(Args, Clone, Copy)]
pub struct ArithmeticOptions {
    #[arg(long, value_name = "NAME", conflicts_with = "fast", help = ARITHMETIC)]
    arithmetic: Option<Arithmetic>,
    /// The same as `--arithmetic 8-bit`: wide trees grow 1.3 to 1.9 times as fast as in f32, and logprobs are off by 0.1 nats on
    /// average, up to 1.0. Needs quantised weights and a CPU with VNNI (AVX-512 VNNI or AVX-VNNI)
    #[arg(long)]
    fast: bool,
}

impl ArithmeticOptions {
    /// The arithmetic that the user asked for, if any.
    pub fn asked(self) -> Option<Arithmetic> {
        if self.fast { Some(Arithmetic::Bits8) } else { self.arithmetic }
    }
}

/// Address of a page of the documentation, which is not installed with the binary.
macro_rules! docs {
    ($page:literal) => {
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/", $page)
    };
}

const ENGINE: &str = concat!(
    "Ask this server instead of running a model here: vLLM, SGLang, llama-server, or any with OpenAI's completions. ",
    "Several share the load. ",
    docs!("engines.md"),
    " says what each can tell"
);

const ARITHMETIC: &str = concat!(
    "How activations are multiplied with weights: f32; bf16x3, as three bf16 numbers each, which is as exact and faster ",
    "with AMX; or 8-bit, which is approximate (",
    docs!("performance.md"),
    ") [default: f32; with AMX, bf16x3]"
);

/// Servers to ask in place of the local engine.
#[derive(Args, Clone)]
#[command(next_help_heading = "Servers in place of a model here")]
pub struct RemoteOptions {
    #[arg(long = "engine", value_name = "URL", help = ENGINE)]
    pub engines: Vec<String>,
    /// What the server is: vllm, sglang, llama-server or openai; auto finds it out
    #[arg(long, value_name = "KIND", value_parser = engine_kind, default_value = "auto")]
    pub engine_kind: EngineKind,
    /// The model's name there [default: the first it serves]
    #[arg(long, value_name = "NAME")]
    pub engine_model: Option<String>,
    /// Most tokens listed per step: more make tighter bounds and slower answers
    #[arg(long, value_name = "K", value_parser = at_least_one, default_value = "100")]
    pub engine_top: usize,
    /// Variable of the environment that holds the server's key
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// Prompts with a server at once [default: twice what it works on, or 128]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub concurrency: Option<usize>,
    /// Seconds that a request may take before it is repeated
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400), default_value = "120")]
    pub request_timeout: u64,
    /// Model whose tokenizer the server's model has: as for --model, no weights needed. Gives exact bytes, end tokens and
    /// chat template [default: the server is asked]
    #[arg(long, value_name = "MODEL")]
    pub tokenizer: Option<String>,
    /// Token that ends a generation, by id or name, in place of those found out; may be repeated
    #[arg(long = "end-token", value_name = "TOKEN")]
    pub end_tokens: Vec<String>,
    /// First measure how much the server's numbers vary (alone, in a batch, cached), and note it in run files
    #[arg(long)]
    pub wobble: bool,
}

impl RemoteOptions {
    /// No servers.
    pub fn none() -> RemoteOptions {
        RemoteOptions {
            engines: Vec::new(),
            engine_kind: EngineKind(None),
            engine_model: None,
            engine_top: 100,
            api_key_env: None,
            concurrency: None,
            request_timeout: 120,
            tokenizer: None,
            end_tokens: Vec::new(),
            wobble: false,
        }
    }
}

/// A kind of server. `None` means that the server is asked.
#[derive(Clone, Copy)]
pub struct EngineKind(pub Option<ServerKind>);

fn engine_kind(text: &str) -> Result<EngineKind, String> {
    let known = ServerKind::ALL.into_iter().find(|k| k.name() == text);
    if known.is_none() && text != "auto" {
        return Err(format!("must be auto or one of {}", ServerKind::ALL.map(ServerKind::name).join(", ")));
    }
    Ok(EngineKind(known))
}

/// What the model is given.
#[derive(Args)]
pub struct PromptOptions {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub prompt: String,
    #[command(flatten)]
    pub form: FormOptions,
}

impl PromptOptions {
    /// Reads the prompt. Must be called only once, because standard input can be read only once.
    pub fn read(&self) -> Result<Given> {
        Ok(self.form.given(&input::text_argument(&self.prompt, "PROMPT")?))
    }
}

/// How a prompt's text is taken.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct FormOptions {
    /// Put the prompt into the model's chat template, as what a user says
    #[arg(long)]
    pub chat: bool,
    /// System message (with --chat)
    // Clap forgets `requires` where something that is given conflicts with what is required, so that is named, too.
    #[arg(long, requires = "chat", conflicts_with = "special", value_name = "TEXT")]
    pub system: Option<String>,
    /// Take names of control tokens in the prompt, such as <start_of_turn>, as these tokens [default: as letters; with
    /// --chat, as tokens]
    #[arg(long, conflicts_with = "chat")]
    pub special: bool,
    /// A variable for the chat template (with --chat), such as enable_thinking=false or reasoning_effort=low: JSON, or
    /// else a text; strftime_now=2026-07-04 is the date that it sees. May be given several times
    #[arg(
        long = "template-arg",
        requires = "chat",
        conflicts_with = "special",
        value_name = "NAME=VALUE",
        value_parser = template_arg
    )]
    pub template_args: Vec<TemplateArg>,
}

impl FormOptions {
    /// All of it as JSON: what is the same here takes a text in the same way.
    pub fn json(&self) -> Value {
        let FormOptions { chat, system, special, template_args } = self;
        let arguments: serde_json::Map<_, _> =
            template_args.iter().map(|TemplateArg(name, value)| (name.clone(), value.clone())).collect();
        json!({ "chat": chat, "system": system, "special": special, "template_args": arguments })
    }

    /// The text in the form that the options ask for: as it is, with control tokens, or as a user's message of a
    /// conversation.
    pub fn given(&self, text: &str) -> Given {
        match self {
            FormOptions { chat: false, special: false, .. } => Given::Text(text.into()),
            FormOptions { chat: false, special: true, .. } => Given::Special(text.into()),
            FormOptions { system, template_args, .. } => {
                let system = system.iter().map(|s| Message::new("system", s));
                let arguments = template_args.iter().map(|TemplateArg(name, value)| (name.clone(), value.clone()));
                Given::Chat(system.chain([Message::new("user", text)]).collect(), arguments.collect())
            }
        }
    }
}

/// A variable for a chat template, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateArg(pub String, pub serde_json::Value);

fn template_arg(text: &str) -> Result<TemplateArg, String> {
    let (name, value) = text.split_once('=').ok_or("give it as NAME=VALUE")?;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if !name.chars().all(word) || name.starts_with(|c: char| c.is_numeric()) || name.is_empty() {
        return Err(format!("{name:?} is no name of a variable"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(TemplateArg(name.into(), value))
}

/// How the tree is drawn.
#[derive(Args)]
pub struct ViewOptions {
    /// Do not draw the tree
    #[arg(long, conflicts_with_all = ["depth", "min_mass"])]
    pub no_tree: bool,
    /// Draw only so many tokens below the prompt
    #[arg(long, value_parser = at_least_one, value_name = "N")]
    pub depth: Option<usize>,
    /// Draw only subtrees of at least this probability [default: what makes some 30 lines]
    #[arg(long, value_parser = probability, value_name = "PROB")]
    pub min_mass: Option<f64>,
}

impl ViewOptions {
    /// The drawn tree and an empty line. Empty if the user does not want the tree.
    pub fn draw(&self, run: &Run) -> String {
        if self.no_tree || run.tree.len() == 1 {
            return String::new();
        }
        let min_mass = self.min_mass.unwrap_or_else(|| terminal_tree::readable(&run.tree, self.depth));
        let view = terminal_tree::View { depth: self.depth, min_mass };
        terminal_tree::draw(run, view, terminal::style()) + "\n"
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object on standard output
    Json,
}

/// Turns a name for llama.cpp's `-hf` into logitree's name for the same model.
fn hub_name(text: &str) -> Result<String, String> {
    let (path, revision) = text.split_once('@').map_or((text, String::new()), |(p, r)| (p, format!("@{r}")));
    let (repo, quantisation) = path.split_once(':').unwrap_or((path, "any"));
    if repo.matches('/').count() != 1 {
        return Err("give it as OWNER/REPO or OWNER/REPO:QUANTISATION".into());
    }
    Ok(format!("hf:{repo}:{quantisation}{revision}"))
}

/// Parses a probability.
pub fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be a probability between 0 and 1".into()),
    }
}

/// Parses a finite number that is not negative.
pub fn non_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("must be a number, 0 or more".into()),
    }
}

/// Parses a whole number of at least 1.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n >= 1 => Ok(n),
        _ => Err("must be a whole number, 1 or more".into()),
    }
}
