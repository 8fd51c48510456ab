//! Data sets: what `score`, `logprobs`, `answers`, `next` and `tree` do with `--input`.
//!
//! Rows are read, prepared and asked about in batches, and what is found for each goes to standard output or into a table
//! that can be gone on with. A row that cannot be used is told and counted, and the others are answered all the same.

use crate::usage::usage;
use crate::{message, open, progress, terminal};
use anyhow::{Context, Result, bail};
use clap::Args;
use logitree::dataset::{Begun, Column, ColumnKind, Format, Made, Making, Row, Source, TableFormat};
use logitree::export::text::count;
use logitree::{Error, ErrorKind, Model, import, now};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The texts to ask about.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Many texts")]
pub struct DatasetOptions {
    /// Ask about every text of this file: .jsonl, .csv, .tsv, .parquet, or .txt with a text per line; `-` is standard
    /// input. The table goes to standard output as JSON Lines, or with -o to a .jsonl, .csv or .parquet file; the same
    /// command goes on with a file that was not finished
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// How the input has its rows, if its name does not say it: jsonl, csv, tsv, parquet or lines
    #[arg(long, value_name = "FORMAT")]
    pub input_format: Option<Format>,
    /// Column, or field of the JSON objects, with the texts [default: text]
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,
    /// Column with the rows' names, which the table keeps [default: id where there is one, else rows are numbered]
    #[arg(long, value_name = "NAME")]
    pub id_field: Option<String>,
}

/// The column of texts, if no other is named.
const TEXT: &str = "text";

impl DatasetOptions {
    /// The data set, if one is named.
    ///
    /// # Errors
    /// If options say how to read it and none is named.
    pub fn source(&self) -> Result<Option<Source>> {
        let DatasetOptions { input, input_format, field, id_field } = self;
        // clap's `requires` gives way to the conflict of the input with a text.
        let given = [
            ("--input-format", input_format.is_some()),
            ("--field", field.is_some()),
            ("--id-field", id_field.is_some()),
        ];
        let Some(path) = input.clone() else {
            return match given.iter().find(|(_, given)| *given) {
                Some((name, _)) => usage!("{name} is about a file with many texts: name one with --input"),
                None => Ok(None),
            };
        };
        let field = field.clone().unwrap_or_else(|| TEXT.into());
        Ok(Some(Source { path, format: *input_format, field, id_field: id_field.clone() }))
    }
}

/// Where the table goes.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    /// The file; `None` is standard output.
    pub path: Option<&'a Path>,
    /// Whether a file that is there may be replaced.
    pub force: bool,
}

/// What a command asks about each text.
pub trait Question {
    /// A text that is ready for the model.
    type Ready;

    /// The name of the command.
    fn command(&self) -> &'static str;

    /// All that decides what the answers are, beside model and input.
    fn parameters(&self) -> Value;

    /// Largest numbers of texts and of tokens that are asked about together.
    fn batch(&self) -> (usize, usize);

    /// Refuses a model that cannot be asked this, and options that are wrong whatever the texts are.
    fn check(&self, model: &Model) -> logitree::Result<()>;

    /// Makes a text ready. An error about the text makes its row a bad one; any other ends the work.
    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Self::Ready>;

    /// Number of tokens of a text.
    fn tokens(&self, ready: &Self::Ready) -> usize;

    /// Asks about texts. `None` if the work was interrupted. With `details`, answers have all that JSON Lines have, else
    /// what the table's rows need.
    fn answer(&self, model: &Model, texts: &[Self::Ready], details: bool) -> logitree::Result<Option<Vec<Answer>>>;

    /// The columns of the table, without those that every table has.
    fn columns(&self) -> Vec<Column>;

    /// The rows of the table that an answer becomes, one value per column.
    fn rows(&self, answer: &Value) -> Vec<Vec<Value>>;
}

/// What was found for a text.
pub struct Answer {
    /// A JSON object with something in it, on one line.
    pub json: String,
    /// Number of tokens that were computed for it.
    pub tokens: usize,
}

/// Most bad rows that are told one by one.
const TOLD: u64 = 20;

