//! `logitree forks`: where a text might have gone another way, and whether it would have mattered.

use super::layers::{self, ForkLayers, LayerOptions};
use crate::options::{self, Format, ModelOptions, PromptOptions};
use crate::usage::usage;
use crate::{input, message, open, terminal};
use anyhow::Result;
use clap::Args;
use logitree::answers::Pattern;
use logitree::export;
use logitree::export::layers::Place;
use logitree::export::text::{percent, shorten};
use logitree::output::{Form, Target};
use logitree::visible::visible;
use logitree::{ForkOptions, Forks, Model, Tested};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  logitree forks \"The capital of India is\" -n 24
  logitree forks \"Q: 12 * 12 = ? A:\" --pattern \"([0-9]+)\" --top 12
  logitree forks \"The sky is\" --text \" blue because of scattering.\"
  logitree forks \"The capital of India is\" -n 24 --top 4 --layers

Ranks the positions of a continuation by how little they were decided (the gap between the two most likely \
tokens), puts the runner-up in the place of the token at each of the first, finishes greedily, and \
says whether that mattered: with --pattern, whether the answer changes; without, whether the words become the \
continuation's again.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ForksArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    /// Tokens of a continuation, at most
    #[arg(short = 'n', long, default_value_t = 64, value_parser = options::at_least_one, value_name = "N")]
    pub max_new_tokens: usize,
    /// Look at this continuation instead of the greedy one
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// A regular expression: its first group (or match) in a continuation is its answer [default: forks are compared by
    /// whether their words become the same again]
    #[arg(long, value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Forks to test
    #[arg(long, default_value_t = 8, value_parser = options::at_least_one, value_name = "N")]
    pub top: usize,
    #[command(flatten)]
    pub layers: LayerOptions,
    /// With --layers, a .csv file to write: a row per fork, token and layer; `-` prints it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: ForksArgs) -> Result<()> {
    if args.output.is_some() && !args.layers.layers {
        usage!("--output is for a table of layers: give --layers, too");
    }
    args.layers.check(&args.model)?;
    let pattern = args.pattern.as_deref().map(Pattern::new).transpose()?;
    terminal::catch_interrupts();
    let prompt = args.prompt.read()?;
    if let Some(text) = &args.text {
        input::check_argument(text, "--text")?;
    }
    let output = args.output.as_deref().map(|path| layers::output(path, args.force, &[])).transpose()?;
    let model = open::load(&args.model)?;
    model.note_names(&prompt, args.text.as_deref().unwrap_or_default());
    let options = ForkOptions { max_new_tokens: args.max_new_tokens, top: args.top, layers: args.layers.layers };
    let found = model.forks(&prompt, args.text.as_deref(), pattern.as_ref(), &options)?;
    let layers = looked_into(&args, &found);
    if let Some(target) = &output {
        write(&model, &layers, target)?;
        if target.is_stdout() {
            return Ok(());
        }
    }
    report(&args, &model, &found, &layers)
}

/// The forks whose layers are known. Says so if some were wanted and are not.
fn looked_into<'a>(args: &ForksArgs, found: &'a Forks) -> Vec<ForkLayers<'a>> {
    let layers = |r: &'a Tested| r.layers.as_ref().map(|found| ForkLayers { place: r.fork.position + 1, found });
    let layers: Vec<ForkLayers<'_>> = found.tested.iter().filter_map(layers).collect();
    if args.layers.layers && layers.len() < found.tested.len() {
        message::line(format_args!("interrupted: layers of {} of {} forks", layers.len(), found.tested.len()));
    }
    layers
}

