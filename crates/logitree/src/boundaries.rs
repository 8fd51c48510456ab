//! Where words of a text begin and end, and how likely it was that they end there.

use crate::Model;
use logitree_core::spans::{self, Piece};
use logitree_core::{Distribution, TokenId};
use std::borrow::Cow;
use std::sync::Arc;

/// The tokens of a text with their bytes.
pub(crate) struct Pieces<'a>(Vec<(Cow<'a, [u8]>, bool)>);

impl<'a> Pieces<'a> {
    pub(crate) fn of(model: &'a Model, tokens: &[TokenId]) -> Pieces<'a> {
        Pieces(tokens.iter().map(|&t| (model.token_bytes(t), model.is_special(t))).collect())
    }

    pub(crate) fn list(&self) -> Vec<Piece<'_>> {
        self.0.iter().map(|(bytes, control)| Piece { bytes, control: *control }).collect()
    }
}

/// The boundaries of words in a text that is being scored.
pub(crate) struct Boundaries {
    word_ends: Arc<[bool]>,
    start: usize,
    open: Vec<bool>,
    /// See [`Scored::boundaries`].
    pub(crate) found: Vec<Option<f64>>,
}

impl Boundaries {
    /// The boundaries from token `start` to the end of the text; `word_ends` is [`Model::word_ends`].
    pub(crate) fn of(model: &Model, word_ends: Arc<[bool]>, tokens: &[TokenId], start: usize) -> Boundaries {
        let pieces = Pieces::of(model, tokens);
        let pieces = pieces.list();
        let open: Vec<bool> = (start..=tokens.len()).map(|at| spans::is_open_boundary(&pieces, at)).collect();
        let found = open.iter().map(|open| (!open).then_some(0.0)).collect();
        Boundaries { word_ends, start, open, found }
    }

    /// Whether a word ends before this token and only the distribution tells how likely that was.
    pub(crate) fn is_open(&self, at: usize) -> bool {
        self.open[at - self.start]
    }

    /// Takes the distribution of the token at an open boundary.
    pub(crate) fn take(&mut self, at: usize, d: &Distribution) {
        self.found[at - self.start] = spans::boundary_logprob(d, &self.word_ends);
    }
}

impl Model {
    /// Of every token of the vocabulary, whether no word goes on with it ([`Piece::ends_word_before`]).
    pub(crate) fn word_ends(&self) -> Vec<bool> {
        let ends = |id: u32| {
            let (bytes, control) = (self.token_bytes(TokenId(id)), self.is_special(TokenId(id)));
            Piece { bytes: &bytes, control }.ends_word_before()
        };
        (0..self.vocab_size() as u32).map(ends).collect()
    }
}
