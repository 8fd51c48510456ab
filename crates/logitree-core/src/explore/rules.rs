//! Limits on branching that every policy may be given.

use crate::TokenStats;
use crate::parameters::ParameterError;
use serde::{Deserialize, Serialize};

/// Limits on the tokens that become children of a node, in addition to the policy's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BranchRules {
    /// A child whose path would be less likely than this is cut.
    pub min_path_prob: f64,
    /// The most likely tokens are kept until the sum of their probabilities reaches this.
    pub top_p: f64,
    /// Largest number of children; `None` is no limit.
    pub max_branches: Option<usize>,
}

impl Default for BranchRules {
    fn default() -> Self {
        BranchRules { min_path_prob: 0.0, top_p: 1.0, max_branches: None }
    }
}

impl BranchRules {
    /// Checks the limits' ranges.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        ParameterError::probability("min_path_prob", self.min_path_prob)?;
        ParameterError::probability("top_p_branch", self.top_p)?;
        self.max_branches.map_or(Ok(()), |n| ParameterError::at_least_one("max_branches", n))
    }

    /// How many of the tokens in `top` (most likely first) may become children of a node of this mass.
    pub fn kept(&self, mass: f64, top: &[TokenStats]) -> usize {
        let mut before = 0.0;
        let keep = top.iter().take(self.max_branches.unwrap_or(usize::MAX)).take_while(|t| {
            // `top_p` keeps a token if the sum of those before it is below `top_p`.
            let needed = before < self.top_p;
            before += t.prob();
            needed && mass * t.prob() >= self.min_path_prob
        });
        keep.count()
    }

    /// Whether the rules have their defaults, which cut nothing.
    pub fn is_empty(&self) -> bool {
        *self == BranchRules::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenId;

    #[test]
    fn each_rule_keeps_what_was_computed_by_hand() {
        let probs = [0.5f64, 0.3, 0.15, 0.05];
        let top: Vec<TokenStats> =
            (0..4).map(|i| TokenStats { id: TokenId(i), logprob: probs[i as usize].ln(), rank: i + 1 }).collect();
        let none = BranchRules::default();
        assert_eq!(none.kept(0.1, &top), 4);
        assert_eq!(BranchRules { max_branches: Some(3), ..none }.kept(1.0, &top), 3);
        assert_eq!(BranchRules { top_p: 0.7, ..none }.kept(1.0, &top), 2);
        assert_eq!(BranchRules { top_p: 0.5, ..none }.kept(1.0, &top), 1);
        // Paths of 0.05, 0.03, 0.015, 0.005.
        assert_eq!(BranchRules { min_path_prob: 0.02, ..none }.kept(0.1, &top), 2);
        assert_eq!(BranchRules { min_path_prob: 0.06, ..none }.kept(0.1, &top), 0);
    }
}
