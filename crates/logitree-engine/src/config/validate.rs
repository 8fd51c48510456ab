//! Whether a configuration makes a model that the engine can run.

use super::{Config, Rope, RopeScaling};
use crate::weights::WeightsError;
use std::path::Path;

/// Most layers that a file may claim: several times what the deepest models have. Checked before anything is
/// allocated per layer.
pub(crate) const MAX_LAYERS: usize = 4096;
/// The attention kernels work on this many elements of a head at a time.
const HEAD_STEP: usize = 16;
const FIX: &str = "the file is damaged or of an unsupported variant: download it again or use another model";

/// Size of a head where files leave it out: hidden / heads.
pub(crate) fn head_size(hidden: usize, heads: usize) -> Result<usize, String> {
    match hidden.checked_rem(heads) {
        Some(0) => Ok(hidden / heads),
        _ => Err(format!("{heads} heads don't divide a hidden size of {hidden}")),
    }
}

impl Config {
    /// Fails unless all sizes are possible and agree with each other. `file` is named in the error.
    pub fn validate(&self, file: &Path) -> Result<(), WeightsError> {
        let error = |field: &str, problem: String| Err(WeightsError::field(file, field, problem, FIX));
        for (field, value, most) in [
            ("vocabulary size", self.vocab, 1 << 24),
            ("hidden size", self.hidden, 1 << 20),
            ("feed-forward size", self.intermediate, 1 << 22),
            ("number of heads", self.heads, 1 << 14),
            ("number of key/value heads", self.kv_heads, 1 << 14),
            ("head size", self.head_dim, 1 << 14),
            ("number of layers", self.layers.len(), MAX_LAYERS),
            ("context length", self.context, 1 << 30),
        ] {
            if !(1..=most).contains(&value) {
                return error(field, format!("is {value}, expected 1 to {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv) = (self.heads, self.kv_heads);
            return error("number of heads", format!("{heads} query heads cannot share {kv} key/value heads"));
        }
        if !self.head_dim.is_multiple_of(HEAD_STEP) {
            return error("head size", format!("is {}, not a multiple of {HEAD_STEP}", self.head_dim));
        }
        for (field, value) in [
            ("norm epsilon", Some(self.norm_eps)),
            ("attention scale", Some(self.attention_scale)),
            ("attention soft-cap", self.attention_softcap),
            ("final soft-cap", self.final_softcap),
        ] {
            if let Some(x) = value.filter(|&x| !is_positive(x)) {
                return error(field, format!("is {x}, expected a positive number"));
            }
        }
        for layer in &self.layers {
            if layer.window == Some(0) || layer.rope >= self.ropes.len() {
                return error("layers", format!("{layer:?} is impossible"));
            }
        }
        self.ropes.iter().try_for_each(|rope| match rope_problem(rope, self.head_dim) {
            None => Ok(()),
            Some(problem) => error("rotary embedding", problem),
        })
    }
}

fn is_positive(x: f32) -> bool {
    x.is_finite() && x > 0.0
}

fn rope_problem(rope: &Rope, head_dim: usize) -> Option<String> {
    let dims = rope.dims;
    if dims == 0 || dims > head_dim || !dims.is_multiple_of(2) {
        return Some(format!("{dims} dimensions of heads of {head_dim}; expected an even number of them"));
    }
    if !is_positive(rope.base) {
        return Some(format!("base {}, expected a positive number", rope.base));
    }
    let (numbers, pairs): (&[f32], _) = match &rope.scaling {
        RopeScaling::Default => (&[], None),
        RopeScaling::Linear(factor) => (&[*factor], None),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            if high_freq_factor <= low_freq_factor {
                return Some(format!(
                    "high_freq_factor {high_freq_factor} is not above low_freq_factor {low_freq_factor}"
                ));
            }
            (&[*factor, *low_freq_factor, *high_freq_factor, *original_context], None)
        }
        RopeScaling::Factors(factors) => (factors, Some(factors.len())),
    };
    if let Some(pairs) = pairs.filter(|&n| n != dims / 2) {
        return Some(format!("{pairs} factors for {} pairs", dims / 2));
    }
    let bad = numbers.iter().find(|&&x| !is_positive(x));
    bad.map(|x| format!("scaling by {x}, expected positive numbers"))
}
