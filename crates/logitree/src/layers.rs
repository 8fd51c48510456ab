//! What each layer of a model would have predicted.

use crate::error::{Context, Result, fail};
use crate::events::Work;
use crate::{Model, Prompt, check_verifiable, first_ids};
use logitree_core::layers::LayerDistributions;
use logitree_core::run::{Run, Watch};
use logitree_core::{NodeHandle, NodeId, Query, Session, TokenId, Tree};
use std::collections::HashMap;
use std::ops::Range;

/// A place in a text where a model is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerQuery {
    /// Number of tokens of the text that stand before the place; at least 1.
    pub after: usize,
    /// Tokens whose log probability, rank and logit are wanted at every layer, besides the two most likely ones.
    pub tokens: Vec<TokenId>,
}

/// Number of places that are evaluated between two checks whether to stop. Each is as many rows of the output matrix as
/// the model has layers.
pub(crate) const PIECE: usize = 16;

impl Model {
    /// Refuses an operation that looks into a model, if the model is not in this process.
    ///
    /// # Errors
    /// If the model is not in this process.
    pub(crate) fn need_layers(&self, what: &str) -> Result<()> {
        if self.local().is_none() {
            fail!(
                Unsupported,
                "{what} looks into a model, and {} does not run in this process: only its last layer's distribution is \
                 known. Name a model with -m in place of --engine",
                self.name()
            );
        }
        Ok(())
    }

    /// What each layer would have predicted at these places of a text, in their order. If the work is interrupted, the
    /// last ones are missing.
    ///
    /// # Errors
    /// If the model is not in this process, a place is outside the text, the text does not fit the model's context, or
    /// the model fails.
    pub fn layers(&self, text: &[TokenId], queries: &[LayerQuery]) -> Result<Vec<LayerDistributions>> {
        self.need_layers("`layers`")?;
        let mut session = self.session()?;
        let nodes = session.push_all(None, text)?;
        let work = Work(self.events());
        let mut found = Vec::with_capacity(queries.len());
        for batch in queries.chunks(PIECE) {
            if self.events().stop() {
                break;
            }
            let mut asked = Vec::with_capacity(batch.len());
            for q in batch {
                let node = q.after.checked_sub(1).and_then(|i| nodes.get(i));
                let node = *node.with_context(|| format!("there is no place after {} tokens of the text", q.after))?;
                asked.push(Query { tokens: &q.tokens, ..Query::top(node, 1) });
            }
            found.extend(session.layers(&asked)?);
            work.words(|| format!("layers of {} of {} places", found.len(), queries.len()));
        }
        Ok(found)
    }

    /// What each layer would have predicted after each prompt: of the first tokens of the watched strings, and of these
    /// tokens.
    ///
    /// # Errors
    /// As for [`Model::layers`].
    pub fn layers_after(
        &self,
        prompts: &[Prompt],
        watch: &[Watch],
        tokens: &[TokenId],
    ) -> Result<Vec<LayerDistributions>> {
        let asked: Vec<TokenId> = first_ids(watch).chain(tokens.iter().copied()).collect();
        let mut found = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let query = LayerQuery { after: prompt.tokens.len(), tokens: asked.clone() };
            found.extend(self.layers(&prompt.tokens, &[query])?);
        }
        Ok(found)
    }

    /// What each layer would have predicted in the place of some tokens of a text: of these tokens, and of the first
    /// tokens of the watched strings.
    ///
    /// # Errors
    /// As for [`Model::layers`].
    pub fn layers_of(
        &self,
        text: &[TokenId],
        scored: Range<usize>,
        watch: &[Watch],
    ) -> Result<Vec<LayerDistributions>> {
        let query =
            |i| LayerQuery { after: i, tokens: text.get(i).copied().into_iter().chain(first_ids(watch)).collect() };
        self.layers(text, &scored.map(query).collect::<Vec<_>>())
    }

    /// What each layer would have predicted after these nodes of a stored run, in their order: of each node's children,
    /// and of the first tokens of the watched strings. If the work is interrupted, the last ones are missing. `what`
    /// names the run in messages.
    ///
    /// # Errors
    /// If the model is not in this process, another one made the run, a node does not exist, or the model fails.
    pub fn layers_in(
        &self,
        what: &str,
        run: &Run,
        nodes: &[NodeId],
        watch: &[Watch],
    ) -> Result<Vec<LayerDistributions>> {
        self.need_layers("`layers`")?;
        check_verifiable(what, run)?;
        self.check_made(what, &run.header.model)?;
        if let Some(n) = nodes.iter().find(|n| n.index() >= run.tree.len()) {
            fail!(NotFound, "{what} has no node {}: its nodes are 0 to {}", n.0, run.tree.len() - 1);
        }
        let prompt: Vec<TokenId> = run.header.prompt.tokens.iter().map(|t| t.id).collect();
        let mut session = self.session()?;
        let root = *session.push_all(None, &prompt)?.last().context("the prompt has no tokens")?;
        let mut handles = HashMap::from([(NodeId::ROOT, root)]);
        let children = |n: NodeId| run.tree.children(n).iter().filter_map(|&c| run.tree.token(c));
        let work = Work(self.events());
        let mut found = Vec::with_capacity(nodes.len());
        for batch in nodes.chunks(PIECE) {
            if self.events().stop() {
                break;
            }
            let asked: Vec<(NodeHandle, Vec<TokenId>)> = batch
                .iter()
                .map(|&n| {
                    Ok((
                        reach(&mut *session, &run.tree, &mut handles, n)?,
                        children(n).chain(first_ids(watch)).collect(),
                    ))
                })
                .collect::<Result<_>>()?;
            let queries: Vec<Query<'_>> =
                asked.iter().map(|(node, tokens)| Query { tokens, ..Query::top(*node, 1) }).collect();
            found.extend(session.layers(&queries)?);
            work.words(|| format!("layers of {} of {} nodes", found.len(), nodes.len()));
        }
        Ok(found)
    }
}

