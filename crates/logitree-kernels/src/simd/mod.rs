//! Thin SIMD shims: one algorithm, several instruction sets.
//!
//! Every kernel is written once, generic over [`Simd`], whose vectors always have 16 f32 lanes
//! (one AVX-512 register, two AVX2 registers, four NEON registers, or an array). All operations
//! are lane-wise and correctly rounded, multiply-add is always fused, and horizontal sums are
//! taken in lane order. **So every backend computes the same bits.**
//!
//! Values are witnesses. A [`Backend`] can only be obtained from [`Backend::available`], which asks the CPU: holding
//! one proves that the CPU has the instructions. The same holds for the two units that only some CPUs of a backend
//! have, products of bytes ([`ByteDots`]) and tile registers ([`TileUnit`]).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_amx.rs"]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod vector;

pub(crate) use amx::{TileUnit, Tiles};
pub use backend::Backend;
pub(crate) use vector::{ByteDots, DotTask, LANES, Lanes, Simd, Task};
