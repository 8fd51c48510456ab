//! The parts of config.json that only Gemma 4 has: heads of two sizes, keys that are also values, layers that read the
//! rows of earlier layers, and inputs of every layer by token.

use super::types::{LayerConfig, LayerInputs, Rows};
use crate::error::WeightsError;
use crate::json::{CORRECT, Fields};

/// Head size of layers with full attention, if config.json does not give it.
const GLOBAL_HEAD_DIM: usize = 512;
/// Elements of a layer's input per token, if config.json does not give them.
const LAYER_INPUT: usize = 256;

/// Sets the sizes of layers that differ from the common ones. On entry all layers have the sizes of layers with a
/// window.
pub(super) fn shape_layers(text: &Fields<'_>, layers: &mut [LayerConfig]) -> Result<(), WeightsError> {
    let key_is_value = text.bool("attention_k_eq_v")?.unwrap_or(false);
    match text.object("per_layer_config")? {
        // Models saved by transformers list the layers whose sizes differ from the others'.
        Some(own) => {
            for (index, _) in own.iter() {
                let Some(layer) = index.parse().ok().and_then(|i: usize| layers.get_mut(i)) else {
                    return Err(own.error(index, "is no layer of this model", CORRECT));
                };
                let Some(sizes) = own.object(index)? else { continue };
                layer.head_dim = sizes.size("head_dim")?.unwrap_or(layer.head_dim);
                layer.kv_heads = sizes.size("num_key_value_heads")?.unwrap_or(layer.kv_heads);
            }
        }
        // Published models have separate keys for the layers with full attention.
        None => {
            let head_dim = text.size("global_head_dim")?.unwrap_or(GLOBAL_HEAD_DIM);
            let kv_heads = text.size("num_global_key_value_heads")?.filter(|_| key_is_value);
            for layer in layers.iter_mut().filter(|layer| layer.window.is_none()) {
                layer.head_dim = head_dim;
                layer.kv_heads = kv_heads.unwrap_or(layer.kv_heads);
            }
        }
    }
    if key_is_value {
        layers.iter_mut().filter(|layer| layer.window.is_none()).for_each(|layer| layer.rows = Rows::KeyIsValue);
    }
    let key = "num_kv_shared_layers";
    let shared = text.size(key)?.unwrap_or(0);
    share(layers, shared).map_err(|problem| text.error(key, problem, CORRECT))?;
    if text.bool("use_double_wide_mlp")?.unwrap_or(false) {
        // An impossibly large size must not overflow here; it is refused later, with the other sizes.
        let double = |layer: &mut LayerConfig| layer.intermediate = layer.intermediate.saturating_mul(2);
        layers.iter_mut().filter(|layer| !layer.owns_rows()).for_each(double);
    }
    Ok(())
}

/// Makes each of the last `shared` layers read the rows of the last earlier layer of the same kind (window or full
/// attention).
pub(super) fn share(layers: &mut [LayerConfig], shared: usize) -> Result<(), String> {
    let Some(first) = layers.len().checked_sub(shared).filter(|&first| first > 0) else {
        return Err(format!("is {shared}, but the model has {} layers", layers.len()));
    };
    let (owners, readers) = layers.split_at_mut(first);
    for (i, layer) in readers.iter_mut().enumerate() {
        let alike = owners.iter().rposition(|owner| owner.window == layer.window);
        let problem = || format!("is {shared}: no layer before them sees as much as layer {}", first + i);
        layer.rows = Rows::Shared(alike.ok_or_else(problem)?);
    }
    Ok(())
}

/// Reads the inputs of every layer by token. A size of 0 or null means that there are none.
pub(super) fn layer_inputs(text: &Fields<'_>) -> Result<Option<LayerInputs>, WeightsError> {
    let key = "hidden_size_per_layer_input";
    let size = if text.has(key) { text.size(key)?.unwrap_or(0) } else { LAYER_INPUT };
    let rows = text.size("vocab_size_per_layer_input")?.unwrap_or(262_144);
    Ok((size > 0).then_some(LayerInputs { size, rows }))
}
