//! One row per run: the table of an experiment.

use super::text::{Style, percent, shorten};
use crate::visible::visible;
use anyhow::{Context, Result};
use logitree_core::run::{End, EndReason, Run, end_event};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A run in one row.
pub struct Summary {
    pub prompt: String,
    pub model: String,
    pub parameters: String,
    pub file: String,
    /// Why it failed; then the numbers below are empty.
    pub error: Option<String>,
    pub reason: String,
    /// nodes, completed paths.
    pub counts: Option<[i64; 2]>,
    /// finished, frontier, pruned, seconds, nodes per second, probability of the likeliest path.
    pub numbers: Option<[f64; 6]>,
    /// Text of the likeliest path.
    pub best: String,
}

const COUNTS: [&str; 2] = ["nodes", "completed"];
const NUMBERS: [&str; 6] = ["finished", "frontier", "pruned", "seconds", "nodes_per_second", "best_prob"];

impl Summary {
    pub fn of(run: &Run, model: &str, parameters: &str, file: &Path, rate: f64) -> Summary {
        let tree = &run.tree;
        let end = run.end.clone().unwrap_or_else(|| end_event(tree, EndReason::Interrupted, 0.0));
        let End { reason, mass, nodes, completed, seconds, .. } = end;
        let best = tree.ranked_leaves().first().copied();
        let prob = best.map_or(0.0, |n| tree.mass(n));
        let reason = serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        Summary {
            prompt: run.header.prompt.text.clone(),
            model: model.into(),
            parameters: parameters.into(),
            file: file.display().to_string(),
            error: None,
            reason,
            counts: Some([nodes as i64, completed as i64]),
            numbers: Some([mass.finished, mass.frontier, mass.pruned, seconds, rate, prob]),
            best: best.map_or(String::new(), |n| run.text(n)),
        }
    }

    pub fn failed(prompt: &str, model: &str, parameters: &str, file: &Path, error: &str) -> Summary {
        Summary {
            prompt: prompt.into(),
            model: model.into(),
            parameters: parameters.into(),
            file: file.display().to_string(),
            error: Some(error.into()),
            reason: "failed".into(),
            counts: None,
            numbers: None,
            best: String::new(),
        }
    }

    fn texts(&self) -> [(&'static str, &str); 7] {
        [
            ("prompt", &self.prompt),
            ("model", &self.model),
            ("parameters", &self.parameters),
            ("file", &self.file),
            ("reason", &self.reason),
            ("error", self.error.as_deref().unwrap_or_default()),
            ("best", &self.best),
        ]
    }
}

/// Writes `table.csv` and `table.parquet`, each whole or not at all.
pub fn write(rows: &[Summary], folder: &Path) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let names = first.texts().map(|t| t.0);
    for (file, parquet) in [("table.csv", false), ("table.parquet", true)] {
        let path = folder.join(file);
        let new = folder.join(format!("{file}.new"));
        let mut out = File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
        if parquet {
            write_parquet(rows, &names, &mut out)?
        } else {
            write_csv(rows, &names, &mut out)?
        }
        std::fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn write_csv(rows: &[Summary], names: &[&str], out: &mut File) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(names.iter().chain(&COUNTS).chain(&NUMBERS))?;
    for r in rows {
        let counts = (0..COUNTS.len()).map(|i| r.counts.map_or(String::new(), |c| c[i].to_string()));
        let numbers = (0..NUMBERS.len()).map(|i| r.numbers.map_or(String::new(), |n| n[i].to_string()));
        csv.write_record(r.texts().iter().map(|t| t.1.to_string()).chain(counts).chain(numbers))?;
    }
    csv.flush()?;
    Ok(())
}

fn write_parquet(rows: &[Summary], names: &[&str], out: &mut File) -> Result<()> {
    let mut schema = String::from("message runs {");
    names.iter().for_each(|n| schema.push_str(&format!("required binary {n} (string);")));
    COUNTS.iter().for_each(|n| schema.push_str(&format!("optional int64 {n};")));
    NUMBERS.iter().for_each(|n| schema.push_str(&format!("optional double {n};")));
    schema.push('}');
    let schema = Arc::new(parse_message_type(&schema).context("internal error: Parquet schema")?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for i in 0..names.len() {
        let text = |r: &Summary| ByteArray::from(r.texts()[i].1.as_bytes().to_vec());
        super::parquet::required::<ByteArrayType, _, _>(&mut group, rows, text)?;
    }
    for i in 0..COUNTS.len() {
        super::parquet::optional::<Int64Type, _, _>(&mut group, rows, |r| r.counts.map(|c| c[i]))?;
    }
    for i in 0..NUMBERS.len() {
        super::parquet::optional::<DoubleType, _, _>(&mut group, rows, |r| r.numbers.map(|n| n[i]))?;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

/// The table for people.
pub fn text(rows: &[Summary], style: Style) -> String {
    let mut out = String::new();
    let head =
        format!("{:>7} {:>9} {:>10} {:>9}  prompt · parameters · model", "nodes", "completed", "finished", "nodes/s");
    let _ = writeln!(out, "{}", style.paint("1", &head));
    for r in rows {
        let what = format!("{} · {} · {}", visible(&r.prompt), visible(&r.parameters), visible(&r.model));
        let what = shorten(&what, style.width.saturating_sub(41).max(20));
        let _ = match (&r.counts, &r.numbers, &r.error) {
            (Some(c), Some(n), _) => {
                writeln!(out, "{:>7} {:>9} {:>10} {:>9.1}  {what}", c[0], c[1], percent(n[0]), n[4])
            }
            (_, _, error) => {
                let error = shorten(&visible(error.as_deref().unwrap_or("failed")), 60);
                writeln!(out, "{} {what}", style.paint("31", &format!("{:>37} ", format!("failed: {error}"))))
            }
        };
    }
    out
}
