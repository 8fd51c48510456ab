//! Compares two models, two arithmetics or two prompts on one text, and two runs.

use crate::error::{Result, fail};
use crate::events::Work;
use crate::{Given, Model, Prompt, ScoreOptions};
use logitree_core::compare::{ComparedStep, Divergence, TreeComparison, align, compare_trees, divergence};
use logitree_core::run::Run;
use logitree_core::{Distribution, Exactness, Query, Session, TokenId, TokenStats};
use std::collections::HashMap;
use std::ops::Range;

/// A text under one model: one of the two things that are compared.
pub struct Side<'m> {
    model: &'m Model,
    prompt: Prompt,
    /// Index of the first token of the text. Tokens before it are BOS and the context.
    text: usize,
}

impl<'m> Side<'m> {
    /// A text by itself, with BOS in front if the model wants it.
    ///
    /// # Errors
    /// As for [`Model::prompt`].
    pub fn of_text(model: &'m Model, text: &str) -> Result<Side<'m>> {
        let prompt = model.prompt(text)?;
        Ok(Side { model, text: usize::from(prompt.bos), prompt })
    }

    /// A text as it continues this prompt. Only the text is compared.
    ///
    /// # Errors
    /// As for [`Model::guide`].
    pub fn after(model: &'m Model, context: &Given, text: &str) -> Result<Side<'m>> {
        let (prompt, start) = model.guide(context, "", text)?;
        Ok(Side { model, prompt, text: start })
    }

    /// The tokens of the text.
    fn tokens(&self) -> &[TokenId] {
        &self.prompt.tokens[self.text..]
    }

    /// Number of tokens of the text that nothing is known of: one, if nothing stands before it.
    fn unscored(&self) -> usize {
        usize::from(self.text == 0)
    }

    /// For each token of the text, the position behind its last byte.
    fn ends(&self) -> Vec<usize> {
        let length = |&id: &TokenId| self.model.token_bytes(id).len();
        let sums = self.tokens().iter().scan(0, |end, id| {
            *end += length(id);
            Some(*end)
        });
        sums.collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.tokens().iter().flat_map(|&id| self.model.token_bytes(id).into_owned()).collect()
    }
}

/// One text under two models.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// Both have one vocabulary and split the text into the same tokens: whole distributions are compared.
    Steps {
        /// Each token of the text that has something before it.
        steps: Vec<ComparedStep>,
        /// Number of tokens that should be compared. It is larger than the number of `steps` if the work was
        /// interrupted.
        asked: usize,
    },
    /// The models have different vocabularies, or split the text into different tokens: the text is compared piece by
    /// piece, between places where both have the border of a token.
    Pieces {
        /// The pieces, in order.
        pieces: Vec<ComparedPiece>,
        /// Whether the work was interrupted, so that pieces are missing at the end.
        interrupted: bool,
    },
}

/// A piece of a text, in whole tokens of both models.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedPiece {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its tokens under A and under B.
    pub tokens: [Vec<TokenStats>; 2],
}

impl ComparedPiece {
    /// Log probability of the piece's tokens under A and under B, in nats.
    pub fn logprob(&self) -> [f64; 2] {
        self.tokens.each_ref().map(|tokens| tokens.iter().map(|t| t.logprob).sum())
    }
}

/// Whether two models have the same tokens under the same ids.
pub fn same_vocabulary(a: &Model, b: &Model) -> bool {
    let same = |id| a.token_bytes(id) == b.token_bytes(id) && a.is_special(id) == b.is_special(id);
    a.vocab_size() == b.vocab_size() && (0..a.vocab_size() as u32).map(TokenId).all(same)
}

/// Compares one text under two models; the first is the reference. Where both have the same vocabulary and tokens, the
/// comparison is over the whole vocabulary at each position. The logits of both are in memory for a few positions at a
/// time.
///
/// # Errors
/// If there is nothing to compare, the texts differ, a model behind a server would have to give all logits, or a model
/// fails.
pub fn compare(a: &Side<'_>, b: &Side<'_>) -> Result<Comparison> {
    if a.tokens() == b.tokens() && same_vocabulary(a.model, b.model) {
        return steps(a, b);
    }
    pieces(a, b)
}

/// Bytes of logits that are in memory for each of both models.
const LOGITS: usize = 64 << 20;

fn steps(a: &Side<'_>, b: &Side<'_>) -> Result<Comparison> {
    for side in [a, b] {
        if side.model.exactness() != Exactness::Exact {
            fail!(
                Unsupported,
                "comparing needs the probability of every token, and {} is behind a server, which lists only the most \
                 likely ones: compare models in this process",
                side.model.name()
            );
        }
    }
    // Both sides leave out what one of them knows nothing of.
    let first = a.unscored().max(b.unscored());
    let text = a.tokens();
    if text.len() <= first {
        fail!(Input, "the text is a single token with nothing before it: there is nothing to compare");
    }
    let asked = text.len() - first;
    let mut steps = Vec::with_capacity(asked);
    let (mut in_a, mut in_b) = (Positions::new(a)?, Positions::new(b)?);
    let work = Work(a.model.events());
    let batch = (LOGITS / (4 * a.model.vocab_size())).clamp(1, 128);
    for start in (first..text.len()).step_by(batch) {
        if a.model.events().stop() {
            break;
        }
        let range = start..(start + batch).min(text.len());
        let (found_a, found_b) = (in_a.evaluate(range.clone())?, in_b.evaluate(range.clone())?);
        let apart = divergences(&found_a, &found_b);
        for ((a, b), divergence) in found_a.iter().zip(&found_b).zip(apart) {
            let (Some(divergence), Some(token), Some(best)) =
                (divergence, pair(&a.tokens, &b.tokens), pair(&a.top, &b.top))
            else {
                fail!(Model, "the model gave no logits");
            };
            steps.push(ComparedStep { token, best, entropy: [a.entropy, b.entropy], divergence });
        }
        work.words(|| format!("{} of {} compared", range.end - first, asked));
    }
    Ok(Comparison::Steps { steps, asked })
}

