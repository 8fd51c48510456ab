//! The JSON types of requests and answers.

use super::logprobs::{ChatLogprobs, PromptToken, TextLogprobs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request to complete a text or a conversation. A parameter that is not listed is refused if it would change the
/// answer, and ignored otherwise.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Request {
    /// Id of the served model; it may be absent.
    pub model: Option<String>,
    /// For completions: a text, a list of texts, a list of token ids, or a list of such lists.
    pub prompt: Option<Prompt>,
    /// For chat completions: the messages of the conversation.
    pub messages: Option<Vec<ChatMessage>>,
    /// For chat completions: variables for the chat template, such as `{"enable_thinking": false}`.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// Largest number of tokens to generate. If absent, 16 for completions; in a chat, or if -1, as many as the
    /// context has room for.
    #[serde(default, deserialize_with = "whole::option")]
    #[schema(value_type = Option<i64>)]
    pub max_tokens: Option<i128>,
    #[serde(default, deserialize_with = "whole::option")]
    #[schema(value_type = Option<i64>)]
    pub max_completion_tokens: Option<i128>,
    /// With 0, the most likely token is always chosen.
    #[schema(minimum = 0)]
    pub temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f64>,
    /// With 0 or -1, all tokens are kept.
    #[serde(default, deserialize_with = "whole::option")]
    pub top_k: Option<i64>,
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: Option<f64>,
    /// The same seed draws the same tokens.
    #[serde(default, deserialize_with = "whole::option")]
    pub seed: Option<i64>,
    /// Number of answers per prompt.
    #[schema(minimum = 1, maximum = 128)]
    #[serde(default, deserialize_with = "whole::option")]
    pub n: Option<usize>,
    /// Strings that end the text and are not part of it.
    pub stop: Option<Stop>,
    /// For completions: whether the prompt is part of the text, and scored if `logprobs` is given.
    pub echo: Option<bool>,
    /// For completions: number of most likely tokens to list. For chat completions: whether tokens are scored.
    pub logprobs: Option<LogprobsWanted>,
    /// For completions: scores the prompt in vLLM's format, with ids and ranks.
    #[schema(maximum = 1000)]
    #[serde(default, deserialize_with = "whole::option")]
    pub prompt_logprobs: Option<usize>,
    /// For chat completions: number of most likely tokens to list.
    #[schema(maximum = 1000)]
    #[serde(default, deserialize_with = "whole::option")]
    pub top_logprobs: Option<usize>,
    /// Whether to send the answer in pieces.
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    /// Whether to write tokens as `token_id:7` instead of their texts.
    pub return_tokens_as_token_ids: Option<bool>,
    /// Whether to return the ids of prompt and answer.
    pub return_token_ids: Option<bool>,
    /// Whether to put BOS in front of a text.
    pub add_special_tokens: Option<bool>,
    /// Whether to continue after an end token.
    pub ignore_eos: Option<bool>,
    /// All other parameters.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Map<String, Value>,
}

/// Reads whole numbers, also when a client writes them with a decimal point: 1.0.
mod whole {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde_json::Number;

    fn of<T: TryFrom<i128>, E: Error>(n: &Number) -> Result<T, E> {
        // Beyond 2^53, a floating-point number may differ from the one that was written.
        let pointed =
            || n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0).map(|f| f as i128);
        let exact = n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
        let found = exact.or_else(pointed).and_then(|n| T::try_from(n).ok());
        found.ok_or_else(|| E::custom(format!("{n} is not possible: a whole number is needed here")))
    }

    pub fn number<'de, D: Deserializer<'de>, T: TryFrom<i128>>(d: D) -> Result<T, D::Error> {
        of(&Number::deserialize(d)?)
    }

    pub fn option<'de, D: Deserializer<'de>, T: TryFrom<i128>>(d: D) -> Result<Option<T>, D::Error> {
        Option::<Number>::deserialize(d)?.map(|n| of(&n)).transpose()
    }
}

/// The prompts to complete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a text, a list of texts, a list of token ids, or a list of such lists is needed here")]
pub enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    Lists(Vec<Vec<u32>>),
}

/// Stop strings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a string or a list of strings is needed here")]
pub enum Stop {
    One(String),
    Many(Vec<String>),
}

/// A number of tokens, or whether tokens are scored.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a number of tokens, or in a chat true or false, is needed here")]
pub enum LogprobsWanted {
    Flag(bool),
    Count(#[serde(deserialize_with = "whole::number")] usize),
}

/// Options of a stream.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Whether to send a last chunk with the counts of tokens.
    pub include_usage: Option<bool>,
}

/// A message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ChatMessage {
    pub role: String,
    pub content: Option<Content>,
}

/// A text, or parts of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a text or a list of text parts is needed here")]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of a message.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ContentPart {
    pub r#type: String,
    pub text: Option<String>,
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub total_tokens: usize,
}

/// An answer, or a chunk of one.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub system_fingerprint: &'static str,
    #[schema(value_type = Vec<Object>)]
    pub choices: Vec<Choice>,
    /// Counts of tokens; in chunks only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
    /// Token ids of a conversation's prompt, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<Vec<u32>>,
}

/// One of the answers to a prompt.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Choice {
    Text(TextChoice),
    Chat(ChatChoice),
}

/// A completed text, or a piece of it.
#[derive(Debug, Serialize)]
pub struct TextChoice {
    pub index: usize,
    pub text: String,
    pub logprobs: Option<TextLogprobs>,
    pub finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<PromptToken>>,
}

/// An answer in a conversation, or a piece of it.
#[derive(Debug, Serialize)]
pub struct ChatChoice {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    pub logprobs: Option<ChatLogprobs>,
    pub finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<u32>>,
}

/// A message of the model.
#[derive(Debug, Serialize)]
pub struct Said {
    pub role: &'static str,
    pub content: String,
    pub refusal: Option<String>,
}

/// The text that a chunk adds.
#[derive(Debug, Serialize)]
pub struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}
