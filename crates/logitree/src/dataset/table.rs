//! Tables in three formats, written from a stream of JSON objects.

use crate::error::Result;
use crate::export::table::Table;
use crate::output;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// A JSON object for each row of the input, with everything.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl TableFormat {
    /// The format that the ending of a file's name stands for.
    pub fn of(path: &Path) -> Option<TableFormat> {
        match path.extension()?.to_str()? {
            "jsonl" => Some(TableFormat::Jsonl),
            "csv" => Some(TableFormat::Csv),
            "parquet" => Some(TableFormat::Parquet),
            _ => None,
        }
    }

    /// The name of the format, which is also the ending of a file's name.
    pub fn name(self) -> &'static str {
        match self {
            TableFormat::Jsonl => "jsonl",
            TableFormat::Csv => "csv",
            TableFormat::Parquet => "parquet",
        }
    }

    pub(super) fn form(self) -> output::Form {
        match self {
            TableFormat::Jsonl => output::Form::Text,
            TableFormat::Csv => output::Form::Table,
            TableFormat::Parquet => output::Form::Binary,
        }
    }
}

/// The type of a column's values. Any may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Texts.
    Text,
    /// Floating-point numbers.
    Number,
    /// Whole numbers.
    Integer,
    /// True or false.
    Flag,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: ColumnKind,
}

impl Column {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Column {
        Column { name: name.into(), kind }
    }
}

/// Writes a table: `lines` of JSON objects as they are, or the rows that each becomes.
pub fn write(
    format: TableFormat,
    columns: &[Column],
    lines: &mut dyn Iterator<Item = Result<String>>,
    cells: &dyn Fn(&Value) -> Vec<Vec<Value>>,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    if format == TableFormat::Jsonl {
        for line in lines {
            writeln!(out, "{}", line?)?;
        }
        return Ok(());
    }
    // What ends the rows early is kept here, because a table's rows cannot fail.
    let mut failure = None;
    let rows = lines.map_while(|line| {
        let rows = line.and_then(|line| Ok(cells(&serde_json::from_str(&line)?)));
        rows.map_err(|e| failure = Some(e)).ok()
    });
    let mut table = Table::of(rows.flatten());
    for (i, Column { name, kind }) in columns.iter().enumerate() {
        let name = name.clone();
        table = match kind {
            ColumnKind::Text => table.column(name, move |row: &Vec<Value>| text(&row[i])),
            ColumnKind::Number => table.column(name, move |row: &Vec<Value>| row[i].as_f64()),
            ColumnKind::Integer => table.column(name, move |row: &Vec<Value>| row[i].as_i64()),
            ColumnKind::Flag => table.column(name, move |row: &Vec<Value>| row[i].as_bool()),
        };
    }
    match format {
        TableFormat::Parquet => table.parquet("table", out)?,
        _ => table.csv(out)?,
    }
    failure.map_or(Ok(()), Err)
}

/// A text, or a number where rows are named by numbers.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
