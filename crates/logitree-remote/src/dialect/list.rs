//! The lists of most likely tokens that servers give: what is asked, and what may be believed of an answer.

use logitree_core::TokenId;
use serde_json::Value;
use std::collections::BTreeSet;

/// Paths from the start of the sequence, as token ids or as texts.
pub(crate) enum Paths<'a> {
    Ids(Vec<&'a [TokenId]>),
    Texts(Vec<&'a str>),
}

/// What list is asked for after every path.
pub(crate) struct ListQuery<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Length of the list.
    pub top: usize,
    /// Tokens that some path asks for by name.
    pub tokens: &'a [TokenId],
    /// Always 1, except when a probe checks whether the server lists what its sampler made of the distribution.
    pub temperature: f64,
}

/// A token as a server names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// The token's id; absent where the server gives only texts.
    pub id: Option<TokenId>,
    /// The token's bytes, if the server gives them.
    pub bytes: Option<Vec<u8>>,
    /// Natural log of its probability, in nats.
    pub logprob: f64,
}

/// What a server says of the step after one path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct List {
    /// The most likely tokens, most likely first.
    pub top: Vec<Listed>,
    /// Tokens asked for by name.
    pub named: Vec<Listed>,
    /// How many tokens the server counts in the path, if it tells.
    pub prompt_tokens: Option<usize>,
}

impl List {
    /// Sorts the list by probability and leaves out impossible tokens. It is an error if the numbers cannot be
    /// probabilities.
    pub(super) fn checked(mut self) -> Result<List, String> {
        for t in self.top.iter_mut().chain(&mut self.named) {
            t.logprob = possible(t.logprob)?;
        }
        // A token of probability 0 has no place in a list of the most likely ones.
        self.top.retain(|t| t.logprob > f64::NEG_INFINITY);
        for t in &mut self.named {
            t.logprob = t.logprob.max(f64::MIN_POSITIVE.ln());
        }
        self.top.sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then(a.id.cmp(&b.id)));
        let mut seen = BTreeSet::new();
        if let Some(id) = self.top.iter().filter_map(|t| t.id).find(|&id| !seen.insert(id)) {
            return Err(format!("token {id} twice"));
        }
        let sum: f64 = self.top.iter().map(|t| t.logprob.exp()).sum();
        if sum > 1.01 {
            return Err(format!("probabilities that add up to {sum:.3}"));
        }
        if self.top.is_empty() {
            return Err("no log probabilities".into());
        }
        Ok(self)
    }
}

/// Smallest log probability that is believed of a possible token. The logits of models are never so far apart.
const LEAST: f64 = -1e6;

/// Checks a log probability. The result is at most 0, and minus infinity for a token that cannot come. JSON has no
/// infinite numbers, so servers write the smallest f32 or f64 for that.
///
/// # Errors
/// If the number cannot be the logarithm of a probability.
pub(crate) fn possible(logprob: f64) -> Result<f64, String> {
    // Servers write the least 32-bit number with more or fewer digits.
    if logprob == f64::NEG_INFINITY || logprob == f64::MIN || (-3.5e38..=-3.4e38).contains(&logprob) {
        return Ok(f64::NEG_INFINITY);
    }
    if !(LEAST..=1e-3).contains(&logprob) {
        return Err(format!("a log probability of {logprob:e}"));
    }
    Ok(logprob.min(0.0))
}

/// A log probability as servers write it. An impossible token has null, or the word that JavaScript or Python has for
/// minus infinity.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NEG_INFINITY),
        Value::String(word) if ["-Infinity", "-inf"].contains(&word.as_str()) => Some(f64::NEG_INFINITY),
        other => other.as_f64(),
    }
}

/// `token_id:506`, as vLLM writes ids in place of texts.
pub(super) fn token_id(key: &str) -> Option<TokenId> {
    key.strip_prefix("token_id:")?.parse().ok().map(TokenId)
}

pub(super) fn id(value: &Value) -> Option<TokenId> {
    u32::try_from(value.as_u64()?).ok().map(TokenId)
}

/// The entries of an answer's `choices`, sorted by their `index`, because servers may send them in any order.
pub(super) fn choices(answer: &Value, paths: usize) -> Result<Vec<&Value>, String> {
    let all = answer["choices"].as_array().ok_or("no `choices`")?;
    let mut by_index = vec![None; paths];
    for (i, choice) in all.iter().enumerate() {
        let index = choice["index"].as_u64().map_or(i, |n| n as usize);
        if let Some(place) = by_index.get_mut(index) {
            *place = Some(choice);
        }
    }
    by_index.into_iter().collect::<Option<_>>().ok_or_else(|| format!("{} choices for {paths} prompts", all.len()))
}
