//! The file of a run while it grows.

use crate::Model;
use crate::error::{Context, Result};
use crate::lock;
use crate::output::{self, Target};
use logitree_core::run::Event;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the events of a new run will go. Nothing is there until its header is.
pub enum Destination {
    /// Nowhere: the run is only held in memory.
    Nowhere,
    /// Whatever takes lines, as standard output does. Each write has whole lines.
    Stream(Box<dyn Write + Send>),
    /// A file whose name was checked.
    Named(Target),
    /// The first free name: this one, then numbered, with the ending of run files.
    Free(String),
}

impl Destination {
    /// Refuses to write over the model that is asked.
    pub(crate) fn spare(&self, model: &Model) -> Result<()> {
        match (self, model.local()) {
            (Destination::Named(target), Some(model)) => target.spare(model.weights().files()),
            _ => Ok(()),
        }
    }

    /// The record, with its first event in it.
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

/// Events as lines of a run file.
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

    /// Makes what was written readable for others.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Record::Nowhere => Ok(()),
            Record::File(file, path) => file.flush().with_context(|| format!("cannot write {}", path.display())),
            Record::Stream(stream) => Ok(stream.flush()?),
        }
    }

    /// Bytes of the file, once flushed; 0 if there is none.
    pub fn len(&self) -> Result<u64> {
        match self {
            Record::File(file, path) => {
                Ok(file.get_ref().metadata().with_context(|| path.display().to_string())?.len())
            }
            Record::Nowhere | Record::Stream(_) => Ok(0),
        }
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Record::File(_, path) => Some(path),
            Record::Nowhere | Record::Stream(_) => None,
        }
    }
}

/// A run file that nobody else can write to. It is read after it is held, so that nothing is written in between.
pub struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Holds an existing file.
    ///
    /// # Errors
    /// It cannot be opened, or another process writes it.
    pub fn open(path: &Path) -> Result<Held> {
        let file = lock::for_writing().open(path).with_context(|| path.display().to_string())?;
        lock::own(&file, path)?;
        Ok(Held { file, path: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on behind the last whole event; what was torn goes.
    pub(crate) fn append(mut self, valid_bytes: u64) -> Result<Record> {
        let cut = self.file.set_len(valid_bytes).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.with_context(|| self.path.display().to_string())?;
        Ok(Record::File(BufWriter::new(self.file), self.path))
    }
}
