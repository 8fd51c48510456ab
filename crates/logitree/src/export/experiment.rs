//! The table of an experiment: one row per run.

use super::table::Table;
use super::text::{Style, percent, shorten, wrap};
use crate::error::{Context, Result, invalid};
use crate::output;
use crate::visible::visible;
use csv::StringRecord;
use logitree_core::run::{End, EndReason, Run, end_event};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

/// One run as a row of the table.
#[derive(Clone)]
pub struct Summary {
    /// The prompt of the run.
    pub prompt: String,
    /// The model that the user asked for.
    pub model: String,
    /// Name of the set of parameters.
    pub parameters: String,
    /// Path of the run file.
    pub file: String,
    /// Why the run failed; then the numbers below are `None`.
    pub error: Option<String>,
    /// Why the run ended.
    pub reason: String,
    /// Number of nodes, and of completed paths.
    pub counts: Option<[i64; 2]>,
    /// Probability that is finished, open and pruned; seconds; nodes per second; probability of the most likely path.
    pub numbers: Option<[f64; 6]>,
    /// Text of the most likely path.
    pub best: String,
}

const TEXTS: [&str; 7] = ["prompt", "model", "parameters", "file", "reason", "error", "best"];
const COUNTS: [&str; 2] = ["nodes", "completed"];
const NUMBERS: [&str; 6] = ["finished", "frontier", "pruned", "seconds", "nodes_per_second", "best_prob"];

impl Summary {
    /// The row of a run that has ended; `rate` is in nodes per second.
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

    /// The row of a run that failed.
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

    /// The values of the columns [`TEXTS`].
    fn texts(&self) -> [&str; 7] {
        let error = self.error.as_deref().unwrap_or_default();
        [&self.prompt, &self.model, &self.parameters, &self.file, &self.reason, error, &self.best]
    }
}

/// Name of the table's file in the folder of an experiment.
pub const CSV: &str = "table.csv";

/// Replaces the row of the same run file, or appends the row if there is none. A failure does not replace a result:
/// then nothing is changed and the answer is false.
pub fn put(rows: &mut Vec<Summary>, row: &Summary) -> bool {
    let name = |r: &Summary| Path::new(&r.file).file_name().map(OsStr::to_owned);
    match rows.iter_mut().find(|r| name(r) == name(row)) {
        Some(old) if row.error.is_some() && old.error.is_none() => return false,
        Some(old) => *old = row.clone(),
        None => rows.push(row.clone()),
    }
    true
}

/// Reads the table in a folder; rows whose run file no longer exists are left out. Empty if there is no table.
///
/// # Errors
///
/// If there is a `table.csv` that no experiment wrote: it must not be overwritten.
pub fn read(folder: &Path) -> Result<Vec<Summary>> {
    let path = folder.join(CSV);
    let name = path.display();
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| name.to_string())?,
    };
    let mut csv = csv::Reader::from_reader(&text[..]);
    let heads = csv.headers().map_err(|e| invalid!("{name}: {e}"))?.clone();
    let mut rows = Vec::new();
    for record in csv.records() {
        let record = record.map_err(|e| invalid!("{name}: {e}"))?;
        let row = parse(&heads, &record).with_context(|| {
            format!("{name}, line {}: no experiment's table: move it, or choose another folder with -o", rows.len() + 2)
        })?;
        rows.push(row);
    }
    let is_there = |r: &Summary| Path::new(&r.file).file_name().is_some_and(|file| folder.join(file).is_file());
    rows.retain(is_there);
    Ok(rows)
}

/// Reads a row of `table.csv`; `None` if it is not one.
fn parse(heads: &StringRecord, record: &StringRecord) -> Option<Summary> {
    let cell = |name: &str| record.get(heads.iter().position(|h| h == name)?).map(String::from);
    let counts = COUNTS.map(|c| cell(c)?.parse().ok());
    let numbers = NUMBERS.map(|n| cell(n)?.parse().ok());
    let error = cell("error")?;
    let row = Summary {
        prompt: cell("prompt")?,
        model: cell("model")?,
        parameters: cell("parameters")?,
        file: cell("file")?,
        reason: cell("reason")?,
        best: cell("best")?,
        counts: counts.iter().copied().collect::<Option<Vec<_>>>().and_then(|c| c.try_into().ok()),
        numbers: numbers.iter().copied().collect::<Option<Vec<_>>>().and_then(|n| n.try_into().ok()),
        error: Some(error).filter(|e| !e.is_empty()),
    };
    (row.error.is_some() || row.counts.is_some() && row.numbers.is_some()).then_some(row)
}

