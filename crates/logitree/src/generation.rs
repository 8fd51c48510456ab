//! Generates texts token by token: one after a prompt, or several side by side.

use crate::error::{Context, Result};
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
    text: Text,
    options: GenerateOptions,
    watch: Vec<Watch>,
    strings: Vec<Vec<TokenId>>,
    forced: VecDeque<ScoredToken>,
    /// The distribution after the last token, if it has been computed.
    next: Option<(Distribution, Vec<Watched>)>,
}

/// A text that was generated beside others.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its tokens.
    pub tokens: Vec<ScoredToken>,
    /// Why it ended.
    pub stop: StopReason,
}

/// How far a text is.
struct Text {
    /// Number of tokens so far, with the prompt's.
    length: usize,
    /// The last token.
    node: NodeHandle,
    rng: StdRng,
    made: usize,
    /// Number of tokens after which it must end: what the model's context holds in front of the longest watched string.
    room: usize,
    stop: Option<StopReason>,
}

impl Text {
    /// A text that begins after the last of these nodes, with the tokens of the watched strings.
    fn after(model: &Model, nodes: &[NodeHandle], strings: &[Vec<TokenId>], options: &GenerateOptions) -> Result<Text> {
        let behind = strings.iter().map(|s| s.len().saturating_sub(1)).max().unwrap_or(0);
        let room = model.context_length().saturating_sub(behind);
        let node = *nodes.last().context("the prompt has no tokens")?;
        let stop = (options.max_new_tokens == 0).then_some(StopReason::MaxNewTokens);
        Ok(Text { length: nodes.len(), node, rng: StdRng::seed_from_u64(options.seed), made: 0, room, stop })
    }

    /// What is asked about the next token.
    fn query(&self, options: &GenerateOptions) -> Query<'static> {
        Query { logits: !options.sampler.is_greedy(), ..Query::top(self.node, options.top) }
    }

    /// Chooses the next token from its distribution; `None` if there is none to choose.
    fn choose(
        &mut self,
        model: &Model,
        session: &mut dyn Session,
        options: &GenerateOptions,
        (d, watched): (Distribution, Vec<Watched>),
    ) -> Result<Option<ScoredToken>> {
        let rng = &mut self.rng;
        let Some(token) = options.sampler.choose_from(&d, || rng.random()) else {
            self.stop = Some(StopReason::NoToken);
            return Ok(None);
        };
        self.made += 1;
        self.length += 1;
        self.stop = if model.end_tokens().contains(&token.id) {
            Some(StopReason::EndToken)
        } else if self.made == options.max_new_tokens {
            Some(StopReason::MaxNewTokens)
        } else if self.length >= self.room {
            Some(StopReason::Context)
        } else {
            self.node = session.push(Some(self.node), token.id)?;
            None
        };
        let Distribution { entropy, varentropy, exactness, top, .. } = d;
        Ok(Some(ScoredToken { token, entropy, varentropy, exactness, top, forced: false, watched }))
    }
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
        let mut found = session.evaluate(&[Query { tokens, logits, ..Query::top(node, top) }])?;
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
        let text = Text::after(self, &nodes, &strings, options)?;
        // Evaluate all forced tokens and the first free step in one batch.
        let first = options.forced_from.unwrap_or(tokens.len()).clamp(1, tokens.len()) - 1;
        let logits = !options.sampler.is_greedy();
        let query = |i: usize| {
            let next = tokens.get(i + 1).map_or(&[][..], std::slice::from_ref);
            Query { tokens: next, logits: logits && i + 1 == nodes.len(), ..Query::top(nodes[i], options.top) }
        };
        let queries: Vec<Query<'_>> = (first..nodes.len()).map(query).collect();
        let mut found = watch::evaluate(&mut *session, &queries, &strings)?;
        let next = Some(found.pop().context("internal error: no distribution")?);
        Ok(Generation {
            model: self.clone(),
            session,
            text,
            options: options.clone(),
            watch,
            strings,
            forced: found.into_iter().filter_map(|d| ScoredToken::new(d, true)).collect(),
            next,
        })
    }

    /// Generates a text after each of several prompts, all side by side: a step is one batch with the next token of every
    /// text. Each gets the tokens and numbers that [`Model::generate`] gives it with the same options, of which
    /// [`GenerateOptions::forced_from`] is not looked at. `None` if the work was interrupted.
    ///
    /// # Errors
    /// If a parameter is not valid, or the model fails.
    pub fn generate_all(&self, prompts: &[Prompt], options: &GenerateOptions) -> Result<Option<Vec<Generated>>> {
        options.sampler.check()?;
        let strings = watched_ids(&self.watch(&options.watch)?);
        let mut session = self.session()?;
        let mut texts = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let nodes = session.push_all(None, &prompt.tokens)?;
            texts.push((Text::after(self, &nodes, &strings, options)?, Vec::new()));
        }
        let work = Work(self.events());
        loop {
            let mut open: Vec<_> = texts.iter_mut().filter(|(text, _)| text.stop.is_none()).collect();
            if open.is_empty() {
                break;
            } else if self.events().stop() {
                return Ok(None);
            }
            let queries: Vec<Query<'_>> = open.iter().map(|(text, _)| text.query(options)).collect();
            let found = watch::evaluate(&mut *session, &queries, &strings)?;
            for ((text, tokens), found) in open.iter_mut().zip(found) {
                tokens.extend(text.choose(self, &mut *session, options, found)?);
                if text.stop.is_some() {
                    session.release(text.node);
                }
            }
            work.words(|| format!("{} texts go on", open.iter().filter(|(text, _)| text.stop.is_none()).count()));
        }
        let generated = |(text, tokens): (Text, _)| Some(Generated { tokens, stop: text.stop? });
        Ok(texts.into_iter().map(generated).collect())
    }
}

