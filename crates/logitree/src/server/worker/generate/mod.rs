//! Texts in the making, for all clients at once: one batch a step, whatever they ask for.
//!
//! Sequences are paths of one tree ([`paths`]), so what begins alike is computed once. A step moves every sequence that generates
//! on by a token, and fills what is left of its budget with prompts; so nobody waits for another's long prompt. Rows are
//! a cache: a sequence that there is no room for waits without them, and they are made again, to the same bits.

mod paths;
mod sequence;
#[cfg(test)]
mod tests;
mod text;

use anyhow::Result;
use logitree_core::sampling::Sampler;
use logitree_core::{LanguageModel, ModelError, TokenId, TokenStats};
use paths::Paths;
use sequence::Sequence;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::mpsc::Receiver;

/// Sequences that are evaluated at once.
const ACTIVE: usize = 64;
/// Sequences that are evaluated or wait: more are refused.
const SEATS: usize = 1024;
/// Positions of prompts that are evaluated in a step.
const PORTION: usize = 128;
/// Rows of all sequences together, unless a single one needs more.
const ROWS: usize = 16_384;
/// Nodes named in a session before it is made anew, while sequences run and when none does: released ones stay in its table.
const TABLE: usize = 200_000;
const TABLE_AT_REST: usize = 20_000;
/// Steps that a client may be behind before its sequences wait for it.
const BEHIND: usize = 2 * ACTIVE;

/// How to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// With 0, only the prompt is looked at.
    pub max_tokens: usize,
    pub sampler: Sampler,
    /// Strings that end the text; none may be empty.
    pub stop: Vec<String>,
    /// Go on after an end token.
    pub ignore_eos: bool,
    /// Whether the prompt's own tokens are scored.
    pub prompt_logprobs: bool,
    /// Most likely tokens to list per position.
    pub top: usize,
}

/// A text to be made.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which one of its request's it is.
    pub index: usize,
    /// One token at least, and no more than fit the context.
    pub prompt: Vec<TokenId>,
    pub seed: u64,
}

/// A token and how likely it was.
#[derive(Clone, Debug)]
pub struct Scored {
    pub token: TokenId,
    /// None for the first token of a sequence.
    pub logprob: Option<f64>,
    /// The most likely tokens in its place.
    pub top: Vec<TokenStats>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end token or a stop string.
    Stop,
    /// As many tokens as were wanted, or as the context has room for.
    Length,
}

/// What a step brought for one text.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub index: usize,
    /// Tokens of the prompt, the next ones in order.
    pub prompt: Vec<Scored>,
    /// The next token of the text.
    pub token: Option<Scored>,
    /// Text that is certain now.
    pub text: String,
    pub finish: Option<Finish>,
}

/// What a request is told; the channel closes without a word when the engine goes down.
pub type Event = Result<Step, String>;

/// A place among the sequences that wait or run.
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where requests hand in what they want generated.
#[derive(Clone)]
pub struct Desk {
    sequences: mpsc::Sender<Vec<Sequence>>,
    taken: Arc<AtomicUsize>,
}

/// The other side of a [`Desk`].
pub struct Orders(mpsc::Receiver<Vec<Sequence>>);

/// Why nothing was taken in.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// So many sequences wait or run already.
    Full(usize),
    /// The engine has stopped.
    Closed,
}

impl Desk {
    /// A desk, and where its orders arrive.
    pub fn new() -> (Desk, Orders) {
        let (sequences, arriving) = mpsc::channel();
        (Desk { sequences, taken: Arc::default() }, Orders(arriving))
    }

    /// Sequences that wait or run.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Hands in the texts of one request. Dropping the receiver ends them all.
    pub fn submit(&self, options: Options, tasks: Vec<Task>) -> Result<Receiver<Event>, Refused> {
        let (options, n) = (Arc::new(options), tasks.len());
        let free = |taken: usize| (taken + n <= SEATS).then_some(taken + n);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, free).map_err(Refused::Full)?;
        let (events, receiver) = tokio::sync::mpsc::channel(BEHIND);
        let sequence = |task| Sequence::new(task, options.clone(), events.clone(), Seat(self.taken.clone()));
        self.sequences.send(tasks.into_iter().map(sequence).collect()).map_err(|_| Refused::Closed)?;
        Ok(receiver)
    }
}

