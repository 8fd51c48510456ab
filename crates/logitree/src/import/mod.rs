//! Reading files: ours and the notebook's, told apart by what is in them.

pub mod jsonl;
mod kind;
#[cfg(test)]
mod replay;
pub mod tree_json;

use crate::error::{Context, Result, fail};
use kind::Kind;
use logitree_core::run::{BOM, Run, RunReader, read_line};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What a file holds, and what was odd about it.
pub struct Import {
    /// Its content.
    pub document: Document,
    /// What was read otherwise than it stands, in sentences.
    pub notes: Vec<String>,
}

/// A file's content.
pub enum Document {
    /// A run file, or the notebook's tree as one.
    Run(Box<Run>),
    /// The notebook's logprobs records, and the lines that are none.
    Logprobs(Vec<jsonl::Record>, jsonl::Bad),
}

/// The name that stands for standard input where a file is read.
pub const STDIN: &str = "-";

/// Whether a file's name stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Opens what a name stands for: a file, or standard input.
///
/// # Errors
/// If it cannot be opened, or is a folder.
pub fn source(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    Ok(if is_stdin(path) {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(1 << 16, open_file(path)?))
    })
}

/// Opens a file to be read. The system opens folders as well, and fails only when they are read, in words of its own.
///
/// # Errors
/// If it cannot be opened, or is a folder.
pub fn open_file(path: &Path) -> std::io::Result<File> {
    if path.is_dir() {
        return Err(std::io::Error::other("is a folder: name a file in it"));
    }
    File::open(path)
}

/// A file as messages name it.
pub fn named(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads any file that is known; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or is no file that is known.
pub fn open(path: &Path) -> Result<Import> {
    let file = || -> Result<Import> { read(source(path)?) };
    file().with_context(|| named(path))
}

/// Reads what any known file holds.
///
/// # Errors
/// If it cannot be read, or is no file that is known.
pub fn read(mut file: impl BufRead) -> Result<Import> {
    let start = file.fill_buf()?;
    if start.is_empty() {
        fail!(Input, "the file is empty");
    }
    let marked = start.starts_with(BOM);
    let Some(kind) = kind::of(start) else {
        fail!(Input, "neither a run file, nor a tree in JSON, nor logprobs in JSON Lines");
    };
    let mut notes = Vec::new();
    if marked {
        notes.push("the file begins with a byte order mark, which is skipped".into());
        // A run's reader counts the bytes of its file.
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
        Kind::Records => {
            let (records, bad) = jsonl::read(file, &mut notes)?;
            Document::Logprobs(records, bad)
        }
    };
    Ok(Import { document, notes })
}

/// A file that must be a run (or can be read as one), and what was odd about it, in sentences.
///
/// # Errors
/// If it cannot be read, or is no run.
pub fn open_run(path: &Path) -> Result<(Run, Vec<String>)> {
    let Import { document, notes } = open(path)?;
    match document {
        Document::Run(run) => Ok((*run, notes)),
        Document::Logprobs(..) => {
            fail!(Input, "{}: holds logprobs records, not a run: it has no tree", named(path))
        }
    }
}

/// A file of our own format.
///
/// # Errors
/// If it cannot be read, or is none.
pub fn run_file(path: &Path) -> Result<Run> {
    let file = || run(BufReader::with_capacity(1 << 16, open_file(path)?));
    file().with_context(|| path.display().to_string())
}

/// Reads our own format.
///
/// # Errors
/// If it cannot be read, or is no run file: the line and the reason.
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
    //! Small files of others, good and bad, that the web app reads too (web/tests/import-fixtures.test.ts).

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
