//! What each layer would have predicted: what the commands that look into a model have in common.

use crate::options::ModelOptions;
use crate::terminal;
use crate::usage::usage;
use anyhow::Result;
use clap::Args;
use logitree::Model;
use logitree::export::text::{Style, percent, shorten};
use logitree::output::Target;
use logitree::visible::visible;
use logitree_core::layers::LayerDistributions;
use logitree_core::{TokenId, TokenStats};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

/// Options of commands that can look into a model.
#[derive(Args)]
pub struct LayerOptions {
    /// Also show what each layer would have predicted: the model's final norm and output matrix after every layer
    #[arg(long)]
    pub layers: bool,
}

impl LayerOptions {
    /// Refuses servers, before any of them is asked.
    ///
    /// # Errors
    /// If layers are wanted of a model that does not run in this process.
    pub fn check(&self, model: &ModelOptions) -> Result<()> {
        if let (true, [url, ..]) = (self.layers, &model.remote.engines[..]) {
            usage!(
                "--layers looks into a model, and a server ({url}) tells only what its last layer predicts: name a \
                 model with -m in place of --engine"
            );
        }
        Ok(())
    }
}

/// The file for the layers' table. Its name is checked before any work is done.
///
/// # Errors
/// If the name does not end in `.csv` (nor is `-`), or the file cannot be written.
pub fn output(path: &Path, force: bool, inputs: &[&Path]) -> Result<Target> {
    if path.extension().is_none_or(|e| e != "csv") && path != Path::new("-") {
        usage!("--output {}: the name must end in .csv", path.display());
    }
    Ok(Target::check(path, force, inputs)?)
}

/// The layers as JSON: `{decided, tokens: [{id, text, bytes?, logit, rest}], layers: [{best, tokens: [{logprob, rank,
/// part}]}]}`, the tokens in the same order everywhere: the most likely one, the runner-up, those asked for.
pub fn json(model: &Model, found: &LayerDistributions) -> Value {
    let order = found.in_order();
    let tokens = order.iter().map(|&i| {
        let mut token = json!(model.token(found.tokens[i]));
        token["logit"] = json!(found.parts[i].logit);
        token["rest"] = json!(found.parts[i].rest());
        token
    });
    let layers = found.layers.iter().enumerate().map(|(layer, d)| {
        let best = d.top.first().map(|t| {
            let mut best = json!(model.token(t.id));
            best["logprob"] = json!(t.logprob);
            best
        });
        let numbers = order.iter().map(|&i| {
            let TokenStats { logprob, rank, .. } = d.tokens[i];
            json!({ "logprob": logprob, "rank": rank, "part": found.parts[i].parts[layer] })
        });
        json!({ "best": best, "tokens": numbers.collect::<Vec<_>>() })
    });
    json!({
        "decided": found.decided(),
        "tokens": tokens.collect::<Vec<_>>(),
        "layers": layers.collect::<Vec<_>>(),
    })
}

/// Columns of a layer's number with the gap after it.
const LAYER: usize = 7;
/// Columns of a token's numbers, the gap before them included.
const CELL: usize = 29;

/// For people: a row per layer with the layer's most likely token, and of each token the rank, the log probability and
/// the part of the logit. Tokens for which a line has no room follow in a further table.
pub fn table(model: &Model, found: &LayerDistributions, style: Style) -> String {
    // The layer's most likely token has 13 columns, and fewer on narrow terminals.
    let word = style.width.saturating_sub(LAYER + CELL).clamp(4, 13);
    let room = (style.width.saturating_sub(LAYER + word) / CELL).max(1);
    let mut out = String::new();
    for columns in found.in_order().chunks(room) {
        rows(model, found, columns, word, style, &mut out);
        out.push('\n');
    }
    let best = found.layers.last().and_then(best_of).map_or(String::new(), |t| shown(model, t.id));
    let note = match found.decided() {
        0 => format!("decided by the embedding: {best} is the most likely token after every layer"),
        layer => format!("decided by layer {layer}: from there on {best} stays the most likely token"),
    };
    let about = "layer 0 is the embedding; logprob in nats; the parts and the rest add up to the logit";
    out + &terminal::paragraph(&format!("{note} ({about})"))
}

/// One table of layers, with the tokens at these places in [`LayerDistributions::tokens`].
fn rows(model: &Model, found: &LayerDistributions, columns: &[usize], word: usize, style: Style, out: &mut String) {
    let mut names = " ".repeat(LAYER + word);
    let mut head = format!("{:>5}  {:<word$}", "layer", shorten("most likely", word));
    for &i in columns {
        let name = shorten(&shown(model, found.tokens[i]), CELL - 2);
        names += &format!("{}{name}", " ".repeat(CELL - name.width()));
        head += &format!("  {:>7} {:>9} {:>9}", "rank", "logprob", "part");
    }
    let _ = writeln!(out, "{}", style.paint("1", &names));
    let _ = writeln!(out, "{}", style.paint("1", &head));
    let decided = found.decided();
    for (layer, d) in found.layers.iter().enumerate() {
        let best = shorten(&best_of(d).map_or(String::new(), |t| shown(model, t.id)), word);
        let padding = " ".repeat(word.saturating_sub(best.width()));
        let colour = if layer < decided { "2" } else { "32" };
        let _ = write!(out, "{layer:>5}  {}{padding}", style.paint(colour, &best));
        for &i in columns {
            let TokenStats { logprob, rank, .. } = d.tokens[i];
            let part = found.parts[i].parts[layer];
            let _ = write!(out, "  {:>7} {logprob:>9.4} {part:>+9.4}", format!("#{rank}"));
        }
        out.push('\n');
    }
    let numbers = |number: &dyn Fn(usize) -> f64| -> String {
        columns.iter().map(|&i| format!("{:>CELL$}", signed(number(i)))).collect()
    };
    let gap = LAYER + word - 5;
    let _ = writeln!(out, "{:>5}{:gap$}{}", "rest", "", numbers(&|i| found.parts[i].rest()));
    let _ = writeln!(out, "{:>5}{:gap$}{}", "logit", "", numbers(&|i| found.parts[i].logit));
}

