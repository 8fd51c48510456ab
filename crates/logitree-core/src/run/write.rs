//! Writes the lines of a run file: those of a change as it happens, and those of a whole run.

use super::{Adopted, By, End, EndReason, Event, Expand, NewNode, Run, StopEvent, Token, TopToken};
use crate::explore::Change;
use crate::tree::{Expansion, State};
use crate::{NodeId, TokenId, Tree};
use serde_json::Map;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};

/// The lines that record a change, in order. `bytes` gives a token's raw bytes.
pub fn change_events<'a>(tree: &Tree, change: Change, bytes: &dyn Fn(TokenId) -> Cow<'a, [u8]>) -> Vec<Event> {
    let (node, by) = match change {
        Change::Stopped(node, reason) => return vec![Event::Stop(StopEvent { node, reason })],
        Change::Grafted(node) => return node_event(tree, node, Some(By::User), bytes).into_iter().collect(),
        Change::Expanded(node) => (node, None),
        Change::ByUser(node) => (node, Some(By::User)),
    };
    let Some(e) = tree.expansion(node) else { return Vec::new() };
    // Children that were there before have their lines already. Skip children that the user made when the strategy
    // expanded the node, and those that the strategy made when the user did.
    let adopted: HashSet<NodeId> = e.adopted.iter().copied().collect();
    let is_new = |c: &NodeId| tree.by_user(*c) == by.is_some() && !adopted.contains(c);
    let new = e.children.iter().copied().filter(is_new).collect();
    expand_events(tree, node, e, by, new, bytes)
}

/// An `expand` and the lines of its new children.
fn expand_events<'a>(
    tree: &Tree,
    node: NodeId,
    e: &Expansion,
    by: Option<By>,
    mut new: Vec<NodeId>,
    bytes: &dyn Fn(TokenId) -> Cow<'a, [u8]>,
) -> Vec<Event> {
    // The lines must come in the order of the ids. If the node had other children before, all were sorted by
    // probability.
    new.sort_unstable();
    let top = e.top.iter().map(|t| {
        let Token { id, text, bytes } = Token::new(t.id, &bytes(t.id));
        TopToken { id, text, bytes, logprob: t.logprob }
    });
    // The user's expansions have no threshold and no queue: no policy decided them.
    let adopted = if by.is_none() { &e.adopted[..] } else { &[] };
    let mut events = Vec::with_capacity(1 + new.len());
    events.push(Event::Expand(Expand {
        node,
        threshold: e.threshold.filter(|_| by.is_none()),
        queue: if by.is_none() { e.queue } else { 0 },
        entropy: e.entropy,
        varentropy: e.varentropy,
        logsumexp: e.logsumexp,
        logits_sha256: e.logits_sha256,
        exactness: e.exactness,
        top: top.collect(),
        children: new.len(),
        watch: e.watched.clone(),
        by,
        adopts: adopted.iter().map(|&node| Adopted { node, samples: tree.samples(node) }).collect(),
    }));
    events.extend(new.into_iter().filter_map(|n| node_event(tree, n, by, bytes)));
    events
}

/// The line of a node; `None` for the root, which has none.
fn node_event<'a>(
    tree: &Tree,
    node: NodeId,
    by: Option<By>,
    bytes: &dyn Fn(TokenId) -> Cow<'a, [u8]>,
) -> Option<Event> {
    let Token { id, text, bytes } = tree.token(node).map(|id| Token::new(id, &bytes(id)))?;
    let (parent, logprob, samples) = (tree.parent(node)?, tree.logprob(node), tree.samples(node));
    Some(Event::Node(NewNode { node, parent, id, text, bytes, logprob, samples, by }))
}

/// The `end` line of a run.
pub fn end_event(tree: &Tree, reason: EndReason, seconds: f64) -> End {
    let completed = tree.finished().count();
    let possibly_more = tree.nodes().filter(|&n| tree.possibly_more(n)).count();
    let (mass, nodes) = (tree.accounting(), tree.len());
    End { reason, mass, nodes, completed, seconds, limits: Map::new(), summation_orders: Vec::new(), possibly_more }
}

/// How a node of a finished tree was made, which decides where its line is.
#[derive(Clone, Copy)]
enum Made {
    /// It is the first new child of the policy's `expand` of its parent.
    Expanded,
    /// It is the first new child of the user's `expand` of its parent.
    ByUser,
    /// It is a later child of such an `expand`: its line follows that of its sibling.
    With,
    /// The user added it to a node that was expanded already.
    Grafted,
}

