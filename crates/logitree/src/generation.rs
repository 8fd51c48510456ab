//! Generating a text token by token, and scoring one that is there.

use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::prompt::watched_ids;
use crate::scored::{LISTED, ScoredToken};
use crate::{Model, Prompt};
use logitree_core::run::Watch;
use logitree_core::sampling::Sampler;
use logitree_core::watch::{self, Watched};
use logitree_core::{Distribution, NodeHandle, Query, Session, TokenId};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::collections::VecDeque;

/// How to generate, and what to note at each step.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Tokens to generate, at most.
    pub max_new_tokens: usize,
    /// Most likely tokens to list per step.
    pub top: usize,
    /// How to choose; by default the most likely token.
    pub sampler: Sampler,
    /// The same seed gives the same text.
    pub seed: u64,
    /// Strings whose probability is noted at every step.
    pub watch: Vec<String>,
    /// The first token of the prompt that is scored, as forced; none of them if `None`.
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
    /// The model said an end token.
    EndToken,
    /// As many tokens as were asked for.
    MaxNewTokens,
    /// The model's context is full.
    Context,
    /// There was nothing to choose: a server listed no token.
    NoToken,
    /// The listener of the model's events wished to stop.
    Interrupted,
}

impl StopReason {
    /// Its name in JSON.
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

/// A text in the making: an iterator over its tokens, the forced ones first.
pub struct Generation {
    model: Model,
    session: Box<dyn Session>,
    /// Tokens that are there.
    length: usize,
    node: NodeHandle,
    options: GenerateOptions,
    watch: Vec<Watch>,
    strings: Vec<Vec<TokenId>>,
    rng: StdRng,
    forced: VecDeque<ScoredToken>,
    /// What follows the last token, once that was asked.
    next: Option<(Distribution, Vec<Watched>)>,
    made: usize,
    stop: Option<StopReason>,
}

impl Model {
    /// What may come after a prompt: the `top` most likely tokens, those of `tokens` whatever their rank, and with `logits` all
    /// of them.
    ///
    /// # Errors
    /// If the prompt has no tokens, a token is not in the vocabulary, or the model fails.
    pub fn next(&self, prompt: &Prompt, top: usize, tokens: &[TokenId], logits: bool) -> Result<Distribution> {
        let mut session = self.session()?;
        let node = *session.push_all(None, &prompt.tokens)?.last().context("the prompt has no tokens")?;
        let mut found = session.evaluate(&[Query { node, top, tokens, logits }])?;
        found.pop().context("internal error: no distribution")
    }

    /// Generates after a prompt. Nothing of it is computed before the first token is asked for, except the prompt.
    ///
    /// # Errors
    /// If a parameter cannot be, or the model fails.
    pub fn generate(&self, prompt: &Prompt, options: &GenerateOptions) -> Result<Generation> {
        options.sampler.check()?;
        let watch = self.watch(&options.watch)?;
        let strings = watched_ids(&watch);
        let tokens = &prompt.tokens;
        let mut session = self.session()?;
        let nodes = session.push_all(None, tokens)?;
        let node = *nodes.last().context("the prompt has no tokens")?;
        // All forced tokens and the first free step in one go.
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
    /// Why it ended; `None` while it goes on.
    pub fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// The watched strings as tokens.
    pub fn watch(&self) -> &[Watch] {
        &self.watch
    }

    /// What follows the last token.
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

    /// Why there is no further token, before the model is asked.
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

/// What to note of a text that is scored.
#[derive(Clone, Debug)]
pub struct ScoreOptions {
    /// Most likely tokens to list per step.
    pub top: usize,
    /// Strings whose probability is noted at every step.
    pub watch: Vec<String>,
}

impl Default for ScoreOptions {
    fn default() -> ScoreOptions {
        ScoreOptions { top: LISTED, watch: Vec::new() }
    }
}

/// A text with what the model thought of each of its tokens.
pub struct Scored {
    /// Its tokens but the first, which nothing comes before: with BOS that is BOS.
    pub tokens: Vec<ScoredToken>,
    /// The watched strings as tokens.
    pub watch: Vec<Watch>,
    /// Tokens that were to be scored: more than there are if the work was interrupted.
    pub asked: usize,
}

/// Positions evaluated between looks at the wish to stop.
const PIECE: usize = 128;

impl Model {
    /// Scores every token of a prompt: its logprob and rank, and the distribution it was in.
    ///
    /// # Errors
    /// If there is nothing to score, a watched string is nothing to this model, or the model fails.
    pub fn score(&self, prompt: &Prompt, options: &ScoreOptions) -> Result<Scored> {
        let tokens = &prompt.tokens;
        // Without BOS the first token has nothing before it to be predicted from.
        if tokens.len() < 2 {
            fail!(Input, "the text is a single token and this model has no BOS: there is nothing to score");
        }
        let watch = self.watch(&options.watch)?;
        let strings = watched_ids(&watch);
        let mut session = self.session()?;
        let nodes = session.push_all(None, tokens)?;
        let last = tokens.len() - 1;
        let mut scored = Vec::with_capacity(last);
        let work = Work(self.events());
        for start in (0..last).step_by(PIECE) {
            if self.events().stop() {
                break;
            }
            let end = (start + PIECE).min(last);
            let query =
                |i: usize| Query { node: nodes[i], top: options.top, tokens: &tokens[i + 1..i + 2], logits: false };
            let queries: Vec<Query<'_>> = (start..end).map(query).collect();
            let found = watch::evaluate(&mut *session, &queries, &strings)?;
            scored.extend(found.into_iter().filter_map(|d| ScoredToken::new(d, false)));
            work.words(|| format!("{end} of {last} tokens"));
        }
        Ok(Scored { tokens: scored, watch, asked: last })
    }
}
