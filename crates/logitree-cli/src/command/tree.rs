//! `logitree tree`: grows the tree of likely continuations of a prompt.

use super::dataset::{self, DatasetOptions};
use super::grow;
use super::strategy::{self, StrategyOptions};
use super::tree_rows::{TreeRows, object};
use crate::options::{self, FormOptions, Format, ModelOptions, ViewOptions};
use crate::usage::usage;
use crate::{input, message, open, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree::Model;
use logitree::dataset::Source;
use logitree::export::text;
use logitree::output::{self, Target};
use logitree::{
    Destination, Exploration, Explored, Held, Limits, arithmetic_of, check_arithmetic, check_resumable, import, models,
    slug,
};
use logitree_core::explore::{Keep, Strategy};
use logitree_core::run::{EndReason, Run, end_event};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree tree \"The capital of India is\" --max-depth 12
  logitree tree \"The capital of India is\" --max-depth 20 --depth 6
  logitree tree \"The capital of India is\" --max-depth 1000
  logitree tree \"Happiness is\" --min-branch-threshold 0.05 -o happy.run.jsonl
  logitree tree --chat -m smollm2-135m \"Name a colour.\" --format json
  logitree tree \"Is water wet?\" --strategy best-first --max-seconds 20
  logitree tree \"Roses are\" --strategy sample --samples 200 --max-depth 8
  logitree tree \"Is water wet?\" --watch \" Yes\" --watch \" No\" --max-depth 4
  logitree tree --resume the-capital-of-india-is.run.jsonl
  logitree tree --input prompts.jsonl --field prompt --max-depth 8 -o paths.csv

How the default, dynamic, branches: with |Q| open paths the threshold is
  T = min + min(1, |Q| / soft_queue_limit) x (max - min)
and a node's children are all tokens with a probability above T, or the single most likely one.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct TreeArgs {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT", required_unless_present_any = ["resume", "input"])]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub form: FormOptions,
    /// End when the tree has this many nodes [default: best-first without --max-seconds 5000]
    #[arg(long, value_parser = options::at_least_one, value_name = "N")]
    pub max_nodes: Option<usize>,
    /// End after this many seconds, those before it was resumed included
    #[arg(long, value_parser = options::non_negative, value_name = "SECONDS")]
    pub max_seconds: Option<f64>,
    /// Most likely tokens to record per step, at least: a number, or p=0.999 for as many as make up that probability (slower) [default: 10]
    #[arg(long, visible_alias = "top", value_parser = strategy::keep, value_name = "K|p=P")]
    pub store_top: Option<Keep>,
    /// Record a hash of all logits at each step, so that `verify` and other machines can compare the whole distribution
    #[arg(long)]
    pub hash_logits: bool,
    /// Note the probability of this string at every step; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    /// Run file to write, as the tree grows; `-` is standard output [default: named after the prompt]. With --input, a
    /// table of the most likely paths; trees themselves are not kept (`logitree run` keeps them)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing run file
    #[arg(long)]
    pub force: bool,
    /// Go on with a stopped or killed run, to the tree that it would have become: all that it was begun with stays, and
    /// only --max-nodes and --max-seconds may be given anew
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["prompt", "output", "chat", "system", "special", "template_args", "force", "watch", "hash_logits"]
    )]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub view: ViewOptions,
    /// Paths to list at the end
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub paths: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub strategy: StrategyOptions,
    #[command(flatten)]
    pub dataset: DatasetOptions,
    #[command(flatten)]
    pub model: ModelOptions,
}

impl TreeArgs {
    /// The limits of a new run.
    fn limits(&self) -> Limits {
        let keep = self.store_top.unwrap_or(Keep::Top(10));
        Limits { max_nodes: self.max_nodes, max_seconds: self.max_seconds, keep, hash_logits: self.hash_logits }
    }
}

