//! Generates text token by token, and scores text that is given.

use crate::boundaries::Boundaries;
use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::prompt::watched_ids;
use crate::scored::{LISTED, ScoredToken};
use crate::{Given, Model, Prompt};
use logitree_core::run::Watch;
use logitree_core::sampling::Sampler;
use logitree_core::watch::{self, Watched};
use logitree_core::{Distribution, Exactness, NodeHandle, Query, Session, TokenId};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::collections::VecDeque;

/// How a text is generated, and what is recorded at each step.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Largest number of tokens to generate.
    pub max_new_tokens: usize,
    /// Number of most likely tokens to list at each step.
    pub top: usize,
    /// How the next token is chosen; by default it is the most likely one.
    pub sampler: Sampler,
    /// Seed of the random numbers. The same seed gives the same text.
    pub seed: u64,
    /// Strings whose probability is recorded at every step.
    pub watch: Vec<String>,
    /// Index of the first token of the prompt that is scored, as a forced token; `None` scores no token of the prompt.
    pub forced_from: Option<usize>,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions {
            max_new_tokens: 128,
            top: LISTED,
            sampler: Sampler::default(),
            seed: 0,
            watch: Vec::new(),
            forced_from: None,
        }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model chose an end token.
    EndToken,
    /// The largest number of tokens was generated.
    MaxNewTokens,
    /// The model's context is full.
    Context,
    /// There was no token to choose: a server listed none.
    NoToken,
    /// The listener of the model's events asked to stop.
    Interrupted,
}

impl StopReason {
    /// The name of the reason in JSON.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::EndToken => "end_token",
            StopReason::MaxNewTokens => "max_new_tokens",
            StopReason::Context => "context",
            StopReason::NoToken => "no_token",
            StopReason::Interrupted => "interrupted",
        }
    }
}

/// A text that is being generated: an iterator over its tokens, the forced ones first.
pub struct Generation {
    model: Model,
    session: Box<dyn Session>,
    /// Number of tokens so far, with the prompt's.
    length: usize,
    node: NodeHandle,
    options: GenerateOptions,
    watch: Vec<Watch>,
    strings: Vec<Vec<TokenId>>,
    rng: StdRng,
    forced: VecDeque<ScoredToken>,
    /// The distribution after the last token, if it has been computed.
    next: Option<(Distribution, Vec<Watched>)>,
    made: usize,
    stop: Option<StopReason>,
}

impl Model {
    /// The distribution after a prompt: the `top` most likely tokens, those of `tokens` whatever their rank, and with
    /// `logits` the logits of all tokens.
    ///
    /// # Errors
    /// If the prompt has no tokens, a token is not in the vocabulary, or the model fails.
    pub fn next(&self, prompt: &Prompt, top: usize, tokens: &[TokenId], logits: bool) -> Result<Distribution> {
        let mut session = self.session()?;
        let node = *session.push_all(None, &prompt.tokens)?.last().context("the prompt has no tokens")?;
        let mut found = session.evaluate(&[Query { node, top, tokens, logits }])?;
        found.pop().context("internal error: no distribution")
    }

    /// Generates text after a prompt. This call evaluates the prompt; each token is computed when it is asked for.
    ///
    /// # Errors
    /// If a parameter is not valid, or the model fails.
    pub fn generate(&self, prompt: &Prompt, options: &GenerateOptions) -> Result<Generation> {
        options.sampler.check()?;
        let watch = self.watch(&options.watch)?;
        let strings = watched_ids(&watch);
        let tokens = &prompt.tokens;
        let mut session = self.session()?;
        let nodes = session.push_all(None, tokens)?;
        let node = *nodes.last().context("the prompt has no tokens")?;
        // Evaluate all forced tokens and the first free step in one batch.
        let first = options.forced_from.unwrap_or(tokens.len()).clamp(1, tokens.len()) - 1;
        let logits = !options.sampler.is_greedy();
        let query = |i: usize| {
            let next = tokens.get(i + 1).map_or(&[][..], std::slice::from_ref);
            Query { node: nodes[i], top: options.top, tokens: next, logits: logits && i + 1 == nodes.len() }
        };
        let queries: Vec<Query<'_>> = (first..nodes.len()).map(query).collect();
        let mut found = watch::evaluate(&mut *session, &queries, &strings)?;
        let next = Some(found.pop().context("internal error: no distribution")?);
        Ok(Generation {
            model: self.clone(),
            session,
            length: tokens.len(),
            node,
            options: options.clone(),
            watch,
            strings,
            rng: StdRng::seed_from_u64(options.seed),
            forced: found.into_iter().filter_map(|d| ScoredToken::new(d, true)).collect(),
            next,
            made: 0,
            stop: None,
        })
    }
}

impl Generation {
    /// Why the generation ended; `None` while it continues.
    pub fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// The watched strings and their tokens.
    pub fn watch(&self) -> &[Watch] {
        &self.watch
    }

