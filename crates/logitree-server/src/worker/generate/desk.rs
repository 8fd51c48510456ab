//! The channel between requests and the generator: orders in one direction, steps of texts in the other.

use logitree_core::sampling::Sampler;
use logitree_core::{TokenId, TokenStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::mpsc::Receiver;

/// Number of sequences that are evaluated at once.
pub const ACTIVE: usize = 64;
/// Number of sequences that are evaluated or wait; a request beyond this is refused.
pub const SEATS: usize = 1024;
/// Number of steps that a client may be behind before its sequences wait for it.
pub const BEHIND: usize = 2 * ACTIVE;

/// How a text is generated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Largest number of tokens to generate. With 0, only the prompt is evaluated.
    pub max_tokens: usize,
    pub sampler: Sampler,
    /// Strings that end the text; none may be empty.
    pub stop: Vec<String>,
    /// Whether to continue after an end token.
    pub ignore_eos: bool,
    /// Whether the prompt's own tokens are scored.
    pub prompt_logprobs: bool,
    /// Number of most likely tokens to list at each position.
    pub top: usize,
}

/// A text to generate.
#[derive(Clone, Debug)]
pub struct Task {
    /// Index of the text among those of its request.
    pub index: usize,
    /// The prompt: at least one token, and no more than fit the context.
    pub prompt: Vec<TokenId>,
    pub seed: u64,
}

/// A token with its statistics.
#[derive(Clone, Debug)]
pub struct Scored {
    pub token: TokenId,
    /// Log probability and rank; `None` for the first token of a sequence, as nothing comes before it.
    pub stats: Option<TokenStats>,
    /// The most likely tokens at this position.
    pub top: Vec<TokenStats>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end token or a stop string came.
    Stop,
    /// The largest number of tokens was generated, or the context is full.
    Length,
}

/// The news of one step for one text.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub index: usize,
    /// Scored tokens of the prompt: those that follow the ones already sent.
    pub prompt: Vec<Scored>,
    /// The next generated token.
    pub token: Option<Scored>,
    /// New text that is certain.
    pub text: String,
    pub finish: Option<Finish>,
}

/// A message to a request. The channel closes without an error when the engine stops.
pub type Event = Result<Step, String>;

/// A place among the sequences that wait or run; dropping it frees the place.
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An order for a text: what to generate, how, and where to send it.
pub struct Order {
    /// The text to generate.
    pub task: Task,
    /// How to generate it; shared by all texts of a request.
    pub options: Arc<Options>,
    /// Where every step is sent.
    pub events: tokio::sync::mpsc::Sender<Event>,
    /// The place that the order takes; free again when this is dropped.
    pub seat: Seat,
}

/// The requests' side of the channel: accepts orders for texts.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Vec<Order>>,
    taken: Arc<AtomicUsize>,
}

/// The generator's side of a [`Desk`].
pub struct Orders(mpsc::Receiver<Vec<Order>>);

impl Orders {
    /// The orders that came since the last call.
    pub(super) fn arrived(&self) -> impl Iterator<Item = Order> {
        self.0.try_iter().flatten()
    }

    /// Refuses the orders that came since the last call.
    pub fn refuse(&self, why: &str) {
        for order in self.arrived() {
            let _ = order.events.try_send(Err(why.to_owned()));
        }
    }
}

/// Why orders were refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// This many sequences wait or run already.
    Full(usize),
    /// The engine has stopped.
    Closed,
}

impl Desk {
    /// Makes a desk and the receiver of its orders.
    pub fn new() -> (Desk, Orders) {
        let (orders, arriving) = mpsc::channel();
        (Desk { orders, taken: Arc::default() }, Orders(arriving))
    }

    /// Number of sequences that wait or run.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Orders the texts of one request. Dropping the returned receiver cancels them all.
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
