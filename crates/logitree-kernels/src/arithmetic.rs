//! How activations enter products.

/// How activations are multiplied with weights that are quantised or bf16. Whatever else there is, is computed in f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// As they are, in chains of f32 multiply-adds.
    F32,
    /// As three bf16 numbers each, which together are the same number: exact products, and sums in f32 with fewer roundings than
    /// [`Arithmetic::F32`]. Fastest with AMX.
    Bf16x3,
    /// Rounded to 8 bits, a step for each 32: approximate, and for quantised weights only.
    Bits8,
}

impl Arithmetic {
    /// Every one.
    pub const ALL: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::Bf16x3, Arithmetic::Bits8];

    /// For output and files: `f32`, `bf16x3` or `8-bit`.
    pub const fn name(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bf16x3 => "bf16x3",
            Arithmetic::Bits8 => "8-bit",
        }
    }

    /// Columns to compute at a time, if there are more: enough to make little of unpacking weights.
    pub const fn batch(self) -> usize {
        match self {
            // Activations are read for each strip of weights, so fast that they should be in the second cache.
            Arithmetic::Bf16x3 => 128,
            Arithmetic::F32 | Arithmetic::Bits8 => 256,
        }
    }
}

impl std::str::FromStr for Arithmetic {
    type Err = UnknownArithmetic;
    fn from_str(name: &str) -> Result<Arithmetic, UnknownArithmetic> {
        Arithmetic::ALL.into_iter().find(|a| a.name() == name).ok_or(UnknownArithmetic)
    }
}

/// Not the name of an arithmetic.
#[derive(Debug, thiserror::Error)]
#[error("there are f32, bf16x3 and 8-bit")]
pub struct UnknownArithmetic;

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
