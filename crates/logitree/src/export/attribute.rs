//! Writes attributions as CSV.

use crate::Attribution;
use std::io::Write;

/// Column names, in order. `message` is empty in a plain text. Logprobs and deltas are in nats.
pub const COLUMNS: [&str; 8] = ["index", "part", "message", "prompt_tokens", "text", "logprob", "delta", "whole"];

/// Writes a head, and a row per part and text; `whole` is the text's logprob after the prompt itself.
///
/// # Errors
/// If the output cannot be written.
pub fn csv(texts: &[String], found: &Attribution, out: &mut dyn Write) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for (i, e) in found.edited.iter().enumerate() {
        let after = texts.iter().zip(&e.logprobs).zip(found.deltas(e)).zip(&found.logprobs);
        for (((text, logprob), delta), whole) in after {
            csv.write_record([
                i.to_string(),
                e.part.clone(),
                e.message.map_or(String::new(), |m| m.to_string()),
                e.tokens.to_string(),
                text.clone(),
                logprob.to_string(),
                delta.to_string(),
                whole.to_string(),
            ])?;
        }
    }
    csv.flush()
}