/// Asks about every text of a data set.
pub fn run<Q: Question>(
    question: &Q,
    source: &Source,
    output: Output<'_>,
    model: impl FnOnce() -> Result<Model>,
) -> Result<()> {
    let path = output.path.filter(|p| !import::is_stdin(p));
    let table = path.map(|path| Making::check(path, output.force, &[&source.path])).transpose()?;
    terminal::catch_interrupts();
    // What is wrong with the file is told before a model is loaded.
    let rows = source.rows()?;
    let total = source.count()?;
    let input = source.record()?;
    let model = model()?;
    question.check(&model)?;
    let to = match (path, table) {
        (Some(path), Some(table)) => {
            let made = Made {
                command: question.command().into(),
                input,
                table,
                model: model.record()?,
                engine: model.engine(),
                parameters: question.parameters(),
                logitree: env!("CARGO_PKG_VERSION").into(),
                created: now(),
            };
            match Making::begin(path, made, output.force)? {
                Begun::Going(making) => To::Table(Box::new(making)),
                Begun::Done(ended) => {
                    message::line(format_args!(
                        "{} is complete ({}) and was made with the same: nothing to do",
                        path.display(),
                        ended.in_words()
                    ));
                    return outcome(ended.rows, ended.bad, path);
                }
            }
        }
        _ => To::Stdout,
    };
    let (last, before) = to.done();
    if last > 0 {
        message::line(format_args!("going on behind row {last}: {} done", count(before as usize, "row")));
    }
    let pace = Pace::new(total, before);
    let mut work = Work { question, model: &model, to, pending: Vec::new(), tokens: 0, told: 0, pace };
    let done = work.all(rows, last);
    work.end(done, path)
}

/// Where answers go.
enum To {
    Stdout,
    Table(Box<Making>),
}

impl To {
    /// The number of the last row that is done, and how many are.
    fn done(&self) -> (u64, u64) {
        match self {
            To::Stdout => (0, 0),
            To::Table(making) => (making.last(), making.counts().0),
        }
    }

    fn details(&self) -> bool {
        !matches!(self, To::Table(making) if making.format() != TableFormat::Jsonl)
    }
}

/// A row that waits for its batch: its number and name, and its text or what is wrong with it.
struct Pending<T> {
    number: u64,
    id: Value,
    text: Result<T, String>,
}

struct Work<'a, Q: Question> {
    question: &'a Q,
    model: &'a Model,
    to: To,
    pending: Vec<Pending<Q::Ready>>,
    /// Number of tokens of the rows that wait.
    tokens: usize,
    /// Number of bad rows that were told.
    told: u64,
    pace: Pace,
}

impl<Q: Question> Work<'_, Q> {
    /// Does all rows behind the `last`; false if the work was interrupted.
    fn all(&mut self, rows: impl Iterator<Item = logitree::Result<Row>>, last: u64) -> Result<bool> {
        let (most_rows, most_tokens) = self.question.batch();
        for row in rows {
            let row = match row {
                Ok(row) if row.number <= last => continue,
                Ok(row) => row,
                Err(e) => {
                    self.flush()?;
                    return Err(e.into());
                }
            };
            let text = match row.text {
                Ok(text) => in_row(self.question.prepare(self.model, &text))?,
                Err(what) => Err(what),
            };
            let tokens = text.as_ref().map_or(0, |t| self.question.tokens(t));
            let full = self.pending.len() == most_rows || self.tokens + tokens > most_tokens;
            if full && !self.pending.is_empty() && !self.flush()? {
                return Ok(false);
            }
            self.tokens += tokens;
            self.pending.push(Pending { number: row.number, id: row.id, text });
            if terminal::interrupted() {
                return Ok(false);
            }
        }
        self.flush()
    }

    /// Asks about the rows that wait; false if the work was interrupted.
    fn flush(&mut self) -> Result<bool> {
        self.tokens = 0;
        let mut waiting = Vec::new();
        let mut texts = Vec::new();
        for Pending { number, id, text } in self.pending.drain(..) {
            let bad = text.map(|text| texts.push(text)).err();
            waiting.push((number, id, bad));
        }
        let Some(answers) = self.answers(&texts)? else { return Ok(false) };
        let mut answers = answers.into_iter();
        let mut lines = String::new();
        for (number, id, bad) in waiting {
            let answer = match bad {
                Some(what) => Err(what),
                None => answers.next().context("internal error: too few answers")?,
            };
            let line = match &answer {
                Ok(answer) => format!("{{\"row\":{number},\"id\":{id},{}", &answer.json[1..]),
                Err(what) => json!({ "row": number, "id": id, "error": what }).to_string(),
            };
            self.pace.add(&answer);
            if let Err(what) = &answer {
                self.tell(number, &id, what);
            }
            match &mut self.to {
                To::Stdout => lines.extend([&line, "\n"]),
                To::Table(making) => making.add(number, &line, answer.is_err())?,
            }
        }
        match &mut self.to {
            To::Stdout => terminal::print(&lines)?,
            To::Table(making) => making.flush()?,
        }
        self.pace.show();
        Ok(true)
    }

    /// The answers to texts, each found or what is wrong with its text. `None` if the work was interrupted.
    fn answers(&self, texts: &[Q::Ready]) -> Result<Option<Vec<Result<Answer, String>>>> {
        if texts.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let ask = |texts: &[Q::Ready]| in_row(self.question.answer(self.model, texts, self.to.details()));
        match ask(texts)? {
            Ok(answers) => Ok(answers.map(|all| all.into_iter().map(Ok).collect())),
            Err(what) if texts.len() == 1 => Ok(Some(vec![Err(what)])),
            // One of them cannot be asked about: each by itself tells which.
            Err(_) => {
                let mut answers = Vec::new();
                for text in texts.chunks(1) {
                    match ask(text)? {
                        Ok(Some(found)) => answers.extend(found.into_iter().map(Ok)),
                        Ok(None) => return Ok(None),
                        Err(what) => answers.push(Err(what)),
                    }
                }
                Ok(Some(answers))
            }
        }
    }

    fn tell(&mut self, number: u64, id: &Value, what: &str) {
        self.told += 1;
        if self.told <= TOLD {
            let name = if *id == json!(number) { String::new() } else { format!(" ({id})") };
            self.pace.bar.line(format_args!("row {number}{name}: {what}"));
        }
    }

    /// Writes the table if all rows are done, and says what was done.
    fn end(self, done: Result<bool>, path: Option<&Path>) -> Result<()> {
        if self.told > TOLD {
            self.pace.bar.line(format_args!("and {} more bad rows", self.told - TOLD));
        }
        let Work { question, to, pace, .. } = self;
        let (rows, bad, rates) = (pace.rows, pace.bad, pace.rates());
        drop(pace);
        let (To::Table(making), Some(path)) = (to, path) else {
            done?;
            return outcome(rows, bad, Path::new("standard output"));
        };
        let (all, _) = making.counts();
        let kept =
            format!("{} done, in {}: the same command goes on", count(all as usize, "row"), making.journal().display());
        if !done.context(kept.clone())? {
            message::line(format_args!("interrupted: {kept}"));
            return Ok(());
        }
        let ended = making.finish(&columns(question), &|line| cells(question, line))?;
        message::line(format_args!("{}: {}{rates}", path.display(), ended.in_words()));
        outcome(ended.rows, ended.bad, path)
    }
}

