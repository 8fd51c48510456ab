//! Local inference.
//!
//! * [`weights`]: GGUF and safetensors files behind one interface, and the model's [`config`].
//! * [`tokenizer`]: text to token ids and back to bytes.
//! * [`chat`]: the model's own chat template.

pub mod chat;
pub mod config;
pub mod tokenizer;
pub mod weights;
