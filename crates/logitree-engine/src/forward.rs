//! The forward pass: one straight line for every family, driven by [`Config`].

use crate::config::{Activation, Config, LayerKind, Rope, RopeScaling};
use crate::weights::{Role, TensorView, Weights, WeightsError};
use logitree_kernels::{
    AttentionShape, Compute, DType, Gate, KvPages, PackedMatrix, Panels, Product, Projections, Residual, RmsNorm,
    RopePairs, Visible, attention, dequantise_row, gated, matmul,
};
use std::sync::RwLock;

/// Weights in the form the kernels want.
pub(crate) struct Transformer {
    pub(crate) config: Config,
    layers: Vec<Layer>,
    /// Norm before the output matrix, `[hidden]`.
    output_norm: Vec<f32>,
    /// Output matrix, `[vocab, hidden]`.
    pub(crate) output: PackedMatrix,
    angles: Vec<Angles>,
}

struct Layer {
    attn_norm: Vec<f32>,
    q: PackedMatrix,
    k: PackedMatrix,
    v: PackedMatrix,
    bias: Option<[Vec<f32>; 3]>,
    qk_norms: Option<[Vec<f32>; 2]>,
    o: PackedMatrix,
    post_attn_norm: Option<Vec<f32>>,
    ffn_norm: Vec<f32>,
    gate: PackedMatrix,
    up: PackedMatrix,
    down: PackedMatrix,
    post_ffn_norm: Option<Vec<f32>>,
}

impl Layer {
    fn qkv(&self) -> [&PackedMatrix; 3] {
        [&self.q, &self.k, &self.v]
    }

    fn gated(&self) -> [&PackedMatrix; 2] {
        [&self.gate, &self.up]
    }
}

/// Sees the residual stream, `[inputs][hidden]`.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&[f32]);

/// One token to be run.
pub(crate) struct Input<'a> {
    /// Embedding of the token, `[hidden]`, scaled.
    pub(crate) embedding: Vec<f32>,
    /// Slots of its path, its own last.
    pub(crate) path: &'a [u32],
}

/// Buffers of a pass, kept between passes.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Residual stream, `[columns][hidden]`; after a pass, the normed input of the output matrix.
    x: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    y: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    normed: Panels,
    mixed: Panels,
    hidden: Panels,
}

fn resized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    &mut buffer[..]
}

impl Transformer {
    pub(crate) fn load(compute: &mut Compute, weights: &Weights, config: Config) -> Result<Transformer, WeightsError> {
        let c = &config;
        let (q_len, kv_len) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let mut pack = |role, layer, rows, cols| {
            let view = weights.tensor(role, layer)?;
            view.expect_shape(rows, cols)?;
            PackedMatrix::pack_in_parts(compute, view.dtype, rows, cols, view.data, |read| weights.release_pages(read))
                .map_err(|e| WeightsError::tensor(&view, e.to_string()))
        };
        let vector = |role, layer, len| vector(weights, role, layer, len);
        let norm = |role, layer, len| {
            let mut w = vector(role, layer, len)?;
            if c.norm_offset {
                w.iter_mut().for_each(|w| *w += 1.0);
            }
            Ok::<_, WeightsError>(w)
        };
        let mut layers = Vec::with_capacity(c.layers.len());
        for i in 0..c.layers.len() {
            let l = Some(i);
            layers.push(Layer {
                attn_norm: norm(Role::AttnNorm, l, c.hidden)?,
                q: pack(Role::Q, l, q_len, c.hidden)?,
                k: pack(Role::K, l, kv_len, c.hidden)?,
                v: pack(Role::V, l, kv_len, c.hidden)?,
                bias: match c.qkv_bias {
                    true => Some([
                        vector(Role::QBias, l, q_len)?,
                        vector(Role::KBias, l, kv_len)?,
                        vector(Role::VBias, l, kv_len)?,
                    ]),
                    false => None,
                },
                qk_norms: match c.qk_norm {
                    true => Some([norm(Role::QNorm, l, c.head_dim)?, norm(Role::KNorm, l, c.head_dim)?]),
                    false => None,
                },
                o: pack(Role::O, l, c.hidden, q_len)?,
                post_attn_norm: match c.post_norms {
                    true => Some(norm(Role::PostAttnNorm, l, c.hidden)?),
                    false => None,
                },
                ffn_norm: norm(Role::FfnNorm, l, c.hidden)?,
                gate: pack(Role::Gate, l, c.intermediate, c.hidden)?,
                up: pack(Role::Up, l, c.intermediate, c.hidden)?,
                down: pack(Role::Down, l, c.hidden, c.intermediate)?,
                post_ffn_norm: match c.post_norms {
                    true => Some(norm(Role::PostFfnNorm, l, c.hidden)?),
                    false => None,
                },
            });
        }
        let output_norm = norm(Role::OutputNorm, None, c.hidden)?;
        let output = if c.tied { Role::TokenEmbedding } else { Role::Output };
        let output = pack(output, None, c.vocab, c.hidden)?;
        let angles = c.ropes.iter().map(Angles::new).collect();
        Ok(Transformer { layers, output_norm, output, angles, config })
    }

