//! The next-token distributions after prompts.

use crate::error::{Context, Result};
use crate::prompt::watched_ids;
use crate::{Model, Prompt};
use logitree_core::nucleus::{Nucleus, nuclei};
use logitree_core::run::Watch;
use logitree_core::watch::{self, Watched};
use logitree_core::{Distribution, Exactness, Query, TokenId};

/// The probabilities whose nuclei are counted.
pub const NUCLEI: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Number of prompts evaluated at once: each holds the logits of the whole vocabulary until its nuclei are counted.
const BATCH: usize = 32;

/// What is asked about the next token.
#[derive(Clone, Debug)]
pub struct NextOptions {
    /// Number of most likely tokens to list.
    pub top: usize,
    /// Strings whose probability to come next is computed, whatever their rank.
    pub watch: Vec<String>,
    /// Tokens whose logprob and rank are computed, whatever their rank.
    pub tokens: Vec<TokenId>,
    /// Whether the logits of the whole vocabulary stay in the distributions. Servers do not tell them.
    pub logits: bool,
}

impl Default for NextOptions {
    fn default() -> NextOptions {
        NextOptions { top: 10, watch: Vec::new(), tokens: Vec::new(), logits: false }
    }
}

/// The distribution of the token after one prompt.
#[derive(Clone, Debug)]
pub struct NextToken {
    /// The list of the most likely tokens and the statistics of the whole distribution, with the logits only if they
    /// were asked for.
    pub distribution: Distribution,
    /// The watched strings, in the order of the options.
    pub watched: Vec<Watched>,
    /// The sizes of the nuclei for [`NUCLEI`], in that order.
    pub nuclei: Vec<Nucleus>,
}

impl Model {
    /// The distributions after several prompts, and the watched strings with their tokens. The numbers of
    /// a prompt do not depend on the others.
    ///
    /// # Errors
    /// If a prompt has no tokens or does not fit the context, a watched string has no tokens in this model, a token is
    /// not in the vocabulary, or the model fails.
    pub fn next_tokens(&self, prompts: &[Prompt], options: &NextOptions) -> Result<(Vec<NextToken>, Vec<Watch>)> {
        let watch = self.watch(&options.watch)?;
        let strings = watched_ids(&watch);
        let mut session = self.session()?;
        // Servers have no logits to give: then the nuclei are counted in the list.
        let logits = options.logits || self.exactness() == Exactness::Exact;
        let mut queries = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let node = *session.push_all(None, &prompt.tokens)?.last().context("the prompt has no tokens")?;
            queries.push(Query { tokens: &options.tokens, logits, ..Query::top(node, options.top) });
        }
        let mut next = Vec::with_capacity(prompts.len());
        for batch in queries.chunks(BATCH) {
            let found = watch::evaluate(&mut *session, batch, &strings)?;
            next.extend(found.into_iter().map(|(mut distribution, watched)| {
                let nuclei = nuclei(&distribution, &NUCLEI);
                let logits = distribution.logits.take().filter(|_| options.logits);
                NextToken { distribution: Distribution { logits, ..distribution }, watched, nuclei }
            }));
        }
        Ok((next, watch))
    }
}
