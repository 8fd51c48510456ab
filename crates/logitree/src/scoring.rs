//! Scores given texts: each by itself, or several in common batches.
//!
//! Texts that are scored together share sessions: short texts fill a batch together, and what they begin with is computed
//! once. This changes no bit of their numbers.

use crate::boundaries::Boundaries;
use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::prompt::watched_ids;
use crate::scored::{LISTED, ScoredToken};
use crate::{Given, Model, Prompt};
use logitree_core::run::Watch;
use logitree_core::watch::{self, Watched};
use logitree_core::{Distribution, Exactness, NodeHandle, Query, Session, TokenId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What is recorded of a text that is scored.
#[derive(Clone, Debug)]
pub struct ScoreOptions {
    /// Number of most likely tokens to list at each step.
    pub top: usize,
    /// Strings whose probability is recorded at every step.
    pub watch: Vec<String>,
    /// Index of the first token of the prompt that is scored; what stands before it is given. `None` scores the whole
    /// text.
    pub from: Option<usize>,
    /// Whether to find out what the log probabilities of words need beside those of tokens.
    pub words: bool,
    /// Whether the log probabilities of the whole vocabulary are recorded at every step. Servers do not tell them.
    pub full: bool,
}

impl Default for ScoreOptions {
    fn default() -> ScoreOptions {
        ScoreOptions { top: LISTED, watch: Vec::new(), from: None, words: false, full: false }
    }
}

/// A text with the statistics of each of its tokens.
#[derive(Default)]
pub struct Scored {
    /// The tokens from [`ScoreOptions::from`] on. The first token of the prompt is never among them, for it has nothing
    /// before it to be predicted from; if the model has BOS, that is BOS.
    pub tokens: Vec<ScoredToken>,
    /// With [`ScoreOptions::full`], the log probabilities of the whole vocabulary at each of the tokens, in nats, one row
    /// after another: `[tokens][vocab]`.
    pub full: Vec<f32>,
    /// The watched strings and their tokens.
    pub watch: Vec<Watch>,
    /// Number of tokens that should be scored. It is larger than the number of `tokens` if the work was interrupted.
    pub asked: usize,
    /// Index in the prompt of the text's first token. It has no score if it is the first of the prompt.
    pub(crate) start: usize,
    /// With [`ScoreOptions::words`], for every position from `start` to the end of the text: `ln B` in nats
    /// ([`logitree_core::spans`]), 0 where no word begins or where it is decided that one does. `None` where it is not
    /// known: a server tells no whole distribution, or the work was interrupted.
    pub(crate) boundaries: Vec<Option<f64>>,
}

/// Number of positions that are evaluated between two checks whether to stop.
const PIECE: usize = 128;

/// The same if words are asked for: then a position may hold the logits of the whole vocabulary.
const PIECE_OF_WORDS: usize = 32;

/// The same if every position holds the logits of the whole vocabulary.
const PIECE_OF_ALL: usize = 16;

/// Number of tokens after which texts get a new session, which frees the keys and values of those before. A caller with
/// many texts gives [`Model::score_all`] about this many tokens at a time: more are no faster.
pub const SCORED_TOGETHER: usize = 2048;

impl Prompt {
    /// Index of the first token that is scored if the text begins with token `from`, or else behind a BOS. The first
    /// token of all has nothing before it to be predicted from.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn first_scored(&self, from: Option<usize>) -> Result<usize> {
        let first = self.start(from).max(1);
        if first >= self.tokens.len() {
            fail!(Input, "the text is a single token and this model has no BOS: there is nothing to score");
        }
        Ok(first)
    }

    /// Index of the text's first token.
    fn start(&self, from: Option<usize>) -> usize {
        from.unwrap_or(usize::from(self.bos))
    }
}

impl Model {
    /// Scores the tokens of a prompt: their log probabilities and ranks, and the distributions that they come from.
    ///
    /// # Errors
    /// If there is nothing to score, a watched string has no tokens in this model, or the model fails.
    pub fn score(&self, prompt: &Prompt, options: &ScoreOptions) -> Result<Scored> {
        let mut scored = self.score_all(&[(prompt, options.from)], options)?;
        scored.pop().context("internal error: no score")
    }

