//! The purposes of tensors, and the names of tensors in files.

use std::collections::BTreeMap;

/// The purpose of a tensor, independent of its name in a file. Shapes are `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `[vocab, hidden]`
    TokenEmbedding,
    /// `[vocab, hidden]`; absent if the embedding matrix is also the output matrix.
    Output,
    /// Norm before the output matrix. `[1, hidden]`
    OutputNorm,
    /// Norm before attention. `[1, hidden]`
    AttnNorm,
    /// `[heads · head_dim, hidden]`
    Q,
    /// `[kv_heads · head_dim, hidden]`
    K,
    /// `[kv_heads · head_dim, hidden]`
    V,
    /// `[hidden, heads · head_dim]`
    O,
    /// `[1, heads · head_dim]`
    QBias,
    /// `[1, kv_heads · head_dim]`
    KBias,
    /// `[1, kv_heads · head_dim]`
    VBias,
    /// `[1, head_dim]`
    QNorm,
    /// `[1, head_dim]`
    KNorm,
    /// Norm after attention, before the residual sum. `[1, hidden]`
    PostAttnNorm,
    /// Norm before the feed-forward layer. `[1, hidden]`
    FfnNorm,
    /// `[intermediate, hidden]`
    Gate,
    /// `[intermediate, hidden]`
    Up,
    /// `[hidden, intermediate]`
    Down,
    /// Norm after the feed-forward layer, before the residual sum. `[1, hidden]`
    PostFfnNorm,
    /// Divisors of rotary frequencies, one per pair. `[1, dims / 2]`
    RopeFactors,
    /// Embedding matrix for the inputs of all layers. `[rows, layers · size]`
    LayerInputs,
    /// Projects the token's embedding into the inputs of all layers. `[layers · size, hidden]`
    LayerInputsProjection,
    /// Norm after [`Role::LayerInputsProjection`], the same for every layer. `[1, size]`
    LayerInputsNorm,
    /// `[size, hidden]`
    LayerInputGate,
    /// `[hidden, size]`
    LayerInputOut,
    /// Norm after [`Role::LayerInputOut`], before the residual sum. `[1, hidden]`
    PostLayerInputNorm,
    /// Number that the residual stream is multiplied with at the layer's end. `[1, 1]`
    LayerScalar,
    /// Computes the scores of the experts. `[experts, hidden]`
    Router,
    /// Norm before the router, in models where it has its own. `[1, hidden]`
    RouterNorm,
    /// Multiplier of each expert's result. `[1, experts]`
    ExpertScale,
    /// Gate and up matrices of all experts, one above the other. `[experts, 2 · intermediate, hidden]`
    ExpertsGateUp,
    /// `[experts, intermediate, hidden]`
    ExpertsGate,
    /// `[experts, intermediate, hidden]`
    ExpertsUp,
    /// `[experts, hidden, intermediate]`
    ExpertsDown,
    /// Norm before the experts, in layers that also have a dense feed-forward layer. `[1, hidden]`
    ExpertsNorm,
    /// Norm after the dense layer, in layers that also have experts, before both results are added. `[1, hidden]`
    PostDenseNorm,
    /// Norm after the experts, in layers that also have a dense feed-forward layer, before both results are added. `[1,
    /// hidden]`
    PostExpertsNorm,
}

impl Role {
    /// Whether tensors of this role belong to a layer.
    pub fn is_per_layer(self) -> bool {
        use Role::*;
        !matches!(
            self,
            TokenEmbedding | Output | OutputNorm | RopeFactors | LayerInputs | LayerInputsProjection | LayerInputsNorm
        )
    }
}

