//! Reading files: ours and the notebook's, told apart by what is in them.

pub mod jsonl;
#[cfg(test)]
mod replay;
pub mod tree_json;

use anyhow::{Context, Result, bail};
use logitree_core::run::{Run, RunReader};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A file's content.
pub enum Document {
    /// A run file, or the notebook's tree as one.
    Run(Box<Run>),
    /// The notebook's logprobs records; bad lines are told by number.
    Logprobs(Vec<jsonl::Record>, Vec<String>),
}

/// Reads any file that is known.
pub fn open(path: &Path) -> Result<Document> {
    let file = || -> Result<Document> { read(BufReader::with_capacity(1 << 16, File::open(path)?)) };
    file().with_context(|| path.display().to_string())
}

/// Reads what any known file holds.
pub fn read(mut file: impl BufRead) -> Result<Document> {
    {
        let start = file.fill_buf()?;
        if start.is_empty() {
            bail!("the file is empty");
        }
        // Each format names itself within the first bytes of its first line.
        let head = String::from_utf8_lossy(&start[..start.len().min(4096)]).into_owned();
        let before = |key: &str| head.find(key).unwrap_or(usize::MAX);
        if before("\"logitree-run\"") < usize::MAX {
            return Ok(Document::Run(Box::new(run(file)?)));
        }
        let one_object = before("\"metadata\"").min(before("\"tree\""));
        // A record may begin with a long prompt, a tree never does.
        let keys = ["\"prompt\"", "\"response\"", "\"data\""];
        if keys.into_iter().map(before).min() < Some(one_object) {
            let (records, bad) = jsonl::read(file)?;
            return Ok(Document::Logprobs(records, bad));
        }
        if one_object < usize::MAX {
            return Ok(Document::Run(Box::new(tree_json::read(file)?)));
        }
        bail!("neither a run file, nor a tree in JSON, nor logprobs in JSON Lines");
    }
}

/// A file that must be a run (or can be read as one).
pub fn open_run(path: &Path) -> Result<Run> {
    match open(path)? {
        Document::Run(run) => Ok(*run),
        Document::Logprobs(..) => {
            bail!("{}: holds logprobs records, not a run; use `logitree show`", path.display())
        }
    }
}

/// Reads our own format.
pub fn run(mut file: impl BufRead) -> Result<Run> {
    let mut reader = RunReader::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(reader.finish(false)?);
        }
        if !line.ends_with(b"\n") {
            return Ok(reader.finish(true)?);
        }
        reader.feed(&line)?;
    }
}
