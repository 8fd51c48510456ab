//! Configuration from GGUF metadata, by the keys of the GGUF specification.

use super::family::Family;
use super::gemma4;
use super::gguf_keys::{Keys, RECONVERT};
use super::gguf_rope::ropes;
use super::rope::usable_context;
use super::types::{Config, Experts, FeedForward, LayerConfig, LayerInputs, Rows, Sizes};
use super::validate::{MAX_LAYERS, head_size};
use crate::error::WeightsError;
use crate::weights::{Gguf, Value, kind};
use logitree_core::TokenId;

/// The configuration that a file's metadata describes, before the checks of [`Config::validate`].
pub(crate) fn read(g: &Gguf) -> Result<Config, WeightsError> {
    // This check comes first: some of the other files, such as importance matrices, have no architecture that could be
    // read.
    if let Some((field, what)) = kind::other_than_model(g) {
        return Err(WeightsError::NotAModel { path: g.path().into(), field, what });
    }
    let arch = g.read::<&str>("general.architecture")?;
    let arch = arch.ok_or_else(|| g.error("general.architecture", "is missing", RECONVERT))?;
    let family = Family::of_gguf(arch, g.path())?;
    let keys = Keys { gguf: g, arch };
    let (hidden, heads) = (keys.size("embedding_length")?, keys.size("attention.head_count")?);
    let head_dim = match keys.optional("attention.key_length")? {
        Some(n) => n,
        None => head_size(hidden, heads).map_err(|problem| keys.error("attention.head_count", problem))?,
    };
    if let Some(n) = keys.optional("attention.value_length")?.filter(|&n| n != head_dim) {
        return Err(
            keys.error("attention.value_length", format!("is {n}, but keys are of size {head_dim}; unsupported"))
        );
    }
    let kv_heads = if family == Family::Gemma4 { None } else { keys.optional("attention.head_count_kv")? };
    let sizes = Sizes {
        heads,
        kv_heads: kv_heads.unwrap_or(heads),
        head_dim,
        intermediate: match family {
            // Gemma 4 has a size for each layer, which is read below.
            Family::Gemma4 => 0,
            // The key may be missing from files whose layers all have experts.
            Family::Qwen3Moe => keys.optional("feed_forward_length")?.unwrap_or(0),
            _ => keys.size("feed_forward_length")?,
        },
    };
    let mut layers = layers(&keys, family, sizes)?;
    let mut layer_inputs = None;
    if family == Family::Gemma4 {
        shape_gemma4(&keys, &mut layers)?;
        layer_inputs = gemma4_inputs(&keys)?;
    }
    let experts = experts(&keys, family, &mut layers)?;
    let ropes = ropes(&keys, family, head_dim)?;
    let (attention_softcap, final_softcap) = softcaps(&keys, family)?;
    let embedding = g.tensor("token_embd.weight")?;
    let embedding = embedding
        .ok_or_else(|| WeightsError::MissingTensor { path: g.path().into(), name: "token_embd.weight".into() })?;
    Ok(Config {
        architecture: arch.into(),
        // The rows of the matrix count, because the key `vocab_size` is optional and some files have padded matrices.
        vocab: embedding.rows,
        hidden,
        attention_scale: attention_scale(&keys, family, layers.len(), hidden, heads, head_dim)?,
        layers,
        context: usable_context(keys.size("context_length")?, &ropes),
        ropes,
        norm_eps: {
            let name = "attention.layer_norm_rms_epsilon";
            keys.float(name)?.ok_or_else(|| keys.error(name, "is missing"))?
        },
        attention_softcap,
        final_softcap,
        embedding_scale: family.embedding_scale(hidden),
        // Converters have already added the 1 to Gemma's norm weights.
        norm_offset: false,
        activation: family.activation(),
        qk_norm: family.qk_norm(),
        v_norm: family == Family::Gemma4,
        // Some models of the `llama` architecture have biases too; only their tensors tell.
        qkv_bias: family == Family::Qwen2 || g.has("blk.0.attn_q.bias") || g.has("blk.0.attn_qkv.bias"),
        post_norms: family.post_norms(),
        layer_scalar: family == Family::Gemma4,
        layer_inputs,
        experts,
        tied: !g.has("output.weight"),
        // Converters permute the rows of q and k in files of Llama and Mistral, so that the two elements of a pair are
        // neighbours.
        rope_interleaved: family == Family::Llama,
    })
}

