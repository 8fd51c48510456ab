//! Panics of a library that was not written for files from strangers.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected, and becomes an error.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `work`; `None` if it panics. Nothing is printed then: what went wrong becomes an error of ours.
///
/// The process has one panic hook. Ours is put before whatever was there and hands on every panic that is not one of this
/// function's, so nobody else's is hidden.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            // A thread that is ending has no such state any more.
            if !EXPECTED.try_with(Cell::get).unwrap_or(false) {
                others(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    // What a panic leaves half-done is thrown away with the error.
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_and_later_work_goes_on() {
        assert_eq!(quietly(|| 1), Some(1));
        assert_eq!(quietly(|| -> u8 { panic!("not to be seen") }), None);
        assert!(!EXPECTED.get());
        assert_eq!(quietly(|| quietly(|| -> u8 { panic!("nor this") })), Some(None));
        assert!(!EXPECTED.get());
    }
}
