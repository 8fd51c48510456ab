//! Local inference.
//!
//! * [`weights`]: GGUF and safetensors files behind one interface, and the model's [`config`].
//! * [`tokenizer`]: text to token ids and back to bytes.
//! * [`chat`]: the model's own chat template.
//! * [`LocalModel`] and [`LocalSession`]: a model in this process, over a tree-shaped KV store.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod angles;
pub mod chat;
pub mod config;
mod depth;
mod distribution;
mod error;
mod experts;
mod forward;
mod json;
mod kv;
mod layer;
mod model;
mod network;
mod packing;
mod quiet;
mod session;
pub mod tokenizer;
pub mod weights;

pub use logitree_kernels::{Arithmetic, Backend, Compute, SUMMATION_ORDER, UnknownArithmetic};
pub use model::{Cost, LoadError, LocalModel, tokenizer_of};
pub use quiet::quietly;
pub use session::LocalSession;
