//! Configuration from `config.json`, as Hugging Face transformers (4 and 5) writes it.

use super::family::{Family, model_type};
use super::gemma4;
use super::hf_rope::ropes;
use super::rope::usable_context;
use super::types::{Config, Experts, FeedForward, LayerConfig, Sizes};
use super::validate::{MAX_LAYERS, head_size};
use crate::error::WeightsError;
use crate::json::{CORRECT, Fields, UNSUPPORTED, read_object};
use logitree_core::TokenId;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The configuration that a config.json describes, before the checks of [`Config::validate`].
pub(crate) fn read(outer: &Fields<'_>) -> Result<Config, WeightsError> {
    let (family, text) = Family::of_config(outer)?;
    refuse_variants(outer, &text, family)?;
    let default = family.defaults();
    let size = |key: &str, default: usize| Ok::<_, WeightsError>(text.size(key)?.unwrap_or(default));
    let hidden = size("hidden_size", default.hidden)?;
    let heads = size("num_attention_heads", default.heads)?;
    let head_dim = match text.size("head_dim")?.or(default.head_dim) {
        Some(n) => n,
        None => head_size(hidden, heads).map_err(|problem| text.error("num_attention_heads", problem, CORRECT))?,
    };
    let scale = match family {
        // Gemma 4 has no scale: the weights of its query norm include it.
        Family::Gemma4 => 1.0,
        // Gemma 2 and 3 have a key for the number under the root, instead of the head size.
        Family::Gemma2 | Family::Gemma3 => 1.0 / text.float("query_pre_attn_scalar")?.unwrap_or(256.0).sqrt(),
        _ => 1.0 / (head_dim as f64).sqrt(),
    };
    let kv_heads = match text.value("num_key_value_heads") {
        // An absent key means the family's default, while null means as many key/value heads as query heads.
        None if !text.has("num_key_value_heads") => default.kv_heads.unwrap_or(heads),
        _ => size("num_key_value_heads", heads)?,
    };
    let cap = |key: &str, default: f64| -> Result<Option<f32>, WeightsError> {
        let default = (family == Family::Gemma2 && !text.has(key)).then_some(default);
        Ok(text.float(key)?.or(default).filter(|_| family.post_norms()).map(|x| x as f32))
    };
    let sizes = Sizes { heads, kv_heads, head_dim, intermediate: size("intermediate_size", default.intermediate)? };
    let mut layers = layers(&text, family, size("num_hidden_layers", default.layers)?, sizes)?;
    let mut layer_inputs = None;
    if family == Family::Gemma4 {
        gemma4::shape_layers(&text, &mut layers)?;
        layer_inputs = gemma4::layer_inputs(&text)?;
    }
    let experts = experts(&text, family, &mut layers)?;
    let head_dims = [false, true].map(|sliding| {
        layers.iter().find(|layer| layer.window.is_some() == sliding).map_or(head_dim, |layer| layer.head_dim)
    });
    let ropes = ropes(&text, family, head_dims)?;
    Ok(Config {
        architecture: model_type(outer, &text)?.into(),
        vocab: size("vocab_size", default.vocab)?,
        hidden,
        layers,
        context: usable_context(size("max_position_embeddings", default.context)?, &ropes),
        ropes,
        norm_eps: text.float("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        attention_scale: scale as f32,
        attention_softcap: cap("attn_logit_softcapping", 50.0)?,
        final_softcap: cap("final_logit_softcapping", 30.0)?,
        embedding_scale: family.embedding_scale(hidden),
        norm_offset: family.norm_offset(),
        activation: family.activation(),
        qk_norm: family.qk_norm(),
        v_norm: family == Family::Gemma4,
        qkv_bias: family == Family::Qwen2,
        post_norms: family.post_norms(),
        layer_scalar: family == Family::Gemma4,
        layer_inputs,
        experts,
        tied: tied(outer)?,
        rope_interleaved: false,
    })
}

/// Whether the embedding matrix is also the output matrix. Multimodal models may say so outside the text part.
pub(crate) fn tied(outer: &Fields<'_>) -> Result<bool, WeightsError> {
    let (family, text) = Family::of_config(outer)?;
    let key = "tie_word_embeddings";
    let tied = text.bool(key)?.map_or_else(|| outer.bool(key), |t| Ok(Some(t)))?;
    Ok(tied.unwrap_or(family.is_gemma()))
}

/// Sentences for the user about settings of config.json that have no effect.
pub(crate) fn notes(outer: &Fields<'_>) -> Vec<String> {
    let Ok((_, text)) = Family::of_config(outer) else { return Vec::new() };
    let idle = |key: &str| {
        let rope = text.object(key).ok().flatten()?;
        let typed = rope.has("rope_type") || rope.has("type");
        (rope.has("factor") && !typed)
            .then(|| format!("config.json: {key} has a factor but no rope_type: it has no effect, as in transformers"))
    };
    ["rope_scaling", "rope_parameters"].into_iter().filter_map(idle).collect()
}

/// Refuses configurations with settings that change the computation in ways that this engine does not implement.
fn refuse_variants(outer: &Fields<'_>, text: &Fields<'_>, family: Family) -> Result<(), WeightsError> {
    for key in ["attention_bias", "mlp_bias", "use_bidirectional_attention"] {
        // The value `vision` makes attention bidirectional for images only; text is still read in one direction.
        let for_images = |v: &Value| key == "use_bidirectional_attention" && *v == "vision";
        if text.value(key).is_some_and(|v| *v != Value::Bool(false) && !for_images(v)) {
            return Err(text.error(key, "is set", UNSUPPORTED));
        }
    }
    if outer.value("quantization_config").is_some() {
        let fix = "use the original model in F32, F16 or BF16, or a GGUF file";
        return Err(outer.error("quantization_config", "quantised safetensors are not supported", fix));
    }
    // `hidden_activation` is Gemma's own key, and wins if both keys are given.
    let key = if text.value("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    let known: &[&str] = match family.is_gemma() {
        // Early Gemma files say `gelu` where the tanh approximation is meant; the reference implementation reads it so
        // too.
        true => &["gelu_pytorch_tanh", "gelu"],
        false => &["silu"],
    };
    match text.str(key)? {
        Some(name) if !known.contains(&name) => {
            Err(text.error(key, format!("is `{name}`, but the architecture is known with {}", known[0]), UNSUPPORTED))
        }
        _ => Ok(()),
    }
}

fn layers(text: &Fields<'_>, family: Family, count: usize, sizes: Sizes) -> Result<Vec<LayerConfig>, WeightsError> {
    if count > MAX_LAYERS {
        return Err(text.error("num_hidden_layers", format!("is {count}, more than {MAX_LAYERS}"), CORRECT));
    }
    // An absent key means the family's default, while null means that there is no window.
    let window = match text.has("sliding_window") {
        true => text.size("sliding_window")?,
        false => Some(if family == Family::Gemma4 { 512 } else { 4096 }),
    };
    let every = |period: usize| (0..count).map(|i| (i + 1) % period != 0).collect();
    let listed = match family {
        Family::Gemma2 | Family::Gemma3 | Family::Gemma4 | Family::Qwen2 | Family::Qwen3 | Family::Qwen3Moe => {
            layer_types(text, count)?
        }
        _ => None,
    };
    let mut sliding: Vec<bool> = match (listed, family) {
        (Some(list), _) => list,
        (None, Family::Gemma2) => every(2),
        (None, Family::Gemma3) => every(period(text)?),
        (None, Family::Gemma4) => every(6),
        (None, Family::Mistral) => vec![window.is_some(); count],
        (None, Family::Qwen2 | Family::Qwen3 | Family::Qwen3Moe) if text.bool("use_sliding_window")? == Some(true) => {
            let first = text.size("max_window_layers")?.unwrap_or(28);
            (0..count).map(|i| window.is_some() && i >= first).collect()
        }
        _ => vec![false; count],
    };
    if let (Family::Gemma4, Some(last)) = (family, sliding.last_mut()) {
        // In the reference implementation the last layer always has full attention, whatever the file says.
        *last = false;
    }
    if window.is_none() && sliding.contains(&true) {
        return Err(text.error("sliding_window", "is null, but some layers slide", CORRECT));
    }
    let local = usize::from(family.has_local_rope());
    Ok(sliding.into_iter().map(|sliding| sizes.layer(sliding, window, local)).collect())
}

/// Reads the mixture of experts, and marks the layers that have it.
fn experts(text: &Fields<'_>, family: Family, layers: &mut [LayerConfig]) -> Result<Option<Experts>, WeightsError> {
    let size = |key: &str| text.require(key, text.size(key)?);
    match family {
        Family::Gemma4 if text.bool("enable_moe_block")?.unwrap_or(false) => {
            layers.iter_mut().for_each(|layer| layer.feed_forward = FeedForward::DenseAndExperts);
            Ok(Some(Experts {
                count: size("num_experts")?,
                used: size("top_k_experts")?,
                intermediate: size("moe_intermediate_size")?,
                normalised: true,
                own_norm: true,
            }))
        }
        Family::Qwen3Moe => {
            let or = |key: &str, default: usize| Ok::<_, WeightsError>(text.size(key)?.unwrap_or(default));
            // transformers 5 writes `num_local_experts`, earlier versions `num_experts`.
            let count = match (text.size("num_experts")?, text.size("num_local_experts")?) {
                (Some(one), Some(other)) if one != other => {
                    let problem = format!("is {other}, but num_experts is {one}");
                    return Err(text.error("num_local_experts", problem, CORRECT));
                }
                (one, other) => one.or(other).unwrap_or(128),
            };
            let every = or("decoder_sparse_step", 1)?;
            if every == 0 {
                return Err(text.error("decoder_sparse_step", "is 0", CORRECT));
            }
            let key = "mlp_only_layers";
            let dense = text.array(key)?.unwrap_or_default();
            for index in dense {
                let known = index.as_u64().is_some_and(|i| i < layers.len() as u64);
                known.then_some(()).ok_or_else(|| text.error(key, format!("{index} is no layer"), CORRECT))?;
            }
            for (i, layer) in layers.iter_mut().enumerate() {
                if count > 0 && (i + 1) % every == 0 && !dense.iter().any(|d| d.as_u64() == Some(i as u64)) {
                    layer.feed_forward = FeedForward::Experts;
                }
            }
            let (used, intermediate) = (or("num_experts_per_tok", 8)?, or("moe_intermediate_size", 768)?);
            let normalised = text.bool("norm_topk_prob")?.unwrap_or(false);
            Ok((count > 0).then_some(Experts { count, used, intermediate, normalised, own_norm: false }))
        }
        _ => Ok(None),
    }
}

/// Whether each layer has a window, from the key `layer_types`; `None` if the key is absent.
fn layer_types(text: &Fields<'_>, count: usize) -> Result<Option<Vec<bool>>, WeightsError> {
    let Some(list) = text.array("layer_types")? else { return Ok(None) };
    if list.len() != count {
        return Err(text.error("layer_types", format!("has {} entries for {count} layers", list.len()), CORRECT));
    }
    let kind = |v: &Value| match v.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(text.error("layer_types", format!("layer type {v} is unknown"), UNSUPPORTED)),
    };
    list.iter().map(kind).collect::<Result<_, _>>().map(Some)
}

