//! Makes an Arrow record batch of a table.

use super::{Cell, Column, Kind, Table};
use crate::error::{Error, ErrorKind, Result};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use std::sync::Arc;

impl<R> Table<'_, R> {
    /// The rows as a record batch.
    ///
    /// # Errors
    /// If Arrow refuses the columns, which would be a bug of this library.
    pub fn batch(self) -> Result<RecordBatch> {
        let rows: Vec<R> = self.rows.collect();
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|c| c.array(&rows)).collect();
        let field = |(c, a): (&Column<'_, R>, &ArrayRef)| Field::new(&*c.name, a.data_type().clone(), !c.required);
        let fields: Vec<Field> = self.columns.iter().zip(&arrays).map(field).collect();
        let made = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        made.map_err(|e| Error::with_source(ErrorKind::Internal, "internal error: Arrow columns", e))
    }
}

impl<R> Column<'_, R> {
    fn array(&self, rows: &[R]) -> ArrayRef {
        macro_rules! build {
            ($builder:expr, $kind:ident) => {{
                let mut builder = $builder;
                for row in rows {
                    match (self.cell)(row) {
                        Cell::$kind(value) => builder.append_value(value),
                        _ => builder.append_null(),
                    }
                }
                Arc::new(builder.finish())
            }};
        }
        match self.kind {
            Kind::Integer => build!(UInt32Builder::new(), Integer),
            Kind::Long => build!(Int64Builder::new(), Long),
            Kind::Number => build!(Float64Builder::new(), Number),
            Kind::Text => build!(StringBuilder::new(), Text),
            Kind::Flag => build!(BooleanBuilder::new(), Flag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::nodes;
    use crate::import;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, UInt32Type};
    use arrow_schema::DataType;
    use std::path::Path;

    /// A cell formatted as in the CSV.
    fn cell(column: &ArrayRef, row: usize) -> String {
        if column.is_null(row) {
            return String::new();
        }
        match column.data_type() {
            DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
            _ => column.as_string::<i32>().value(row).to_string(),
        }
    }

    #[test]
    fn every_cell_is_the_csvs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let runs = std::fs::read_dir(folder.join("runs")).unwrap().map(|f| f.unwrap().path());
        let mut compared = 0;
        for path in runs.filter(|p| p.to_string_lossy().ends_with(".run.jsonl")) {
            // Some of these files must be refused: skip them.
            let Ok(run) = import::run_file(&path) else { continue };
            let batch = nodes::table(&run).batch().unwrap();
            let mut text = Vec::new();
            nodes::table(&run).csv(&mut text).unwrap();
            let mut csv = ::csv::Reader::from_reader(&text[..]);
            let names: Vec<String> = csv.headers().unwrap().iter().map(String::from).collect();
            assert!(batch.schema().fields().iter().map(|f| f.name()).eq(&names));
            for (i, record) in csv.records().enumerate() {
                for (column, wanted) in batch.columns().iter().zip(record.unwrap().iter()) {
                    assert_eq!(cell(column, i), wanted, "{} row {i}", path.display());
                    compared += 1;
                }
            }
        }
        assert!(compared > 100, "{compared}");
    }
}
