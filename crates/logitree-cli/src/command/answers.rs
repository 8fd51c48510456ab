//! `logitree answers`: how likely each answer is, over all continuations.

use crate::options::{self, Format, ModelOptions, PromptOptions};
use crate::{open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::answers::{AnswerOptions, Answers, AnswersEnd, Reader};
use logitree::export::text::{count, percent};
use logitree::visible::visible;
use logitree::{Model, Prompt};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

const EXAMPLES: &str = "Examples:
  logitree answers \"The capital of India is\" --choices \"Delhi|New Delhi|Mumbai\"
  logitree answers \"Q: What is 2+2? A:\" --pattern \"([0-9]+)\" --max-seconds 20
  logitree answers \"Is water wet?\" --choices \"yes|no\" --normalize
  logitree answers \"The capital of India is\" --choices \"Delhi|Mumbai\" --direct

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
    pub fn reader(&self) -> Result<Reader> {
        Ok(Reader::of(self.choices.as_deref(), self.pattern.as_deref(), self.normalize)?)
    }
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AnswersArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    #[command(flatten)]
    pub asked: AskedOptions,
    /// Score each choice's own text instead of exploring
    #[arg(long, conflicts_with = "pattern")]
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
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: AnswersArgs) -> Result<()> {
    let reader = args.asked.reader()?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let model = open::load(&args.model)?;
    model.note_names(&given, "");
    let prompt = model.prepare(&given, "")?;
    if args.direct {
        return direct(&args, &model, &reader.names(), &prompt);
    }
    let options = AnswerOptions {
        tolerance: args.tolerance,
        max_depth: args.max_depth,
        max_time: Duration::try_from_secs_f64(args.max_seconds).unwrap_or(Duration::MAX),
        max_nodes: args.max_nodes,
        batch: args.batch,
    };
    report(&args, &model, &model.answers(&prompt, &reader, &options)?)
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
        let answers: Vec<_> =
            bounds.iter().map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper })).collect();
        let object = json!({
            "answers": answers,
            "no_answer": ledger.none(),
            "undecided": ledger.undecided(),
            "winner": winner.map(|w| w.answer),
            "ended_by": ended_by,
            "steps": steps,
            "nodes": nodes,
            "seconds": seconds,
            "model": model.name(),
            "engine": model.engine(),
        });
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

/// The texts of choices as they follow a prompt. In plain text a space stands between prompt and answer, so one is added
/// if the prompt does not end with one.
pub fn direct_texts(names: &[String], prompt: &str, chat: bool) -> Vec<String> {
    let space = if prompt.ends_with(char::is_whitespace) || chat { "" } else { " " };
    names.iter().map(|n| format!("{space}{n}")).collect()
}

/// Probability of each choice's own text right after the prompt.
fn direct(args: &AnswersArgs, model: &Model, names: &[String], prompt: &Prompt) -> Result<()> {
    let texts = direct_texts(names, &prompt.text, args.prompt.form.chat);
    let scored = model.direct(prompt, &texts)?;
    let total: f64 = scored.iter().map(|(_, w)| w.logprob.exp()).sum();
    let mut rows: Vec<(&String, usize, f64)> =
        texts.iter().zip(&scored).map(|(t, (ids, w))| (t, ids.len(), w.logprob)).collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    if args.format == Format::Json {
        let answers: Vec<_> = rows
            .iter()
            .map(|(t, n, l)| json!({ "text": t, "tokens": n, "logprob": l, "share": l.exp() / total }))
            .collect();
        let object = json!({ "answers": answers, "model": model.name(), "engine": model.engine() });
        return terminal::print(&format!("{object:#}\n"));
    }
    let mut out = format!("{:>12} {:>12} {:>14} {:>7}  text\n", "probability", "of these", "logprob (nats)", "tokens");
    for (t, n, l) in rows {
        let _ = writeln!(
            out,
            "{:>12} {:>12} {l:>14.4} {n:>7}  {}",
            percent(l.exp()),
            percent(l.exp() / total),
            visible(t).replace(' ', "·")
        );
    }
    terminal::print(&out)
}