fn pair(a: &[TokenStats], b: &[TokenStats]) -> Option<[TokenStats; 2]> {
    Some([*a.first()?, *b.first()?])
}

/// The distributions that the tokens of a text come from.
struct Positions<'s> {
    session: Box<dyn Session>,
    nodes: Vec<logitree_core::NodeHandle>,
    side: &'s Side<'s>,
}

impl<'s> Positions<'s> {
    fn new(side: &'s Side<'s>) -> Result<Positions<'s>> {
        let mut session = side.model.session()?;
        let nodes = session.push_all(None, &side.prompt.tokens)?;
        Ok(Positions { session, nodes, side })
    }

    /// The distributions of these tokens of the text, with all logits.
    fn evaluate(&mut self, range: Range<usize>) -> Result<Vec<Distribution>> {
        let (tokens, from) = (&self.side.prompt.tokens, self.side.text);
        let query = |i: usize| Query {
            node: self.nodes[from + i - 1],
            top: 1,
            tokens: &tokens[from + i..from + i + 1],
            logits: true,
        };
        let queries: Vec<Query<'_>> = range.map(query).collect();
        Ok(self.session.evaluate(&queries)?)
    }
}

/// The divergence at each position. The positions are divided among threads, each position being one sum in one order.
fn divergences(a: &[Distribution], b: &[Distribution]) -> Vec<Option<Divergence>> {
    let one = |(a, b): (&Distribution, &Distribution)| {
        divergence((a.logits.as_deref()?, a.logsumexp), (b.logits.as_deref()?, b.logsumexp))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = a.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = a
            .chunks(share)
            .zip(b.chunks(share))
            .map(|(a, b)| scope.spawn(move || a.iter().zip(b).map(one).collect::<Vec<_>>()))
            .collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

fn pieces(a: &Side<'_>, b: &Side<'_>) -> Result<Comparison> {
    let sides = [a, b];
    let texts = sides.map(Side::bytes);
    let mut ends = sides.map(Side::ends);
    // Some tokenizers put a space before every text, which is then part of its first token. It has no place in the
    // other's text.
    for i in 0..2 {
        if texts[i].len() == texts[1 - i].len() + 1 && texts[i][0] == b' ' && texts[i][1..] == texts[1 - i] {
            ends[i].iter_mut().for_each(|end| *end = end.saturating_sub(1));
        }
    }
    if ends[0].last() != ends[1].last() || !(texts[0].ends_with(&texts[1]) || texts[1].ends_with(&texts[0])) {
        fail!(
            Input,
            "the tokens of {} and those of {} do not make the same text, because one of them changes it (case, accents \
             or unknown characters): there is no common place to compare",
            a.model.name(),
            b.model.name()
        );
    }
    let text = if texts[0].len() < texts[1].len() { &texts[0] } else { &texts[1] };
    let mut scored = Vec::with_capacity(2);
    let mut interrupted = false;
    for side in sides {
        let found = side.model.score(&side.prompt, &ScoreOptions { top: 1, ..ScoreOptions::default() })?;
        interrupted |= found.tokens.len() < found.asked;
        // Scored are all tokens of the prompt but the first.
        let known = found.tokens.into_iter().map(|t| Some(t.token));
        let mut of_text: Vec<Option<TokenStats>> = std::iter::once(None).chain(known).skip(side.text).collect();
        of_text.resize(side.tokens().len(), None);
        scored.push(of_text);
    }
    let tokens = |side: usize, range: Range<usize>| scored[side][range].iter().copied().collect::<Option<Vec<_>>>();
    // A piece with a token of which nothing is known is left out on both sides.
    let piece = |p: logitree_core::compare::Aligned| {
        Some(ComparedPiece { tokens: [tokens(0, p.a)?, tokens(1, p.b)?], bytes: text[p.bytes].to_vec() })
    };
    Ok(Comparison::Pieces { pieces: align(&ends[0], &ends[1]).into_iter().filter_map(piece).collect(), interrupted })
}

/// Two runs side by side, and whether their tokens have the same ids. Where ids have other bytes in the other run,
/// tokens are the same if their bytes are.
pub fn compare_runs(a: &Run, b: &Run) -> (TreeComparison, bool) {
    let same = a.texts.iter().all(|(id, bytes)| b.texts.get(id).is_none_or(|other| other == bytes));
    if same {
        return (compare_trees(&a.tree, &b.tree, Some), true);
    }
    let mut by_bytes: HashMap<&[u8], TokenId> = HashMap::new();
    for (&id, bytes) in &b.texts {
        // Several tokens may have the same bytes; the smallest id is taken, whatever the map's order.
        by_bytes.entry(bytes).and_modify(|known| *known = id.min(*known)).or_insert(id);
    }
    (compare_trees(&a.tree, &b.tree, |id| by_bytes.get(a.bytes(id)).copied()), false)
}
