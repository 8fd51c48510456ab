//! Where requests hand in what they want generated, and what they are told.

use logitree_core::sampling::Sampler;
use logitree_core::{TokenId, TokenStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::mpsc::Receiver;

/// Sequences that are evaluated at once.
pub const ACTIVE: usize = 64;
/// Sequences that are evaluated or wait: more are refused.
pub const SEATS: usize = 1024;
/// Steps that a client may be behind before its sequences wait for it.
pub const BEHIND: usize = 2 * ACTIVE;

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
    /// Log probability and rank; none for the first token of a sequence.
    pub stats: Option<TokenStats>,
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

/// A text that was ordered: what to make, how, and who is told.
pub struct Order {
    /// What to make.
    pub task: Task,
    /// How; one for all texts of a request.
    pub options: Arc<Options>,
    /// Told of every step.
    pub events: tokio::sync::mpsc::Sender<Event>,
    /// Its place, free again when this is dropped.
    pub seat: Seat,
}

/// Where requests hand in what they want generated.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Vec<Order>>,
    taken: Arc<AtomicUsize>,
}

/// The other side of a [`Desk`].
pub struct Orders(mpsc::Receiver<Vec<Order>>);

impl Orders {
    /// What was handed in since the last look.
    pub(super) fn arrived(&self) -> impl Iterator<Item = Order> {
        self.0.try_iter().flatten()
    }
}

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
        let (orders, arriving) = mpsc::channel();
        (Desk { orders, taken: Arc::default() }, Orders(arriving))
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
        let order =
            |task| Order { task, options: options.clone(), events: events.clone(), seat: Seat(self.taken.clone()) };
        self.orders.send(tasks.into_iter().map(order).collect()).map_err(|_| Refused::Closed)?;
        Ok(receiver)
    }
}
