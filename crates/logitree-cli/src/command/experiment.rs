//! `logitree run`: prompts × parameters × models.

use super::grow::explore;
use super::strategy;
use super::tables::{Head, Tables};
use crate::options::{ArithmeticOptions, FormOptions, ModelOptions, RemoteOptions, TemplateArg};
use crate::{message, open, settings, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree::export::experiment::{self, Summary};
use logitree::lock::Folder;
use logitree::output::Target;
use logitree::{
    Destination, Exploration, Explored, Given, Held, Limits, Model, arithmetic_of, check_text, import, models, slug,
};
use logitree_core::explore::{DynamicParameters, Keep, Strategy};
use logitree_core::run::{EndReason, Run};
use logitree_engine::{Arithmetic, Backend};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree run examples/notebook.toml
  logitree run experiment.toml -o results --threads 2

The file (TOML):
  models = [\"gemma-3-270m\"]            # default: the default model
  watch = [\" Yes\", \" No\"]              # optional
  store_top = \"10\"                     # or \"p=0.999\"
  hash_logits = true                   # optional: a hash of all logits per step
  max_seconds = 60                     # per run; max_nodes likewise
  [[prompts]]
  text = \"The capital of India is\"     # chat = true, system = \"…\", special = true optional
  [[parameters]]
  name = \"wide\"
  strategy = \"dynamic\"                 # or best-first, beam, sample
  max_depth = 30                       # any parameter of the strategy

Or, with a file of texts in place of prompts, every text is asked about:
  input = \"questions.csv\"              # field = \"text\", id_field, input_format; as for --input
  table = \"parquet\"                    # or csv, jsonl
  [[parameters]]
  name = \"surprise\"
  command = \"score\"                    # or logprobs, next, answers, tree
  by = \"word\"                          # any option of the command

Each set of parameters then gets a table per model, named after both, as by the command itself with --input and -o.

Each combination of prompts and parameters gets a run file in the output folder; table.csv and table.parquet have a row for each. Started again, it \
goes on where it stopped. Rows of other experiments' run files in the folder stay, and a run that fails does not replace \
the row of one that did not.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The experiment
    #[arg(value_name = "EXPERIMENT.toml")]
    pub file: PathBuf,
    /// Folder for run files and tables [default: named after the experiment]
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// Threads to use [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    #[command(flatten)]
    pub arithmetic: ArithmeticOptions,
    #[command(flatten)]
    pub remote: RemoteOptions,
}

/// The content of an experiment's TOML file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    prompts: Vec<PromptSpec>,
    /// A file of texts in place of prompts: each set of parameters makes a table.
    input: Option<PathBuf>,
    input_format: Option<String>,
    field: Option<String>,
    id_field: Option<String>,
    table: Option<String>,
    #[serde(default)]
    parameters: Vec<Map<String, Value>>,
    #[serde(default)]
    watch: Vec<String>,
    store_top: Option<String>,
    /// Whether the hash of all logits of each step is kept.
    #[serde(default)]
    hash_logits: bool,
    max_nodes: Option<usize>,
    max_seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptSpec {
    text: String,
    #[serde(default)]
    chat: bool,
    system: Option<String>,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    template_args: serde_json::Map<String, serde_json::Value>,
}

impl From<&PromptSpec> for Given {
    fn from(spec: &PromptSpec) -> Given {
        let PromptSpec { text, chat, system, special, template_args } = spec;
        let template_args = template_args.iter().map(|(name, value)| TemplateArg(name.clone(), value.clone()));
        let form = FormOptions {
            chat: *chat,
            system: system.clone(),
            special: *special,
            template_args: template_args.collect(),
        };
        form.given(text)
    }
}

/// A named set of parameters.
struct Setting {
    name: String,
    strategy: Strategy,
}

/// One combination of model, prompt and parameters, with its run file.
struct Case<'a> {
    model: &'a str,
    prompt: &'a PromptSpec,
    setting: &'a Setting,
    file: PathBuf,
}

/// Largest experiment file that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Reads the file's text. Reading stops at [`MOST_BYTES`], because a device may have no end.
fn read(path: &Path) -> Result<String> {
    use std::io::Read;
    let mut text = Vec::new();
    import::open_file(path)?.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        bail!("the file is larger than {} MiB: an experiment is a few lines of TOML", MOST_BYTES >> 20);
    }
    Ok(String::from_utf8(text)?)
}