    /// Scores several texts in common batches, in their order: each is a prompt with its own [`ScoreOptions::from`], that
    /// of the options is not looked at. Each gets the same bits as by itself. If the work is interrupted, some have fewer
    /// tokens than asked for.
    ///
    /// # Errors
    /// As for [`Model::score`], if one of the texts has nothing to score.
    pub fn score_all(&self, texts: &[(&Prompt, Option<usize>)], options: &ScoreOptions) -> Result<Vec<Scored>> {
        let watch = self.watch(&options.watch)?;
        let word_ends = options.words.then(|| Arc::from(self.word_ends()));
        let mut batches = Batches {
            model: self,
            options,
            strings: watched_ids(&watch),
            // Servers list some tokens only, which do not tell how likely a word's end was.
            whole: self.exactness() == Exactness::Exact,
            texts: texts
                .iter()
                .map(|&(prompt, from)| Text::new(self, prompt, from, word_ends.as_ref()))
                .collect::<Result<_>>()?,
        };
        let work = Work(self.events());
        for group in batches.groups() {
            if !batches.group(group, &work)? {
                break;
            }
        }
        let scored = |text: Text<'_>| Scored {
            boundaries: text.words.map(|w| w.found).unwrap_or_default(),
            watch: watch.clone(),
            ..text.scored
        };
        Ok(batches.texts.into_iter().map(scored).collect())
    }

    /// A text after a context, as one prompt, and the index of the first token that has bytes of the text. Both are
    /// split into tokens together; a token with bytes of both counts to the text.
    ///
    /// # Errors
    /// If one of them is empty or the text leaves no token; or as for [`Model::prompt`].
    pub fn after(&self, context: &Given, text: &str) -> Result<(Prompt, usize)> {
        self.guide(context, "", text)
    }
}

/// A text that is being scored.
struct Text<'a> {
    tokens: &'a [TokenId],
    first: usize,
    words: Option<Boundaries>,
    scored: Scored,
}

impl<'a> Text<'a> {
    /// `word_ends` is given if words are asked for.
    fn new(
        model: &Model,
        prompt: &'a Prompt,
        from: Option<usize>,
        word_ends: Option<&Arc<[bool]>>,
    ) -> Result<Text<'a>> {
        let (tokens, start, first) = (&prompt.tokens[..], prompt.start(from), prompt.first_scored(from)?);
        let words = word_ends.map(|ends| Boundaries::of(model, ends.clone(), tokens, start));
        let scored = Scored { asked: tokens.len() - first, start, ..Scored::default() };
        Ok(Text { tokens, first, words, scored })
    }
}

/// A position in a text at which a distribution is asked for.
struct Place {
    /// The number of the text.
    text: usize,
    /// The node before the position.
    after: NodeHandle,
    /// The index of the token there; behind the last token, only the boundary of the last word is asked for.
    at: usize,
    /// Whether a word may end here and only the distribution tells how likely that was.
    open: bool,
}

struct Batches<'a> {
    model: &'a Model,
    options: &'a ScoreOptions,
    strings: Vec<Vec<TokenId>>,
    whole: bool,
    texts: Vec<Text<'a>>,
}

