//! A record against the model that it claims to come from.

use crate::{Distribution, Exactness, NodeId, TokenId, Tree};
use serde::Serialize;

/// A number of the record that the model does not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The node after which the token comes.
    pub node: NodeId,
    /// The token.
    pub token: TokenId,
    /// Its logprob in the record.
    pub recorded: f64,
    /// Its logprob now.
    pub now: f64,
}

impl Difference {
    /// `|recorded - now|`.
    pub fn size(&self) -> f64 {
        (self.recorded - self.now).abs()
    }
}

/// What comparing found so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Nodes compared.
    pub nodes: usize,
    /// Numbers compared.
    pub logprobs: usize,
    /// Of these, how many are the same bits.
    pub identical: usize,
    /// The largest difference; the first of several.
    pub largest: Option<Difference>,
    /// The first difference of any size.
    pub first: Option<Difference>,
    /// The first node whose listed tokens come in another order now.
    pub reordered: Option<NodeId>,
}

impl Report {
    /// Compares a node's record with its distribution now, which must list as many tokens as are recorded and answer
    /// for the children in `tokens`, in their order.
    pub fn compare(&mut self, tree: &Tree, n: NodeId, now: &Distribution) {
        let Some(e) = tree.expansion(n) else { return };
        self.nodes += 1;
        let same_order = e.top.iter().zip(&now.top).all(|(a, b)| a.id == b.id) && now.top.len() >= e.top.len();
        if !same_order && self.reordered.is_none() {
            self.reordered = Some(n);
        }
        let children = e.children.iter().filter_map(|&c| Some((tree.token(c)?, tree.logprob(c))));
        let listed = e.top.iter().map(|t| (t.id, t.logprob));
        for (token, recorded) in listed.chain(children) {
            let found = now.top.iter().chain(&now.tokens).find(|t| t.id == token);
            // Where a list ends tells nothing about what is behind it.
            if found.is_none() && now.exactness != Exactness::Exact {
                continue;
            }
            // Neither listed now nor asked for: so much has changed that no number can tell.
            let now = found.map_or(f64::NEG_INFINITY, |t| t.logprob);
            self.note(Difference { node: n, token, recorded, now });
        }
    }

    fn note(&mut self, d: Difference) {
        self.logprobs += 1;
        if d.recorded.to_bits() == d.now.to_bits() {
            self.identical += 1;
            return;
        }
        self.first.get_or_insert(d);
        if self.largest.is_none_or(|l| d.size() > l.size()) {
            self.largest = Some(d);
        }
    }

    /// The largest difference in nats; 0 if there is none.
    pub fn max_difference(&self) -> f64 {
        self.largest.map_or(0.0, |d| d.size())
    }

    /// Whether every number is the same bits.
    pub fn is_identical(&self) -> bool {
        self.identical == self.logprobs && self.reordered.is_none()
    }
}
