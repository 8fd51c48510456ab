//! Reads data sets of every format.

use super::made::Input;
use super::row::{Format, Rows, Source};
use super::{csv, lines, parquet};
use crate::error::{Context, Result};
use crate::import::{self, named};
use crate::models;

impl Source {
    /// Begins to read the rows. Standard input can be read only once.
    ///
    /// # Errors
    /// If the file cannot be read, or has no such column.
    pub fn rows(&self) -> Result<Rows> {
        let rows = || -> Result<Rows> {
            Ok(match self.format()? {
                Format::Parquet => Box::new(parquet::Rows::open(self)?),
                Format::Csv => Box::new(csv::Rows::read(import::source(&self.path)?, b',', self)?),
                Format::Tsv => Box::new(csv::Rows::read(import::source(&self.path)?, b'\t', self)?),
                Format::Jsonl => Box::new(lines::Objects::read(import::source(&self.path)?, self)),
                Format::Lines => Box::new(lines::Texts::read(import::source(&self.path)?)),
            })
        };
        rows().with_context(|| named(&self.path))
    }

    /// Number of rows, good and bad; `None` for what can be read only once.
    ///
    /// # Errors
    /// As for [`Source::rows`].
    pub fn count(&self) -> Result<Option<u64>> {
        if self.is_stream() {
            return Ok(None);
        }
        let counted = || match self.format()? {
            Format::Parquet => parquet::count(&self.path),
            Format::Jsonl | Format::Lines => lines::count(import::source(&self.path)?),
            Format::Csv | Format::Tsv => self.rows()?.try_fold(0, |n, row| row.map(|_| n + 1)),
        };
        counted().with_context(|| named(&self.path)).map(Some)
    }

    /// What a table says of this data set. The SHA-256 is of the file as it is now.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn record(&self) -> Result<Input> {
        let hash = || models::content_sha256(&self.path).with_context(|| named(&self.path));
        Ok(Input {
            name: named(&self.path),
            sha256: if self.is_stream() { None } else { Some(hash()?) },
            format: self.format()?,
            field: self.field.clone(),
            id_field: self.id_field.clone(),
        })
    }
}
