//! `logitree logprobs`, and generation for `guide`.

use super::steps::{LISTED, Scored, record_steps, step_json, table, text_of, top_bytes, totals_line, totals_of};
use crate::cli::{self, Format, ModelOptions, PromptOptions};
use crate::export::jsonl;
use crate::output::Appended;
use crate::setup::{self, Loaded};
use crate::{progress, terminal};
use anyhow::{Context, Result};
use clap::Args;
use logitree_core::run::Watch;
use logitree_core::sampling::Sampler;
use logitree_core::{Distribution, Query, TokenId, TokenStats, watch};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  logitree logprobs \"Roses are red, violets are\" -n 20
  logitree logprobs --chat -m smollm2-135m \"Who are you?\" -o logprobs.jsonl
  logitree logprobs \"Once upon a time\" --temperature 0.8 --top-p 0.95 --seed 7

Whatever the sampler, the logprobs shown are the model's own (temperature 1, all tokens).";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct LogprobsArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    #[command(flatten)]
    pub generation: GenerationOptions,
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
    #[arg(long, value_parser = cli::at_least_one, value_name = "K")]
    pub top: Option<usize>,
    /// Sampling temperature; 0 always takes the most likely token
    #[arg(long, default_value_t = 0.0, value_parser = cli::non_negative, value_name = "T")]
    pub temperature: f64,
    /// Sample from this many of the most likely tokens; 0 is all
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub top_k: usize,
    /// Sample from the most likely tokens that make up this probability
    #[arg(long, default_value_t = 1.0, value_parser = cli::probability, value_name = "P")]
    pub top_p: f64,
    /// Sample from tokens with at least this share of the most likely one's probability
    #[arg(long, default_value_t = 0.0, value_parser = cli::probability, value_name = "P")]
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
    /// Tokens to list per step.
    fn listed(&self) -> usize {
        self.top.unwrap_or(LISTED)
    }
}

pub fn run(args: LogprobsArgs) -> Result<()> {
    let output = Records::open(args.generation.output.as_deref())?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let loaded = setup::load(&args.model)?;
    setup::note_names(&loaded, &given, "");
    let prepared = setup::prepare(&loaded, given, "")?;
    let generated = generate(&loaded, &prepared.tokens, prepared.tokens.len(), &args.generation)?;
    report(&loaded, &prepared.text, &generated, &args.generation, output, json!({ "bos": prepared.bos }))
}

/// Scored tokens of a generation and why it ended.
pub struct Generated {
    pub steps: Vec<Scored>,
    pub stop: &'static str,
    pub watch: Vec<Watch>,
}

/// Scores `tokens[scored_from..]` as forced, then generates.
pub fn generate(
    loaded: &Loaded,
    tokens: &[TokenId],
    scored_from: usize,
    options: &GenerationOptions,
) -> Result<Generated> {
    let model = &loaded.model;
    let sampler =
        Sampler { temperature: options.temperature, top_k: options.top_k, top_p: options.top_p, min_p: options.min_p };
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut session = model.session()?;
    let nodes = session.push_all(None, tokens)?;
    let mut node = *nodes.last().context("the prompt has no tokens")?;
    let wants_logits = !sampler.is_greedy();
    let top = options.listed();

    // All forced tokens and the first free step in one go.
    let first = scored_from.max(1) - 1;
    let queries: Vec<Query<'_>> = (first..nodes.len())
        .map(|i| {
            let next = tokens.get(i + 1).map_or(&[][..], std::slice::from_ref);
            Query { node: nodes[i], top, tokens: next, logits: wants_logits && i + 1 == nodes.len() }
        })
        .collect();
    let watch = setup::watch(loaded, &options.watch)?;
    let strings = setup::watched_ids(&watch);
    let mut found = watch::evaluate(&mut *session, &queries, &strings)?;
    let (mut next, mut watched) = found.pop().context("internal error: no distribution")?;
    let mut steps: Vec<Scored> = found.into_iter().filter_map(|d| Scored::new(d, true)).collect();

    let bar = progress::spinner();
    let mut made: Vec<TokenId> = Vec::new();
    let stop = loop {
        if made.len() >= options.max_new_tokens {
            break "max_new_tokens";
        }
        if terminal::interrupted() {
            break "interrupted";
        }
        let Some(token) = choose(&next, &sampler, &mut rng) else { break "no_token" };
        made.push(token.id);
        bar.message(|| format!("{} tokens  {}", made.len(), tail(&text_of(loaded, made.iter().copied()))));
        let Distribution { entropy, exactness, top: listed, .. } = next;
        steps.push(Scored { token, entropy, exactness, top: listed, forced: false, watched });
        if model.end_tokens().contains(&token.id) {
            break "end_token";
        }
        if made.len() == options.max_new_tokens {
            break "max_new_tokens";
        }
        if tokens.len() + made.len() >= model.context_length() {
            break "context";
        }
        node = session.push(Some(node), token.id)?;
        let query = Query { node, top, tokens: &[], logits: wants_logits };
        (next, watched) =
            watch::evaluate(&mut *session, &[query], &strings)?.pop().context("internal error: no distribution")?;
    };
    Ok(Generated { steps, stop, watch })
}

