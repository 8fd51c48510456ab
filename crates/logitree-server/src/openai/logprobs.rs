//! Scored tokens, in the shapes of the two kinds of answers.

use crate::worker::generate::Scored;
use logitree::Model;
use logitree_core::{TokenId, TokenStats};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How tokens are written.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub model: &'a Model,
    /// As `token_id:7`: several tokens may have the same text.
    pub as_ids: bool,
}

impl Names<'_> {
    fn of(&self, id: TokenId) -> String {
        if self.as_ids { format!("token_id:{id}") } else { self.model.text(id) }
    }

    /// What stands in a text for a token: in a prompt this need not be what the token is elsewhere, where the tokenizer
    /// adds a space or brings letters into a normal form. What is not in the text, such as a BOS in front, and parts of
    /// characters have their own names.
    fn in_text(&self, id: TokenId, written: &str) -> String {
        let model = self.model;
        let is_whole = std::str::from_utf8(&model.token_bytes(id)).is_ok();
        let is_added = written.is_empty() && model.is_special(id);
        if self.as_ids || is_added || !is_whole { self.of(id) } else { written.to_owned() }
    }
}

/// Scored tokens of completions.
#[derive(Debug, Default, Serialize)]
pub struct TextLogprobs {
    pub tokens: Vec<String>,
    /// None for a first token, which nothing comes before.
    pub token_logprobs: Vec<Option<f64>>,
    /// The most likely tokens and the one that stands there; of tokens with the same text, the most likely.
    /// None where 0 were asked for.
    pub top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
    /// Characters of prompt and text before each token.
    pub text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Adds a token that stands at `offset`; of a prompt that is repeated, as it is `written` there.
    pub fn push(&mut self, s: &Scored, top: usize, names: Names<'_>, written: Option<&str>, offset: usize) {
        let own_name = written.map_or_else(|| names.of(s.token), |w| names.in_text(s.token, w));
        self.token_logprobs.push(s.stats.map(|t| t.logprob));
        self.text_offset.push(offset);
        let listed = s.stats.map(|own| {
            let mut map = Map::new();
            for t in s.top.iter().take(top).chain([&own]) {
                let name = if t.id == s.token { own_name.clone() } else { names.of(t.id) };
                map.entry(name).or_insert_with(|| t.logprob.into());
            }
            map
        });
        self.tokens.push(own_name);
        if top > 0 {
            self.top_logprobs.get_or_insert_default().push(listed);
        }
    }

    /// Adds what follows.
    pub fn append(&mut self, mut other: TextLogprobs) {
        self.tokens.append(&mut other.tokens);
        self.token_logprobs.append(&mut other.token_logprobs);
        if let Some(mut lists) = other.top_logprobs {
            self.top_logprobs.get_or_insert_default().append(&mut lists);
        }
        self.text_offset.append(&mut other.text_offset);
    }
}

/// What vLLM tells of a token of the prompt: the most likely tokens and the one that stands there, by id. None for the first.
pub type PromptToken = Option<Map<String, Value>>;

/// A token of the prompt with the most likely ones in its place.
pub fn prompt_token(s: &Scored, top: usize, model: &Model) -> PromptToken {
    let own = s.stats?;
    let entry = |t: &TokenStats| {
        let told = json!({ "logprob": t.logprob, "rank": t.rank, "decoded_token": model.text(t.id) });
        (t.id.to_string(), told)
    };
    Some([&own].into_iter().chain(s.top.iter().take(top)).map(entry).collect())
}

/// Scored tokens of an answer in a conversation.
#[derive(Debug, Default, Serialize)]
pub struct ChatLogprobs {
    pub content: Vec<ChatToken>,
    pub refusal: Option<Vec<ChatToken>>,
}

/// A token with what might have been in its place.
#[derive(Debug, Serialize)]
pub struct ChatToken {
    #[serde(flatten)]
    pub token: NamedToken,
    pub top_logprobs: Vec<NamedToken>,
}

/// A token.
#[derive(Debug, Serialize)]
pub struct NamedToken {
    pub token: String,
    pub logprob: f64,
    /// Its bytes, which need not be whole characters.
    pub bytes: Vec<u8>,
}

impl ChatLogprobs {
    pub fn push(&mut self, s: &Scored, names: Names<'_>) {
        let named = |id: TokenId, logprob: f64| NamedToken {
            token: names.of(id),
            logprob,
            bytes: names.model.token_bytes(id).into_owned(),
        };
        let Some(own) = s.stats else { return };
        let top_logprobs = s.top.iter().map(|t: &TokenStats| named(t.id, t.logprob)).collect();
        self.content.push(ChatToken { token: named(s.token, own.logprob), top_logprobs });
    }

    /// Adds what follows.
    pub fn append(&mut self, mut other: ChatLogprobs) {
        self.content.append(&mut other.content);
    }
}