impl Generation {
    /// Why the generation ended; `None` while it continues.
    pub fn stop(&self) -> Option<StopReason> {
        self.text.stop
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
                let query = self.text.query(&self.options);
                let mut found = watch::evaluate(&mut *self.session, &[query], &self.strings)?;
                found.pop().context("internal error: no distribution")
            }
        }
    }

    fn step(&mut self) -> Result<Option<ScoredToken>> {
        if let Some(forced) = self.forced.pop_front() {
            return Ok(Some(forced));
        }
        self.text.stop = self.text.stop.or_else(|| self.model.events().stop().then_some(StopReason::Interrupted));
        if self.text.stop.is_some() {
            return Ok(None);
        }
        let following = self.following()?;
        self.text.choose(&self.model, &mut *self.session, &self.options, following)
    }
}

impl Iterator for Generation {
    type Item = Result<ScoredToken>;

    fn next(&mut self) -> Option<Result<ScoredToken>> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    include!("../tests/common/tiny.rs");

    #[test]
    fn texts_side_by_side_are_those_that_each_prompt_gets_alone() {
        let folder = tiny_model();
        let model = Model::open(folder.path().to_str().unwrap()).unwrap();
        // The last one is ended by the context.
        let long = "to be or not to be ".repeat(15);
        let prompts: Vec<Prompt> = ["hello world", "to be", &long].iter().map(|t| model.prompt(t).unwrap()).collect();
        for (temperature, max_new_tokens) in [(0.0, 9), (2.0, 30), (1.0, 0)] {
            let sampler = Sampler { temperature, ..Sampler::default() };
            let watch = vec!["l".to_string()];
            let options = GenerateOptions { max_new_tokens, sampler, watch, seed: 7, ..GenerateOptions::default() };
            let together = model.generate_all(&prompts, &options).unwrap().unwrap();
            assert_eq!(together.len(), prompts.len());
            for (prompt, made) in prompts.iter().zip(together) {
                let mut alone = model.generate(prompt, &options).unwrap();
                let tokens: Vec<ScoredToken> = (&mut alone).collect::<Result<_>>().unwrap();
                assert_eq!(made.tokens, tokens);
                assert_eq!(Some(made.stop), alone.stop());
            }
        }
    }
}
