//! `logitree logprobs`, and generation for `guide`.

use super::dataset::{self, DatasetOptions};
use super::generate_rows::GenerateRows;
use super::steps::{record_steps, step_json, table, top_bytes, totals_line};
use crate::options::{self, FormOptions, Format, ModelOptions};
use crate::usage::usage;
use crate::{input, open, progress, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree::dataset::Source;
use logitree::export::jsonl;
use logitree::output::Appended;
use logitree::visible::visible;
use logitree::{GenerateOptions, LISTED, Model, Prompt, ScoredToken, StopReason, totals_of};
use logitree_core::run::Watch;
use logitree_core::sampling::Sampler;
use logitree_core::thought::ThoughtReader;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree logprobs \"Roses are red, violets are\" -n 20
  logitree logprobs --chat -m smollm2-135m \"Who are you?\" -o logprobs.jsonl
  logitree logprobs \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7
  logitree logprobs --input prompts.jsonl --field prompt --chat -o logprobs.jsonl

Whatever the sampler, the logprobs shown are the model's own (temperature 1, all tokens).";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LogprobsArgs {
    /// The prompt; `-` reads it from standard input
    #[arg(value_name = "PROMPT", required_unless_present = "input", conflicts_with = "input")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub form: FormOptions,
    #[command(flatten)]
    pub generation: GenerationOptions,
    /// With --input, overwrite an existing table
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub dataset: DatasetOptions,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// How to generate and what to show.
#[derive(Args)]
pub struct GenerationOptions {
    /// Generate at most this many tokens
    #[arg(short = 'n', long, default_value_t = 128, value_name = "N")]
    pub max_new_tokens: usize,
    /// Most likely tokens to list per step [default: 5, of which the table shows those that fit on a line]
    #[arg(long, value_parser = options::at_least_one, value_name = "K")]
    pub top: Option<usize>,
    /// Sampling temperature; 0 always takes the most likely token
    #[arg(long, default_value_t = 0.0, value_parser = options::non_negative, value_name = "T")]
    pub temperature: f64,
    /// Sample from this many of the most likely tokens; 0 is all
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub top_k: usize,
    /// Sample from the most likely tokens that make up this probability
    #[arg(long, default_value_t = 1.0, value_parser = options::probability, value_name = "P")]
    pub top_p: f64,
    /// Sample from tokens with at least this share of the most likely one's probability
    #[arg(long, default_value_t = 0.0, value_parser = options::probability, value_name = "P")]
    pub min_p: f64,
    /// Seed of the sampler: the same seed gives the same text
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Note the probability of this string at every step; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub watch: Vec<String>,
    /// File to append the record to, in the notebook's JSONL; `-` prints it instead of the table
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl GenerationOptions {
    /// The library's options; tokens of the prompt from `forced_from` on are scored.
    fn options(&self, forced_from: Option<usize>) -> GenerateOptions {
        let Self { temperature, top_k, top_p, min_p, .. } = *self;
        GenerateOptions {
            max_new_tokens: self.max_new_tokens,
            top: self.listed(),
            sampler: Sampler { temperature, top_k, top_p, min_p },
            seed: self.seed,
            watch: self.watch.clone(),
            forced_from,
        }
    }

    /// How many alternatives are listed per step.
    fn listed(&self) -> usize {
        self.top.unwrap_or(LISTED)
    }
}

pub fn run(args: LogprobsArgs) -> Result<()> {
    if let Some(source) = args.dataset.source()? {
        return many(&args, &source, args.generation.output.as_deref(), dataset::load(&args.model));
    }
    if args.force {
        usage!("--force overwrites a table (--input): records are added to their file");
    }
    let output = Records::open(args.generation.output.as_deref())?;
    terminal::catch_interrupts();
    let prompt = args.prompt.context("no PROMPT")?;
    let given = args.form.given(&input::text_argument(&prompt, "PROMPT")?);
    let model = open::load(&args.model)?;
    model.note_names(&given, "");
    let prompt = model.prepare(&given, "")?;
    let generated = generate(&model, &prompt, None, &args.generation)?;
    report(&model, &prompt, &generated, &args.generation, output, json!({ "bos": prompt.bos }))
}

/// Texts after every prompt of a data set.
pub fn many(
    args: &LogprobsArgs,
    source: &Source,
    output: Option<&Path>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    if args.generation.format == Format::Json {
        usage!("--format is about one text: with --input there is a table");
    }
    let rows = GenerateRows { form: args.form.clone(), options: args.generation.options(None) };
    let output = dataset::Output { path: output, force: args.force };
    dataset::run(&rows, source, output, model)
}

/// Scored tokens of a generation and why it ended.
pub struct Generated {
    pub tokens: Vec<ScoredToken>,
    pub stop: StopReason,
    pub watch: Vec<Watch>,
}

/// Generates, with a progress line. If `forced_from` is given, the prompt's tokens from this index on are scored, too.
pub fn generate(
    model: &Model,
    prompt: &Prompt,
    forced_from: Option<usize>,
    options: &GenerationOptions,
) -> Result<Generated> {
    let mut generation = model.generate(prompt, &options.options(forced_from))?;
    let bar = progress::spinner();
    let mut tokens: Vec<ScoredToken> = Vec::new();
    for token in &mut generation {
        let token = token?;
        tokens.push(token);
        let made = || tokens.iter().filter(|t| !t.forced).map(|t| t.token.id);
        bar.message(|| format!("{} tokens  {}", made().count(), tail(&model.text_of(made()))));
    }
    let stop = generation.stop().unwrap_or(StopReason::Interrupted);
    Ok(Generated { tokens, stop, watch: generation.watch().to_vec() })
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(60);
    visible(&text.chars().skip(skip).collect::<String>())
}

/// Where the record of the generation is written.
pub enum Records {
    None,
    Stdout,
    File(Appended),
}

impl Records {
    /// Checks the path before any work is done for nothing. No file is made yet.
    pub fn open(path: Option<&Path>) -> Result<Records> {
        Ok(match path {
            None => Records::None,
            Some(p) if p == Path::new("-") => Records::Stdout,
            Some(p) => {
                let is_record = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|v| v.get("data").is_some());
                Records::File(
                    Appended::check(p, is_record)
                        .with_context(|| "records are added to files of logprobs records (JSON Lines)")?,
                )
            }
        })
    }
}

/// For each scored token, whether it belongs to a thought.
fn thoughts(model: &Model, prompt: &Prompt, steps: &[ScoredToken]) -> Vec<bool> {
    let forced = steps.iter().filter(|s| s.forced).count();
    let mut reader = match forced {
        0 => ThoughtReader::after(prompt.text.as_bytes()),
        // The forced tokens are the prompt's last ones, and are read below.
        n => ThoughtReader::after(model.text_of(prompt.tokens[..prompt.tokens.len() - n].iter().copied()).as_bytes()),
    };
    steps.iter().map(|s| reader.read(&model.token_bytes(s.token.id))).collect()
}

/// Prints the result and appends the record.
pub fn report(
    model: &Model,
    prompt: &Prompt,
    generated: &Generated,
    options: &GenerationOptions,
    output: Records,
    extra: Value,
) -> Result<()> {
    let steps = &generated.tokens;
    let response = model.text_of(steps.iter().map(|s| s.token.id));
    let texts = top_bytes(model, steps);
    let thoughts = thoughts(model, prompt, steps);
    let record = jsonl::record(&prompt.text, &response, &record_steps(model, steps, options.listed(), &texts));
    let to_stdout = matches!(output, Records::Stdout);
    match output {
        Records::None => {}
        Records::Stdout => terminal::print(&record)?,
        Records::File(file) => file.append(&record)?,
    }
    let forced: Vec<f64> = steps.iter().filter(|s| s.forced).map(|s| s.token.logprob).collect();
    let all = totals_of(steps);
    match options.format {
        _ if to_stdout => Ok(()),
        Format::Json => {
            let mut object = json!({
                "prompt": prompt.text,
                "response": response,
                "stop": generated.stop,
                "total_logprob": all.logprob,
                "total_bits": all.bits,
                "perplexity": all.perplexity,
                "model": model.name(),
                "engine": model.engine(),
                "tokens": steps.iter().map(|s| step_json(model, s, options.listed(), &generated.watch)).collect::<Vec<_>>(),
            });
            let tokens = object["tokens"].as_array_mut().into_iter().flatten();
            for (token, _) in tokens.zip(&thoughts).filter(|(_, thought)| **thought) {
                token["thought"] = json!(true);
            }
            if let (Some(object), Value::Object(extra)) = (object.as_object_mut(), extra) {
                object.extend(extra);
            }
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => {
            let mut out = table(model, steps, options.top, &generated.watch);
            out.push('\n');
            if !forced.is_empty() {
                let forced = logitree_core::metrics::totals(forced);
                out.push_str(&totals_line("forced (>)", forced));
            }
            if thoughts.contains(&true) {
                for (name, wanted) in [("thought", true), ("answer", false)] {
                    let tokens = steps.iter().zip(&thoughts).filter(|(s, thought)| !s.forced && **thought == wanted);
                    out.push_str(&totals_line(name, totals_of(tokens.map(|(s, _)| s))));
                }
            }
            out.push_str(&totals_line("all", all));
            let made = format!("{}, {}; ended by {}", model.name(), model.front(), generated.stop.name());
            out.push_str(&terminal::paragraph(&made));
            out.push('\n');
            let style = terminal::style();
            let marked: Vec<_> = steps.iter().map(|s| s.token.id).zip(thoughts).collect();
            for part in marked.chunk_by(|a, b| a.1 == b.1) {
                let text = model.text_of(part.iter().map(|(id, _)| *id));
                out.push_str(&if part[0].1 { style.paint("2;3", &text) } else { text });
            }
            out.push('\n');
            terminal::print(&out)
        }
    }
}
