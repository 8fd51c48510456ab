//! `logitree answers`

mod pattern;

pub use pattern::Pattern;

use crate::cli::{self, Format, ModelOptions, PromptOptions, UsageError};
use crate::export::text::{count, percent};
use crate::setup::{self, Loaded};
use crate::visible::visible;
use crate::{message, progress, terminal};
use anyhow::{Result, bail};
use clap::Args;
use logitree_core::answers::{Choices, Ledger, Verdict, normalize as normalize_answer};
use logitree_core::explore::{BestFirst, BestFirstParameters, BranchRules, Change, Explorer, Judge};
use logitree_core::{NodeId, Query, Stop, TokenId, Tree, watch};
use serde_json::json;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AnswersArgs {
    #[command(flatten)]
    pub prompt: PromptOptions,
    /// Answers that a continuation may begin with, separated by |
    #[arg(long, value_name = "A|B|C", required_unless_present = "pattern", conflicts_with = "pattern")]
    pub choices: Option<String>,
    /// A regular expression: its first group (or match) in the continuation is the answer
    #[arg(long, value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Take answers that differ only in case or in punctuation and white space in front as the same
    #[arg(long)]
    pub normalize: bool,
    /// Score each choice's own text instead of exploring
    #[arg(long, conflicts_with = "pattern")]
    pub direct: bool,
    /// Go on until no bound is wider than this [default: until the winner is certain; with one choice, 0.01]
    #[arg(long, value_parser = cli::probability, value_name = "PROB", conflicts_with = "direct")]
    pub tolerance: Option<f64>,
    /// Do not look further than this many tokens
    #[arg(long, default_value_t = 64, value_parser = cli::at_least_one, value_name = "N")]
    pub max_depth: usize,
    /// End after this many seconds
    #[arg(long, default_value_t = 30.0, value_parser = cli::non_negative, value_name = "SECONDS")]
    pub max_seconds: f64,
    /// End when this many paths have been looked at
    #[arg(long, default_value_t = 1_000_000, value_parser = cli::at_least_one, value_name = "N")]
    pub max_nodes: usize,
    /// Nodes expanded together
    #[arg(long, default_value_t = 24, value_parser = cli::at_least_one, value_name = "N")]
    pub batch: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// How tight the bound of a single choice gets if nothing else is asked for.
const ONE_CHOICE: f64 = 0.01;

/// Finds the answer in a text.
enum Reader {
    Choices(Choices),
    Pattern(Box<Pattern>, bool),
}

impl Reader {
    fn new(args: &AnswersArgs) -> Result<Reader> {
        if let Some(pattern) = &args.pattern {
            return Ok(Reader::Pattern(Box::new(Pattern::new(pattern)?), args.normalize));
        }
        let text = args.choices.as_deref().unwrap_or_default();
        let choices: Vec<&str> = text.split('|').collect();
        Ok(Reader::Choices(Choices::new(&choices, args.normalize).map_err(|e| UsageError(format!("--choices: {e}")))?))
    }

    fn read(&self, text: &str, whole: bool) -> Verdict {
        match self {
            Reader::Choices(c) => c.read(text, whole),
            Reader::Pattern(p, normalize) => match p.read(text, whole) {
                Verdict::Answer(a) if *normalize => Verdict::Answer(normalize_answer(&a)),
                verdict => verdict,
            },
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Reader::Choices(c) => c.names().map(String::from).collect(),
            Reader::Pattern(..) => Vec::new(),
        }
    }

    /// What the user should know about how this reads.
    fn notes(&self) -> Vec<String> {
        match self {
            Reader::Choices(c) => c
                .nested()
                .into_iter()
                .map(|(a, b)| {
                    format!("{a:?} begins {b:?}: a continuation counts for {a:?} once it can no longer become {b:?}")
                })
                .collect(),
            Reader::Pattern(p, _) if p.decides_early() => Vec::new(),
            Reader::Pattern(..) => {
                vec!["this pattern can be decided only where a continuation ends: expect wide bounds".into()]
            }
        }
    }
}

pub fn run(args: AnswersArgs) -> Result<()> {
    let reader = Reader::new(&args)?;
    terminal::catch_interrupts();
    let given = args.prompt.read()?;
    let loaded = setup::load(&args.model)?;
    setup::note_names(&loaded, &given, "");
    let prompt = setup::prepare(&loaded, given, "")?;
    if args.direct {
        return direct(&args, &loaded, &reader.names(), &prompt.tokens, &prompt.text);
    }
    reader.notes().iter().for_each(message::note);
    let found = explore(&args, &loaded, &reader, &prompt.tokens)?;
    report(&args, &loaded, &found)
}

/// What exploring found.
struct Found {
    ledger: Ledger,
    /// Steps that the model was asked for.
    steps: usize,
    /// Paths looked at, of which most cost no step.
    nodes: usize,
    seconds: f64,
    reason: &'static str,
}

/// Text of a path as far as it is whole characters, without end tokens.
fn text_so_far(loaded: &Loaded, tree: &Tree, n: NodeId) -> String {
    let words = tree.path(n).into_iter().filter(|&id| !loaded.model.is_special(id));
    let bytes: Vec<u8> = words.flat_map(|id| loaded.model.token_bytes(id).into_owned()).collect();
    match std::str::from_utf8(&bytes) {
        // A character that is only begun is not there yet.
        Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn explore(args: &AnswersArgs, loaded: &Loaded, reader: &Reader, prompt: &[TokenId]) -> Result<Found> {
    let ledger = Mutex::new(Ledger::of(reader.names()));
    let settle = |tree: &Tree, n: NodeId, whole: bool| {
        let verdict = reader.read(&text_so_far(loaded, tree, n), whole);
        let open = verdict == Verdict::Open;
        locked(&ledger).settle(verdict, tree.mass(n));
        !open
    };
    let judge: Judge<'_> = Box::new(|tree, n| settle(tree, n, false).then_some(Stop::Decided));
    let default = BestFirstParameters::default();
    // Most branches are decided by their first token, at no cost: many are taken, so that little stays undecided.
    let rules = BranchRules { max_branches: Some(1000), ..default.rules };
    let p = BestFirstParameters { batch: args.batch, cover: 1.0, max_depth: args.max_depth, rules, ..default };
    let tree = Tree::new(loaded.bounds(prompt.len()));
    let policy = BestFirst::new(p, &tree)?.with_judge(judge);
    let session = loaded.model.session()?;
    let mut e = Explorer::new(session, loaded.model.vocab_size(), prompt, policy, tree, 1)?;
    let (bar, started) = (progress::spinner(), Instant::now());
    let tolerance = args.tolerance.or((reader.names().len() == 1).then_some(ONE_CHOICE));
    let enough = |ledger: &Ledger| match tolerance {
        // All bounds are as wide as what is undecided.
        Some(width) => (ledger.undecided() <= width).then_some("the bounds are within the tolerance"),
        None => ledger.winner().map(|_| "the winner is certain"),
    };
    let mut steps = 0;
    let reason = loop {
        while let Some(change) = e.visit() {
            if let Change::Stopped(n, Stop::EndToken) = change {
                settle(&e.tree, n, true);
            }
        }
        bar.message(|| progress_line(&locked(&ledger), steps));
        if let Some(reason) = enough(&locked(&ledger)) {
            break reason;
        } else if terminal::interrupted() {
            break "interrupted";
        } else if started.elapsed().as_secs_f64() >= args.max_seconds {
            break "--max-seconds";
        } else if e.tree.len() >= args.max_nodes {
            break "--max-nodes";
        }
        match e.evaluate()? {
            0 => break "nothing is left to explore within --max-depth",
            n => steps += n,
        }
    };
    drop(bar);
    let (nodes, seconds) = (e.tree.len(), started.elapsed().as_secs_f64());
    drop(e);
    Ok(Found { ledger: ledger.into_inner().unwrap_or_else(PoisonError::into_inner), steps, nodes, seconds, reason })
}

/// The policy settles paths while it explores, and this thread looks at the bounds in between.
fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn progress_line(ledger: &Ledger, steps: usize) -> String {
    let best: Vec<String> = ledger
        .bounds()
        .iter()
        .take(3)
        .map(|b| format!("{} {}–{}", b.answer, percent(b.lower), percent(b.upper)))
        .collect();
    format!("{} · undecided {} · {}", count(steps, "step"), percent(ledger.undecided()), best.join(" · "))
}

fn report(args: &AnswersArgs, loaded: &Loaded, found: &Found) -> Result<()> {
    let Found { ledger, steps, nodes, seconds, reason } = found;
    let bounds = ledger.bounds();
    // One choice has nobody to win against.
    let alone = args.choices.is_some() && bounds.len() == 1;
    let winner = ledger.winner().filter(|_| !alone);
    if args.format == Format::Json {
        let answers: Vec<_> =
            bounds.iter().map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper })).collect();
        let object = json!({
            "answers": answers,
            "no_answer": ledger.none(),
            "undecided": ledger.undecided(),
            "winner": winner.map(|w| w.answer),
            "ended_by": reason,
            "steps": steps,
            "nodes": nodes,
            "seconds": seconds,
            "model": loaded.name,
            "engine": loaded.model.engine(),
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
            let others = if args.choices.is_some() { "choices" } else { "answers" };
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
    out.push_str(&terminal::paragraph(&format!("ended: {reason}; {looked}; {}, {}", loaded.name, loaded.front())));
    terminal::print(&out)
}

/// Probability of each choice's own text right after the prompt.
fn direct(args: &AnswersArgs, loaded: &Loaded, names: &[String], prompt: &[TokenId], text: &str) -> Result<()> {
    // As it would be written: a space between prompt and answer, unless there is one.
    let space = if text.ends_with(char::is_whitespace) || args.prompt.form.chat { "" } else { " " };
    let texts: Vec<String> = names.iter().map(|n| format!("{space}{n}")).collect();
    let strings = setup::watched_ids(&setup::watch(loaded, &texts)?);
    let mut session = loaded.model.session()?;
    let nodes = session.push_all(None, prompt)?;
    let Some(&last) = nodes.last() else { bail!("the prompt has no tokens") };
    let (_, scored) = watch::evaluate(&mut *session, &[Query::top(last, 1)], &strings)?.remove(0);
    let total: f64 = scored.iter().map(|w| w.logprob.exp()).sum();
    let mut rows: Vec<(&String, usize, f64)> =
        texts.iter().zip(&strings).zip(&scored).map(|((t, ids), w)| (t, ids.len(), w.logprob)).collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    if args.format == Format::Json {
        let answers: Vec<_> = rows
            .iter()
            .map(|(t, n, l)| json!({ "text": t, "tokens": n, "logprob": l, "share": l.exp() / total }))
            .collect();
        let object = json!({ "answers": answers, "model": loaded.name, "engine": loaded.model.engine() });
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
