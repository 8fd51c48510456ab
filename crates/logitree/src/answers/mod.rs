//! How likely each answer is, over all continuations: by exploring with bounds, or by scoring the answers' own texts.

mod pattern;

pub use pattern::Pattern;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::events::Work;
use crate::prompt::watched_ids;
use crate::{Model, Prompt};
use logitree_core::answers::{Choices, Ledger, Verdict, normalize as normalize_answer};
use logitree_core::explore::{BestFirst, BestFirstParameters, BranchRules, Change, Explorer, Judge};
use logitree_core::watch::{self, Watched};
use logitree_core::{NodeId, Query, Stop, TokenId, Tree};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Finds the answer in a text.
#[derive(Clone)]
pub enum Reader {
    /// One of these, which a continuation begins with.
    Choices(Choices),
    /// What a pattern finds; whether answers that differ only in case or punctuation are the same.
    Pattern(Arc<Pattern>, bool),
}

impl Reader {
    /// Reads one of these choices; with `normalize`, differences in case, and in punctuation and white space in front,
    /// do not count.
    ///
    /// # Errors
    /// If there are none, or two are the same.
    pub fn choices(choices: &[&str], normalize: bool) -> Result<Reader> {
        let made = Choices::new(choices, normalize);
        let wrong = |e| Error::new(ErrorKind::Parameter("choices"), format!("`choices`: {e}"));
        made.map(Reader::Choices).map_err(wrong)
    }

    /// Reads the first group, or match, of a regular expression.
    ///
    /// # Errors
    /// If it is none, is too large, or can match nothing.
    pub fn pattern(pattern: &str, normalize: bool) -> Result<Reader> {
        Ok(Reader::Pattern(Arc::new(Pattern::new(pattern)?), normalize))
    }

    /// The answer in a text so far, or in a whole one.
    pub fn read(&self, text: &str, whole: bool) -> Verdict {
        match self {
            Reader::Choices(c) => c.read(text, whole),
            Reader::Pattern(p, normalize) => match p.read(text, whole) {
                Verdict::Answer(a) if *normalize => Verdict::Answer(normalize_answer(&a)),
                verdict => verdict,
            },
        }
    }

    /// The choices, if these are what it reads.
    pub fn names(&self) -> Vec<String> {
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

/// How far to look for answers.
#[derive(Clone, Copy, Debug)]
pub struct AnswerOptions {
    /// Go on until no bound is wider than this probability; if `None`, until the winner is certain.
    pub tolerance: Option<f64>,
    /// Tokens of a continuation, at most.
    pub max_depth: usize,
    /// Time to explore.
    pub max_time: Duration,
    /// Paths to look at.
    pub max_nodes: usize,
    /// Nodes expanded together.
    pub batch: usize,
}

impl Default for AnswerOptions {
    fn default() -> AnswerOptions {
        AnswerOptions {
            tolerance: None,
            max_depth: 64,
            max_time: Duration::from_secs(30),
            max_nodes: 1_000_000,
            batch: 24,
        }
    }
}

/// Why exploring for answers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswersEnd {
    /// The bounds are as tight as was asked for.
    Tolerance,
    /// No other answer can become likelier.
    Winner,
    /// The time is up.
    MaxSeconds,
    /// As many paths as may be were looked at.
    MaxNodes,
    /// Nothing is left to explore within the depth.
    Exhausted,
    /// The listener of the model's events wished to stop.
    Interrupted,
}

/// What exploring for answers found.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Lower and upper bounds of each answer's probability, and what has none.
    pub ledger: Ledger,
    /// Steps that the model was asked for.
    pub steps: usize,
    /// Paths looked at, of which most cost no step.
    pub nodes: usize,
    /// Time that it took.
    pub seconds: f64,
    /// Why it ended.
    pub ended_by: AnswersEnd,
}

/// How tight the bound of a single choice gets if nothing else is asked for.
const ONE_CHOICE: f64 = 0.01;

