//! The interface to models: a [`LanguageModel`] opens [`Session`]s, which give next-token distributions.

use crate::layers::LayerDistributions;
use crate::{Distribution, TokenId};
use std::borrow::Cow;

/// A language model with its tokenizer.
pub trait LanguageModel: Send + Sync {
    /// Number of tokens in the vocabulary.
    fn vocab_size(&self) -> usize;
    /// Longest sequence, in tokens, that the model was made for.
    fn context_length(&self) -> usize;
    /// Every id that ends a generation.
    fn end_tokens(&self) -> &[TokenId];
    /// The token put before every text, if the model wants one.
    fn bos(&self) -> Option<TokenId>;
    /// Raw bytes of a token; a special token gives the bytes of its name, such as `<eos>`.
    /// An id outside the vocabulary gives nothing.
    fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]>;
    /// Whether the token is a control token rather than text.
    fn is_special(&self, id: TokenId) -> bool;
    /// Splits text into tokens, without BOS. With `parse_special`, the names of special tokens in the text become those
    /// tokens (chat templates need this).
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<TokenId>, ModelError>;
    /// Opens an empty [`Session`], which keeps alive what it needs of the model.
    ///
    /// # Errors
    /// If the engine has no room for another session.
    fn session(&self) -> Result<Box<dyn Session>, ModelError>;
}

/// A node of a [`Session`]: one token after one path of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeHandle(pub u32);

/// A request for the distribution that follows a node.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The node after which the next token is asked for.
    pub node: NodeHandle,
    /// Length of [`Distribution::top`] (less if the vocabulary is smaller).
    pub top: usize,
    /// Tokens whose logprob and rank are wanted, whatever their rank.
    pub tokens: &'a [TokenId],
    /// Whether all logits are wanted. They cost `4 × vocab` bytes.
    pub logits: bool,
    /// Whether the hash of all logits is wanted; only a model in this process has it.
    pub hash: bool,
}

impl Query<'_> {
    /// The `top` most likely tokens after `node`.
    pub fn top(node: NodeHandle, top: usize) -> Self {
        Query { node, top, tokens: &[], logits: false, hash: false }
    }
}

/// A tree of token paths and the means to evaluate it.
///
/// Pushing a node computes nothing: its keys and values are computed, together with those of any ancestor that has
/// none, when a distribution is asked for. What is stored is a cache: after [`Session::release`], asking again gives
/// the same bits and only takes longer.
///
/// **Batch invariance.** A node's distribution is bit-identical whatever else is in the batch.
pub trait Session: Send {
    /// Adds a node: `token` after `parent`, or at the start of a sequence if there is no parent.
    ///
    /// # Errors
    /// If the path does not fit the model's context, or the parent or the token is unknown.
    fn push(&mut self, parent: Option<NodeHandle>, token: TokenId) -> Result<NodeHandle, ModelError>;

    /// Checks whether a chain of tokens can be added after `parent`.
    ///
    /// # Errors
    /// If the chain cannot be added; the error says why.
    fn check(&self, _parent: Option<NodeHandle>, _tokens: &[TokenId]) -> Result<(), ModelError> {
        Ok(())
    }

    /// Adds a chain of nodes and returns their handles.
    ///
    /// # Errors
    /// If [`Session::check`] refuses the chain: then no node is added.
    fn push_all(&mut self, parent: Option<NodeHandle>, tokens: &[TokenId]) -> Result<Vec<NodeHandle>, ModelError> {
        self.check(parent, tokens)?;
        let mut parent = parent;
        tokens
            .iter()
            .map(|&token| {
                let node = self.push(parent, token)?;
                parent = Some(node);
                Ok(node)
            })
            .collect()
    }

    /// The distributions after the queried nodes, in the order of the queries.
    ///
    /// # Errors
    /// If a node or a token is unknown, or the engine fails.
    fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError>;

    /// What each layer of the model would have predicted after the queried nodes, in the order of the queries. Of
    /// [`Query::tokens`] and of the two most likely tokens, the logits are also given as sums over the layers.
    /// [`Query::logits`] has no effect.
    ///
    /// # Errors
    /// If the engine does not see the model's layers, as is so with servers; or as for [`Session::evaluate`].
    fn layers(&mut self, _queries: &[Query<'_>]) -> Result<Vec<LayerDistributions>, ModelError> {
        Err(ModelError::Engine("this engine does not show the layers of its model: use a model in this process".into()))
    }

    /// The number of queries above which a batch is no faster per query. A caller with more queries asks in batches of
    /// this size, and can serve others in between.
    fn width(&self) -> usize {
        128
    }

    /// Tells the session that the caller is done with this node for now: its cached rows may be dropped as soon as no
    /// unreleased node below needs them. The node may be asked about again, at the cost of computing them anew.
    fn release(&mut self, node: NodeHandle);

    /// Releases a node that the caller will not name again. Once it has no descendants, its handle may be given to
    /// another node.
    fn forget(&mut self, node: NodeHandle) {
        self.release(node);
    }
}

/// Why a model could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The path is longer than the model's context.
    #[error("{needed} tokens do not fit the model's context of {limit}: shorten the prompt or lower the depth")]
    ContextExceeded {
        /// Tokens asked for.
        needed: usize,
        /// Tokens the model can take.
        limit: usize,
    },
    /// A watched string does not fit behind a path.
    #[error(
        "behind this text, a watched string makes {needed} tokens, and the model's context has {limit}: watch a shorter string, or shorten the text"
    )]
    WatchExceedsContext {
        /// Tokens of the path and of all but the last of the string's.
        needed: usize,
        /// Tokens the model can take.
        limit: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token id {id} is not in the vocabulary of {vocab} tokens")]
    UnknownToken {
        /// The id.
        id: TokenId,
        /// The vocabulary's size.
        vocab: usize,
    },
    /// The tokenizer refused the text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The engine failed.
    #[error("{0}")]
    Engine(String),
}