/// Generates for everybody.
pub struct Generator<'m> {
    model: &'m dyn LanguageModel,
    orders: Orders,
    waiting: VecDeque<Sequence>,
    active: Vec<Sequence>,
    paths: Paths<'m>,
}

impl<'m> Generator<'m> {
    pub fn new(model: &'m dyn LanguageModel, orders: Orders) -> Result<Self> {
        let paths = Paths::new(model)?;
        Ok(Generator { model, orders, waiting: VecDeque::new(), active: Vec::new(), paths })
    }

    /// Whether there is anything to do.
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty() || !self.waiting.is_empty()
    }

    /// Moves every sequence on; whether any did.
    pub fn step(&mut self) -> bool {
        self.waiting.extend(self.orders.0.try_iter().flatten());
        self.drop_abandoned();
        let went = self.admit().map_err(Into::into).and_then(|()| self.advance());
        went.unwrap_or_else(|e| {
            self.fail(&format!("{e:#}"));
            true
        })
    }

    /// Ends what nobody listens to any more.
    fn drop_abandoned(&mut self) {
        self.waiting.retain(|s| !s.events.is_closed());
        self.end(|s| s.events.is_closed());
    }

    /// Takes out active sequences.
    fn end(&mut self, is_over: impl Fn(&Sequence) -> bool) {
        let paths = &mut self.paths;
        self.active.retain_mut(|s| {
            let over = is_over(s);
            if over {
                s.leave(paths);
            }
            !over
        });
    }

    /// Makes the youngest sequence wait without rows.
    fn park(&mut self) {
        if let Some(mut s) = self.active.pop() {
            s.leave(&mut self.paths);
            self.waiting.push_front(s);
        }
    }

    /// Lets in who waits, as far as there is room.
    fn admit(&mut self) -> Result<(), ModelError> {
        while self.paths.pinned() > ROWS && self.active.len() > 1 {
            self.park();
        }
        if self.paths.named() > if self.is_busy() { TABLE } else { TABLE_AT_REST } {
            while !self.active.is_empty() {
                self.park();
            }
            self.paths.clear()?;
        }
        while self.active.len() < ACTIVE
            && let Some(next) = self.waiting.front()
        {
            let needed = self.paths.pinned() + self.active.iter().map(Sequence::to_come).sum::<usize>();
            if !self.active.is_empty() && needed + self.paths.missing(next.tokens()) + PORTION > ROWS {
                break;
            }
            self.active.extend(self.waiting.pop_front());
        }
        Ok(())
    }

    /// One batch for all that are active; whether there was any.
    fn advance(&mut self) -> Result<bool> {
        let mut order: Vec<usize> = (0..self.active.len()).collect();
        // Those that generate come first: prompts get what is left.
        order.sort_by_key(|&i| !self.active[i].is_decoding());
        let (mut asks, mut moves, mut left) = (Vec::new(), Vec::new(), PORTION);
        for i in order {
            let sequence = &mut self.active[i];
            // A client that does not read is not computed for.
            let Ok(permit) = sequence.events.clone().try_reserve_owned() else { continue };
            let mut own = 1;
            let budget = if sequence.is_decoding() { &mut own } else { &mut left };
            if *budget > 0 {
                let asked = sequence.plan(&mut self.paths, budget, &mut asks)?;
                moves.push((i, asked, permit));
            }
        }
        let answers = self.paths.evaluate(&asks)?;
        let went = !moves.is_empty();
        for (i, asked, permit) in moves {
            if let Some(step) = self.active[i].take(self.model, &asked, &answers)? {
                permit.send(Ok(step));
            }
        }
        self.end(Sequence::is_over);
        Ok(went)
    }

    /// Tells all that are active that the model failed.
    fn fail(&mut self, why: &str) {
        for s in &self.active {
            let _ = s.events.try_send(Err(why.to_owned()));
        }
        self.end(|_| true);
        // What is held of the session may be broken; a new one fails again if it must.
        let _ = self.paths.clear();
    }
}
