//! Watched strings: the probability that they come next at a node, whatever their rank.

use crate::{Distribution, ModelError, NodeHandle, Query, Session, TokenId};
use serde::{Deserialize, Serialize};

/// A watched string at a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Natural log, in nats, of the probability that the string's tokens come next; minus infinity, which is null in
    /// JSON, where they cannot.
    #[serde(deserialize_with = "null_is_impossible")]
    pub logprob: f64,
    /// Rank among all tokens, for a string of one token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// JSON has no infinite numbers: serde writes them as null.
fn null_is_impossible<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NEG_INFINITY))
}

/// Evaluates queries in one batch, each with the probability of every watched string after its node: the product of its
/// tokens' probabilities, `Σ ln p(tᵢ | node, t₁ … tᵢ₋₁)`. The first token is read from the query's own distribution;
/// each further one needs a query at a node that is pushed for it and forgotten afterwards.
///
/// # Errors
/// If a string does not fit into the model's context behind a node, or the session cannot answer.
///
/// # Panics
/// If a watched string has no tokens.
pub fn evaluate(
    session: &mut dyn Session,
    queries: &[Query<'_>],
    watch: &[Vec<TokenId>],
) -> Result<Vec<(Distribution, Vec<Watched>)>, ModelError> {
    let firsts: Vec<TokenId> = watch.iter().map(|w| w[0]).collect();
    let asked: Vec<Vec<TokenId>> = queries.iter().map(|q| [q.tokens, &firsts].concat()).collect();
    let mut chains: Vec<(NodeHandle, TokenId)> = Vec::new();
    let mut push = |session: &mut dyn Session| {
        for q in queries {
            for string in watch {
                let mut at = q.node;
                for pair in string.windows(2) {
                    at = session.push(Some(at), pair[0])?;
                    chains.push((at, pair[1]));
                }
            }
        }
        Ok(())
    };
    if let Err(e) = push(session) {
        chains.iter().rev().for_each(|&(node, _)| session.forget(node));
        return Err(match e {
            ModelError::ContextExceeded { needed, limit } => ModelError::WatchExceedsContext { needed, limit },
            e => e,
        });
    }
    let all: Vec<Query<'_>> = queries
        .iter()
        .zip(&asked)
        .map(|(q, tokens)| Query { tokens, ..q.clone() })
        .chain(chains.iter().map(|(node, next)| Query {
            node: *node,
            top: 0,
            tokens: std::slice::from_ref(next),
            logits: false,
            hash: false,
        }))
        .collect();
    let found = session.evaluate(&all);
    chains.iter().rev().for_each(|&(node, _)| session.forget(node));
    let mut found = found?;
    let further = found.split_off(queries.len());
    let mut further = further.iter().filter_map(|d| d.tokens.first()).map(|t| t.logprob);
    let answers = found.into_iter().zip(queries).map(|(mut d, q)| {
        let firsts = d.tokens.split_off(q.tokens.len().min(d.tokens.len()));
        let watched = watch.iter().zip(firsts).map(|(string, first)| Watched {
            logprob: first.logprob + further.by_ref().take(string.len() - 1).sum::<f64>(),
            rank: (string.len() == 1).then_some(first.rank),
        });
        let watched = watched.collect();
        (d, watched)
    });
    Ok(answers.collect())
}
