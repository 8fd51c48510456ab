//! How activations enter products.

/// How activations are multiplied with weights that are quantised or bf16. All other operations are always computed in
/// f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Activations stay f32; each output is a sum of chains of f32 multiply-adds, one for each part of a row.
    F32,
    /// An activation is split into three bf16 numbers whose sum it is. Products are exact, and sums are in f32 with
    /// fewer roundings than in [`Arithmetic::F32`]. With AMX this is the fastest.
    Bf16x3,
    /// Activations are rounded to 8 bits, with a step size for each 32 of them. This is approximate, and serves
    /// quantised weights only.
    Bits8,
}

impl Arithmetic {
    /// All arithmetics.
    pub const ALL: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::Bf16x3, Arithmetic::Bits8];

    /// The name in output and files: `f32`, `bf16x3` or `8-bit`.
    pub const fn name(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bf16x3 => "bf16x3",
            Arithmetic::Bits8 => "8-bit",
        }
    }

    /// How many columns a caller should compute at a time if it has more: so many that unpacking weights takes little
    /// of the time.
    pub const fn batch(self) -> usize {
        match self {
            // Products are so fast here that activations, which are read again for each strip of weights, should stay
            // in the second cache: a batch is smaller.
            Arithmetic::Bf16x3 => 128,
            Arithmetic::F32 | Arithmetic::Bits8 => 256,
        }
    }
}

/// The number of the order in which f32 sums are added up. Numbers that were computed in two orders differ in their last
/// bits, so run files record it. Whoever changes the order of any sum, in any arithmetic, counts on here:
///
/// 1. Attention sums all positions of a path in one chain.
/// 2. Attention sums blocks of 128 positions, and adds up the blocks' sums in their order.
/// 3. Products in f32 sum parts of a row of weights, and add up the parts' sums in their order.
pub const SUMMATION_ORDER: u32 = 3;

impl std::str::FromStr for Arithmetic {
    type Err = UnknownArithmetic;
    fn from_str(name: &str) -> Result<Arithmetic, UnknownArithmetic> {
        Arithmetic::ALL.into_iter().find(|a| a.name() == name).ok_or(UnknownArithmetic)
    }
}

/// The error for a text that is not the name of an arithmetic.
#[derive(Debug, thiserror::Error)]
#[error("there are f32, bf16x3 and 8-bit")]
pub struct UnknownArithmetic;

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