fn write(model: &Model, layers: &[ForkLayers<'_>], target: &Target) -> Result<()> {
    let places: Vec<Place<'_>> = layers.iter().map(|f| Place { name: f.place.to_string(), found: f.found }).collect();
    Ok(target.write(Form::Table, |out| Ok(export::layers::table(model, &places).csv(out)?))?)
}

/// How many forks changed the answer (or, without a pattern, never came back to the same words), as a sentence.
fn verdict(pattern: bool, original: Option<&str>, rows: &[Tested]) -> String {
    let flips = rows.iter().filter(|r| r.flips).count();
    let tested = rows.iter().filter(|r| r.fork.finished).count();
    let mut text = match (pattern, tested) {
        (true, 1) => format!("{flips} of 1 fork changes the answer"),
        (true, n) => format!("{flips} of {n} forks change the answer"),
        (false, 1) => format!("{flips} of 1 fork stays apart"),
        (false, n) => format!("{flips} of {n} forks stay apart"),
    };
    if tested < rows.len() {
        text.push_str(&format!("; {} unfinished", rows.len() - tested));
    }
    if pattern && original.is_none() {
        let forks = if rows.iter().all(|r| r.answer.is_none()) { ", nor in any fork" } else { "" };
        text.push_str(&format!("; --pattern matches nowhere in the continuation{forks}"));
    }
    text
}

fn report(args: &ForksArgs, model: &Model, found: &Forks, layers: &[ForkLayers<'_>]) -> Result<()> {
    let Forks { positions, text, answer: original, tested: rows } = found;
    let pattern = args.pattern.is_some();
    let at = |r: &Tested| &positions[r.fork.position];
    if args.format == Format::Json {
        let forks: Vec<_> = rows
            .iter()
            .map(|r| {
                let mut fork = json!({
                    "position": r.fork.position,
                    "token": model.token(at(r).token.id),
                    "prob": at(r).token.prob(),
                    "other": model.token(at(r).other.id),
                    "other_prob": at(r).other.prob(),
                    "gap": at(r).gap,
                    "entropy": at(r).entropy,
                    "finished": r.fork.finished,
                    "flips": r.flips,
                    "answer": r.answer,
                    "rejoins": r.rejoins,
                    "text": r.text,
                });
                if let Some(found) = &r.layers {
                    fork["layers"] = layers::json(model, found);
                    fork["layers"]["between"] = json!(found.decided_between(0, 1));
                }
                fork
            })
            .collect();
        let object = json!({
            "text": text, "answer": original, "tokens": positions.len(), "forks": forks,
            "flips": rows.iter().filter(|r| r.flips).count(),
            "unfinished": rows.iter().filter(|r| !r.fork.finished).count(), "model": model.name(), "engine": model.engine(),
        });
        return terminal::print(&format!("{object:#}\n"));
    }
    let style = terminal::style();
    let word = |id| visible(&model.text(id)).replace(' ', "·");
    let mut out = format!("{}\n\n", visible(text));
    if pattern {
        let _ = writeln!(out, "answer: {}\n", original.as_deref().map_or("none".into(), visible));
    }
    let head = format!(
        "{:>4}  {:>7} {:>8}  {:<32}  {}",
        "#",
        "gap",
        "entropy",
        "token → runner-up",
        if pattern { "answer" } else { "words" }
    );
    let _ = writeln!(out, "{}", style.paint("1", &head));
    let room = style.width.saturating_sub(8).max(20);
    let sign = model.exactness().sign();
    for r in rows {
        let swap = format!(
            "{} {} → {} {}",
            shorten(&word(at(r).token.id), 10),
            percent(at(r).token.prob()),
            shorten(&word(at(r).other.id), 10),
            percent(at(r).other.prob())
        );
        let verdict = match (&r.answer, r.flips, r.rejoins) {
            _ if !r.fork.finished => "unfinished".to_string(),
            (_, true, _) if !pattern => "stay apart".into(),
            (_, _, Some(0)) => "the same".into(),
            (_, _, Some(n)) => format!("the same after {n}"),
            (None, false, None) => "none".into(),
            (Some(_), false, None) => "the same".into(),
            (Some(a), true, None) => format!("becomes {}", visible(a)),
            (None, true, None) => "is lost".into(),
        };
        let entropy = format!("{sign}{:.3}", at(r).entropy);
        let row = format!("{:>4}  {:>7.4} {entropy:>8}  {swap:<32}  {verdict}", r.fork.position + 1, at(r).gap);
        let _ = writeln!(out, "{}", if r.flips { style.paint("33", &row) } else { row });
        let _ = writeln!(out, "      {}", style.paint("2", &shorten(&visible(&r.text), room)));
    }
    let text = verdict(pattern, original.as_deref(), rows);
    let text = format!("{text}; gap as a probability, entropy in nats; {}, {}", model.name(), model.front());
    out.push('\n');
    if !layers.is_empty() {
        out.push_str(&layers::forks_table(model, layers, style));
        out.push('\n');
    }
    out.push_str(&terminal::paragraph(&text));
    terminal::print(&out)
}
