//! Compares two models on one text, or two runs.
//!
//! The first of two is always the reference, called A; the other is B. Divergences are over the whole vocabulary, in
//! nats:
//!
//! ```text
//! KL(A‖B) = Σ p_A · (ln p_A − ln p_B)
//! KL(B‖A) = Σ p_B · (ln p_B − ln p_A)
//! JS      = ½ Σ p_A · (ln p_A − ln m) + ½ Σ p_B · (ln p_B − ln m)      with m = ½ (p_A + p_B); at most ln 2
//! ```

mod align;
mod summary;
mod trees;

pub use align::{Aligned, align};
pub use summary::{ComparedStep, Estimate, Spread, Summary, summarise};
pub use trees::{Exit, Fork, TreeComparison, compare_trees};

/// How far two distributions over one vocabulary are apart, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Divergence {
    /// Kullback-Leibler divergence of B from A: what is lost where B stands in for A.
    pub kl_ab: f64,
    /// Kullback-Leibler divergence of A from B.
    pub kl_ba: f64,
    /// Jensen-Shannon divergence, between 0 and ln 2.
    pub js: f64,
}

/// The divergence of two distributions, each given by its logits `[vocab]` and its logsumexp. The sums are in f64, in
/// order of token ids. `None` if the vocabularies differ in size.
pub fn divergence((a, sum_a): (&[f32], f64), (b, sum_b): (&[f32], f64)) -> Option<Divergence> {
    if a.len() != b.len() {
        return None;
    }
    let mut d = Divergence::default();
    for (&a, &b) in a.iter().zip(b) {
        let ln = [f64::from(a) - sum_a, f64::from(b) - sum_b];
        if ln[0] == ln[1] {
            continue;
        }
        let (larger, smaller) = if ln[0] > ln[1] { (0, 1) } else { (1, 0) };
        let mut prob = [ln[larger].exp(); 2];
        // The ratio of both probabilities. ln m is ln of the larger one, plus ln of ½ (1 + ratio).
        let ratio = (ln[smaller] - ln[larger]).exp();
        prob[smaller] *= ratio;
        let ln_mean = ln[larger] + ratio.ln_1p() - std::f64::consts::LN_2;
        // A token that is impossible under a distribution adds nothing to its own sums, whatever the other says.
        let part = |side: usize, other: f64| if prob[side] > 0.0 { prob[side] * (ln[side] - other) } else { 0.0 };
        d.kl_ab += part(0, ln[1]);
        d.kl_ba += part(1, ln[0]);
        d.js += 0.5 * (part(larger, ln_mean) + part(smaller, ln_mean));
    }
    // Rounding can leave sums of equal distributions slightly below 0.
    Some(Divergence { kl_ab: d.kl_ab.max(0.0), kl_ba: d.kl_ba.max(0.0), js: d.js.max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(probs: &[f64]) -> Vec<f32> {
        probs.iter().map(|p| p.ln() as f32).collect()
    }

    #[test]
    fn divergences_by_hand() {
        let d = divergence((&of(&[0.5, 0.5]), 0.0), (&of(&[0.25, 0.75]), 0.0)).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(d.kl_ab, 0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln());
        near(d.kl_ba, 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln());
        let m = [0.375f64, 0.625];
        let half = |p: [f64; 2]| (p[0] * (p[0] / m[0]).ln() + p[1] * (p[1] / m[1]).ln()) / 2.0;
        near(d.js, half([0.5, 0.5]) + half([0.25, 0.75]));
        // Where B has no probability at all, A is infinitely far from it, and JS is at most ln 2.
        let apart = divergence((&[0.0, f32::NEG_INFINITY], 0.0), (&[f32::NEG_INFINITY, 0.0], 0.0)).unwrap();
        assert_eq!(apart, Divergence { kl_ab: f64::INFINITY, kl_ba: f64::INFINITY, js: 2f64.ln() });
        assert_eq!(divergence((&[0.0], 0.0), (&[0.0, 0.0], 2f64.ln())), None);
    }

    proptest! {
        #[test]
        fn divergences_are_not_negative_and_js_is_symmetric(
            logits in prop::collection::vec((-20f32..20.0, -20f32..20.0), 1..50)
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = logits.into_iter().unzip();
            let sum = |l: &[f32]| l.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
            let (a, b) = ((&a[..], sum(&a)), (&b[..], sum(&b)));
            let (d, turned) = (divergence(a, b).unwrap(), divergence(b, a).unwrap());
            prop_assert!(d.kl_ab >= 0.0 && d.kl_ba >= 0.0 && d.js <= 2f64.ln() + 1e-9);
            prop_assert!((d.js - turned.js).abs() < 1e-12);
            prop_assert_eq!((d.kl_ab, d.kl_ba), (turned.kl_ba, turned.kl_ab));
            // JS is the mean of two KL divergences from a mixture that contains half of each: at most ln 2, and at
            // most a quarter of the sum of both (Lin 1991).
            prop_assert!(d.js <= (d.kl_ab + d.kl_ba) / 4.0 + 1e-9);
            prop_assert_eq!(divergence(a, a).unwrap(), Divergence::default());
        }
    }
}