    /// Matrices of the layers.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &PackedMatrix> {
        self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down])
    }

    /// Width of a key or value row.
    pub(crate) fn kv_width(&self) -> usize {
        self.config.kv_heads * self.config.head_dim
    }

    /// Runs a batch: `inputs` must come with parents before children. Fills the slot at the end of each
    /// path and returns the normed final states, `[inputs][hidden]`.
    ///
    /// `observe` sees the residual stream before the first layer and after each, `[inputs][hidden]`.
    pub(crate) fn run<'b>(
        &self,
        compute: &mut Compute,
        kv: &mut KvPages,
        b: &'b mut Buffers,
        inputs: &[Input<'_>],
        mut observe: Option<Observer<'_>>,
    ) -> &'b [f32] {
        let c = &self.config;
        let n = inputs.len();
        let (q_len, kv_len) = (c.heads * c.head_dim, self.kv_width());
        let x = resized(&mut b.x, n * c.hidden);
        for (x, input) in x.chunks_exact_mut(c.hidden).zip(inputs) {
            x.copy_from_slice(&input.embedding);
        }
        let slots: Vec<u32> = inputs.iter().map(|i| i.path[i.path.len() - 1]).collect();
        let tables: Vec<_> = self.angles.iter().map(|a| a.table(inputs)).collect();
        let rms = |weight| RmsNorm { weight, eps: c.norm_eps };
        let pairs = if c.rope_interleaved { RopePairs::Neighbours } else { RopePairs::Halves };
        let activation = match c.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
        };

        b.normed.reset(compute, n, c.hidden, &self.layers[0].qkv());
        Residual { x, y: None, post: None, next: rms(&self.layers[0].attn_norm) }.run(compute, &mut b.normed);
        for (i, (layer, kind)) in self.layers.iter().zip(&c.layers).enumerate() {
            if let Some(observe) = &mut observe {
                observe(x);
            }
            let LayerKind { window, rope } = *kind;
            let shape = AttentionShape {
                layer: i,
                heads: c.heads,
                kv_heads: c.kv_heads,
                head_dim: c.head_dim,
                scale: c.attention_scale,
                softcap: c.attention_softcap,
            };
            let q = resized(&mut b.q, n * q_len);
            let k = resized(&mut b.k, n * kv_len);
            let v = resized(&mut b.v, n * kv_len);
            matmul(
                compute,
                &b.normed,
                &mut [
                    Product { matrix: &layer.q, out: q },
                    Product { matrix: &layer.k, out: k },
                    Product { matrix: &layer.v, out: v },
                ],
                &[&layer.o],
            );
            Projections {
                q,
                k,
                v,
                bias: layer.bias.as_ref().map(|b| b.each_ref().map(|b| &b[..])),
                norms: layer.qk_norms.as_ref().map(|n| n.each_ref().map(|n| rms(n))),
                angles: &tables[rope].columns(),
                pairs,
                slots: &slots,
            }
            .run(compute, &shape, kv);
            // Key j is visible to query i iff i - j < window.
            let visible: Vec<Visible<'_>> = inputs
                .iter()
                .map(|i| Visible { path: i.path, start: window.map_or(0, |w| i.path.len().saturating_sub(w)) })
                .collect();
            b.mixed.reset(compute, n, q_len, &[&layer.o]);
            attention(compute, &shape, kv, q, &visible, &mut b.mixed);
            let y = resized(&mut b.y, n * c.hidden);
            matmul(compute, &b.mixed, &mut [Product { matrix: &layer.o, out: y }], &layer.gated());
            let post = layer.post_attn_norm.as_ref().map(|w| rms(w));
            b.normed.reset(compute, n, c.hidden, &layer.gated());
            Residual { x, y: Some(y), post, next: rms(&layer.ffn_norm) }.run(compute, &mut b.normed);

            let gate = resized(&mut b.gate, n * c.intermediate);
            let up = resized(&mut b.up, n * c.intermediate);
            matmul(
                compute,
                &b.normed,
                &mut [Product { matrix: &layer.gate, out: gate }, Product { matrix: &layer.up, out: up }],
                &[&layer.down],
            );
            b.hidden.reset(compute, n, c.intermediate, &[&layer.down]);
            gated(compute, activation, gate, up, &mut b.hidden);
            let next = self.layers.get(i + 1);
            let then = next.map_or(vec![&self.output], |next| next.qkv().to_vec());
            matmul(compute, &b.hidden, &mut [Product { matrix: &layer.down, out: y }], &then);
            let post = layer.post_ffn_norm.as_ref().map(|w| rms(w));
            let next = match next {
                Some(next) => {
                    b.normed.reset(compute, n, c.hidden, &next.qkv());
                    &next.attn_norm
                }
                None => {
                    // To be copied out.
                    b.normed.reset(compute, n, c.hidden, &[]);
                    &self.output_norm
                }
            };
            Residual { x, y: Some(y), post, next: rms(next) }.run(compute, &mut b.normed);
        }
        for (column, x) in x.chunks_exact_mut(c.hidden).enumerate() {
            b.normed.get(column, x);
        }
        if let Some(observe) = &mut observe {
            observe(x);
        }
        x
    }
}

