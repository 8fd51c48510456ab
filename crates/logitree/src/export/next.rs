//! Writes next-token distributions as CSV.

use crate::{Model, NUCLEI, NextToken, Prompt};
use logitree_core::run::Watch;
use std::io::Write;

/// Names of the first columns, in order. Logprobs and entropies are in nats.
pub const COLUMNS: [&str; 9] =
    ["prompt", "rank", "token_id", "text", "logprob", "prob", "rest", "entropy", "exactness"];

/// Names of the columns after [`COLUMNS`]: the sizes of the nuclei, `top_p_P`, in tokens, which are lower bounds where
/// the distribution is not exact; and the log probabilities of the watched strings, `watch_N_logprob`, in nats.
pub fn further_columns(watch: &[Watch]) -> Vec<String> {
    let nuclei = NUCLEI.iter().map(|p| format!("top_p_{p}"));
    nuclei.chain((1..=watch.len()).map(|i| format!("watch_{i}_logprob"))).collect()
}

/// Writes a head, and a row per listed token of each prompt; what belongs to the prompt is repeated in its rows.
///
/// # Errors
/// If the output cannot be written.
pub fn csv(
    model: &Model,
    prompts: &[Prompt],
    next: &[NextToken],
    watch: &[Watch],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS.map(String::from).into_iter().chain(further_columns(watch)))?;
    for (prompt, next) in prompts.iter().zip(next) {
        let d = &next.distribution;
        for t in &d.top {
            let row = [
                prompt.text.clone(),
                t.rank.to_string(),
                t.id.to_string(),
                model.text(t.id),
                t.logprob.to_string(),
                t.prob().to_string(),
                d.rest().to_string(),
                d.entropy.to_string(),
                d.exactness.name().into(),
            ];
            let nuclei = next.nuclei.iter().map(|n| n.tokens.to_string());
            let watched = next.watched.iter().map(|w| w.logprob.to_string());
            csv.write_record(row.into_iter().chain(nuclei).chain(watched))?;
        }
    }
    csv.flush()
}
