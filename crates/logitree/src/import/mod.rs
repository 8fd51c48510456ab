//! Reading files: ours and the notebook's, told apart by what is in them.

pub mod jsonl;
mod kind;
#[cfg(test)]
mod replay;
pub mod tree_json;

use crate::message;
use anyhow::{Context, Result, bail};
use kind::Kind;
use logitree_core::run::{BOM, Run, RunReader, read_line};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What a file holds, and what was odd about it.
pub struct Import {
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

/// Reads any file that is known.
pub fn open(path: &Path) -> Result<Import> {
    let file = || -> Result<Import> { read(BufReader::with_capacity(1 << 16, File::open(path)?)) };
    file().with_context(|| path.display().to_string())
}

/// Reads what any known file holds.
pub fn read(mut file: impl BufRead) -> Result<Import> {
    let start = file.fill_buf()?;
    if start.is_empty() {
        bail!("the file is empty");
    }
    let marked = start.starts_with(BOM);
    let Some(kind) = kind::of(start) else {
        bail!("neither a run file, nor a tree in JSON, nor logprobs in JSON Lines");
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

/// A file that must be a run (or can be read as one); notes go to standard error.
pub fn open_run(path: &Path) -> Result<Run> {
    let Import { document, notes } = open(path)?;
    match document {
        Document::Run(run) => {
            notes.iter().for_each(|note| message::note(format_args!("{}: {note}", path.display())));
            Ok(*run)
        }
        Document::Logprobs(..) => {
            bail!("{}: holds logprobs records, not a run; use `logitree show`", path.display())
        }
    }
}

/// Reads our own format.
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
