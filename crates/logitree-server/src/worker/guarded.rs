//! Turns a panic into an error, so that it ends one piece of work and not the server.

use logitree::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does some work. A panic becomes an error that contains `what`, the description of the work.
pub fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("internal error while {what}: {}", why.unwrap_or("it panicked"));
        Err(Error::new(ErrorKind::Internal, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_what_was_being_done() {
        let error = guarded("exploring", || -> Result<()> { panic!("node {} was already visited", 7) }).unwrap_err();
        assert_eq!(error.to_string(), "internal error while exploring: node 7 was already visited");
        assert_eq!(error.kind(), ErrorKind::Internal);
        let other = guarded("exploring", || -> Result<()> { Err(Error::new(ErrorKind::Io, "no disk")) }).unwrap_err();
        assert!(other.kind() == ErrorKind::Io && other.to_string() == "no disk");
    }
}