/// What a file asks for, checked as far as it can be without its models.
struct Plan {
    experiment: Experiment,
    settings: Vec<Setting>,
    limits: Limits,
    /// The tables that are made of a file of texts, if there is one.
    tables: Option<Tables>,
}

fn plan(text: &str) -> Result<Plan> {
    // The parser's message shows the line and the column.
    let experiment: Experiment = toml::from_str(text).map_err(|e| anyhow::anyhow!("{e}"))?;
    let tables = tables(&experiment)?;
    let settings = if tables.is_some() { Vec::new() } else { settings(&experiment.parameters)? };
    let keep = experiment.store_top.as_deref().map_or(Ok(Keep::Top(10)), strategy::keep);
    let keep = keep.map_err(|e| anyhow::anyhow!("store_top: {e}"))?;
    let Experiment { max_nodes, max_seconds, hash_logits, .. } = experiment;
    let limits = Limits { max_nodes, max_seconds, keep, hash_logits };
    limits.check().map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(Plan { experiment, settings, limits, tables })
}

/// The tables that an experiment with a file of texts asks for.
fn tables(experiment: &Experiment) -> Result<Option<Tables>> {
    let Experiment { input, input_format, field, id_field, table, prompts, .. } = experiment;
    let Some(input) = input.clone() else {
        let given = [("input_format", input_format), ("field", field), ("id_field", id_field), ("table", table)];
        if let Some((name, _)) = given.iter().find(|(_, given)| given.is_some()) {
            bail!("`{name}` is about a file with many texts, and there is no `input`");
        }
        return Ok(None);
    };
    if !prompts.is_empty() {
        bail!("`input` and [[prompts]] exclude each other: put the prompts into the file");
    }
    let limits = [
        ("store_top", experiment.store_top.is_some()),
        ("hash_logits", experiment.hash_logits),
        ("max_nodes", experiment.max_nodes.is_some()),
        ("max_seconds", experiment.max_seconds.is_some()),
    ];
    if let Some((name, _)) = limits.iter().find(|(_, given)| *given) {
        bail!("`{name}` is about trees: with `input` it belongs into [[parameters]]");
    }
    let (input_format, field, id_field) = (input_format.clone(), field.clone(), id_field.clone());
    let source = Head { input, input_format, field, id_field }.source()?;
    Tables::new(source, table.as_deref(), &experiment.parameters, &experiment.watch).map(Some)
}

/// How many runs a file asks for.
///
/// # Errors
/// If the text is not a valid experiment.
pub fn runs_of(text: &str) -> Result<usize> {
    let Plan { experiment, settings, tables, .. } = plan(text)?;
    if let Some(tables) = tables {
        return Ok(tables.len() * experiment.models.len().max(1));
    }
    Ok(cases(&experiment, &settings, Path::new("")).len())
}

pub fn run(args: RunArgs) -> Result<()> {
    let name = args.file.display();
    let text = read(&args.file).with_context(|| name.to_string())?;
    let Plan { mut experiment, settings, limits, tables } = plan(&text).with_context(|| name.to_string())?;
    if experiment.models.is_empty() {
        experiment.models.push(match args.remote.engines.is_empty() {
            true => settings::load()?.model.0,
            false => open::connect(&args.remote)?.name().into(),
        });
    }
    let stem = args.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = args.output.clone().unwrap_or_else(|| stem.into());
    let asked = args.arithmetic.asked();
    let mut models = Models { threads: args.threads, asked, remote: args.remote.clone(), model: None };
    if let Some(tables) = tables {
        let folder = Folder::hold(&folder)?;
        let arithmetic = models.arithmetic();
        return tables.run(&experiment.models, folder.path(), &mut |name| Ok(models.get(name, arithmetic)?.clone()));
    }
    let cases = cases(&experiment, &settings, &folder);
    if cases.is_empty() {
        bail!("{name}: there are no prompts");
    }
    let folder = Folder::hold(&folder)?;
    let folder = folder.path();
    // The table may have rows from earlier experiments and starts. Each stays until this start has a better one for its
    // case.
    let mut table = experiment::read(folder)?;
    terminal::catch_interrupts();
    let mut rows: Vec<Summary> = Vec::new();
    let mut written = Ok(());
    for (i, case) in cases.iter().enumerate() {
        if terminal::interrupted() {
            break;
        }
        let label = format!("{} of {}: ", i + 1, cases.len());
        let (row, outcome) = match case_row(case, &mut models, &experiment.watch, &limits, &label) {
            Ok((row, done)) => (row, if done { "already done".into() } else { String::new() }),
            Err(e) => (failed(case, &format!("{e:#}")), format!("failed: {e:#}")),
        };
        let kept = if experiment::put(&mut table, &row) { "" } else { "; the table keeps its earlier row" };
        message::line(format_args!("{label}{} {outcome}{kept}", case.file.display()));
        rows.push(row);
        // The table is written after every case, so that it shows how far the experiment is. If it cannot be written
        // now (because the disk is full), the other cases are run all the same: only the last outcome counts.
        written = experiment::write(&table, folder);
        if let Err(e) = &written {
            message::note(format_args!("{e:#}"));
        }
    }
    let bad = rows.iter().filter(|r| r.error.is_some()).count();
    terminal::print(&experiment::text(&rows, terminal::style()))?;
    written?;
    message::line(format_args!("table: {}", folder.join(experiment::CSV).display()));
    if bad > 0 {
        bail!("{bad} of {} runs failed; the others are done", rows.len());
    }
    Ok(())
}