pub fn run(args: TreeArgs) -> Result<()> {
    if let Some(source) = args.dataset.source()? {
        return many(&args, &source, args.output.as_deref(), dataset::load(&args.model));
    }
    let strategy = args.strategy.build()?;
    if args.output.as_deref() == Some(Path::new("-")) && args.format == Format::Json {
        usage!("-o - and --format json both want standard output: name a file with -o");
    }
    terminal::catch_interrupts();
    let begun = match &args.resume {
        Some(path) => resume(&args, path)?,
        None => begin(&args, strategy)?,
    };
    let (Explored { run, rate, failure }, file, note) = match begun {
        Begun::Going(exploration) => {
            if args.format == Format::Text {
                announce(&exploration, &args);
            }
            let file = exploration.path().unwrap_or(Path::new("-")).to_owned();
            (grow::explore(*exploration, "")?, file, None)
        }
        Begun::Ended(run, file, note) => (Explored { run: *run, rate: 0.0, failure: None }, file, Some(note)),
    };
    match (args.format, file == Path::new("-")) {
        (Format::Json, _) => {
            terminal::print(&format!("{:#}\n", summary_json(&run, args.paths, &file, (rate > 0.0).then_some(rate))))?
        }
        // The run file was written to standard output, so the summary goes to standard error.
        (Format::Text, true) => {
            message::lines(&text::summary(&run, args.paths, text::Style { width: 100, colour: false }))
        }
        (Format::Text, false) => {
            terminal::print(&(args.view.draw(&run) + &text::summary(&run, args.paths, terminal::style())))?;
            message::line(format_args!("run file: {}", file.display()));
        }
    }
    if let Some(note) = note {
        message::note(format_args!("{note}"));
    }
    failure.map_or(Ok(()), |e| Err(e.into()))
}

/// A tree for each prompt of a data set.
pub fn many(
    args: &TreeArgs,
    source: &Source,
    output: Option<&Path>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    if args.prompt.is_some() || args.resume.is_some() || args.format == Format::Json {
        usage!("--input has all prompts and makes a table: leave out PROMPT, --resume and --format");
    }
    if args.hash_logits {
        usage!("--hash-logits is for run files, and --input makes a table: leave it out, or use `logitree run`");
    }
    let rows = TreeRows {
        form: args.form.clone(),
        strategy: args.strategy.build()?,
        limits: args.limits(),
        watch: args.watch.clone(),
        paths: args.paths,
    };
    let output = dataset::Output { path: output, force: args.force };
    dataset::run(&rows, source, output, model)
}

/// A new or resumed run.
enum Begun {
    /// A run to explore.
    Going(Box<Exploration>),
    /// A run with nothing left to explore within its budget, its file, and a note that says what the user can do.
    Ended(Box<Run>, PathBuf, String),
}

fn begin(args: &TreeArgs, strategy: Strategy) -> Result<Begun> {
    let prompt = args.prompt.clone().context("no PROMPT")?;
    let text = input::text_argument(&prompt, "PROMPT")?;
    // The path is checked before the model is loaded, so that the user need not wait for the error.
    let destination = destination(args, &text)?;
    let model = open::load(&args.model)?;
    let given = args.form.given(&text);
    model.note_names(&given, "");
    let limits = args.limits();
    let prompt = model.prepare(&given, "")?;
    let exploration = Exploration::begin(&model, &prompt, strategy, &args.watch, &limits, destination)?;
    Ok(Begun::Going(Box::new(exploration)))
}

/// Where the run is written. Without `--output` the name comes from the prompt; it never overwrites a file, because a
/// number is added if the name is taken.
fn destination(args: &TreeArgs, prompt: &str) -> Result<Destination> {
    let Some(path) = &args.output else {
        let stem = slug(prompt);
        output::check_folder(Path::new(&stem))?;
        return Ok(Destination::Free(stem));
    };
    if !args.force && path.as_os_str() != "-" && output::has_content(path) {
        bail!("{} exists: --resume {0} goes on with it, --force overwrites it", path.display());
    }
    let model = args.model.name()?;
    let target = Target::check(path, args.force, &[Path::new(&model)])?;
    Ok(if target.is_stdout() { Destination::Stream(Box::new(terminal::Lines)) } else { Destination::Named(target) })
}

