//! Events from a tree.

use super::{Adopted, By, End, EndReason, Event, Expand, Node, StopEvent, Token, TopToken};
use crate::explore::Change;
use crate::{NodeId, Stop, TokenId, Tree};
use std::borrow::Cow;

/// The lines that record a change, in order. `bytes` gives a token's raw bytes.
pub fn change_events<'a>(tree: &Tree, change: Change, bytes: &dyn Fn(TokenId) -> Cow<'a, [u8]>) -> Vec<Event> {
    let by = |node: NodeId| tree.by_user(node).then_some(By::User);
    let line = |node: NodeId| {
        let Token { id, text, bytes } = tree.token(node).map(|id| Token::new(id, &bytes(id)))?;
        let (parent, logprob, samples) = (tree.parent(node)?, tree.logprob(node), tree.samples(node));
        Some(Event::Node(Node { node, parent, id, text, bytes, logprob, samples, by: by(node) }))
    };
    let (node, by_user) = match change {
        Change::Stopped(node, reason) => return vec![Event::Stop(StopEvent { node, reason })],
        Change::Grafted(node) => return line(node).into_iter().collect(),
        Change::Expanded(node) => (node, false),
        Change::ByUser(node) => (node, true),
    };
    let Some(e) = tree.expansion(node) else { return Vec::new() };
    // Children that were there before have their lines already, and those of the other hand are none of this change's.
    let is_new = |c: &&NodeId| tree.by_user(**c) == by_user && !e.adopted.contains(c);
    let new: Vec<NodeId> = e.children.iter().filter(is_new).copied().collect();
    let mut events = Vec::with_capacity(1 + new.len());
    let top = e.top.iter().map(|t| {
        let Token { id, text, bytes } = Token::new(t.id, &bytes(t.id));
        TopToken { id, text, bytes, logprob: t.logprob }
    });
    events.push(Event::Expand(Expand {
        node,
        threshold: e.threshold,
        queue: e.queue,
        entropy: e.entropy,
        varentropy: e.varentropy,
        logsumexp: e.logsumexp,
        exactness: e.exactness,
        top: top.collect(),
        children: new.len(),
        watch: e.watched.clone(),
        by: by_user.then_some(By::User),
        adopts: e.adopted.iter().map(|&node| Adopted { node, samples: tree.samples(node) }).collect(),
    }));
    events.extend(new.into_iter().filter_map(line));
    events
}

/// The closing line.
pub fn end_event(tree: &Tree, reason: EndReason, seconds: f64) -> End {
    let completed = tree.nodes().filter(|&n| tree.stop(n) == Some(Stop::EndToken)).count();
    let possibly_more = tree.nodes().filter(|&n| tree.possibly_more(n)).count();
    End { reason, mass: tree.accounting(), nodes: tree.len(), completed, seconds, possibly_more }
}
