//! Measures what the machine can do at best, with which the speed of kernels is compared.

use crate::buffer::Memory;
use crate::compute::Compute;
use crate::simd::{LANES, Simd, Task};

/// Independent chains of vectors on backends with 32 registers of 512 bits: enough to hide the latency of a
/// multiply-add, and few enough for the registers.
const CHAINS: usize = 12;
/// Independent chains on other backends, which have fewer registers, or shorter ones of which a vector takes several.
const FEW_CHAINS: usize = 6;

/// Runs fused multiply-adds on registers alone, on all threads, and returns the number of floating-point
/// operations. Divided by the time it took, it is the machine's peak.
pub fn multiply_add(compute: &mut Compute, steps: usize) -> f64 {
    let backend = compute.backend;
    let threads = compute.threads();
    compute.team.run(&|thread| {
        // The result must be used, or the work would be optimised away.
        let x = backend.dispatch(Chain { steps, start: thread as f32 });
        assert!(x.is_finite());
    });
    2.0 * (LANES * CHAINS * steps * threads) as f64
}

/// Memory for [`read`]. It should be larger than any cache, and lies in large pages as weights do.
pub struct Stream(Memory);

impl Stream {
    /// Takes `bytes` bytes of memory and writes to them, so that the system really provides it.
    ///
    /// # Errors
    /// If the system has no more memory.
    pub fn new(bytes: usize) -> std::io::Result<Stream> {
        let mut memory = Memory::zeroed(bytes / PIECE * PIECE)?;
        memory.fill(1);
        Ok(Stream(memory))
    }
}

/// Bytes handed to a thread at a time.
const PIECE: usize = 1 << 16;

/// Reads the memory once, on all threads, and returns the number of bytes. Divided by the time it took, it is the
/// machine's memory bandwidth.
pub fn read(compute: &mut Compute, stream: &Stream) -> f64 {
    let backend = compute.backend;
    compute.team.each(stream.0.len() / PIECE, |_, i| {
        let x = backend.dispatch(Sum { bytes: &stream.0[i * PIECE..][..PIECE] });
        assert!(x.is_finite());
    });
    stream.0.len() as f64
}

struct Sum<'a> {
    bytes: &'a [u8],
}

impl Task for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut acc = [s.splat(0.0); 4];
        for row in self.bytes.as_chunks::<LANES>().0.as_chunks::<4>().0 {
            for i in 0..4 {
                acc[i] = s.add(acc[i], s.to_f32(s.load_u8(&row[i])));
            }
        }
        s.array(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]))).iter().sum()
    }
}

struct Chain {
    steps: usize,
    start: f32,
}

impl Task for Chain {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Chain { steps, start } = self;
        // Backends that multiply four tiles at once are those with 32 registers of 512 bits.
        if S::TILES == 4 {
            s.vectorize(Chains::<CHAINS> { steps, start })
        } else {
            s.vectorize(Chains::<FEW_CHAINS> { steps: steps * (CHAINS / FEW_CHAINS), start })
        }
    }
}

struct Chains<const C: usize> {
    steps: usize,
    start: f32,
}

impl<const C: usize> Task for Chains<C> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(0.999_9), s.splat(1e-4));
        let mut acc = [s.splat(self.start); C];
        for _ in 0..self.steps {
            for c in 0..C {
                acc[c] = s.fma(acc[c], a, b);
            }
        }
        let mut total = s.splat(0.0);
        for c in 0..C {
            total = s.add(total, acc[c]);
        }
        s.array(total).iter().sum()
    }
}
