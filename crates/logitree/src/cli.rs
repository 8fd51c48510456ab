//! The command line, as it is typed.

use crate::command::{
    answers, bench, engine, experiment, export, forks, generate, guide, lens, model, report, score, serve, show, tree,
    verify, view,
};
use crate::export::terminal_tree;
use crate::setup::Given;
use crate::{input, terminal};
use anyhow::Result;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use logitree_core::run::Run;
use logitree_engine::Arithmetic;
use logitree_remote::Kind;
use std::ffi::OsString;

const ABOUT: &str = "See what a language model could have said.

logitree runs a language model on this machine, reads the full next-token distribution at every step, and \
shows the alternatives: as a tree of all likely continuations, or token by token.";

const EXAMPLES: &str = concat!(
    "Examples:
  logitree tree \"The capital of India is\" --max-depth 12
  logitree logprobs \"Roses are red, violets are\" -n 20
  logitree guide \"Python code for prime number?\" --prefix \"def is_prime\"
  echo \"To be or not to be\" | logitree score -
  logitree show the-capital-of-india-is.run.jsonl

Environment:
  LOGITREE_CACHE    where known models are kept
  LOGITREE_DATA     where `serve` keeps runs
  LOGITREE_OFFLINE  never download
  HF_HOME           where models of the Hugging Face Hub are kept, as for Python
  HF_TOKEN, HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE: as for Python, too
  NO_COLOR          no colours

Documentation: ",
    env!("CARGO_PKG_REPOSITORY")
);

#[derive(Parser)]
#[command(name = "logitree", version, about = "See what a language model could have said", long_about = ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Grow the tree of likely continuations of a prompt
    Tree(Box<tree::TreeArgs>),
    /// Generate, and show each token's probability, rank and alternatives
    Logprobs(generate::LogprobsArgs),
    /// Force how the answer begins: how likely was that, and what follows?
    Guide(guide::GuideArgs),
    /// Score every token of a given text
    Score(score::ScoreArgs),
    /// How likely is each answer, over all continuations?
    Answers(answers::AnswersArgs),
    /// Where might the text have gone another way, and would it have mattered?
    Forks(forks::ForksArgs),
    /// A stored run as a sampler would see it
    Lens(lens::LensArgs),
    /// Run an experiment: prompts x parameters x models
    Run(experiment::RunArgs),
    /// Run a stored run's steps again and compare every number
    Verify(verify::VerifyArgs),
    /// Show what is in a file: a run, or the notebook's tree or logprobs
    Show(show::ShowArgs),
    /// The web app: text and tree as two views of one live run
    Serve(serve::ServeArgs),
    /// Look at files in the web app; no model is needed
    View(view::ViewArgs),
    /// Write a run with the web app as one HTML file
    Report(report::ReportArgs),
    /// Write a run in another format
    Export(export::ExportArgs),
    /// Measure this machine and this model on it
    Bench(bench::BenchArgs),
    /// Known models and the cache
    Model(model::ModelArgs),
    /// What a server can do as an engine
    Engine(engine::EngineArgs),
}

/// Which model, and how to run it.
#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// A known name (`logitree model list`), a .gguf file, a folder with safetensors, or a model of the Hugging Face Hub:
    /// OWNER/REPO, or hf:OWNER/REPO/FILE.gguf for one GGUF file; both may end in @REVISION
    #[arg(short, long, default_value = crate::models::DEFAULT, value_name = "MODEL")]
    pub model: String,
    /// Threads to use [default: all cores]
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
    /// A model in this process or on servers, all else by default.
    pub fn new(model: String, arithmetic: Option<Arithmetic>, remote: RemoteOptions) -> ModelOptions {
        let arithmetic = ArithmeticOptions { arithmetic, fast: false };
        ModelOptions { model, threads: None, backend: None, arithmetic, remote }
    }
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
    /// What was asked for.
    pub fn asked(self) -> Option<Arithmetic> {
        if self.fast { Some(Arithmetic::Bits8) } else { self.arithmetic }
    }
}

/// Where the documentation is: a binary comes without it.
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
}

/// A kind of server; none is to be found out.
#[derive(Clone, Copy)]
pub struct EngineKind(pub Option<Kind>);

