//! Where along a text its answer was decided.
//!
//! After the first `t` tokens of a text there is a [`Ledger`]: for every answer `a` the mass `D(a)` of continuations that
//! give it for certain, the mass `N` of those that give none, and the undecided mass `U`. The answers, and giving none,
//! are the **classes**. The true probabilities `P` of the classes are `P(c) = D(c) + u(c)` with `u(c) ≥ 0` and
//! `Σ u(c) = U`; nothing else is known about `u`.
//!
//! * Class `c` **leads** when it is ahead whatever `u` is: `D(c) > D(c') + U` for every other class, also for an answer
//!   that was never seen, whose `D` is 0.
//! * The text is **decided** at the first `t` from which on the same class leads to the text's end.
//! * The **entropy** over classes, `H = - Σ P(c) ln P(c)`, is concave, so its minimum over `u` is at a corner, where one
//!   class gets all of `U`. The gain `f(D + U) - f(D)` of `f(x) = -x ln x` falls with `D`, so that is the largest class.
//!   Its maximum is where the classes are as even as they can be: the smallest ones are filled up to a common level.

use crate::answers::{Ledger, Verdict};

/// Bounds of an entropy, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntropyBounds {
    /// Least entropy.
    pub lower: f64,
    /// Greatest entropy; `None` if classes that are not listed could have any part of the undecided mass.
    pub upper: Option<f64>,
}

/// The entropy over answers and giving none. `closed` says that there are no other answers than those of the ledger.
pub fn entropy(ledger: &Ledger, closed: bool) -> EntropyBounds {
    let mut masses: Vec<f64> = ledger.bounds().into_iter().map(|b| b.lower).chain([ledger.none()]).collect();
    masses.sort_by(f64::total_cmp);
    let undecided = ledger.undecided();
    let upper = closed.then(|| of(&level(&masses, undecided)));
    if let Some(largest) = masses.last_mut() {
        *largest += undecided;
    }
    EntropyBounds { lower: of(&masses), upper }
}

/// Entropy of masses that sum to 1, in nats.
fn of(masses: &[f64]) -> f64 {
    masses.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum::<f64>().max(0.0)
}

/// Masses, smallest first, with `more` added to the smallest ones so that they reach a common level.
fn level(masses: &[f64], more: f64) -> Vec<f64> {
    let mut sum = more;
    for (i, &mass) in masses.iter().enumerate() {
        sum += mass;
        let level = sum / (i + 1) as f64;
        if masses.get(i + 1).is_none_or(|&next| level <= next) {
            return masses.iter().enumerate().map(|(k, &m)| if k <= i { level } else { m }).collect();
        }
    }
    Vec::new()
}

/// The class that is ahead for certain: an answer, or [`Verdict::NoAnswer`]. `None` if it is not certain.
pub fn leader(ledger: &Ledger) -> Option<Verdict> {
    let mut classes: Vec<(Verdict, f64)> =
        ledger.bounds().into_iter().map(|b| (Verdict::Answer(b.answer), b.lower)).collect();
    classes.push((Verdict::NoAnswer, ledger.none()));
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let second = classes.get(1).map_or(0.0, |c| c.1);
    let (class, mass) = classes.swap_remove(0);
    (mass > second + ledger.undecided()).then_some(class)
}

