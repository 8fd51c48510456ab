//! Forks: where a continuation might have gone another way, and whether that would have mattered.
//!
//! At each position the two most likely tokens have probabilities `p₁ ≥ p₂`. The smaller the gap `p₁ - p₂`, the less
//! the text before determined the token. A fork is tested by replacing the token with the most likely *other* one and
//! continuing greedily.

use crate::layers::LayerDistributions;
use crate::{ModelError, NodeHandle, Query, Session, TokenId, TokenStats};

/// One token of a continuation, and the alternative at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The token of the continuation.
    pub token: TokenStats,
    /// The most likely other token.
    pub other: TokenStats,
    /// Probability of the most likely token minus that of the second; a small gap means that the choice was close.
    pub gap: f64,
    /// Entropy of the distribution there, in nats.
    pub entropy: f64,
    /// The session's node after which the token comes; a fork continues from it.
    before: NodeHandle,
}

/// How long a continuation may get, and which tokens end it.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Largest number of tokens of a continuation, counted from the end of the prompt.
    pub tokens: usize,
    /// Ids that end a continuation; the end token is its last token.
    pub ends: &'a [TokenId],
}

/// A continuation that took the other token.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// Index of the position where the fork leaves the continuation.
    pub position: usize,
    /// The fork's tokens from this position on, the other token first.
    pub tokens: Vec<TokenId>,
    /// Whether the fork reached an end token or the length limit; false if `step` stopped it before.
    pub finished: bool,
}

/// The positions of a continuation of `prompt`: of `given`, or of the greedy one if nothing is given. `step` is called
/// before each greedy step; if it returns false, the continuation ends there.
///
/// # Errors
/// If the prompt is empty, or the model fails.
pub fn follow(
    session: &mut dyn Session,
    prompt: &[TokenId],
    given: Option<&[TokenId]>,
    limits: Limits<'_>,
    mut step: impl FnMut() -> bool,
) -> Result<Vec<Position>, ModelError> {
    let nodes = session.push_all(None, prompt)?;
    let mut before = *nodes.last().ok_or_else(|| ModelError::Engine("the prompt has no tokens".into()))?;
    let mut positions = Vec::new();
    if let Some(given) = given {
        let mut places = vec![before];
        places.extend(session.push_all(Some(before), &given[..given.len().saturating_sub(1)])?);
        let query = |(&node, token)| Query { tokens: std::slice::from_ref(token), ..Query::top(node, 2) };
        let queries: Vec<Query<'_>> = places.iter().zip(given).map(query).collect();
        for (d, &node) in session.evaluate(&queries)?.into_iter().zip(&places) {
            let Some(&token) = d.tokens.first() else { continue };
            positions.extend(position(node, token, &d.top, d.entropy));
        }
        return Ok(positions);
    }
    while positions.len() < limits.tokens && step() {
        let d = session.evaluate(&[Query::top(before, 2)])?.remove(0);
        let Some(&token) = d.top.first() else { break };
        positions.extend(position(before, token, &d.top, d.entropy));
        if limits.ends.contains(&token.id) {
            break;
        }
        before = session.push(Some(before), token.id)?;
    }
    Ok(positions)
}

/// The position at a node; `None` for a vocabulary of one token, where nothing can fork.
fn position(before: NodeHandle, token: TokenStats, top: &[TokenStats], entropy: f64) -> Option<Position> {
    let other = *top.iter().find(|t| t.id != token.id)?;
    let gap = top.first()?.prob() - top.get(1)?.prob();
    Some(Position { token, other, gap, entropy, before })
}

/// Indices of the positions, smallest gap first, ties by index.
pub fn rank(positions: &[Position]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| positions[a].gap.total_cmp(&positions[b].gap).then(a.cmp(&b)));
    order
}

