//! `logitree answers`: how likely each answer is, over all continuations.

use super::answers_rows::{self, AnswersRows, object};
use super::dataset::{self, DatasetOptions};
use crate::options::{self, FormOptions, Format, ModelOptions};
use crate::usage::usage;
use crate::{input, open, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree::answers::{AnswerOptions, Answers, AnswersEnd, Reader};
use logitree::dataset::Source;
use logitree::export::text::{count, percent};
use logitree::visible::visible;
use logitree::{Model, Prompt};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "Examples:
  logitree answers \"The capital of India is\" --choices \"Delhi|New Delhi|Mumbai\"
  logitree answers \"Q: What is 2+2? A:\" --pattern \"([0-9]+)\" --max-seconds 20
  logitree answers \"Is water wet?\" --choices \"yes|no\" --normalize
  logitree answers \"The capital of India is\" --choices \"Delhi|Mumbai\" --direct
  logitree answers --input questions.csv --choices \"yes|no\" --normalize -o answers.csv

Explores the most likely continuations first. As soon as a text so far fixes the answer, all of its probability \
counts for it. Shown are lower and upper bounds of each answer's probability over ALL continuations; they \
tighten until the winner is certain (or, with --tolerance, until they are as tight as that) or a budget ends.

How choices are told apart: a continuation answers with a choice if, after white space, it begins with \
it and the word ends there; of several that fit, the longest.";

/// Which answers are looked for.
#[derive(Args)]
pub struct AskedOptions {
    /// Answers that a continuation may begin with, separated by |
    #[arg(long, value_name = "A|B|C", required_unless_present = "pattern", conflicts_with = "pattern")]
    pub choices: Option<String>,
    /// A regular expression: its first group (or match) in the continuation is the answer
    #[arg(long, value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Take answers that differ only in case or in punctuation and white space in front as the same
    #[arg(long)]
    pub normalize: bool,
}

impl AskedOptions {
    /// All of it as JSON.
    fn json(&self) -> Value {
        json!({ "choices": self.choices, "pattern": self.pattern, "normalize": self.normalize })
    }

    pub fn reader(&self) -> Result<Reader> {
        Ok(Reader::of(self.choices.as_deref(), self.pattern.as_deref(), self.normalize)?)
    }
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AnswersArgs {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT", required_unless_present = "input", conflicts_with = "input")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub form: FormOptions,
    #[command(flatten)]
    pub asked: AskedOptions,
    /// Score each choice's own text instead of exploring
    #[arg(long, conflicts_with_all = ["pattern", "max_depth", "max_seconds", "max_nodes", "batch"])]
    pub direct: bool,
    /// Go on until no bound is wider than this [default: until the winner is certain; with one choice, 0.01]
    #[arg(long, value_parser = options::probability, value_name = "PROB", conflicts_with = "direct")]
    pub tolerance: Option<f64>,
    /// Do not look further than this many tokens
    #[arg(long, default_value_t = 64, value_parser = options::at_least_one, value_name = "N")]
    pub max_depth: usize,
    /// End after this many seconds
    #[arg(long, default_value_t = 30.0, value_parser = options::non_negative, value_name = "SECONDS")]
    pub max_seconds: f64,
    /// End when this many paths have been looked at
    #[arg(long, default_value_t = 1_000_000, value_parser = options::at_least_one, value_name = "N")]
    pub max_nodes: usize,
    /// Nodes expanded together
    #[arg(long, default_value_t = 24, value_parser = options::at_least_one, value_name = "N")]
    pub batch: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t, conflicts_with = "input")]
    pub format: Format,
    /// With --input, the table; `-` prints JSON Lines
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing table
    #[arg(long, requires = "output")]
    pub force: bool,
    #[command(flatten)]
    pub dataset: DatasetOptions,
    #[command(flatten)]
    pub model: ModelOptions,
}

impl AnswersArgs {
    /// How far to look.
    fn options(&self) -> AnswerOptions {
        AnswerOptions {
            tolerance: self.tolerance,
            max_depth: self.max_depth,
            max_time: Duration::try_from_secs_f64(self.max_seconds).unwrap_or(Duration::MAX),
            max_nodes: self.max_nodes,
            batch: self.batch,
        }
    }
}

pub fn run(args: AnswersArgs) -> Result<()> {
    if let Some(source) = args.dataset.source()? {
        return many(&args, &source, args.output.as_deref(), dataset::load(&args.model));
    }
    if args.output.is_some() {
        usage!("--output is for the table of many prompts (--input)");
    }
    let reader = args.asked.reader()?;
    terminal::catch_interrupts();
    let prompt = args.prompt.as_deref().context("no PROMPT")?;
    let given = args.form.given(&input::text_argument(prompt, "PROMPT")?);
    let model = open::load(&args.model)?;
    model.note_names(&given, "");
    let prompt = model.prepare(&given, "")?;
    if args.direct {
        return direct(&args, &model, &reader.names(), &prompt);
    }
    report(&args, &model, &model.answers(&prompt, &reader, &args.options())?)
}