impl Model {
    /// Explores the most likely continuations first. As soon as a text so far fixes the answer, all of its probability
    /// counts for it.
    ///
    /// # Errors
    /// If the model fails.
    pub fn answers(&self, prompt: &Prompt, reader: &Reader, options: &AnswerOptions) -> Result<Answers> {
        reader.notes().iter().for_each(|note| self.events().note(note));
        // Judged from within the policy, which may be sent to another thread; this one alone asks.
        let ledger = Mutex::new(Ledger::of(reader.names()));
        let settled = || ledger.lock().unwrap_or_else(|e| e.into_inner());
        let settle = |tree: &Tree, n: NodeId, whole: bool| {
            let verdict = reader.read(&self.text_so_far(tree, n), whole);
            let open = verdict == Verdict::Open;
            settled().settle(verdict, tree.mass(n));
            !open
        };
        let judge: Judge<'_> = Box::new(|tree, n| settle(tree, n, false).then_some(Stop::Decided));
        let default = BestFirstParameters::default();
        // Most branches are decided by their first token, at no cost: many are taken, so that little stays undecided.
        let rules = BranchRules { max_branches: Some(1000), ..default.rules };
        let p =
            BestFirstParameters { batch: options.batch, cover: 1.0, max_depth: options.max_depth, rules, ..default };
        let tree = Tree::new(self.bounds(prompt.tokens.len()));
        let policy = BestFirst::new(p, &tree)?.with_judge(judge);
        let mut explorer = Explorer::new(self.session()?, self.vocab_size(), &prompt.tokens, policy, tree, 1)?;
        let (work, started) = (Work(self.events()), Instant::now());
        let tolerance = options.tolerance.or((reader.names().len() == 1).then_some(ONE_CHOICE));
        let enough = |ledger: &Ledger| match tolerance {
            // All bounds are as wide as what is undecided.
            Some(width) => (ledger.undecided() <= width).then_some(AnswersEnd::Tolerance),
            None => ledger.winner().map(|_| AnswersEnd::Winner),
        };
        let mut steps = 0;
        let ended_by = loop {
            while let Some(change) = explorer.visit() {
                if let Change::Stopped(n, Stop::EndToken) = change {
                    settle(&explorer.tree, n, true);
                }
            }
            work.words(|| in_words(&settled(), steps));
            if let Some(end) = enough(&settled()) {
                break end;
            } else if self.events().stop() {
                break AnswersEnd::Interrupted;
            } else if started.elapsed() >= options.max_time {
                break AnswersEnd::MaxSeconds;
            } else if explorer.tree.len() >= options.max_nodes {
                break AnswersEnd::MaxNodes;
            }
            match explorer.evaluate()? {
                0 => break AnswersEnd::Exhausted,
                n => steps += n,
            }
        };
        let (nodes, seconds) = (explorer.tree.len(), started.elapsed().as_secs_f64());
        drop(explorer);
        Ok(Answers { ledger: ledger.into_inner().unwrap_or_else(|e| e.into_inner()), steps, nodes, seconds, ended_by })
    }

    /// The probability of each text's own tokens right after a prompt.
    ///
    /// # Errors
    /// If a text is nothing to this model, or the model fails.
    pub fn direct(&self, prompt: &Prompt, texts: &[String]) -> Result<Vec<(Vec<TokenId>, Watched)>> {
        let strings = watched_ids(&self.watch(texts)?);
        let mut session = self.session()?;
        let nodes = session.push_all(None, &prompt.tokens)?;
        let last = *nodes.last().context("the prompt has no tokens")?;
        let mut found = watch::evaluate(&mut *session, &[Query::top(last, 1)], &strings)?;
        let (_, scored) = found.pop().context("internal error: no distribution")?;
        Ok(strings.into_iter().zip(scored).collect())
    }

    /// Text of a path as far as it is whole characters, without end tokens.
    fn text_so_far(&self, tree: &Tree, n: NodeId) -> String {
        let words = tree.path(n).into_iter().filter(|&id| !self.is_special(id));
        let bytes: Vec<u8> = words.flat_map(|id| self.token_bytes(id).into_owned()).collect();
        match std::str::from_utf8(&bytes) {
            // A character that is only begun is not there yet.
            Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// How far it is.
fn in_words(ledger: &Ledger, steps: usize) -> String {
    use crate::export::text::{count, percent};
    let bounds = ledger.bounds();
    let best = bounds.iter().take(3).map(|b| format!("{} {}–{}", b.answer, percent(b.lower), percent(b.upper)));
    let best = best.collect::<Vec<_>>().join(" · ");
    format!("{} · undecided {} · {best}", count(steps, "step"), percent(ledger.undecided()))
}
