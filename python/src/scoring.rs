//! Scores several texts in common batches: short texts fill a batch together, and what they begin with is computed
//! once.

use crate::call::Listener;
use logitree::{Events, Model, Progress, Prompt, Result, ScoreOptions, ScoredToken, watched_ids};
use logitree_core::run::Watch;
use logitree_core::{Distribution, NodeHandle, Query, Session, TokenId, watch};
use std::collections::HashMap;
use std::ops::Range;

/// Number of positions that are evaluated between two checks whether to stop.
const PIECE: usize = 128;
/// Number of positions that are evaluated at once when each comes with the logits of the whole vocabulary.
const WHOLE_PIECE: usize = 16;
/// Number of tokens after which texts get a new session, which frees the keys and values of those before.
const SESSION: usize = 2048;

/// A text to score.
pub struct Text<'a> {
    /// The text with what comes before it.
    pub prompt: &'a Prompt,
    /// Index of the first token to score, at least 1.
    pub first: usize,
}

/// The tokens of a text that were scored. There are fewer than asked for if the work was stopped.
#[derive(Default)]
pub struct Scored {
    /// The tokens, in order.
    pub tokens: Vec<ScoredToken>,
    /// If asked for, the log probabilities of the whole vocabulary at each token, in nats, one row after another.
    pub full: Vec<f32>,
}

/// Scores texts. Each gets the same bits as by itself.
///
/// # Errors
/// If there is nothing to score in a text, a text does not fit the context, a watched string has no tokens in this
/// model, or the model fails.
pub fn score(
    model: &Model,
    listener: &Listener,
    texts: &[Text<'_>],
    options: &ScoreOptions,
    full: bool,
) -> Result<(Vec<Scored>, Vec<Watch>)> {
    for text in texts.iter().filter(|t| t.prompt.tokens.len() < 2) {
        // Such a text has nothing to score, and the library says why.
        model.score(text.prompt, options)?;
    }
    let watch = model.watch(&options.watch)?;
    let mut scored: Vec<Scored> = texts.iter().map(|_| Scored::default()).collect();
    let mut batches = Batches { strings: watched_ids(&watch), top: options.top, full, texts, scored: &mut scored };
    for group in groups(texts) {
        if !batches.group(model, listener, group)? {
            break;
        }
    }
    Ok((scored, watch))
}

/// Texts that share a session, as ranges: so many that their tokens are at most [`SESSION`], at least one.
fn groups(texts: &[Text<'_>]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut length = 0;
    for (i, text) in texts.iter().enumerate() {
        length += text.prompt.tokens.len();
        match groups.last_mut() {
            Some(group) if length <= SESSION => group.end = i + 1,
            _ => {
                groups.push(i..i + 1);
                length = text.prompt.tokens.len();
            }
        }
    }
    groups
}

/// A token to score: the number of its text, the node before it, and its index in the text.
type Place = (usize, NodeHandle, usize);

struct Batches<'a> {
    strings: Vec<Vec<TokenId>>,
    top: usize,
    full: bool,
    texts: &'a [Text<'a>],
    scored: &'a mut [Scored],
}

impl Batches<'_> {
    /// Scores a group of texts in a session of their own; false if it was told to stop.
    fn group(&mut self, model: &Model, listener: &Listener, group: Range<usize>) -> Result<bool> {
        let mut session = model.session()?;
        let places = self.places(&mut *session, group)?;
        let size = if self.full { WHOLE_PIECE } else { PIECE };
        for piece in places.chunks(size) {
            if listener.stop() {
                return Ok(false);
            }
            let query = |&(text, node, i): &Place| Query {
                node,
                top: self.top,
                tokens: &self.texts[text].prompt.tokens[i..=i],
                logits: self.full,
            };
            let queries: Vec<Query<'_>> = piece.iter().map(query).collect();
            let found = watch::evaluate(&mut *session, &queries, &self.strings)?;
            for (&(text, _, _), (d, watched)) in piece.iter().zip(found) {
                self.take(text, d, watched);
            }
            if let Some(&(text, _, i)) = piece.last() {
                listener.progress(Progress::Words(&|| self.words(text, i + 1)));
            }
        }
        Ok(true)
    }

    /// Adds the texts to the session, what they begin with in common once, and gives the tokens to score.
    fn places(&self, session: &mut dyn Session, group: Range<usize>) -> Result<Vec<Place>> {
        let mut known: HashMap<(Option<NodeHandle>, TokenId), NodeHandle> = HashMap::new();
        let mut places = Vec::new();
        for number in group {
            let Text { prompt, first } = self.texts[number];
            session.check(None, &prompt.tokens)?;
            let mut at = None;
            for (i, &token) in prompt.tokens.iter().enumerate() {
                if let Some(node) = at.filter(|_| i >= first) {
                    places.push((number, node, i));
                }
                if i + 1 == prompt.tokens.len() {
                    // Nothing is asked about what follows the last token.
                    break;
                }
                let node = match known.get(&(at, token)) {
                    Some(&node) => node,
                    None => session.push(at, token)?,
                };
                known.insert((at, token), node);
                at = Some(node);
            }
        }
        Ok(places)
    }

    fn take(&mut self, text: usize, d: Distribution, watched: Vec<watch::Watched>) {
        let Distribution { entropy, exactness, top, tokens, logits, logsumexp, .. } = d;
        let Some(&token) = tokens.first() else { return };
        let scored = &mut self.scored[text];
        scored.tokens.push(ScoredToken { token, entropy, exactness, top, forced: false, watched });
        let logprobs = |l: f32| (f64::from(l) - logsumexp) as f32;
        scored.full.extend(logits.into_iter().flatten().map(logprobs));
    }

    fn words(&self, text: usize, tokens: usize) -> String {
        match self.texts {
            [one] => format!("{} of {} tokens", tokens - one.first, one.prompt.tokens.len() - one.first),
            texts => format!("{} of {} texts", text + 1, texts.len()),
        }
    }
}