fn resume(args: &TreeArgs, path: &Path) -> Result<Begun> {
    args.strategy.refuse_on_resume()?;
    if import::is_stdin(path) {
        usage!("--resume goes on in a run's file, and standard input is none: name the file");
    }
    let held = Held::open(path)?;
    let mut run = open::run_file(path)?;
    let what = path.display().to_string();
    check_resumable(&what, &run)?;
    let limits = resumed_limits(args, path, &run)?;
    if let Some(reason) = limits.reached(&run.tree, run.seconds) {
        // No model is loaded here, so the check that would refuse another arithmetic is made now.
        if let Some(asked) = args.model.arithmetic.asked() {
            check_arithmetic(&what, &run.header.model, asked)?;
        }
        let note = if run.end.as_ref().is_some_and(|e| e.reason == EndReason::Finished) {
            format!("{} has ended of itself: there is nothing to go on with", path.display())
        } else {
            run.end = Some(end_event(&run.tree, reason, run.seconds));
            used_up(path, &run, reason)
        };
        return Ok(Begun::Ended(Box::new(run), path.into(), note));
    }
    // Without --model, the model that made the run is used.
    let model = match args.model.named() {
        Some(name) => name.to_owned(),
        None if args.model.remote.engines.is_empty() => {
            models::named_by(&what, &run.header.model.name, &open::events())?
        }
        None => args.model.name()?,
    };
    // Without the option, the run keeps its arithmetic. Whether it may have the one asked for is checked below.
    let arithmetic = match args.model.arithmetic.asked() {
        None => arithmetic_of(&what, &run.header.model)?,
        asked => asked,
    };
    let options = ModelOptions {
        threads: args.model.threads,
        backend: args.model.backend.clone(),
        ..ModelOptions::new(model, arithmetic, args.model.remote.clone())
    };
    open::check_kind(&what, &run.header.model, &options.remote)?;
    let model = open::load(&options).with_context(|| format!("the model of {what}"))?;
    Ok(Begun::Going(Box::new(Exploration::resume(&model, held, Some(&limits))?)))
}

/// The limits of a resumed run: its own, except for budgets that are given on the command line.
fn resumed_limits(args: &TreeArgs, path: &Path, run: &Run) -> Result<Limits> {
    let own = Limits::of(run);
    if args.store_top.is_some() && run.header.store_top.is_some() {
        usage!(
            "--store-top cannot be changed on --resume: the steps that {} has were stored as it was begun",
            path.display()
        );
    }
    Ok(Limits {
        max_nodes: args.max_nodes.or(own.max_nodes),
        max_seconds: args.max_seconds.or(own.max_seconds),
        keep: args.store_top.unwrap_or(own.keep),
        hash_logits: own.hash_logits,
    })
}

/// A note that says which budget the run has used up, and that a larger one lets it go on.
fn used_up(path: &Path, run: &Run, reason: EndReason) -> String {
    let (has, flag) = match reason {
        EndReason::MaxNodes => (format!("has {} nodes", run.tree.len()), "--max-nodes"),
        _ => (format!("was explored for {:.1} seconds", run.seconds), "--max-seconds"),
    };
    format!("{} {has}, all that it may: it goes on with --resume and a larger {flag}", path.display())
}

/// Says what the run is of, and the limits that it has although nobody asked for them.
fn announce(exploration: &Exploration, args: &TreeArgs) {
    let (model, header) = (exploration.model(), exploration.header());
    let prompt = text::count(header.prompt.tokens.len(), "token");
    let text = format!("{} · {} · prompt of {prompt}, {}", model.name(), header.engine, model.front());
    message::lines(&terminal::paragraph(&text));
    if args.resume.is_some() {
        return;
    }
    let depth = header.parameters.get("max_depth").filter(|_| header.strategy == "dynamic");
    if let Some(depth) = depth.filter(|_| args.strategy.max_depth.is_none()) {
        message::note(format_args!("depth limit {depth}: --max-depth sets another, and the notebook's is 1000"));
    }
    let nodes = header.limits.get("max_nodes").filter(|_| args.max_nodes.is_none());
    if let Some(nodes) = nodes {
        message::note(format_args!("budget {nodes} nodes: --max-nodes or --max-seconds sets another"));
    }
}

/// The summary as a JSON object, with the run's file. `rate` (nodes per second) is given if the tree was grown just now.
pub fn summary_json(run: &Run, most: usize, file: &Path, rate: Option<f64>) -> Value {
    let mut object = object(run, most, rate);
    object["run"] = json!(file);
    object
}
