//! Converts steps of the generator to an answer: a whole one, or one in chunks.

use super::echo::{Place, Prompted, Reading};
use super::logprobs::{ChatLogprobs, Names, PromptToken, TextLogprobs, prompt_token};
use super::request::Settings;
use super::shapes::{Answer, ChatChoice, Choice, Delta, Said, TextChoice, Usage};
use crate::worker::generate::{Finish, Step};
use logitree::Model;
use logitree_core::TokenId;
use std::time::SystemTime;

const FINGERPRINT: &str = concat!("logitree-", env!("CARGO_PKG_VERSION"));

/// The content of a choice, or of a part of it.
#[derive(Default)]
struct Part {
    text: String,
    tokens: Vec<TokenId>,
    text_logprobs: TextLogprobs,
    prompt_logprobs: Vec<PromptToken>,
    chat_logprobs: ChatLogprobs,
    finish: Option<Finish>,
}

impl Part {
    fn append(&mut self, other: Part) {
        self.text += &other.text;
        self.tokens.extend(other.tokens);
        self.text_logprobs.append(other.text_logprobs);
        self.prompt_logprobs.extend(other.prompt_logprobs);
        self.chat_logprobs.append(other.chat_logprobs);
        self.finish = self.finish.or(other.finish);
    }
}

/// The state of a choice between steps.
#[derive(Default)]
struct State {
    begun: bool,
    /// Position in the prompt, if it is echoed.
    reading: Reading,
    /// Position in the generated text.
    place: Place,
}

/// The answer to one request.
pub struct Reply {
    chat: bool,
    settings: Settings,
    prompts: Vec<Prompted>,
    id: String,
    created: u64,
    model: String,
    states: Vec<State>,
    made: usize,
}

