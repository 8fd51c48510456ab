//! `logitree tree`

use super::strategy::{self, StrategyOptions};
use crate::cli::{self, Format, ModelOptions, PromptOptions};
use crate::export::text::{self, percent};
use crate::setup::{self, Loaded, Prepared};
use crate::{import, models, progress, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree_core::explore::{Explorer, Keep, Policy, Strategy};
use logitree_core::run::{EndReason, Event, FORMAT, Header, Prompt, Run, VERSION, change_events, end_event};
use logitree_core::{LanguageModel, TokenId, Tree};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "Examples:
  logitree tree \"The capital of India is\" --max-depth 12
  logitree tree \"The secret to happiness is\" --min-branch-threshold 0.05 -o happiness.run.jsonl
  logitree tree --chat -m smollm2-135m \"Name a colour.\" --format json
  logitree tree \"The capital of India is\" --strategy best-first --cover 0.5 --max-seconds 20
  logitree tree \"Roses are\" --strategy sample --samples 200 --max-depth 8
  logitree tree \"Is water wet? Answer:\" --watch \" Yes\" --watch \" No\" --max-depth 4
  logitree tree --resume the-capital-of-india-is.run.jsonl

How the default, dynamic, branches: with |Q| open paths the threshold is
  T = min + min(1, |Q| / soft_queue_limit) x (max - min)
and a node's children are all tokens with a probability above T, or the single most likely one.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct TreeArgs {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT", required_unless_present = "resume")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub model: ModelOptions,
    /// Put the prompt into the model's chat template, as what a user says
    #[arg(long)]
    pub chat: bool,
    /// System message (with --chat)
    #[arg(long, requires = "chat", value_name = "TEXT")]
    pub system: Option<String>,
    #[command(flatten)]
    pub strategy: StrategyOptions,
    /// End when the tree has this many nodes
    #[arg(long, value_parser = cli::at_least_one, value_name = "N")]
    pub max_nodes: Option<usize>,
    /// End after this many seconds
    #[arg(long, value_parser = cli::non_negative, value_name = "SECONDS")]
    pub max_seconds: Option<f64>,
    /// Most likely tokens to record per step, at least: a number, or p=0.999 for as many as make up that probability (slower)
    #[arg(long, visible_alias = "top", default_value = "10", value_parser = strategy::keep, value_name = "K|p=P")]
    pub store_top: Keep,
    /// Note the probability of this string at every step; may be given several times
    #[arg(long, value_name = "TEXT", conflicts_with = "resume")]
    pub watch: Vec<String>,
    /// Run file to write, as the tree grows; `-` is standard output [default: named after the prompt]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing run file
    #[arg(long)]
    pub force: bool,
    /// Go on with a stopped or killed run; its parameters stay
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "output", "chat", "force"])]
    pub resume: Option<PathBuf>,
    /// Paths to list at the end
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub paths: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Where the events of a run go.
enum Record {
    File(BufWriter<File>, PathBuf),
    Stdout,
}

impl Record {
    fn write(&mut self, events: &[Event]) -> Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        match self {
            Record::File(file, path) => {
                file.write_all(&lines).with_context(|| format!("cannot write {}", path.display()))
            }
            Record::Stdout => Ok(stdout().lock().write_all(&lines)?),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Record::File(file, path) => file.flush().with_context(|| format!("cannot write {}", path.display())),
            Record::Stdout => Ok(stdout().lock().flush()?),
        }
    }

    fn name(&self) -> PathBuf {
        match self {
            Record::File(_, path) => path.clone(),
            Record::Stdout => "-".into(),
        }
    }
}

/// A run about to begin, or to go on.
struct Job {
    header: Header,
    prompt: Vec<TokenId>,
    tree: Tree,
    policy: Box<dyn Policy>,
    record: Record,
}

pub fn run(args: TreeArgs) -> Result<()> {
    let strategy = args.strategy.build()?;
    if args.output.as_deref() == Some(Path::new("-")) && args.format == Format::Json {
        bail!("-o - and --format json both want standard output: name a file with -o");
    }
    terminal::catch_interrupts();
    let (loaded, job) = match &args.resume {
        Some(path) => resume(&args, path)?,
        None => begin(&args, strategy)?,
    };
    if args.format == Format::Text {
        announce(&loaded, &job);
    }
    let file = job.record.name();
    let Explored { run, rate, failure } = explore(&args, &loaded, job)?;
    match (args.format, file == Path::new("-")) {
        (Format::Json, _) => terminal::print(&format!("{:#}\n", summary_json(&run, args.paths, &file, Some(rate))))?,
        // Standard output holds the run file.
        (Format::Text, true) => {
            eprint!("{}", text::summary(&run, args.paths, text::Style { width: 100, colour: false }))
        }
        (Format::Text, false) => {
            terminal::print(&text::summary(&run, args.paths, terminal::style()))?;
            eprintln!("run file: {}", file.display());
        }
    }
    failure.map_or(Ok(()), Err)
}