fn engine_kind(text: &str) -> Result<EngineKind, String> {
    let known = Kind::ALL.into_iter().find(|k| k.name() == text);
    if known.is_none() && text != "auto" {
        return Err(format!("must be auto or one of {}", Kind::ALL.map(Kind::name).join(", ")));
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
    /// Reads the prompt; from standard input, that can be done once.
    pub fn read(&self) -> Result<Given> {
        Ok(Given::new(&input::text_argument(&self.prompt, "PROMPT")?, &self.form))
    }
}

/// How a prompt's text is taken.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct FormOptions {
    /// Put the prompt into the model's chat template, as what a user says
    #[arg(long)]
    pub chat: bool,
    /// System message (with --chat)
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub system: Option<String>,
    /// Take names of control tokens in the prompt, such as <start_of_turn>, as these tokens [default: as letters; with
    /// --chat, as tokens]
    #[arg(long, conflicts_with = "chat")]
    pub special: bool,
    /// A variable for the chat template (with --chat), such as enable_thinking=false or reasoning_effort=low: JSON, or
    /// else a text; strftime_now=2026-07-04 is the date that it sees. May be given several times
    #[arg(long = "template-arg", requires = "chat", value_name = "NAME=VALUE", value_parser = template_arg)]
    pub template_args: Vec<TemplateArg>,
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

/// What was asked for cannot be done, whatever the files and the model: the program ends with code 2, as for what the
/// command line's own grammar refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Ends a function with a [`UsageError`].
macro_rules! usage {
    ($($text:tt)*) => { return Err($crate::cli::UsageError(format!($($text)*)).into()) };
}
pub(crate) use usage;

/// The command line, parsed.
///
/// # Errors
/// If it is not in the grammar, or asks for help.
pub fn parse() -> Result<Cli, clap::Error> {
    let command = command();
    let args = texts_apart(&command, std::env::args_os().collect());
    Cli::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// The grammar: values may be negative numbers, which are then refused by name where they make no sense, and texts may
/// begin with a hyphen.
fn command() -> clap::Command {
    fn values(command: clap::Command) -> clap::Command {
        let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
        let command = command.mut_args(|arg| {
            let text = arg.get_value_names().is_some_and(|n| n.iter().any(|n| TEXTS.contains(&n.as_str())));
            match (arg.get_action().takes_values(), text && !arg.is_positional()) {
                (false, _) => arg,
                (true, true) => arg.allow_hyphen_values(true),
                (true, false) => arg.allow_negative_numbers(true),
            }
        });
        names.into_iter().fold(command, |c, name| c.mut_subcommand(name, values))
    }
    values(Cli::command())
}

/// Value names of options whose value is any text.
const TEXTS: &[&str] = &["TEXT", "REGEX", "A|B|C"];

/// Puts a prompt such as "- milk" or "-5 is" where it cannot be taken for options: behind `--`. No option is written
/// with white space in it, so an argument that has some is a text, unless it is an option's value.
fn texts_apart(command: &clap::Command, args: Vec<OsString>) -> Vec<OsString> {
    let Some(command) = args.get(1).and_then(|name| command.find_subcommand(name)) else { return args };
    let takes_value = |before: &str| {
        command.get_arguments().any(|a| {
            let long = a.get_long().is_some_and(|l| before.strip_prefix("--") == Some(l));
            let short =
                a.get_short().is_some_and(|s| before.starts_with('-') && before.ends_with(s) && before.len() == 2);
            a.get_action().takes_values() && (long || short)
        })
    };
    let is_text = |i: usize| {
        let (Some(text), Some(before)) = (args[i].to_str(), args[i - 1].to_str()) else { return false };
        let name = text.split(['=', ' ', '\n', '\t']).next().unwrap_or_default();
        let option = name.starts_with("--") && text[name.len()..].starts_with('=');
        text.starts_with('-') && text.contains(char::is_whitespace) && !option && !takes_value(before)
    };
    let end = args.iter().position(|a| a == "--").unwrap_or(args.len());
    let Some(at) = (2..end).find(|&i| is_text(i)) else { return args };
    let mut args = args;
    let text = args.remove(at);
    if end == args.len() + 1 {
        args.push("--".into());
    }
    args.insert(end, text);
    args
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
    /// The drawn tree and an empty line, or nothing.
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

/// A probability.
pub fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be a probability between 0 and 1".into()),
    }
}

/// A finite number, not negative.
pub fn non_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("must be a number, 0 or more".into()),
    }
}

/// A whole number of at least 1.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n >= 1 => Ok(n),
        _ => Err("must be a whole number, 1 or more".into()),
    }
}