/// Tests forks at these positions. All forks grow by one token per batch, and share the cached rows of their common
/// beginning. `step` is called before each batch; if it returns false, the forks stop where they are.
///
/// # Errors
/// If the model fails.
pub fn test(
    session: &mut dyn Session,
    positions: &[Position],
    which: &[usize],
    limits: Limits<'_>,
    mut step: impl FnMut() -> bool,
) -> Result<Vec<Fork>, ModelError> {
    let mut forks: Vec<Fork> =
        which.iter().map(|&i| Fork { position: i, tokens: vec![positions[i].other.id], finished: true }).collect();
    let mut ends: Vec<NodeHandle> = which.iter().map(|&i| positions[i].before).collect();
    loop {
        let going: Vec<usize> = (0..forks.len())
            .filter(|&f| {
                let long = forks[f].position + forks[f].tokens.len() >= limits.tokens;
                !long && forks[f].tokens.last().is_none_or(|t| !limits.ends.contains(t))
            })
            .collect();
        if going.is_empty() {
            return Ok(forks);
        }
        if !step() {
            going.iter().for_each(|&f| forks[f].finished = false);
            return Ok(forks);
        }
        for &f in &going {
            if let Some(&token) = forks[f].tokens.last() {
                ends[f] = session.push(Some(ends[f]), token)?;
            }
        }
        let queries: Vec<Query<'_>> = going.iter().map(|&f| Query::top(ends[f], 1)).collect();
        for (&f, d) in going.iter().zip(session.evaluate(&queries)?) {
            forks[f].tokens.extend(d.top.first().map(|t| t.id));
        }
    }
}

/// What each layer of the model would have predicted at these positions. The token and the other one are the first two
/// of [`LayerDistributions::tokens`], in this order.
///
/// # Errors
/// If the session does not see the model's layers, or the model fails.
pub fn layers(
    session: &mut dyn Session,
    positions: &[Position],
    which: &[usize],
) -> Result<Vec<LayerDistributions>, ModelError> {
    let pairs: Vec<[TokenId; 2]> = which.iter().map(|&i| [positions[i].token.id, positions[i].other.id]).collect();
    let place = |&i: &usize| positions[i].before;
    let query = |(node, tokens)| Query { tokens, ..Query::top(node, 1) };
    let queries: Vec<Query<'_>> =
        which.iter().map(place).zip(pairs.iter().map(<[_; 2]>::as_slice)).map(query).collect();
    session.layers(&queries)
}

/// Punctuation that a comparison ignores at the ends of words: marks of sentences and of emphasis. Signs such as `+`
/// and `#` are part of what is said, so they are not in the list.
const PUNCTUATION: &[char] =
    &['.', ',', ';', ':', '!', '?', '…', '"', '\'', '“', '”', '‘', '’', '(', ')', '[', ']', '*', '_', '`'];

/// A text in the form in which texts are compared: lower case, one space between words, no punctuation around words.
pub fn comparable(text: &str) -> String {
    let words = text.split_whitespace().map(|w| w.trim_matches(PUNCTUATION).to_lowercase());
    words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Number of equal words in a row after which two texts count as the same again. Fewer may be equal by chance.
const SAME: usize = 3;

/// The number of its own words after which a fork's text is the same as the original's again, up to the end of the
/// shorter one; `None` if it stays different. Both texts begin where they part. They are compared by words as
/// [`comparable`] makes them, and a fork may insert, leave out or change some.
///
/// `whole` says that both texts have reached their own end. Otherwise they were cut off somewhere, perhaps within a
/// word, so their last words are not compared.
///
/// ```text
/// for every way to put one text's last word beside a word of the other:
///     run = number of equal words, counted from there backwards
///     run is long enough → the fork is the original again from the first word of the run on
/// answer: the earliest such word of the fork
/// ```
pub fn rejoins(original: &str, fork: &str, whole: bool) -> Option<usize> {
    let [original, fork] = [original, fork].map(comparable);
    let [mut a, mut b] = [&original, &fork].map(|text| text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>());
    if !whole {
        a.pop();
        b.pop();
    }
    let needed = if whole { 1 } else { SAME };
    // Pairs of ends: the number of words of each text up to the words that are put beside each other.
    let ends = (1..=a.len()).map(|end| (end, b.len())).chain((1..b.len()).map(|end| (a.len(), end)));
    let same = ends.filter_map(|(i, j)| {
        let run = a[..i].iter().rev().zip(b[..j].iter().rev()).take_while(|(a, b)| a == b).count();
        // A run shorter than `SAME` counts only where two whole texts both end.
        let counts = run >= SAME || (run >= needed && (i, j) == (a.len(), b.len()));
        counts.then_some(j - run)
    });
    same.min()
}
