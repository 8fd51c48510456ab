//! The forward pass. One function, [`Transformer::run`], serves every model family; [`Config`] says which steps a layer
//! has.
//!
//! One layer, for a batch of columns (one column per token), where `x` is the residual stream:
//!
//! ```text
//! q, k, v = Wq·norm(x), Wk·norm(x), Wv·norm(x)     with biases, head norms and rotation; k and v go to the cache
//! x += post_norm(Wo · attention(q, k and v of the token's path))
//! y  = Wdown · (act(Wgate·norm(x)) ⊙ Wup·norm(x))  or experts, or the sum of both
//! x += post_norm(y)
//! x += norm(Wout · (act(Wgate·x) ⊙ input))         only in models whose layers have their own inputs (Gemma 4)
//! x *= scalar                                      only in models with a multiplier per layer (Gemma 4)
//! ```
//!
//! The kernel [`Residual`] adds a result to `x` and at once writes the next norm of `x`, so each norm is computed at
//! the end of the step before it.

use crate::angles::Angles;
use crate::config::{Activation, Config, Rows};
use crate::experts;
use crate::layer::Layer;
use crate::packing::{norm, pack};
use crate::weights::{Role, Weights, WeightsError};
use logitree_kernels::{
    AttentionShape, Compute, Gate, KeysValues, KvPages, LayerInputs, PackedMatrix, Panels, Product, Projections,
    Residual, RmsNorm, RopePairs, Visible, attention, gated, matmul,
};
use std::borrow::Cow;

/// The weights of a model, packed as the kernels need them.
pub(crate) struct Transformer {
    pub(crate) config: Config,
    layers: Vec<Layer>,
    /// Weights that compute the layers' own inputs; `None` in models whose layers have none.
    inputs: Option<InputsOfLayers>,
    /// Norm before the output matrix, `[hidden]`.
    pub(crate) output_norm: Vec<f32>,
    /// Output matrix, `[vocab, hidden]`.
    pub(crate) output: PackedMatrix,
    angles: Vec<Angles>,
}

/// Weights that compute, from a token's embedding, its part of the inputs of all layers.
struct InputsOfLayers {
    /// `[layers · size, hidden]`
    projection: PackedMatrix,
    /// `[size]`
    norm: Vec<f32>,
}

/// Function that is given the residual stream of the inputs that are wanted, `[wanted][hidden]`, before the first layer
/// and after each layer.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&[f32]);

/// One token of a batch.
pub(crate) struct Input<'a> {
    /// Embedding of the token, `[hidden]`, scaled.
    pub(crate) embedding: Vec<f32>,
    /// The token's rows of the second embedding matrix, `[layers][size]`, scaled; empty in models without layer inputs.
    pub(crate) layers: Vec<f32>,
    /// Slots of the tokens on the path from the root to this token; its own slot is the last.
    pub(crate) path: &'a [u32],
    /// Whether the caller needs the final state. If not, only keys and values are computed.
    pub(crate) wanted: bool,
}

/// Buffers of a pass, kept between passes.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Residual stream, `[columns][hidden]`; after a pass, the normed input of the output matrix.
    x: Vec<f32>,
    /// Inputs of layers, `[inputs][layers][size]`.
    inputs: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    y: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Result of the experts, `[columns][hidden]`. `sum` holds its sum with the result of the dense layer.
    z: Vec<f32>,
    sum: Vec<f32>,
    normed: Panels,
    mixed: Panels,
    hidden: Panels,
    experts: experts::Buffers,
}

fn resized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    &mut buffer[..]
}

/// The columns of the inputs that are wanted. Both lists are ascending, and `columns` has all that are wanted.
fn columns_of<'x>(x: &'x [f32], columns: &[usize], wanted: &[usize], hidden: usize) -> Cow<'x, [f32]> {
    if columns.len() == wanted.len() {
        return x.into();
    }
    let is_wanted = columns.iter().map(|input| wanted.binary_search(input).is_ok());
    x.chunks_exact(hidden).zip(is_wanted).filter(|(_, is)| *is).flat_map(|(x, _)| x).copied().collect()
}

