//! Configuration from `config.json`.

use super::{Config, LayerKind, Rope, RopeScaling, embedding_scale, family_of, pattern};
use crate::weights::{Folder, Role, WeightsError};
use logitree_core::TokenId;
use serde_json::Value;

pub(crate) fn read(f: &Folder) -> Result<Config, WeightsError> {
    let outer = f.config();
    // Multimodal models keep the language model's configuration inside.
    let json = outer.get("text_config").unwrap_or(outer);
    let kind = json.get("model_type").or(outer.get("model_type")).and_then(Value::as_str).unwrap_or("(none)");
    let arch = kind.strip_suffix("_text").unwrap_or(kind);
    let family = family_of(arch, f.path())?;
    let optional = |name: &str| json.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let number = |name: &str| -> Result<usize, WeightsError> {
        optional(name).ok_or_else(|| WeightsError::format(f.path(), format!("config.json has no number `{name}`")))
    };
    let float = |name: &str| json.get(name).and_then(Value::as_f64).map(|x| x as f32);
    let hidden = number("hidden_size")?;
    let layers = number("num_hidden_layers")?;
    let heads = number("num_attention_heads")?;
    if heads == 0 || layers > 1 << 12 {
        return Err(WeightsError::format(f.path(), format!("{heads} heads, {layers} layers: config.json is damaged")));
    }
    let head_dim = optional("head_dim").unwrap_or(hidden / heads);
    let scale_dim = float("query_pre_attn_scalar").unwrap_or(head_dim as f32);
    let tied = json.get("tie_word_embeddings").or(outer.get("tie_word_embeddings")).and_then(Value::as_bool);
    // Gemma's configurations leave the default out; the weights tell.
    let tied = tied.unwrap_or_else(|| !f.has(&f.name_of(Role::Output, None)));
    let activation = json.get("hidden_activation").or(json.get("hidden_act")).and_then(Value::as_str);
    if !family.gemma && activation.is_some_and(|a| a != "silu") {
        let what = format!("activation {activation:?} is not supported for {arch}");
        return Err(WeightsError::format(f.path(), what));
    }
    Ok(Config {
        architecture: arch.into(),
        vocab: number("vocab_size")?,
        hidden,
        intermediate: number("intermediate_size")?,
        heads,
        kv_heads: optional("num_key_value_heads").unwrap_or(heads),
        head_dim,
        layers: layer_kinds(f, json, arch, layers)?,
        ropes: ropes(f, json, arch, head_dim)?,
        context: number("max_position_embeddings")?,
        norm_eps: float("rms_norm_eps").unwrap_or(1e-6),
        attention_scale: scale_dim.sqrt().recip(),
        attention_softcap: float("attn_logit_softcapping"),
        final_softcap: float("final_logit_softcapping"),
        embedding_scale: embedding_scale(family, hidden),
        norm_offset: family.gemma,
        activation: family.activation,
        qk_norm: family.qk_norm,
        qkv_bias: family.qkv_bias,
        post_norms: family.post_norms,
        tied,
        rope_interleaved: false,
    })
}

fn layer_kinds(f: &Folder, json: &Value, arch: &str, layers: usize) -> Result<Vec<LayerKind>, WeightsError> {
    let slides = json.get("use_sliding_window").and_then(Value::as_bool) != Some(false);
    let window = json.get("sliding_window").and_then(Value::as_u64).filter(|_| slides).map(|w| w as usize);
    // Gemma 3 has a second rotary embedding for its local layers.
    let local = usize::from(arch == "gemma3");
    if let (Some(types), Some(window)) = (json.get("layer_types").and_then(Value::as_array), window) {
        if types.len() != layers {
            let what = format!("config.json: `layer_types` has {} entries for {layers} layers", types.len());
            return Err(WeightsError::format(f.path(), what));
        }
        let kind = |t: &Value| match t.as_str() {
            Some("full_attention") => Ok(LayerKind { window: None, rope: 0 }),
            Some("sliding_attention") => Ok(LayerKind { window: Some(window), rope: local }),
            _ => Err(WeightsError::format(f.path(), format!("config.json: layer type {t} is not supported"))),
        };
        return types.iter().map(kind).collect();
    }
    let period = json.get("sliding_window_pattern").and_then(Value::as_u64).map(|n| n as usize);
    Ok(match (arch, window) {
        ("gemma2", Some(w)) => pattern(layers, 2, w, 0),
        ("gemma3", Some(w)) => pattern(layers, period.unwrap_or(6).max(1), w, 1),
        ("mistral", window) => vec![LayerKind { window, rope: 0 }; layers],
        _ => vec![LayerKind { window: None, rope: 0 }; layers],
    })
}

/// Rotary embeddings: the first for full attention; Gemma 3 has a second for sliding attention.
fn ropes(f: &Folder, json: &Value, arch: &str, head_dim: usize) -> Result<Vec<Rope>, WeightsError> {
    let float = |v: &Value, name: &str| v.get(name).and_then(Value::as_f64).map(|x| x as f32);
    let default_base = if arch == "gemma3" { 1e6 } else { 10_000.0 };
    let none = Value::Null;
    // Newer files: one `rope_parameters`, or one per layer type. Older: `rope_theta`, `rope_scaling`.
    let new = json.get("rope_parameters").unwrap_or(&none);
    let full = new.get("full_attention").unwrap_or(new);
    let scaling_json = if full.is_object() { full } else { json.get("rope_scaling").unwrap_or(&none) };
    let base = float(full, "rope_theta").or(float(json, "rope_theta")).unwrap_or(default_base);
    let scaling = scaling(f, scaling_json)?;
    let mut ropes = vec![Rope { base, dims: head_dim, scaling }];
    if arch == "gemma3" {
        let local = new.get("sliding_attention").and_then(|s| float(s, "rope_theta"));
        let base = local.or(float(json, "rope_local_base_freq")).unwrap_or(10_000.0);
        ropes.push(Rope { base, dims: head_dim, scaling: RopeScaling::Default });
    }
    Ok(ropes)
}

fn scaling(f: &Folder, json: &Value) -> Result<RopeScaling, WeightsError> {
    let kind = json.get("rope_type").or(json.get("type")).and_then(Value::as_str).unwrap_or("default");
    let number = |name: &str| match json.get(name).and_then(Value::as_f64) {
        Some(x) if x > 0.0 => Ok(x as f32),
        _ => {
            Err(WeightsError::format(f.path(), format!("config.json: rope scaling `{kind}` needs a positive `{name}`")))
        }
    };
    match kind {
        "default" => Ok(RopeScaling::Default),
        "linear" => Ok(RopeScaling::Linear(number("factor")?)),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_context: number("original_max_position_embeddings")?,
        }),
        _ => {
            let what = format!("rope scaling `{kind}` is not supported; supported: default, linear, llama3");
            Err(WeightsError::format(f.path(), what))
        }
    }
}

/// End ids of `generation_config.json`, else of `config.json`.
pub(crate) fn end_tokens(f: &Folder) -> Result<Vec<TokenId>, WeightsError> {
    let generation = f.json("generation_config.json")?;
    let named = generation.as_ref().and_then(|g| g.get("eos_token_id")).or(f.config().get("eos_token_id"));
    let ids: Vec<&Value> = match named {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    Ok(ids.into_iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()).map(TokenId).collect())
}
