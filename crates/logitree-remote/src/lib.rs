//! Next-token distributions from servers over HTTP, with the same trait as the local engine.
//!
//! [`RemoteModel`] asks one or several servers of one model. A frontier level becomes few requests: arrays of prompts
//! where a server takes them, else requests side by side. Every path stays with one server, whose prefix cache then
//! holds it; if a server fails, its paths go to the others.
//!
//! A server lists the k most likely tokens at best. Numbers that need the whole distribution are bounds then, and
//! marked so ([`logitree_core::Exactness::LowerBound`]); docs/engines.md says which bounds.
//!
//! * `http` sends a request to one server and sorts failures by what can be done about them.
//! * `dialect` knows what each kind of server is asked, and how it answers.
//! * [`probe`](Probe) finds out what a server is and can do.
//! * `pool` sends requests side by side, repeats them, and moves them to other servers.
//! * `vocabulary` has the texts of tokens, from a local tokenizer or from the server.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod dialect;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod model;
mod pool;
mod probe;
mod servers;
mod session;
mod vocabulary;

pub use dialect::ServerKind;
pub use model::{ConnectOptions, RemoteModel};
pub use pool::Traffic;
pub use probe::Probe;
pub use vocabulary::Vocabulary;

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The given address is not the address of a server.
    #[error("{url}: {why}; give the server's address, such as http://host:8000/v1")]
    Address {
        /// The address as it was given.
        url: String,
        /// Why it cannot be used.
        why: String,
    },
    /// The server refused a request.
    #[error("{server} refuses ({status}): {message}")]
    Refused {
        /// The server's address.
        server: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// No server answers as it should.
    #[error("{0}")]
    Unreachable(String),
    /// Servers that cannot work together, or lack what is needed.
    #[error("{0}")]
    Unfit(String),
    /// The user interrupted the requests.
    #[error("interrupted")]
    Interrupted,
}