impl Transformer {
    pub(crate) fn load(compute: &mut Compute, weights: &Weights, config: Config) -> Result<Transformer, WeightsError> {
        let c = &config;
        let layers = (0..c.layers.len()).map(|i| Layer::load(compute, weights, c, i)).collect::<Result<Vec<_>, _>>()?;
        let inputs = match c.layer_inputs {
            Some(inputs) => Some(InputsOfLayers {
                projection: {
                    let rows = inputs.size * c.layers.len();
                    pack(compute, weights, Role::LayerInputsProjection, None, rows, c.hidden)?
                },
                norm: norm(weights, c, Role::LayerInputsNorm, None, inputs.size)?,
            }),
            None => None,
        };
        let output_norm = norm(weights, c, Role::OutputNorm, None, c.hidden)?;
        let output = if c.tied { Role::TokenEmbedding } else { Role::Output };
        let output = pack(compute, weights, output, None, c.vocab, c.hidden)?;
        let angles = c.ropes.iter().map(Angles::new).collect();
        Ok(Transformer { layers, inputs, output_norm, output, angles, config })
    }

    /// The matrices that one token is multiplied with, except the output matrix. A token whose distribution is not
    /// `wanted` passes through fewer layers in some models.
    pub(crate) fn matrices(&self, wanted: bool) -> impl Iterator<Item = &PackedMatrix> {
        let used = self.config.experts.map_or(0, |experts| experts.used);
        let layers = if wanted { self.layers.len() } else { self.config.layers_with_rows() };
        self.layers[..layers]
            .iter()
            .flat_map(move |layer| layer.matrices(used))
            .chain(self.inputs.iter().map(|inputs| &inputs.projection))
    }

    /// Empty pages for the keys and values of all layers that store their own.
    pub(crate) fn pages(&self) -> KvPages {
        KvPages::new(self.config.layers.iter().filter(|l| l.owns_rows()).map(|l| l.kv_len()))
    }

    /// Index of the key/value store that this layer reads. Only layers with rows of their own have a store.
    fn rows_of(&self, layer: usize) -> usize {
        let layers = &self.config.layers;
        let owner = match layers[layer].rows {
            Rows::Shared(owner) => owner,
            _ => layer,
        };
        layers[..owner].iter().filter(|l| l.owns_rows()).count()
    }

