//! Next-token distributions as a table.

use super::table::Table;
use crate::{Model, NUCLEI, NextToken, Prompt};
use logitree_core::TokenStats;
use logitree_core::run::Watch;

/// A row per listed token of each prompt; what belongs to the prompt is repeated in its rows. Logprobs and entropies are
/// in nats. `top_p_P` are the sizes of the nuclei, in tokens, which are lower bounds where the distribution is not
/// exact; `watch_N_logprob` are those of the watched strings.
pub fn table<'a>(
    model: &'a Model,
    prompts: &'a [Prompt],
    next: &'a [NextToken],
    watch: &[Watch],
) -> Table<'a, (&'a Prompt, &'a NextToken, TokenStats)> {
    let of_prompt = |(prompt, next): (&'a Prompt, &'a NextToken)| {
        next.distribution.top.iter().map(move |&token| (prompt, next, token))
    };
    let mut table = Table::of(prompts.iter().zip(next).flat_map(of_prompt))
        .column("prompt", |(prompt, ..)| prompt.text.clone())
        .column("rank", |(.., t)| t.rank)
        .column("token_id", |(.., t)| t.id.0)
        .column("text", |(.., t)| model.text(t.id))
        .column("logprob", |(.., t)| t.logprob)
        .column("prob", |(.., t)| t.prob())
        .column("rest", |(_, next, _)| next.distribution.rest())
        .column("entropy", |(_, next, _)| next.distribution.entropy)
        .column("exactness", |(_, next, _)| next.distribution.exactness.name());
    for (i, p) in NUCLEI.iter().enumerate() {
        table = table.column(format!("top_p_{p}"), move |(_, next, _)| next.nuclei[i].tokens);
    }
    for i in 0..watch.len() {
        table = table.column(format!("watch_{}_logprob", i + 1), move |(_, next, _)| next.watched[i].logprob);
    }
    table
}
