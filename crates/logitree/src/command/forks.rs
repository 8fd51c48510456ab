//! `logitree forks`

use super::answers::Pattern;
use super::steps::text_of;
use crate::cli::{self, Format, ModelOptions, PromptOptions};
use crate::export::text::{percent, shorten};
use crate::setup::{self, Given, Loaded};
use crate::visible::visible;
use crate::{input, progress, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree_core::TokenId;
use logitree_core::forks::{self, Fork, Limits, Position};
use serde_json::json;
use std::fmt::Write;

const EXAMPLES: &str = "Examples:
  logitree forks \"The capital of India is\" -n 24
  logitree forks \"Q: 12 * 12 = ? A:\" --pattern \"([0-9]+)\" --top 12
  logitree forks \"The sky is\" --text \" blue because of scattering.\"

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
    #[arg(short = 'n', long, default_value_t = 64, value_parser = cli::at_least_one, value_name = "N")]
    pub max_new_tokens: usize,
    /// Look at this continuation instead of the greedy one
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// A regular expression: its first group (or match) in a continuation is its answer [default: forks are compared by
    /// whether their words become the same again]
    #[arg(long, value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Forks to test
    #[arg(long, default_value_t = 8, value_parser = cli::at_least_one, value_name = "N")]
    pub top: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

pub fn run(args: ForksArgs) -> Result<()> {
    let pattern = args.pattern.as_deref().map(Pattern::new).transpose()?;
    terminal::catch_interrupts();
    let prompt = args.prompt.read()?;
    if let Some(text) = &args.text {
        input::check_text(text, "--text")?;
    }
    let loaded = setup::load(&args.model)?;
    loaded.model.need_tokens("forks")?;
    setup::note_names(&loaded, &prompt, args.text.as_deref().unwrap_or_default());
    let (prompt, given) = split(&loaded, prompt, args.text.as_deref())?;
    let room = loaded.model.context_length().saturating_sub(prompt.len());
    // Forks get as long as what they are compared with.
    let tokens = given.as_ref().map_or(args.max_new_tokens, Vec::len).min(room);
    if tokens == 0 {
        bail!("the prompt fills the model's context: there is no room for a continuation");
    }
    let limits = Limits { tokens, ends: loaded.model.end_tokens() };
    let mut session = loaded.model.session()?;
    let bar = progress::spinner();
    bar.message(|| "following the continuation".into());
    let positions = forks::follow(&mut *session, &prompt, given.as_deref(), limits, || !terminal::interrupted())?;
    let which: Vec<usize> = forks::rank(&positions).into_iter().take(args.top).collect();
    let mut steps = 0;
    let found = forks::test(&mut *session, &positions, &which, limits, || {
        steps += 1;
        bar.message(|| format!("{} forks, {steps} tokens", which.len()));
        !terminal::interrupted()
    })?;
    drop(bar);
    report(&args, &loaded, pattern.as_ref(), &positions, &found)
}

/// Tokens of the prompt and of a given text, tokenised together as the model would see them written; a token across the
/// border counts to the text.
fn split(loaded: &Loaded, prompt: Given, text: Option<&str>) -> Result<(Vec<TokenId>, Option<Vec<TokenId>>)> {
    let whole = text.map(|text| setup::prepare(loaded, prompt.clone(), text)).transpose()?;
    let mut prompt = setup::prepare(loaded, prompt, "")?.tokens;
    let Some(whole) = whole.map(|p| p.tokens) else { return Ok((prompt, None)) };
    let common = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    if common == 0 {
        bail!(
            "--text changes the prompt's first token, and this model has no BOS before it: nothing comes before the text"
        );
    }
    prompt.truncate(common);
    Ok((prompt, Some(whole[common..].to_vec())))
}

/// A tested fork in words.
struct Row<'a> {
    fork: &'a Fork,
    at: &'a Position,
    /// The whole continuation.
    text: String,
    /// With a pattern, what it finds there.
    answer: Option<String>,
    /// Without one, after how many words of its own it is the original again.
    rejoins: Option<usize>,
    flips: bool,
}

