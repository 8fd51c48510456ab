//! The configuration of a model: everything that the forward pass needs to know besides the weights, in the same form
//! for all families and file formats.

use super::rope::Rope;
use crate::weights::ExpertSizes;

/// Activation of the gated feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`: Llama, Mistral, Qwen.
    Silu,
    /// Tanh approximation of GELU: Gemma.
    GeluTanh,
}

/// The sizes of one layer, how far back its attention reaches, and where its keys and values come from.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key/value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Number of elements of a query, key or value head.
    pub head_dim: usize,
    /// Width of the dense feed-forward layer.
    pub intermediate: usize,
    /// What follows attention in this layer.
    pub feed_forward: FeedForward,
    /// Size of the attention window: the key at position `j` is visible to the query at position `i` iff `i - j <
    /// window`. `None` means full attention, to all earlier positions.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`].
    pub rope: usize,
    /// Where keys and values come from.
    pub rows: Rows,
}

/// What follows the attention of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// One gated feed-forward layer, which every token passes through.
    Dense,
    /// A mixture of experts: for each token a router chooses a few of many feed-forward layers.
    Experts,
    /// A dense layer and a mixture of experts, whose results are added (Gemma 4).
    DenseAndExperts,
}

impl FeedForward {
    /// Whether there is a dense feed-forward layer.
    pub(crate) fn has_dense(self) -> bool {
        self != FeedForward::Experts
    }

    /// Whether there is a mixture of experts.
    pub(crate) fn has_experts(self) -> bool {
        self != FeedForward::Dense
    }
}

/// A mixture of experts, the same in every layer that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// Number of experts that the router chooses from.
    pub count: usize,
    /// Number of experts that are chosen for each token.
    pub used: usize,
    /// Width of each expert's feed-forward layer.
    pub intermediate: usize,
    /// True if the probabilities of the chosen experts are scaled to add up to 1 before they weight the results; false
    /// if they are used unchanged.
    pub normalised: bool,
    /// Whether the router has its own norm with its own weights, and each expert has a multiplier (Gemma 4).
    pub own_norm: bool,
}

impl Experts {
    /// The sizes by which the experts' matrices are found in the files; `hidden` is the width of the residual stream.
    pub(crate) fn sizes(&self, hidden: usize) -> ExpertSizes {
        ExpertSizes { count: self.count, hidden, intermediate: self.intermediate }
    }
}

/// Where the keys and values of a layer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Keys and values are computed with one matrix each.
    Own,
    /// The product with the key matrix, before norm and rotation, is also the value (layers with full attention in
    /// Gemma 4's larger models).
    KeyIsValue,
    /// The layer computes no keys and values and reads those of this earlier layer (the last layers of Gemma 4's small
    /// models).
    Shared(usize),
}

impl LayerConfig {
    /// Number of elements of all query heads together.
    pub(crate) fn q_len(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Number of elements in one key row or value row.
    pub(crate) fn kv_len(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Whether the layer computes and stores its own keys and values.
    pub(crate) fn owns_rows(&self) -> bool {
        !matches!(self.rows, Rows::Shared(_))
    }
}

/// The sizes that are equal in all layers of most models.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) intermediate: usize,
}

impl Sizes {
    /// A dense layer of these sizes with its own keys and values. `local` is the index of the rotary embedding of
    /// layers with a window.
    pub(crate) fn layer(self, sliding: bool, window: Option<usize>, local: usize) -> LayerConfig {
        let Sizes { heads, kv_heads, head_dim, intermediate } = self;
        let (window, rope) = (window.filter(|_| sliding), if sliding { local } else { 0 });
        let (feed_forward, rows) = (FeedForward::Dense, Rows::Own);
        LayerConfig { heads, kv_heads, head_dim, intermediate, feed_forward, window, rope, rows }
    }
}

/// Inputs that every layer gets for the token itself (Gemma 4's small models). They come from a second embedding matrix
/// of `[rows, layers · size]`, whose rows are read from the file when they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerInputs {
    /// Elements per layer and token.
    pub size: usize,
    /// Number of tokens that have such inputs: the rows of the matrix.
    pub rows: usize,
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
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// The different rotary embeddings of the layers, which refer to them by index.
    pub ropes: Vec<Rope>,
    /// Length in tokens of the longest sequence that the model supports.
    pub context: usize,
    /// Epsilon of all RMS norms.
    pub norm_eps: f32,
    /// Multiplier of query-key products.
    pub attention_scale: f32,
    /// `cap · tanh(score / cap)` on attention scores (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// `cap · tanh(logit / cap)` on the final logits (Gemma 2 and 4).
    pub final_softcap: Option<f32>,
    /// Multiplier of token embeddings (Gemma: √hidden rounded as its reference does).
    pub embedding_scale: f32,
    /// Whether a norm's stored weight is an offset from 1: `(1 + w)`. True for Gemma in
    /// safetensors; GGUF files store the sum already.
    pub norm_offset: bool,
    /// Feed-forward activation.
    pub activation: Activation,
    /// Whether queries and keys are normed, head by head (Gemma 3 and 4, Qwen 3).
    pub qk_norm: bool,
    /// Whether values are normed, without weights (Gemma 4).
    pub v_norm: bool,
    /// Whether q, k and v have biases (Qwen 2).
    pub qkv_bias: bool,
    /// Whether the results of attention and feed-forward are normed before they are added to the residual stream (Gemma
    /// 2 and 3).
    pub post_norms: bool,
    /// Whether each layer has a number that the residual stream is multiplied with at the layer's end (Gemma 4).
    pub layer_scalar: bool,
    /// The inputs that every layer gets for the token itself; `None` in models without them.
    pub layer_inputs: Option<LayerInputs>,
    /// The mixture of experts, the same in all layers that have one.
    pub experts: Option<Experts>,
    /// Whether the embedding matrix is also the output matrix.
    pub tied: bool,
    /// Whether rotary pairs are neighbours `(2i, 2i+1)` rather than halves `(i, i + dims/2)`.
    /// GGUF files of Llama and Mistral store q and k permuted for this.
    pub rope_interleaved: bool,
}

impl Config {
    /// Number of layers up to the last one that stores its own keys and values. The layers after it only read rows of
    /// earlier layers, so a token whose distribution is not asked for can skip them.
    pub(crate) fn layers_with_rows(&self) -> usize {
        self.layers.iter().rposition(LayerConfig::owns_rows).map_or(0, |last| last + 1)
    }
}
