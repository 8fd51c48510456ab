//! Activations as the numbers that they enter products as.

use crate::matmul::Panels;
use crate::pieces::Pieces;
use crate::rounded::Rounded;
use crate::team::Team;
use crate::{Arithmetic, Backend};

/// What [`Panels`] hold, if it is not multiplied as f32.
pub(crate) enum Coded {
    Bf16x3(Box<Pieces>),
    Bits8(Rounded),
}

impl Coded {
    /// None where activations stay as they are.
    pub(crate) fn new(arithmetic: Arithmetic) -> Option<Coded> {
        match arithmetic {
            Arithmetic::F32 => None,
            Arithmetic::Bf16x3 => Some(Coded::Bf16x3(Box::default())),
            Arithmetic::Bits8 => Some(Coded::Bits8(Rounded::default())),
        }
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        match self {
            Coded::Bf16x3(_) => Arithmetic::Bf16x3,
            Coded::Bits8(_) => Arithmetic::Bits8,
        }
    }

    /// Takes all columns of `x`, whose length must be a multiple of 32.
    pub(crate) fn encode(&mut self, backend: Backend, team: &mut Team, x: &Panels) {
        match self {
            Coded::Bf16x3(pieces) => pieces.encode(backend, team, x),
            Coded::Bits8(rounded) => rounded.encode(backend, team, x),
        }
    }
}
