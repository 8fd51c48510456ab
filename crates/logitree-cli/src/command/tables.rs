//! The part of `logitree run` that asks about a file of texts: one table for each set of parameters and model.

use super::answers::{self, AnswersArgs};
use super::dataset::DatasetOptions;
use super::generate::{self, LogprobsArgs};
use super::next::{self, NextArgs};
use super::score::{self, ScoreArgs};
use super::tree::{self, TreeArgs};
use crate::options::ModelOptions;
use crate::{message, terminal};
use anyhow::{Context, Result, bail};
use clap::{Args, Command};
use logitree::dataset::{Source, TableFormat};
use logitree::{Model, slug};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What is asked about every text: a command with its options.
enum Ask {
    Score(Box<ScoreArgs>),
    Logprobs(Box<LogprobsArgs>),
    Next(Box<NextArgs>),
    Answers(Box<AnswersArgs>),
    Tree(Box<TreeArgs>),
}

/// A named set of parameters.
struct Set {
    name: String,
    ask: Ask,
}

/// The tables that an experiment asks for.
pub struct Tables {
    source: Source,
    format: TableFormat,
    sets: Vec<Set>,
}

impl Tables {
    /// Reads sets of parameters: each has the name of its `command`, and the command's options by their names with `_` in
    /// place of `-`. Strings of `watch` are added to all.
    ///
    /// # Errors
    /// If a command or an option does not exist, a value is not valid, or two sets have one name.
    pub fn new(source: Source, table: Option<&str>, given: &[Map<String, Value>], watch: &[String]) -> Result<Tables> {
        source.format()?;
        let table = table.unwrap_or("csv");
        let format = TableFormat::of(Path::new(&format!("x.{table}")));
        let format = format.with_context(|| format!("table: there are jsonl, csv and parquet, not {table:?}"))?;
        if given.is_empty() {
            bail!(
                "with `input`, [[parameters]] say what is asked: command = \"score\", \"logprobs\", \"next\", \"answers\" or \"tree\""
            );
        }
        let set = |(i, map)| set(i, map, &source, watch).with_context(|| format!("parameters {}", i + 1));
        let sets = given.iter().enumerate().map(set).collect::<Result<Vec<Set>>>()?;
        let mut files = HashSet::new();
        if let Some(twice) = sets.iter().find(|s| !files.insert(slug(&s.name))) {
            bail!("two [[parameters]] named like {:?} would have one file: rename one", twice.name);
        }
        Ok(Tables { source, format, sets })
    }

    /// Number of tables of a model.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Makes all tables in a folder. One that fails does not keep the others from being made.
    ///
    /// # Errors
    /// If some failed or have bad rows.
    pub fn run(&self, models: &[String], folder: &Path, model: &mut dyn FnMut(&str) -> Result<Model>) -> Result<()> {
        let all = models.len() * self.sets.len();
        let cases = models.iter().flat_map(|model| self.sets.iter().map(move |set| (model, set)));
        let mut bad = 0;
        for (i, (name, set)) in cases.enumerate() {
            if terminal::interrupted() {
                return Ok(());
            }
            let file = folder.join(format!("{}.{}.{}", slug(&set.name), slug(name), self.format.name()));
            message::line(format_args!("{} of {all}: {}", i + 1, file.display()));
            if let Err(e) = set.ask.run(&self.source, &file, || model(name)) {
                message::line(format_args!("{}: {e:#}", file.display()));
                bad += 1;
            }
        }
        if bad > 0 {
            bail!("{bad} of {all} tables have bad rows or failed; the others are done");
        }
        Ok(())
    }
}

impl Ask {
    fn run(&self, source: &Source, file: &Path, model: impl FnOnce() -> Result<Model>) -> Result<()> {
        match self {
            Ask::Score(args) => score::many(args, source, Some(file), model),
            Ask::Logprobs(args) => generate::many(args, source, Some(file), model),
            Ask::Next(args) => next::many(args, source, Some(file), model),
            Ask::Answers(args) => answers::many(args, source, Some(file), model),
            Ask::Tree(args) => tree::many(args, source, Some(file), model),
        }
    }
}

/// The `i`th set of parameters.
fn set(i: usize, given: &Map<String, Value>, source: &Source, watch: &[String]) -> Result<Set> {
    let text = |key: &str| match given.get(key) {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(other) => bail!("`{key}` must be a text, not {other}"),
    };
    let command = text("command")?.unwrap_or_else(|| "tree".into());
    let name = text("name")?.unwrap_or_else(|| format!("{command}{}", i + 1));
    let mut options = vec![command.clone(), format!("--input={}", source.path.display())];
    for (key, value) in given.iter().filter(|(k, _)| !matches!(&k[..], "name" | "command")) {
        options.extend(flags(key, value)?);
    }
    if command != "answers" {
        options.extend(watch.iter().map(|w| format!("--watch={w}")));
    }
    let ask = match &command[..] {
        "score" => Ask::Score(Box::new(parse(&options)?)),
        "logprobs" => Ask::Logprobs(Box::new(parse(&options)?)),
        "next" => Ask::Next(Box::new(parse(&options)?)),
        "answers" => Ask::Answers(Box::new(parse(&options)?)),
        "tree" => Ask::Tree(Box::new(parse(&options)?)),
        other => bail!("command {other:?}: there are score, logprobs, next, answers and tree"),
    };
    Ok(Set { name, ask })
}

/// A parameter as it would be typed.
fn flags(key: &str, value: &Value) -> Result<Vec<String>> {
    let name = key.replace('_', "-");
    let elsewhere = ["output", "force", "format", "resume"].contains(&&name[..])
        || longs::<ModelOptions>().chain(longs::<DatasetOptions>()).any(|long| long == name);
    if elsewhere {
        bail!(
            "`{key}` is no parameter of a set: models, `input` and `table` stand at the head of the file, the rest of what is common to all on the command line"
        );
    }
    Ok(match value {
        Value::Bool(true) => vec![format!("--{name}")],
        Value::Bool(false) => Vec::new(),
        Value::Array(values) => values.iter().map(|v| flags(key, v)).collect::<Result<Vec<_>>>()?.concat(),
        Value::String(text) => vec![format!("--{name}={text}")],
        other => vec![format!("--{name}={other}")],
    })
}

/// The names of options.
fn longs<A: Args>() -> impl Iterator<Item = String> {
    let names: Vec<String> =
        A::augment_args(Command::new("")).get_arguments().filter_map(|a| a.get_long().map(String::from)).collect();
    names.into_iter()
}

/// The arguments of a command.
fn parse<A: Args>(options: &[String]) -> Result<A> {
    let command = A::augment_args(Command::new("logitree"));
    let parsed = command.try_get_matches_from(options).and_then(|m| A::from_arg_matches(&m));
    parsed.map_err(|e| {
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default();
        anyhow::anyhow!("{}", first.strip_prefix("error: ").unwrap_or(first))
    })
}

/// What the head of an experiment's file says of its input.
pub struct Head {
    pub input: PathBuf,
    pub input_format: Option<String>,
    pub field: Option<String>,
    pub id_field: Option<String>,
}

impl Head {
    /// The data set.
    ///
    /// # Errors
    /// If there is no such format.
    pub fn source(self) -> Result<Source> {
        let format =
            self.input_format.map(|f| f.parse().map_err(|e| anyhow::anyhow!("input_format: {e}"))).transpose()?;
        let options = DatasetOptions {
            input: Some(self.input),
            input_format: format,
            field: self.field,
            id_field: self.id_field,
        };
        options.source()?.context("internal error: no input")
    }
}
