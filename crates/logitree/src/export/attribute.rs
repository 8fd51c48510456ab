//! Attributions as a table.

use super::table::Table;
use crate::Attribution;

/// A row per part and text; `whole` is the text's logprob after the prompt itself. `message` is empty in a plain text.
/// Logprobs and deltas are in nats.
pub fn table<'a>(texts: &'a [String], found: &'a Attribution) -> Table<'a, [usize; 2]> {
    let rows = (0..found.edited.len()).flat_map(|part| (0..texts.len()).map(move |text| [part, text]));
    let edited = |part: usize| &found.edited[part];
    Table::of(rows)
        .column("index", |&[part, _]| part)
        .column("part", move |&[part, _]| edited(part).part.clone())
        .column("message", move |&[part, _]| edited(part).message)
        .column("prompt_tokens", move |&[part, _]| edited(part).tokens)
        .column("text", |&[_, text]| texts[text].clone())
        .column("logprob", move |&[part, text]| edited(part).logprobs[text])
        .column("delta", move |&[part, text]| found.logprobs[text] - edited(part).logprobs[text])
        .column("whole", |&[_, text]| found.logprobs[text])
}
