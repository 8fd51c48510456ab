//! How activations enter products.

/// How activations are multiplied with quantised weights. Whatever else there is, is computed in f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// As they are, in chains of f32 multiply-adds.
    F32,
    /// As whole numbers of 24 bits, a power of two as step for each 32, multiplied and summed exactly within a sub-block of
    /// weights: as near to the exact product as [`Arithmetic::F32`], or nearer. Fastest with AMX.
    Bits24,
    /// Rounded to 8 bits, a step for each 32: approximate.
    Bits8,
}

impl Arithmetic {
    /// Every one.
    pub const ALL: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::Bits24, Arithmetic::Bits8];

    /// For output and files: `f32`, `24-bit` or `8-bit`.
    pub const fn name(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bits24 => "24-bit",
            Arithmetic::Bits8 => "8-bit",
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
#[error("there are f32, 24-bit and 8-bit")]
pub struct UnknownArithmetic;

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
