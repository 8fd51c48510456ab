//! Writes a table as one Parquet file.

use super::{Cell, Column, Kind, Table};
use crate::error::Context;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

/// Number of rows that are in memory at once: a table may have more than fit.
const GROUP: usize = 8192;

type Group<'a, W> = SerializedRowGroupWriter<'a, W>;

impl<R> Table<'_, R> {
    /// Writes the rows as one Parquet file whose schema has this name.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn parquet(self, name: &str, out: &mut (dyn Write + Send)) -> crate::Result<()> {
        let lines: String = self.columns.iter().map(Column::schema).collect();
        let schema = parse_message_type(&format!("message {name} {{ {lines} }}"));
        let schema = Arc::new(schema.context("internal error: Parquet schema")?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        let Table { columns, mut rows } = self;
        loop {
            let some: Vec<R> = rows.by_ref().take(GROUP).collect();
            if some.is_empty() {
                break;
            }
            let mut group = file.next_row_group()?;
            columns.iter().try_for_each(|column| column.write_cells(&mut group, &some))?;
            group.close()?;
        }
        file.close()?;
        Ok(())
    }
}

impl<R> Column<'_, R> {
    /// The column's line in the schema.
    fn schema(&self) -> String {
        let always = if self.required { "required" } else { "optional" };
        let (kind, annotation) = match self.kind {
            Kind::Integer => ("int32", " (integer(32, false))"),
            Kind::Long => ("int64", ""),
            Kind::Number => ("double", ""),
            Kind::Text => ("binary", " (string)"),
            Kind::Flag => ("boolean", ""),
        };
        format!("{always} {kind} {}{annotation};", self.name)
    }

    /// Writes the column's values of a group of rows.
    fn write_cells<W: Write + Send>(&self, group: &mut Group<'_, W>, rows: &[R]) -> crate::Result<()> {
        match self.kind {
            Kind::Integer => self.write::<Int32Type, _>(group, rows, |c| match c {
                Cell::Integer(i) => Some(i as i32),
                _ => None,
            }),
            Kind::Long => self.write::<Int64Type, _>(group, rows, |c| match c {
                Cell::Long(i) => Some(i),
                _ => None,
            }),
            Kind::Number => self.write::<DoubleType, _>(group, rows, |c| match c {
                Cell::Number(x) => Some(x),
                _ => None,
            }),
            Kind::Text => self.write::<ByteArrayType, _>(group, rows, |c| match c {
                Cell::Text(text) => Some(text.into_owned().into_bytes().into()),
                _ => None,
            }),
            Kind::Flag => self.write::<BoolType, _>(group, rows, |c| match c {
                Cell::Flag(flag) => Some(flag),
                _ => None,
            }),
        }
    }

    fn write<T: DataType, W: Write + Send>(
        &self,
        group: &mut Group<'_, W>,
        rows: &[R],
        value: impl Fn(Cell) -> Option<T::T>,
    ) -> crate::Result<()> {
        let all: Vec<Option<T::T>> = rows.iter().map(|row| value((self.cell)(row))).collect();
        let levels: Vec<i16> = all.iter().map(|v| i16::from(v.is_some())).collect();
        let values: Vec<T::T> = all.into_iter().flatten().collect();
        let mut writer = group.next_column()?.context("internal error: more Parquet columns than in the schema")?;
        writer.typed::<T>().write_batch(&values, (!self.required).then_some(&levels[..]), None)?;
        writer.close()?;
        Ok(())
    }
}
