//! Compares two models, two arithmetics or two prompts on one text, and two runs.

use crate::error::{Result, fail};
use crate::events::Work;
use crate::{Given, Model, Prompt, ScoreOptions};
use logitree_core::compare::{ComparedStep, Divergence, TreeComparison, align, compare_trees, divergence};
use logitree_core::run::Run;
use logitree_core::{Distribution, Exactness, Query, Session, TokenId, TokenStats};
use std::collections::HashMap;
use std::f64::consts::LN_2;
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
    /// As for [`Model::after`].
    pub fn after(model: &'m Model, context: &Given, text: &str) -> Result<Side<'m>> {
        let (prompt, start) = model.after(context, text)?;
        Ok(Side { model, prompt, text: start })
    }

    /// Exactly these tokens after exactly these of a prompt. Only the text is compared.
    ///
    /// # Errors
    /// As for [`Model::prompt_of_tokens`].
    pub fn of_tokens(model: &'m Model, prompt: &[TokenId], text: &[TokenId]) -> Result<Side<'m>> {
        let whole = model.prompt_of_tokens(&[prompt, text].concat())?;
        Ok(Side { model, prompt: whole, text: prompt.len() })
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

    /// Log probability of the piece under B less that under A, in nats.
    pub fn change(&self) -> f64 {
        let [a, b] = self.logprob();
        b - a
    }
}

/// Number of bytes of all pieces, and of both models the log probability in nats and the bits per byte.
pub fn bits_per_byte(pieces: &[ComparedPiece]) -> (usize, [f64; 2], [f64; 2]) {
    let bytes = pieces.iter().map(|p| p.bytes.len()).sum::<usize>();
    let logprob = [0, 1].map(|side| pieces.iter().map(|p| p.logprob()[side]).sum::<f64>());
    (bytes, logprob, logprob.map(|l| (0.0 - l) / LN_2 / bytes as f64))
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
            tokens: &tokens[from + i..from + i + 1],
            logits: true,
            ..Query::top(self.nodes[from + i - 1], 1)
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
    // A first token may begin before the text: some tokenizers put a space there, and a token may have letters of the
    // context too. What one side has more in front has no place in the other's text.
    let shorter = texts[0].len().min(texts[1].len());
    for (ends, text) in ends.iter_mut().zip(&texts) {
        ends.iter_mut().for_each(|end| *end = end.saturating_sub(text.len() - shorter));
    }
    if !(texts[0].ends_with(&texts[1]) || texts[1].ends_with(&texts[0])) {
        fail!(
            Input,
            "the tokens of {} and those of {} do not make the same text, because one of them changes it (case, accents \
             or unknown characters): there is no common place to compare",
            a.model.name(),
            b.model.name()
        );
    }
    let text = if texts[0].len() == shorter { &texts[0] } else { &texts[1] };
    let mut scored = Vec::with_capacity(2);
    let mut interrupted = false;
    for side in sides {
        let found = side
            .model
            .score(&side.prompt, &ScoreOptions { top: 1, from: Some(side.text), ..ScoreOptions::default() })?;
        interrupted |= found.tokens.len() < found.asked;
        let mut of_text = vec![None; side.unscored()];
        of_text.extend(found.tokens.into_iter().map(|t| Some(t.token)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use logitree_core::{LanguageModel, ModelError, NodeHandle};
    use std::borrow::Cow;

    /// A model of a few letters whose tokens have these bytes, and whose distributions are uniform.
    struct Uniform(&'static [&'static str]);

    struct Nodes(usize, u32);

    impl LanguageModel for Uniform {
        fn vocab_size(&self) -> usize {
            self.0.len()
        }
        fn context_length(&self) -> usize {
            100
        }
        fn end_tokens(&self) -> &[TokenId] {
            &[]
        }
        fn bos(&self) -> Option<TokenId> {
            None
        }
        fn token_bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
            self.0.get(id.index()).map_or(&[][..], |t| t.as_bytes()).into()
        }
        fn is_special(&self, _: TokenId) -> bool {
            false
        }
        fn tokenize(&self, text: &str, _: bool) -> Result<Vec<TokenId>, ModelError> {
            let (mut rest, mut ids) = (text, Vec::new());
            while !rest.is_empty() {
                let fits = (0..self.0.len()).filter(|&i| rest.starts_with(self.0[i]));
                let best = fits.max_by_key(|&i| self.0[i].len()).ok_or(ModelError::Tokenizer("foreign".into()))?;
                ids.push(TokenId(best as u32));
                rest = &rest[self.0[best].len()..];
            }
            Ok(ids)
        }
        fn session(&self) -> Result<Box<dyn Session>, ModelError> {
            Ok(Box::new(Nodes(self.0.len(), 0)))
        }
    }

    impl Session for Nodes {
        fn push(&mut self, _: Option<NodeHandle>, _: TokenId) -> Result<NodeHandle, ModelError> {
            self.1 += 1;
            Ok(NodeHandle(self.1 - 1))
        }
        fn evaluate(&mut self, queries: &[Query<'_>]) -> Result<Vec<Distribution>, ModelError> {
            let logprob = -(self.0 as f64).ln();
            let stats = |id| TokenStats { id, logprob, rank: id.0 + 1 };
            let answer = |q: &Query<'_>| Distribution {
                tokens: q.tokens.iter().map(|&id| stats(id)).collect(),
                logits: Some(vec![0.0; self.0]),
                logsumexp: -logprob,
                ..Distribution::of_list(vec![stats(TokenId(0))], Exactness::Exact)
            };
            Ok(queries.iter().map(answer).collect())
        }
        fn release(&mut self, _: NodeHandle) {}
    }

    fn model(tokens: &'static [&'static str]) -> Model {
        let record = serde_json::json!({
            "name": "uniform", "sha256": "", "architecture": "uniform", "dtype": "", "tokenizer": "",
            "vocab": tokens.len(), "context": 100, "end_tokens": []
        });
        let record = serde_json::from_value(record).unwrap();
        Model::of(Uniform(tokens), record, std::sync::Arc::new(crate::Quiet))
    }

    #[test]
    fn other_vocabularies_are_aligned_on_bytes() {
        let (a, b) = (model(&["a", "b", "ab", "x", "0"]), model(&["a", "b", "ba", "aa", "x", "0"]));
        // A: ab|ab|a|a|a|a, B: a|ba|ba|aa|a. The first piece of both begins with a token that nothing is known of.
        let found = compare(&Side::of_text(&a, "ababaaaa").unwrap(), &Side::of_text(&b, "ababaaaa").unwrap()).unwrap();
        let Comparison::Pieces { pieces, interrupted: false } = found else { panic!("{found:?}") };
        assert_eq!(pieces.iter().map(|p| &p.bytes[..]).collect::<Vec<_>>(), [&b"aa"[..], b"a"]);
        let want = [2.0 * -(5f64.ln()), -(6f64.ln())];
        assert!(pieces[0].logprob().iter().zip(want).all(|(l, w)| (l - w).abs() < 1e-12));
        // After a context everything is scored.
        let side = |m| Side::after(m, &"bb".into(), "ababaaaa").unwrap();
        let Comparison::Pieces { pieces, .. } = compare(&side(&a), &side(&b)).unwrap() else { panic!("no pieces") };
        assert_eq!(pieces.iter().map(|p| p.bytes.len()).sum::<usize>(), 8);
        // A model is compared with itself over its vocabulary.
        let same = compare(&side(&a), &side(&a)).unwrap();
        assert!(matches!(&same, Comparison::Steps { steps, asked: 6 } if steps.len() == 6), "{same:?}");
        assert!(compare(&Side::of_text(&a, "a").unwrap(), &Side::of_text(&a, "a").unwrap()).is_err());
    }
}
