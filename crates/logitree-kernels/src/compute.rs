//! What every kernel runs on: threads, an instruction set, an arithmetic and memory for intermediate results.

use crate::buffer::{Buffer, Slab};
use crate::partial::Scale;
use crate::team::{PerThread, Team};
use crate::{Arithmetic, Backend};

/// Threads, instruction set and scratch memory for running kernels.
pub struct Compute {
    pub(crate) team: Team,
    pub(crate) backend: Backend,
    pub(crate) scratch: PerThread<Scratch>,
    /// Where packed weights lie.
    pub(crate) slab: Slab,
    /// The sums of attention's blocks and what they are relative to.
    pub(crate) blocks: (Buffer, Vec<Scale>),
    arithmetic: Arithmetic,
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// De-quantised block, `[tile][k][16]`.
    pub(crate) weights: Buffer,
    /// Accumulators of a strip, `[column][16 · tiles]`, or the results of attention so far.
    pub(crate) acc: Buffer,
    /// Scores of attention, logits of a chunk of the output matrix, or a normed column, by kernel.
    pub(crate) work: Buffer,
    /// Sums of a block of attention, `[query and head][head_dim]`, which it needs beside the scores.
    pub(crate) more: Buffer,
    /// Results of attention for a few columns, in the order in which they are written to [`crate::Panels`].
    pub(crate) rows: Buffer,
    /// What the sums in `more` are relative to.
    pub(crate) scales: Vec<Scale>,
    /// What the results of attention so far are relative to.
    pub(crate) added: Vec<Scale>,
}

impl Compute {
    /// Computes on the given backend with `threads` threads, in f32.
    pub fn new(backend: Backend, threads: usize) -> Compute {
        Compute::with_team(backend, Team::new(threads))
    }

    /// Computes on the fastest backend of this CPU and on all cores, in the arithmetic that [`Backend::arithmetic`]
    /// names.
    pub fn detect() -> Compute {
        let backend = Backend::detect();
        let compute = Compute::with_team(backend, Team::all_cores());
        Compute { arithmetic: backend.arithmetic(), ..compute }
    }

    fn with_team(backend: Backend, team: Team) -> Compute {
        let scratch = PerThread::new(team.threads(), |_| Scratch::default());
        Compute {
            team,
            backend,
            scratch,
            slab: Slab::default(),
            blocks: Default::default(),
            arithmetic: Arithmetic::F32,
        }
    }

    /// Changes the arithmetic. `None` for [`Arithmetic::Bits8`] if the backend has no kernel for it, see
    /// [`Backend::has_dots`].
    pub fn with(mut self, arithmetic: Arithmetic) -> Option<Compute> {
        self.arithmetic = arithmetic;
        (arithmetic != Arithmetic::Bits8 || self.backend.has_dots()).then_some(self)
    }

    /// Changes the arithmetic to f32.
    pub fn in_f32(self) -> Compute {
        Compute { arithmetic: Arithmetic::F32, ..self }
    }

    /// How activations enter products with weights that are not f32 or f16.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The instruction set in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Number of threads in use.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }
}
