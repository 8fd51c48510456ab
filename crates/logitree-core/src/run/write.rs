//! Events from a tree.

use super::{End, EndReason, Event, Expand, Node, StopEvent, Token, TopToken};
use crate::explore::Change;
use crate::{Stop, TokenId, Tree};
use std::borrow::Cow;

/// The lines that record a change, in order. `bytes` gives a token's raw bytes.
pub fn change_events<'a>(tree: &Tree, change: Change, bytes: &dyn Fn(TokenId) -> Cow<'a, [u8]>) -> Vec<Event> {
    let node = match change {
        Change::Stopped(node, reason) => return vec![Event::Stop(StopEvent { node, reason })],
        Change::Expanded(node) => node,
    };
    let Some(e) = tree.expansion(node) else { return Vec::new() };
    let mut events = Vec::with_capacity(1 + e.children.len());
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
        children: e.children.len(),
        watch: e.watched.clone(),
    }));
    for &child in &e.children {
        let Some(id) = tree.token(child) else { continue };
        let Token { id, text, bytes } = Token::new(id, &bytes(id));
        let (logprob, samples) = (tree.logprob(child), tree.samples(child));
        events.push(Event::Node(Node { node: child, parent: node, id, text, bytes, logprob, samples }));
    }
    events
}

/// The closing line.
pub fn end_event(tree: &Tree, reason: EndReason, seconds: f64) -> End {
    let completed = tree.nodes().filter(|&n| tree.stop(n) == Some(Stop::EndToken)).count();
    End { reason, mass: tree.accounting(), nodes: tree.len(), completed, seconds }
}
