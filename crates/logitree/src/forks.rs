//! Finds the positions where a text could have continued differently, and tests whether that would have mattered.

use crate::answers::Pattern;
use crate::error::{Result, fail};
use crate::events::Work;
use crate::layers::PIECE;
use crate::prompt::Given;
use crate::{Model, Prompt};
use logitree_core::TokenId;
use logitree_core::forks::{self, Fork, Limits, Position};
use logitree_core::layers::LayerDistributions;

/// Which continuation is examined, and how closely.
#[derive(Clone, Debug)]
pub struct ForkOptions {
    /// Largest number of tokens of a continuation.
    pub max_new_tokens: usize,
    /// Number of forks to test: the positions where the choice was closest.
    pub top: usize,
    /// Whether to look into the model at each of them: what each layer would have predicted.
    pub layers: bool,
}

impl Default for ForkOptions {
    fn default() -> ForkOptions {
        ForkOptions { max_new_tokens: 64, top: 8, layers: false }
    }
}

/// A continuation and its forks.
pub struct Forks {
    /// All positions of the continuation.
    pub positions: Vec<Position>,
    /// Text of the continuation.
    pub text: String,
    /// What the pattern finds in the text, if a pattern was given.
    pub answer: Option<String>,
    /// The forks that were tested, the closest choice first.
    pub tested: Vec<Tested>,
}

/// A fork that was tested, with the result.
pub struct Tested {
    /// The position of the fork, and the tokens that followed.
    pub fork: Fork,
    /// The text of the whole continuation with this fork.
    pub text: String,
    /// What the pattern finds in that text, if a pattern was given.
    pub answer: Option<String>,
    /// If no pattern was given: the number of words of its own before the text is the original again.
    pub rejoins: Option<usize>,
    /// Whether the result differs: another answer, or words that do not become the original again.
    pub flips: bool,
    /// What each layer would have predicted at the fork, if that was asked for and not interrupted. The token and its
    /// runner-up are the first two of its tokens.
    pub layers: Option<LayerDistributions>,
}

impl Model {
    /// Tests whether a continuation would have been different if a close choice had gone the other way. The
    /// continuation is `text`, or else the greedy one. Its positions are ranked by how close the choice was. At each
    /// of the first ones, the token is replaced by the runner-up, and the text is completed greedily. With a pattern,
    /// a fork matters if the answer changes; without one, if the words do not become the original's again.
    ///
    /// # Errors
    /// If there is no room for a continuation, layers are wanted of a model that is not in this process, or the model
    /// fails.
    pub fn forks(
        &self,
        given: &Given,
        text: Option<&str>,
        pattern: Option<&Pattern>,
        options: &ForkOptions,
    ) -> Result<Forks> {
        self.need_tokens("forks")?;
        if options.layers {
            self.need_layers("`layers`")?;
        }
        let (prompt, own) = self.split(given, text)?;
        let room = self.context_length().saturating_sub(prompt.len());
        // A fork is completed to the length of the continuation that it is compared with.
        let tokens = own.as_ref().map_or(options.max_new_tokens, Vec::len).min(room);
        if tokens == 0 {
            fail!(Input, "the prompt fills the model's context: there is no room for a continuation");
        }
        let limits = Limits { tokens, ends: self.end_tokens() };
        let mut session = self.session()?;
        let work = Work(self.events());
        work.words(|| "following the continuation".into());
        let go_on = || !self.events().stop();
        let positions = forks::follow(&mut *session, &prompt, own.as_deref(), limits, go_on)?;
        let which: Vec<usize> = forks::rank(&positions).into_iter().take(options.top).collect();
        let mut steps = 0;
        let found = forks::test(&mut *session, &positions, &which, limits, || {
            steps += 1;
            work.words(|| format!("{} forks, {steps} tokens", which.len()));
            go_on()
        })?;
        let mut layers = Vec::new();
        for batch in if options.layers { which.chunks(PIECE) } else { [].chunks(PIECE) } {
            if !go_on() {
                break;
            }
            layers.extend(forks::layers(&mut *session, &positions, batch)?);
            work.words(|| format!("layers of {} of {} forks", layers.len(), which.len()));
        }
        Ok(self.judge(positions, found, layers, pattern))
    }

    /// The tokens of the prompt and of a given continuation. Both are tokenized together, as the model would see them
    /// written; a token across the border belongs to the continuation.
    pub(crate) fn split(&self, given: &Given, text: Option<&str>) -> Result<(Vec<TokenId>, Option<Vec<TokenId>>)> {
        let whole = text.map(|text| self.prepare(given, text)).transpose()?;
        let Prompt { tokens: mut prompt, .. } = self.prepare(given, "")?;
        let Some(whole) = whole.map(|p| p.tokens) else { return Ok((prompt, None)) };
        let common = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        if common == 0 {
            fail!(
                Parameter("text"),
                "`text` changes the prompt's first token, and this model has no BOS before it: nothing comes before the text"
            );
        }
        prompt.truncate(common);
        Ok((prompt, Some(whole[common..].to_vec())))
    }

    fn judge(
        &self,
        positions: Vec<Position>,
        found: Vec<Fork>,
        layers: Vec<LayerDistributions>,
        pattern: Option<&Pattern>,
    ) -> Forks {
        let layers = layers.into_iter().map(Some).chain(std::iter::repeat(None));
        let ids = |until: usize| positions[..until].iter().map(|p| p.token.id);
        let text = self.text_of(ids(positions.len()));
        let original = pattern.and_then(|p| p.find(&text));
        let ended = |id: Option<&TokenId>| id.is_some_and(|id| self.end_tokens().contains(id));
        let original_ended = ended(positions.last().map(|p| &p.token.id));
        let tested = found.into_iter().zip(layers).map(|(fork, layers)| {
            let text = self.text_of(ids(fork.position).chain(fork.tokens.iter().copied()));
            let answer = pattern.and_then(|p| p.find(&text));
            let rest = self.text_of(positions[fork.position..].iter().map(|p| p.token.id));
            let other = self.text_of(fork.tokens.iter().copied());
            let whole = original_ended && ended(fork.tokens.last());
            let rejoins = if pattern.is_none() { forks::rejoins(&rest, &other, whole) } else { None };
            let flips = fork.finished && if pattern.is_some() { answer != original } else { rejoins.is_none() };
            Tested { fork, text, answer, rejoins, flips, layers }
        });
        let tested = tested.collect();
        Forks { positions, text, answer: original, tested }
    }
}
