//! How likely each answer is, over all completions that give it.
//!
//! Completions are grouped by the answer that a reader finds in their text. As soon as the beginning of a text fixes
//! the answer, the probability of this beginning counts for the answer, whatever may follow. Let `D(a)` be the decided
//! mass of answer `a`, `N` the mass of texts that give no answer, and `U = 1 - N - Σ D` the mass that is not decided
//! yet. Then
//!
//! ```text
//! D(a) ≤ P(a) ≤ D(a) + U
//! ```
//!
//! and both bounds tighten as exploration goes on. The winner is certain when `D(first) > D(second) + U`.

use std::collections::BTreeMap;

/// What a text says about the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The text is not long enough yet: what follows may still change the answer.
    Open,
    /// The text gives this answer, whatever follows.
    Answer(String),
    /// The text gives no answer, whatever follows.
    NoAnswer,
}

impl Verdict {
    /// The answer, if the text gives one.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Verdict::Answer(answer) => Some(answer),
            Verdict::NoAnswer | Verdict::Open => None,
        }
    }
}

/// The probability of the texts that give each answer, of all texts read so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// In the order of names, so that sums have the same bits every time.
    decided: BTreeMap<String, f64>,
    none: f64,
}

/// An answer with the bounds of its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The answer.
    pub answer: String,
    /// Least probability of the answer: the mass of texts that give it for certain.
    pub lower: f64,
    /// Greatest probability of the answer: its decided mass and all mass that is not decided yet.
    pub upper: f64,
}

impl Ledger {
    /// Starts with answers that [`Ledger::bounds`] lists even if no text gives them.
    pub fn of(answers: impl IntoIterator<Item = String>) -> Ledger {
        Ledger { decided: answers.into_iter().map(|a| (a, 0.0)).collect(), none: 0.0 }
    }

    /// Counts the mass of a path whose text has been read. An open verdict counts nothing.
    pub fn settle(&mut self, verdict: Verdict, mass: f64) {
        match verdict {
            Verdict::Open => {}
            Verdict::Answer(answer) => *self.decided.entry(answer).or_default() += mass,
            Verdict::NoAnswer => self.none += mass,
        }
    }

    /// Counts what another ledger has decided, as much as it weighs here: `weight` is the probability of the text after
    /// which the other ledger counts.
    pub fn add(&mut self, other: &Ledger, weight: f64) {
        for (answer, mass) in &other.decided {
            *self.decided.entry(answer.clone()).or_default() += weight * mass;
        }
        self.none += weight * other.none;
    }

    /// Mass of texts without an answer.
    pub fn none(&self) -> f64 {
        self.none
    }

    /// Mass that is not decided.
    pub fn undecided(&self) -> f64 {
        (1.0 - self.none - self.decided.values().sum::<f64>()).max(0.0)
    }

    /// All answers, likeliest first, ties by name.
    pub fn bounds(&self) -> Vec<Bounds> {
        let undecided = self.undecided();
        let bounds = self.decided.iter().map(|(answer, &lower)| Bounds {
            answer: answer.clone(),
            lower,
            upper: (lower + undecided).min(1.0),
        });
        let mut bounds: Vec<Bounds> = bounds.collect();
        bounds.sort_by(|a, b| b.lower.total_cmp(&a.lower).then_with(|| a.answer.cmp(&b.answer)));
        bounds
    }

    /// The answer that no other can overtake, not even one that was never seen.
    pub fn winner(&self) -> Option<Bounds> {
        let bounds = self.bounds();
        let second = bounds.get(1).map_or(0.0, |b| b.lower);
        bounds.into_iter().next().filter(|first| first.lower > second + self.undecided())
    }
}

/// Converts a text to lower case, with one space where there was more white space, and without what comes before its
/// first letter or digit.
pub fn normalize(text: &str) -> String {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        let space = c.is_whitespace();
        if !(space && out.ends_with(' ')) {
            out.push(if space { ' ' } else { c });
        }
    }
    out
}

/// Finds one of a list of answers at the beginning of a text.
///
/// Leading white space is skipped. An answer must end where a word ends. If several fit, the longest wins, so a text
/// that may still become a longer one is open: after "New ", the answer "New" waits until it is clear whether "Delhi"
/// follows.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Each choice as it was given, and in the form in which texts are compared with it.
    choices: Vec<(String, String)>,
    normalize: bool,
}

/// Why choices were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoicesError {
    /// The list of choices is empty.
    #[error("no choices were given")]
    None,
    /// A choice, counted from 1, has no text.
    #[error("choice {0} is empty")]
    Empty(usize),
    /// Two choices are the same in the form in which they are compared.
    #[error("choices {0:?} and {1:?} cannot be told apart")]
    Same(String, String),
}