/// Writes a whole run as a run file. Reading the file gives the same run.
///
/// A tree does not tell in which order its nodes were visited. The lines are written in one of the orders that make the
/// same tree: nodes by their ids, then the stops. If the policy visited a node after the user, only what the tree still
/// shows of the user's part is written; reading keeps no more.
///
/// # Errors
/// If writing fails.
pub fn write_run(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |event: Event| -> io::Result<()> {
        serde_json::to_writer(&mut *out, &event)?;
        out.write_all(b"\n")
    };
    let tree = &run.tree;
    let bytes = |id| Cow::Borrowed(run.bytes(id));
    line(Event::Header(Box::new(run.header.clone())))?;
    let (made, takes_over) = origins(tree);
    for n in tree.nodes() {
        let by = tree.parent(n).and_then(|parent| Some((parent, tree.expansion(parent)?)));
        if let Some((parent, e)) = by {
            let group = |first: NodeId| {
                let others = (first.0 + 1..tree.len() as u32).map(NodeId);
                let same =
                    others.take_while(|&m| matches!(made[m.index()], Made::With) && tree.parent(m) == Some(parent));
                std::iter::once(first).chain(same).collect()
            };
            let events = match made[n.index()] {
                Made::Expanded => expand_events(tree, parent, e, None, group(n), &bytes),
                Made::ByUser => expand_events(tree, parent, e, Some(By::User), group(n), &bytes),
                Made::Grafted => node_event(tree, n, Some(By::User), &bytes).into_iter().collect(),
                Made::With => Vec::new(),
            };
            events.into_iter().try_for_each(&mut line)?;
        }
        if let Some((parent, e)) = takes_over[n.index()].and_then(|parent| Some((parent, tree.expansion(parent)?))) {
            expand_events(tree, parent, e, None, Vec::new(), &bytes).into_iter().try_for_each(&mut line)?;
        }
    }
    for node in tree.nodes() {
        let reason = match tree.state(node) {
            State::Stopped(stop) => Some(*stop),
            State::Expanded(e) => e.stopped,
            State::Open => None,
        };
        reason.map_or(Ok(()), |reason| line(Event::Stop(StopEvent { node, reason })))?;
    }
    run.end.clone().map_or(Ok(()), |end| line(Event::End(end)))
}

/// How each node was made; and, for each node `m`, the node (if any) that the policy expanded right after `m` was made
/// without making a child of its own, because it only took over children that the user had made.
fn origins(tree: &Tree) -> (Vec<Made>, Vec<Option<NodeId>>) {
    let mut made = vec![Made::Grafted; tree.len()];
    let mut takes_over = vec![None; tree.len()];
    for n in tree.nodes() {
        let Some(e) = tree.expansion(n) else { continue };
        let adopted: HashSet<NodeId> = e.adopted.iter().copied().collect();
        let of_policy = |c: &NodeId| !tree.by_user(*c) && !adopted.contains(c);
        let mut own: Vec<NodeId> = e.children.iter().copied().filter(of_policy).collect();
        own.sort_unstable();
        for (i, c) in own.iter().enumerate() {
            made[c.index()] = if i == 0 { Made::Expanded } else { Made::With };
        }
        // The user's children with ids up to `until` were made before the policy came, so the user expanded the node
        // first.
        let until = own.first().copied().or(e.adopted.iter().copied().max());
        if let (true, Some(last)) = (own.is_empty() && !e.by_user, until) {
            takes_over[last.index()] = Some(n);
        }
        let before = |c: &&NodeId| !of_policy(c) && (e.by_user || until.is_some_and(|u| **c <= u));
        let group = first_group(e.children.iter().filter(before).copied());
        for (i, c) in group.into_iter().enumerate() {
            made[c.index()] = if i == 0 { Made::ByUser } else { Made::With };
        }
    }
    (made, takes_over)
}

/// The children that the user's `expand` can have made: those with consecutive ids from the lowest on that also stand
/// in this order in `children`. The others were added one by one later, which sorts the siblings by probability.
fn first_group(children: impl Iterator<Item = NodeId> + Clone) -> Vec<NodeId> {
    let mut group: Vec<NodeId> = children.clone().min().into_iter().collect();
    let lowest = group.first().copied();
    // Each must stand behind the one before it, so one pass finds them all.
    for c in children.skip_while(|c| Some(*c) != lowest) {
        if group.last().is_some_and(|last| c.0 == last.0 + 1) {
            group.push(c);
        }
    }
    group
}
