//! The table of a data set while it is made.
//!
//! Answers go into a journal beside the later table: its first line says what the table is made from, then comes a line
//! per row of the input. When all rows are done, the table is written from the journal, whole, and what it was made from
//! stays beside it. Whatever ends the program in between, the same work goes on behind the last complete line.

use super::row::{Format, MAX_ROW};
use super::table::{self, Column, TableFormat};
use crate::error::{Context, Result, fail};
use crate::export::text::count;
use crate::lock;
use crate::output::{self, Target, has_content};
use logitree_core::run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the name of a journal ends with, behind that of its table.
const JOURNAL: &str = ".part.jsonl";
/// What the name of the file that says what a table was made from ends with, behind that of the table.
const ABOUT: &str = ".about.json";

/// The data set that a table is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the file.
    pub name: String,
    /// SHA-256 of its content; `None` if it can be read only once.
    pub sha256: Option<String>,
    /// How it has its rows.
    pub format: Format,
    /// The column with the texts.
    pub field: String,
    /// The column with the names, if one was said.
    pub id_field: Option<String>,
}

/// What a table is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// What is asked about each text: the command.
    pub command: String,
    /// The data set.
    pub input: Input,
    /// The format of the table.
    pub table: TableFormat,
    /// The model that answers.
    pub model: run::Model,
    /// The engine's name, for people.
    pub engine: String,
    /// All that decides what the numbers are, beside model and input: a JSON object.
    pub parameters: Value,
    /// The version of logitree.
    pub logitree: String,
    /// When it was begun.
    pub created: String,
}

impl Made {
    /// How this differs from what another table is made from, in words, if the numbers of one do not belong into the
    /// other.
    pub fn differs(&self, other: &Made) -> Option<String> {
        let of = |m: &Made| {
            let Made { command, input, table, model, .. } = m;
            let tokenizer = [&model.tokenizer[..], model.tokenizer_sha256.as_deref().unwrap_or_default()].join(" ");
            [
                ("command", command.clone()),
                ("input", format!("{} (sha256 {})", input.name, input.sha256.as_deref().unwrap_or("unknown"))),
                ("input format", input.format.name().into()),
                ("field of texts", input.field.clone()),
                ("field of names", input.id_field.clone().unwrap_or_else(|| "none named".into())),
                ("format of the table", table.name().into()),
                ("model", format!("{} (sha256 {})", model.name, model.sha256)),
                ("tokenizer", tokenizer),
                ("arithmetic", model.arithmetic.clone().unwrap_or_else(|| "f32".into())),
                ("order of sums", format!("{:?}", model.orders())),
            ]
        };
        let same = |name: &str, a: &str, b: &str| match name {
            // The same content under another name is the same.
            "input" => self.input.sha256 == other.input.sha256,
            "model" => self.model.sha256 == other.model.sha256,
            _ => a == b,
        };
        let fixed = of(self).into_iter().zip(of(other)).find(|((name, a), (_, b))| !same(name, a, b));
        if let Some(((name, was), (_, is))) = fixed {
            return Some(format!("another {name}: {was}, not {is}"));
        }
        let names = [self, other].into_iter().flat_map(|m| m.parameters.as_object()).flat_map(|o| o.keys());
        let value = |m: &Made, name: &str| m.parameters.get(name).cloned().unwrap_or_default();
        let name = names.into_iter().find(|name| value(self, name) != value(other, name))?;
        Some(format!("another {name}: {}, not {}", value(self, name), value(other, name)))
    }
}

/// A complete table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// What it is made from.
    #[serde(flatten)]
    pub made: Made,
    /// Number of the input's rows.
    pub rows: u64,
    /// How many of them are bad: they have an error and no numbers.
    pub bad: u64,
    /// Size of the table's file, which tells whether it is still the same.
    pub bytes: u64,
}

impl Ended {
    /// What is said beside a table; `None` if nothing is, or the table is another by now.
    fn of(table: &Path) -> Option<Ended> {
        let text = std::fs::read(beside(table, ABOUT)).ok()?;
        let ended: Ended = serde_json::from_slice(&text).ok()?;
        (std::fs::metadata(table).ok()?.len() == ended.bytes).then_some(ended)
    }
}

/// A table that is to be made.
pub enum Begun {
    /// It is made, from the beginning or from where an earlier start stopped.
    Going(Making),
    /// It is there already, made from the same.
    Done(Ended),
}

/// The journal of a table that is being made. No other process can write to it.
pub struct Making {
    made: Made,
    target: Target,
    journal: PathBuf,
    file: BufWriter<File>,
    /// The number of the last row that is done; 0 if none is.
    last: u64,
    rows: u64,
    bad: u64,
}

