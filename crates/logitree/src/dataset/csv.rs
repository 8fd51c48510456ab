//! Tables as text: comma- and tab-separated values with a head.

use super::row::{MAX_ROW, Row, Source, listed, text_of};
use crate::error::{Result, fail};
use ::csv::{ByteRecord, ReaderBuilder};
use logitree_core::run::BOM;
use std::io::{self, BufRead, Read};

/// Rows of a table.
pub struct Rows<R> {
    reader: ::csv::Reader<Bounded<R>>,
    columns: usize,
    text: usize,
    id: Option<usize>,
    field: String,
    record: ByteRecord,
    number: u64,
    ended: bool,
}

/// A stream that ends with an error where a row becomes too long: where a quote is not closed, the row would be the rest
/// of the file.
struct Bounded<R> {
    from: R,
    used: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used > MAX_ROW {
            let what = format!("a row is longer than {} MB: is a quote not closed?", MAX_ROW >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let read = self.from.read(into)?;
        self.used += read;
        Ok(read)
    }
}

impl<R: BufRead> Rows<R> {
    /// # Errors
    /// If the head cannot be read or lacks the columns of the source.
    pub fn read(mut from: R, delimiter: u8, source: &Source) -> Result<Rows<R>> {
        if from.fill_buf()?.starts_with(BOM) {
            from.consume(BOM.len());
        }
        let from = Bounded { from, used: 0 };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(from);
        let heads: Vec<String> =
            reader.byte_headers()?.iter().map(|h| String::from_utf8_lossy(h).into_owned()).collect();
        let place = |name: &str| heads.iter().position(|h| h == name);
        let there = || listed(heads.iter().map(String::as_str));
        let Some(text) = place(&source.field) else {
            fail!(Parameter("field"), "`field` {:?}: the file has no such column; it has {}", source.field, there())
        };
        let id = match source.id_column(|name| place(name).is_some()) {
            Ok(column) => column.and_then(place),
            Err(what) => fail!(Parameter("id_field"), "`id_field`: {what}; it has {}", there()),
        };
        let (columns, field) = (heads.len(), source.field.clone());
        Ok(Rows { reader, columns, text, id, field, record: ByteRecord::new(), number: 0, ended: false })
    }

    /// The record that was read as a row.
    fn row(&self) -> Row {
        let (number, record) = (self.number, &self.record);
        let cell = |i: usize| record.get(i).unwrap_or_default();
        let name = self.id.map(|i| text_of(cell(i), "the name")).filter(|name| name.as_deref() != Ok(""));
        let text = match record.len() == self.columns {
            true => text_of(cell(self.text), &format!("{:?}", self.field)),
            false => Err(format!("{} cells where the head has {}", record.len(), self.columns)),
        };
        let (id, text) = match name {
            Some(Ok(name)) => (name.into(), text),
            Some(Err(what)) => (number.into(), Err(what)),
            None => (number.into(), text),
        };
        Row { number, id, text }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.ended {
            return None;
        }
        self.reader.get_mut().used = 0;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {
                self.number += 1;
                Some(Ok(self.row()))
            }
            Ok(false) => None,
            Err(e) => {
                self.ended = true;
                Some(Err(e.into()))
            }
        }
    }
}
