//! Reads texts from an argument, a file or standard input, by one rule.
//!
//! A text is taken byte for byte, with two exceptions, each of which is told in a note. A byte order mark in front is
//! left out, because it marks the encoding and nobody wrote it. The last line end of a file or a pipe is left out,
//! because editors and shells add it; an argument has only what was typed, so it keeps its line ends.

use crate::message;
use crate::usage::UsageError;
use anyhow::{Context, Result};
use logitree::check_text;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// A text and what was left out of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
}

/// Text from an argument, or standard input for `-`; not empty, without NULs. `what` names it in errors.
///
/// # Errors
/// If standard input cannot be read, or the text is empty or not valid.
pub fn text_argument(argument: &str, what: &str) -> Result<String> {
    if argument == "-" { standard_input(what) } else { typed_text(argument, what) }
}

/// Text from an argument that never stands for a file or standard input.
///
/// # Errors
/// If the argument is not a text.
pub fn typed_text(argument: &str, what: &str) -> Result<String> {
    check_argument(argument, what)?;
    say(typed(argument), what)
}

/// The text of standard input.
///
/// # Errors
/// If standard input cannot be read, or is not a text.
pub fn standard_input(what: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        message::note(format_args!("{what} is read from the terminal; Ctrl-D ends it"));
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
    say(stored(bytes, &format!("{what} from standard input"))?, what)
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// If the file cannot be read, or is not a text.
pub fn text_file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return standard_input("the text");
    }
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(UsageError(format!("{name} is a folder: name a file in it")).into());
    }
    let bytes = std::fs::read(path).with_context(|| name.clone())?;
    say(stored(bytes, &name)?, &name)
}

/// The text of an argument that may also be the name of a file. An argument that looks like a name of a file that does
/// not exist is refused: a mistyped name would be scored as a text, and its numbers taken for the file's.
///
/// # Errors
/// If the file cannot be read or is not a text, or if the argument looks like the name of a file that does not exist.
pub fn text_or_file(argument: &str) -> Result<String> {
    let path = Path::new(argument);
    if argument == "-" {
        return standard_input("the text");
    }
    // Anything but a folder is read, not only regular files: a shell's <(…) makes pipes such as /dev/fd/63.
    if path.exists() && !path.is_dir() {
        return text_file(path);
    }
    let what = match (path.is_dir(), looks_like_a_path(argument)) {
        (true, _) => "is a folder",
        (_, true) => "looks like the name of a file, but there is none",
        (false, false) => return typed_text(argument, "the text"),
    };
    Err(UsageError(format!("{argument:?} {what}: --text takes it as a text, --file reads a file")).into())
}

/// Endings of files with texts and tables. They tell names of files that have spaces from sentences.
const ENDINGS: &[&str] = &[
    "txt",
    "text",
    "md",
    "rst",
    "tex",
    "log",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "ndjson",
    "parquet",
    "html",
    "htm",
    "xml",
    "yaml",
    "yml",
    "toml",
    "ini",
    "py",
    "rs",
    "js",
    "ts",
    "c",
    "h",
    "cpp",
    "java",
    "go",
    "sh",
    "ipynb",
    "pdf",
    "doc",
    "docx",
    "odt",
    "rtf",
    "epub",
    "gz",
    "zip",
    "gguf",
    "safetensors",
    "srt",
];

/// Whether a user who typed this probably meant a file.
fn looks_like_a_path(text: &str) -> bool {
    if text.contains('\n') {
        return false;
    }
    let from_a_folder = ["./", "../", "~/", "/", ".\\", "..\\"]
        .iter()
        .any(|p| text.strip_prefix(p).is_some_and(|rest| rest.chars().next().is_some_and(|c| !c.is_whitespace())));
    let ending = text.rsplit_once('.').map_or("", |(name, ending)| if name.is_empty() { "" } else { ending });
    let known = ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e));
    if text.contains(char::is_whitespace) {
        return from_a_folder || known;
    }
    // A single word is a path if it has a folder in front, or an ending as in `notes.v2` (but not as in `3.14`).
    let has_ending = ending.len() <= 8
        && ending.starts_with(|c: char| c.is_ascii_alphabetic())
        && ending.chars().all(|c| c.is_ascii_alphanumeric());
    from_a_folder || known || has_ending || text.contains('/') || text.contains('\\')
}

