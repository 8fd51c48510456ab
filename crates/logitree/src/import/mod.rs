//! Reads files of logitree, of the notebook and of other programs. The kind of a file is found from its content, not from its name.

mod answers;
pub mod jsonl;
mod kind;
mod listed;
mod loom;
#[cfg(test)]
mod replay;
pub mod tree_json;

use crate::error::{Context, Result, fail};
use kind::Kind;
use logitree_core::run::{BOM, Run, RunReader, read_line};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The content of a file, and what was unusual in it.
pub struct Import {
    /// The content.
    pub document: Document,
    /// What was read differently from how it is written, one sentence each.
    pub notes: Vec<String>,
}

/// The content of a file.
pub enum Document {
    /// A run file, or the notebook's tree, a server's answer or a save of logitloom, converted to a run.
    Run(Box<Run>),
    /// The notebook's logprobs records, and the lines that are not records.
    Logprobs(Vec<jsonl::Record>, jsonl::Bad),
}

/// The file name that means standard input.
pub const STDIN: &str = "-";

/// Whether a file name means standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Opens a file or standard input for reading.
///
/// # Errors
/// If the file cannot be opened, or is a folder.
pub fn source(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    Ok(if is_stdin(path) {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(1 << 16, open_file(path)?))
    })
}

/// Opens a file for reading. A folder is refused here, because the system opens it and fails only at the first read,
/// with a less clear message.
///
/// # Errors
/// If the file cannot be opened, or is a folder.
pub fn open_file(path: &Path) -> std::io::Result<File> {
    if path.is_dir() {
        return Err(std::io::Error::other("is a folder: name a file in it"));
    }
    File::open(path)
}

/// The name of a file in messages.
pub fn named(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads a file of any known kind; `-` is standard input.
///
/// # Errors
/// If the file cannot be read, or is of no known kind.
pub fn open(path: &Path) -> Result<Import> {
    let file = || -> Result<Import> { read(source(path)?) };
    file().with_context(|| named(path))
}

/// Reads a file of any known kind from a stream.
///
/// # Errors
/// If the file cannot be read, or is of no known kind.
pub fn read(mut file: impl BufRead) -> Result<Import> {
    let start = file.fill_buf()?;
    if start.is_empty() {
        fail!(Input, "the file is empty");
    }
    let marked = start.starts_with(BOM);
    let Some(kind) = kind::of(start) else {
        fail!(
            Input,
            "neither a run file, nor a tree in JSON, nor logprobs in JSON Lines, nor an answer of OpenAI, vLLM or llama-server with logprobs, nor a save of logitloom"
        );
    };
    let mut notes = Vec::new();
    if marked {
        notes.push("the file begins with a byte order mark, which is skipped".into());
        // For a run, the byte order mark is left in place, because the reader counts bytes from the start of the file.
        if kind != Kind::Run {
            file.consume(BOM.len());
        }
    }
    let document = match kind {
        Kind::Run => {
            let run = run(file)?;
            if run.torn {
                notes.push("the file ends in the middle of an event; everything before it is read".into());
            }
            Document::Run(Box::new(run))
        }
        Kind::Tree => Document::Run(Box::new(tree_json::read(file, &mut notes)?)),
        Kind::Answer => Document::Run(Box::new(answers::read(file, &mut notes)?)),
        Kind::Loom => Document::Run(Box::new(loom::read(file, &mut notes)?)),
        Kind::Records => {
            let (records, bad) = jsonl::read(file, &mut notes)?;
            Document::Logprobs(records, bad)
        }
    };
    Ok(Import { document, notes })
}

/// Reads a file as a run (a run file, or a file that can be converted), and returns notes about it, one sentence each.
///
/// # Errors
/// If the file cannot be read, or is not a run.
pub fn open_run(path: &Path) -> Result<(Run, Vec<String>)> {
    let Import { document, notes } = open(path)?;
    match document {
        Document::Run(run) => Ok((*run, notes)),
        Document::Logprobs(..) => {
            fail!(Input, "{}: holds logprobs records, not a run: it has no tree", named(path))
        }
    }
}

/// Reads a run file.
///
/// # Errors
/// If the file cannot be read, or is not a run file.
pub fn run_file(path: &Path) -> Result<Run> {
    let file = || run(BufReader::with_capacity(1 << 16, open_file(path)?));
    file().with_context(|| path.display().to_string())
}

/// Reads a run file from a stream.
///
/// # Errors
/// If it cannot be read, or is not a run file; the message has the line and the reason.
pub fn run(mut file: impl BufRead) -> Result<Run> {
    let mut reader = RunReader::default();
    let mut line = Vec::new();
    while read_line(&mut file, &mut line)? > 0 {
        if !line.ends_with(b"\n") && line.len() <= logitree_core::run::MAX_LINE {
            return Ok(reader.finish(true)?);
        }
        reader.feed(&line)?;
    }
    Ok(reader.finish(false)?)
}

#[cfg(test)]
mod tests {
    //! Tests with small files of other programs, good and bad, that the web app reads too
    //! (web/tests/import-fixtures.test.ts).

    use super::*;
    use logitree_core::NodeId;
    use serde_json::Value;

    #[test]
    fn each_is_read_or_refused_as_it_says_beside_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/imports");
        let expected = std::fs::read(folder.join("expected.json")).unwrap();
        let expected: serde_json::Map<String, Value> = serde_json::from_slice(&expected).unwrap();
        assert!(expected.len() > 10);
        for (name, wanted) in expected {
            let read = open(&folder.join(&name));
            if wanted.get("refused").is_some() {
                assert!(read.is_err(), "{name}");
                continue;
            }
            let Import { document, notes } = read.unwrap();
            if let Some(count) = wanted["notes"].as_u64() {
                assert_eq!(notes.len() as u64, count, "{name}: {notes:?}");
            }
            match document {
                Document::Run(run) => {
                    assert_eq!(wanted["nodes"], run.tree.len(), "{name}");
                    assert_eq!(wanted["completed"], run.tree.finished().count(), "{name}");
                    let first = run.tree.logprob(NodeId(1)).exp();
                    assert!((wanted["first"].as_f64().unwrap() - first).abs() < 1e-12, "{name}: {first}");
                }
                Document::Logprobs(records, bad) => {
                    assert_eq!(wanted["records"], records.len(), "{name}: {bad:?}");
                    let lines: Vec<u64> = wanted["bad"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
                    assert_eq!(lines.len(), bad.count, "{name}: {bad:?}");
                    for (line, what) in lines.iter().zip(&bad.lines) {
                        assert!(what.starts_with(&format!("line {line}: ")), "{name}: {what}");
                    }
                }
            }
        }
    }
}