fn begin(args: &TreeArgs, strategy: Strategy) -> Result<(Loaded, Job)> {
    let prompt = args.prompt.clone().context("no PROMPT")?;
    let text = setup::text_argument(&prompt, "PROMPT")?;
    // Before the model is loaded: a bad path is told at once.
    let record = create(args, &text)?;
    let loaded = setup::load(&args.model)?;
    let options = PromptOptions { prompt: text, chat: args.chat, system: args.system.clone() };
    let Prepared { text, tokens, bos, chat } = setup::prepare(&loaded, &options, "")?;
    let parameters = serde_json::to_value(strategy)?["parameters"].as_object().cloned().unwrap_or_default();
    let limits = [("max_nodes", json!(args.max_nodes)), ("max_seconds", json!(args.max_seconds))];
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        logitree: env!("CARGO_PKG_VERSION").into(),
        created: setup::now(),
        model: loaded.record()?,
        engine: loaded.model.engine(),
        prompt: Prompt { text, tokens: tokens.iter().map(|&t| loaded.token(t)).collect(), bos, chat },
        strategy: strategy.name().into(),
        parameters,
        limits: limits.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_string(), v)).collect(),
        watch: setup::watch(&loaded, &args.watch)?,
    };
    let policy = strategy.policy(loaded.model.end_tokens(), &Tree::default())?;
    let mut job = Job { header, prompt: tokens, tree: Tree::default(), policy, record };
    job.record.write(&[Event::Header(Box::new(job.header.clone()))])?;
    job.record.flush()?;
    Ok((loaded, job))
}

/// Creates the run file.
fn create(args: &TreeArgs, prompt: &str) -> Result<Record> {
    let named = args.output.clone();
    if named.as_deref() == Some(Path::new("-")) {
        return Ok(Record::Stdout);
    }
    let mut options = OpenOptions::new();
    options.write(true);
    let open = |path: &Path| match args.force {
        true => options.clone().create(true).truncate(true).open(path),
        false => options.clone().create_new(true).open(path),
    };
    let exists = |e: &std::io::Error| e.kind() == std::io::ErrorKind::AlreadyExists;
    // A name of our own choosing never overwrites: it is counted up.
    let candidates: Box<dyn Iterator<Item = PathBuf>> = match named {
        Some(path) => Box::new(std::iter::once(path)),
        None => {
            let slug = slug(prompt);
            let numbered = (2..10_000).map({
                let slug = slug.clone();
                move |i| PathBuf::from(format!("{slug}-{i}.run.jsonl"))
            });
            Box::new(std::iter::once(PathBuf::from(format!("{slug}.run.jsonl"))).chain(numbered))
        }
    };
    for path in candidates {
        match open(&path) {
            Ok(file) => return Ok(Record::File(BufWriter::new(file), path)),
            Err(e) if exists(&e) && args.output.is_none() => {}
            Err(e) if exists(&e) => {
                bail!("{} exists: --resume {0} goes on with it, --force overwrites it", path.display())
            }
            Err(e) => return Err(e).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    bail!("too many run files for this prompt in this folder: name one with -o")
}

/// A file name from a prompt.
fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    for c in prompt.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "prompt".into() } else { slug.into() }
}

fn resume(args: &TreeArgs, path: &Path) -> Result<(Loaded, Job)> {
    let run = import::open_run(path)?;
    let header = run.header;
    let options = ModelOptions {
        // The model that the run was made with, unless another is named.
        model: if args.model.model == models::DEFAULT { header.model.name.clone() } else { args.model.model.clone() },
        threads: args.model.threads,
        backend: args.model.backend.clone(),
    };
    let loaded = setup::load(&options).with_context(|| format!("the model of {}", path.display()))?;
    let hash = models::sha256(loaded.model.weights().files())?;
    if hash != header.model.sha256 {
        bail!(
            "{} was made with other weights (sha256 {}, not {hash}): name the right model with --model",
            path.display(),
            header.model.sha256
        );
    }
    let strategy: Strategy =
        serde_json::from_value(json!({ "strategy": header.strategy, "parameters": header.parameters }))
            .with_context(|| format!("{}: the strategy {:?} and its parameters", path.display(), header.strategy))?;
    let policy = strategy.policy(loaded.model.end_tokens(), &run.tree)?;
    let mut file = OpenOptions::new().write(true).open(path).with_context(|| path.display().to_string())?;
    // What was torn goes; the record continues behind the last whole event.
    file.set_len(run.valid_bytes)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
    let prompt = header.prompt.tokens.iter().map(|t| t.id).collect();
    let record = Record::File(BufWriter::new(file), path.into());
    Ok((loaded, Job { header, prompt, tree: run.tree, policy, record }))
}

