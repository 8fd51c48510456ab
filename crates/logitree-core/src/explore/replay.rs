//! Resuming a stopped run: its policy repeats the visits that the tree records, and checks each of them.
//!
//! A tree that the policy did not grow cannot be continued: a node would be visited twice, or never. Run files may come
//! from anywhere, so each policy goes through the tree in its own order and refuses a visit that it would not have
//! made.

use super::ParameterError;
use crate::tree::Turn;
use crate::{NodeId, Stop, Tree};
use std::collections::VecDeque;

/// Why a policy cannot continue a tree.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResumeError {
    /// A parameter is outside its range.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The tree is not one that the policy grows.
    #[error(
        "node {}: {what}; lines are missing, changed or out of order, so the run cannot be gone on with \
         (it can still be shown and exported)", node.0
    )]
    Order {
        /// The first node at which this shows.
        node: NodeId,
        /// What was done there that the policy would not have done.
        what: String,
    },
}

impl ResumeError {
    pub(super) fn order(node: NodeId, what: impl Into<String>) -> ResumeError {
        ResumeError::Order { node, what: what.into() }
    }
}

/// Refuses a tree in which the strategy expanded a node of the user: strategies never visit these.
pub(super) fn check_own(tree: &Tree) -> Result<(), ResumeError> {
    match tree.nodes().find(|&n| tree.by_user(n) && tree.turn(n) == Turn::Expanded) {
        Some(n) => Err(ResumeError::order(n, "the strategy expanded it, and it was added by hand")),
        None => Ok(()),
    }
}

/// Refuses a visit that does not end as the policy would have ended it. `terminal` is the policy's reason to stop at
/// the node without evaluating it. `prunes` says whether branch rules are in force: only they can leave an evaluated
/// node without children.
pub(super) fn check_visit(n: NodeId, turn: Turn, terminal: Option<Stop>, prunes: bool) -> Result<(), ResumeError> {
    let fits = match (turn, terminal) {
        (Turn::Open, _) => true,
        (Turn::Stopped(stop), Some(reason)) => stop == reason,
        (Turn::Stopped(stop), None) => stop == Stop::Pruned && prunes,
        // Earlier versions knew the length of the context less well, so older files may expand a node where it is full.
        (Turn::Expanded, reason) => reason.is_none_or(|r| r == Stop::Context),
    };
    let would =
        terminal.map_or("would not stop there".to_string(), |stop| format!("stops there for `{}`", stop.name()));
    match turn {
        _ if fits => Ok(()),
        Turn::Stopped(stop) => {
            Err(ResumeError::order(n, format!("it stopped for `{}`, and the strategy {would}", stop.name())))
        }
        _ => Err(ResumeError::order(n, format!("it was expanded, and the strategy {would}"))),
    }
}

/// Refuses a tree in which one of the nodes in `waiting` was visited, although it comes after `first`, which is open.
pub(super) fn check_open(
    tree: &Tree,
    mut waiting: impl Iterator<Item = NodeId>,
    first: NodeId,
) -> Result<(), ResumeError> {
    match waiting.find(|&n| tree.turn(n) != Turn::Open) {
        Some(n) => {
            Err(ResumeError::order(n, format!("it was visited before node {}, whose turn comes first", first.0)))
        }
        None => Ok(()),
    }
}

/// Rebuilds the queue of a first-in-first-out policy from its tree. The children of an expanded node join the queue
/// most likely first. `check` is called for every visit.
pub(super) fn replay_queue(
    tree: &Tree,
    mut check: impl FnMut(NodeId, Turn) -> Result<(), ResumeError>,
) -> Result<VecDeque<NodeId>, ResumeError> {
    check_own(tree)?;
    let mut queue = VecDeque::from([NodeId::ROOT]);
    while let Some(&n) = queue.front() {
        let turn = tree.turn(n);
        if turn == Turn::Open {
            check_open(tree, queue.iter().copied(), n)?;
            break;
        }
        check(n, turn)?;
        if turn == Turn::Expanded {
            queue.extend(tree.own_children(n));
        }
        queue.pop_front();
    }
    Ok(queue)
}
