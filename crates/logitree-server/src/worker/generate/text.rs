//! Decodes text token by token. It returns only complete characters, and never the beginning of a stop string.

/// Decodes tokens and searches for stop strings.
pub struct Text {
    stops: Vec<String>,
    /// Bytes of an incomplete character at the end.
    partial: Vec<u8>,
    /// Text that is not returned yet, because it may be the beginning of a stop string.
    held: String,
}

impl Text {
    /// Makes a decoder. No stop string may be empty.
    pub fn new(stops: Vec<String>) -> Text {
        Text { stops, partial: Vec::new(), held: String::new() }
    }

    /// Adds a token's bytes. Returns the text that is certain now, and whether a stop string ended the text.
    ///
    /// The stop string that ends first counts, however it is split into tokens; of those that end at the same place,
    /// the longest counts.
    pub fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        self.decode(bytes);
        let found = self.stops.iter().filter_map(|s| self.held.find(s.as_str()).map(|at| (at + s.len(), at))).min();
        if let Some((_, at)) = found {
            self.partial.clear();
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let certain = self.held.len() - self.begun();
        (self.held.drain(..certain).collect(), false)
    }

    /// Returns the rest of the text at the end.
    pub fn finish(&mut self) -> String {
        self.held.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
        std::mem::take(&mut self.held)
    }

    /// Appends the complete characters to `held`; bytes that cannot be a character become U+FFFD.
    fn decode(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            match std::str::from_utf8(&self.partial[used..]) {
                Ok(text) => {
                    self.held.push_str(text);
                    used = self.partial.len();
                    break;
                }
                Err(e) => {
                    let valid = used + e.valid_up_to();
                    self.held.push_str(&String::from_utf8_lossy(&self.partial[used..valid]));
                    used = valid;
                    let Some(bad) = e.error_len() else { break };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    used += bad;
                }
            }
        }
        self.partial.drain(..used);
    }

    /// Length in bytes of the longest suffix of `held` that is a beginning of a stop string.
    fn begun(&self) -> usize {
        let begins = |stop: &String| {
            let lengths = (1..stop.len()).rev().filter(|&n| stop.is_char_boundary(n));
            lengths.into_iter().find(|&n| self.held.ends_with(&stop[..n])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text returned for each token, with `|` where a stop string ended the text.
    fn pieces(stops: &[&str], tokens: &[&[u8]]) -> Vec<String> {
        let mut text = Text::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out = Vec::new();
        for token in tokens {
            let (piece, stopped) = text.push(token);
            out.push(piece);
            if stopped {
                out.push("|".into());
                return out;
            }
        }
        out.push(text.finish());
        out
    }

    #[test]
    fn characters_wait_until_they_are_whole() {
        assert_eq!(pieces(&[], &[b"a\xf0\x9f", b"\x99", b"\x82b"]), ["a", "", "🙂b", ""]);
        assert_eq!(
            pieces(&[], &[b"\xc3", b"a", b"\xff\xff", b"\xe2\x82"]),
            ["", "\u{fffd}a", "\u{fffd}\u{fffd}", "", "\u{fffd}"]
        );
    }

    #[test]
    fn stop_strings_are_found_across_tokens_and_their_beginnings_held_back() {
        assert_eq!(pieces(&["stop"], &[b"a s", b"to", b"p it"]), ["a ", "", "", "|"]);
        assert_eq!(pieces(&["stop"], &[b"a s", b"to", b"ry"]), ["a ", "", "story", ""]);
        assert_eq!(pieces(&["stop"], &[b"sto"]), ["", "sto"]);
        assert_eq!(pieces(&["aab"], &[b"a", b"a", b"a", b"b"]), ["", "", "a", "", "|"]);
        assert_eq!(pieces(&["é!"], &[b"x\xc3", b"\xa9", b"!"]), ["x", "", "", "|"]);
        assert_eq!(pieces(&["\n\n"], &[b"1\n", b"2\n\n3"]), ["1", "\n2", "|"]);
    }

    #[test]
    fn the_stop_string_that_is_complete_first_counts_however_the_text_is_cut() {
        for tokens in [vec!["xabcd"], vec!["xa", "b", "cd"], vec!["xabc", "d"]] {
            let tokens: Vec<&[u8]> = tokens.iter().map(|t| t.as_bytes()).collect();
            assert_eq!(pieces(&["abcd", "bc"], &tokens).concat(), "xa|");
            assert_eq!(pieces(&["bc", "abc"], &tokens).concat(), "x|");
        }
    }
}
