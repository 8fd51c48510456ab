//! Taking the turns that a stopped run's tree shows were taken.
//!
//! A tree that a policy did not grow cannot be gone on with: a node would be visited twice, or never. Files may come
//! from anywhere, so each policy goes through the tree in its own order and refuses what it would not have done.

use super::ParameterError;
use crate::tree::Turn;
use crate::{NodeId, Stop, Tree};
use std::collections::VecDeque;

/// Why a policy cannot go on with a tree.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResumeError {
    /// A parameter is outside its range.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The tree is not what the policy makes.
    #[error(
        "node {}: {what}; lines are missing, changed or out of order, so the run cannot be gone on with \
         (it can still be shown and exported)", node.0
    )]
    Order {
        /// Where it shows first.
        node: NodeId,
        /// What the policy would not have done.
        what: String,
    },
}

impl ResumeError {
    pub(super) fn order(node: NodeId, what: impl Into<String>) -> ResumeError {
        ResumeError::Order { node, what: what.into() }
    }
}

/// Refuses nodes that the strategy expanded though they are the user's: it never visits those.
pub(super) fn check_own(tree: &Tree) -> Result<(), ResumeError> {
    match tree.nodes().find(|&n| tree.by_user(n) && tree.turn(n) == Turn::Expanded) {
        Some(n) => Err(ResumeError::order(n, "the strategy expanded it, and it was added by hand")),
        None => Ok(()),
    }
}

/// Refuses a visit that does not end as the policy would have ended it: `terminal` is its reason to stop there without
/// looking further, and only with branch rules in force (`prunes`) may a node be left without children.
pub(super) fn check_visit(n: NodeId, turn: Turn, terminal: Option<Stop>, prunes: bool) -> Result<(), ResumeError> {
    let fits = match (turn, terminal) {
        (Turn::Open, _) => true,
        (Turn::Stopped(stop), Some(reason)) => stop == reason,
        (Turn::Stopped(stop), None) => stop == Stop::Pruned && prunes,
        // How long the context is has not always been known as well as it is now.
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

/// Refuses nodes that were visited before `first`, whose turn it is.
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

/// The queue of a first-in-first-out policy, as the tree shows it. Its children join it most likely first. `check` is asked
/// about every visit.
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