/// How many forks came to something else, in words.
fn verdict(pattern: bool, original: Option<&str>, rows: &[Row<'_>]) -> String {
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

fn report(
    args: &ForksArgs,
    loaded: &Loaded,
    pattern: Option<&Pattern>,
    positions: &[Position],
    found: &[Fork],
) -> Result<()> {
    let ids = |until: usize| positions[..until].iter().map(|p| p.token.id);
    let text = text_of(loaded, ids(positions.len()));
    let original = pattern.and_then(|p| p.find(&text));
    let ends = loaded.model.end_tokens();
    let ended = |id: Option<&TokenId>| id.is_some_and(|id| ends.contains(id));
    let original_ended = ended(positions.last().map(|p| &p.token.id));
    let rows: Vec<Row<'_>> = found
        .iter()
        .map(|fork| {
            let all: Vec<TokenId> = ids(fork.position).chain(fork.tokens.iter().copied()).collect();
            let text = text_of(loaded, all);
            let answer = pattern.and_then(|p| p.find(&text));
            let [rest, other] = [
                text_of(loaded, positions[fork.position..].iter().map(|p| p.token.id)),
                text_of(loaded, fork.tokens.iter().copied()),
            ];
            let whole = original_ended && ended(fork.tokens.last());
            let rejoins = if pattern.is_none() { forks::rejoins(&rest, &other, whole) } else { None };
            let flips = fork.finished && if pattern.is_some() { answer != original } else { rejoins.is_none() };
            Row { fork, at: &positions[fork.position], flips, text, answer, rejoins }
        })
        .collect();
    if args.format == Format::Json {
        let forks: Vec<_> = rows
            .iter()
            .map(|r| {
                json!({
                    "position": r.fork.position,
                    "token": loaded.token(r.at.token.id),
                    "prob": r.at.token.prob(),
                    "other": loaded.token(r.at.other.id),
                    "other_prob": r.at.other.prob(),
                    "gap": r.at.gap,
                    "entropy": r.at.entropy,
                    "finished": r.fork.finished,
                    "flips": r.flips,
                    "answer": r.answer,
                    "rejoins": r.rejoins,
                    "text": r.text,
                })
            })
            .collect();
        let object = json!({
            "text": text, "answer": original, "tokens": positions.len(), "forks": forks,
            "flips": rows.iter().filter(|r| r.flips).count(),
            "unfinished": rows.iter().filter(|r| !r.fork.finished).count(), "model": loaded.name, "engine": loaded.model.engine(),
        });
        return terminal::print(&format!("{object:#}\n"));
    }
    let style = terminal::style();
    let word = |id| visible(&loaded.text(id)).replace(' ', "·");
    let mut out = format!("{}\n\n", visible(&text));
    if pattern.is_some() {
        let _ = writeln!(out, "answer: {}\n", original.as_deref().map_or("none".into(), visible));
    }
    let head = format!(
        "{:>4}  {:>7} {:>8}  {:<32}  {}",
        "#",
        "gap",
        "entropy",
        "token → runner-up",
        if pattern.is_some() { "answer" } else { "words" }
    );
    let _ = writeln!(out, "{}", style.paint("1", &head));
    let room = style.width.saturating_sub(8).max(20);
    let sign = loaded.model.exactness().sign();
    for r in &rows {
        let swap = format!(
            "{} {} → {} {}",
            shorten(&word(r.at.token.id), 10),
            percent(r.at.token.prob()),
            shorten(&word(r.at.other.id), 10),
            percent(r.at.other.prob())
        );
        let verdict = match (&r.answer, r.flips, r.rejoins) {
            _ if !r.fork.finished => "unfinished".to_string(),
            (_, true, _) if pattern.is_none() => "stay apart".into(),
            (_, _, Some(0)) => "the same".into(),
            (_, _, Some(n)) => format!("the same after {n}"),
            (None, false, None) => "none".into(),
            (Some(_), false, None) => "the same".into(),
            (Some(a), true, None) => format!("becomes {}", visible(a)),
            (None, true, None) => "is lost".into(),
        };
        let entropy = format!("{sign}{:.3}", r.at.entropy);
        let row = format!("{:>4}  {:>7.4} {entropy:>8}  {swap:<32}  {verdict}", r.fork.position + 1, r.at.gap);
        let _ = writeln!(out, "{}", if r.flips { style.paint("33", &row) } else { row });
        let _ = writeln!(out, "      {}", style.paint("2", &shorten(&visible(&r.text), room)));
    }
    let text = verdict(pattern.is_some(), original.as_deref(), &rows);
    let text = format!("{text}; gap as a probability, entropy in nats; {}, {}", loaded.name, loaded.front());
    out.push('\n');
    out.push_str(&terminal::paragraph(&text));
    terminal::print(&out)
}
