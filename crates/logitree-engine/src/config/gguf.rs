//! Configuration from GGUF metadata.

use super::{Config, LayerKind, Rope, RopeScaling, embedding_scale, family_of, pattern};
use crate::weights::{Gguf, WeightsError};
use logitree_core::TokenId;

/// Base of local layers' rotary embedding in Gemma 3, where the file does not say.
const GEMMA3_LOCAL_BASE: f32 = 10_000.0;

pub(crate) fn read(g: &Gguf) -> Result<Config, WeightsError> {
    let arch = g.str("general.architecture");
    let arch = arch.ok_or_else(|| WeightsError::format(g.path(), "no `general.architecture` in the metadata"))?;
    let family = family_of(arch, g.path())?;
    let key = |name: &str| format!("{arch}.{name}");
    let number = |name: &str| -> Result<usize, WeightsError> {
        let n = g.u64(&key(name)).and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| WeightsError::format(g.path(), format!("`{}` is missing from the metadata", key(name))))
    };
    let float = |name: &str| g.f32(&key(name));
    let hidden = number("embedding_length")?;
    let layers = number("block_count")?;
    let heads = number("attention.head_count")?;
    if heads == 0 || layers > 1 << 12 {
        return Err(WeightsError::format(g.path(), format!("{heads} heads, {layers} layers: the metadata is damaged")));
    }
    let head_dim = number("attention.key_length").unwrap_or(hidden / heads);
    if g.u64(&key("attention.value_length")).is_some_and(|n| n != head_dim as u64) {
        return Err(WeightsError::format(g.path(), "keys and values of different sizes are not supported"));
    }
    let embedding = g.tensor("token_embd.weight");
    let embedding = embedding
        .ok_or_else(|| WeightsError::MissingTensor { path: g.path().into(), name: "token_embd.weight".into() })?;
    let dims = number("rope.dimension_count").unwrap_or(head_dim);
    let base = float("rope.freq_base").unwrap_or(10_000.0);
    let ropes = match arch {
        "gemma3" => vec![
            Rope { base: float("rope.freq_base").unwrap_or(1e6), dims, scaling: scaling(g, arch)? },
            Rope {
                base: float("rope.freq_base_swa").unwrap_or(GEMMA3_LOCAL_BASE),
                dims,
                scaling: RopeScaling::Default,
            },
        ],
        _ => vec![Rope { base, dims, scaling: scaling(g, arch)? }],
    };
    let window = number("attention.sliding_window").ok().filter(|&w| w > 0);
    let layers = match (arch, window) {
        ("gemma2", Some(w)) => pattern(layers, 2, w, 0),
        ("gemma3", Some(w)) => pattern(layers, number("attention.sliding_window_pattern").unwrap_or(6).max(1), w, 1),
        // Qwen files carry the number although the models do not slide; Mistral's first version does.
        ("llama", window) => vec![LayerKind { window, rope: 0 }; layers],
        _ => vec![LayerKind { window: None, rope: 0 }; layers],
    };
    // Files of the 27B models scale by the width per head, which is not their head size.
    let scale_dim = match (arch, layers.len()) {
        ("gemma2", 46) | ("gemma3", 62) => hidden / heads,
        _ => head_dim,
    };
    let cap = |name: &str, default: f32| (arch == "gemma2").then(|| float(name).unwrap_or(default));
    Ok(Config {
        architecture: arch.into(),
        vocab: embedding.rows,
        hidden,
        intermediate: number("feed_forward_length")?,
        heads,
        kv_heads: number("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        layers,
        ropes,
        context: number("context_length")?,
        norm_eps: float("attention.layer_norm_rms_epsilon").unwrap_or(1e-6),
        attention_scale: (scale_dim as f32).sqrt().recip(),
        attention_softcap: cap("attn_logit_softcapping", 50.0),
        final_softcap: cap("final_logit_softcapping", 30.0),
        embedding_scale: embedding_scale(family, hidden),
        // Converters add the 1 that Gemma's norms leave out.
        norm_offset: false,
        activation: family.activation,
        qk_norm: family.qk_norm,
        qkv_bias: family.qkv_bias,
        post_norms: family.post_norms,
        tied: g.tensor("output.weight").is_none(),
        // Converters permute the rows of Llama's (and Mistral's) q and k for neighbouring pairs.
        rope_interleaved: arch == "llama",
    })
}

fn scaling(g: &Gguf, arch: &str) -> Result<RopeScaling, WeightsError> {
    // Llama 3.1's factors come as a tensor.
    if let Some(view) = g.tensor("rope_freqs.weight") {
        return crate::forward::row(&view, 0).map(RopeScaling::Factors);
    }
    let factor = g.f32(&format!("{arch}.rope.scaling.factor"));
    match (g.str(&format!("{arch}.rope.scaling.type")), factor) {
        (None | Some("none"), _) => Ok(RopeScaling::Default),
        (Some("linear"), Some(factor)) if factor > 0.0 => Ok(RopeScaling::Linear(factor)),
        (Some(kind), _) => {
            let what =
                format!("rope scaling `{kind}` with factor {factor:?} is not supported; supported: linear, llama3");
            Err(WeightsError::format(g.path(), what))
        }
    }
}

/// Ids that the metadata names as end of text, turn or message.
pub(crate) fn end_tokens(g: &Gguf) -> Vec<TokenId> {
    let single = ["eos_token_id", "eot_token_id", "eom_token_id"];
    let mut ids: Vec<u64> = single.iter().filter_map(|k| g.u64(&format!("tokenizer.ggml.{k}"))).collect();
    let list = g.i64s("tokenizer.ggml.eos_token_ids").unwrap_or_default();
    ids.extend(list.into_iter().filter_map(|id| u64::try_from(id).ok()));
    ids.into_iter().filter_map(|id| u32::try_from(id).ok()).map(TokenId).collect()
}
