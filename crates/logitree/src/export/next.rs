//! Writes next-token distributions as CSV.

use crate::{Model, NextToken, Prompt};
use std::io::Write;

/// Column names, in order. Logprobs and entropies are in nats.
pub const COLUMNS: [&str; 9] =
    ["prompt", "rank", "token_id", "text", "logprob", "prob", "rest", "entropy", "exactness"];

/// Writes a head, and a row per listed token of each prompt; what belongs to the prompt is repeated in its rows.
///
/// # Errors
/// If the output cannot be written.
pub fn csv(model: &Model, prompts: &[Prompt], next: &[NextToken], out: &mut dyn Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for (prompt, next) in prompts.iter().zip(next) {
        let d = &next.distribution;
        for t in &d.top {
            csv.write_record([
                prompt.text.clone(),
                t.rank.to_string(),
                t.id.to_string(),
                model.text(t.id),
                t.logprob.to_string(),
                t.prob().to_string(),
                d.rest().to_string(),
                d.entropy.to_string(),
                d.exactness.name().into(),
            ])?;
        }
    }
    csv.flush()
}