/// Multiplier of query-key products: 1 / √head_dim, or 1 for Gemma 4. Hugging Face configurations of Gemma 2 and 3 have
/// a key that replaces head_dim (`query_pre_attn_scalar`), but GGUF metadata has none. Only the two 27B models differ:
/// they use hidden / heads (144 and 168), and are recognised by their number of layers.
fn attention_scale(
    keys: &Keys<'_>,
    family: Family,
    layers: usize,
    hidden: usize,
    heads: usize,
    head_dim: usize,
) -> Result<f32, WeightsError> {
    if let Some(scale) = keys.float("attention.scale")?.filter(|&s| s != 0.0) {
        return Ok(scale);
    }
    if family == Family::Gemma4 {
        return Ok(1.0);
    }
    let size = match (family, layers) {
        (Family::Gemma2, 46) | (Family::Gemma3, 62) if heads > 0 => hidden as f64 / heads as f64,
        _ => head_dim as f64,
    };
    Ok((1.0 / size.sqrt()) as f32)
}

fn layers(keys: &Keys<'_>, family: Family, sizes: Sizes) -> Result<Vec<LayerConfig>, WeightsError> {
    let count = keys.size("block_count")?;
    if count > MAX_LAYERS {
        return Err(keys.error("block_count", format!("is {count}, more than {MAX_LAYERS}")));
    }
    let window = keys.optional("attention.sliding_window")?.filter(|&n| n > 0);
    let (sliding, window): (Vec<bool>, _) = match family {
        // Early converters did not write the window; all Gemma 2 models have this one.
        Family::Gemma2 => (sliding(keys, count, 2)?, Some(window.unwrap_or(4096))),
        Family::Gemma3 | Family::Gemma4 => {
            let name = "attention.sliding_window";
            (sliding(keys, count, 6)?, Some(window.ok_or_else(|| keys.error(name, "is missing"))?))
        }
        // The first version of Mistral has a window in every layer.
        Family::Llama => (vec![true; count], window),
        // Qwen's configurations give a window that the models do not use.
        _ => (vec![false; count], None),
    };
    let local = usize::from(family.has_local_rope());
    Ok(sliding.into_iter().map(|sliding| sizes.layer(sliding, window, local)).collect())
}

/// Reads the mixture of experts, and marks the layers that have it: those with a router tensor.
fn experts(keys: &Keys<'_>, family: Family, layers: &mut [LayerConfig]) -> Result<Option<Experts>, WeightsError> {
    if !matches!(family, Family::Gemma4 | Family::Qwen3Moe) {
        return Ok(None);
    }
    let count = keys.optional("expert_count")?.unwrap_or(0);
    let has_router = |layer: usize| keys.gguf.has(&format!("blk.{layer}.ffn_gate_inp.weight"));
    if count == 0 {
        return match (0..layers.len()).find(|&layer| has_router(layer)) {
            Some(layer) => {
                let problem = format!("is missing or 0, but layer {layer} has a router for experts");
                Err(keys.error("expert_count", problem))
            }
            None => Ok(None),
        };
    }
    let own_norm = family == Family::Gemma4;
    for (i, layer) in layers.iter_mut().enumerate() {
        if has_router(i) {
            layer.feed_forward = if own_norm { FeedForward::DenseAndExperts } else { FeedForward::Experts };
        }
    }
    let (used, intermediate) = (keys.size("expert_used_count")?, keys.size("expert_feed_forward_length")?);
    Ok(Some(Experts { count, used, intermediate, normalised: true, own_norm }))
}

