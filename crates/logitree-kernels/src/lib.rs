//! Exact kernels over quantised weights.
//!
//! This crate computes what a forward pass consists of. Every kernel is one algorithm, written once over thin SIMD
//! backends, of which one is chosen at run time. Unsafe code is allowed in this crate and, for the map of weight files,
//! in `logitree-engine/src/weights/map.rs`; the workspace denies it everywhere else. Each block says why it is sound.
//!
//! **Order.** Every reduction runs in an order that depends on the sequence alone, and all backends
//! perform the same correctly rounded operations: in one [`Arithmetic`], results are bit-identical
//! whatever the batch, the number of threads and the instruction set.
//!
//! A layer of a model calls, in this order:
//!
//! * [`Residual`] adds the last result to the residual stream, norms it, and writes it as [`Panels`], the form that
//!   products take;
//! * [`matmul()`] multiplies it with one or more [`PackedMatrix`]es, weights that are repacked so that a vector's lanes
//!   are rows;
//! * [`Projections`] finishes queries, keys and values (biases, norms, rotation) and stores keys and values in
//!   [`KvPages`];
//! * [`attention()`] lets each node of the batch look at the rows of its own path;
//! * [`gated`] multiplies the two halves of a feed-forward layer;
//! * [`head()`], after the last layer, fuses the output matrix with softmax statistics, the most likely tokens and
//!   ranks.
//!
//! [`Compute`] holds what they all run on: threads, a [`Backend`], an [`Arithmetic`] and scratch memory.
//!
//! **To read the code**, begin with `simd/vector.rs` (the operations), `pack.rs` (how weights lie in memory),
//! `panels.rs` (how activations do) and `matmul.rs` (how they meet: blocks of weights in `pack/decode.rs`, the inner
//! loop in `micro.rs`). The two other arithmetics are `pieces.rs` and `rounded.rs`, each with its strips in a folder of
//! its name. `strips.rs` and `team.rs` share the work out to threads.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![allow(unsafe_code)]

mod arithmetic;
mod attention;
mod bf16;
mod buffer;
mod compute;
mod dtype;
mod groups;
mod head;
mod kv;
mod layer_inputs;
mod math;
mod matmul;
mod micro;
mod ops;
mod pack;
mod panels;
mod partial;
mod pieces;
mod probe;
mod projections;
mod quant;
mod rounded;
mod simd;
mod strips;
mod team;

pub use arithmetic::{Arithmetic, SUMMATION_ORDER, UnknownArithmetic};
pub use attention::{AttentionShape, Visible, attention};
pub use compute::Compute;
pub use dtype::DType;
pub use head::{Summary, Wanted, head, logits_sha256};
pub use kv::KvPages;
pub use layer_inputs::LayerInputs;
pub use matmul::{Product, matmul};
pub use ops::{Gate, Residual, RmsNorm, RopePairs, gated};
pub use pack::{PackError, PackedMatrix};
pub use panels::Panels;
pub use probe::{Stream, multiply_add, read};
pub use projections::{KeysValues, Projections};
pub use quant::dequantise_row;
pub use simd::Backend;