/// The number of tokens after which the text was decided, and for which class: the first from which on the same class
/// leads to the end. `ledgers` are those after 0, 1, 2, … tokens. `None` if no class leads at the end.
pub fn decided<'a>(
    ledgers: impl DoubleEndedIterator<Item = &'a Ledger> + ExactSizeIterator,
) -> Option<(usize, Verdict)> {
    let mut found = None;
    for (t, ledger) in ledgers.enumerate().rev() {
        match (leader(ledger), &found) {
            (Some(class), None) => found = Some((t, class)),
            (Some(class), Some((_, last))) if class == *last => found = Some((t, class)),
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(answers: &[(&str, f64)], none: f64) -> Ledger {
        let mut ledger = Ledger::default();
        for &(a, mass) in answers {
            ledger.settle(Verdict::Answer(a.into()), mass);
        }
        ledger.settle(Verdict::NoAnswer, none);
        ledger
    }

    #[test]
    fn entropies_by_hand() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        // Nothing is known: from certain to even over a, b and none.
        let all = entropy(&ledger(&[("a", 0.0), ("b", 0.0)], 0.0), true);
        near(all.lower, 0.0);
        near(all.upper.unwrap(), 3f64.ln());
        // Everything is known.
        let known = entropy(&ledger(&[("a", 0.5), ("b", 0.5)], 0.0), true);
        near(known.lower, 2f64.ln());
        near(known.upper.unwrap(), 2f64.ln());
        // 0.6, 0.1, 0.1 and 0.2 undecided: at least that of 0.8, 0.1, 0.1, at most that of 0.6, 0.2, 0.2.
        let some = entropy(&ledger(&[("a", 0.1), ("b", 0.6)], 0.1), true);
        let h = |p: &[f64]| p.iter().map(|p| -p * p.ln()).sum::<f64>();
        near(some.lower, h(&[0.8, 0.1, 0.1]));
        near(some.upper.unwrap(), h(&[0.6, 0.2, 0.2]));
        assert_eq!(entropy(&ledger(&[("a", 0.1), ("b", 0.6)], 0.1), false).upper, None);
    }

    #[test]
    fn no_way_to_share_the_undecided_mass_leaves_the_bounds_and_some_reach_them() {
        const PARTS: usize = 60;
        for masses in [[0.1, 0.2, 0.3], [0.0, 0.0, 0.7], [0.3, 0.3, 0.3], [0.05, 0.5, 0.0], [0.0, 0.4, 0.1]] {
            let found = entropy(&ledger(&[("a", masses[0]), ("b", masses[1])], masses[2]), true);
            let undecided = 1.0 - masses.iter().sum::<f64>();
            let mut entropies = Vec::new();
            for a in 0..=PARTS {
                for b in 0..=PARTS - a {
                    let shares = [a, b, PARTS - a - b].map(|n| undecided * n as f64 / PARTS as f64);
                    entropies.push(of(&[0, 1, 2].map(|i| masses[i] + shares[i])));
                }
            }
            let (least, most) = entropies.iter().fold((f64::MAX, 0f64), |(l, m), &e| (l.min(e), m.max(e)));
            let upper = found.upper.unwrap();
            assert!((found.lower - least).abs() < 1e-12, "{masses:?}: {} {least}", found.lower);
            assert!(upper >= most - 1e-12 && upper - most < 1e-3, "{masses:?}: {upper} {most}");
        }
    }

    #[test]
    fn a_class_leads_only_if_no_other_can_be_ahead() {
        let answer = |a: &str| Some(Verdict::Answer(a.into()));
        assert_eq!(leader(&ledger(&[("a", 0.5), ("b", 0.2)], 0.1)), answer("a"));
        // b could have 0.45.
        assert_eq!(leader(&ledger(&[("a", 0.4), ("b", 0.2)], 0.15)), None);
        // Not giving an answer is a class of its own.
        assert_eq!(leader(&ledger(&[("a", 0.2)], 0.7)), Some(Verdict::NoAnswer));
        // An answer that was not seen yet could be ahead.
        assert_eq!(leader(&ledger(&[("a", 0.4)], 0.0)), None);
        assert_eq!(leader(&ledger(&[("a", 0.5), ("b", 0.5)], 0.0)), None);
    }

    #[test]
    fn a_text_is_decided_where_its_last_leader_took_the_lead_for_good() {
        let [a, b, open] = [[0.9, 0.0], [0.0, 0.9], [0.4, 0.4]].map(|[x, y]| ledger(&[("a", x), ("b", y)], 0.0));
        let at = |ledgers: &[&Ledger]| decided(ledgers.iter().copied());
        let answer = |t, a: &str| Some((t, Verdict::Answer(a.into())));
        assert_eq!(at(&[&open, &a, &a]), answer(1, "a"));
        assert_eq!(at(&[&a, &a]), answer(0, "a"));
        assert_eq!(at(&[&a, &b, &a, &a]), answer(2, "a"));
        assert_eq!(at(&[&a, &open, &a]), answer(2, "a"));
        assert_eq!(at(&[&a, &open]), None);
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn what_follows_a_token_weighs_as_much_as_the_token() {
        let mut sum = ledger(&[("a", 0.25)], 0.0);
        sum.add(&ledger(&[("a", 0.5), ("b", 0.25)], 0.125), 0.5);
        let lower: Vec<f64> = sum.bounds().iter().map(|b| b.lower).collect();
        assert_eq!((lower, sum.none(), sum.undecided()), (vec![0.5, 0.125], 0.0625, 0.3125));
    }
}
