//! Checks that a configuration is consistent and within the limits of the engine.

use super::types::{Config, Experts, LayerConfig, LayerInputs, Rows};
use crate::error::WeightsError;
use std::path::Path;

/// The largest number of layers that is accepted: several times that of the deepest known models. It is checked before
/// anything is allocated per layer.
pub(crate) const MAX_LAYERS: usize = 4096;
/// The attention kernels process a head in steps of this many elements, so a head's size must be a multiple of it.
const HEAD_STEP: usize = 16;
const FIX: &str = "the file is damaged or of an unsupported variant: download it again or use another model";

/// Elements of a head where files do not give them: hidden / heads.
pub(crate) fn head_size(hidden: usize, heads: usize) -> Result<usize, String> {
    match hidden.checked_rem(heads) {
        Some(0) => Ok(hidden / heads),
        _ => Err(format!("{heads} heads don't divide a hidden size of {hidden}")),
    }
}

impl Config {
    /// Fails unless all sizes are possible and agree with each other. `file` is named in the error.
    ///
    /// # Errors
    /// If a size is impossible, or two contradict each other.
    pub fn validate(&self, file: &Path) -> Result<(), WeightsError> {
        let error = |field: &str, problem: String| Err(WeightsError::field(file, field, problem, FIX));
        for (field, value, most) in [
            ("vocabulary size", self.vocab, 1 << 24),
            ("hidden size", self.hidden, 1 << 20),
            ("number of layers", self.layers.len(), MAX_LAYERS),
            ("context length", self.context, 1 << 30),
        ] {
            if !(1..=most).contains(&value) {
                return error(field, format!("is {value}, expected 1 to {most}"));
            }
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
        for (i, layer) in self.layers.iter().enumerate() {
            if let Some((field, problem)) = self.layer_problem(i, layer) {
                return error(field, problem);
            }
        }
        // Embeddings that no layer uses are checked too, because an impossible one is a sign of a damaged file.
        let largest = self.layers.iter().map(|layer| layer.head_dim).max().unwrap_or_default();
        if let Some(problem) = self.ropes.iter().find_map(|rope| rope.problem(largest)) {
            return error("rotary embedding", problem);
        }
        if let Some((field, problem)) = self.experts.and_then(|experts| experts.problem()) {
            return error(field, problem);
        }
        if self.experts.is_none() && self.layers.iter().any(|layer| layer.feed_forward.has_experts()) {
            return error("number of experts", "is not given, but layers have some".into());
        }
        match self.layer_inputs {
            Some(LayerInputs { size, .. }) if !(1..=1 << 16).contains(&size) => {
                error("size of a layer's input", format!("is {size}, expected 1 to {}", 1 << 16))
            }
            Some(LayerInputs { rows, .. }) if rows < self.vocab => {
                error("inputs of layers", format!("are of {rows} tokens, but the vocabulary has {}", self.vocab))
            }
            _ => Ok(()),
        }
    }

    /// The first wrong field of a layer, and what is wrong with it.
    fn layer_problem(&self, i: usize, layer: &LayerConfig) -> Option<(&'static str, String)> {
        let intermediate = if layer.feed_forward.has_dense() { layer.intermediate } else { 1 };
        for (field, value, most) in [
            ("feed-forward size", intermediate, 1 << 22),
            ("number of heads", layer.heads, 1 << 14),
            ("number of key/value heads", layer.kv_heads, 1 << 14),
            ("head size", layer.head_dim, 1 << 14),
        ] {
            if !(1..=most).contains(&value) {
                return Some((field, format!("is {value}, expected 1 to {most}")));
            }
        }
        if !layer.heads.is_multiple_of(layer.kv_heads) {
            let (heads, kv) = (layer.heads, layer.kv_heads);
            return Some(("number of heads", format!("{heads} query heads cannot share {kv} key/value heads")));
        }
        if !layer.head_dim.is_multiple_of(HEAD_STEP) {
            return Some(("head size", format!("is {}, not a multiple of {HEAD_STEP}", layer.head_dim)));
        }
        if layer.window == Some(0) {
            return Some(("window", "is 0".into()));
        }
        let Some(rope) = self.ropes.get(layer.rope) else {
            return Some(("rotary embedding", format!("layer {i} has none")));
        };
        if let Some(problem) = rope.problem(layer.head_dim) {
            return Some(("rotary embedding", problem));
        }
        let Rows::Shared(source) = layer.rows else { return None };
        let Some(owner) = self.layers[..i].get(source).filter(|owner| owner.owns_rows()) else {
            return Some((
                "shared layers",
                format!("layer {i} reads keys and values of layer {source}, which has none"),
            ));
        };
        let shape = |l: &LayerConfig| (l.kv_heads, l.head_dim, l.window, l.rope);
        (shape(owner) != shape(layer))
            .then(|| ("shared layers", format!("layer {i} is unlike layer {source}, whose keys and values it reads")))
    }
}

impl Experts {
    /// The first wrong field, and what is wrong with it.
    fn problem(&self) -> Option<(&'static str, String)> {
        for (field, value, most) in [
            ("number of experts", self.count, 1 << 14),
            ("number of experts used", self.used, self.count),
            ("width of experts", self.intermediate, 1 << 20),
        ] {
            if !(1..=most).contains(&value) {
                return Some((field, format!("is {value}, expected 1 to {most}")));
            }
        }
        None
    }
}

fn is_positive(x: f32) -> bool {
    x.is_finite() && x > 0.0
}
