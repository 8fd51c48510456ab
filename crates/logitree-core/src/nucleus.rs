//! Sizes of nuclei: the number of tokens that top-p sampling leaves.

use crate::{Distribution, TokenStats, logprob};

/// The nucleus of a distribution: the fewest most likely tokens that together have at least some probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nucleus {
    /// The probability that the tokens must reach, in `[0, 1]`.
    pub mass: f64,
    /// The number of tokens: at least 1.
    pub tokens: usize,
    /// Whether the number is exact. If not, only a list of the most likely tokens is known, its sum is below `mass`,
    /// and the nucleus has at least this many tokens.
    pub exact: bool,
}

/// The nuclei of a distribution for these probabilities, in their order. They are exact if the distribution has its
/// logits, or if its list of the most likely tokens reaches the probability.
pub fn nuclei(d: &Distribution, masses: &[f64]) -> Vec<Nucleus> {
    let (logprobs, whole): (Vec<f64>, bool) = match &d.logits {
        Some(logits) => {
            let mut sorted = logits.clone();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            (sorted.into_iter().map(|l| logprob(l, d.logsumexp)).collect(), true)
        }
        None => (d.top.iter().map(|t: &TokenStats| t.logprob).collect(), false),
    };
    let sums: Vec<f64> = logprobs
        .iter()
        .scan(0.0, |sum, l| {
            *sum += l.exp();
            Some(*sum)
        })
        .collect();
    let nucleus = |&mass: &f64| {
        let before = sums.partition_point(|&sum| sum < mass);
        if before < sums.len() {
            Nucleus { mass, tokens: before + 1, exact: true }
        } else if whole {
            // Rounding may leave the sum of all tokens slightly below 1.
            Nucleus { mass, tokens: sums.len().max(1), exact: true }
        } else {
            Nucleus { mass, tokens: sums.len() + 1, exact: false }
        }
    };
    masses.iter().map(nucleus).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Sampler;
    use crate::{Exactness, TokenId};
    use proptest::prelude::*;

    fn listed(probs: &[f64]) -> Distribution {
        let stats = |(i, p): (usize, &f64)| TokenStats { id: TokenId(i as u32), logprob: p.ln(), rank: i as u32 + 1 };
        Distribution::of_list(probs.iter().enumerate().map(stats).collect(), Exactness::LowerBound)
    }

    #[test]
    fn sizes_by_hand() {
        let logits = [0.125f64, 0.5, 0.25, 0.125].map(|p| p.ln() as f32).to_vec();
        let d = Distribution { logsumexp: 0.0, logits: Some(logits), ..listed(&[]) };
        let sizes = |d: &Distribution, masses: &[f64]| -> Vec<(usize, bool)> {
            nuclei(d, masses).iter().map(|n| (n.tokens, n.exact)).collect()
        };
        assert_eq!(
            sizes(&d, &[0.0, 0.49, 0.51, 0.76, 0.88, 1.0]),
            [(1, true), (1, true), (2, true), (3, true), (4, true), (4, true)]
        );
        // Of a list of two with 0.75 of the probability, the third token and all further ones are not known.
        assert_eq!(sizes(&listed(&[0.5, 0.25]), &[0.4, 0.7, 0.9]), [(1, true), (2, true), (3, false)]);
    }

    proptest! {
        #[test]
        fn top_p_keeps_as_many(logits in prop::collection::vec(-6f32..6.0, 1..40), mass in 0.01f64..0.99) {
            let logsumexp = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
            let kept = Sampler { temperature: 1.0, top_p: mass, ..Sampler::default() }.distribution(&logits).len();
            let d = Distribution { logsumexp, logits: Some(logits), ..listed(&[]) };
            prop_assert_eq!(nuclei(&d, &[mass])[0].tokens, kept);
        }
    }
}
