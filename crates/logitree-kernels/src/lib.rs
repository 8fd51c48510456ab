//! Exact f32 kernels over quantised weights.

mod dtype;

pub use dtype::DType;
