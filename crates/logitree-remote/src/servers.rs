//! What a model and its sessions have in common: the servers, and what is known of them.

use crate::pool::Pool;
use crate::probe::Probe;
use crate::vocabulary::Words;

/// Servers of one model. The model and its sessions share them.
pub(crate) struct Servers {
    pub(crate) pool: Pool,
    /// What each server is. There is at least one, and all have the same model.
    pub(crate) probes: Vec<Probe>,
    pub(crate) words: Words,
    /// How many tokens every server lists per step: the least of what they list.
    pub(crate) list: usize,
}

impl Servers {
    /// The model's name at the servers.
    pub(crate) fn model(&self) -> &str {
        &self.probes[0].model
    }

    /// Number of tokens in the vocabulary, if the servers or the tokenizer tell it.
    pub(crate) fn told_vocab(&self) -> Option<usize> {
        self.probes[0].vocab.or_else(|| self.words.get().size())
    }

    /// Number of tokens in the vocabulary. If nobody tells it, the largest number that ids allow.
    pub(crate) fn vocab_size(&self) -> usize {
        self.told_vocab().unwrap_or(i32::MAX as usize)
    }

    /// Longest sequence that every server takes, in tokens. If none tells it, the largest number that ids allow.
    pub(crate) fn context_length(&self) -> usize {
        self.probes.iter().filter_map(|p| p.context).min().unwrap_or(i32::MAX as usize)
    }
}
