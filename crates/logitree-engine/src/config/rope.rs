//! Rotary position embeddings. Every kind comes down to a list of frequencies, one per rotated pair of dimensions, and
//! a multiplier of the cosines and sines.

use std::f32::consts::PI;

/// Rotary position embedding of one kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub base: f32,
    /// Rotated dimensions per head (even, at most the head's size).
    pub dims: usize,
    /// How frequencies are changed for texts beyond the trained length.
    pub scaling: RopeScaling,
}

/// Frequency scaling of a [`Rope`].
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// The frequencies are not changed.
    Default,
    /// All frequencies are divided by the factor (Gemma 3, global layers of 4B and larger).
    Linear(f32),
    /// Llama 3.1's smooth interpolation between unscaled high and scaled low frequencies.
    Llama3 {
        /// Divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context / low_freq_factor` are fully scaled.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high_freq_factor` are left alone.
        high_freq_factor: f32,
        /// Context length of the original training.
        original_context: f32,
    },
    /// One divisor per rotated pair, as GGUF files carry in `rope_freqs.weight`. `[dims / 2]`
    Factors(Vec<f32>),
    /// Only the first pairs turn, the others keep their values. The exponents of the frequencies are computed as if all
    /// pairs turned (Gemma 4, layers with full attention).
    Proportional {
        /// Number of pairs that turn.
        pairs: usize,
        /// Divisor of their frequencies.
        factor: f32,
    },
    /// LongRoPE (Ding et al. 2024): one divisor per rotated pair. Models have two lists, one for texts of up to the
    /// original context and one for longer texts. All cached keys would have to be computed again when a text grows
    /// beyond the original context. So only the first list is used, and [`Config::context`](super::Config::context)
    /// ends there.
    Longrope {
        /// The divisors for short texts, `[dims / 2]`.
        divisors: Vec<f32>,
        /// Multiplier of cosines and sines.
        magnitude: f32,
        /// Number of tokens of the longest text for which these divisors are meant.
        original_context: usize,
    },
    /// YaRN (Peng et al. 2023): low frequencies are divided by the factor, high ones left alone, with a ramp between.
    Yarn {
        /// Divisor of low frequencies.
        factor: f32,
        /// Pairs that turn more often than this in the original context are left alone.
        beta_fast: f32,
        /// Pairs that turn less often than this in the original context are fully scaled.
        beta_slow: f32,
        /// Context length of the original training.
        original_context: f32,
        /// Whether the ends of the ramp are rounded to whole pairs.
        truncate: bool,
        /// Multiplier of cosines and sines.
        magnitude: f32,
    },
}

/// Divisors of at least this size mean that the pair does not turn: converters write 1e30 where the original frequency
/// is 0.
const NEVER: f32 = 1e20;

/// YaRN's multiplier of cosines and sines, which grows with the logarithm of the factor by which the context is
/// extended.
pub(super) fn yarn_growth(factor: f32, multiplier: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * multiplier * f64::from(factor).ln() + 1.0 }
}

/// The number of tokens of the longest text that a model with this trained context can read with these embeddings.
pub(super) fn usable_context(context: usize, ropes: &[Rope]) -> usize {
    ropes.iter().fold(context, |context, rope| match rope.scaling {
        // An original context of 0 is an error that [`Rope::problem`] reports; here it only must not give a context of
        // 0.
        RopeScaling::Longrope { original_context, .. } => context.min(original_context.max(1)),
        _ => context,
    })
}

