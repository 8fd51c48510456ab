//! Makes text from files, servers and models safe to show.
//!
//! A terminal obeys control characters: they move the cursor, set the window's title, write the clipboard.
//! Bidirectional controls reorder the characters of a line, and characters without width hide in names. So text that
//! does not come from this program is shown with such characters escaped. Data for other programs keeps them if its
//! format has no other way to write them (CSV, Parquet).

use std::fmt::Write as _;

/// Whether a character is invisible, or changes how the text around it looks. Joiners and variation selectors are
/// allowed: some scripts and emoji need them.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Arabic letter mark, left-to-right and right-to-left marks, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Characters without width: Mongolian vowel separator, space, word joiner and invisible operators, byte
            // order mark.
            | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            // Hangul fillers, which are shown as blank.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // Interlinear annotations and tags.
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes a character as a JSON escape (`\u001b`), so that JSON text stays JSON with the same value.
fn spell(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Text for one line: line breaks and tabs become signs, other control characters U+FFFD, and deceiving ones are
/// escaped.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('↵'),
            '\t' => out.push('⇥'),
            '\r' => out.push('␍'),
            c if c.is_control() => out.push('\u{fffd}'),
            c if deceives(c) => spell(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// Text of several lines: line breaks and tabs stay, all other deceiving characters are escaped (`\u001b`).
pub fn harmless(text: &str) -> String {
    spelled(text, false)
}

/// Like [`harmless`], but colours (`ESC [ … m`) stay: for text that this program has coloured.
pub fn harmless_but_colours(text: &str) -> String {
    spelled(text, true)
}

fn spelled(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| deceives(c) && !matches!(c, '\n' | '\t')) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(len) = colour(rest).filter(|_| colours) {
            out.push_str(&rest[..len]);
            rest = &rest[len..];
        } else if let Some(c) = rest.chars().next() {
            spell(&mut out, c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

/// Length in bytes of the colour sequence at the beginning of a text; `None` if there is none.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\x1b[")?;
    let len = codes.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    codes[len..].starts_with('m').then_some(2 + len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b]0;title\x07\u{9b}2J\u{7f}\u{202e}b\u{2066}c\u{2028}\u{200b}\u{e0041}\rd";

    #[test]
    fn nothing_that_deceives_is_left() {
        for shown in [visible(HOSTILE), harmless(HOSTILE), harmless_but_colours(HOSTILE)] {
            assert!(!shown.contains(deceives), "{shown:?}");
        }
        assert_eq!(visible("a\n\tb\r"), "a↵⇥b␍");
        assert_eq!(visible("\u{202e}x"), "\\u202ex");
        assert_eq!(harmless("line\n\ttab\x1b[31m"), "line\n\ttab\\u001b[31m");
        let emoji = "👩‍👩‍👧 نمی‌خواهم ❤️";
        assert_eq!((visible(emoji), harmless(emoji)), (emoji.into(), emoji.into()));
    }

    #[test]
    fn only_colours_pass_where_colours_may() {
        assert_eq!(harmless_but_colours("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(harmless_but_colours("\x1b[2J\x1b[m\x1b[31"), "\\u001b[2J\x1b[m\\u001b[31");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "text": HOSTILE });
        let shown = harmless(&format!("{value:#}"));
        assert!(!shown.contains(|c| deceives(c) && c != '\n'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
