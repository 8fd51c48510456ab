//! Checks that weights and configuration belong to the same model.

use super::rope::RopeScaling;
use super::types::{Config, LayerConfig, LayerInputs, Rows};
use crate::error::WeightsError;
use crate::weights::{ExpertMatrix, Role, Weights};
use std::collections::HashSet;

/// Tensors that some converters leave in files and that are not needed: they hold rotary frequencies, which follow from
/// the configuration.
const HARMLESS: [&str; 3] = [".rotary_emb.inv_freq", ".attn_rot_embd.weight", "rotary_emb.inv_freq"];

/// Fails unless the language model's tensors are exactly those that the configuration requires, in the right shapes. An
/// additional tensor is an error too: ignoring a bias or a scale would silently give wrong numbers.
pub(super) fn check(weights: &Weights, config: &Config) -> Result<(), WeightsError> {
    let mut expected = HashSet::new();
    let mut require = |role: Role, layer: Option<usize>| {
        let (rows, cols) = shape(role, layer, config);
        let view = weights.tensor(role, layer)?;
        view.expect_shape(rows, cols)?;
        expected.insert(view.name.to_string());
        Ok::<_, WeightsError>(())
    };
    for role in [Role::TokenEmbedding, Role::OutputNorm] {
        require(role, None)?;
    }
    if !config.tied {
        require(Role::Output, None)?;
    }
    if config.layer_inputs.is_some() {
        [Role::LayerInputs, Role::LayerInputsProjection, Role::LayerInputsNorm]
            .into_iter()
            .try_for_each(|role| require(role, None))?;
    }
    for (i, layer) in config.layers.iter().enumerate() {
        layer_roles(config, layer).try_for_each(|role| require(role, Some(i)))?;
    }
    if let Some(experts) = &config.experts {
        for i in (0..config.layers.len()).filter(|&i| config.layers[i].feed_forward.has_experts()) {
            for expert in 0..experts.count {
                for matrix in ExpertMatrix::ALL {
                    weights.expert(i, experts.sizes(config.hidden), expert, matrix)?;
                }
            }
            expected.extend(weights.expert_tensors(i, experts.count));
        }
    }
    // Files contain key and value matrices even for layers that read other layers' rows; they are not used.
    let readers = (0..config.layers.len()).filter(|&i| !config.layers[i].owns_rows());
    let unused = readers.flat_map(|i| [Role::K, Role::V, Role::KNorm].map(|role| weights.name(role, Some(i))));
    expected.extend(unused);
    // An output matrix may be stored even if it is tied, and rotary factors are read with the configuration.
    let factors = ["rope_factors_short.weight", "rope_factors_long.weight"];
    let has_factors = config.ropes.iter().any(|rope| matches!(rope.scaling, RopeScaling::Longrope { .. }));
    expected.extend(factors.into_iter().filter(|_| has_factors).map(String::from));
    expected.extend([weights.name(Role::Output, None), weights.name(Role::RopeFactors, None)]);
    let unexpected = |name: &&str| !expected.contains(*name) && !HARMLESS.iter().any(|h| name.ends_with(h));
    match weights.tensor_names().find(unexpected) {
        None => Ok(()),
        Some(name) => {
            let problem = format!(
                "is not part of a {} model of {} layers as this engine knows it; use a file whose metadata fits its weights",
                config.architecture,
                config.layers.len()
            );
            Err(WeightsError::Tensor { path: weights.path().into(), name: name.into(), problem })
        }
    }
}

/// The roles of all tensors that a layer must have.
fn layer_roles(c: &Config, layer: &LayerConfig) -> impl Iterator<Item = Role> {
    use Role::*;
    let owns = layer.owns_rows();
    let (dense, experts) = (layer.feed_forward.has_dense(), layer.feed_forward.has_experts());
    let always = [AttnNorm, Q, O, FfnNorm];
    let sometimes = [
        (owns, &[K][..]),
        (layer.rows == Rows::Own, &[V]),
        (dense, &[Gate, Up, Down]),
        (experts, &[Router]),
        (experts && c.experts.is_some_and(|e| e.own_norm), &[RouterNorm, ExpertScale]),
        (experts && dense, &[ExpertsNorm, PostDenseNorm, PostExpertsNorm]),
        (c.qkv_bias, &[QBias, KBias, VBias]),
        (c.qk_norm, &[QNorm]),
        (c.qk_norm && owns, &[KNorm]),
        (c.post_norms, &[PostAttnNorm, PostFfnNorm]),
        (c.layer_scalar, &[LayerScalar]),
        (c.layer_inputs.is_some(), &[LayerInputGate, LayerInputOut, PostLayerInputNorm]),
    ];
    always.into_iter().chain(sometimes.into_iter().filter(|(has, _)| *has).flat_map(|(_, roles)| roles).copied())
}

/// The expected `[rows, cols]` of a role's tensor. Products cannot overflow, because the sizes have passed
/// [`Config::validate`].
fn shape(role: Role, layer: Option<usize>, c: &Config) -> (usize, usize) {
    let l = &c.layers[layer.unwrap_or(0)];
    let (q, kv) = (l.q_len(), l.kv_len());
    let LayerInputs { size: input, rows: tokens } = c.layer_inputs.unwrap_or(LayerInputs { size: 0, rows: 0 });
    let inputs = input * c.layers.len();
    let (experts, width) = c.experts.map_or((0, 0), |e| (e.count, e.intermediate));
    match role {
        Role::TokenEmbedding | Role::Output => (c.vocab, c.hidden),
        Role::OutputNorm | Role::AttnNorm | Role::FfnNorm | Role::PostAttnNorm | Role::PostFfnNorm => (1, c.hidden),
        Role::Q => (q, c.hidden),
        Role::K | Role::V => (kv, c.hidden),
        Role::O => (c.hidden, q),
        Role::QBias => (1, q),
        Role::KBias | Role::VBias => (1, kv),
        Role::QNorm | Role::KNorm => (1, l.head_dim),
        Role::Gate | Role::Up => (l.intermediate, c.hidden),
        Role::Down => (c.hidden, l.intermediate),
        Role::RopeFactors => (1, c.ropes[0].dims / 2),
        Role::LayerInputs => (tokens, inputs),
        Role::LayerInputsProjection => (inputs, c.hidden),
        Role::LayerInputsNorm => (1, input),
        Role::LayerInputGate => (input, c.hidden),
        Role::LayerInputOut => (c.hidden, input),
        Role::PostLayerInputNorm => (1, c.hidden),
        Role::LayerScalar => (1, 1),
        Role::Router => (experts, c.hidden),
        Role::ExpertScale => (1, experts),
        Role::RouterNorm | Role::ExpertsNorm | Role::PostDenseNorm | Role::PostExpertsNorm => (1, c.hidden),
        Role::ExpertsGateUp => (2 * width, c.hidden),
        Role::ExpertsGate | Role::ExpertsUp => (width, c.hidden),
        Role::ExpertsDown => (c.hidden, width),
    }
}
