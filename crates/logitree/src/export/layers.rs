//! What each layer would have predicted, as a table.

use super::table::Table;
use crate::Model;
use logitree_core::TokenId;
use logitree_core::layers::LayerDistributions;

/// A place with what its layers would have predicted.
pub struct Place<'a> {
    /// Its name: the prompt, or the number of the token in the text, from 1.
    pub name: String,
    /// The distributions.
    pub found: &'a LayerDistributions,
}

/// A row: the place, the index of a token in its list, and the layer; `None` is the rest.
type Row<'a> = (&'a Place<'a>, usize, Option<usize>);

/// For each place and each token that was asked for, a row per layer and a last one for the rest: `layer` is 0 for the
/// embedding and `rest` for what the parts of the logit do not explain; `best` is the layer's most likely token. Log
/// probabilities are in nats.
pub fn table<'a>(model: &'a Model, places: &'a [Place<'a>]) -> Table<'a, Row<'a>> {
    let of_place = |place: &'a Place<'a>| {
        let (tokens, layers) = (&place.found.tokens, place.found.layers.len());
        // A token that is asked for by two names is in the list twice.
        let first = (0..tokens.len()).filter(|&i| !tokens[..i].contains(&tokens[i]));
        first.flat_map(move |i| (0..layers).map(Some).chain([None]).map(move |layer| (place, i, layer)))
    };
    let token = |&(place, i, _): &Row<'a>| place.found.tokens[i];
    let layer = |&(place, _, layer): &Row<'a>| layer.map(|l| &place.found.layers[l]);
    let numbers = move |row: &Row<'a>| layer(row).and_then(|d| d.tokens.get(row.1));
    let best = move |row: &Row<'a>| layer(row).and_then(|d| d.top.first()).map(|t| t.id);
    Table::of(places.iter().flat_map(of_place))
        .column("place", |(place, ..)| place.name.clone())
        .column("layer", |(.., layer)| layer.map_or("rest".into(), |l| l.to_string()))
        .column("token_id", move |row| token(row).0)
        .column("text", move |row| model.text(token(row)))
        .column("logprob", move |row| numbers(row).map(|t| t.logprob))
        .column("rank", move |row| numbers(row).map(|t| t.rank))
        .column("part", |&(place, i, layer)| {
            let parts = &place.found.parts[i];
            layer.map_or_else(|| parts.rest(), |l| parts.parts[l])
        })
        .column("best_id", move |row| best(row).map(|t: TokenId| t.0))
        .column("best", move |row| best(row).map(|t| model.text(t)))
}
