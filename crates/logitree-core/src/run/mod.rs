//! The run file: JSON Lines, appended as things happen.
//!
//! There is one line per event, tagged by `type`: first a [`Header`]; then for every visited node an [`Expand`]
//! followed by one [`NewNode`] line per new child, or a [`StopEvent`]; and an [`End`] when the run ends. A resumed run
//! is appended after its `end` line; the last `end` line counts. The format is documented in docs/run-format.md.

mod few;
mod paths;
mod read;
mod write;

pub use paths::Path;
pub use read::{BOM, MAX_LINE, ReadError, Run, RunReader, read_line};
pub use write::{change_events, end_event, write_run};

use crate::explore::{Keep, Strategy};
use crate::sampling::Sampler;
use crate::watch::Watched;
use crate::{Bounds, Exactness, LogitsHash, Mass, NodeId, Stop, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The value of `format` in every header.
pub const FORMAT: &str = "logitree-run";
/// Version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The value of [`Model::architecture`] if the model is reached through servers.
pub const REMOTE: &str = "remote";

/// One line of a run file. [`Event::parse`] reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First line.
    Header(Box<Header>),
    /// A node was expanded; its children follow.
    Expand(Expand),
    /// A child of the last `expand`.
    Node(NewNode),
    /// A node became a leaf.
    Stop(StopEvent),
    /// The run ended.
    End(End),
}

/// The `type` of a line, whatever else is in it.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    tag: Tag,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tag {
    Header,
    Expand,
    Node,
    Stop,
    End,
}

impl Event {
    /// Reads a line. It is parsed twice, the first time only for its `type`: serde's own parser of a tagged enum keeps
    /// every field of the line in memory until it finds the tag, unknown ones included, at sixteen times their size.
    ///
    /// # Errors
    /// What is wrong with the line's JSON, or with one of its fields.
    pub fn parse(line: &[u8]) -> Result<Event, serde_json::Error> {
        let Tagged { tag } = serde_json::from_slice(line)?;
        Ok(match tag {
            Tag::Header => Event::Header(serde_json::from_slice(line)?),
            Tag::Expand => Event::Expand(serde_json::from_slice(line)?),
            Tag::Node => Event::Node(serde_json::from_slice(line)?),
            Tag::Stop => Event::Stop(serde_json::from_slice(line)?),
            Tag::End => Event::End(serde_json::from_slice(line)?),
        })
    }
}

/// The first line: the model, the prompt and the settings of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// Version of the program that wrote it.
    pub logitree: String,
    /// When the run began, RFC 3339.
    pub created: String,
    /// The model.
    pub model: Model,
    /// The engine and its arithmetic.
    pub engine: String,
    /// What the model was given.
    pub prompt: Prompt,
    /// Name of the exploration policy.
    pub strategy: String,
    /// The policy's parameters by name.
    #[serde(deserialize_with = "few::map")]
    pub parameters: Map<String, Value>,
    /// Budgets of the run; those that are absent did not apply.
    #[serde(default, deserialize_with = "few::map", skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// How much of each distribution is kept, at least; absent in the oldest files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_top: Option<Keep>,
    /// Whether the hash of all logits of each step is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hash_logits: bool,
    /// Strings whose probability is noted at every step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watch>,
}

impl Header {
    /// The strategy with its parameters.
    ///
    /// # Errors
    /// If this version does not know the strategy, or one of its parameters is missing or of another type.
    pub fn strategy(&self) -> Result<Strategy, serde_json::Error> {
        serde_json::from_value(json!({ "strategy": self.strategy, "parameters": self.parameters }))
    }

    /// The sampler whose probabilities the run has; `None` if they are the model's own.
    pub fn sampler(&self) -> Option<Sampler> {
        self.strategy().ok()?.sampler()
    }

    /// The limits that the model sets to every path of the run.
    pub fn bounds(&self) -> Bounds {
        let watch: Vec<Vec<TokenId>> = self.watch.iter().map(|w| w.tokens.iter().map(|t| t.id).collect()).collect();
        // A server must generate a token to list what comes next, and this token takes a place in the context too.
        let used = self.prompt.tokens.len() + usize::from(self.model.architecture == REMOTE);
        Bounds::new(&self.model.end_tokens, self.model.context, used).watching(&watch)
    }
}

/// A watched string.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The text as the user gave it.
    pub text: String,
    /// Its tokens, at least one.
    pub tokens: Vec<Token>,
}

/// The model of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name or path as it was given.
    pub name: String,
    /// SHA-256 of the weight file, or, of several files, of all their hashes.
    pub sha256: String,
    /// Architecture, such as `gemma3`.
    pub architecture: String,
    /// Element types of the weights.
    pub dtype: String,
    /// Kind of tokenizer.
    pub tokenizer: String,
    /// SHA-256 of the tokenizer's own file, where it is not part of the weights' file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Context length in tokens.
    pub context: usize,
    /// Ids that end a generation.
    pub end_tokens: Vec<TokenId>,
    /// How matrix products were computed, `bf16x3` or `8-bit`; absent if in f32.
    #[serde(
        default,
        alias = "approximation",
        deserialize_with = "arithmetic",
        skip_serializing_if = "Option::is_none"
    )]
    pub arithmetic: Option<String>,
    /// Numbers of the orders of f32 sums in which the steps were computed. A run that is gone on with by a version with
    /// another order has both. Empty for servers, and in the oldest files: [`Model::orders`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summation_orders: Vec<u32>,
}

