//! The probability of each answer over all continuations: by exploring with bounds, or by scoring the answers' own
//! texts.

mod pattern;

pub use pattern::Pattern;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::events::Work;
use crate::prompt::watched_ids;
use crate::{Model, Prompt};
use logitree_core::answers::{Choices, Ledger, Verdict, normalize as normalize_answer};
use logitree_core::explore::{BestFirst, BestFirstParameters, BranchRules, Change, Explorer, Judge, Place};
use logitree_core::watch::{self, Watched};
use logitree_core::{NodeId, Query, Session, Stop, TokenId, Tree};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Finds the answer in a text.
#[derive(Clone)]
pub enum Reader {
    /// One of these choices, which must be at the beginning of a continuation.
    Choices(Choices),
    /// What a pattern finds; the flag says whether answers that differ only in case or punctuation are the same.
    Pattern(Arc<Pattern>, bool),
}

impl Reader {
    /// Reads one of these choices. With `normalize`, case does not matter, nor do punctuation and white space in
    /// front.
    ///
    /// # Errors
    /// If there are no choices, or two are the same.
    pub fn choices(choices: &[&str], normalize: bool) -> Result<Reader> {
        let made = Choices::new(choices, normalize);
        let wrong = |e| Error::new(ErrorKind::Parameter("choices"), format!("`choices`: {e}"));
        made.map(Reader::Choices).map_err(wrong)
    }

    /// Reads the first group of a regular expression's first match, or the whole match.
    ///
    /// # Errors
    /// If it is not a regular expression, is too large, or can match no text.
    pub fn pattern(pattern: &str, normalize: bool) -> Result<Reader> {
        Ok(Reader::Pattern(Arc::new(Pattern::new(pattern)?), normalize))
    }

    /// Reads one of the choices, which are separated by `|`, or what a pattern finds.
    ///
    /// # Errors
    /// If neither is given; or as for [`Reader::choices`] and [`Reader::pattern`].
    pub fn of(choices: Option<&str>, pattern: Option<&str>, normalize: bool) -> Result<Reader> {
        match pattern {
            Some(pattern) => Reader::pattern(pattern, normalize),
            None => Reader::choices(&choices.unwrap_or_default().split('|').collect::<Vec<_>>(), normalize),
        }
    }

    /// The answer in a text, which may go on unless it is `whole`.
    pub fn read(&self, text: &str, whole: bool) -> Verdict {
        match self {
            Reader::Choices(c) => c.read(text, whole),
            Reader::Pattern(p, normalize) => match p.read(text, whole) {
                Verdict::Answer(a) if *normalize => Verdict::Answer(normalize_answer(&a)),
                verdict => verdict,
            },
        }
    }

    /// The choices; empty for a pattern.
    pub fn names(&self) -> Vec<String> {
        match self {
            Reader::Choices(c) => c.names().map(String::from).collect(),
            Reader::Pattern(..) => Vec::new(),
        }
    }

    /// Notes for the user about the limits of this reader.
    pub(crate) fn notes(&self) -> Vec<String> {
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
    /// Stop when no bound is wider than this probability; if `None`, when the most likely answer is certain.
    pub tolerance: Option<f64>,
    /// Largest number of tokens of a continuation.
    pub max_depth: usize,
    /// Largest time to explore.
    pub max_time: Duration,
    /// Largest number of paths to look at.
    pub max_nodes: usize,
    /// Number of nodes that are evaluated in one batch.
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
    /// The bounds are as tight as the tolerance asks for.
    Tolerance,
    /// No other answer can become more likely than the winner.
    Winner,
    /// The time is up.
    MaxSeconds,
    /// The largest number of paths was looked at.
    MaxNodes,
    /// There is nothing left to explore within the depth.
    Exhausted,
    /// The listener of the model's events asked to stop.
    Interrupted,
}

/// The result of exploring for answers.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Lower and upper bounds of each answer's probability, and the probability of texts without an answer.
    pub ledger: Ledger,
    /// Number of steps that the model evaluated.
    pub steps: usize,
    /// Number of paths looked at; most of them need no step.
    pub nodes: usize,
    /// Time taken, in seconds.
    pub seconds: f64,
    /// Why exploring ended.
    pub ended_by: AnswersEnd,
}

/// Where exploring for answers begins, and what is known there.
pub(crate) struct Start<'a> {
    /// The token of the session after which it begins.
    pub place: Place,
    /// Number of tokens of the session's path up to this place.
    pub length: usize,
    /// The last tokens of that path that count as text in which the answer is read.
    pub read: &'a [TokenId],
    /// The next token whose continuations are counted already.
    pub known: Option<TokenId>,
    /// What is counted already.
    pub ledger: Ledger,
    /// Beginning of the progress in words.
    pub progress: String,
}

/// Every bound is as wide as the probability that is undecided.
pub(crate) fn within(ledger: &Ledger, tolerance: f64) -> Option<AnswersEnd> {
    (ledger.undecided() <= tolerance).then_some(AnswersEnd::Tolerance)
}

/// Default width of the bound if there is only one choice.
const ONE_CHOICE: f64 = 0.01;