/// Writes `table.csv` and `table.parquet`, each whole or not at all.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(rows: &[Summary], folder: &Path) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    output::replace(&folder.join(CSV), |out| Ok(table(rows).csv(out)?))?;
    output::replace(&folder.join("table.parquet"), |out| table(rows).parquet("runs", out))
}

/// The rows with their columns.
fn table(rows: &[Summary]) -> Table<'_, &Summary> {
    let texts = TEXTS.iter().enumerate();
    let table = texts.fold(Table::of(rows), |t, (i, name)| t.column(*name, move |r| r.texts()[i].to_string()));
    let counts = COUNTS.iter().enumerate();
    let table = counts.fold(table, |t, (i, name)| t.column(*name, move |r| r.counts.map(|c| c[i])));
    let numbers = NUMBERS.iter().enumerate();
    numbers.fold(table, |t, (i, name)| t.column(*name, move |r| r.numbers.map(|n| n[i])))
}

/// The name of a row in at most `width` columns. Rows may differ in any of its three parts, so the longest part is
/// shortened first.
fn name(r: &Summary, width: usize) -> String {
    const SEPARATOR: &str = " · ";
    let mut parts = [visible(&r.prompt), visible(&r.parameters), visible(&r.model)];
    let room = width.saturating_sub(2 * SEPARATOR.width());
    // The largest width such that all parts fit when each is cut to it. Parts that are shorter leave room for the
    // others.
    let used = |most: usize| parts.iter().map(|p| p.width().min(most)).sum::<usize>();
    let most = (0..=room).rev().find(|&most| used(most) <= room).unwrap_or(0);
    let spare = room - used(most);
    // Columns that remain after this go to the first part that can use them.
    let first = parts.iter().position(|p| p.width() > most);
    for (i, part) in parts.iter_mut().enumerate() {
        *part = shorten(part, if first == Some(i) { most + spare } else { most });
    }
    parts.join(SEPARATOR)
}

/// The table as text for people.
pub fn text(rows: &[Summary], style: Style) -> String {
    let mut out = String::new();
    let head =
        format!("{:>7} {:>9} {:>10} {:>9}  prompt · parameters · model", "nodes", "completed", "finished", "nodes/s");
    let _ = writeln!(out, "{}", style.paint("1", &head));
    for r in rows {
        let what = name(r, style.width.saturating_sub(41).max(20));
        let _ = match (&r.counts, &r.numbers, &r.error) {
            (Some(c), Some(n), _) => {
                writeln!(out, "{:>7} {:>9} {:>10} {:>9.1}  {what}", c[0], c[1], percent(n[0]), n[4])
            }
            (_, _, error) => {
                let error = wrap(&visible(error.as_deref().unwrap_or_default()), style.width, "        ");
                writeln!(out, "{}  {what}\n{}", style.paint("31", &format!("{:>38}", "failed")), error.trim_end())
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_stay_readable() {
        let row = |prompt: &str, parameters: &str, model: &str| {
            Summary::failed(prompt, model, parameters, Path::new("x"), "no model \"gemma\": it is not here")
        };
        let long = row("The capital of India is the city of", "default", "gemma-3-270m");
        assert_eq!(name(&long, 39), "The ca…city of · default · gemma-3-270m");
        assert_eq!(
            name(&row("Hi", "a-long-name-of-parameters", "gemma-3-270m"), 39),
            "Hi · a-long-na…arameters · gemma-3-270m"
        );
        assert_eq!(name(&row("Hi", "default", "m"), 39), "Hi · default · m");
        assert_eq!(name(&row("ab", "cd", "ef"), 5), "… · … · …");
        let style = Style { colour: false, width: 80 };
        let rows = [long, row(&"東京".repeat(40), "wide", "/a/long/path/to/some/model/of/mine.gguf")];
        for line in text(&rows, style).lines() {
            assert!(line.width() <= 80, "{line}");
        }
        assert!(text(&rows, style).contains("it is not here"));
    }
}