impl Model {
    /// [`Model::summation_orders`], where files without them have the first order. It says nothing of servers.
    pub fn orders(&self) -> &[u32] {
        if self.summation_orders.is_empty() { &[1] } else { &self.summation_orders }
    }
}

/// Reads `arithmetic`. The oldest files have `"approximation": "8-bit activations"` instead.
fn arithmetic<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(from)?;
    Ok(name.map(|name| name.trim_end_matches(" activations").into()))
}

/// The prompt of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The text as the user gave it.
    pub text: String,
    /// The tokens that the model was given.
    pub tokens: Vec<Token>,
    /// Whether the first token is a BOS that was added.
    pub bos: bool,
    /// Whether the text was put into the model's chat template.
    pub chat: bool,
    /// Whether names of control tokens in the text became these tokens; otherwise they were split like other text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub special: bool,
    /// The conversation that the template laid out; `text` is its last message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Variables that the chat template was given, such as `enable_thinking`, and the date that it saw, if it asked for
    /// it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub template_args: serde_json::Map<String, serde_json::Value>,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`. Chat templates refuse roles that they do not know.
    pub role: String,
    /// The text of the message.
    pub content: String,
}

impl Message {
    /// A message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: content.into() }
    }
}

/// A token with its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The token.
    pub id: TokenId,
    /// Its bytes as UTF-8, with U+FFFD for invalid sequences.
    pub text: String,
    /// Its bytes, where they are not valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
}

impl Token {
    /// A token from its bytes.
    pub fn new(id: TokenId, bytes: &[u8]) -> Token {
        match std::str::from_utf8(bytes) {
            Ok(text) => Token { id, text: text.into(), bytes: None },
            Err(_) => Token { id, text: String::from_utf8_lossy(bytes).into(), bytes: Some(bytes.into()) },
        }
    }

    /// Its raw bytes.
    pub fn raw(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.text.as_bytes())
    }
}

/// A token of a `top` list. Its rank is its place in the list, so it is not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopToken {
    /// The token.
    pub id: TokenId,
    /// Its text.
    pub text: String,
    /// Its bytes, where they are not valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// Natural log probability, in nats.
    pub logprob: f64,
}

/// A node was expanded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expand {
    /// The node.
    pub node: NodeId,
    /// Branch threshold in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Number of open paths, this one included.
    pub queue: u32,
    /// Entropy of the next token, in nats.
    pub entropy: f64,
    /// Variance of the next token's surprisal, in nats².
    pub varentropy: f64,
    /// Natural log of the sum of the exponentials of all logits, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logsumexp: Option<f64>,
    /// The hash of all logits, if the header says that steps have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits_sha256: Option<LogitsHash>,
    /// Whether the numbers cover the full vocabulary.
    #[serde(default, skip_serializing_if = "is_exact")]
    pub exactness: Exactness,
    /// The most likely next tokens, most likely first.
    pub top: Vec<TopToken>,
    /// How many `node` lines follow.
    pub children: usize,
    /// The watched strings of the header, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watched>,
    /// Who asked for the expansion; absent for the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Children that the user had made before and the policy takes over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopts: Vec<Adopted>,
}

/// Who made a node, if it was not the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The user.
    User,
}

/// A node that the policy takes over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adopted {
    /// The node.
    pub node: NodeId,
    /// How many samples passed through the node.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub samples: u32,
}

fn is_exact(e: &Exactness) -> bool {
    *e == Exactness::Exact
}

/// A new node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewNode {
    /// Its id: nodes are numbered from 1 in the order of their lines; 0 is the root.
    pub node: NodeId,
    /// Its parent.
    pub parent: NodeId,
    /// Its token.
    pub id: TokenId,
    /// The token's text.
    pub text: String,
    /// Its bytes, where they are not valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// Natural log, in nats, of the token's probability given its path.
    pub logprob: f64,
    /// How many samples passed through the node; absent in runs that do not sample.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub samples: u32,
    /// Who asked for the node; absent for the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

/// A node became a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopEvent {
    /// The node.
    pub node: NodeId,
    /// The reason.
    pub reason: Stop,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The policy had nothing more to do.
    Finished,
    /// `max_nodes` was reached.
    MaxNodes,
    /// `max_seconds` passed.
    MaxSeconds,
    /// The user stopped it.
    Interrupted,
    /// The model failed.
    Failed,
}

/// The run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The reason.
    pub reason: EndReason,
    /// How the probability is divided; adds up to 1.
    pub mass: Mass,
    /// Number of nodes, the root included.
    pub nodes: usize,
    /// Number of paths that reached an end token.
    pub completed: usize,
    /// Seconds spent exploring, without loading the model; for a resumed run, all its parts together.
    pub seconds: f64,
    /// Budgets given when the run was resumed; they replace those of the header.
    #[serde(default, deserialize_with = "few::map", skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// The orders of sums of all steps before and after this line, where the run was gone on with in another order;
    /// they replace those of the header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summation_orders: Vec<u32>,
    /// Number of nodes that may lack branches because the engine listed too few tokens.
    #[serde(default, skip_serializing_if = "is_none")]
    pub possibly_more: usize,
}