/// For people: a row per place with the token there, the layer that decides, and what it decides for. `what` is what the
/// names of the places are, which stand in front.
pub fn places_table(
    model: &Model,
    what: &str,
    places: &[(String, TokenId, &LayerDistributions)],
    style: Style,
) -> String {
    let first = places.iter().map(|(name, ..)| name.width()).max().unwrap_or_default().max(what.width()).max(4);
    let word = (style.width.saturating_sub(first + 27) / 2).clamp(4, 24);
    let cell = |id: TokenId| {
        let text = shorten(&shown(model, id), word);
        let padding = " ".repeat(word.saturating_sub(text.width()));
        text + &padding
    };
    let head = format!(
        "{what:>first$}  {:<word$}  {:>10}  {:<word$}  {:>9}",
        shorten("token", word),
        "decided by",
        shorten("most likely", word),
        "prob"
    );
    let mut out = style.paint("1", &head) + "\n";
    for (name, token, found) in places {
        let Some(best) = found.layers.last().and_then(best_of) else { continue };
        let colour = if best.id == *token { "32" } else { "2" };
        let _ = writeln!(
            out,
            "{name:>first$}  {}  {:>10}  {}  {:>9}",
            cell(*token),
            format!("layer {}", found.decided()),
            style.paint(colour, &cell(best.id)),
            percent(best.prob()),
        );
    }
    let layers = places.first().map_or(0, |(.., found)| found.layers.len().saturating_sub(1));
    let about = format!(
        "the layer from which on the model's most likely token stays the most likely one, of {layers}; layer 0 is the embedding"
    );
    out + &terminal::paragraph(&format!("({about})"))
}

/// A fork: its place as it is shown, and what each layer would have predicted there. The token and its runner-up are the
/// first two of the tokens.
pub struct ForkLayers<'a> {
    /// The place, from 1.
    pub place: usize,
    /// The layers.
    pub found: &'a LayerDistributions,
}

/// Columns of a fork in a table of forks, the gap before them included.
const FORK: usize = 12;

/// For people: a column per fork with the token, its runner-up, and by how much each layer has the token likelier. Forks
/// for which a line has no room follow in a further table.
pub fn forks_table(model: &Model, forks: &[ForkLayers<'_>], style: Style) -> String {
    let room = (style.width.saturating_sub(LAYER) / FORK).max(1);
    let mut out = String::new();
    for columns in forks.chunks(room) {
        let line = |name: &str, cell: &dyn Fn(&ForkLayers<'_>) -> String| {
            let cells = columns.iter().map(|f| {
                let text = shorten(&cell(f), FORK - 2);
                format!("{}{text}", " ".repeat(FORK - text.width()))
            });
            format!("{name:>5}  {}", cells.collect::<String>())
        };
        let token =
            |i: usize| move |f: &ForkLayers<'_>| f.found.tokens.get(i).map_or(String::new(), |&t| shown(model, t));
        for head in [line("#", &|f| f.place.to_string()), line("", &token(0)), line("layer", &token(1))] {
            let _ = writeln!(out, "{}", style.paint("1", &head));
        }
        for layer in 0..columns.first().map_or(0, |f| f.found.layers.len()) {
            let _ = write!(out, "{layer:>5}  ");
            for f in columns {
                let lead = f.found.leads(0, 1).get(layer).copied().unwrap_or_default();
                let colour = if layer < f.found.decided_between(0, 1) { "2" } else { "32" };
                let _ = write!(out, "{}", style.paint(colour, &format!("{lead:>+FORK$.4}")));
            }
            out.push('\n');
        }
        let _ = writeln!(out, "{}", line("by", &|f| format!("layer {}", f.found.decided_between(0, 1))));
        out.push('\n');
    }
    let about = "log probability of the token less that of its runner-up after each layer, in nats: above 0 the layer \
        has the token likelier; by: the layer that decides between the two; layer 0 is the embedding";
    out + &terminal::paragraph(&format!("({about})"))
}

fn best_of(d: &logitree_core::Distribution) -> Option<TokenStats> {
    d.top.first().copied()
}

/// A number with its sign, and with its digits also where it is small, as rounding is.
fn signed(x: f64) -> String {
    if x != 0.0 && x.abs() < 5e-5 { format!("{x:+.1e}") } else { format!("{x:+.4}") }
}

/// A token's text on one line, with visible signs for spaces.
fn shown(model: &Model, id: TokenId) -> String {
    visible(&model.text(id)).replace(' ', "·")
}
