//! The decision curve: how likely each answer is after each token of a text.

use crate::Model;
use crate::answers::{AnswerOptions, AnswersEnd, Reader, Start, within};
use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::prompt::Given;
use logitree_core::answers::{Ledger, Verdict};
use logitree_core::decide::{EntropyBounds, decided, entropy};
use logitree_core::explore::Place;
use logitree_core::{NodeHandle, Query, Session, TokenId, TokenStats};

/// Which text is looked at, and how closely.
#[derive(Clone, Debug)]
pub struct DecideOptions {
    /// Largest number of tokens of the greedy text, if no text is given.
    pub max_new_tokens: usize,
    /// Largest width of the bounds after each token, as a probability.
    pub tolerance: f64,
    /// Largest number of tokens to look ahead after each token of the text.
    pub max_depth: usize,
    /// Largest number of paths to look at after each token of the text.
    pub max_nodes: usize,
    /// Number of nodes that are evaluated in one batch.
    pub batch: usize,
}

impl Default for DecideOptions {
    fn default() -> DecideOptions {
        DecideOptions { max_new_tokens: 32, tolerance: 0.01, max_depth: 64, max_nodes: 100_000, batch: 24 }
    }
}

/// The part of the tolerance that is not worth exploring for: what is open would narrow the bounds by less.
const LITTLE: f64 = 0.01;

/// What is known of the answers after the first tokens of a text.
#[derive(Clone, Debug)]
pub struct DecisionPoint {
    /// The last of these tokens; `None` before the first one.
    pub token: Option<TokenStats>,
    /// The probability of each answer, given these tokens.
    pub ledger: Ledger,
    /// Entropy over the answers and giving none, in nats.
    pub entropy: EntropyBounds,
    /// Number of steps that the model evaluated for this point.
    pub steps: usize,
    /// Number of paths looked at for this point.
    pub nodes: usize,
    /// Why looking ended.
    pub ended_by: AnswersEnd,
}

/// How likely each answer is along a text.
#[derive(Clone, Debug)]
pub struct DecisionCurve {
    /// The text.
    pub text: String,
    /// The points after 0, 1, 2, … tokens.
    pub points: Vec<DecisionPoint>,
    /// Number of tokens after which the text was decided, and for which class; `None` if it was not.
    pub decided: Option<(usize, Verdict)>,
}

impl Model {
    /// The probability of each answer after the first `t` tokens of a text, for every `t`, as bounds. The text is `text`,
    /// or else the greedy one. The reader reads the text from its beginning: what the first tokens say counts.
    ///
    /// With `p` the probability of token `t + 1`, what is known after `t + 1` tokens counts `p` times after `t` tokens.
    /// So the points are found from the last to the first, and only the other tokens are explored at each.
    ///
    /// # Errors
    /// If there is no room for a text, the text's tokens are not known, or the model fails.
    pub fn decide(
        &self,
        given: &Given,
        text: Option<&str>,
        reader: &Reader,
        options: &DecideOptions,
    ) -> Result<DecisionCurve> {
        let (prompt, own) = self.split(given, text)?;
        self.decide_tokens(prompt, own, reader, options, &mut |_, _| {})
    }

