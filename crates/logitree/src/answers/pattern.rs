//! Finds answers in texts with a regular expression.

use crate::error::{Error, ErrorKind, Result, fail};
use logitree_core::answers::Verdict;
use regex::Regex;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::{Anchored, Input, MatchKind};

/// Largest size of a compiled pattern, in bytes.
const SIZE: usize = 1 << 22;

/// A regular expression, and an automaton that tells whether more text could change its first match.
pub struct Pattern {
    regex: Regex,
    /// `None` for patterns that the automaton cannot run (such as those with Unicode word boundaries): then an answer
    /// is known only when a completion has ended.
    automaton: Option<DFA>,
}

impl Pattern {
    /// Compiles a pattern. Matching takes time linear in the text, whatever the pattern.
    ///
    /// # Errors
    /// If it is not a regular expression, is too large, or can match no text.
    pub fn new(pattern: &str) -> Result<Pattern> {
        let regex = regex::RegexBuilder::new(pattern).size_limit(SIZE).build();
        let wrong = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Parameter("pattern"), format!("`pattern` {pattern:?}: {e}"))
        };
        let regex = regex.map_err(|e| wrong(&e))?;
        let hir = regex_syntax::parse(pattern).map_err(|e| wrong(&e))?;
        if hir.properties().minimum_len().is_none() {
            fail!(Parameter("pattern"), "`pattern` {pattern:?} cannot match any text");
        }
        // Before a text's first letter that is not ASCII, the automaton can tell Unicode's word boundaries, too.
        let config =
            DFA::config().match_kind(MatchKind::LeftmostFirst).cache_capacity(SIZE).unicode_word_boundary(true);
        let automaton = DFA::builder().configure(config).build(pattern).ok();
        Ok(Pattern { regex, automaton })
    }

    /// Whether answers can be decided before a completion ends.
    pub fn decides_early(&self) -> bool {
        self.automaton.is_some()
    }

    /// The first group of the first match; the whole match if there is no group.
    pub fn find(&self, text: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let found = captures.get(1).or_else(|| captures.get(0))?;
        Some(found.as_str().trim().to_string())
    }

    /// The answer in a text. Unless the text is `whole`, the answer is open until no continuation can change it.
    pub fn read(&self, text: &str, whole: bool) -> Verdict {
        if !whole && !self.is_fixed(text) {
            return Verdict::Open;
        }
        self.find(text).map_or(Verdict::NoAnswer, Verdict::Answer)
    }

    /// Whether the first match stays the same for every continuation of the text: the automaton reaches a dead state.
    fn is_fixed(&self, text: &str) -> bool {
        let Some(dfa) = &self.automaton else { return false };
        let mut cache = dfa.create_cache();
        let input = Input::new(text).anchored(Anchored::No);
        let Ok(mut state) = dfa.start_state_forward(&mut cache, &input) else { return false };
        for &byte in text.as_bytes() {
            match dfa.next_state(&mut cache, state, byte) {
                Ok(next) if next.is_dead() => return true,
                Ok(next) if next.is_quit() => return false,
                Ok(next) => state = next,
                Err(_) => return false,
            }
        }
        // The automaton reports a match one byte late, so the match may be final if every next byte leads to a dead
        // state.
        let dead = |cache: &mut _, byte| dfa.next_state(cache, state, byte).is_ok_and(|next| next.is_dead());
        state.is_match() && (0..=u8::MAX).all(|byte| dead(&mut cache, byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_decided_as_soon_as_nothing_can_change_it() {
        let p = Pattern::new(r"(?i)answer is ([a-z]+|[0-9]+)").unwrap();
        let read = |text| p.read(text, false);
        assert_eq!(read("The answer is"), Verdict::Open);
        assert_eq!(read("The answer is Del"), Verdict::Open);
        assert_eq!(read("The answer is Delhi."), Verdict::Answer("Delhi".into()));
        assert_eq!(read("The answer is 42 or"), Verdict::Answer("42".into()));
        assert_eq!(p.read("The answer is Del", true), Verdict::Answer("Del".into()));
        assert_eq!(p.read("No idea", true), Verdict::NoAnswer);
        // An anchored pattern may already be impossible to match.
        let p = Pattern::new(r"^ *(yes|no)").unwrap();
        assert_eq!([p.read(" ye", false), p.read(" maybe", false)], [Verdict::Open, Verdict::NoAnswer]);
        assert_eq!(p.read(" yes", false), Verdict::Open);
        assert_eq!(p.read(" yes,", false), Verdict::Answer("yes".into()));
        // Borders of words are Unicode's, and are known early as long as all is ASCII.
        let p = Pattern::new(r"\b(yes|no)\b").unwrap();
        assert_eq!(
            [p.read("I know, yes", false), p.read("I know, yes", true)],
            [Verdict::Open, Verdict::Answer("yes".into())]
        );
        // A letter that is not ASCII could still come in the automaton's way, until a character more has been read.
        assert_eq!(p.read("I know, yes. ", false), Verdict::Answer("yes".into()));
        assert_eq!([p.read("é yes. ", false), p.read("noé", true)], [Verdict::Open, Verdict::NoAnswer]);
    }

    #[test]
    fn every_extension_of_a_fixed_text_gives_the_same_answer() {
        for pattern in ["a+b?", "(ab|a)(c|bcd)", "^b*a", "(a|ab)c|b", "c$|ab", r"\b(a|cb)\b"] {
            let p = Pattern::new(pattern).unwrap();
            let mut texts = vec![String::new()];
            for i in 0..800 {
                let text = texts[i].clone();
                texts.extend(["a", "b", "c", " ", "é"].map(|c| text.clone() + c));
                let verdict = p.read(&text, false);
                if verdict != Verdict::Open {
                    for end in ["", "a", "ab", "bcd", "cab", "ccccc", " a", "é", "é a"] {
                        assert_eq!(p.read(&(text.clone() + end), true), verdict, "{pattern} {text:?} + {end:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        let error = |p: &str| format!("{:#}", Pattern::new(p).err().unwrap());
        assert!(error("(").contains("unclosed group"), "{}", error("("));
        assert!(error(r"[^\s\S]").contains("cannot match"));
        assert!(error("(a{1000}){1000}").contains("size limit"), "{}", error("(a{1000}){1000}"));
    }
}