/// An error that is about a text, apart from those that end the work.
fn in_row<T>(outcome: logitree::Result<T>) -> Result<Result<T, String>> {
    let about_the_text =
        |e: &Error| matches!(e.kind(), ErrorKind::Input | ErrorKind::Parameter("prompt" | "messages" | "prefix"));
    match outcome {
        Ok(found) => Ok(Ok(found)),
        Err(e) if about_the_text(&e) => Ok(Err(e.chain())),
        Err(e) => Err(e.into()),
    }
}

/// The columns of a table: those that every table has are around the question's.
fn columns(question: &impl Question) -> Vec<Column> {
    let front = [Column::new("row", ColumnKind::Integer), Column::new("id", ColumnKind::Text)];
    front.into_iter().chain(question.columns()).chain([Column::new("error", ColumnKind::Text)]).collect()
}

/// The rows of a table that a line becomes.
fn cells(question: &impl Question, line: &Value) -> Vec<Vec<Value>> {
    let rows = match line.get("error") {
        Some(_) => vec![vec![Value::Null; question.columns().len()]],
        None => question.rows(line),
    };
    let row = |cells: Vec<Value>| {
        let front = [line["row"].clone(), line["id"].clone()];
        front.into_iter().chain(cells).chain([line["error"].clone()]).collect()
    };
    rows.into_iter().map(row).collect()
}

/// An error if rows are bad: a program that calls this one must not take the table for complete.
fn outcome(rows: u64, bad: u64, path: &Path) -> Result<()> {
    if bad > 0 {
        bail!(
            "{bad} of {} are bad, and their `error` says why; the others are in {}",
            count(rows as usize, "row"),
            path.display()
        );
    }
    Ok(())
}

/// How far the work is and how fast it goes.
struct Pace {
    bar: progress::Bar,
    started: Instant,
    total: Option<u64>,
    /// Rows that this start of the program did, good and bad.
    rows: u64,
    bad: u64,
    tokens: usize,
    /// The number of rows that an earlier start did, as far as it is known.
    before: u64,
}

impl Pace {
    fn new(total: Option<u64>, before: u64) -> Pace {
        let bar = progress::rows();
        Pace { bar, started: Instant::now(), total, rows: 0, bad: 0, tokens: 0, before }
    }

    fn add(&mut self, answer: &Result<Answer, String>) {
        self.rows += 1;
        match answer {
            Ok(answer) => self.tokens += answer.tokens,
            Err(_) => self.bad += 1,
        }
    }

    fn show(&self) {
        self.bar.message(|| {
            let total = self.total.map_or(String::new(), |n| format!(" of {n}"));
            let bad = if self.bad > 0 { format!(" · {} bad", self.bad) } else { String::new() };
            format!("{}{total} rows{}{bad}", self.before + self.rows, self.rates())
        });
    }

    fn rates(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        format!(" · {:.1} rows/s · {:.0} tokens/s", self.rows as f64 / seconds, self.tokens as f64 / seconds)
    }
}

/// The model of the options, for [`run`].
pub fn load(options: &crate::options::ModelOptions) -> impl FnOnce() -> Result<Model> {
    move || open::load(options)
}
