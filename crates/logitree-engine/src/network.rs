//! What a model and its sessions have in common: the weights, and the threads that compute with them.

use crate::forward::Transformer;
use crate::packing::row;
use crate::weights::{Role, Weights, WeightsError};
use logitree_core::{ModelError, TokenId};
use logitree_kernels::Compute;
use std::sync::{Mutex, MutexGuard};

/// The network of a model. It lives as long as the model or any session of it.
pub(crate) struct Network {
    pub(crate) transformer: Transformer,
    pub(crate) weights: Weights,
    compute: Mutex<Compute>,
}

impl Network {
    /// Of weights that [`Network::pack`] made the transformer of.
    pub(crate) fn new(weights: Weights, (transformer, compute): (Transformer, Compute)) -> Network {
        Network { transformer, weights, compute: Mutex::new(compute) }
    }

    /// Packs weights for these threads. Where no weights can be multiplied in the arithmetic that was asked for, all are in f32.
    pub(crate) fn pack(weights: &Weights, mut compute: Compute) -> Result<(Transformer, Compute), WeightsError> {
        let transformer = Transformer::load(&mut compute, weights, weights.config()?)?;
        let arithmetic = compute.arithmetic();
        let any = transformer.matrices(true).chain([&transformer.output]).any(|m| m.multiplies_in(arithmetic));
        Ok((transformer, if any { compute } else { compute.in_f32() }))
    }

    pub(crate) fn compute(&self) -> MutexGuard<'_, Compute> {
        // A panic while computing leaves only scratch behind.
        self.compute.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Scaled embedding of a token, `[hidden]`, read from the mapped file.
    pub(crate) fn embedding(&self, token: TokenId) -> Result<Vec<f32>, ModelError> {
        let c = &self.transformer.config;
        self.scaled_row(Role::TokenEmbedding, (c.vocab, c.hidden), token, c.embedding_scale)
    }

    /// What a token has for every layer, `[layers][size]`, scaled and read from the mapped file; empty in models without.
    pub(crate) fn layer_embedding(&self, token: TokenId) -> Result<Vec<f32>, ModelError> {
        let c = &self.transformer.config;
        let Some(inputs) = c.layer_inputs else { return Ok(Vec::new()) };
        let shape = (inputs.rows, inputs.size * c.layers.len());
        self.scaled_row(Role::LayerInputs, shape, token, (inputs.size as f64).sqrt() as f32)
    }

    /// A token's row of the output matrix, `[hidden]`, read from the mapped file.
    pub(crate) fn output_row(&self, token: TokenId) -> Result<Vec<f32>, ModelError> {
        let c = &self.transformer.config;
        let role = if c.tied { Role::TokenEmbedding } else { Role::Output };
        self.scaled_row(role, (c.vocab, c.hidden), token, 1.0)
    }

    fn scaled_row(
        &self,
        role: Role,
        (rows, cols): (usize, usize),
        token: TokenId,
        scale: f32,
    ) -> Result<Vec<f32>, ModelError> {
        let failed = |e: WeightsError| ModelError::Engine(e.to_string());
        let view = self.weights.tensor(role, None).map_err(failed)?;
        view.expect_shape(rows, cols).map_err(failed)?;
        let mut x = row(&view, token.index()).map_err(failed)?;
        x.iter_mut().for_each(|x| *x *= scale);
        Ok(x)
    }
}
