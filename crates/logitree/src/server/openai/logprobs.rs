//! Scored tokens, in the shapes of the two kinds of answers.

use crate::server::worker::generate::Scored;
use crate::setup::Loaded;
use logitree_core::{TokenId, TokenStats};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How tokens are written.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub loaded: &'a Loaded,
    /// As `token_id:7`: several tokens may have the same text.
    pub as_ids: bool,
}

impl Names<'_> {
    fn of(&self, id: TokenId) -> String {
        if self.as_ids { format!("token_id:{id}") } else { self.loaded.text(id) }
    }
}

/// Scored tokens of completions.
#[derive(Debug, Default, Serialize)]
pub struct TextLogprobs {
    pub tokens: Vec<String>,
    /// None for a first token, which nothing comes before.
    pub token_logprobs: Vec<Option<f64>>,
    /// The most likely tokens and the one that stands there; of tokens with the same text, the most likely.
    pub top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Characters of the text before each token.
    pub text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Adds a token; `offset` is moved behind it.
    pub fn push(&mut self, s: &Scored, top: usize, names: Names<'_>, offset: &mut usize) {
        self.tokens.push(names.of(s.token));
        self.token_logprobs.push(s.stats.map(|t| t.logprob));
        self.text_offset.push(*offset);
        let model = &names.loaded.model;
        if !model.is_special(s.token) {
            // A character that several tokens make up counts with its first byte.
            *offset += model.token_bytes(s.token).iter().filter(|&&b| b & 0xc0 != 0x80).count();
        }
        let listed = s.stats.map(|own| {
            let mut map = Map::new();
            for t in s.top.iter().take(top).chain([&own]) {
                map.entry(names.of(t.id)).or_insert_with(|| t.logprob.into());
            }
            map
        });
        self.top_logprobs.push(listed);
    }

    /// Adds what follows.
    pub fn append(&mut self, mut other: TextLogprobs) {
        self.tokens.append(&mut other.tokens);
        self.token_logprobs.append(&mut other.token_logprobs);
        self.top_logprobs.append(&mut other.top_logprobs);
        self.text_offset.append(&mut other.text_offset);
    }
}

/// What vLLM tells of a token of the prompt: the most likely tokens and the one that stands there, by id. None for the first.
pub type PromptToken = Option<Map<String, Value>>;

/// A token of the prompt with the most likely ones in its place.
pub fn prompt_token(s: &Scored, top: usize, loaded: &Loaded) -> PromptToken {
    let own = s.stats?;
    let entry = |t: &TokenStats| {
        let told = json!({ "logprob": t.logprob, "rank": t.rank, "decoded_token": loaded.text(t.id) });
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
            bytes: names.loaded.model.token_bytes(id).into_owned(),
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
