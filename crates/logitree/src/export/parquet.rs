//! Writes one row per node as Parquet: the columns of the CSV, with their types.

use super::{Row, rows};
use crate::error::Context;
use logitree_core::run::Run;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

/// The schema without the columns of watched strings.
const SCHEMA: &str = "message nodes {
    required int32 node (integer(32, false));
    optional int32 parent (integer(32, false));
    required int32 depth (integer(32, false));
    optional int32 token_id (integer(32, false));
    required binary text (string);
    optional binary bytes (string);
    required double logprob;
    required double prob;
    required double path_logprob;
    required double path_prob;
    optional double entropy;
    optional double varentropy;
    optional binary exactness (string);
    optional double threshold;
    optional int32 queue (integer(32, false));
    required binary state (string);
    required int32 children (integer(32, false));
    optional int32 samples (integer(32, false));
";

type Group<'a, W> = SerializedRowGroupWriter<'a, W>;

/// Writes the rows of [`super::rows`] as one Parquet file.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut (dyn Write + Send)) -> crate::Result<()> {
    let watched = super::watch_columns(run);
    let watched: String = watched.iter().map(|c| format!("    optional double {c};\n")).collect();
    let schema = format!("{SCHEMA}{watched}}}");
    let schema = Arc::new(parse_message_type(&schema).context("internal error: Parquet schema")?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let rows: Vec<Row> = rows(run).collect();
    let mut group = file.next_row_group()?;
    let text = |s: &str| ByteArray::from(s.as_bytes().to_vec());
    required::<Int32Type, _, _>(&mut group, &rows, |r| r.node as i32)?;
    optional::<Int32Type, _, _>(&mut group, &rows, |r| r.parent.map(|p| p as i32))?;
    required::<Int32Type, _, _>(&mut group, &rows, |r| r.depth as i32)?;
    optional::<Int32Type, _, _>(&mut group, &rows, |r| r.token_id.map(|t| t as i32))?;
    required::<ByteArrayType, _, _>(&mut group, &rows, |r| text(&r.text))?;
    optional::<ByteArrayType, _, _>(&mut group, &rows, |r| r.bytes.as_deref().map(text))?;
    required::<DoubleType, _, _>(&mut group, &rows, |r| r.logprob)?;
    required::<DoubleType, _, _>(&mut group, &rows, |r| r.logprob.exp())?;
    required::<DoubleType, _, _>(&mut group, &rows, |r| r.path_logprob)?;
    required::<DoubleType, _, _>(&mut group, &rows, |r| r.path_logprob.exp())?;
    optional::<DoubleType, _, _>(&mut group, &rows, |r| r.entropy)?;
    optional::<DoubleType, _, _>(&mut group, &rows, |r| r.varentropy)?;
    optional::<ByteArrayType, _, _>(&mut group, &rows, |r| r.exactness.map(text))?;
    optional::<DoubleType, _, _>(&mut group, &rows, |r| r.threshold)?;
    optional::<Int32Type, _, _>(&mut group, &rows, |r| r.queue.map(|q| q as i32))?;
    required::<ByteArrayType, _, _>(&mut group, &rows, |r| text(r.state))?;
    required::<Int32Type, _, _>(&mut group, &rows, |r| r.children as i32)?;
    optional::<Int32Type, _, _>(&mut group, &rows, |r| r.samples.map(|s| s as i32))?;
    for i in 0..run.header.watch.len() {
        optional::<DoubleType, _, _>(&mut group, &rows, |r| r.watched[i])?;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

/// Writes a column that has a value in every row.
pub(super) fn required<T: DataType, W: Write + Send, R>(
    group: &mut Group<'_, W>,
    rows: &[R],
    f: impl Fn(&R) -> T::T,
) -> crate::Result<()> {
    let values: Vec<T::T> = rows.iter().map(f).collect();
    column::<T, W>(group, &values, None)
}

/// Writes a column whose values may be missing.
pub(super) fn optional<T: DataType, W: Write + Send, R>(
    group: &mut Group<'_, W>,
    rows: &[R],
    f: impl Fn(&R) -> Option<T::T>,
) -> crate::Result<()> {
    let all: Vec<Option<T::T>> = rows.iter().map(f).collect();
    let levels: Vec<i16> = all.iter().map(|v| i16::from(v.is_some())).collect();
    let values: Vec<T::T> = all.into_iter().flatten().collect();
    column::<T, W>(group, &values, Some(&levels))
}

fn column<T: DataType, W: Write + Send>(
    group: &mut Group<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> crate::Result<()> {
    let mut writer = group.next_column()?.context("internal error: more Parquet columns than in the schema")?;
    writer.typed::<T>().write_batch(values, levels, None)?;
    writer.close()?;
    Ok(())
}