impl Model {
    /// Explores the most likely continuations first. As soon as the text of a path fixes the answer, the whole
    /// probability of the path counts for that answer, and nothing below it is explored.
    ///
    /// # Errors
    /// If the model fails.
    pub fn answers(&self, prompt: &Prompt, reader: &Reader, options: &AnswerOptions) -> Result<Answers> {
        reader.notes().iter().for_each(|note| self.events().note(note));
        let mut session = self.session()?;
        let mut nodes = session.push_all(None, &prompt.tokens)?;
        let node = nodes.pop().context("the prompt has no tokens")?;
        let token = *prompt.tokens.last().context("the prompt has no tokens")?;
        let start = Start {
            place: Place { node, token, before: nodes.pop() },
            length: prompt.tokens.len(),
            read: &[],
            known: None,
            ledger: Ledger::of(reader.names()),
            progress: String::new(),
        };
        let tolerance = options.tolerance.or((reader.names().len() == 1).then_some(ONE_CHOICE));
        let enough = |ledger: &Ledger, _: &dyn Fn() -> f64| match tolerance {
            Some(width) => within(ledger, width),
            None => ledger.winner().map(|_| AnswersEnd::Winner),
        };
        Ok(self.look(session, start, reader, options, enough)?.0)
    }

    /// Explores the most likely continuations of a place in a session until `enough` says why it is enough, or the
    /// budget of the options ends (their tolerance is not looked at). `enough` sees what is counted, and can ask for the
    /// mass that further exploring could decide. Gives the session back.
    pub(crate) fn look(
        &self,
        session: Box<dyn Session>,
        start: Start<'_>,
        reader: &Reader,
        options: &AnswerOptions,
        enough: impl Fn(&Ledger, &dyn Fn() -> f64) -> Option<AnswersEnd>,
    ) -> Result<(Answers, Box<dyn Session>)> {
        // The policy, which must be `Send`, judges nodes from within; so the ledger is in a mutex, though only this
        // thread uses it.
        let ledger = Mutex::new(start.ledger);
        let settled = || ledger.lock().unwrap_or_else(|e| e.into_inner());
        let is_known = |tree: &Tree, n: NodeId| tree.depth(n) == 1 && tree.token(n) == start.known;
        let settle = |tree: &Tree, n: NodeId, whole: bool| {
            if is_known(tree, n) {
                return true;
            }
            let verdict = reader.read(&self.text_so_far(start.read.iter().copied().chain(tree.path(n))), whole);
            let open = verdict == Verdict::Open;
            settled().settle(verdict, tree.mass(n));
            !open
        };
        let judge: Judge<'_> = Box::new(|tree, n| settle(tree, n, false).then_some(Stop::Decided));
        let default = BestFirstParameters::default();
        // Most branches are decided by their first token and need no evaluation, so many are taken: little probability
        // stays undecided.
        let rules = BranchRules { max_branches: Some(1000), ..default.rules };
        let p =
            BestFirstParameters { batch: options.batch, cover: 1.0, max_depth: options.max_depth, rules, ..default };
        let tree = Tree::new(self.bounds(start.length));
        let policy = BestFirst::new(p, &tree)?.with_judge(judge);
        let mut explorer = Explorer::after(session, self.vocab_size(), start.place, policy, tree, 1);
        let (work, started) = (Work(self.events()), Instant::now());
        let mut steps = 0;
        let ended_by = loop {
            while let Some(change) = explorer.visit() {
                match change {
                    Change::Stopped(n, Stop::EndToken) => drop(settle(&explorer.tree, n, true)),
                    // The policy ends such a path before it asks the judge.
                    Change::Stopped(n, Stop::MaxDepth | Stop::Context) => drop(settle(&explorer.tree, n, false)),
                    _ => {}
                }
            }
            work.words(|| start.progress.clone() + &in_words(&settled(), steps));
            if let Some(end) = enough(&settled(), &|| explorer.policy.open_mass(&explorer.tree)) {
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
        let session = explorer.into_session();
        let ledger = ledger.into_inner().unwrap_or_else(|e| e.into_inner());
        Ok((Answers { ledger, steps, nodes, seconds, ended_by }, session))
    }

    /// The probability of each text's own tokens right after a prompt.
    ///
    /// # Errors
    /// If a text has no tokens in this model, or the model fails.
    pub fn direct(&self, prompt: &Prompt, texts: &[String]) -> Result<Vec<(Vec<TokenId>, Watched)>> {
        let strings = watched_ids(&self.watch(texts)?);
        let mut session = self.session()?;
        let nodes = session.push_all(None, &prompt.tokens)?;
        let last = *nodes.last().context("the prompt has no tokens")?;
        let mut found = watch::evaluate(&mut *session, &[Query::top(last, 1)], &strings)?;
        let (_, scored) = found.pop().context("internal error: no distribution")?;
        Ok(strings.into_iter().zip(scored).collect())
    }

    /// The text of tokens without end tokens and without an incomplete last character.
    pub(crate) fn text_so_far(&self, tokens: impl IntoIterator<Item = TokenId>) -> String {
        let words = tokens.into_iter().filter(|&id| !self.is_special(id));
        let bytes: Vec<u8> = words.flat_map(|id| self.token_bytes(id).into_owned()).collect();
        match std::str::from_utf8(&bytes) {
            // The last character is incomplete: leave it out until its other bytes come.
            Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// The progress in words.
fn in_words(ledger: &Ledger, steps: usize) -> String {
    use crate::export::text::{count, percent};
    let bounds = ledger.bounds();
    let best = bounds.iter().take(3).map(|b| format!("{} {}–{}", b.answer, percent(b.lower), percent(b.upper)));
    let best = best.collect::<Vec<_>>().join(" · ");
    format!("{} · undecided {} · {best}", count(steps, "step"), percent(ledger.undecided()))
}
