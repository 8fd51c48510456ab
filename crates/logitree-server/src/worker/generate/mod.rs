//! Generates texts for all clients at once, with one batch of the model per step.
//!
//! A sequence is a path in one common tree ([`paths`]), so what begins alike is computed once. In each step, every
//! sequence that is generating advances by one token; then up to [`PORTION`] positions of prompts are evaluated. So no
//! text waits for another's long prompt.
//!
//! The rows of the model's cache are limited to [`ROWS`]. When there are too many, the sequence that was admitted last
//! releases its rows and waits. When it is admitted again, its rows are computed again, with the same bits, and it
//! continues where it was.

mod desk;
mod paths;
mod sequence;
#[cfg(test)]
pub mod tests;
mod text;

pub use desk::{Desk, Event, Finish, Options, Orders, Refused, Scored, Step, Task};

use super::guarded::guarded;
use desk::ACTIVE;
use logitree::Result;
use logitree_core::{LanguageModel, ModelError};
use paths::Paths;
use sequence::Sequence;
use std::collections::VecDeque;

/// Number of positions of prompts that are evaluated in one step.
const PORTION: usize = 128;
/// Largest number of rows of all sequences together, unless a single one needs more.
const ROWS: usize = 16_384;
/// Generates the texts of all clients.
pub struct Generator<'m> {
    model: &'m dyn LanguageModel,
    orders: &'m Orders,
    waiting: VecDeque<Sequence>,
    active: Vec<Sequence>,
    paths: Paths<'m>,
}

impl<'m> Generator<'m> {
    pub fn new(model: &'m dyn LanguageModel, orders: &'m Orders) -> Result<Self> {
        let paths = Paths::new(model)?;
        Ok(Generator { model, orders, waiting: VecDeque::new(), active: Vec::new(), paths })
    }

    /// Whether there is any work to do.
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty() || !self.waiting.is_empty()
    }

    /// Advances every sequence by one step; returns whether any could advance.
    pub fn step(&mut self) -> bool {
        let went = guarded("generating", || {
            self.waiting.extend(self.orders.arrived().map(Sequence::new));
            self.drop_abandoned();
            Ok(self.admit().map_err(Into::into).and_then(|()| self.advance()))
        });
        match went {
            Ok(Ok(went)) => return went,
            Ok(Err(e)) => self.fail(&format!("{e:#}")),
            Err(e) => {
                // After a panic, the sequences' paths may be inconsistent, so they are dropped without releasing their
                // nodes one by one.
                self.tell(&format!("{e:#}"));
                self.active.clear();
                let _ = guarded("generating", || Ok(self.paths.clear()?));
            }
        }
        true
    }

    /// Ends sequences whose client has disconnected.
    fn drop_abandoned(&mut self) {
        self.waiting.retain(|s| !s.events.is_closed());
        self.end(|s| s.events.is_closed());
    }

    /// Ends the active sequences for which `is_over` is true.
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

    /// Makes the sequence that was admitted last release its rows and wait.
    fn park(&mut self) {
        if let Some(mut s) = self.active.pop() {
            s.leave(&mut self.paths);
            self.waiting.push_front(s);
        }
    }

    /// Admits waiting sequences while there is room for their rows.
    fn admit(&mut self) -> Result<(), ModelError> {
        while self.paths.pinned() > ROWS && self.active.len() > 1 {
            self.park();
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

    /// Evaluates one batch for all active sequences; returns whether any advanced.
    fn advance(&mut self) -> Result<bool> {
        let mut order: Vec<usize> = (0..self.active.len()).collect();
        // Sequences that generate come first; prompts share the budget that is left.
        order.sort_by_key(|&i| !self.active[i].is_decoding());
        let (mut asks, mut moves, mut left) = (Vec::new(), Vec::new(), PORTION);
        for i in order {
            let sequence = &mut self.active[i];
            // The channel is full because the client does not read: compute nothing more for it now.
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

    /// Sends all active sequences the reason why they end.
    fn tell(&self, why: &str) {
        for s in &self.active {
            let _ = s.events.try_send(Err(why.to_owned()));
        }
    }

    /// Ends all active sequences after a failure of the model.
    fn fail(&mut self, why: &str) {
        self.tell(why);
        self.end(|_| true);
        // The session may be inconsistent, so a new one is opened. If that fails, the next step reports a failure
        // again.
        let _ = self.paths.clear();
    }
}