/// Sets the sizes of Gemma 4's layers. The key `attention.key_length` is the head size of layers with full attention.
fn shape_gemma4(keys: &Keys<'_>, layers: &mut [LayerConfig]) -> Result<(), WeightsError> {
    let count = layers.len();
    let local = keys.size("attention.key_length_swa")?;
    if let Some(n) = keys.optional("attention.value_length_swa")?.filter(|&n| n != local) {
        let problem = format!("is {n}, but keys are of size {local}; unsupported");
        return Err(keys.error("attention.value_length_swa", problem));
    }
    let kv_heads = keys.by_layer("attention.head_count_kv", count)?;
    let intermediate = keys.by_layer("feed_forward_length", count)?;
    let shared = "attention.shared_kv_layers";
    gemma4::share(layers, keys.optional(shared)?.unwrap_or(0)).map_err(|problem| keys.error(shared, problem))?;
    for (i, layer) in layers.iter_mut().enumerate() {
        (layer.kv_heads, layer.intermediate) = (kv_heads[i], intermediate[i]);
        if layer.window.is_some() {
            layer.head_dim = local;
        }
        let has = |name: &str| keys.gguf.has(&format!("blk.{i}.{name}.weight"));
        if layer.owns_rows() && !has("attn_v") && !has("attn_qkv") {
            layer.rows = Rows::KeyIsValue;
        }
    }
    Ok(())
}

/// Reads the sizes of the inputs that every layer gets for the token. Their matrix has at least as many rows as there
/// are tokens.
fn gemma4_inputs(keys: &Keys<'_>) -> Result<Option<LayerInputs>, WeightsError> {
    let size = keys.optional("embedding_length_per_layer_input")?.unwrap_or(0);
    if size == 0 {
        return Ok(None);
    }
    let name = "per_layer_token_embd.weight";
    let table = keys.gguf.tensor(name)?;
    let table =
        table.ok_or_else(|| WeightsError::MissingTensor { path: keys.gguf.path().into(), name: name.into() })?;
    Ok(Some(LayerInputs { size, rows: table.rows }))
}

/// Whether each layer has a window. All but every `period`th have one, unless the file gives another period or a list.
fn sliding(keys: &Keys<'_>, count: usize, period: usize) -> Result<Vec<bool>, WeightsError> {
    let name = "attention.sliding_window_pattern";
    let period = match keys.gguf.get(&keys.key(name)) {
        Some(Value::Array(_)) => {
            let list = keys.gguf.read::<Vec<bool>>(&keys.key(name))?.unwrap_or_default();
            if list.len() != count {
                return Err(keys.error(name, format!("has {} entries for {count} layers", list.len())));
            }
            return Ok(list);
        }
        _ => keys.optional(name)?.unwrap_or(period),
    };
    if period == 0 {
        return Err(keys.error(name, "is 0"));
    }
    Ok((0..count).map(|i| (i + 1) % period != 0).collect())
}

/// The soft-caps of attention scores and final logits. The value 0 means that there is none.
fn softcaps(keys: &Keys<'_>, family: Family) -> Result<(Option<f32>, Option<f32>), WeightsError> {
    let cap = |name: &str, default: f32| -> Result<Option<f32>, WeightsError> {
        // All Gemma 2 models have soft-caps, but early converters did not write them.
        let default = (family == Family::Gemma2).then_some(default);
        Ok(keys.float(name)?.or(default).filter(|&cap| cap != 0.0))
    };
    match family {
        Family::Gemma2 | Family::Gemma3 | Family::Gemma4 => {
            Ok((cap("attn_logit_softcapping", 50.0)?, cap("final_logit_softcapping", 30.0)?))
        }
        _ => Ok((None, None)),
    }
}

/// Ids that the metadata gives as end of text, turn or message, sorted.
pub(crate) fn end_tokens(g: &Gguf) -> Result<Vec<TokenId>, WeightsError> {
    let mut ids: Vec<u32> = ["eos", "eot", "eom"].into_iter().filter_map(|name| g.token_id(name)).collect();
    let key = "tokenizer.ggml.eos_token_ids";
    for id in g.read::<Vec<i64>>(key)?.unwrap_or_default() {
        // Some converters write an id with all bits set for "none".
        if id == -1 || id == i64::from(u32::MAX) {
            continue;
        }
        ids.push(u32::try_from(id).map_err(|_| g.error(key, format!("{id} is not a token id"), RECONVERT))?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into_iter().map(TokenId).collect())
}
