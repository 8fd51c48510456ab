//! What each layer would have predicted: the final norm and the output matrix after every layer
//! ([`logitree_core::layers`]).
//!
//! The rows of all layers and nodes go through the output matrix as one batch, in which the last layer's rows give the
//! bits that they give alone.

use crate::distribution::distribution;
use crate::network::Network;
use logitree_core::layers::{LayerDistributions, LogitParts};
use logitree_core::{ModelError, Query, TokenId};
use logitree_kernels::{Wanted, head};

/// The answers to queries about nodes whose residual streams are in these columns of `streams`,
/// `[layers + 1][columns][hidden]`.
///
/// # Errors
/// If the model gives logits that are not finite, or a row of the output matrix cannot be read.
pub(crate) fn distributions(
    network: &Network,
    streams: &[Vec<f32>],
    columns: &[usize],
    queries: &[&Query<'_>],
) -> Result<Vec<LayerDistributions>, ModelError> {
    let t = &network.transformer;
    let (hidden, softcap) = (t.config.hidden, t.config.final_softcap);
    let mut compute = network.compute();
    // `[columns][layers + 1][hidden]`
    let rows: Vec<f32> =
        columns.iter().flat_map(|&c| streams.iter().flat_map(move |s| &s[c * hidden..][..hidden])).copied().collect();
    let normed = t.normed(&mut compute, rows);
    let of_node = streams.len() * hidden;
    // The two most likely tokens are known only after the last layer, and their numbers are wanted at all layers.
    let last: Vec<&[f32]> = normed.chunks_exact(of_node).map(|rows| &rows[of_node - hidden..]).collect();
    let two = vec![Wanted { top: 2, tokens: &[], ..Wanted::default() }; last.len()];
    let best = head(&mut compute, &t.output, softcap, &last, &two);
    let tokens: Vec<Vec<u32>> = queries
        .iter()
        .zip(&best)
        .map(|(q, best)| q.tokens.iter().map(|t| t.0).chain(best.top.iter().map(|&(id, _)| id)).collect())
        .collect();
    let x: Vec<&[f32]> = normed.chunks_exact(hidden).collect();
    let wanted: Vec<Wanted<'_>> = queries
        .iter()
        .zip(&tokens)
        .flat_map(|(q, tokens)| vec![Wanted { top: q.top.max(1), tokens, ..Wanted::default() }; streams.len()])
        .collect();
    let mut summaries = head(&mut compute, &t.output, softcap, &x, &wanted).into_iter();
    drop(compute);
    let mut found = Vec::with_capacity(queries.len());
    for (tokens, &column) in tokens.iter().zip(columns) {
        let tokens: Vec<TokenId> = tokens.iter().map(|&id| TokenId(id)).collect();
        let of_layers: Vec<_> = summaries.by_ref().take(streams.len()).collect();
        let logits: Vec<f32> = of_layers.last().map_or(Vec::new(), |s| s.tokens.iter().map(|&(l, _)| l).collect());
        let streams: Vec<&[f32]> = streams.iter().map(|s| &s[column * hidden..][..hidden]).collect();
        let parts = tokens.iter().zip(logits).map(|(&token, logit)| parts(network, &streams, token, logit));
        found.push(LayerDistributions {
            parts: parts.collect::<Result<_, _>>()?,
            layers: of_layers.into_iter().map(|s| distribution(&tokens, s)).collect::<Result<_, _>>()?,
            tokens,
        });
    }
    Ok(found)
}

/// What the embedding and each layer add to a token's logit. `streams` are the residual streams of one node,
/// `[layers + 1][hidden]`. Sums are in f64.
fn parts(network: &Network, streams: &[&[f32]], token: TokenId, logit: f32) -> Result<LogitParts, ModelError> {
    let t = &network.transformer;
    let row = network.output_row(token)?;
    let squares = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / x.len() as f64;
    let scale = streams.last().map_or(1.0, |x| 1.0 / (squares(x) + f64::from(t.config.norm_eps)).sqrt());
    let dot = |x: &[f32]| {
        let terms = x.iter().zip(&row).zip(&t.output_norm);
        scale * terms.map(|((&x, &r), &w)| f64::from(x) * f64::from(r) * f64::from(w)).sum::<f64>()
    };
    let mut before = 0.0;
    let part = |x: &&[f32]| {
        let sum = dot(x);
        sum - std::mem::replace(&mut before, sum)
    };
    Ok(LogitParts { logit: f64::from(logit), parts: streams.iter().map(part).collect() })
}
