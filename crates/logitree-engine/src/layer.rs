//! The weights of a layer, packed as the kernels need them.

use crate::config::{Config, Rows};
use crate::experts::Experts;
use crate::packing::{norm, pack, vector};
use crate::weights::{Role, Weights, WeightsError};
use logitree_kernels::{Compute, PackedMatrix};

/// Weights of one layer. Matrices are `[rows, cols]` as in [`Role`].
pub(crate) struct Layer {
    pub(crate) attn_norm: Vec<f32>,
    pub(crate) q: PackedMatrix,
    /// `None` if the layer reads the keys and values of an earlier layer.
    pub(crate) k: Option<PackedMatrix>,
    /// `None` if the keys are also the values, or the layer reads the keys and values of an earlier layer.
    pub(crate) v: Option<PackedMatrix>,
    pub(crate) bias: Option<[Vec<f32>; 3]>,
    /// Weights of the norms of each head of q, k and v, `[head_dim]` each.
    pub(crate) head_norms: [Option<Vec<f32>>; 3],
    pub(crate) o: PackedMatrix,
    pub(crate) post_attn_norm: Option<Vec<f32>>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) dense: Option<Dense>,
    pub(crate) experts: Option<Experts>,
    pub(crate) post_ffn_norm: Option<Vec<f32>>,
    pub(crate) input: Option<LayerInput>,
    /// Multiplier of the residual stream at the layer's end.
    pub(crate) scalar: Option<f32>,
}

/// A gated feed-forward layer.
pub(crate) struct Dense {
    pub(crate) gate: PackedMatrix,
    pub(crate) up: PackedMatrix,
    pub(crate) down: PackedMatrix,
    /// Norms of the dense result and of the experts' result, before the two are added; `None` in layers without
    /// experts.
    pub(crate) sum_norms: Option<[Vec<f32>; 2]>,
}

impl Dense {
    pub(crate) fn gated(&self) -> [&PackedMatrix; 2] {
        [&self.gate, &self.up]
    }
}

/// Weights that add a layer's own input to the residual stream.
pub(crate) struct LayerInput {
    pub(crate) gate: PackedMatrix,
    pub(crate) out: PackedMatrix,
    pub(crate) norm: Vec<f32>,
}

impl Layer {
    /// Loads and packs the weights of layer `i`.
    pub(crate) fn load(compute: &mut Compute, weights: &Weights, c: &Config, i: usize) -> Result<Layer, WeightsError> {
        let (kind, l) = (&c.layers[i], Some(i));
        let (q_len, kv_len, head_dim, intermediate) = (kind.q_len(), kind.kv_len(), kind.head_dim, kind.intermediate);
        let mut pack = |role, rows, cols| pack(compute, weights, role, l, rows, cols);
        let norm = |role, len| norm(weights, c, role, l, len);
        let post = |role| c.post_norms.then(|| norm(role, c.hidden)).transpose();
        let owns = kind.owns_rows();
        Ok(Layer {
            attn_norm: norm(Role::AttnNorm, c.hidden)?,
            q: pack(Role::Q, q_len, c.hidden)?,
            k: owns.then(|| pack(Role::K, kv_len, c.hidden)).transpose()?,
            v: (kind.rows == Rows::Own).then(|| pack(Role::V, kv_len, c.hidden)).transpose()?,
            bias: match c.qkv_bias {
                true => Some([
                    vector(weights, Role::QBias, l, q_len)?,
                    vector(weights, Role::KBias, l, kv_len)?,
                    vector(weights, Role::VBias, l, kv_len)?,
                ]),
                false => None,
            },
            head_norms: [
                c.qk_norm.then(|| norm(Role::QNorm, head_dim)).transpose()?,
                (c.qk_norm && owns).then(|| norm(Role::KNorm, head_dim)).transpose()?,
                // The norm of values has no weights. The kernel multiplies by 1 instead, which changes no bit.
                c.v_norm.then(|| vec![1.0; head_dim]),
            ],
            o: pack(Role::O, c.hidden, q_len)?,
            post_attn_norm: post(Role::PostAttnNorm)?,
            ffn_norm: norm(Role::FfnNorm, c.hidden)?,
            dense: match kind.feed_forward.has_dense() {
                true => Some(Dense {
                    gate: pack(Role::Gate, intermediate, c.hidden)?,
                    up: pack(Role::Up, intermediate, c.hidden)?,
                    down: pack(Role::Down, c.hidden, intermediate)?,
                    sum_norms: match kind.feed_forward.has_experts() {
                        true => Some([norm(Role::PostDenseNorm, c.hidden)?, norm(Role::PostExpertsNorm, c.hidden)?]),
                        false => None,
                    },
                }),
                false => None,
            },
            post_ffn_norm: post(Role::PostFfnNorm)?,
            input: match c.layer_inputs {
                Some(inputs) => Some(LayerInput {
                    gate: pack(Role::LayerInputGate, inputs.size, c.hidden)?,
                    out: pack(Role::LayerInputOut, c.hidden, inputs.size)?,
                    norm: norm(Role::PostLayerInputNorm, c.hidden)?,
                }),
                None => None,
            },
            experts: match c.experts.filter(|_| kind.feed_forward.has_experts()) {
                Some(experts) => Some(Experts::load(compute, weights, c, &experts, i)?),
                None => None,
            },
            scalar: c.layer_scalar.then(|| vector(weights, Role::LayerScalar, l, 1)).transpose()?.map(|s| s[0]),
        })
    }

    /// The matrices that the normed residual stream is multiplied with to make queries, keys and values.
    pub(crate) fn qkv(&self) -> Vec<&PackedMatrix> {
        [Some(&self.q), self.k.as_ref(), self.v.as_ref()].into_iter().flatten().collect()
    }

    /// The matrices that the normed residual stream is multiplied with after attention. Those of experts are not
    /// listed: experts norm and pack their input themselves.
    pub(crate) fn gated(&self) -> Vec<&PackedMatrix> {
        self.dense.as_ref().map_or(Vec::new(), |dense| dense.gated().to_vec())
    }

    /// The matrices that a token is multiplied with in this layer if it passes through `used` experts.
    pub(crate) fn matrices(&self, used: usize) -> impl Iterator<Item = &PackedMatrix> {
        let dense = self.dense.iter().flat_map(|dense| [&dense.gate, &dense.up, &dense.down]);
        let experts = self.experts.iter().flat_map(move |experts| experts.matrices(used));
        let input = self.input.iter().flat_map(|input| [&input.gate, &input.out]);
        self.qkv().into_iter().chain([&self.o]).chain(dense).chain(experts).chain(input)
    }
}
