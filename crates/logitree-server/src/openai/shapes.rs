//! What requests and answers look like.

use super::logprobs::{ChatLogprobs, PromptToken, TextLogprobs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A request to complete a text or a conversation. What is not listed is refused if it would change the answer, else ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Request {
    /// The served model's id, or absent.
    pub model: Option<String>,
    /// Of completions: a text, a list of texts, a list of token ids, or a list of such lists.
    pub prompt: Option<Prompt>,
    /// Of chat completions.
    pub messages: Option<Vec<ChatMessage>>,
    /// Of chat completions: variables for the chat template, such as `{"enable_thinking": false}`.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// 16 if absent; in a chat, what the context has room for; so it is with -1.
    #[serde(default, deserialize_with = "whole::option")]
    #[schema(value_type = Option<i64>)]
    pub max_tokens: Option<i128>,
    #[serde(default, deserialize_with = "whole::option")]
    #[schema(value_type = Option<i64>)]
    pub max_completion_tokens: Option<i128>,
    /// 0 always takes the most likely token.
    #[schema(minimum = 0)]
    pub temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f64>,
    /// 0 or -1 keeps all.
    #[serde(default, deserialize_with = "whole::option")]
    pub top_k: Option<i64>,
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: Option<f64>,
    /// The same seed draws the same tokens.
    #[serde(default, deserialize_with = "whole::option")]
    pub seed: Option<i64>,
    /// Answers per prompt.
    #[schema(minimum = 1, maximum = 128)]
    #[serde(default, deserialize_with = "whole::option")]
    pub n: Option<usize>,
    /// Strings that end the text and are not part of it.
    pub stop: Option<Stop>,
    /// Of completions: the prompt is part of the text, and scored if `logprobs` is given.
    pub echo: Option<bool>,
    /// Of completions: so many of the most likely tokens; of chat completions: whether tokens are scored.
    pub logprobs: Option<LogprobsWanted>,
    /// Of completions: scores the prompt as vLLM does, with ids and ranks.
    #[schema(maximum = 1000)]
    #[serde(default, deserialize_with = "whole::option")]
    pub prompt_logprobs: Option<usize>,
    /// Of chat completions.
    #[schema(maximum = 1000)]
    #[serde(default, deserialize_with = "whole::option")]
    pub top_logprobs: Option<usize>,
    /// Send the answer piece by piece.
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    /// Write tokens as `token_id:7` instead of their texts.
    pub return_tokens_as_token_ids: Option<bool>,
    /// Tell the ids of prompt and answer.
    pub return_token_ids: Option<bool>,
    /// Whether BOS goes in front of a text.
    pub add_special_tokens: Option<bool>,
    /// Go on after an end token.
    pub ignore_eos: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Map<String, Value>,
}

/// Whole numbers, which some clients write with a point: 1.0.
mod whole {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde_json::Number;

    fn of<T: TryFrom<i128>, E: Error>(n: &Number) -> Result<T, E> {
        // Beyond 2^53 a number with a point need not be the one that was meant.
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

/// What is to be completed.
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

/// A number of tokens, or whether.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a number of tokens, or in a chat true or false, is needed here")]
pub enum LogprobsWanted {
    Flag(bool),
    Count(#[serde(deserialize_with = "whole::number")] usize),
}

/// How to stream.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Send a last chunk with the counts.
    pub include_usage: Option<bool>,
}

/// What somebody says.
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
    /// Absent in chunks unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
    /// A chat's, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<Vec<u32>>,
}

/// One of the answers.
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

/// What the model says.
#[derive(Debug, Serialize)]
pub struct Said {
    pub role: &'static str,
    pub content: String,
    pub refusal: Option<String>,
}

/// What a chunk adds.
#[derive(Debug, Serialize)]
pub struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}