/// The answers to every prompt of a data set.
pub fn many(
    args: &AnswersArgs,
    source: &Source,
    output: Option<&Path>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    let output = dataset::Output { path: output, force: args.force };
    let rows = AnswersRows {
        form: args.form.clone(),
        reader: args.asked.reader()?,
        asked: args.asked.json(),
        options: args.options(),
        direct: args.direct,
    };
    dataset::run(&rows, source, output, model)
}

/// Why the search ended, in words.
fn reason(end: AnswersEnd) -> &'static str {
    match end {
        AnswersEnd::Tolerance => "the bounds are within the tolerance",
        AnswersEnd::Winner => "the winner is certain",
        AnswersEnd::MaxSeconds => "--max-seconds",
        AnswersEnd::MaxNodes => "--max-nodes",
        AnswersEnd::Exhausted => "nothing is left to explore within --max-depth",
        AnswersEnd::Interrupted => "interrupted",
    }
}

fn report(args: &AnswersArgs, model: &Model, found: &Answers) -> Result<()> {
    let Answers { ledger, steps, nodes, seconds, ended_by } = found;
    let bounds = ledger.bounds();
    // With a single choice there is no other to be ahead of, so no winner is named.
    let alone = args.asked.choices.is_some() && bounds.len() == 1;
    let winner = ledger.winner().filter(|_| !alone);
    if args.format == Format::Json {
        let mut object = Value::Object(object(found, alone));
        object["model"] = json!(model.name());
        object["engine"] = json!(model.engine());
        return terminal::print(&format!("{object:#}\n"));
    }
    let style = terminal::style();
    let mut out = String::new();
    let _ = writeln!(out, "{}", style.paint("1", &format!("{:>12} {:>12}  answer", "at least", "at most")));
    const LISTED: usize = 20;
    for b in bounds.iter().take(LISTED) {
        let row = format!("{:>12} {:>12}  {}", percent(b.lower), percent(b.upper), visible(&b.answer));
        let won = winner.as_ref().is_some_and(|w| w.answer == b.answer);
        let _ = writeln!(out, "{}", if won { style.paint("32", &row) } else { row });
    }
    if bounds.len() > LISTED {
        let rest: f64 = bounds[LISTED..].iter().map(|b| b.lower).sum();
        let _ = writeln!(out, "{:>12} {:>12}  in {} more answers", percent(rest), "", bounds.len() - LISTED);
    }
    let _ =
        writeln!(out, "{:>12} {:>12}  no answer", percent(ledger.none()), percent(ledger.none() + ledger.undecided()));
    let _ = writeln!(out, "{:>12} {:>12}  undecided\n", percent(ledger.undecided()), "");
    match winner {
        Some(w) => {
            let others = if args.asked.choices.is_some() { "choices" } else { "answers" };
            let mut text = format!("{:?} is ahead of the other {others} for certain", w.answer);
            if ledger.none() > w.upper {
                text.push_str(", but no answer at all is likelier");
            }
            out.push_str(&terminal::paragraph(&text));
        }
        None if alone => {}
        None => out.push_str("it is not certain which answer is ahead\n"),
    }
    let looked =
        format!("{} of the model, {} looked at, in {seconds:.1} s", count(*steps, "step"), count(*nodes, "path"));
    out.push_str(&terminal::paragraph(&format!(
        "ended: {}; {looked}; {}, {}",
        reason(*ended_by),
        model.name(),
        model.front()
    )));
    terminal::print(&out)
}

/// Probability of each choice's own text right after the prompt.
fn direct(args: &AnswersArgs, model: &Model, names: &[String], prompt: &Prompt) -> Result<()> {
    let answers = answers_rows::direct(model, prompt, names, args.form.chat)?;
    if args.format == Format::Json {
        let object = json!({ "answers": answers, "model": model.name(), "engine": model.engine() });
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut out = format!("{:>12} {:>12} {:>14} {:>7}  text\n", "probability", "of these", "logprob (nats)", "tokens");
    for row in answers {
        let [logprob, share] = ["logprob", "share"].map(|name| row[name].as_f64().unwrap_or(f64::NEG_INFINITY));
        let _ = writeln!(
            out,
            "{:>12} {:>12} {logprob:>14.4} {:>7}  {}",
            percent(logprob.exp()),
            percent(share),
            row["tokens"],
            visible(row["text"].as_str().unwrap_or_default()).replace(' ', "·")
        );
    }
    terminal::print(&out)
}