fn announce(loaded: &Loaded, job: &Job) {
    let n = job.prompt.len();
    eprintln!("{} · {} · prompt of {n} tokens, {}", loaded.name, job.header.engine, loaded.front());
}

/// What came of exploring.
struct Explored {
    run: Run,
    /// New nodes per second, this time.
    rate: f64,
    /// Why the model failed, if it did.
    failure: Option<anyhow::Error>,
}

/// Grows the tree to its end, a budget or Ctrl-C; what was grown is returned even if the model fails.
fn explore(args: &TreeArgs, loaded: &Loaded, job: Job) -> Result<Explored> {
    let Job { header, prompt, tree, policy, mut record } = job;
    let bytes = |id: TokenId| loaded.model.token_bytes(id);
    let mut session = loaded.model.session()?;
    let mut explorer = Explorer::new(&mut *session, loaded.model.vocab_size(), &prompt, policy, tree, args.store_top)?
        .watching(setup::watched_ids(&header.watch));
    let bar = progress::spinner();
    let (started, first) = (Instant::now(), explorer.tree.len());
    let mut failure = None;
    let reason = loop {
        while !over_budget(args, &explorer.tree, started) {
            let Some(change) = explorer.visit() else { break };
            record.write(&change_events(&explorer.tree, change, &bytes))?;
        }
        record.flush()?;
        bar.message(|| progress_line(&explorer, first, started));
        if terminal::interrupted() {
            break EndReason::Interrupted;
        }
        if args.max_nodes.is_some_and(|n| explorer.tree.len() >= n) {
            break EndReason::MaxNodes;
        }
        if args.max_seconds.is_some_and(|s| started.elapsed().as_secs_f64() >= s) {
            break EndReason::MaxSeconds;
        }
        match explorer.evaluate() {
            Ok(0) => break EndReason::Finished,
            Ok(_) => {}
            Err(e) => {
                failure = Some(e.into());
                break EndReason::Failed;
            }
        }
    };
    drop(bar);
    let seconds = started.elapsed().as_secs_f64();
    let rate = (explorer.tree.len() - first) as f64 / seconds.max(1e-9);
    let end = end_event(&explorer.tree, reason, seconds);
    record.write(&[Event::End(end.clone())])?;
    record.flush()?;
    let tree = explorer.tree;
    let listed = tree.nodes().filter_map(|n| tree.expansion(n)).flat_map(|e| e.top.iter().map(|t| t.id));
    let ids = listed.chain(tree.nodes().filter_map(|n| tree.token(n)));
    let texts = ids.map(|id| (id, bytes(id).into_owned().into())).collect();
    Ok(Explored { run: Run { header, tree, end: Some(end), texts, valid_bytes: 0, torn: false }, rate, failure })
}

fn over_budget(args: &TreeArgs, tree: &Tree, started: Instant) -> bool {
    args.max_nodes.is_some_and(|n| tree.len() >= n)
        || args.max_seconds.is_some_and(|s| started.elapsed().as_secs_f64() >= s)
        || terminal::interrupted()
}

fn progress_line(e: &Explorer<'_, Box<dyn Policy>>, first: usize, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    format!(
        "{} nodes · {} open · {} completed{} · {:.0} nodes/s · {} finished",
        e.tree.len(),
        e.policy.queue(&e.tree),
        e.policy.completed(),
        e.policy.threshold(&e.tree).map_or(String::new(), |t| format!(" · T {t:.3}")),
        (e.tree.len() - first) as f64 / seconds.max(1e-9),
        percent(e.tree.accounting().finished),
    )
}

/// The summary as one object; `rate` is known to the one who grew the tree.
pub fn summary_json(run: &Run, most: usize, file: &Path, rate: Option<f64>) -> Value {
    let tree = &run.tree;
    let end = run.end.clone().unwrap_or_else(|| end_event(tree, EndReason::Interrupted, 0.0));
    let paths: Vec<Value> = tree
        .ranked_leaves()
        .into_iter()
        .take(most)
        .map(|n| {
            json!({
                "node": n.0,
                "prob": tree.mass(n),
                "logprob": tree.path_logprob(n),
                "depth": tree.depth(n),
                "stop": tree.stop(n).map(|s| s.name()),
                "text": run.text(n),
            })
        })
        .collect();
    json!({
        "nodes": end.nodes,
        "completed": end.completed,
        "seconds": end.seconds,
        "nodes_per_second": rate,
        "reason": run.end.as_ref().map(|e| e.reason),
        "mass": end.mass,
        "prompt": { "text": run.header.prompt.text, "tokens": run.header.prompt.tokens, "bos": run.header.prompt.bos },
        "model": run.header.model.name,
        "engine": run.header.engine,
        "parameters": run.header.parameters,
        "paths": paths,
        "run": file,
    })
}