    /// Runs a batch, in which parents must come before children. Fills the slot at the end of each path, and returns
    /// the normed final states of the inputs that are `wanted`, `[wanted][hidden]`. In some models the last layers only
    /// read rows of earlier layers; inputs that are not `wanted` skip these layers.
    ///
    /// `observe` is given the residual stream of these inputs before the first layer and after each layer.
    pub(crate) fn run<'b>(
        &self,
        compute: &mut Compute,
        kv: &mut KvPages,
        b: &'b mut Buffers,
        inputs: &[Input<'_>],
        mut observe: Option<Observer<'_>>,
    ) -> &'b [f32] {
        let c = &self.config;
        let slots: Vec<u32> = inputs.iter().map(|i| i.path[i.path.len() - 1]).collect();
        let angles: Vec<_> = self.angles.iter().map(|a| a.rows(inputs.iter().map(|i| i.path.len() - 1))).collect();
        let rms = |weight| RmsNorm { weight, eps: c.norm_eps };
        let pairs = if c.rope_interleaved { RopePairs::Neighbours } else { RopePairs::Halves };
        let activation = match c.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
        };
        let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].wanted).collect();
        // Index of the input that each column belongs to.
        let mut columns: Vec<usize> = (0..inputs.len()).collect();

        self.inputs_of_layers(compute, b, inputs);
        let x = resized(&mut b.x, inputs.len() * c.hidden);
        for (x, input) in x.chunks_exact_mut(c.hidden).zip(inputs) {
            x.copy_from_slice(&input.embedding);
        }
        b.normed.reset(compute, columns.len(), c.hidden, &self.layers[0].qkv());
        let first = Some(rms(&self.layers[0].attn_norm));
        Residual { x: &mut b.x, y: None, post: None, scale: None, next: first }.run(compute, &mut b.normed);
        for (i, (layer, kind)) in self.layers.iter().zip(&c.layers).enumerate() {
            if i == c.layers_with_rows() && wanted.len() < columns.len() {
                if wanted.is_empty() {
                    return &[];
                }
                for (column, &input) in wanted.iter().enumerate() {
                    b.x.copy_within(input * c.hidden..(input + 1) * c.hidden, column * c.hidden);
                }
                b.x.truncate(wanted.len() * c.hidden);
                columns.clone_from(&wanted);
                b.normed.reset(compute, columns.len(), c.hidden, &layer.qkv());
                let next = Some(rms(&layer.attn_norm));
                Residual { x: &mut b.x, y: None, post: None, scale: None, next }.run(compute, &mut b.normed);
            }
            let (x, n) = (&mut b.x[..], columns.len());
            if let Some(observe) = &mut observe {
                observe(&columns_of(x, &columns, &wanted, c.hidden));
            }
            let shape = AttentionShape {
                layer: self.rows_of(i),
                heads: kind.heads,
                kv_heads: kind.kv_heads,
                head_dim: kind.head_dim,
                scale: c.attention_scale,
                softcap: c.attention_softcap,
            };
            let q = resized(&mut b.q, n * kind.q_len());
            let k = resized(&mut b.k, n * kind.kv_len());
            let v = resized(&mut b.v, n * kind.kv_len());
            let mut products = vec![Product { matrix: &layer.q, out: q }];
            products.extend(layer.k.as_ref().map(|matrix| Product { matrix, out: k }));
            products.extend(layer.v.as_ref().map(|matrix| Product { matrix, out: v }));
            matmul(compute, &b.normed, &mut products, &[&layer.o]);
            if kind.rows == Rows::KeyIsValue {
                b.v.copy_from_slice(&b.k);
            }
            let (q, k, v) = (&mut b.q, &mut b.k, &mut b.v);
            Projections {
                q,
                kv: kind.owns_rows().then_some(KeysValues { k, v, slots: &slots }),
                bias: layer.bias.as_ref().map(|b| b.each_ref().map(|b| &b[..])),
                norms: layer.head_norms.each_ref().map(|norm| norm.as_ref().map(|w| rms(w))),
                angles: &angles[kind.rope].of(&columns),
                pairs,
            }
            .run(compute, &shape, kv);
            // Key j is visible to query i iff i - j < window.
            let start = |path: &[u32]| kind.window.map_or(0, |w| path.len().saturating_sub(w));
            let paths = columns.iter().map(|&i| inputs[i].path);
            let visible: Vec<Visible<'_>> = paths.map(|path| Visible { path, start: start(path) }).collect();
            b.mixed.reset(compute, n, kind.q_len(), &[&layer.o]);
            attention(compute, &shape, kv, &b.q, &visible, &mut b.mixed);
            let y = resized(&mut b.y, n * c.hidden);
            matmul(compute, &b.mixed, &mut [Product { matrix: &layer.o, out: y }], &layer.gated());
            let post = layer.post_attn_norm.as_ref().map(|w| rms(w));
            b.normed.reset(compute, n, c.hidden, &layer.gated());
            Residual { x, y: Some(y), post, scale: None, next: Some(rms(&layer.ffn_norm)) }.run(compute, &mut b.normed);

            let next = self.layers.get(i + 1);
            let after = next.map_or(vec![&self.output], Layer::qkv);
            if let Some(dense) = &layer.dense {
                let gate = resized(&mut b.gate, n * kind.intermediate);
                let up = resized(&mut b.up, n * kind.intermediate);
                matmul(
                    compute,
                    &b.normed,
                    &mut [Product { matrix: &dense.gate, out: gate }, Product { matrix: &dense.up, out: up }],
                    &[&dense.down],
                );
                b.hidden.reset(compute, n, kind.intermediate, &[&dense.down]);
                gated(compute, activation, gate, up, &mut b.hidden);
                let then = layer.input.as_ref().map_or(after.clone(), |input| vec![&input.gate]);
                matmul(compute, &b.hidden, &mut [Product { matrix: &dense.down, out: y }], &then);
            }
            if let Some(experts) = &layer.experts {
                experts.run(compute, &mut b.experts, (c, activation), x, &layer.ffn_norm, &mut b.z);
                match layer.dense.as_ref().and_then(|dense| dense.sum_norms.as_ref()) {
                    None => y.copy_from_slice(&b.z),
                    Some(norms) => {
                        // Here the kernel adds the normed results to `sum`, which starts at zero, and not to the
                        // residual stream: the stream gets their sum further below.
                        let sum = resized(&mut b.sum, n * c.hidden);
                        sum.fill(0.0);
                        b.normed.reset(compute, n, c.hidden, &[]);
                        for (y, norm) in [&mut *y, &mut b.z].into_iter().zip(norms) {
                            let post = Some(rms(norm));
                            Residual { x: sum, y: Some(y), post, scale: None, next: None }.run(compute, &mut b.normed);
                        }
                        y.copy_from_slice(sum);
                    }
                }
            }

            let mut post = layer.post_ffn_norm.as_ref().map(|w| rms(w));
            if let (Some(input), Some(inputs)) = (&layer.input, c.layer_inputs) {
                b.normed.reset(compute, n, c.hidden, &[&input.gate]);
                Residual { x, y: Some(y), post, scale: None, next: None }.run(compute, &mut b.normed);
                let gate = resized(&mut b.gate, n * inputs.size);
                matmul(compute, &b.normed, &mut [Product { matrix: &input.gate, out: gate }], &[&input.out]);
                let up = resized(&mut b.up, n * inputs.size);
                for (up, &column) in up.chunks_exact_mut(inputs.size).zip(&columns) {
                    let at = (column * c.layers.len() + i) * inputs.size;
                    up.copy_from_slice(&b.inputs[at..][..inputs.size]);
                }
                b.hidden.reset(compute, n, inputs.size, &[&input.out]);
                gated(compute, activation, gate, up, &mut b.hidden);
                matmul(compute, &b.hidden, &mut [Product { matrix: &input.out, out: y }], &after);
                post = Some(rms(&input.norm));
            }
            // After the last layer the normed result is returned to the caller and not multiplied here, so it stays in
            // f32.
            b.normed.reset(compute, n, c.hidden, if next.is_some() { &after } else { &[] });
            let next = Some(rms(next.map_or(&self.output_norm, |next| &next.attn_norm)));
            Residual { x, y: Some(y), post, scale: layer.scalar, next }.run(compute, &mut b.normed);
        }
        if let Some(observe) = &mut observe {
            observe(&columns_of(&b.x, &columns, &wanted, c.hidden));
        }
        let states = resized(&mut b.x, wanted.len() * c.hidden);
        for (x, input) in states.chunks_exact_mut(c.hidden).zip(&wanted) {
            // `columns` holds all inputs, or only the wanted ones; both lists are ascending, so a binary search finds
            // the column.
            b.normed.get(columns.binary_search(input).expect("a wanted input has a column"), x);
        }
        states
    }

    /// The final norm of residual streams, `[columns][hidden]`.
    pub(crate) fn normed(&self, compute: &mut Compute, mut x: Vec<f32>) -> Vec<f32> {
        let hidden = self.config.hidden;
        let mut panels = Panels::default();
        // The result is not multiplied here, so it stays in f32.
        panels.reset(compute, x.len() / hidden, hidden, &[]);
        let next = Some(RmsNorm { weight: &self.output_norm, eps: self.config.norm_eps });
        Residual { x: &mut x, y: None, post: None, scale: None, next }.run(compute, &mut panels);
        x.chunks_exact_mut(hidden).enumerate().for_each(|(column, x)| panels.get(column, x));
        x
    }

    /// Computes the inputs that every layer gets for each token, `[inputs][layers][size]`, into `b.inputs`.
    fn inputs_of_layers(&self, compute: &mut Compute, b: &mut Buffers, inputs: &[Input<'_>]) {
        let (Some(InputsOfLayers { projection, norm }), c) = (&self.inputs, &self.config) else { return };
        b.normed.reset(compute, inputs.len(), c.hidden, &[projection]);
        for (column, input) in inputs.iter().enumerate() {
            b.normed.set(column, &input.embedding);
        }
        let projected = resized(&mut b.inputs, inputs.len() * projection.rows());
        let mut product = [Product { matrix: projection, out: projected }];
        matmul(compute, &b.normed, &mut product, &self.layers[0].qkv());
        let embedded: Vec<&[f32]> = inputs.iter().map(|input| &input.layers[..]).collect();
        let scale = (1.0 / (c.hidden as f64).sqrt()) as f32;
        let norm = RmsNorm { weight: norm, eps: c.norm_eps };
        LayerInputs { projected, scale, norm, embedded: &embedded }.run(compute);
    }
}
