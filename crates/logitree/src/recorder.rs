//! Writes the file of a run while the run grows.

use crate::Model;
use crate::error::{Context, Result};
use crate::lock;
use crate::output::{self, Target};
use logitree_core::run::Event;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the events of a new run are written. Nothing is created before the header is written.
pub enum Destination {
    /// Nowhere: the run is only held in memory.
    Nowhere,
    /// Any writer, such as standard output. Every write contains whole lines.
    Stream(Box<dyn Write + Send>),
    /// A file whose name was checked.
    Named(Target),
    /// A new file with this name and the extension of run files; if the name is taken, a number is added.
    Free(String),
}

impl Destination {
    /// Refuses to overwrite a file of the model that is used.
    pub(crate) fn spare(&self, model: &Model) -> Result<()> {
        match (self, model.local()) {
            (Destination::Named(target), Some(model)) => target.spare(model.weights().files()),
            _ => Ok(()),
        }
    }

    /// Creates the record and writes its first event.
    pub(crate) fn begin(self, first: &Event) -> Result<Record> {
        let lines = lines_of(std::slice::from_ref(first))?;
        let mut record = match self {
            Destination::Nowhere => Record::Nowhere,
            Destination::Stream(stream) => {
                let mut record = Record::Stream(stream);
                record.write_lines(&lines)?;
                record
            }
            Destination::Named(target) => {
                let file = target.begin(&lines)?;
                Record::File(BufWriter::new(file), target.path().into())
            }
            Destination::Free(stem) => {
                let first = std::iter::once(format!("{stem}.run.jsonl"));
                let names = first.chain((2..10_000).map(|i| format!("{stem}-{i}.run.jsonl")));
                let (file, path) = output::begin_new(names.map(PathBuf::from), &lines)?;
                Record::File(BufWriter::new(file), path)
            }
        };
        record.flush()?;
        Ok(record)
    }
}

/// Where the events of a run go.
pub(crate) enum Record {
    Nowhere,
    File(BufWriter<File>, PathBuf),
    Stream(Box<dyn Write + Send>),
}

/// Events formatted as lines of a run file.
fn lines_of(events: &[Event]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Record {
    /// Appends events.
    pub fn write(&mut self, events: &[Event]) -> Result<()> {
        match self {
            Record::Nowhere => Ok(()),
            _ => self.write_lines(&lines_of(events)?),
        }
    }

    fn write_lines(&mut self, lines: &[u8]) -> Result<()> {
        match self {
            Record::Nowhere => Ok(()),
            Record::File(file, path) => {
                file.write_all(lines).with_context(|| format!("cannot write {}", path.display()))
            }
            Record::Stream(stream) => Ok(stream.write_all(lines)?),
        }
    }

    /// Flushes what was written, so that other programs can read it.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Record::Nowhere => Ok(()),
            Record::File(file, path) => file.flush().with_context(|| format!("cannot write {}", path.display())),
            Record::Stream(stream) => Ok(stream.flush()?),
        }
    }

    /// Length of the file in bytes, as far as it is flushed; 0 if there is no file.
    pub fn len(&self) -> Result<u64> {
        match self {
            Record::File(file, path) => {
                Ok(file.get_ref().metadata().with_context(|| path.display().to_string())?.len())
            }
            Record::Nowhere | Record::Stream(_) => Ok(0),
        }
    }

    /// Path of the file; `None` if the record is not in a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Record::File(_, path) => Some(path),
            Record::Nowhere | Record::Stream(_) => None,
        }
    }
}

/// A run file that no other process can write to. It must be read after it is locked, so that no other process changes
/// it in between.
pub struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Locks an existing file.
    ///
    /// # Errors
    /// If the file cannot be opened, or another process is writing it.
    pub fn open(path: &Path) -> Result<Held> {
        let file = lock::for_writing().open(path).with_context(|| path.display().to_string())?;
        lock::own(&file, path)?;
        Ok(Held { file, path: path.into() })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Continues the file after its last complete event. An incomplete event at the end is cut off.
    pub(crate) fn append(mut self, valid_bytes: u64) -> Result<Record> {
        let cut = self.file.set_len(valid_bytes).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.with_context(|| self.path.display().to_string())?;
        Ok(Record::File(BufWriter::new(self.file), self.path))
    }
}