/// Every combination with its run file. If names would be equal, a number is added.
fn cases<'a>(experiment: &'a Experiment, settings: &'a [Setting], folder: &Path) -> Vec<Case<'a>> {
    let mut taken = HashSet::new();
    let mut cases = Vec::new();
    for model in &experiment.models {
        for prompt in &experiment.prompts {
            for setting in settings {
                let base = format!("{}.{}.{}", slug(&prompt.text), slug(&setting.name), slug(model));
                let mut name = format!("{base}.run.jsonl");
                for n in 2.. {
                    if taken.insert(name.clone()) {
                        break;
                    }
                    name = format!("{base}-{n}.run.jsonl");
                }
                cases.push(Case { model, prompt, setting, file: folder.join(name) });
            }
        }
    }
    cases
}

/// The parameter sets; one default set if there are none.
fn settings(given: &[Map<String, Value>]) -> Result<Vec<Setting>> {
    if given.is_empty() {
        return Ok(vec![Setting { name: "default".into(), strategy: Strategy::Dynamic(DynamicParameters::default()) }]);
    }
    let one = |(i, map)| setting(i, map).with_context(|| format!("parameters {}", i + 1));
    let settings = given.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
    let mut names = HashSet::new();
    if let Some(twice) = settings.iter().find(|s| !names.insert(&s.name[..])) {
        bail!("two [[parameters]] are named {:?}: their rows could not be told apart; rename one", twice.name);
    }
    Ok(settings)
}

/// The `i`th parameter set: the strategy's defaults with the given parameters in their place.
fn setting(i: usize, given: &Map<String, Value>) -> Result<Setting> {
    let text = |key: &str| match given.get(key) {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(other) => bail!("`{key}` must be a text, not {other}"),
    };
    let strategy = text("strategy")?.unwrap_or_else(|| "dynamic".into());
    let own = given.iter().filter(|(k, _)| !matches!(&k[..], "name" | "strategy"));
    let strategy = Strategy::with(&strategy, &own.map(|(k, v)| (k.clone(), v.clone())).collect())?;
    Ok(Setting { name: text("name")?.unwrap_or_else(|| format!("{}{}", strategy.name(), i + 1)), strategy })
}

/// The run of a case that an earlier start of the experiment left. It is an error if the file holds a run with other
/// settings.
fn earlier(case: &Case<'_>, watch: &[String], limits: &Limits, asked: Option<Arithmetic>) -> Result<Option<Run>> {
    let file = case.file.display();
    match std::fs::read(&case.file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| file.to_string()),
        // The process was killed before the first line was written completely, so there is nothing to resume.
        Ok(bytes) if !bytes.contains(&b'\n') => return Ok(None),
        Ok(_) => {}
    }
    let run = open::run_file(&case.file)?;
    let h = &run.header;
    let watched: Vec<&String> = h.watch.iter().map(|w| &w.text).collect();
    // If the user asks for no arithmetic, a run in any exact arithmetic is accepted.
    let same_arithmetic = match (asked, arithmetic_of(&file.to_string(), &h.model)?) {
        (None, made_in) => made_in != Some(Arithmetic::Bits8),
        // Weights in f32 or f16 are multiplied in f32, whatever was asked for.
        (Some(Arithmetic::Bf16x3), Some(Arithmetic::F32)) => {
            !h.model.dtype.contains('Q') && !h.model.dtype.contains("BF16")
        }
        (asked, made_in) => made_in == asked,
    };
    let same = h.model.name == case.model
        && same_arithmetic
        && Given::from(case.prompt).is_of(&h.prompt)
        && h.strategy().is_ok_and(|strategy| strategy == case.setting.strategy)
        && h.limits == limits.with_default(&case.setting.strategy).json()
        && h.store_top.is_none_or(|keep| keep == limits.keep)
        && h.hash_logits == limits.hash_logits
        && watched == watch.iter().collect::<Vec<_>>();
    if !same {
        bail!("{file} was made with other settings: remove it, or choose another folder with -o");
    }
    Ok(Some(run))
}

