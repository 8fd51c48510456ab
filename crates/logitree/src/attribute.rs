//! Attribution by editing: how much each part of a prompt makes a text likelier.

use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::prompt::{Given, watched_ids};
use crate::{Model, Prompt};
use logitree_core::spans::{Unit, of_text};
use logitree_core::watch::{self, Watched};
use logitree_core::{NodeHandle, Query, Session, TokenId};
use std::ops::Range;

/// What a prompt is cut into. Each part is edited alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The tokens, except control tokens. The other tokens stay as they are: nothing is tokenized anew.
    Tokens,
    /// Words, lines or sentences of the text, or of the messages of a conversation. The edited text is tokenized anew.
    Units(Unit),
    /// The messages of a conversation. The edited conversation goes through the template anew.
    Turns,
}

/// How a prompt is edited.
#[derive(Clone, Debug)]
pub struct AttributeOptions {
    /// What the prompt is cut into.
    pub by: Parts,
    /// What takes the place of a part; `None` leaves it out.
    pub replacement: Option<String>,
}

/// How likely the texts are after the prompt with one part edited.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The part, as it stands in the prompt.
    pub part: String,
    /// Index of the message that it is in, for a conversation cut into something else than tokens.
    pub message: Option<usize>,
    /// Number of tokens of the edited prompt.
    pub tokens: usize,
    /// Logprob of each text after the edited prompt, in nats.
    pub logprobs: Vec<f64>,
}

/// What the parts of a prompt contribute to the probability of texts after it.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The tokens of each text. They are the same after every variant of the prompt.
    pub texts: Vec<Vec<TokenId>>,
    /// Logprob of each text after the prompt itself, in nats.
    pub logprobs: Vec<f64>,
    /// Every part, in the order of the prompt; fewer if the work was interrupted.
    pub edited: Vec<Edited>,
    /// Number of parts of the prompt.
    pub parts: usize,
}

impl Attribution {
    /// `Δ = ln p(text | prompt) − ln p(text | edited prompt)` of each text, in nats: above 0 if the part makes the text
    /// likelier.
    pub fn deltas<'a>(&'a self, edited: &'a Edited) -> impl Iterator<Item = f64> + 'a {
        self.logprobs.iter().zip(&edited.logprobs).map(|(whole, without)| whole - without)
    }
}

/// Number of variants that are evaluated at once. Each has nodes of its own from its edited place on.
const BATCH: usize = 16;

/// A prompt with one part edited.
struct Variant {
    part: String,
    message: Option<usize>,
    tokens: Vec<TokenId>,
}

impl Model {
    /// Edits every part of a prompt alone, and computes the log probability of each text's own tokens after every variant.
    /// What variants have in common with the prompt is computed once.
    ///
    /// # Errors
    /// If the prompt cannot be cut so, a part is all there is, a variant is no valid prompt or does not fit the context,
    /// a text has no tokens in this model, or the model fails.
    pub fn attribute(&self, given: &Given, texts: &[String], options: &AttributeOptions) -> Result<Attribution> {
        self.need_tokens("attribute")?;
        let strings = watched_ids(&self.watch(texts)?);
        let prompt = self.prepare(given, "")?;
        let variants = self.variants(given, &prompt, options)?;
        let mut session = self.session()?;
        let nodes = session.push_all(None, &prompt.tokens)?;
        let last = *nodes.last().context("the prompt has no tokens")?;
        let logprobs = |watched: &[Watched]| watched.iter().map(|w| w.logprob).collect::<Vec<f64>>();
        let whole = watch::evaluate(&mut *session, &[Query::top(last, 1)], &strings)?;
        let whole = whole.first().map(|(_, watched)| logprobs(watched)).context("internal error: no distribution")?;
        let mut edited = Vec::with_capacity(variants.len());
        let work = Work(self.events());
        for batch in variants.chunks(BATCH) {
            if self.events().stop() {
                break;
            }
            let mut pushed: Vec<NodeHandle> = Vec::new();
            let mut queries = Vec::with_capacity(batch.len());
            for variant in batch {
                let node = branch(&mut *session, &prompt.tokens, &nodes, &variant.tokens, &mut pushed)?;
                queries.push(Query::top(node.context("a variant has no tokens")?, 1));
            }
            let found = watch::evaluate(&mut *session, &queries, &strings)?;
            pushed.iter().rev().for_each(|&node| session.forget(node));
            edited.extend(batch.iter().zip(&found).map(|(v, (_, watched))| Edited {
                part: v.part.clone(),
                message: v.message,
                tokens: v.tokens.len(),
                logprobs: logprobs(watched),
            }));
            work.words(|| format!("{} of {} parts", edited.len(), variants.len()));
        }
        Ok(Attribution { texts: strings, logprobs: whole, edited, parts: variants.len() })
    }

    fn variants(&self, given: &Given, prompt: &Prompt, options: &AttributeOptions) -> Result<Vec<Variant>> {
        match options.by {
            Parts::Tokens => self.without_tokens(prompt, options.replacement.as_deref()),
            Parts::Units(unit) => self.without_units(given, unit, options.replacement.as_deref()),
            Parts::Turns => self.without_turns(given, options.replacement.as_deref()),
        }
    }

