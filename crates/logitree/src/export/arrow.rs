//! Makes an Arrow record batch with one row per node: the columns of the CSV, with their types.

use super::csv::COLUMNS;
use super::{Row, rows, watch_columns};
use crate::error::{Error, ErrorKind, Result};
use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use logitree_core::run::Run;
use std::sync::Arc;

/// The rows of [`super::rows`] as a record batch.
///
/// # Errors
/// If Arrow refuses the columns, which would be a bug of this library.
pub fn batch(run: &Run) -> Result<RecordBatch> {
    let rows: Vec<Row> = rows(run).collect();
    let mut columns: Vec<ArrayRef> = vec![
        integers(&rows, |r| Some(r.node)),
        integers(&rows, |r| r.parent),
        integers(&rows, |r| Some(r.depth)),
        integers(&rows, |r| r.token_id),
        texts(&rows, |r| Some(&r.text)),
        texts(&rows, |r| r.bytes.as_deref()),
        numbers(&rows, |r| Some(r.logprob)),
        numbers(&rows, |r| Some(r.logprob.exp())),
        numbers(&rows, |r| Some(r.path_logprob)),
        numbers(&rows, |r| Some(r.path_logprob.exp())),
        numbers(&rows, |r| r.entropy),
        numbers(&rows, |r| r.varentropy),
        texts(&rows, |r| r.exactness),
        numbers(&rows, |r| r.threshold),
        integers(&rows, |r| r.queue),
        texts(&rows, |r| Some(r.state)),
        integers(&rows, |r| Some(r.children)),
        integers(&rows, |r| r.samples),
    ];
    columns.extend((0..run.header.watch.len()).map(|i| numbers(&rows, |r| r.watched[i])));
    let names = COLUMNS.iter().map(|c| c.to_string()).chain(watch_columns(run));
    let field = |(name, column): (String, &ArrayRef)| {
        let always = REQUIRED.contains(&&name[..]);
        Field::new(name, column.data_type().clone(), !always)
    };
    let fields: Vec<Field> = names.zip(&columns).map(field).collect();
    let made = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    made.map_err(|e| Error::with_source(ErrorKind::Internal, "internal error: Arrow columns", e))
}

/// Columns that have a value in every row.
const REQUIRED: [&str; 9] =
    ["node", "depth", "text", "logprob", "prob", "path_logprob", "path_prob", "state", "children"];

fn integers(rows: &[Row], value: impl Fn(&Row) -> Option<u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter(rows.iter().map(value)))
}

fn numbers(rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(rows.iter().map(value)))
}

fn texts<'r>(rows: &'r [Row], value: impl Fn(&'r Row) -> Option<&'r str>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    rows.iter().for_each(|r| builder.append_option(value(r)));
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::csv;
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
            let batch = batch(&run).unwrap();
            let mut text = Vec::new();
            csv::write(&run, &mut text).unwrap();
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