/// The table's row of a run that needs no more work: it is finished or has used up its budget. `None` for others.
fn finished(case: &Case<'_>, run: &Run) -> Option<Summary> {
    let done = |r: EndReason| matches!(r, EndReason::Finished | EndReason::MaxNodes | EndReason::MaxSeconds);
    let end = run.end.as_ref().filter(|e| done(e.reason))?;
    let rate = run.tree.len() as f64 / end.seconds.max(1e-9);
    Some(Summary::of(run, case.model, &case.setting.name, &case.file, rate))
}

fn failed(case: &Case<'_>, error: &str) -> Summary {
    Summary::failed(&case.prompt.text, case.model, &case.setting.name, &case.file, error)
}

/// A model's name, and in which arithmetic it is to run.
type Key = (String, Option<Arithmetic>);

/// The models of an experiment, one at a time in memory.
struct Models {
    threads: Option<u16>,
    /// The arithmetic that the user asked for.
    asked: Option<Arithmetic>,
    remote: RemoteOptions,
    /// The model that was used last, or why it could not be loaded.
    model: Option<(Key, Result<Model, String>)>,
}

impl Models {
    /// The arithmetic of new runs. `None` for servers, unless the user asked for one.
    fn arithmetic(&self) -> Option<Arithmetic> {
        let local = self.remote.engines.is_empty();
        self.asked.or_else(|| local.then(|| Backend::detect().arithmetic()))
    }

    fn get(&mut self, name: &str, arithmetic: Option<Arithmetic>) -> Result<&Model> {
        let key = (name.to_string(), arithmetic);
        if self.model.as_ref().is_none_or(|(last, _)| *last != key) {
            drop(self.model.take());
            let mut remote = self.remote.clone();
            let mut model = name;
            if !remote.engines.is_empty() {
                remote.engine_model = Some(name.into());
                model = models::DEFAULT;
            }
            let options = ModelOptions { threads: self.threads, ..ModelOptions::new(model.into(), arithmetic, remote) };
            self.model = Some((key, open::load(&options).map_err(|e| format!("{e:#}"))));
        }
        match &self.model {
            Some((_, Ok(model))) => Ok(model),
            Some((_, Err(e))) => bail!("{e}"),
            None => bail!("internal error: no model"),
        }
    }
}

/// Runs or resumes a case and returns its row. The second value is true if the case was already done.
fn case_row(
    case: &Case<'_>,
    models: &mut Models,
    watch: &[String],
    limits: &Limits,
    label: &str,
) -> Result<(Summary, bool)> {
    let earlier = earlier(case, watch, limits, models.asked)?;
    if let Some(row) = earlier.as_ref().and_then(|run| finished(case, run)) {
        return Ok((row, true));
    }
    check_text(&case.prompt.text, "the prompt")?;
    // A resumed run keeps its arithmetic, so that all of its numbers agree.
    let arithmetic = match &earlier {
        Some(run) => arithmetic_of(&case.file.display().to_string(), &run.header.model)?,
        None => models.arithmetic(),
    };
    let model = models.get(case.model, arithmetic)?;
    if earlier.is_none() {
        model.note_names(&Given::from(case.prompt), "");
    }
    let exploration = match earlier {
        Some(_) => Exploration::resume(model, Held::open(&case.file)?, Some(limits))?,
        None => {
            // An existing file may be overwritten: it has no complete line, or `earlier` would have returned its run.
            let file = Destination::Named(Target::check(&case.file, true, &[])?);
            let prompt = model.prepare(&case.prompt.into(), "")?;
            Exploration::begin(model, &prompt, case.setting.strategy, watch, limits, file)?
        }
    };
    let Explored { run, rate, failure } = explore(exploration, label)?;
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok((Summary::of(&run, case.model, &case.setting.name, &case.file, rate), false)),
    }
}
