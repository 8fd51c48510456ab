//! Who takes part in a step.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that holds the step and who takes part in it, so that a member joins only if the step is still the one that
/// it saw and is open: bits 0 to 14 count the members at work, bit 15 is set when the step is closed, bits 16 to 31 count
/// the members that have joined, and bits 32 to 63 the steps.
pub(super) struct Gate(AtomicU64);

const CLOSED: u64 = 1 << 15;
const AT_WORK: u64 = CLOSED - 1;
const JOINED: u64 = 1 << 16;

/// Most members that it can count.
pub(super) const MOST: usize = AT_WORK as usize;

impl Gate {
    /// Step 0, which is closed.
    pub(super) fn new() -> Gate {
        Gate(AtomicU64::new(CLOSED))
    }

    /// The number of the step that is open, or was last. After 2³² steps numbers come again, which no member sleeps
    /// through.
    pub(super) fn step(&self) -> u32 {
        (self.0.load(Ordering::SeqCst) >> 32) as u32
    }

    /// Members that have joined the step.
    pub(super) fn joined(&self) -> usize {
        (self.0.load(Ordering::Acquire) / JOINED % JOINED) as usize
    }

    /// Members that have joined the step and not left it.
    pub(super) fn at_work(&self) -> usize {
        (self.0.load(Ordering::Acquire) & AT_WORK) as usize
    }

    /// Begins the next step. The step before must be closed and left by all.
    pub(super) fn open(&self) {
        let next = self.step().wrapping_add(1);
        self.0.store(u64::from(next) << 32, Ordering::SeqCst);
    }

    /// From now on nobody joins the step.
    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Joins a step, if it is still open.
    pub(super) fn join(&self, step: u32) -> bool {
        let open = |gate: u64| (gate >> 32) as u32 == step && gate & CLOSED == 0;
        let join = |gate| open(gate).then_some(gate + JOINED + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, join).is_ok()
    }

    /// Leaves the step. What the member has written is there for whoever sees that it is not at work.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_joined_while_it_is_open_and_only_by_those_who_saw_it() {
        let gate = Gate::new();
        assert!(!gate.join(0));
        gate.open();
        assert!(!gate.join(0) && gate.join(1) && gate.join(1));
        assert_eq!((gate.step(), gate.joined(), gate.at_work()), (1, 2, 2));
        gate.leave();
        gate.close();
        assert!(!gate.join(1));
        assert_eq!((gate.step(), gate.joined(), gate.at_work()), (1, 2, 1));
        gate.leave();
        gate.open();
        assert!(!gate.join(1) && gate.join(2));
        assert_eq!((gate.joined(), gate.at_work()), (1, 1));
    }
}
