//! Sums over all positions of a text, as users of llama.cpp's `llama-perplexity --kl-divergence` know them.

use super::Divergence;
use crate::TokenStats;

/// One position of a text under two models of one vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedStep {
    /// The token of the text under A and under B.
    pub token: [TokenStats; 2],
    /// The most likely token of A and of B.
    pub best: [TokenStats; 2],
    /// Entropy under A and under B, in nats.
    pub entropy: [f64; 2],
    /// How far the distributions are apart.
    pub divergence: Divergence,
}

impl ComparedStep {
    /// Log probability of the token under B less that under A, in nats.
    pub fn change(&self) -> f64 {
        self.token[1].logprob - self.token[0].logprob
    }

    /// Whether both find the same token most likely.
    pub fn agrees(&self) -> bool {
        self.best[0].id == self.best[1].id
    }
}

/// A mean with its standard error: the standard deviation of the values, divided by the root of their number less one.
/// The error is NaN for a single value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

impl Estimate {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Estimate {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let variance = values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        Estimate { mean, error: (variance / (n - 1.0)).sqrt() }
    }

    /// The exponential of the value, with the error to first order.
    fn exp(self) -> Estimate {
        let mean = self.mean.exp();
        Estimate { mean, error: mean * self.error }
    }
}

/// How values are spread. Quantiles between two values are interpolated linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Their mean, with its standard error.
    pub mean: Estimate,
    /// Half of them are at most this.
    pub median: f64,
    /// 99 % of them are at most this.
    pub p99: f64,
    /// 99.9 % of them are at most this.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        let mean = Estimate::of(values.iter().copied());
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (values.len() - 1) as f64;
            let (low, part) = (place as usize, place.fract());
            let high = values[(low + 1).min(values.len() - 1)];
            // Between two equal values nothing is to be interpolated, and infinite ones could not be.
            if part == 0.0 || values[low] == high { values[low] } else { (1.0 - part) * values[low] + part * high }
        };
        Spread { mean, median: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// What differs between two models on a whole text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of positions.
    pub tokens: usize,
    /// Log probability of the text under A and under B, in nats.
    pub logprob: [f64; 2],
    /// Perplexity under A and under B.
    pub perplexity: [Estimate; 2],
    /// Perplexity of B divided by that of A. The error is that of the differences token by token: it is smaller than
    /// what the errors of both perplexities suggest, because both are of one text.
    pub ratio: Estimate,
    /// KL(A‖B), in nats.
    pub kl_ab: Spread,
    /// KL(B‖A), in nats.
    pub kl_ba: Spread,
    /// Jensen-Shannon divergence, in nats.
    pub js: Spread,
    /// Share of positions where both find the same token most likely.
    pub agreement: Estimate,
    /// Mean of `Δp = p_B − p_A` of the text's tokens.
    pub change: Estimate,
    /// Root of the mean of Δp².
    pub rms_change: f64,
    /// The first position where the most likely tokens differ.
    pub first_flip: Option<usize>,
}

/// Sums up a text. `None` if it has no positions.
pub fn summarise(steps: &[ComparedStep]) -> Option<Summary> {
    if steps.is_empty() {
        return None;
    }
    let surprisals = |side: usize| steps.iter().map(move |s| -s.token[side].logprob);
    let spread = |value: fn(&Divergence) -> f64| Spread::of(steps.iter().map(|s| value(&s.divergence)).collect());
    let changes = steps.iter().map(|s| s.token[1].prob() - s.token[0].prob());
    Some(Summary {
        tokens: steps.len(),
        logprob: [0, 1].map(|side| -surprisals(side).sum::<f64>()),
        perplexity: [0, 1].map(|side| Estimate::of(surprisals(side)).exp()),
        ratio: Estimate::of(steps.iter().map(|s| -s.change())).exp(),
        kl_ab: spread(|d| d.kl_ab),
        kl_ba: spread(|d| d.kl_ba),
        js: spread(|d| d.js),
        agreement: Estimate::of(steps.iter().map(|s| f64::from(u8::from(s.agrees())))),
        rms_change: (changes.clone().map(|c| c * c).sum::<f64>() / steps.len() as f64).sqrt(),
        change: Estimate::of(changes),
        first_flip: steps.iter().position(|s| !s.agrees()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenId;

    #[test]
    fn sums_by_hand() {
        let stats = |id: u32, p: f64| TokenStats { id: TokenId(id), logprob: p.ln(), rank: 1 };
        let step = |p: f64, q: f64, best: [u32; 2], kl_ab: f64| ComparedStep {
            token: [stats(0, p), stats(0, q)],
            best: best.map(|id| stats(id, 0.9)),
            entropy: [0.0; 2],
            divergence: Divergence { kl_ab, kl_ba: 2.0 * kl_ab, js: 0.0 },
        };
        let s = summarise(&[
            step(0.5, 0.25, [1, 1], 0.1),
            step(0.5, 1.0, [1, 2], 0.3),
            step(0.25, 0.25, [3, 3], 0.2),
            step(0.25, 0.25, [3, 3], 0.0),
        ]);
        let s = s.unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        // Surprisals of A in bits: 1, 1, 2, 2; their mean is 1.5 and their variance 0.25.
        near(s.perplexity[0].mean, 1.5f64.exp2());
        near(s.perplexity[0].error, 1.5f64.exp2() * 2f64.ln() * (0.25f64 / 3.0).sqrt());
        near(s.perplexity[1].mean, 1.5f64.exp2());
        // Differences in bits: 1, -1, 0, 0.
        near(s.ratio.mean, 1.0);
        near(s.ratio.error, 2f64.ln() * (0.5f64 / 3.0).sqrt());
        near(s.logprob[1], -6.0 * 2f64.ln());
        near(s.kl_ab.mean.mean, 0.15);
        near(s.kl_ab.median, 0.15);
        // Place 2.97 among 0, 0.1, 0.2, 0.3.
        near(s.kl_ab.p99, 0.2 + 0.97 * 0.1);
        assert_eq!((s.kl_ab.max, s.kl_ba.max, s.first_flip, s.tokens), (0.3, 0.6, Some(1), 4));
        near(s.agreement.mean, 0.75);
        near(s.agreement.error, (0.75f64 * 0.25 / 3.0).sqrt());
        near(s.change.mean, 0.25 / 4.0);
        near(s.rms_change, ((0.0625f64 + 0.25) / 4.0).sqrt());
        assert_eq!(summarise(&[]), None);
        let one = summarise(&[step(0.5, 0.25, [1, 1], f64::INFINITY)]).unwrap();
        assert!(one.kl_ab.median.is_infinite() && one.perplexity[0].error.is_nan());
    }
}