/// The session's node of a tree's node; those on the way that it does not have are pushed.
fn reach(
    session: &mut dyn Session,
    tree: &Tree,
    handles: &mut HashMap<NodeId, NodeHandle>,
    n: NodeId,
) -> Result<NodeHandle> {
    let mut missing = Vec::new();
    let mut at = Some(n);
    while let Some(node) = at.filter(|node| !handles.contains_key(node)) {
        missing.push(node);
        at = tree.parent(node);
    }
    for node in missing.into_iter().rev() {
        let above = tree.parent(node).and_then(|parent| handles.get(&parent)).copied();
        let token = tree.token(node).context("every node but the root has a token")?;
        handles.insert(node, session.push(above, token)?);
    }
    handles.get(&n).copied().context("its path was pushed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::layers::{Place, table};
    use crate::{NextOptions, ScoreOptions};

    include!("../tests/common/tiny.rs");

    #[test]
    fn the_last_layer_is_the_model() {
        let folder = tiny_model();
        let model = Model::open(folder.path().to_str().unwrap()).unwrap();
        let prompt = model.prompt("hello world, hello world, hello world").unwrap();
        let last = prompt.tokens.len();
        // More places than are evaluated at once.
        let queries: Vec<LayerQuery> =
            (1..last).map(|after| LayerQuery { after, tokens: vec![prompt.tokens[after]] }).collect();
        assert!(queries.len() > PIECE);
        let found = model.layers(&prompt.tokens, &queries).unwrap();
        let scored = model.score(&prompt, &ScoreOptions::default()).unwrap();
        assert_eq!(found.len(), scored.tokens.len());
        for (layers, token) in found.iter().zip(&scored.tokens) {
            let own = layers.layers.last().unwrap();
            assert_eq!((own.tokens[0], own.entropy, own.top[0]), (token.token, token.entropy, token.top[0]));
            assert!(layers.decided() < layers.layers.len());
        }
        let after = LayerQuery { after: last, tokens: Vec::new() };
        let found = model.layers(&prompt.tokens, &[after]).unwrap();
        let (next, _) = model.next_tokens(std::slice::from_ref(&prompt), &NextOptions::default()).unwrap();
        let top = &next[0].distribution.top;
        assert_eq!(found[0].tokens, [top[0].id, top[1].id]);
        let mut written = Vec::new();
        table(&model, &[Place { name: "here".into(), found: &found[0] }]).csv(&mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        let rows: Vec<&str> = written.lines().collect();
        assert_eq!(rows[0], "place,layer,token_id,text,logprob,rank,part,best_id,best");
        // Two tokens, each with a row per layer and the rest.
        assert_eq!(rows.len(), 1 + 2 * (found[0].layers.len() + 1), "{written}");
        for wrong in [0, last + 1] {
            let error = model.layers(&prompt.tokens, &[LayerQuery { after: wrong, tokens: Vec::new() }]).unwrap_err();
            assert!(error.to_string().contains(&format!("after {wrong} tokens")), "{error}");
        }
    }
}