/// Name of a tensor in GGUF files, by the list of standardised names in the GGUF specification.
pub(super) fn gguf_name(role: Role, layer: Option<usize>) -> String {
    let name = match role {
        Role::TokenEmbedding => "token_embd.weight",
        Role::Output => "output.weight",
        Role::OutputNorm => "output_norm.weight",
        Role::RopeFactors => "rope_freqs.weight",
        Role::AttnNorm => "attn_norm.weight",
        Role::Q => "attn_q.weight",
        Role::K => "attn_k.weight",
        Role::V => "attn_v.weight",
        Role::O => "attn_output.weight",
        Role::QBias => "attn_q.bias",
        Role::KBias => "attn_k.bias",
        Role::VBias => "attn_v.bias",
        Role::QNorm => "attn_q_norm.weight",
        Role::KNorm => "attn_k_norm.weight",
        Role::PostAttnNorm => "post_attention_norm.weight",
        Role::FfnNorm => "ffn_norm.weight",
        Role::Gate => "ffn_gate.weight",
        Role::Up => "ffn_up.weight",
        Role::Down => "ffn_down.weight",
        Role::PostFfnNorm => "post_ffw_norm.weight",
        Role::LayerInputs => "per_layer_token_embd.weight",
        Role::LayerInputsProjection => "per_layer_model_proj.weight",
        Role::LayerInputsNorm => "per_layer_proj_norm.weight",
        Role::LayerInputGate => "inp_gate.weight",
        Role::LayerInputOut => "proj.weight",
        Role::PostLayerInputNorm => "post_norm.weight",
        Role::LayerScalar => "layer_output_scale.weight",
        Role::Router => "ffn_gate_inp.weight",
        Role::RouterNorm => "ffn_gate_inp.scale",
        Role::ExpertScale => "ffn_down_exps.scale",
        Role::ExpertsGateUp => "ffn_gate_up_exps.weight",
        Role::ExpertsGate => "ffn_gate_exps.weight",
        Role::ExpertsUp => "ffn_up_exps.weight",
        Role::ExpertsDown => "ffn_down_exps.weight",
        Role::ExpertsNorm => "pre_ffw_norm_2.weight",
        Role::PostDenseNorm => "post_ffw_norm_1.weight",
        Role::PostExpertsNorm => "post_ffw_norm_2.weight",
    };
    layer.map_or_else(|| name.to_string(), |i| format!("blk.{i}.{name}"))
}

/// How a folder names the tensors of its language model, which may be part of a multimodal model.
#[derive(Clone, Copy, Debug)]
pub(super) struct HfNaming {
    /// Prefix of `layers.` and `embed_tokens.`.
    pub(super) decoder: &'static str,
    /// Prefix of `lm_head.`.
    pub(super) head: &'static str,
    /// Whether each block has a norm before and after it, as in Gemma 2 and 3. Then `post_attention_layernorm` is the
    /// norm after attention; in other models that name means the norm before the feed-forward layer.
    pub(super) sandwich: bool,
}

/// Known prefixes (`decoder`, `head`) of the language model: alone, and inside multimodal models (older and newer
/// naming).
const PLACES: [(&str, &str); 4] =
    [("model.", ""), ("language_model.model.", "language_model."), ("model.language_model.", ""), ("", "")];

impl HfNaming {
    /// Finds the language model's prefixes. If there is no language model, they are those of a plain model, so that
    /// errors give plain names.
    pub(super) fn detect<T>(tensors: &BTreeMap<String, T>) -> HfNaming {
        let place =
            |name: &str| PLACES.into_iter().find(|(decoder, _)| tensors.contains_key(&format!("{decoder}{name}")));
        // The last norm is looked for too, because a tied model may be stored with its output matrix and no embedding
        // matrix.
        let found = place("embed_tokens.weight").or_else(|| place("norm.weight"));
        let (decoder, head) = found.unwrap_or(PLACES[0]);
        let sandwich = tensors.keys().any(|name| name.ends_with(".pre_feedforward_layernorm.weight"));
        HfNaming { decoder, head, sandwich }
    }

