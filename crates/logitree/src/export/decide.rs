//! Writes decision curves as CSV.

use crate::{DecisionCurve, Model};
use std::io::Write;

/// Column names, in order. `tokens` is the number of tokens of the text that are given; `class` is `answer` or
/// `no_answer`, which has an empty `answer`. Logprobs and entropies are in nats.
pub const COLUMNS: [&str; 11] = [
    "tokens",
    "token_id",
    "text",
    "logprob",
    "class",
    "answer",
    "lower",
    "upper",
    "undecided",
    "entropy_lower",
    "entropy_upper",
];

/// Writes a head, and a row for every answer and for giving none after 0, 1, 2, … tokens.
///
/// # Errors
/// If the output cannot be written.
pub fn csv(model: &Model, curve: &DecisionCurve, out: &mut dyn Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for (t, point) in curve.points.iter().enumerate() {
        let undecided = point.ledger.undecided();
        let none = point.ledger.none();
        let answers = point.ledger.bounds().into_iter().map(|b| ("answer", b.answer, b.lower, b.upper));
        for (class, answer, lower, upper) in answers.chain([("no_answer", String::new(), none, none + undecided)]) {
            csv.write_record([
                t.to_string(),
                point.token.map_or(String::new(), |t| t.id.to_string()),
                point.token.map_or(String::new(), |t| model.text(t.id)),
                point.token.map_or(String::new(), |t| t.logprob.to_string()),
                class.into(),
                answer,
                lower.to_string(),
                upper.to_string(),
                undecided.to_string(),
                point.entropy.lower.to_string(),
                point.entropy.upper.map_or(String::new(), |h| h.to_string()),
            ])?;
        }
    }
    csv.flush()
}
