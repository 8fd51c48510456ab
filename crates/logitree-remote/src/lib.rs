//! Next-token distributions from a server: the same trait as the local engine's, over HTTP.
//!
//! [`RemoteModel`] asks one or several servers of one model. A frontier level becomes few requests: arrays of prompts
//! where a server takes them, else requests side by side. Every path stays with one server, whose prefix cache then
//! holds it; what a failing server was asked goes to the others.
//!
//! A server lists the k most likely tokens at best. What follows from the list alone is a bound, and marked so
//! ([`logitree_core::Exactness::LowerBound`]); docs/engines.md says which bound.
//!
//! * `http`: one server, its errors told apart.
//! * `dialect`: what each kind of server is asked, and how it answers.
//! * [`probe`](Probe): what a server is and can do.
//! * `pool`: requests side by side, repeated, and moved to other servers.
//! * `vocabulary`: texts of tokens; from the server, if there is no local tokenizer.

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
    /// What was given as an address is not one.
    #[error("{url}: {why}; give the server's address, such as http://host:8000/v1")]
    Address {
        /// The address as it was given.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The server refused a request.
    #[error("{server} refuses ({status}): {message}")]
    Refused {
        /// Its address.
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
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
}
