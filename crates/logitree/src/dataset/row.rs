//! Rows of data sets, and where they come from.

use crate::error::{Result, fail};
use crate::import::is_stdin;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Largest size of a row that is read, in bytes. A row beyond it is told as bad: memory stays flat whatever is in a file.
pub(super) const MAX_ROW: usize = 1 << 26;

/// How a file has its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object per line.
    Jsonl,
    /// Comma-separated values, with a head.
    Csv,
    /// Tab-separated values, with a head.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// A text per line.
    Lines,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 5] = [Format::Jsonl, Format::Csv, Format::Tsv, Format::Parquet, Format::Lines];

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Parquet => "parquet",
            Format::Lines => "lines",
        }
    }

    /// The format that the ending of a file's name stands for.
    pub fn of(path: &Path) -> Option<Format> {
        match &path.extension()?.to_str()?.to_ascii_lowercase()[..] {
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            "tsv" => Some(Format::Tsv),
            "parquet" => Some(Format::Parquet),
            "txt" | "text" | "lines" => Some(Format::Lines),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(name: &str) -> std::result::Result<Format, String> {
        let known = Format::ALL.into_iter().find(|f| f.name() == name);
        known.ok_or_else(|| format!("must be one of {}", Format::ALL.map(Format::name).join(", ")))
    }
}

/// A row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where it stands: its line in files with a row per line, otherwise its number, counted from 1 without the head.
    pub number: u64,
    /// What the file calls it, a text or a number; `number` if it has no name.
    pub id: Value,
    /// Its text, or what is wrong with the row.
    pub text: Result<String, String>,
}

/// The rows of a data set, in order.
pub type Rows = Box<dyn Iterator<Item = Result<Row>>>;

/// A data set, and where its texts are in it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// How it has its rows; the ending of its name says it if `None`.
    pub format: Option<Format>,
    /// The column, or field of the objects, with the texts. Files with a text per line have none.
    pub field: String,
    /// The column with names of rows. If `None`, it is `id` where there is such a column.
    pub id_field: Option<String>,
}

/// The column with names of rows, if no other is named.
const ID: &str = "id";

impl Source {
    /// How the file has its rows. Standard input has a JSON object per line unless something else is said.
    ///
    /// # Errors
    /// If nothing says it, or standard input is to be read as Parquet.
    pub fn format(&self) -> Result<Format> {
        match self.format.or_else(|| Format::of(&self.path)) {
            Some(Format::Parquet) if is_stdin(&self.path) => {
                fail!(
                    Parameter("input_format"),
                    "Parquet is read from its end, so standard input cannot have it: name a file"
                )
            }
            Some(format) => Ok(format),
            None if is_stdin(&self.path) => Ok(Format::Jsonl),
            None => fail!(
                Parameter("input"),
                "`input` {}: what its rows are cannot be told from its name: say `input_format` ({})",
                self.path.display(),
                Format::ALL.map(Format::name).join(", ")
            ),
        }
    }

    /// Whether it can be read only once: standard input, or a pipe that has a name.
    pub fn is_stream(&self) -> bool {
        is_stdin(&self.path) || std::fs::metadata(&self.path).is_ok_and(|m| !m.is_file() && !m.is_dir())
    }

    /// Whether a column has the names of rows; an error message if it must and `there` says that it is not there.
    pub(super) fn id_column(&self, there: impl Fn(&str) -> bool) -> Result<Option<&str>, String> {
        match &self.id_field {
            None => Ok(there(ID).then_some(ID)),
            Some(name) if there(name) => Ok(Some(name)),
            Some(name) => Err(format!("there is no column {name:?}")),
        }
    }
}

/// A list of columns for messages.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let names: Vec<String> = names.into_iter().map(|n| format!("{n:?}")).collect();
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(MOST)].join(", "))
}

/// What is wrong with bytes that are no text, or the text.
pub(super) fn text_of(bytes: &[u8], what: &str) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(e) => Err(format!("{what} is not UTF-8 (byte {})", e.valid_up_to())),
    }
}
