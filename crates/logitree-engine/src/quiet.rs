//! Turns panics of a library into errors, where the library was not written for untrusted files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`quietly`], where a panic becomes an error.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `work`, and returns `None` if it panics. Then nothing is printed; the caller makes an error of it.
///
/// A process has only one panic hook. The hook that is set here passes every other panic on to the hook that was there
/// before, so no other panic is hidden.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            // A thread that is ending may have no thread-local state any more, hence `try_with`.
            if !EXPECTED.try_with(Cell::get).unwrap_or(false) {
                others(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    // `AssertUnwindSafe`: the values that a panic leaves incomplete are dropped, because the call ends in an error.
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
