//! Texts in the making, for all clients at once: one batch a step, whatever they ask for.
//!
//! Sequences are paths of one tree ([`paths`]), so what begins alike is computed once. A step moves every sequence that generates
//! on by a token, and fills what is left of its budget with prompts; so nobody waits for another's long prompt. Rows are
//! a cache: a sequence that there is no room for waits without them, and they are made again, to the same bits.

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

/// Positions of prompts that are evaluated in a step.
const PORTION: usize = 128;
/// Rows of all sequences together, unless a single one needs more.
const ROWS: usize = 16_384;
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
        let went = guarded("generating", || {
            self.waiting.extend(self.orders.arrived().map(Sequence::new));
            self.drop_abandoned();
            Ok(self.admit().map_err(Into::into).and_then(|()| self.advance()))
        });
        match went {
            Ok(Ok(went)) => return went,
            Ok(Err(e)) => self.fail(&format!("{e:#}")),
            Err(e) => {
                // What the sequences hold of their paths may be broken: it goes as it is.
                self.tell(&format!("{e:#}"));
                self.active.clear();
                let _ = guarded("generating", || Ok(self.paths.clear()?));
            }
        }
        true
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

    /// Tells all that are active why they end.
    fn tell(&self, why: &str) {
        for s in &self.active {
            let _ = s.events.try_send(Err(why.to_owned()));
        }
    }

    /// Ends all that are active, since the model failed.
    fn fail(&mut self, why: &str) {
        self.tell(why);
        self.end(|_| true);
        // What is held of the session may be broken; a new one fails again if it must.
        let _ = self.paths.clear();
    }
}
