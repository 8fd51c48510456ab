//! What tensors are for, and their names in files.

/// What a tensor is for, whatever its name. Shapes are `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `[vocab, hidden]`
    TokenEmbedding,
    /// `[vocab, hidden]`; absent where the embedding serves.
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
}

impl Role {
    /// Whether every layer has one.
    pub fn is_per_layer(self) -> bool {
        !matches!(self, Role::TokenEmbedding | Role::Output | Role::OutputNorm | Role::RopeFactors)
    }
}

/// Name in GGUF files, as in the GGUF specification's list of standardised names.
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
    };
    layer.map_or_else(|| name.to_string(), |i| format!("blk.{i}.{name}"))
}

/// Where a folder keeps its language model, among others it may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct HfNaming {
    /// What comes before `layers.` and `embed_tokens.`.
    pub(super) decoder: &'static str,
    /// What comes before `lm_head.`.
    pub(super) head: &'static str,
    /// Gemma 2 and 3 have norms on both sides of each block, so `post_attention_layernorm` is the norm after
    /// attention. Elsewhere that name means the norm before the feed-forward layer.
    pub(super) sandwich: bool,
}

/// Known places of the language model: alone, and inside multimodal models (older and newer naming).
const PLACES: [(&str, &str); 4] =
    [("model.", ""), ("language_model.model.", "language_model."), ("model.language_model.", ""), ("", "")];

impl HfNaming {
    /// Finds the language model; if there is none, the names of a plain model, so that errors name those.
    pub(super) fn detect(sandwich: bool, has: impl Fn(&str) -> bool) -> HfNaming {
        // A tied model may be stored with its output matrix alone; the last norm is always there.
        let place = |name: &str| PLACES.into_iter().find(|(decoder, _)| has(&format!("{decoder}{name}")));
        let found = place("embed_tokens.weight").or_else(|| place("norm.weight"));
        let (decoder, head) = found.unwrap_or(PLACES[0]);
        HfNaming { decoder, head, sandwich }
    }

    /// Name in safetensors files, as Hugging Face transformers saves them.
    pub(super) fn name(self, role: Role, layer: Option<usize>) -> String {
        let HfNaming { decoder, head, .. } = self;
        let name = match role {
            Role::TokenEmbedding => return format!("{decoder}embed_tokens.weight"),
            Role::OutputNorm => return format!("{decoder}norm.weight"),
            Role::Output => return format!("{head}lm_head.weight"),
            // config.json describes them instead.
            Role::RopeFactors => return format!("{decoder}rope_freqs.weight"),
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
            // There is no such norm: a name that no file has.
            Role::PostAttnNorm if !self.sandwich => "post_attention_norm.weight",
            Role::PostAttnNorm => "post_attention_layernorm.weight",
            Role::PostFfnNorm => "post_feedforward_layernorm.weight",
            Role::Gate => "mlp.gate_proj.weight",
            Role::Up => "mlp.up_proj.weight",
            Role::Down => "mlp.down_proj.weight",
        };
        layer.map_or_else(|| format!("{decoder}{name}"), |i| format!("{decoder}layers.{i}.{name}"))
    }
}
