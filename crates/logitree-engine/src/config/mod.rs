//! What the forward pass needs to know about a model, whatever family it is of.

pub(crate) mod gguf;
pub(crate) mod hf;

use crate::weights::WeightsError;
use std::path::Path;

/// Activation of the gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`: Llama, Mistral, Qwen.
    Silu,
    /// Tanh approximation of GELU: Gemma.
    GeluTanh,
}

/// Rotary position embedding of one kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub base: f32,
    /// Rotated dimensions per head (even, at most the head's size).
    pub dims: usize,
    /// How frequencies are stretched beyond the trained length.
    pub scaling: RopeScaling,
}

/// Frequency scaling of a [`Rope`].
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// None.
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
}

/// Attention of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerKind {
    /// Key `j` is visible to query `i` iff `i - j < window`; `None`: all of the past.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`].
    pub rope: usize,
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Architecture as the file names it, such as `gemma3`.
    pub architecture: String,
    /// Vocabulary size: rows of the output matrix.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Size of a query/key/value head.
    pub head_dim: usize,
    /// One per layer.
    pub layers: Vec<LayerKind>,
    /// The rotary embeddings in use.
    pub ropes: Vec<Rope>,
    /// Longest trained sequence.
    pub context: usize,
    /// Epsilon of all RMS norms.
    pub norm_eps: f32,
    /// Multiplier of query-key products.
    pub attention_scale: f32,
    /// `cap · tanh(score / cap)` on attention scores (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// The same on the final logits (Gemma 2).
    pub final_softcap: Option<f32>,
    /// Multiplier of token embeddings (Gemma: √hidden rounded as its reference does).
    pub embedding_scale: f32,
    /// Whether a norm's stored weight is an offset from 1: `(1 + w)`. True for Gemma in
    /// safetensors; GGUF files store the sum already.
    pub norm_offset: bool,
    /// Feed-forward activation.
    pub activation: Activation,
    /// Norms on queries and keys (Gemma 3, Qwen 3).
    pub qk_norm: bool,
    /// Biases on q, k and v (Qwen 2).
    pub qkv_bias: bool,
    /// Norms after attention and feed-forward, before the residual sum (Gemma 2 and 3).
    pub post_norms: bool,
    /// The output matrix is the embedding matrix.
    pub tied: bool,
    /// Whether rotary pairs are neighbours `(2i, 2i+1)` rather than halves `(i, i + dims/2)`.
    /// GGUF files of Llama and Mistral store q and k permuted for this.
    pub rope_interleaved: bool,
}

/// Fails unless the numbers make a model that the engine can run.
pub(crate) fn check(c: &Config, path: &Path) -> Result<(), WeightsError> {
    let error = |what: String| Err(WeightsError::format(path, what));
    for (name, value, most) in [
        ("vocabulary size", c.vocab, 1 << 24),
        ("hidden size", c.hidden, 1 << 20),
        ("feed-forward size", c.intermediate, 1 << 22),
        ("number of heads", c.heads, 1 << 14),
        ("number of KV heads", c.kv_heads, 1 << 14),
        ("head size", c.head_dim, 1 << 14),
        ("number of layers", c.layers.len(), 1 << 12),
        ("context length", c.context, 1 << 31),
    ] {
        if value == 0 || value > most {
            return error(format!("the {name} is {value}: the configuration is damaged"));
        }
    }
    if !c.heads.is_multiple_of(c.kv_heads) {
        return error(format!("{} query heads cannot share {} KV heads", c.heads, c.kv_heads));
    }
    if !c.head_dim.is_multiple_of(16) {
        return error(format!("the head size is {}; only multiples of 16 are supported", c.head_dim));
    }
    for rope in &c.ropes {
        if rope.dims > c.head_dim || !rope.dims.is_multiple_of(2) || !(rope.base.is_finite() && rope.base > 0.0) {
            return error(format!("rotary embedding of {} dimensions with base {}", rope.dims, rope.base));
        }
    }
    if c.layers.iter().any(|l| l.window == Some(0)) {
        return error("the sliding window is 0".into());
    }
    for (name, x) in [("norm epsilon", c.norm_eps), ("attention scale", c.attention_scale)] {
        if !x.is_finite() || x < 0.0 {
            return error(format!("the {name} is {x}"));
        }
    }
    Ok(())
}

/// Layers in a repeating pattern: with `period` n, every nth sees all of the past through
/// rope 0, the others a window through rope `local`.
pub(crate) fn pattern(layers: usize, period: usize, window: usize, local: usize) -> Vec<LayerKind> {
    (0..layers)
        .map(|i| match (i + 1) % period {
            0 => LayerKind { window: None, rope: 0 },
            _ => LayerKind { window: Some(window), rope: local },
        })
        .collect()
}

/// What all members of a family share.
pub(crate) struct Family {
    pub(crate) activation: Activation,
    pub(crate) qk_norm: bool,
    pub(crate) qkv_bias: bool,
    pub(crate) post_norms: bool,
    /// Embeddings are multiplied by √hidden, norms are stored as offsets from 1 (in safetensors).
    pub(crate) gemma: bool,
}

/// The supported families, by the name in `general.architecture` or `model_type`.
pub(crate) const FAMILIES: &[(&str, Family)] = &[
    ("gemma", family(Activation::GeluTanh, false, false, false)),
    ("gemma2", family(Activation::GeluTanh, false, false, true)),
    ("gemma3", family(Activation::GeluTanh, true, false, true)),
    ("llama", family(Activation::Silu, false, false, false)),
    ("mistral", family(Activation::Silu, false, false, false)),
    ("qwen2", family(Activation::Silu, false, true, false)),
    ("qwen3", family(Activation::Silu, true, false, false)),
];

const fn family(activation: Activation, qk_norm: bool, qkv_bias: bool, post_norms: bool) -> Family {
    Family { activation, qk_norm, qkv_bias, post_norms, gemma: matches!(activation, Activation::GeluTanh) }
}

pub(crate) fn family_of(name: &str, path: &Path) -> Result<&'static Family, WeightsError> {
    FAMILIES.iter().find(|(n, _)| *n == name).map(|(_, f)| f).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|(n, _)| *n).collect();
        WeightsError::format(
            path,
            format!("architecture `{name}` is not supported; supported are {}", known.join(", ")),
        )
    })
}

/// Gemma multiplies embeddings by √hidden. The float32 reference computes it in float32.
pub(crate) fn embedding_scale(family: &Family, hidden: usize) -> f32 {
    if family.gemma { (hidden as f32).sqrt() } else { 1.0 }
}
