//! The configuration of a model, in the terms of the forward pass.

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

/// One layer: its sizes, what it sees, and where its keys and values come from.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Size of a query, key or value head.
    pub head_dim: usize,
    /// Width of the dense feed-forward layer.
    pub intermediate: usize,
    /// What stands after attention.
    pub feed_forward: FeedForward,
    /// Key `j` is visible to query `i` iff `i - j < window`; `None`: all of the past.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`].
    pub rope: usize,
    /// Where keys and values come from.
    pub rows: Rows,
}

/// What stands after a layer's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// One gated feed-forward layer, which every token passes through.
    Dense,
    /// A few of many feed-forward layers, which a router chooses for each token.
    Experts,
    /// A layer for every token and experts, whose results are added (Gemma 4).
    DenseAndExperts,
}

impl FeedForward {
    /// Whether it has a layer for every token.
    pub(crate) fn has_dense(self) -> bool {
        self != FeedForward::Experts
    }

    /// Whether it has experts.
    pub(crate) fn has_experts(self) -> bool {
        self != FeedForward::Dense
    }
}

/// A mixture of experts, the same in every layer that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// Experts to choose from.
    pub count: usize,
    /// Experts that a token passes through.
    pub used: usize,
    /// Width of an expert.
    pub intermediate: usize,
    /// True if the probabilities of the experts used are scaled to add up to 1; some models sum with them as they are.
    pub normalised: bool,
    /// Whether the router norms the residual stream by itself, with weights of its own, and experts have a multiplier each (Gemma 4).
    pub own_norm: bool,
}

impl Experts {
    /// What finding the experts' matrices in the files takes; `hidden` is the width of the residual stream.
    pub(crate) fn sizes(&self, hidden: usize) -> ExpertSizes {
        ExpertSizes { count: self.count, hidden, intermediate: self.intermediate }
    }
}

/// Where the keys and values of a layer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Keys and values have a matrix each.
    Own,
    /// What the key matrix gives, before norm and rotation, is the value too (Gemma 4's layers that see everything, in its larger
    /// models).
    KeyIsValue,
    /// The rows of this earlier layer serve (the last layers of Gemma 4's small models).
    Shared(usize),
}

impl LayerConfig {
    /// Elements of all query heads.
    pub(crate) fn q_len(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of a key or value row.
    pub(crate) fn kv_len(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Whether it stores rows, rather than reading those of another layer.
    pub(crate) fn owns_rows(&self) -> bool {
        !matches!(self.rows, Rows::Shared(_))
    }
}

/// The sizes that the layers of most models have in common.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) intermediate: usize,
}

impl Sizes {
    /// A layer of these sizes with keys and values of its own; `local` is the rotary embedding of those with a window.
    pub(crate) fn layer(self, sliding: bool, window: Option<usize>, local: usize) -> LayerConfig {
        let Sizes { heads, kv_heads, head_dim, intermediate } = self;
        let (window, rope) = (window.filter(|_| sliding), if sliding { local } else { 0 });
        let (feed_forward, rows) = (FeedForward::Dense, Rows::Own);
        LayerConfig { heads, kv_heads, head_dim, intermediate, feed_forward, window, rope, rows }
    }
}

/// Inputs that every layer has of the token itself (Gemma 4's small models): a second embedding matrix of
/// `[rows, layers · size]`, read from the file as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerInputs {
    /// Elements for each layer.
    pub size: usize,
    /// Tokens that have some: rows of the matrix.
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
    /// One per layer.
    pub layers: Vec<LayerConfig>,
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
    /// `cap · tanh(logit / cap)` on the final logits (Gemma 2 and 4).
    pub final_softcap: Option<f32>,
    /// Multiplier of token embeddings (Gemma: √hidden rounded as its reference does).
    pub embedding_scale: f32,
    /// Whether a norm's stored weight is an offset from 1: `(1 + w)`. True for Gemma in
    /// safetensors; GGUF files store the sum already.
    pub norm_offset: bool,
    /// Feed-forward activation.
    pub activation: Activation,
    /// Norms on queries and keys (Gemma 3 and 4, Qwen 3).
    pub qk_norm: bool,
    /// A norm without weights on values (Gemma 4).
    pub v_norm: bool,
    /// Biases on q, k and v (Qwen 2).
    pub qkv_bias: bool,
    /// Norms after attention and feed-forward, before the residual sum (Gemma 2 and 3).
    pub post_norms: bool,
    /// A number of each layer's that multiplies the residual stream at its end (Gemma 4).
    pub layer_scalar: bool,
    /// Inputs that every layer has of the token itself.
    pub layer_inputs: Option<LayerInputs>,
    /// The mixture of experts of the layers that have one.
    pub experts: Option<Experts>,
    /// The output matrix is the embedding matrix.
    pub tied: bool,
    /// Whether rotary pairs are neighbours `(2i, 2i+1)` rather than halves `(i, i + dims/2)`.
    /// GGUF files of Llama and Mistral store q and k permuted for this.
    pub rope_interleaved: bool,
}

impl Config {
    /// Layers before the last ones that only read rows of earlier layers: a token whose distribution nobody asks for need not pass
    /// through the others.
    pub(crate) fn layers_with_rows(&self) -> usize {
        self.layers.iter().rposition(LayerConfig::owns_rows).map_or(0, |last| last + 1)
    }
}