fn beside(table: &Path, ending: &str) -> PathBuf {
    let mut name = table.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Making {
    /// Checks the name of a table before the model is loaded. With `force`, a table that is there is made anew; until then
    /// it stays. It must not be one of the `inputs`.
    ///
    /// # Errors
    /// If its ending is unknown, it cannot be written, or it is there and nothing says what it was made from.
    pub fn check(path: &Path, force: bool, inputs: &[&Path]) -> Result<TableFormat> {
        let Some(format) = TableFormat::of(path) else {
            fail!(Parameter("output"), "`output` {}: the name must end in .jsonl, .csv or .parquet", path.display())
        };
        Target::check(path, true, inputs)?;
        if has_content(path) && !force && !beside(path, JOURNAL).exists() && Ended::of(path).is_none() {
            fail!(Conflict, "{} exists: `force` overwrites it", path.display());
        }
        Ok(format)
    }

    /// Begins a table, or goes on with one that was begun with the same.
    ///
    /// # Errors
    /// If a table was begun or made there with something else, another process is making it, or it cannot be written.
    pub fn begin(path: &Path, made: Made, force: bool) -> Result<Begun> {
        if let Some(making) = Making::resume(path, &made, force)? {
            return Ok(Begun::Going(making));
        }
        match Ended::of(path).filter(|_| !force) {
            None => {}
            Some(ended) => match ended.made.differs(&made) {
                None => return Ok(Begun::Done(ended)),
                Some(how) => fail!(
                    Conflict,
                    "{} was made with {how}: name another `output`, or make it anew with `force`",
                    path.display()
                ),
            },
        }
        let target = Target::check(path, force, &[])?;
        let journal = beside(path, JOURNAL);
        let file =
            Target::check(&journal, true, &[])?.begin(format!("{}\n", serde_json::to_string(&made)?).as_bytes())?;
        Ok(Begun::Going(Making { made, target, journal, file: BufWriter::new(file), last: 0, rows: 0, bad: 0 }))
    }

    /// Goes on with a journal. `None` if there is none, or with `force` if it was begun with something else.
    fn resume(path: &Path, made: &Made, force: bool) -> Result<Option<Making>> {
        let journal = beside(path, JOURNAL);
        let file = match lock::for_writing().read(true).open(&journal) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| journal.display().to_string())?,
        };
        lock::own(&file, &journal)?;
        let mut lines = Lines { from: BufReader::new(file.try_clone()?), bytes: 0 };
        let begun: Option<Made> = lines.next()?.and_then(|line| serde_json::from_str(&line).ok());
        let how = match &begun {
            None => Some("something else: its journal cannot be read".to_string()),
            Some(begun) if begun.input.sha256.is_none() => {
                Some(format!("{}, which cannot be read again", begun.input.name))
            }
            Some(begun) => begun.differs(made),
        };
        match (how, begun) {
            (None, Some(begun)) => {
                let target = Target::check(path, true, &[])?;
                let (mut last, mut rows, mut bad) = (0, 0, 0);
                while let Some(line) = lines.next()? {
                    let row: Line = serde_json::from_str(&line).with_context(|| journal.display().to_string())?;
                    (last, rows, bad) = (row.row, rows + 1, bad + u64::from(row.error.is_some()));
                }
                let cut = file.set_len(lines.bytes).and_then(|()| (&file).seek(SeekFrom::End(0)));
                cut.with_context(|| journal.display().to_string())?;
                let file = BufWriter::new(file);
                Ok(Some(Making { made: begun, target, journal, file, last, rows, bad }))
            }
            (Some(_), _) if force => Ok(None),
            (how, _) => fail!(
                Conflict,
                "{} was begun with {}: begin with the same again, name another `output`, or begin anew with `force`",
                path.display(),
                how.unwrap_or_default()
            ),
        }
    }

    /// The number of the last row of the input that is done; 0 if none is.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many rows are done, and how many of them are bad.
    pub fn counts(&self) -> (u64, u64) {
        (self.rows, self.bad)
    }

    /// The format of the table.
    pub fn format(&self) -> TableFormat {
        self.made.table
    }

    /// Path of the journal.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// Adds what was found for a row: a JSON object on one line, with `row`, its number, and if it is bad an `error`.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn add(&mut self, row: u64, line: &str, bad: bool) -> Result<()> {
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.write_all(b"\n"))
            .with_context(|| self.cannot())?;
        (self.last, self.rows, self.bad) = (row, self.rows + 1, self.bad + u64::from(bad));
        Ok(())
    }

    fn cannot(&self) -> String {
        format!("cannot write {}", self.journal.display())
    }

    /// Makes sure that what was added stays if the program ends.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| self.cannot())
    }

    /// Writes the table, whole, when all rows are done; the journal is removed. `cells` gives the rows of the table, one
    /// value per column, that a line of the journal becomes.
    ///
    /// # Errors
    /// If the table cannot be written. Then the journal stays, and a table that was there, too.
    pub fn finish(mut self, columns: &[Column], cells: &dyn Fn(&Value) -> Vec<Vec<Value>>) -> Result<Ended> {
        self.flush()?;
        let form = self.made.table.form();
        self.target.write(form, |out| {
            let file = File::open(&self.journal).with_context(|| self.journal.display().to_string())?;
            let mut lines = Lines { from: BufReader::with_capacity(1 << 16, file), bytes: 0 };
            lines.next()?;
            let mut next = || lines.next().transpose();
            table::write(self.made.table, columns, &mut std::iter::from_fn(&mut next), cells, out)
        })?;
        let path = self.target.path();
        let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
        let ended = Ended { made: self.made, rows: self.rows, bad: self.bad, bytes };
        output::replace(&beside(path, ABOUT), |out| Ok(writeln!(out, "{}", serde_json::to_string_pretty(&ended)?)?))?;
        std::fs::remove_file(&self.journal).with_context(|| self.journal.display().to_string())?;
        Ok(ended)
    }
}

impl Ended {
    /// The rows in words: `2,000 rows` or `2,000 rows, 3 of them bad`.
    pub fn in_words(&self) -> String {
        let bad = if self.bad > 0 { format!(", {} of them bad", self.bad) } else { String::new() };
        format!("{}{bad}", count(self.rows as usize, "row"))
    }
}

/// What every line of a journal has.
#[derive(Deserialize)]
struct Line {
    row: u64,
    error: Option<String>,
}

/// Complete lines of a journal, and where they end. A line that was not written to its end is none.
struct Lines<R> {
    from: R,
    bytes: u64,
}

/// Longest line of a journal, in bytes: an answer may be much longer than its text.
const MAX_LINE: u64 = 16 * MAX_ROW as u64;

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let read = self.from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.bytes += read as u64;
        Ok(Some(String::from_utf8(line)?))
    }
}