/// A text as it was typed.
fn typed(text: &str) -> Text {
    without_mark(text.to_string(), "the text")
}

/// A text that was stored in a file or sent through a pipe.
fn stored(bytes: Vec<u8>, name: &str) -> Result<Text> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let at = e.utf8_error().valid_up_to();
            let utf16 = matches!(e.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
            let hint = if utf16 { "it looks like UTF-16: store it as UTF-8" } else { "is it a text?" };
            anyhow::bail!("{name} is not UTF-8 (byte {at}): {hint}");
        }
    };
    let mut text = without_mark(text, name);
    if let Some(rest) = text.text.strip_suffix('\n') {
        text.text = rest.strip_suffix('\r').unwrap_or(rest).to_string();
        text.notes.push(format!("the line end at the end of {name} is left out; two keep one"));
    }
    Ok(text)
}

fn without_mark(text: String, name: &str) -> Text {
    match text.strip_prefix('\u{feff}') {
        None => Text { text, notes: Vec::new() },
        Some(rest) => Text {
            text: rest.to_string(),
            notes: vec![format!("the byte order mark at the start of {name} is left out")],
        },
    }
}

/// Prints the notes of a text and returns the text.
fn say(text: Text, what: &str) -> Result<String> {
    check_text(&text.text, what)?;
    text.notes.iter().for_each(message::note);
    Ok(text.text)
}

/// Refuses an argument that cannot be a text.
///
/// # Errors
/// If the argument is empty or has a NUL character.
pub fn check_argument(text: &str, what: &str) -> Result<()> {
    check_text(text, what).map_err(|e| UsageError(e.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_told_from_texts() {
        for name in [
            "nosuchfile.txt",
            "./nofile.txt",
            "x.csv",
            "data/essay",
            "/etc/nothing",
            "../a",
            "~/essay",
            "my essay.txt",
            "./my notes",
            "C:\\texts\\a",
            "Essay.TXT",
            "notes.v2",
        ] {
            assert!(looks_like_a_path(name), "{name}");
        }
        for text in [
            "Hello",
            "To be or not to be.",
            "3.14",
            "one. two",
            "I like it...",
            "either/or is fine",
            "/ a slash",
            "a\nb.txt",
            "So it goes.",
            "東京",
            "U.S.A.",
            ".",
        ] {
            assert!(!looks_like_a_path(text), "{text}");
        }
    }

    #[test]
    fn one_final_line_end_and_a_mark_are_left_out_and_said() {
        let read = |bytes: &[u8]| {
            let Text { text, notes } = stored(bytes.to_vec(), "f").unwrap();
            (text, notes.len())
        };
        assert_eq!(read(b"a"), ("a".into(), 0));
        assert_eq!(read(b"a\n"), ("a".into(), 1));
        assert_eq!(read(b"a\r\n"), ("a".into(), 1));
        assert_eq!(read(b"a\n\n"), ("a\n".into(), 1));
        assert_eq!(read(b"\n a \t"), ("\n a \t".into(), 0));
        assert_eq!(read(b"a\r"), ("a\r".into(), 0));
        assert_eq!(read("\u{feff}a\u{feff}\n".as_bytes()), ("a\u{feff}".into(), 2));
        assert_eq!(typed("\u{feff}a\n"), Text { text: "a\n".into(), notes: typed("\u{feff}").notes });
        assert!(stored(b"\xff\xfea\0".to_vec(), "f").unwrap_err().to_string().contains("UTF-16"));
    }
}