/// A tensor of one dimension as f32, `[len]`.
fn vector(weights: &Weights, role: Role, layer: Option<usize>, len: usize) -> Result<Vec<f32>, WeightsError> {
    let view = weights.tensor(role, layer)?;
    view.expect_shape(1, len)?;
    row(&view, 0)
}

/// One row of a tensor as f32, `[cols]`.
pub(crate) fn row(view: &TensorView<'_>, row: usize) -> Result<Vec<f32>, WeightsError> {
    let size = view.data.len() / view.rows;
    if DType::row_bytes(view.dtype, view.cols) != Some(size) {
        return Err(WeightsError::tensor(view, format!("rows of {} {} elements", view.cols, view.dtype)));
    }
    let mut out = vec![0.0; view.cols];
    dequantise_row(view.dtype, &view.data[row * size..][..size], &mut out);
    Ok(out)
}

/// Cosines and sines of one rotary embedding by position, made when first needed.
struct Angles {
    /// Radians per position of each pair.
    frequencies: Vec<f32>,
    /// `[position][cos of all pairs, sin of all pairs]`.
    table: RwLock<Vec<f32>>,
}

/// The rows of an [`Angles`] table that a batch needs.
struct AngleRows {
    pairs: usize,
    rows: Vec<f32>,
}

impl Angles {
    fn new(rope: &Rope) -> Angles {
        let pairs = rope.dims / 2;
        let frequencies = (0..pairs)
            .map(|i| {
                let plain = 1.0 / rope.base.powf((2 * i) as f32 / rope.dims as f32);
                match &rope.scaling {
                    RopeScaling::Default => plain,
                    RopeScaling::Linear(factor) => plain / factor,
                    RopeScaling::Factors(factors) => plain / factors.get(i).copied().unwrap_or(1.0),
                    &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                        let wavelength = 2.0 * std::f32::consts::PI / plain;
                        if wavelength < original_context / high_freq_factor {
                            plain
                        } else if wavelength > original_context / low_freq_factor {
                            plain / factor
                        } else {
                            let smooth = (original_context / wavelength - low_freq_factor)
                                / (high_freq_factor - low_freq_factor);
                            (1.0 - smooth) * plain / factor + smooth * plain
                        }
                    }
                }
            })
            .collect();
        Angles { frequencies, table: RwLock::new(Vec::new()) }
    }

    fn table(&self, inputs: &[Input<'_>]) -> AngleRows {
        let pairs = self.frequencies.len();
        let size = 2 * pairs;
        let needed = inputs.iter().map(|i| i.path.len()).max().unwrap_or(0);
        // A poisoned lock holds a table that is whole up to its length: safe to go on with.
        let mut table = self.table.write().unwrap_or_else(|e| e.into_inner());
        for position in table.len() / size.max(1)..needed {
            // The angle is rounded to f32 as the reference does; its cosine is not rounded twice.
            let angles: Vec<f64> = self.frequencies.iter().map(|f| f64::from(position as f32 * f)).collect();
            table.extend(angles.iter().map(|a| a.cos() as f32).chain(angles.iter().map(|a| a.sin() as f32)));
        }
        let rows = inputs.iter().flat_map(|i| table[(i.path.len() - 1) * size..][..size].to_vec()).collect();
        AngleRows { pairs, rows }
    }
}

impl AngleRows {
    fn columns(&self) -> Vec<(&[f32], &[f32])> {
        self.rows.chunks_exact(2 * self.pairs).map(|r| r.split_at(self.pairs)).collect()
    }
}