/// The chosen token with its own logprob and rank under the model's distribution.
pub fn choose(d: &Distribution, sampler: &Sampler, rng: &mut StdRng) -> Option<TokenStats> {
    let Some(logits) = d.logits.as_ref().filter(|_| !sampler.is_greedy()) else { return d.top.first().copied() };
    let id = sampler.choose(logits, rng.random::<f64>())?;
    let logit = logits[id.index()];
    let above = logits.iter().enumerate().filter(|&(i, &l)| l > logit || (l == logit && i < id.index())).count();
    let logprob = (f64::from(logit) - d.logsumexp).min(0.0);
    Some(TokenStats { id, logprob, rank: above as u32 + 1 })
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(60);
    crate::visible::visible(&text.chars().skip(skip).collect::<String>())
}

/// Where the record goes.
pub enum Records {
    None,
    Stdout,
    File(Appended),
}

impl Records {
    /// Checks the place before any work; nothing is made there yet.
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

/// Prints the result and appends the record.
pub fn report(
    loaded: &Loaded,
    prompt: &str,
    generated: &Generated,
    options: &GenerationOptions,
    output: Records,
    extra: Value,
) -> Result<()> {
    let steps = &generated.steps;
    let response = text_of(loaded, steps.iter().map(|s| s.token.id));
    let texts = top_bytes(loaded, steps);
    let record = jsonl::record(prompt, &response, &record_steps(loaded, steps, options.listed(), &texts));
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
                "prompt": prompt,
                "response": response,
                "stop": generated.stop,
                "total_logprob": all.logprob,
                "total_bits": all.bits,
                "perplexity": all.perplexity,
                "model": loaded.name,
                "engine": loaded.model.engine(),
                "tokens": steps.iter().map(|s| step_json(loaded, s, options.listed(), &generated.watch)).collect::<Vec<_>>(),
            });
            if let (Some(object), Value::Object(extra)) = (object.as_object_mut(), extra) {
                object.extend(extra);
            }
            terminal::print(&format!("{object:#}\n"))
        }
        Format::Text => {
            let mut out = table(loaded, steps, options.top, &generated.watch);
            out.push('\n');
            if !forced.is_empty() {
                let forced = logitree_core::metrics::totals(forced);
                out.push_str(&totals_line("forced (>)", forced));
            }
            out.push_str(&totals_line("all", all));
            let made = format!("{}, {}; ended by {}", loaded.name, loaded.front(), generated.stop);
            out.push_str(&terminal::paragraph(&made));
            out.push_str(&format!("\n{response}\n"));
            terminal::print(&out)
        }
    }
}