impl Reply {
    pub fn new(chat: bool, settings: Settings, prompts: Vec<Prompted>, model: String) -> Reply {
        let id = format!("{}-{:016x}", if chat { "chatcmpl" } else { "cmpl" }, super::request::random());
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let states = (0..prompts.len() * settings.n).map(|_| State::default()).collect();
        Reply { chat, settings, prompts, id, created, model, states, made: 0 }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn choices(&self) -> usize {
        self.states.len()
    }

    fn part(&mut self, model: &Model, step: Step) -> Part {
        let mut part = Part { finish: step.finish, ..Part::default() };
        let state = &mut self.states[step.index];
        let prompt = &self.prompts[step.index / self.settings.n];
        if !std::mem::replace(&mut state.begun, true) && self.settings.echo {
            part.text = prompt.echo.clone();
        }
        part.text += &step.text;
        self.made += usize::from(step.token.is_some());
        part.tokens.extend(step.token.iter().map(|t| t.token));
        if let Some(top) = self.settings.prompt_lists {
            part.prompt_logprobs.extend(step.prompt.iter().map(|s| prompt_token(s, top, model)));
        }
        if let Some(top) = self.settings.lists {
            let names = Names { model, as_ids: self.settings.names_as_ids };
            for scored in step.prompt.iter().filter(|_| self.settings.echo) {
                let (written, offset) = state.reading.next(prompt);
                part.text_logprobs.push(scored, top, names, Some(written), offset);
            }
            for scored in step.token.iter() {
                if self.chat {
                    part.chat_logprobs.push(scored, names);
                    continue;
                }
                // A special token adds no text to the answer.
                let bytes = model.token_bytes(scored.token);
                let shown = if model.is_special(scored.token) { &[][..] } else { &bytes };
                // As in OpenAI's API, offsets include the prompt, even if it is not echoed.
                let offset = prompt.length + state.place.advance(shown);
                part.text_logprobs.push(scored, top, names, None, offset);
            }
        }
        part
    }

    fn choice(&self, index: usize, part: Part, whole: bool) -> Choice {
        let s = &self.settings;
        let finish_reason = part.finish.map(|f| match f {
            Finish::Stop => "stop",
            Finish::Length => "length",
        });
        let ids = |ids: &[TokenId]| s.tell_ids.then(|| ids.iter().map(|t| t.0).collect::<Vec<u32>>());
        let token_ids = ids(&part.tokens);
        if self.chat {
            let said = || Said { role: "assistant", content: part.text.clone(), refusal: None };
            let content = (!part.text.is_empty()).then_some(part.text.clone());
            return Choice::Chat(ChatChoice {
                index,
                message: whole.then(said),
                delta: (!whole).then_some(Delta { role: None, content }),
                logprobs: s.lists.map(|_| part.chat_logprobs),
                finish_reason,
                token_ids,
            });
        }
        Choice::Text(TextChoice {
            index,
            text: part.text,
            logprobs: s.lists.map(|_| part.text_logprobs),
            finish_reason,
            token_ids,
            prompt_token_ids: if whole { ids(&self.prompts[index / s.n].ids) } else { None },
            prompt_logprobs: s.prompt_lists.map(|_| part.prompt_logprobs).filter(|_| whole),
        })
    }

    fn answer(&self, choices: Vec<Choice>, whole: bool) -> Answer {
        let object = match (self.chat, whole) {
            (false, _) => "text_completion",
            (true, true) => "chat.completion",
            (true, false) => "chat.completion.chunk",
        };
        Answer {
            id: self.id.clone(),
            object,
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: FINGERPRINT,
            choices,
            usage: (!whole && self.settings.usage_chunk).then_some(None),
            prompt_token_ids: None,
        }
    }

    fn usage(&self) -> Usage {
        let prompt_tokens = self.prompts.iter().map(|p| p.ids.len()).sum();
        Usage { prompt_tokens, completion_tokens: self.made, total_tokens: prompt_tokens + self.made }
    }

    fn chat_prompt(&self) -> Option<Vec<u32>> {
        let prompt = self.prompts.first().filter(|_| self.chat && self.settings.tell_ids)?;
        Some(prompt.ids.iter().map(|t| t.0).collect())
    }

    /// The chunks that are sent before the first step: the role of the speaker, and the ids of the prompt if they are
    /// wanted.
    pub fn first_chunks(&self) -> Vec<Answer> {
        let begin = |index: usize| {
            let mut choice = self.choice(index, Part::default(), false);
            match &mut choice {
                Choice::Chat(c) => {
                    (c.delta, c.logprobs) =
                        (Some(Delta { role: Some("assistant"), content: Some(String::new()) }), None);
                }
                Choice::Text(c) => {
                    c.logprobs = None;
                    c.prompt_token_ids = Some(self.prompts[index / self.settings.n].ids.iter().map(|t| t.0).collect());
                }
            }
            Answer { prompt_token_ids: self.chat_prompt(), ..self.answer(vec![choice], false) }
        };
        if self.chat || self.settings.tell_ids { (0..self.choices()).map(begin).collect() } else { Vec::new() }
    }

    /// The chunk for a step; `None` if the step has nothing to send.
    pub fn chunk(&mut self, model: &Model, step: Step) -> Option<Answer> {
        let index = step.index;
        let part = self.part(model, step);
        let is_empty = part.text.is_empty() && part.finish.is_none();
        if is_empty && self.settings.lists.is_none() && !self.settings.tell_ids {
            return None;
        }
        Some(self.answer(vec![self.choice(index, part, false)], false))
    }

    /// The last chunk, with the counts of tokens, if it is wanted.
    pub fn last_chunk(&self) -> Option<Answer> {
        let wanted = self.settings.usage_chunk;
        wanted.then(|| Answer { usage: Some(Some(self.usage())), ..self.answer(Vec::new(), false) })
    }

    /// The whole answer, from all steps.
    pub fn whole(mut self, model: &Model, steps: impl Iterator<Item = Step>) -> Answer {
        let mut parts: Vec<Part> = self.states.iter().map(|_| Part::default()).collect();
        for step in steps {
            let index = step.index;
            let part = self.part(model, step);
            parts[index].append(part);
        }
        let choices = parts.into_iter().enumerate().map(|(i, p)| self.choice(i, p, true)).collect();
        Answer { usage: Some(Some(self.usage())), prompt_token_ids: self.chat_prompt(), ..self.answer(choices, true) }
    }
}
