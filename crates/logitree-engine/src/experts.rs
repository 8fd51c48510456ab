//! A mixture of experts: a few of many feed-forward layers, chosen for each token.
//!
//! ```text
//! scores = router · u                              u: the token's normed state
//! p = softmax(scores)                              over all experts
//! chosen = the most likely few, ties by smaller index
//! result = Σ weight · expert(n)                    in ascending order of experts
//! ```
//!
//! Tokens are grouped by expert, so that an expert's weights are read once per batch. An expert's result for a token
//! does not depend on the other tokens in the batch, and a token's results are always added in ascending order of
//! experts: results have the same bits in any batch.

use crate::config::{self, Config};
use crate::packing::{norm, pack, packed, vector};
use crate::weights::{ExpertMatrix, Role, Weights, WeightsError};
use logitree_kernels::{Compute, Gate, PackedMatrix, Panels, Product, Residual, RmsNorm, gated, matmul};

/// Weights of one layer's experts.
pub(crate) struct Experts {
    /// `[experts, hidden]`
    router: PackedMatrix,
    /// Weights of the router's own norm, `[hidden]`; `None` if the router uses the norm before the feed-forward layer.
    router_norm: Option<Vec<f32>>,
    /// Multiplier of each expert's result, `[experts]`; `None` in models without such multipliers.
    scale: Option<Vec<f32>>,
    /// Weights of the norm of the experts' input, `[hidden]`; only in layers that also have a dense layer.
    norm: Option<Vec<f32>>,
    experts: Vec<Expert>,
}

struct Expert {
    gate: PackedMatrix,
    up: PackedMatrix,
    down: PackedMatrix,
}

/// Buffers of [`Experts::run`], kept between layers.
#[derive(Default)]
pub(crate) struct Buffers {
    /// `[columns][experts]`
    scores: Vec<f32>,
    /// Normed input of the experts, `[columns][hidden]`.
    rows: Vec<f32>,
    /// Results of the chosen experts, `[columns][used][hidden]`.
    results: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    down: Vec<f32>,
    panels: Panels,
    hidden: Panels,
}

/// An expert that is chosen for a token, and the weight of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    expert: usize,
    weight: f32,
}

impl Experts {
    pub(crate) fn load(
        compute: &mut Compute,
        weights: &Weights,
        c: &Config,
        experts: &config::Experts,
        layer: usize,
    ) -> Result<Experts, WeightsError> {
        let (l, beside_dense) = (Some(layer), c.layers[layer].feed_forward.has_dense());
        let own = experts.own_norm;
        let router_norm = own.then(|| vector(weights, Role::RouterNorm, l, c.hidden)).transpose()?;
        // The reference divides the normed state by √hidden. Dividing the norm's weights once, on loading, does the
        // same.
        let root = (1.0 / (c.hidden as f64).sqrt()) as f32;
        let mut matrix =
            |expert, matrix| packed(compute, weights, &weights.expert(layer, experts.sizes(c.hidden), expert, matrix)?);
        let load = (0..experts.count).map(|i| {
            Ok(Expert {
                gate: matrix(i, ExpertMatrix::Gate)?,
                up: matrix(i, ExpertMatrix::Up)?,
                down: matrix(i, ExpertMatrix::Down)?,
            })
        });
        Ok(Experts {
            experts: load.collect::<Result<_, WeightsError>>()?,
            router: pack(compute, weights, Role::Router, l, experts.count, c.hidden)?,
            router_norm: router_norm.map(|w| w.into_iter().map(|w| w * root).collect()),
            scale: own.then(|| vector(weights, Role::ExpertScale, l, experts.count)).transpose()?,
            norm: beside_dense.then(|| norm(weights, c, Role::ExpertsNorm, l, c.hidden)).transpose()?,
        })
    }

    /// The matrices that a token is multiplied with if it passes through `used` experts. All experts have the same
    /// shape, so the first `used` experts stand for whichever are chosen.
    pub(crate) fn matrices(&self, used: usize) -> impl Iterator<Item = &PackedMatrix> {
        let experts = self.experts.iter().take(used).flat_map(|e| [&e.gate, &e.up, &e.down]);
        std::iter::once(&self.router).chain(experts)
    }