impl Rope {
    /// Radians per position of each pair, `[dims / 2]`.
    pub(crate) fn frequencies(&self) -> Vec<f32> {
        let plain: Vec<f32> =
            (0..self.dims / 2).map(|i| 1.0 / self.base.powf((2 * i) as f32 / self.dims as f32)).collect();
        let scaled = |scale: &dyn Fn(usize, f32) -> f32| plain.iter().enumerate().map(|(i, &f)| scale(i, f)).collect();
        match &self.scaling {
            RopeScaling::Default => plain,
            RopeScaling::Linear(factor) => scaled(&|_, plain| plain / factor),
            RopeScaling::Factors(factors) => scaled(&|i, plain| match factors.get(i) {
                Some(&divisor) if divisor >= NEVER => 0.0,
                divisor => plain / divisor.copied().unwrap_or(1.0),
            }),
            &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                scaled(&|_, plain| {
                    let wavelength = 2.0 * PI / plain;
                    if wavelength < original_context / high_freq_factor {
                        plain
                    } else if wavelength > original_context / low_freq_factor {
                        plain / factor
                    } else {
                        let smooth =
                            (original_context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * plain / factor + smooth * plain
                    }
                })
            }
            RopeScaling::Longrope { divisors, .. } => {
                let power = |i: usize| self.base.powf((2 * i) as f32 / self.dims as f32);
                divisors.iter().enumerate().map(|(i, divisor)| 1.0 / (divisor * power(i))).collect()
            }
            &RopeScaling::Proportional { pairs, factor } => {
                scaled(&|i, plain| if i < pairs { plain / factor } else { 0.0 })
            }
            RopeScaling::Yarn { factor, .. } => {
                let (low, high) = self.ramp();
                scaled(&|i, plain| {
                    let ramp = ((i as f32 - low) / (high - low)).clamp(0.0, 1.0);
                    plain / factor * ramp + plain * (1.0 - ramp)
                })
            }
        }
    }

    /// Multiplier of cosines and sines.
    pub(crate) fn magnitude(&self) -> f32 {
        match self.scaling {
            RopeScaling::Yarn { magnitude, .. } | RopeScaling::Longrope { magnitude, .. } => magnitude,
            _ => 1.0,
        }
    }

    /// The indices of the pairs at which YaRN's ramp begins and ends.
    fn ramp(&self) -> (f32, f32) {
        let RopeScaling::Yarn { beta_fast, beta_slow, original_context, truncate, .. } = self.scaling else {
            return (0.0, 1.0);
        };
        let dims = self.dims as f32;
        let pair = |turns: f32| dims * (original_context / (turns * 2.0 * PI)).ln() / (2.0 * self.base.ln());
        let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dims - 1.0));
        // The reference implementation moves the end in the same way, to avoid a division by zero.
        (low, if low == high { high + 0.001 } else { high })
    }

    /// The reason why this embedding is impossible for heads of `head_dim` elements; `None` if it is possible.
    pub(super) fn problem(&self, head_dim: usize) -> Option<String> {
        let dims = self.dims;
        if dims == 0 || dims > head_dim || !dims.is_multiple_of(2) {
            return Some(format!("{dims} dimensions of heads of {head_dim}; expected an even number of them"));
        }
        let is_positive = |x: f32| x.is_finite() && x > 0.0;
        if !is_positive(self.base) {
            return Some(format!("base {}, expected a positive number", self.base));
        }
        let (numbers, pairs): (Vec<f32>, _) = match &self.scaling {
            RopeScaling::Default => (Vec::new(), None),
            RopeScaling::Linear(factor) => (vec![*factor], None),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                if high_freq_factor <= low_freq_factor {
                    return Some(format!(
                        "high_freq_factor {high_freq_factor} is not above low_freq_factor {low_freq_factor}"
                    ));
                }
                (vec![*factor, *low_freq_factor, *high_freq_factor, *original_context], None)
            }
            RopeScaling::Factors(factors) => (factors.clone(), Some(factors.len())),
            RopeScaling::Longrope { divisors, magnitude, original_context } => {
                if *original_context == 0 {
                    return Some("an original context of 0 tokens".into());
                }
                (divisors.iter().copied().chain([*magnitude]).collect(), Some(divisors.len()))
            }
            RopeScaling::Proportional { pairs, factor } => {
                if *pairs == 0 || *pairs > dims / 2 {
                    return Some(format!("{pairs} of {} pairs turn", dims / 2));
                }
                (vec![*factor], None)
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, magnitude, .. } => {
                if beta_fast < beta_slow {
                    return Some(format!("beta_fast {beta_fast} is below beta_slow {beta_slow}"));
                }
                if self.base <= 1.0 {
                    return Some(format!("base {}, expected more than 1 for YaRN", self.base));
                }
                (vec![*factor, *beta_fast, *beta_slow, *original_context, *magnitude], None)
            }
        };
        if let Some(pairs) = pairs.filter(|&n| n != dims / 2) {
            return Some(format!("{pairs} factors for {} pairs", dims / 2));
        }
        let bad = numbers.into_iter().find(|&x| !is_positive(x));
        bad.map(|x| format!("scaling by {x}, expected positive numbers"))
    }
}
