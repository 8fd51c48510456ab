//! What the forward pass needs to know about a model, whatever family it is of.

mod family;
pub(crate) mod gguf;
pub(crate) mod hf;
mod hf_rope;
pub(crate) mod json;
mod validate;

use crate::weights::WeightsError;
use logitree_core::TokenId;
use std::path::Path;

pub(crate) use family::Family;
pub(crate) use validate::{MAX_LAYERS, head_size};

/// Ids that end a generation, as `config.json` and `generation_config.json` of a folder name them; no weights are needed.
///
/// # Errors
/// If a file is not readable, or names what is no id.
pub fn end_tokens_of(folder: &Path) -> Result<Vec<TokenId>, WeightsError> {
    let path = folder.join("config.json");
    let config = if path.exists() { json::read_object(&path)? } else { Default::default() };
    hf::end_tokens(&json::Fields::new(&path, &config), folder)
}

/// The configuration in a folder's `config.json`, checked as far as that goes without weights.
///
/// # Errors
/// If the file is not readable, or describes no model that the engine runs.
pub fn of_folder(folder: &Path) -> Result<Config, WeightsError> {
    let path = folder.join("config.json");
    let config = hf::read(&json::Fields::new(&path, &json::read_object(&path)?))?;
    config.validate(&path)?;
    Ok(config)
}

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

impl LayerKind {
    /// A layer with or without the model's window; `local` is the rotary embedding of those with it.
    pub(crate) fn new(sliding: bool, window: Option<usize>, local: usize) -> LayerKind {
        LayerKind { window: window.filter(|_| sliding), rope: if sliding { local } else { 0 } }
    }
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
