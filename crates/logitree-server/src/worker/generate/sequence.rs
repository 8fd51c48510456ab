//! One text that is being generated: which questions it asks the model next, and what it does with the answers.

use super::desk::{Event, Finish, Options, Order, Scored, Seat, Step};
use super::paths::{Ask, Paths};
use super::text::Text;
use logitree::{Context, Result};
use logitree_core::{Distribution, LanguageModel, ModelError, TokenId, TokenStats};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Number of answers used in one step. A limit is needed because known answers cost nothing of the step's budget.
const ANSWERS: usize = 1024;

pub struct Sequence {
    index: usize,
    /// The tokens of the prompt, then the generated ones.
    tokens: Vec<TokenId>,
    prompt: usize,
    /// Nodes of the first tokens: those that have their rows, or get them in this step.
    path: Vec<u32>,
    /// Number of positions whose distributions were used already. When rows are computed again, these are not asked
    /// about again.
    done: usize,
    begun: bool,
    is_over: bool,
    options: Arc<Options>,
    rng: StdRng,
    text: Text,
    pub events: Sender<Event>,
    _seat: Seat,
}

/// The questions of a sequence in one step: each position, with the index of its question.
pub type Asked = Vec<(usize, usize)>;

impl Sequence {
    pub fn new(order: Order) -> Sequence {
        let Order { task, options, events, seat } = order;
        Sequence {
            index: task.index,
            prompt: task.prompt.len(),
            tokens: task.prompt,
            path: Vec::new(),
            done: 0,
            begun: false,
            is_over: false,
            rng: StdRng::seed_from_u64(task.seed),
            text: Text::new(options.stop.clone()),
            options,
            events,
            _seat: seat,
        }
    }

    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Number of tokens that have no node yet.
    pub fn to_come(&self) -> usize {
        self.tokens.len() - self.path.len()
    }

    /// Whether only the last token has no node, so that the next answer gives a new token.
    pub fn is_decoding(&self) -> bool {
        self.to_come() == 1
    }

    /// Whether the sequence has ended and its last step was sent.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Number of nodes that are needed. If nothing is to be generated, the distribution after the prompt is not
    /// needed.
    fn goal(&self) -> usize {
        match (self.options.max_tokens, self.options.prompt_logprobs) {
            (0, false) => 0,
            (0, true) => self.prompt - 1,
            _ => self.tokens.len(),
        }
    }

    /// Releases all rows.
    pub fn leave(&mut self, paths: &mut Paths<'_>) {
        paths.leave(&std::mem::take(&mut self.path));
    }

    /// Enters the nodes of the next tokens while `budget` lasts, and adds questions about them to `asks`.
    pub fn plan(
        &mut self,
        paths: &mut Paths<'_>,
        budget: &mut usize,
        asks: &mut Vec<Ask>,
    ) -> Result<Asked, ModelError> {
        let mut asked = Vec::new();
        let mut is_new = false;
        while self.path.len() < self.goal() && *budget > 0 && asked.len() < ANSWERS {
            let position = self.path.len();
            let node = paths.enter(self.path.last().copied(), self.tokens[position])?;
            self.path.push(node);
            is_new = paths.plan(node);
            let ask = self.ask(position, node);
            if is_new || ask.as_ref().is_some_and(|a| !paths.knows(a)) {
                *budget -= 1;
            }
            if let Some(ask) = ask {
                asked.push((position, asks.len()));
                asks.push(ask);
            }
        }
        if let Some(&node) = self.path.last()
            && is_new
            && asked.last().is_none_or(|(p, _)| p + 1 < self.path.len())
        {
            // No question needs the last new row. Add one, so that the rows up to here are computed in this step.
            asks.push(Ask { node, top: 1, token: None, logits: false });
        }
        Ok(asked)
    }

    /// The question about the distribution after the token at `position`; `None` if nothing needs to be known.
    fn ask(&self, position: usize, node: u32) -> Option<Ask> {
        let o = &self.options;
        if position < self.done {
            return None;
        }
        if position + 1 < self.prompt {
            let token = Some(self.tokens[position + 1]);
            return o.prompt_logprobs.then_some(Ask { node, top: o.top.max(1), token, logits: false });
        }
        Some(Ask { node, top: o.top.max(1), token: None, logits: !o.sampler.is_greedy() })
    }

    /// Uses the answers; returns `None` if there is nothing to send yet.
    pub fn take(
        &mut self,
        model: &dyn LanguageModel,
        asked: &Asked,
        answers: &[Rc<Distribution>],
    ) -> Result<Option<Step>> {
        let mut step = Step { index: self.index, ..Step::default() };
        if !std::mem::replace(&mut self.begun, true) && self.options.prompt_logprobs {
            // The first token has no statistics, as nothing comes before it.
            step.prompt.push(Scored { token: self.tokens[0], stats: None, top: Vec::new() });
        }
        for &(position, place) in asked {
            let d = &answers[place];
            if position + 1 < self.prompt {
                let token = self.tokens[position + 1];
                let known = d.tokens.iter().chain(&d.top).find(|t| t.id == token);
                step.prompt.push(self.scored(*known.context("internal error: a token's logprob is missing")?, d));
            } else {
                self.generate(model, d, &mut step)?;
            }
        }
        // Positions without a question count as done too.
        self.done = self.done.max(self.path.len());
        if self.options.max_tokens == 0 && self.path.len() == self.goal() {
            step.finish = Some(Finish::Length);
        }
        self.is_over = step.finish.is_some();
        let has_news = !step.prompt.is_empty() || step.token.is_some() || step.finish.is_some();
        Ok(has_news.then_some(step))
    }

    fn scored(&self, token: TokenStats, d: &Distribution) -> Scored {
        let top = d.top.iter().take(self.options.top).copied().collect();
        Scored { token: token.id, stats: Some(token), top }
    }

    fn generate(&mut self, model: &dyn LanguageModel, d: &Distribution, step: &mut Step) -> Result<()> {
        let token = {
            let rng = &mut self.rng;
            self.options.sampler.choose_from(d, || rng.random())
        }
        .context("internal error: no token to choose")?;
        step.token = Some(self.scored(token, d));
        self.tokens.push(token.id);
        let made = self.tokens.len() - self.prompt;
        let is_end = model.end_tokens().contains(&token.id);
        if is_end && !self.options.ignore_eos {
            step.finish = Some(Finish::Stop);
        } else if !is_end && !model.is_special(token.id) {
            let (text, stopped) = self.text.push(&model.token_bytes(token.id));
            step.text = text;
            step.finish = stopped.then_some(Finish::Stop);
        }
        if step.finish.is_none() && (made >= self.options.max_tokens || self.tokens.len() >= model.context_length()) {
            step.finish = Some(Finish::Length);
        }
        if step.finish.is_some() {
            step.text += &self.text.finish();
        }
        Ok(())
    }
}
