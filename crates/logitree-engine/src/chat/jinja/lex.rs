//! Splits a template's source into tokens, with Jinja2's rules for white space around tags.
//!
//! The settings are those of transformers: `trim_blocks` removes the line end after a block or comment, and
//! `lstrip_blocks` removes the white space between the start of the line and a block or comment. A `-` beside a tag
//! removes all white space on that side; a `+` switches the two settings off. Before all this, every line end becomes
//! `\n`, and one line end at the end of the source is removed.

use super::fault::{Outcome, syntax};
use super::text::is_space;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tok {
    /// Text outside of tags.
    Data(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Op(&'static str),
    End,
}

/// A token with its line, from 1.
#[derive(Debug)]
pub(super) struct Token {
    pub tok: Tok,
    pub line: u32,
}

/// The operators, longest first, so that the longest match is found.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// Whether the last part that was read ended with a line end.
    line_starting: bool,
    tokens: Vec<Token>,
}

/// Splits a source into tokens.
pub(super) fn lex(source: &str) -> Outcome<Vec<Token>> {
    let unix = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = unix.strip_suffix('\n').unwrap_or(&unix);
    let mut lexer = Lexer { source, at: 0, line: 1, line_starting: true, tokens: Vec::new() };
    while lexer.at < source.len() {
        lexer.outside()?;
    }
    lexer.push(Tok::End);
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, tok: Tok) {
        self.tokens.push(Token { tok, line: self.line });
    }

    /// Skips `n` bytes and counts the lines in them.
    fn skip(&mut self, n: usize) {
        let passed = &self.source[self.at..self.at + n];
        self.line += passed.bytes().filter(|&b| b == b'\n').count() as u32;
        self.at += n;
    }

    /// Skips white space.
    fn skip_space(&mut self) {
        let rest = self.rest();
        self.skip(rest.len() - rest.trim_start_matches(is_space).len());
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Tok::Data(text.to_owned()));
        }
    }

    /// Reads text up to the next tag, and that tag.
    fn outside(&mut self) -> Outcome<()> {
        let rest = self.rest();
        let tag = |at: usize| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#'));
        let Some(found) = rest.match_indices('{').map(|(at, _)| at).find(|&at| tag(at)) else {
            self.data(rest);
            self.at = self.source.len();
            return Ok(());
        };
        let kind = rest.as_bytes()[found + 1];
        let sign = rest.as_bytes().get(found + 2).copied().filter(|b| matches!(b, b'-' | b'+'));
        let text = self.before_tag(&rest[..found], sign, kind != b'{');
        self.data(text);
        self.skip(found + 2 + usize::from(sign.is_some()));
        match kind {
            b'#' => self.comment(),
            b'%' => match raw_tag(self.rest(), "raw", false) {
                Some(length) => self.raw(length),
                None => self.inside(true),
            },
            _ => self.inside(false),
        }
    }

    /// Removes white space from the end of the text before a tag, according to the sign in the tag and the settings.
    fn before_tag<'t>(&self, text: &'t str, sign: Option<u8>, block: bool) -> &'t str {
        match sign {
            Some(b'-') => text.trim_end_matches(is_space),
            Some(_) => text,
            None if block => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = text[line..].chars().all(is_space);
                if blank && (line > 0 || self.line_starting) { &text[..line] } else { text }
            }
            None => text,
        }
    }

    fn ended(&mut self) {
        self.line_starting = self.source[..self.at].ends_with('\n');
    }

    /// Skips the line end after a block or comment.
    fn trim_line_end(&mut self) {
        if self.rest().starts_with('\n') {
            self.skip(1);
        }
    }

    fn comment(&mut self) -> Outcome<()> {
        let Some(end) = self.rest().find("#}") else { return syntax(self.line, "a comment has no end") };
        let sign = end.checked_sub(1).map(|at| self.rest().as_bytes()[at]);
        self.skip(end + 2);
        match sign {
            Some(b'-') => self.skip_space(),
            Some(b'+') => {}
            _ => self.trim_line_end(),
        }
        self.ended();
        Ok(())
    }

    /// Reads the text between `raw` and `endraw`. `opening` is the length of the rest of the opening tag.
    fn raw(&mut self, opening: usize) -> Outcome<()> {
        self.skip(opening);
        self.ended();
        let rest = self.rest();
        for (at, _) in rest.match_indices("{%") {
            let sign = rest.as_bytes().get(at + 2).copied().filter(|b| matches!(b, b'-' | b'+'));
            let tag = at + 2 + usize::from(sign.is_some());
            if let Some(length) = raw_tag(&rest[tag..], "endraw", true) {
                let text = self.before_tag(&rest[..at], sign, true);
                self.data(text);
                self.skip(tag + length);
                self.ended();
                return Ok(());
            }
        }
        syntax(self.line, "`raw` has no `endraw`")
    }

    /// Reads the tokens of a tag, up to and including its end.
    fn inside(&mut self, block: bool) -> Outcome<()> {
        self.push(if block { Tok::BlockBegin } else { Tok::VariableBegin });
        let mut open = Vec::new();
        loop {
            self.skip_space();
            if open.is_empty() && self.tag_end(block) {
                self.ended();
                return Ok(());
            }
            let Some(c) = self.rest().chars().next() else {
                return syntax(self.line, "a tag has no end");
            };
            if c.is_ascii_digit() {
                self.number()?;
            } else if c.is_alphanumeric() || c == '_' {
                let rest = self.rest();
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                self.push(Tok::Name(rest[..end].to_owned()));
                self.skip(end);
            } else if c == '\'' || c == '"' {
                self.string(c)?;
            } else {
                self.operator(c, &mut open)?;
            }
        }
    }

    fn tag_end(&mut self, block: bool) -> bool {
        let rest = self.rest();
        let (end, tok) = if block { ("%}", Tok::BlockEnd) } else { ("}}", Tok::VariableEnd) };
        if rest.starts_with(end) {
            self.push(tok);
            self.skip(2);
            if block {
                self.trim_line_end();
            }
        } else if rest.starts_with('-') && rest[1..].starts_with(end) {
            self.push(tok);
            self.skip(3);
            self.skip_space();
        } else if block && rest.starts_with('+') && rest[1..].starts_with(end) {
            self.push(tok);
            self.skip(3);
        } else {
            return false;
        }
        true
    }

    fn operator(&mut self, c: char, open: &mut Vec<&'static str>) -> Outcome<()> {
        let rest = self.rest();
        let Some(&op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
            return syntax(self.line, format!("unexpected character {c:?}"));
        };
        match op {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(op) => return syntax(self.line, format!("unexpected `{op}`")),
            _ => {}
        }
        self.push(Tok::Op(op));
        self.skip(op.len());
        Ok(())
    }

    fn number(&mut self) -> Outcome<()> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize, is: fn(&u8) -> bool| {
            let mut at = from;
            while rest.get(at).is_some_and(is)
                || (at > from && rest[at..].starts_with(b"_") && rest.get(at + 1).is_some_and(is))
            {
                at += 1;
            }
            at
        };
        let text = |end: usize| self.source[self.at..self.at + end].replace('_', "");
        let radix = match rest.get(..2).map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"0x") => Some((16, digits(2, u8::is_ascii_hexdigit))),
            Some(b"0o") => Some((8, digits(2, |b| matches!(b, b'0'..=b'7')))),
            Some(b"0b") => Some((2, digits(2, |b| matches!(b, b'0' | b'1')))),
            _ => None,
        };
        let large = |line| syntax(line, "integers beyond 64 bits are not supported");
        if let Some((radix, end)) = radix.filter(|r| r.1 > 2) {
            let Ok(value) = i64::from_str_radix(&text(end)[2..], radix) else { return large(self.line) };
            self.push(Tok::Int(value));
            self.skip(end);
            return Ok(());
        }
        let whole = digits(0, u8::is_ascii_digit);
        let mut end = whole;
        // After a point the digits are an item's number, not a float: `a.0.1` is item 1 of item 0 of `a`.
        if !self.source[..self.at].ends_with('.') {
            if rest.get(end) == Some(&b'.') {
                let fraction = digits(end + 1, u8::is_ascii_digit);
                end = if fraction > end + 1 { fraction } else { end };
            }
            if matches!(rest.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
                let exponent = digits(end + 1 + sign, u8::is_ascii_digit);
                end = if exponent > end + 1 + sign { exponent } else { end };
            }
        }
        let tok = if end == whole {
            let text = text(end);
            if text.len() > 1 && text.starts_with('0') && text.bytes().any(|b| b != b'0') {
                return syntax(self.line, format!("{text} begins with 0"));
            }
            let Ok(value) = text.parse() else { return large(self.line) };
            Tok::Int(value)
        } else {
            let Ok(value) = text(end).parse() else { return syntax(self.line, "not a number") };
            Tok::Float(value)
        };
        self.push(tok);
        self.skip(end);
        Ok(())
    }

    /// Reads a string with Python's escapes.
    fn string(&mut self, quote: char) -> Outcome<()> {
        let mut out = String::new();
        let mut chars = self.rest()[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.push(Tok::Str(out));
                self.skip(at + 2);
                return Ok(());
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some((_, e)) = chars.next() else { break };
            let hex = |chars: &mut std::str::CharIndices<'_>, n: usize| {
                let digits = chars.as_str().get(..n).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                chars.nth(n - 1);
                u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
            };
            match e {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'a' => out.push('\x07'),
                'b' => out.push('\x08'),
                'f' => out.push('\x0c'),
                'v' => out.push('\x0b'),
                '\\' | '\'' | '"' => out.push(e),
                '\n' => {}
                'x' | 'u' | 'U' => {
                    let n = match e {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let Some(c) = hex(&mut chars, n) else {
                        return syntax(self.line, format!("`\\{e}` in a string needs {n} digits of a character"));
                    };
                    out.push(c);
                }
                '0'..='7' => {
                    let mut value = e.to_digit(8).unwrap_or_default();
                    for _ in 0..2 {
                        let next = chars.as_str().chars().next().and_then(|c| c.to_digit(8));
                        let Some(digit) = next else { break };
                        value = value * 8 + digit;
                        chars.next();
                    }
                    out.extend(char::from_u32(value));
                }
                'N' => return syntax(self.line, "characters by name, `\\N{…}`, are not supported"),
                _ => out.extend(['\\', e]),
            }
        }
        syntax(self.line, "a string has no end")
    }
}

/// The length of the rest of a `raw` or `endraw` tag; `None` if `rest` does not continue such a tag.
fn raw_tag(rest: &str, word: &str, trim: bool) -> Option<usize> {
    let after = rest.trim_start_matches(is_space).strip_prefix(word)?.trim_start_matches(is_space);
    let end = if let Some(after) = after.strip_prefix("-%}") {
        after.trim_start_matches(is_space)
    } else if let Some(after) = after.strip_prefix("+%}").filter(|_| trim) {
        after
    } else {
        let after = after.strip_prefix("%}")?;
        after.strip_prefix('\n').filter(|_| trim).unwrap_or(after)
    };
    Some(rest.len() - end.len())
}
