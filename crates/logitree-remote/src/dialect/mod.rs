//! What each kind of server is asked for one step after many paths, and how it answers.
//!
//! Every request asks for the model's own distribution: temperature 1, nothing cut, no penalties, whatever defaults the
//! server was started with.

mod kind;
mod list;
mod llama_server;
mod openai;
mod sglang;
mod vllm;

pub use kind::ServerKind;
pub(crate) use list::{List, ListQuery, Listed, Paths, number, possible};