    /// Name of a tensor in safetensors files, as Hugging Face transformers saves it.
    pub(super) fn name(self, role: Role, layer: Option<usize>) -> String {
        let HfNaming { decoder, head, .. } = self;
        let name = match role {
            Role::TokenEmbedding => return format!("{decoder}embed_tokens.weight"),
            Role::OutputNorm => return format!("{decoder}norm.weight"),
            Role::Output => return format!("{head}lm_head.weight"),
            // Folders have no such tensor, because config.json holds the factors.
            Role::RopeFactors => return format!("{decoder}rope_freqs.weight"),
            Role::LayerInputs => return format!("{decoder}embed_tokens_per_layer.weight"),
            Role::LayerInputsProjection => return format!("{decoder}per_layer_model_projection.weight"),
            Role::LayerInputsNorm => return format!("{decoder}per_layer_projection_norm.weight"),
            Role::AttnNorm => "input_layernorm.weight",
            Role::Q => "self_attn.q_proj.weight",
            Role::K => "self_attn.k_proj.weight",
            Role::V => "self_attn.v_proj.weight",
            Role::O => "self_attn.o_proj.weight",
            Role::QBias => "self_attn.q_proj.bias",
            Role::KBias => "self_attn.k_proj.bias",
            Role::VBias => "self_attn.v_proj.bias",
            Role::QNorm => "self_attn.q_norm.weight",
            Role::KNorm => "self_attn.k_norm.weight",
            Role::FfnNorm if !self.sandwich => "post_attention_layernorm.weight",
            Role::FfnNorm => "pre_feedforward_layernorm.weight",
            // Without norms on both sides no tensor has this role. If the configuration says that there are such norms,
            // the error names this tensor as missing.
            Role::PostAttnNorm if !self.sandwich => "pre_feedforward_layernorm.weight",
            Role::PostAttnNorm => "post_attention_layernorm.weight",
            Role::PostFfnNorm => "post_feedforward_layernorm.weight",
            Role::Gate => "mlp.gate_proj.weight",
            Role::Up => "mlp.up_proj.weight",
            Role::Down => "mlp.down_proj.weight",
            Role::LayerInputGate => "per_layer_input_gate.weight",
            Role::LayerInputOut => "per_layer_projection.weight",
            Role::PostLayerInputNorm => "post_per_layer_input_norm.weight",
            Role::LayerScalar => "layer_scalar",
            Role::Router if self.sandwich => "router.proj.weight",
            Role::Router => "mlp.gate.weight",
            Role::RouterNorm => "router.scale",
            Role::ExpertScale => "router.per_expert_scale",
            Role::ExpertsGateUp if self.sandwich => "experts.gate_up_proj",
            Role::ExpertsGateUp => "mlp.experts.gate_up_proj",
            Role::ExpertsDown if self.sandwich => "experts.down_proj",
            Role::ExpertsDown => "mlp.experts.down_proj",
            // Folders store these matrices fused or one by one, so no file has these names.
            Role::ExpertsGate => "mlp.experts.gate_proj",
            Role::ExpertsUp => "mlp.experts.up_proj",
            Role::ExpertsNorm => "pre_feedforward_layernorm_2.weight",
            Role::PostDenseNorm => "post_feedforward_layernorm_1.weight",
            Role::PostExpertsNorm => "post_feedforward_layernorm_2.weight",
        };
        layer.map_or_else(|| format!("{decoder}{name}"), |i| format!("{decoder}layers.{i}.{name}"))
    }

    /// Name of one expert's matrix, in folders that store each matrix as a tensor of its own.
    pub(super) fn expert_name(self, layer: usize, expert: usize, matrix: ExpertMatrix) -> String {
        let name = match matrix {
            ExpertMatrix::Gate => "gate_proj",
            ExpertMatrix::Up => "up_proj",
            ExpertMatrix::Down => "down_proj",
        };
        format!("{}layers.{layer}.mlp.experts.{expert}.{name}.weight", self.decoder)
    }
}

/// One of the three matrices of an expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpertMatrix {
    /// `[intermediate, hidden]`
    Gate,
    /// `[intermediate, hidden]`
    Up,
    /// `[hidden, intermediate]`
    Down,
}

impl ExpertMatrix {
    pub(crate) const ALL: [ExpertMatrix; 3] = [ExpertMatrix::Gate, ExpertMatrix::Up, ExpertMatrix::Down];
}
