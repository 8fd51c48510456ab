//! Scored tokens in the formats of completions and chat completions.

use crate::worker::generate::Scored;
use logitree::Model;
use logitree_core::{TokenId, TokenStats};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How tokens are named in an answer.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub model: &'a Model,
    /// Write tokens as `token_id:7`, because several tokens may have the same text.
    pub as_ids: bool,
}

impl Names<'_> {
    fn of(&self, id: TokenId) -> String {
        if self.as_ids { format!("token_id:{id}") } else { self.model.text(id) }
    }

    /// The name of a token of an echoed prompt: the text `written` there. It may differ from the token's usual text,
    /// as the tokenizer may add a space or normalize letters. A token that has no text there (such as an added BOS)
    /// and parts of characters have their usual name.
    fn in_text(&self, id: TokenId, written: &str) -> String {
        let model = self.model;
        let is_whole = std::str::from_utf8(&model.token_bytes(id)).is_ok();
        let is_added = written.is_empty() && model.is_special(id);
        if self.as_ids || is_added || !is_whole { self.of(id) } else { written.to_owned() }
    }
}

/// Scored tokens of completions, in OpenAI's format.
#[derive(Debug, Default, Serialize)]
pub struct TextLogprobs {
    pub tokens: Vec<String>,
    /// Log probabilities; null for a first token, as nothing comes before it.
    pub token_logprobs: Vec<Option<f64>>,
    /// The most likely tokens and the token itself, by text; of tokens with the same text, the most likely. Null if
    /// the request asked for 0 tokens.
    pub top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
    /// Number of characters before each token, counted from the beginning of the prompt.
    pub text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Adds a token at `offset` (in characters). For an echoed prompt, `written` is the token's text in it.
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

    /// Appends the tokens of a later part.
    pub fn append(&mut self, mut other: TextLogprobs) {
        self.tokens.append(&mut other.tokens);
        self.token_logprobs.append(&mut other.token_logprobs);
        if let Some(mut lists) = other.top_logprobs {
            self.top_logprobs.get_or_insert_default().append(&mut lists);
        }
        self.text_offset.append(&mut other.text_offset);
    }
}

/// A token of the prompt in vLLM's format: by id, the most likely tokens and the token itself. Null for the first
/// token.
pub type PromptToken = Option<Map<String, Value>>;

/// A token of the prompt with the most likely tokens at its position, in vLLM's format.
pub fn prompt_token(s: &Scored, top: usize, model: &Model) -> PromptToken {
    let own = s.stats?;
    let entry = |t: &TokenStats| {
        let told = json!({ "logprob": t.logprob, "rank": t.rank, "decoded_token": model.text(t.id) });
        (t.id.to_string(), told)
    };
    Some([&own].into_iter().chain(s.top.iter().take(top)).map(entry).collect())
}

/// Scored tokens of a chat completion, in OpenAI's format.
#[derive(Debug, Default, Serialize)]
pub struct ChatLogprobs {
    pub content: Vec<ChatToken>,
    pub refusal: Option<Vec<ChatToken>>,
}

/// A token with the most likely tokens at its position.
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
    /// Bytes of the token, which may be part of a character.
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

    /// Appends the tokens of a later part.
    pub fn append(&mut self, mut other: ChatLogprobs) {
        self.content.append(&mut other.content);
    }
}
