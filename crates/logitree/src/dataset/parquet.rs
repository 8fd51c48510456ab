//! Apache Parquet: the columns of texts and of names, some rows at a time.

use super::row::{Row, Source, listed, text_of};
use crate::error::{Context, Result, fail, invalid};
use crate::import;
use ::parquet::basic::{Compression, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescPtr;
use logitree_engine::quietly;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

/// Number of rows that are read at once.
const BATCH: usize = 256;

/// Rows of a file.
pub struct Rows {
    file: SerializedFileReader<File>,
    text: Place,
    id: Option<Place>,
    /// The group of rows to read next.
    group: usize,
    /// Of the group that is being read: its columns, and how many rows are left in it.
    open: Option<(ColumnReaderImpl<ByteArrayType>, Option<ColumnReader>, usize)>,
    ready: VecDeque<Row>,
    number: u64,
}

/// A column: its name and its index among the columns of values.
struct Place {
    name: String,
    index: usize,
}

fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    Ok(SerializedFileReader::new(import::open_file(path)?)?)
}

/// Number of rows.
pub fn count(path: &Path) -> Result<u64> {
    guarded(|| Ok(open(path)?.metadata().file_metadata().num_rows().max(0) as u64))
}

/// The library asserts that some numbers of a file are sound: then its panic is an error.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let broken = || Err(invalid!("the file is no sound Parquet: its numbers do not agree"));
    quietly(work).unwrap_or_else(broken)
}

/// The column of this name, which must not be a list or have columns of its own.
fn find(columns: &[ColumnDescPtr], name: &str) -> Option<Place> {
    let index = columns.iter().position(|c| c.path().parts().first().is_some_and(|part| part == name))?;
    Some(Place { name: name.into(), index })
}

impl Rows {
    /// # Errors
    /// If the file cannot be read, lacks the columns of the source, or has values of other types in them.
    pub fn open(source: &Source) -> Result<Rows> {
        guarded(|| Rows::of(source))
    }

    fn of(source: &Source) -> Result<Rows> {
        let file = open(&source.path)?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let columns = schema.columns();
        let there = || listed(schema.root_schema().get_fields().iter().map(|f| f.name()));
        let Some(text) = find(columns, &source.field) else {
            fail!(Parameter("field"), "`field` {:?}: the file has no such column; it has {}", source.field, there())
        };
        let id = match source.id_column(|name| find(columns, name).is_some()) {
            Ok(column) => column.and_then(|name| find(columns, name)),
            Err(what) => fail!(Parameter("id_field"), "`id_field`: {what}; it has {}", there()),
        };
        text.check(columns, &[Type::BYTE_ARRAY], "texts")?;
        // A column that only happens to be called `id` may be anything: then it has no names.
        let names = [Type::BYTE_ARRAY, Type::INT32, Type::INT64];
        let id = match id.map(|id| id.check(columns, &names, "texts or whole numbers").map(|()| id)) {
            Some(Err(e)) if source.id_field.is_some() => return Err(e),
            Some(Ok(id)) => Some(id),
            _ => None,
        };
        for place in id.iter().chain([&text]) {
            place.check_codec(&file)?;
        }
        Ok(Rows { file, text, id, group: 0, open: None, ready: VecDeque::new(), number: 0 })
    }

    /// Reads some rows; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        while self.open.as_ref().is_none_or(|(.., left)| *left == 0) {
            if self.group == self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.group)?;
            self.group += 1;
            let ColumnReader::ByteArrayColumnReader(texts) = group.get_column_reader(self.text.index)? else {
                fail!(Input, "the texts of a group of rows are of another type than the file says")
            };
            let names = self.id.as_ref().map(|id| group.get_column_reader(id.index)).transpose()?;
            self.open = Some((texts, names, group.metadata().num_rows().max(0) as usize));
        }
        let Some((texts, names, left)) = &mut self.open else { return Ok(false) };
        let count = BATCH.min(*left);
        *left -= count;
        let texts = values(texts, count)?;
        let names = match names {
            None => vec![None; count],
            Some(ColumnReader::ByteArrayColumnReader(c)) => values(c, count)?
                .into_iter()
                .map(|v| v.map(|v| Value::from(String::from_utf8_lossy(v.data()).into_owned())))
                .collect(),
            Some(ColumnReader::Int32ColumnReader(c)) => {
                values(c, count)?.into_iter().map(|v| v.map(Value::from)).collect()
            }
            Some(ColumnReader::Int64ColumnReader(c)) => {
                values(c, count)?.into_iter().map(|v| v.map(Value::from)).collect()
            }
            Some(_) => fail!(Input, "the names of a group of rows are of another type than the file says"),
        };
        for (text, name) in texts.into_iter().zip(names) {
            self.number += 1;
            let field = format!("{:?}", self.text.name);
            let text: Option<ByteArray> = text;
            self.ready.push_back(Row {
                number: self.number,
                id: name.unwrap_or(self.number.into()),
                text: text.map_or(Err(format!("{field} is null")), |text| text_of(text.data(), &field)),
            });
        }
        Ok(true)
    }
}

/// The next values of a column, as many as asked for.
fn values<T: DataType>(column: &mut ColumnReaderImpl<T>, count: usize) -> Result<Vec<Option<T::T>>> {
    let (mut levels, mut found) = (Vec::new(), Vec::new());
    let mut rows = 0;
    while rows < count {
        let (records, ..) = column.read_records(count - rows, Some(&mut levels), None, &mut found)?;
        if records == 0 {
            fail!(Input, "the file has fewer rows than it says");
        }
        rows += records;
    }
    let mut found = found.into_iter();
    // A column that has a value in every row has no levels.
    let all = levels.is_empty();
    let value = |i: usize| if all || levels[i] > 0 { found.next() } else { None };
    Ok((0..count).map(value).collect())
}

impl Place {
    fn check(&self, columns: &[ColumnDescPtr], types: &[Type], what: &str) -> Result<()> {
        let column = &columns[self.index];
        let flat = column.path().parts().len() == 1 && column.max_rep_level() == 0 && column.max_def_level() <= 1;
        if !flat || !types.contains(&column.physical_type()) {
            let found = if flat { format!("{:?}", column.physical_type()) } else { "lists or tables".into() };
            fail!(Input, "the column {:?} has {found}, not {what}", self.name);
        }
        Ok(())
    }

    /// Refuses a compression that cannot be read.
    fn check_codec(&self, file: &SerializedFileReader<File>) -> Result<()> {
        for group in file.metadata().row_groups() {
            let column = group.columns().get(self.index).context("a group of rows lacks a column")?;
            let codec = column.compression();
            if !matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY) {
                fail!(
                    Unsupported,
                    "the column {:?} is compressed with {codec:?}, and only SNAPPY is read: write the file with compression=\"snappy\", as pandas and DuckDB do by default",
                    self.name
                );
            }
        }
        Ok(())
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.ready.is_empty()
            && let Err(e) = guarded(|| self.fill())
        {
            // There is nothing to go on with.
            (self.open, self.group) = (None, self.file.num_row_groups());
            return Some(Err(e));
        }
        self.ready.pop_front().map(Ok)
    }
}