    /// The same after exactly these tokens of a prompt, and of a text if there is one. `found` is called with the number of
    /// tokens of the text and what is known after them, as soon as it is known: from the last to the first.
    ///
    /// # Errors
    /// As for [`Model::decide`].
    pub fn decide_tokens(
        &self,
        prompt: Vec<TokenId>,
        own: Option<Vec<TokenId>>,
        reader: &Reader,
        options: &DecideOptions,
        found: &mut dyn FnMut(usize, &DecisionPoint),
    ) -> Result<DecisionCurve> {
        self.need_tokens("decide")?;
        reader.notes().iter().for_each(|note| self.events().note(note));
        let mut line = self.line(prompt, own, options.max_new_tokens)?;
        let (first, count) = (line.first, line.scored.len());
        let closed = !reader.names().is_empty();
        let look = AnswerOptions {
            tolerance: Some(options.tolerance),
            max_depth: options.max_depth,
            max_nodes: options.max_nodes,
            batch: options.batch,
            max_time: std::time::Duration::MAX,
        };
        let mut points: Vec<DecisionPoint> = Vec::with_capacity(count + 1);
        let mut stopped = false;
        for t in (0..=count).rev() {
            let read = &line.tokens[first..first + t];
            let next = line.scored.get(t);
            let mut ledger = Ledger::of(reader.names());
            let whole = read.last().is_some_and(|id| self.end_tokens().contains(id));
            let verdict = reader.read(&self.text_so_far(read.iter().copied()), whole);
            let fixed = verdict != Verdict::Open;
            if fixed {
                ledger.settle(verdict, 1.0);
            } else if let (Some(next), Some(after)) = (next, points.last()) {
                ledger.add(&after.ledger, next.prob());
            }
            stopped |= self.events().stop();
            let mut point = DecisionPoint {
                token: t.checked_sub(1).map(|last| line.scored[last]),
                entropy: entropy(&ledger, closed),
                ledger,
                steps: 0,
                nodes: 0,
                ended_by: if stopped && !fixed { AnswersEnd::Interrupted } else { AnswersEnd::Tolerance },
            };
            if !stopped && within(&point.ledger, options.tolerance).is_none() {
                let start = Start {
                    place: line.place(first + t)?,
                    length: first + t,
                    read,
                    known: next.map(|n| n.id),
                    ledger: point.ledger,
                    progress: format!("after {t} of {count} tokens · "),
                };
                let enough = |ledger: &Ledger, open: &dyn Fn() -> f64| {
                    let little = || (open() <= options.tolerance * LITTLE).then_some(AnswersEnd::Exhausted);
                    within(ledger, options.tolerance).or_else(little)
                };
                let (looked, session) = self.look(line.session, start, reader, &look, enough)?;
                line.session = session;
                point.entropy = entropy(&looked.ledger, closed);
                (point.ledger, point.steps, point.nodes) = (looked.ledger, looked.steps, looked.nodes);
                point.ended_by = looked.ended_by;
            }
            found(t, &point);
            points.push(point);
        }
        points.reverse();
        let decided = decided(points.iter().map(|p| &p.ledger));
        Ok(DecisionCurve { text: self.text_of(line.tokens[first..].iter().copied()), points, decided })
    }

    /// A prompt and a text after it as nodes of a session: the given tokens, or the greedy ones until an end token, the
    /// limit, or the end of the context.
    fn line(&self, prompt: Vec<TokenId>, own: Option<Vec<TokenId>>, most: usize) -> Result<Line> {
        let mut session = self.session()?;
        let first = prompt.len();
        let mut nodes = session.push_all(None, &prompt)?;
        let mut tokens = prompt;
        let mut scored: Vec<TokenStats> = Vec::new();
        match own {
            Some(own) => {
                nodes.extend(session.push_all(nodes.last().copied(), &own)?);
                tokens.extend(own);
                let query = |i: usize| Query { tokens: &tokens[i..=i], ..Query::top(nodes[i - 1], 0) };
                let queries: Vec<Query<'_>> = (first..tokens.len()).map(query).collect();
                for batch in queries.chunks(session.width()) {
                    if self.events().stop() {
                        fail!(Interrupted, "it was stopped before the text was read");
                    }
                    let found = session.evaluate(batch)?;
                    scored.extend(found.into_iter().filter_map(|d| d.tokens.first().copied()));
                }
            }
            None => {
                let work = Work(self.events());
                let most = most.min(self.context_length().saturating_sub(first));
                while scored.len() < most && !self.events().stop() {
                    let node = *nodes.last().context("the prompt has no tokens")?;
                    let found = session.evaluate(&[Query::top(node, 1)])?;
                    let Some(&token) = found.first().and_then(|d| d.top.first()) else { break };
                    nodes.push(session.push(Some(node), token.id)?);
                    tokens.push(token.id);
                    scored.push(token);
                    work.words(|| format!("generating: {} tokens", scored.len()));
                    if self.end_tokens().contains(&token.id) {
                        break;
                    }
                }
            }
        }
        if first == 0 || nodes.len() != tokens.len() || scored.len() != tokens.len() - first {
            fail!(Input, "the text has no tokens after the prompt");
        }
        Ok(Line { session, tokens, nodes, first, scored })
    }
}

/// A prompt and a text in a session.
struct Line {
    session: Box<dyn Session>,
    /// All tokens, and the session's node of each.
    tokens: Vec<TokenId>,
    nodes: Vec<NodeHandle>,
    /// Number of the prompt's tokens.
    first: usize,
    /// The text's tokens with their logprobs.
    scored: Vec<TokenStats>,
}

impl Line {
    /// The place after so many tokens.
    fn place(&self, length: usize) -> Result<Place> {
        let last = length.checked_sub(1).context("the prompt has no tokens")?;
        let before = last.checked_sub(1).map(|i| self.nodes[i]);
        Ok(Place { node: self.nodes[last], token: self.tokens[last], before })
    }
}
