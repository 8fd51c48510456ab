//! Writes one row per node as CSV.

use super::{Row, rows};
use logitree_core::run::Run;
use std::io::Write;

/// Column names, in order.
pub const COLUMNS: [&str; 18] = [
    "node",
    "parent",
    "depth",
    "token_id",
    "text",
    "bytes",
    "logprob",
    "prob",
    "path_logprob",
    "path_prob",
    "entropy",
    "varentropy",
    "exactness",
    "threshold",
    "queue",
    "state",
    "children",
    "samples",
];

/// Writes a head, and a row per node.
///
/// # Errors
/// If the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let watched = super::watch_columns(run);
    csv.write_record(COLUMNS.iter().copied().chain(watched.iter().map(|c| &c[..])))?;
    for r in rows(run) {
        csv.write_record(fields(r))?;
    }
    csv.flush()
}

fn fields(r: Row) -> Vec<String> {
    fn optional<T: ToString>(x: Option<T>) -> String {
        x.map(|x| x.to_string()).unwrap_or_default()
    }
    let mut fields = vec![
        r.node.to_string(),
        optional(r.parent),
        r.depth.to_string(),
        optional(r.token_id),
        r.text,
        r.bytes.unwrap_or_default(),
        r.logprob.to_string(),
        r.logprob.exp().to_string(),
        r.path_logprob.to_string(),
        r.path_logprob.exp().to_string(),
        optional(r.entropy),
        optional(r.varentropy),
        optional(r.exactness),
        optional(r.threshold),
        optional(r.queue),
        r.state.to_string(),
        r.children.to_string(),
        optional(r.samples),
    ];
    fields.extend(r.watched.into_iter().map(optional));
    fields
}