impl Batches<'_> {
    /// Texts that share a session, as ranges: so many that their tokens are at most [`SCORED_TOGETHER`], at least one.
    fn groups(&self) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut length = 0;
        for (i, text) in self.texts.iter().enumerate() {
            length += text.tokens.len();
            match groups.last_mut() {
                Some(group) if length <= SCORED_TOGETHER => group.end = i + 1,
                _ => {
                    groups.push(i..i + 1);
                    length = text.tokens.len();
                }
            }
        }
        groups
    }

    /// Scores a group of texts in a session of their own; false if it was told to stop.
    fn group(&mut self, group: Range<usize>, work: &Work<'_>) -> Result<bool> {
        let mut session = self.model.session()?;
        let places = self.places(&mut *session, group)?;
        let size = match self.options {
            ScoreOptions { full: true, .. } => PIECE_OF_ALL,
            ScoreOptions { words: true, .. } => PIECE_OF_WORDS,
            _ => PIECE,
        };
        for piece in places.chunks(size) {
            if self.model.events().stop() {
                return Ok(false);
            }
            let query = |p: &Place| {
                let asked = self.texts[p.text].tokens.get(p.at..p.at + 1).unwrap_or_default();
                let top = if asked.is_empty() { 0 } else { self.options.top };
                Query { tokens: asked, logits: self.options.full || p.open, ..Query::top(p.after, top) }
            };
            let queries: Vec<Query<'_>> = piece.iter().map(query).collect();
            let found = watch::evaluate(&mut *session, &queries, &self.strings)?;
            piece.iter().zip(found).for_each(|(place, found)| self.take(place, found));
            if let Some(last) = piece.last() {
                work.words(|| self.progress(last));
            }
        }
        Ok(true)
    }

    /// Adds texts to the session, what they begin with in common once, and gives the positions to ask about.
    fn places(&self, session: &mut dyn Session, group: Range<usize>) -> Result<Vec<Place>> {
        let mut known: HashMap<(Option<NodeHandle>, TokenId), NodeHandle> = HashMap::new();
        let mut places = Vec::new();
        for number in group {
            let text = &self.texts[number];
            session.check(None, text.tokens)?;
            let mut before = None;
            for at in 0..=text.tokens.len() {
                let open = self.whole && at >= text.first && text.words.as_ref().is_some_and(|w| w.is_open(at));
                let token = text.tokens.get(at).copied();
                if let Some(after) = before.filter(|_| at >= text.first && (token.is_some() || open)) {
                    places.push(Place { text: number, after, at, open });
                }
                let Some(token) = token else { break };
                let node = match known.get(&(before, token)) {
                    Some(&node) => node,
                    None => session.push(before, token)?,
                };
                known.insert((before, token), node);
                before = Some(node);
            }
        }
        Ok(places)
    }

    fn take(&mut self, place: &Place, found: (Distribution, Vec<Watched>)) {
        let text = &mut self.texts[place.text];
        if let Some(words) = text.words.as_mut().filter(|_| place.open) {
            words.take(place.at, &found.0);
        }
        if self.options.full && place.at < text.tokens.len() {
            let logsumexp = found.0.logsumexp;
            let logits = found.0.logits.iter().flatten();
            text.scored.full.extend(logits.map(|&l| (f64::from(l) - logsumexp) as f32));
        }
        text.scored.tokens.extend(ScoredToken::new(found, false));
    }

    fn progress(&self, last: &Place) -> String {
        match &self.texts[..] {
            [one] => format!("{} of {} tokens", one.scored.tokens.len(), one.scored.asked),
            texts => format!("{} of {} texts", last.text + 1, texts.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    include!("../tests/common/tiny.rs");

    #[test]
    fn texts_have_the_same_bits_together_as_each_alone() {
        let folder = tiny_model();
        let model = Model::open(folder.path().to_str().unwrap()).unwrap();
        let long = "to be or not to be ".repeat(12);
        let texts = ["hello world", "hello world", "hello", "to be or not to be", &long, "hello  there, world"];
        let prompts: Vec<Prompt> = texts.iter().map(|t| model.prompt(t).unwrap()).collect();
        let (after, from) = model.after(&"hello".into(), " world").unwrap();
        let all: Vec<(&Prompt, Option<usize>)> =
            prompts.iter().map(|p| (p, None)).chain([(&after, Some(from))]).collect();
        let watch = vec!["l".to_string(), " lo wor".to_string()];
        for (words, full) in [(false, false), (true, false), (true, true)] {
            let options = ScoreOptions { watch: watch.clone(), words, full, ..ScoreOptions::default() };
            let together = model.score_all(&all, &options).unwrap();
            assert_eq!(together.len(), all.len());
            for ((prompt, from), scored) in all.iter().zip(&together) {
                let alone = model.score(prompt, &ScoreOptions { from: *from, ..options.clone() }).unwrap();
                assert_eq!(scored.tokens, alone.tokens);
                assert_eq!((scored.asked, scored.start), (alone.tokens.len(), alone.start));
                assert_eq!(scored.boundaries, alone.boundaries);
                let bits = |s: &Scored| s.full.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(scored), bits(&alone));
                assert_eq!(scored.full.len(), if full { scored.tokens.len() * model.vocab_size() } else { 0 });
                assert_eq!(scored.boundaries.is_empty(), !words);
                for (i, token) in scored.tokens.iter().enumerate().filter(|_| full) {
                    let row = &scored.full[i * model.vocab_size()..];
                    assert!((f64::from(row[token.token.id.index()]) - token.token.logprob).abs() < 1e-6);
                }
            }
        }
        assert!(together_fails(&model, &prompts[0]));
        // More tokens than share a session.
        let many = vec![(&prompts[4], None); 2 * SCORED_TOGETHER / prompts[4].tokens.len() + 1];
        let alone = model.score(&prompts[4], &ScoreOptions::default()).unwrap().tokens;
        let together = model.score_all(&many, &ScoreOptions::default()).unwrap();
        assert!(together.len() == many.len() && together.iter().all(|s| s.tokens == alone));
    }

    /// A text from behind its last token has nothing to score, and nothing else is scored with it.
    fn together_fails(model: &Model, prompt: &Prompt) -> bool {
        let behind = Some(prompt.tokens.len());
        model.score_all(&[(prompt, None), (prompt, behind)], &ScoreOptions::default()).is_err()
    }
}
