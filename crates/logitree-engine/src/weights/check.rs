//! Whether weights and configuration are of the same model.

use super::error::WeightsError;
use super::role::Role;
use super::{Source, Weights};
use crate::config::Config;
use std::collections::HashSet;

/// Tensors that some converters leave in files and that computing does not need: rotary frequencies follow from
/// the configuration.
const HARMLESS: [&str; 3] = [".rotary_emb.inv_freq", ".attn_rot_embd.weight", "rotary_emb.inv_freq"];

/// Fails unless the language model's tensors are exactly those that the configuration asks for, in the right
/// shapes. A tensor too many is refused as well: leaving out a bias or a scale would give wrong numbers silently.
pub(super) fn tensors(weights: &Weights, config: &Config) -> Result<(), WeightsError> {
    let mut expected = HashSet::new();
    let mut check = |role: Role, layer: Option<usize>| {
        let (rows, cols) = shape(role, config);
        let view = weights.tensor(role, layer)?;
        view.expect_shape(rows, cols)?;
        expected.insert(view.name.to_string());
        Ok::<_, WeightsError>(())
    };
    for role in [Role::TokenEmbedding, Role::OutputNorm] {
        check(role, None)?;
    }
    if !config.tied {
        check(Role::Output, None)?;
    }
    for layer in 0..config.layers.len() {
        layer_roles(config).try_for_each(|role| check(role, Some(layer)))?;
    }
    // A tied head may be stored all the same, and rotary factors belong to the configuration.
    expected.extend([weights.name(Role::Output, None), weights.name(Role::RopeFactors, None)]);
    let unexpected = |name: &&str| !expected.contains(*name) && !HARMLESS.iter().any(|h| name.ends_with(h));
    let found = match &weights.source {
        Source::Gguf(g) => g.tensor_names().find(unexpected),
        Source::Folder(f) => f.tensor_names().find(unexpected),
    };
    match found {
        None => Ok(()),
        Some(name) => {
            let problem = format!(
                "is not part of a {} model of {} layers as this engine knows it; use a file whose metadata fits its weights",
                config.architecture,
                config.layers.len()
            );
            Err(WeightsError::Tensor { path: weights.path.clone(), name: name.into(), problem })
        }
    }
}

/// The tensors of every layer.
fn layer_roles(c: &Config) -> impl Iterator<Item = Role> {
    use Role::*;
    let always = [AttnNorm, Q, K, V, O, FfnNorm, Gate, Up, Down];
    let sometimes = [
        (c.qkv_bias, &[QBias, KBias, VBias][..]),
        (c.qk_norm, &[QNorm, KNorm]),
        (c.post_norms, &[PostAttnNorm, PostFfnNorm]),
    ];
    always.into_iter().chain(sometimes.into_iter().filter(|(has, _)| *has).flat_map(|(_, roles)| roles).copied())
}

/// `[rows, cols]` of a role's tensor. Sizes have passed [`Config::validate`]: products don't overflow.
fn shape(role: Role, c: &Config) -> (usize, usize) {
    let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    match role {
        Role::TokenEmbedding | Role::Output => (c.vocab, c.hidden),
        Role::OutputNorm | Role::AttnNorm | Role::FfnNorm | Role::PostAttnNorm | Role::PostFfnNorm => (1, c.hidden),
        Role::Q => (q, c.hidden),
        Role::K | Role::V => (kv, c.hidden),
        Role::O => (c.hidden, q),
        Role::QBias => (1, q),
        Role::KBias | Role::VBias => (1, kv),
        Role::QNorm | Role::KNorm => (1, c.head_dim),
        Role::Gate | Role::Up => (c.intermediate, c.hidden),
        Role::Down => (c.hidden, c.intermediate),
        Role::RopeFactors => (1, c.ropes[0].dims / 2),
    }
}
