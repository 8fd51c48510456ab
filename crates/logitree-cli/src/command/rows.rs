//! A file with the rows of an analysis: one JSON object, a JSON object per line, or CSV.

use crate::usage::usage;
use anyhow::Result;
use clap::Args;
use logitree::output::{Form, Target};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where rows are written.
#[derive(Args)]
pub struct RowsOptions {
    /// File to write: `.json` has all as one object, `.jsonl` a line per row, `.csv` a table; `-` prints the lines
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
}

impl RowsOptions {
    /// Checks the file's name before any work is done; `None` if no file is wanted.
    ///
    /// # Errors
    /// If the name has another ending, or the file exists and may not be overwritten.
    pub fn check(&self) -> Result<Option<RowsFile>> {
        let Some(path) = &self.output else { return Ok(None) };
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Kind::Csv,
            Some("jsonl") => Kind::Lines,
            Some("json") => Kind::Object,
            _ if path == Path::new("-") => Kind::Lines,
            _ => usage!("--output {}: the name must end in .json, .jsonl or .csv", path.display()),
        };
        Ok(Some(RowsFile { target: Target::check(path, self.force, &[])?, kind }))
    }
}

enum Kind {
    Object,
    Lines,
    Csv,
}

/// A file for rows.
pub struct RowsFile {
    target: Target,
    kind: Kind,
}

impl RowsFile {
    /// Writes the rows: `object` whole, its list `rows` line by line, or what `csv` writes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(
        &self,
        object: &Value,
        rows: &str,
        csv: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let form = if matches!(self.kind, Kind::Csv) { Form::Table } else { Form::Text };
        let fill = |out: &mut (dyn Write + Send)| {
            match self.kind {
                Kind::Object => writeln!(out, "{object:#}")?,
                Kind::Lines => {
                    for row in object[rows].as_array().into_iter().flatten() {
                        writeln!(out, "{row}")?;
                    }
                }
                Kind::Csv => csv(out)?,
            }
            Ok(())
        };
        Ok(self.target.write(form, fill)?)
    }

    /// Whether the rows went to standard output, where nothing else should follow.
    pub fn is_stdout(&self) -> bool {
        self.target.is_stdout()
    }
}
