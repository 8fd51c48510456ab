//! Generates text token by token.

use crate::error::{Context, Result};
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
        let Distribution { entropy, varentropy, exactness, top, .. } = d;
        Ok(Some(ScoredToken { token, entropy, varentropy, exactness, top, forced: false, watched }))
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