impl Choices {
    /// Prepares the choices. With `normalize`, comparing ignores case, punctuation in front and how much white space
    /// there is.
    ///
    /// # Errors
    /// If there are no choices, one of them is empty, or two cannot be told apart.
    pub fn new(choices: &[&str], normalize: bool) -> Result<Choices, ChoicesError> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (i, &choice) in choices.iter().enumerate() {
            let compared = Choices { choices: Vec::new(), normalize }.compared(choice).trim_end().to_string();
            if compared.is_empty() {
                return Err(ChoicesError::Empty(i + 1));
            }
            if let Some((other, _)) = all.iter().find(|(_, c)| *c == compared) {
                return Err(ChoicesError::Same(other.clone(), choice.into()));
            }
            all.push((choice.trim().into(), compared));
        }
        if all.is_empty() { Err(ChoicesError::None) } else { Ok(Choices { choices: all, normalize }) }
    }

    /// The answers, as given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.choices.iter().map(|c| &c.0[..])
    }

    /// Pairs of choices of which the first is the beginning of the second.
    pub fn nested(&self) -> Vec<(&str, &str)> {
        let pairs = self.choices.iter().flat_map(|a| self.choices.iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.1 != b.1 && b.1.starts_with(&a.1)).map(|(a, b)| (&a.0[..], &b.0[..])).collect()
    }

    fn compared(&self, text: &str) -> String {
        if self.normalize { normalize(text) } else { text.trim_start().into() }
    }

    /// Reads the beginning of a text, or (`whole`) a text that nothing follows.
    pub fn read(&self, text: &str, whole: bool) -> Verdict {
        let text = self.compared(text);
        let fits = |choice: &str| match text.strip_prefix(choice) {
            None => false,
            // A choice must end where a word ends: "Delhi" is not in "Delhiite".
            Some(rest) => rest.chars().next().map_or(whole, |c| !c.is_alphanumeric()),
        };
        let best = self.choices.iter().filter(|c| fits(&c.1)).max_by_key(|c| c.1.len());
        let longest = best.map_or(0, |c| c.1.len());
        let may_become = |choice: &str| choice.len() > longest && choice.starts_with(&text);
        if !whole && self.choices.iter().any(|c| may_become(&c.1)) {
            return Verdict::Open;
        }
        best.map_or(Verdict::NoAnswer, |c| Verdict::Answer(c.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_soon_as_the_text_fixes_them() {
        let c = Choices::new(&["New", "New Delhi", "Mumbai"], false).unwrap();
        assert_eq!(c.nested(), [("New", "New Delhi")]);
        let answer = |name: &str| Verdict::Answer(name.into());
        for (text, so_far, whole) in [
            ("", Verdict::Open, Verdict::NoAnswer),
            (" ", Verdict::Open, Verdict::NoAnswer),
            (" Ne", Verdict::Open, Verdict::NoAnswer),
            (" New", Verdict::Open, answer("New")),
            (" New ", Verdict::Open, answer("New")),
            (" New Del", Verdict::Open, answer("New")),
            (" New York", answer("New"), answer("New")),
            (" New Delhi", Verdict::Open, answer("New Delhi")),
            (" New Delhi.", answer("New Delhi"), answer("New Delhi")),
            (" New Delhiite", answer("New"), answer("New")),
            (" Newer", Verdict::NoAnswer, Verdict::NoAnswer),
            (" Mumbai,", answer("Mumbai"), answer("Mumbai")),
            (" mumbai,", Verdict::NoAnswer, Verdict::NoAnswer),
            (" a", Verdict::NoAnswer, Verdict::NoAnswer),
        ] {
            assert_eq!(c.read(text, false), so_far, "{text:?}");
            assert_eq!(c.read(text, true), whole, "{text:?}");
        }
        let c = Choices::new(&["new delhi", "Mumbai"], true).unwrap();
        assert_eq!(c.read("\n**New  Delhi**", false), answer("new delhi"));
        assert_eq!(c.read("\n**", false), Verdict::Open);
    }

    #[test]
    fn choices_that_cannot_be_told_apart_are_refused() {
        let error = |choices: &[&str], normalize| Choices::new(choices, normalize).unwrap_err();
        assert_eq!(error(&[], false), ChoicesError::None);
        assert_eq!(error(&["a", " "], false), ChoicesError::Empty(2));
        assert_eq!(error(&["a", "a "], false), ChoicesError::Same("a".into(), "a ".into()));
        assert_eq!(error(&["A", "a"], true), ChoicesError::Same("A".into(), "a".into()));
        assert!(Choices::new(&["A", "a"], false).is_ok());
    }

    #[test]
    fn bounds_hold_and_the_winner_is_certain_only_when_nothing_can_overtake() {
        let mut ledger = Ledger::of(["c".to_string()]);
        ledger.settle(Verdict::Answer("a".into()), 0.3);
        ledger.settle(Verdict::Answer("b".into()), 0.25);
        ledger.settle(Verdict::Open, 0.5);
        ledger.settle(Verdict::NoAnswer, 0.1);
        let b = ledger.bounds();
        assert_eq!(b.iter().map(|b| &b.answer[..]).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!((ledger.undecided() - 0.35).abs() < 1e-12 && (b[0].upper - 0.65).abs() < 1e-12);
        assert_eq!((b[2].lower, ledger.winner()), (0.0, None));
        ledger.settle(Verdict::Answer("a".into()), 0.2);
        ledger.settle(Verdict::NoAnswer, 0.1);
        assert_eq!(ledger.winner().unwrap().answer, "a");
    }
}