    /// Each token that is text left out, or replaced by the tokens of the replacement.
    fn without_tokens(&self, prompt: &Prompt, replacement: Option<&str>) -> Result<Vec<Variant>> {
        let new = replacement.map(|r| self.body(r, false)).transpose()?.unwrap_or_default();
        let tokens = &prompt.tokens;
        if new.is_empty() && tokens.len() < 2 {
            fail!(Input, "the prompt is a single token: nothing would be left of it");
        }
        let edited = |i: usize| Variant {
            part: self.text(tokens[i]),
            message: None,
            tokens: [&tokens[..i], &new, &tokens[i + 1..]].concat(),
        };
        let variants = (0..tokens.len()).filter(|&i| !self.is_special(tokens[i])).map(edited).collect::<Vec<_>>();
        for v in &variants {
            self.prompt_of_tokens(&v.tokens)?;
        }
        Ok(variants)
    }

    /// Each unit of the text, or of the messages, left out or replaced; the whole is tokenized anew.
    fn without_units(&self, given: &Given, unit: Unit, replacement: Option<&str>) -> Result<Vec<Variant>> {
        let variant = |message: Option<usize>, text: &str, span: Range<usize>| {
            let part = text[span.clone()].to_string();
            let edited = edit(text, span, replacement);
            if edited.is_empty() {
                fail!(
                    Input,
                    "{part:?} is all there is: nothing would be left of the text; `replacement` puts another there"
                );
            }
            let given = match given {
                Given::Text(_) => Given::Text(edited),
                Given::Special(_) => Given::Special(edited),
                Given::Chat(messages, arguments) => {
                    let mut messages = messages.clone();
                    if let Some(m) = message.and_then(|i| messages.get_mut(i)) {
                        m.content = edited;
                    }
                    Given::Chat(messages, arguments.clone())
                }
            };
            Ok(Variant { part, message, tokens: self.prepare(&given, "")?.tokens })
        };
        let texts: Vec<(Option<usize>, &str)> = match given {
            Given::Text(text) | Given::Special(text) => vec![(None, text)],
            Given::Chat(messages, _) => messages.iter().enumerate().map(|(i, m)| (Some(i), &m.content[..])).collect(),
        };
        let each = texts.into_iter().flat_map(|(i, text)| of_text(text, unit).into_iter().map(move |s| (i, text, s)));
        each.map(|(i, text, span)| variant(i, text, span)).collect()
    }

    /// Each message left out, or its content replaced. The last one cannot be left out: the model answers it.
    fn without_turns(&self, given: &Given, replacement: Option<&str>) -> Result<Vec<Variant>> {
        let Given::Chat(messages, arguments) = given else {
            fail!(Input, "only a conversation has turns: `chat` makes the prompt one");
        };
        let count = messages.len() - usize::from(replacement.is_none());
        if count == 0 {
            fail!(Input, "the conversation has one turn, which the model answers: it can be replaced, not left out");
        }
        let variant = |i: usize| {
            let mut messages = messages.clone();
            let part = match replacement {
                Some(new) => std::mem::replace(&mut messages[i].content, new.into()),
                None => messages.remove(i).content,
            };
            let edited = self.prepare(&Given::Chat(messages, arguments.clone()), "");
            let edited = edited.with_context(|| format!("without message {}", i + 1))?;
            Ok(Variant { part, message: Some(i), tokens: edited.tokens })
        };
        (0..count).map(variant).collect()
    }
}

/// Pushes what a variant does not have in common with the prompt. Returns its last node; `None` if it has no tokens.
fn branch(
    session: &mut dyn Session,
    prompt: &[TokenId],
    nodes: &[NodeHandle],
    variant: &[TokenId],
    pushed: &mut Vec<NodeHandle>,
) -> Result<Option<NodeHandle>> {
    let common = prompt.iter().zip(variant).take_while(|(a, b)| a == b).count();
    let parent = common.checked_sub(1).map(|i| nodes[i]);
    let own = session.push_all(parent, &variant[common..])?;
    pushed.extend(&own);
    Ok(own.last().copied().or(parent))
}

/// A text with a span left out, or its words replaced. The white space around the words of a replaced span stays. When
/// the beginning of a text is left out, the text begins with its next word.
fn edit(text: &str, span: Range<usize>, replacement: Option<&str>) -> String {
    let (before, part, after) = (&text[..span.start], &text[span.clone()], &text[span.end..]);
    match replacement {
        Some(new) => {
            let words = part.trim();
            let start = part.len() - part.trim_start().len();
            format!("{before}{}{new}{}{after}", &part[..start], &part[start + words.len()..])
        }
        None if before.is_empty() => after.trim_start().to_string(),
        None => format!("{before}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_the_spaces_that_words_need() {
        let text = "The capital of  India is";
        let words = of_text(text, Unit::Word);
        let parts: Vec<&str> = words.iter().map(|w| &text[w.clone()]).collect();
        assert_eq!(parts, ["The", " capital", " of", "  India", " is"]);
        let edited = |new: Option<&str>| words.iter().map(|w| edit(text, w.clone(), new)).collect::<Vec<_>>();
        assert_eq!(
            edited(None),
            [
                "capital of  India is",
                "The of  India is",
                "The capital  India is",
                "The capital of is",
                "The capital of  India"
            ]
        );
        assert_eq!(edited(Some("x"))[3], "The capital of  x is");
        assert_eq!(edited(Some("x"))[0], "x capital of  India is");
        let lines = of_text("one\ntwo\n", Unit::Line);
        assert_eq!(edit("one\ntwo\n", lines[0].clone(), Some("x")), "x\ntwo\n");
        assert_eq!(edit("one\ntwo\n", lines[1].clone(), None), "one\n");
        assert_eq!(edit("one", 0..3, None), "");
    }
}
