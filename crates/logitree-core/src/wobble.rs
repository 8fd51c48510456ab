//! How much an engine's numbers depend on what else it does.
//!
//! Servers add up in an order that depends on the batch and on what their cache has, so the same prompt may get
//! slightly different log probabilities. This asks for the same distributions in several ways and compares them.

use crate::model::{LanguageModel, ModelError, NodeHandle, Query};
use crate::{Distribution, TokenId};
use serde::Serialize;
use std::collections::HashMap;

/// How distributions are asked for a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// One at a time, as they were the first time.
    Alone,
    /// All of them in one batch.
    Batch,
    /// One at a time, each after the beginning of its prompt, so that a cache may have that.
    Cached,
}

/// What differed between the first time and one of the other ways.
#[derive(Clone, Debug, Serialize)]
pub struct Wobble {
    /// How the distributions were asked for.
    pub way: Way,
    /// Number of distributions.
    pub distributions: usize,
    /// Number of log probabilities that were listed both times, and so could be compared.
    pub compared: usize,
    /// Largest difference of a log probability, in nats.
    pub largest: f64,
    /// Mean difference, without sign, in nats.
    pub mean: f64,
    /// Number of distributions with another most likely token.
    pub flips: usize,
}

/// Number of places at each prompt's end whose distributions are compared.
const PLACES: usize = 3;

/// Asks for the distributions at the last places of each prompt, with lists of `top` tokens: one at a time, and then
/// in each [`Way`].
///
/// # Errors
/// If the model refuses a prompt or fails.
pub fn measure(model: &dyn LanguageModel, prompts: &[Vec<TokenId>], top: usize) -> Result<Vec<Wobble>, ModelError> {
    let first = alone(model, prompts, top)?;
    let ways = [
        (Way::Alone, alone(model, prompts, top)?),
        (Way::Batch, batch(model, prompts, top)?),
        (Way::Cached, cached(model, prompts, top)?),
    ];
    Ok(ways.iter().map(|(way, again)| compare(*way, &first, again)).collect())
}

/// Indices of the tokens after which distributions are compared.
fn places(prompt: &[TokenId]) -> std::ops::Range<usize> {
    prompt.len().saturating_sub(PLACES)..prompt.len()
}

fn alone(model: &dyn LanguageModel, prompts: &[Vec<TokenId>], top: usize) -> Result<Vec<Distribution>, ModelError> {
    let mut found = Vec::new();
    for prompt in prompts {
        for place in places(prompt) {
            let mut session = model.session()?;
            let nodes = session.push_all(None, &prompt[..=place])?;
            found.extend(session.evaluate(&[Query::top(nodes[place], top)])?);
        }
    }
    Ok(found)
}

fn batch(model: &dyn LanguageModel, prompts: &[Vec<TokenId>], top: usize) -> Result<Vec<Distribution>, ModelError> {
    let mut session = model.session()?;
    let mut nodes: Vec<NodeHandle> = Vec::new();
    for prompt in prompts {
        nodes.extend(&session.push_all(None, prompt)?[places(prompt)]);
    }
    session.evaluate(&nodes.iter().map(|&node| Query::top(node, top)).collect::<Vec<_>>())
}

fn cached(model: &dyn LanguageModel, prompts: &[Vec<TokenId>], top: usize) -> Result<Vec<Distribution>, ModelError> {
    let mut found = Vec::new();
    for prompt in prompts {
        let mut session = model.session()?;
        let nodes = session.push_all(None, prompt)?;
        if let Some(before) = places(prompt).start.checked_sub(1) {
            session.evaluate(&[Query::top(nodes[before], top)])?;
        }
        for place in places(prompt) {
            found.extend(session.evaluate(&[Query::top(nodes[place], top)])?);
        }
    }
    Ok(found)
}

fn compare(way: Way, first: &[Distribution], again: &[Distribution]) -> Wobble {
    let mut result = Wobble { way, distributions: first.len(), compared: 0, largest: 0.0, mean: 0.0, flips: 0 };
    for (a, b) in first.iter().zip(again) {
        let listed: HashMap<TokenId, f64> = a.top.iter().map(|t| (t.id, t.logprob)).collect();
        for t in &b.top {
            if let Some(before) = listed.get(&t.id) {
                // Two tokens of probability zero do not differ.
                let difference = if *before == t.logprob { 0.0 } else { (before - t.logprob).abs() };
                result.compared += 1;
                result.largest = result.largest.max(difference);
                result.mean += difference;
            }
        }
        result.flips += usize::from(a.top.first().map(|t| t.id) != b.top.first().map(|t| t.id));
    }
    result.mean /= result.compared.max(1) as f64;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exactness, TokenStats};

    fn list(probs: &[(u32, f64)]) -> Distribution {
        let top = (1..).zip(probs).map(|(rank, &(id, p))| TokenStats { id: TokenId(id), logprob: p.ln(), rank });
        Distribution::of_list(top.collect(), Exactness::LowerBound)
    }

    #[test]
    fn differences_are_of_tokens_that_were_listed_both_times() {
        let first = [list(&[(1, 0.5), (2, 0.3)]), list(&[(5, 0.4), (6, 0.35), (7, 0.0)])];
        let again = [list(&[(1, 0.5), (3, 0.31)]), list(&[(6, 0.4), (5, 0.38), (7, 0.0)])];
        let found = compare(Way::Batch, &first, &again);
        assert_eq!((found.distributions, found.compared, found.flips), (2, 4, 1));
        let (a, b) = ((0.4f64 / 0.35).ln(), (0.4f64 / 0.38).ln());
        assert!((found.largest - a).abs() < 1e-12 && (found.mean - (a + b) / 4.0).abs() < 1e-12, "{found:?}");
        let same = compare(Way::Alone, &first, &first);
        assert_eq!((same.compared, same.largest, same.mean, same.flips), (5, 0.0, 0.0, 0));
    }
}