    /// Writes the weighted sum of the chosen experts' results, `[columns][hidden]`, into `out`. Router and experts read
    /// the residual stream `x` through their own norms, or through `ffn_norm` if they have none.
    pub(crate) fn run(
        &self,
        compute: &mut Compute,
        b: &mut Buffers,
        (c, activation): (&Config, Gate),
        x: &mut [f32],
        ffn_norm: &[f32],
        out: &mut Vec<f32>,
    ) {
        let Some(experts) = c.experts else { return };
        let (hidden, used) = (c.hidden, experts.used);
        let n = x.len() / hidden;
        let chosen = self.choose(compute, b, c, &experts, x, ffn_norm);

        let next = Some(RmsNorm { weight: self.norm.as_deref().unwrap_or(ffn_norm), eps: c.norm_eps });
        b.panels.reset(compute, n, hidden, &[]);
        Residual { x, y: None, post: None, scale: None, next }.run(compute, &mut b.panels);
        b.rows.resize(n * hidden, 0.0);
        b.rows.chunks_exact_mut(hidden).enumerate().for_each(|(column, row)| b.panels.get(column, row));

        b.results.resize(n * used * hidden, 0.0);
        for (e, expert) in self.experts.iter().enumerate() {
            let places: Vec<(usize, usize)> = (0..n)
                .filter_map(|column| Some((column, chosen[column].iter().position(|choice| choice.expert == e)?)))
                .collect();
            if places.is_empty() {
                continue;
            }
            b.panels.reset(compute, places.len(), hidden, &[&expert.gate, &expert.up]);
            for (i, &(column, _)) in places.iter().enumerate() {
                b.panels.set(i, &b.rows[column * hidden..][..hidden]);
            }
            expert.run(compute, b, activation, (places.len(), experts.intermediate, hidden));
            for (result, (column, slot)) in b.down.chunks_exact(hidden).zip(places) {
                b.results[(column * used + slot) * hidden..][..hidden].copy_from_slice(result);
            }
        }
        out.resize(n * hidden, 0.0);
        for ((out, results), chosen) in
            out.chunks_exact_mut(hidden).zip(b.results.chunks_exact(used * hidden)).zip(&chosen)
        {
            out.fill(0.0);
            for (result, choice) in results.chunks_exact(hidden).zip(chosen) {
                out.iter_mut().zip(result).for_each(|(sum, y)| *sum += y * choice.weight);
            }
        }
    }

    /// The chosen experts of each column, in ascending order.
    fn choose(
        &self,
        compute: &mut Compute,
        b: &mut Buffers,
        c: &Config,
        experts: &config::Experts,
        x: &mut [f32],
        ffn_norm: &[f32],
    ) -> Vec<Vec<Choice>> {
        let n = x.len() / c.hidden;
        let next = Some(RmsNorm { weight: self.router_norm.as_deref().unwrap_or(ffn_norm), eps: c.norm_eps });
        b.panels.reset(compute, n, c.hidden, &[&self.router]);
        Residual { x, y: None, post: None, scale: None, next }.run(compute, &mut b.panels);
        b.scores.resize(n * experts.count, 0.0);
        matmul(compute, &b.panels, &mut [Product { matrix: &self.router, out: &mut b.scores }], &[]);
        b.scores
            .chunks_exact(experts.count)
            .map(|scores| {
                let mut chosen = choose(scores, experts.used, experts.normalised);
                if let Some(scale) = &self.scale {
                    chosen.iter_mut().for_each(|choice| choice.weight *= scale[choice.expert]);
                }
                chosen
            })
            .collect()
    }
}

impl Expert {
    /// Computes the expert's result for the columns in `b.panels`, `[columns][hidden]`, into `b.down`.
    fn run(
        &self,
        compute: &mut Compute,
        b: &mut Buffers,
        activation: Gate,
        (columns, width, hidden): (usize, usize, usize),
    ) {
        b.gate.resize(columns * width, 0.0);
        b.up.resize(columns * width, 0.0);
        b.down.resize(columns * hidden, 0.0);
        let mut products =
            [Product { matrix: &self.gate, out: &mut b.gate }, Product { matrix: &self.up, out: &mut b.up }];
        matmul(compute, &b.panels, &mut products, &[&self.down]);
        b.hidden.reset(compute, columns, width, &[&self.down]);
        gated(compute, activation, &mut b.gate, &b.up, &mut b.hidden);
        matmul(compute, &b.hidden, &mut [Product { matrix: &self.down, out: &mut b.down }], &[]);
    }
}

/// The `used` experts with the highest scores, in ascending order; of equal scores the smaller index is chosen. A
/// weight is the expert's probability under the softmax of all scores, or, if `normalised`, that probability divided by
/// the sum over the chosen experts.
fn choose(scores: &[f32], used: usize, normalised: bool) -> Vec<Choice> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let largest = f64::from(scores[order[0]]);
    let power = |expert: usize| (f64::from(scores[expert]) - largest).exp();
    let mut chosen = order[..used].to_vec();
    chosen.sort_unstable();
    let total: f64 =
        if normalised { chosen.iter().map(|&e| power(e)).sum() } else { (0..scores.len()).map(power).sum() };
    chosen.into_iter().map(|expert| Choice { expert, weight: (power(expert) / total) as f32 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_scores_are_chosen_and_ties_go_to_the_smaller_index() {
        let of = |scores: &[f32], used, normalised| -> Vec<(usize, f32)> {
            choose(scores, used, normalised).into_iter().map(|c| (c.expert, c.weight)).collect()
        };
        let ln = |x: f32| x.ln();
        assert_eq!(of(&[0.0, ln(2.0), ln(5.0)], 2, false), [(1, 0.25), (2, 0.625)]);
        assert_eq!(of(&[0.0, 1.0, 1.0, 1.0], 2, true), [(1, 0.5), (2, 0.5)]);
        assert_eq!(of(&[7.0; 4], 1, false), [(0, 0.25)]);
        // The largest score is subtracted before `exp`, so that even extreme scores give finite weights.
        assert_eq!(of(&[-3e38, 3e38], 2, true), [(0, 0.0), (1, 1.0)]);
    }
}