/// The period of Gemma 3's layers: one layer of each period has full attention. transformers 5 writes the key with a
/// leading underscore.
fn period(text: &Fields<'_>) -> Result<usize, WeightsError> {
    for key in ["sliding_window_pattern", "_sliding_window_pattern"] {
        match text.size(key)? {
            Some(0) => return Err(text.error(key, "is 0", CORRECT)),
            Some(period) => return Ok(period),
            None => {}
        }
    }
    Ok(6)
}

/// Ids that `config.json` and `generation_config.json` name as end of generation, sorted.
pub(crate) fn end_tokens(outer: &Fields<'_>, folder: &Path) -> Result<Vec<TokenId>, WeightsError> {
    let mut ids = BTreeSet::new();
    collect_ids(outer, &mut ids)?;
    if let Some(text) = outer.object("text_config")? {
        collect_ids(&text, &mut ids)?;
    }
    let path = folder.join("generation_config.json");
    if path.exists() {
        collect_ids(&Fields::new(&path, &read_object(&path)?), &mut ids)?;
    }
    Ok(ids.into_iter().map(TokenId).collect())
}

/// Adds the ids of `eos_token_id`, which is a single id or a list.
fn collect_ids(fields: &Fields<'_>, ids: &mut BTreeSet<u32>) -> Result<(), WeightsError> {
    let key = "eos_token_id";
    let list = match fields.value(key) {
        None => return Ok(()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    for id in list {
        let number = id.as_u64().and_then(|n| u32::try_from(n).ok());
        ids.insert(number.ok_or_else(|| fields.error(key, format!("{id} is not a token id"), CORRECT))?);
    }
    Ok(())
}
