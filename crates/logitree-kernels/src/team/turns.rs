//! How members behave while other programs use their cores.
//!
//! The system lets threads that share a core take turns of some milliseconds. A member whose turn ends amid an index
//! makes the leader wait for the others' turns. One that gives its core away between two steps does not, and loses
//! no more than the rest of its own turn.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Steps for which cores are taken to be short after a member was late.
const REMEMBERED: u32 = 2000;
/// The part of its turn that a member uses. Turns are 3 ms or more on most systems.
const USED: Duration = Duration::from_millis(1);
/// A longer time between two looks at the clock means that another thread had the core, so that the turn is a new one.
const GAP: Duration = Duration::from_millis(1);

/// Whether members were late recently: the number of steps for which this is remembered.
pub(super) struct Shortage(AtomicU32);

impl Shortage {
    pub(super) fn new() -> Shortage {
        Shortage(AtomicU32::new(0))
    }

    /// Tells how a step ended; only the leader does.
    pub(super) fn step(&self, late: bool) {
        let left = self.0.load(Ordering::Relaxed);
        if late || left > 0 {
            self.0.store(if late { REMEMBERED } else { left - 1 }, Ordering::Relaxed);
        }
    }

    fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// A member's turn on its core.
pub(super) struct Turn {
    began: Instant,
    seen: Instant,
}

impl Turn {
    pub(super) fn new() -> Turn {
        let now = Instant::now();
        Turn { began: now, seen: now }
    }

    /// Called before each step.
    pub(super) fn begin(&mut self, shortage: &Shortage) {
        if shortage.now() {
            self.look();
        }
    }

    /// Called after each step: gives the core away if the turn would soon end.
    pub(super) fn end(&mut self, shortage: &Shortage) {
        if shortage.now() {
            self.look();
            if self.seen - self.began > USED {
                thread::yield_now();
                *self = Turn::new();
            }
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if now - self.seen > GAP {
            self.began = now;
        }
        self.seen = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_member_is_remembered_for_so_many_steps() {
        let shortage = Shortage::new();
        shortage.step(false);
        assert!(!shortage.now());
        for _ in 0..2 {
            shortage.step(true);
        }
        for _ in 0..REMEMBERED {
            assert!(shortage.now());
            shortage.step(false);
        }
        assert!(!shortage.now());
    }
}
