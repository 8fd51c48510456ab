//! Writes what each layer would have predicted as CSV.

use crate::Model;
use logitree_core::TokenId;
use logitree_core::layers::LayerDistributions;
use std::io::{Result, Write};

/// A place with what its layers would have predicted.
pub struct Place<'a> {
    /// Its name: the prompt, or the number of the token in the text, from 1.
    pub name: String,
    /// The distributions.
    pub found: &'a LayerDistributions,
}

/// Column names, in order. Log probabilities are in nats.
pub const COLUMNS: [&str; 9] = ["place", "layer", "token_id", "text", "logprob", "rank", "part", "best_id", "best"];

/// Writes, for each place and each token that was asked for, a row per layer and a last one for the rest: `layer` is 0
/// for the embedding and `rest` for what the parts of the logit do not explain; `best` is the layer's most likely
/// token.
///
/// # Errors
/// If the output cannot be written.
pub fn csv(model: &Model, places: &[Place<'_>], out: &mut dyn Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for Place { name, found } in places {
        for (i, (&token, parts)) in found.tokens.iter().zip(&found.parts).enumerate() {
            // A token that is asked for by two names is in the list twice.
            if found.tokens[..i].contains(&token) {
                continue;
            }
            let id = |id: TokenId| [id.to_string(), model.text(id)];
            for (layer, (d, part)) in found.layers.iter().zip(&parts.parts).enumerate() {
                let numbers = d.tokens.get(i).map(|t| [t.logprob.to_string(), t.rank.to_string()]).unwrap_or_default();
                let best = d.top.first().map(|t| id(t.id)).unwrap_or_default();
                let row = [vec![name.clone(), layer.to_string()], id(token).to_vec(), numbers.to_vec()].concat();
                csv.write_record(row.into_iter().chain([part.to_string()]).chain(best))?;
            }
            let empty = String::new;
            let [number, text] = id(token);
            let rest = parts.rest().to_string();
            csv.write_record([name.clone(), "rest".into(), number, text, empty(), empty(), rest, empty(), empty()])?;
        }
    }
    csv.flush()
}