    /// The distribution after the last token.
    fn following(&mut self) -> Result<(Distribution, Vec<Watched>)> {
        match self.next.take() {
            Some(next) => Ok(next),
            None => {
                let logits = !self.options.sampler.is_greedy();
                let query = Query { node: self.node, top: self.options.top, tokens: &[], logits };
                let mut found = watch::evaluate(&mut *self.session, &[query], &self.strings)?;
                found.pop().context("internal error: no distribution")
            }
        }
    }

    fn step(&mut self) -> Result<Option<ScoredToken>> {
        if let Some(forced) = self.forced.pop_front() {
            return Ok(Some(forced));
        }
        self.stop = self.stop.or_else(|| self.before());
        if self.stop.is_some() {
            return Ok(None);
        }
        let (d, watched) = self.following()?;
        let rng = &mut self.rng;
        let Some(token) = self.options.sampler.choose_from(&d, || rng.random()) else {
            self.stop = Some(StopReason::NoToken);
            return Ok(None);
        };
        self.made += 1;
        self.length += 1;
        self.stop = if self.model.end_tokens().contains(&token.id) {
            Some(StopReason::EndToken)
        } else if self.made == self.options.max_new_tokens {
            Some(StopReason::MaxNewTokens)
        } else if self.length >= self.model.context_length() {
            Some(StopReason::Context)
        } else {
            self.node = self.session.push(Some(self.node), token.id)?;
            None
        };
        let Distribution { entropy, exactness, top, .. } = d;
        Ok(Some(ScoredToken { token, entropy, exactness, top, forced: false, watched }))
    }

    /// The reason why no further token may be generated, as far as it is known without asking the model.
    fn before(&self) -> Option<StopReason> {
        if self.made >= self.options.max_new_tokens {
            Some(StopReason::MaxNewTokens)
        } else {
            self.model.events().stop().then_some(StopReason::Interrupted)
        }
    }
}

impl Iterator for Generation {
    type Item = Result<ScoredToken>;

    fn next(&mut self) -> Option<Result<ScoredToken>> {
        self.step().transpose()
    }
}

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
}

impl Default for ScoreOptions {
    fn default() -> ScoreOptions {
        ScoreOptions { top: LISTED, watch: Vec::new(), from: None, words: false }
    }
}

/// A text with the statistics of each of its tokens.
pub struct Scored {
    /// The tokens from [`ScoreOptions::from`] on. The first token of the prompt is never among them, for it has nothing
    /// before it to be predicted from; if the model has BOS, that is BOS.
    pub tokens: Vec<ScoredToken>,
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

impl Model {
    /// Scores the tokens of a prompt: their log probabilities and ranks, and the distributions that they come from.
    ///
    /// # Errors
    /// If there is nothing to score, a watched string has no tokens in this model, or the model fails.
    pub fn score(&self, prompt: &Prompt, options: &ScoreOptions) -> Result<Scored> {
        let tokens = &prompt.tokens;
        let start = options.from.unwrap_or(usize::from(prompt.bos));
        // Without BOS the first token has nothing before it to be predicted from.
        let first = start.max(1);
        if first >= tokens.len() {
            fail!(Input, "the text is a single token and this model has no BOS: there is nothing to score");
        }
        let watch = self.watch(&options.watch)?;
        let strings = watched_ids(&watch);
        let mut session = self.session()?;
        let nodes = session.push_all(None, tokens)?;
        let asked = tokens.len() - first;
        let mut scored = Vec::with_capacity(asked);
        let mut words = options.words.then(|| Boundaries::of(self, tokens, start));
        // Servers list some tokens only, which do not tell how likely a word's end was.
        let whole = self.exactness() == Exactness::Exact;
        let work = Work(self.events());
        let positions: Vec<usize> = (first..=tokens.len()).collect();
        for piece in positions.chunks(if words.is_some() { PIECE_OF_WORDS } else { PIECE }) {
            if self.events().stop() {
                break;
            }
            let is_open = |at: usize| whole && words.as_ref().is_some_and(|w| w.is_open(at));
            // Behind the last token only the boundary is asked for.
            let piece: Vec<usize> = piece.iter().copied().filter(|&at| at < tokens.len() || is_open(at)).collect();
            let query = |&at: &usize| {
                let top = if at < tokens.len() { options.top } else { 0 };
                let asked = tokens.get(at..at + 1).unwrap_or_default();
                Query { node: nodes[at - 1], top, tokens: asked, logits: is_open(at) }
            };
            let queries: Vec<Query<'_>> = piece.iter().map(query).collect();
            let found = watch::evaluate(&mut *session, &queries, &strings)?;
            for (&at, found) in piece.iter().zip(found) {
                if let Some(words) = words.as_mut().filter(|w| whole && w.is_open(at)) {
                    words.take(at, &found.0);
                }
                scored.extend(ScoredToken::new(found, false));
            }
            work.words(|| format!("{} of {asked} tokens", scored.len()));
        }
        let boundaries = words.map(|w| w.found).unwrap_or_default();
        Ok(Scored { tokens: scored, watch, asked, start, boundaries })
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
