//! Exact kernels over quantised weights.
//!
//! The only crate of the workspace with unsafe code. One algorithm for every kernel, over thin SIMD
//! backends chosen at run time.
//!
//! **Order.** Every reduction runs in an order that depends on the sequence alone, and all backends
//! perform the same correctly rounded operations: in one [`Arithmetic`], results are bit-identical
//! whatever the batch, the number of threads and the instruction set.
//!
//! * [`PackedMatrix`]: weights repacked so that lanes are rows; [`matmul()`]: products with a batch.
//! * [`attention()`]: each node over its own path of [`KvPages`] rows.
//! * [`head()`]: the output matrix fused with softmax statistics, top-k and ranks.
//! * [`Residual`], [`gated`]: what lies between.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![allow(unsafe_code)]

mod arithmetic;
mod attention;
mod buffer;
mod dtype;
mod head;
mod kv;
mod math;
mod matmul;
mod micro;
mod ops;
mod pack;
mod panels;
mod pieces;
mod probe;
mod projections;
mod quant;
mod rounded;
mod simd;
mod strips;
mod team;

pub use arithmetic::{Arithmetic, UnknownArithmetic};
pub use attention::{AttentionShape, Visible, attention};
pub use dtype::DType;
pub use head::{Summary, Wanted, head};
pub use kv::KvPages;
pub use matmul::{Compute, Product, matmul};
pub use ops::{Gate, Residual, RmsNorm, RopePairs, gated};
pub use pack::{PackError, PackedMatrix};
pub use panels::Panels;
pub use probe::{Stream, multiply_add, read};
pub use projections::Projections;
pub use quant::dequantise_row;
pub use simd::Backend;
