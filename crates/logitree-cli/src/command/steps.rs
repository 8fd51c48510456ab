//! Tokens with their statistics: what `logprobs`, `guide` and `score` have in common.

use crate::terminal;
use logitree::dataset::{Column, ColumnKind};
use logitree::export::jsonl::RecordedToken;
use logitree::export::text::{colour_of, count, percent, shorten};
use logitree::visible::visible;
use logitree::{LISTED, Model, ScoredToken};
use logitree_core::metrics::Totals;
use logitree_core::run::Watch;
use logitree_core::watch::Watched;
use logitree_core::{Exactness, TokenId, TokenStats};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// A token as JSON: `{id, text, bytes?, logprob, rank, entropy, exactness?, top, watch?}`, where `top` is a list of
/// `{id, text, logprob}` and `watch` one of `{text, logprob, rank?}`.
pub fn step_json(model: &Model, s: &ScoredToken, top: usize, watch: &[Watch]) -> Value {
    let mut map = Map::new();
    let token = model.token(s.token.id);
    map.insert("id".into(), json!(token.id));
    map.insert("text".into(), json!(token.text));
    if let Some(bytes) = token.bytes {
        map.insert("bytes".into(), json!(bytes));
    }
    map.insert("logprob".into(), json!(s.token.logprob));
    map.insert("rank".into(), json!(s.token.rank));
    map.insert("entropy".into(), json!(s.entropy));
    if s.exactness != Exactness::Exact {
        map.insert("exactness".into(), json!(s.exactness.name()));
    }
    if s.forced {
        map.insert("forced".into(), json!(true));
    }
    let top = s.top.iter().take(top).map(|t| json!({ "id": t.id, "text": model.text(t.id), "logprob": t.logprob }));
    map.insert("top".into(), top.collect());
    if !watch.is_empty() {
        let watched = watch.iter().zip(&s.watched).map(|(w, at)| watched_json(w, at));
        map.insert("watch".into(), watched.collect());
    }
    Value::Object(map)
}

/// A watched string as JSON: `{text, logprob, rank?}`.
pub fn watched_json(watch: &Watch, at: &Watched) -> Value {
    let mut value = json!(at);
    value["text"] = json!(watch.text);
    value
}

/// A watched string in words: `·Yes 12.3 % #4`.
pub fn watched_text(watch: &Watch, at: &Watched) -> String {
    let rank = at.rank.map_or(String::new(), |r| format!(" #{r}"));
    format!("{} {}{rank}", visible(&watch.text).replace(' ', "·"), percent(at.logprob.exp()))
}

/// The steps as the notebook's JSONL records have them.
pub fn record_steps<'a>(
    model: &Model,
    steps: &[ScoredToken],
    top: usize,
    texts: &'a [Vec<Vec<u8>>],
) -> Vec<RecordedToken<'a>> {
    steps
        .iter()
        .zip(texts)
        .map(|(s, texts)| RecordedToken {
            text: model.text(s.token.id),
            logprob: s.token.logprob,
            top: texts.iter().zip(&s.top).take(top).map(|(b, t)| (&b[..], t.logprob)).collect(),
        })
        .collect()
}

/// Bytes of every step's top tokens, for [`record_steps`] to borrow.
pub fn top_bytes(model: &Model, steps: &[ScoredToken]) -> Vec<Vec<Vec<u8>>> {
    let bytes = |t: &TokenStats| model.token_bytes(t.id).into_owned();
    steps.iter().map(|s| s.top.iter().map(bytes).collect()).collect()
}

/// A table with one token per row, coloured by probability. With `top`, every row lists this many alternatives, on
/// further lines if necessary. Without it, a row lists those that fit on its line.
pub fn table(model: &Model, steps: &[ScoredToken], top: Option<usize>, watch: &[Watch]) -> String {
    let style = terminal::style();
    let mut out = String::new();
    // On narrow terminals the column of tokens is narrower, to leave room for alternatives.
    let word = if style.width < 90 { 12 } else { 18 };
    let head = format!(
        "{:>4}  {:<word$}  {:>9}  {:>9}  {:>6}  {:>7}  alternatives",
        "#", "token", "prob", "logprob", "rank", "entropy"
    );
    let numbers = word + 47;
    let _ = writeln!(out, "{}", style.paint("1", shorten(&head, style.width).trim_end()));
    for (i, s) in steps.iter().enumerate() {
        let text = shorten(&shown(model, s.token.id), word);
        let padding = " ".repeat(word.saturating_sub(text.width()));
        let prob = s.token.logprob.exp();
        let (others, more) = alternatives(model, s, top, style.width.saturating_sub(numbers), style.width);
        let mark = if s.forced { ">" } else { " " };
        let row = format!(
            "{:>4}{mark} {}{padding}  {:>9}  {:>9.4}  {:>6}  {:>7}  {}",
            i + 1,
            style.paint(colour_of(prob), &text),
            percent(prob),
            s.token.logprob,
            format!("{}{}", s.rank_sign(), s.token.rank),
            format!("{}{:.3}", s.exactness.sign(), s.entropy),
            style.paint("2", others.trim_end()),
        );
        let _ = writeln!(out, "{}", row.trim_end());
        for line in more {
            let _ = writeln!(out, "{INDENT}{}", style.paint("2", &line));
        }
        if !watch.is_empty() {
            let watched: Vec<String> = watch.iter().zip(&s.watched).map(|(w, at)| watched_text(w, at)).collect();
            let _ = writeln!(out, "{INDENT}{}", style.paint("36", &watched.join("   ")));
        }
    }
    out.push_str("(logprob and entropy in nats)\n");
    out
}

/// Indentation of further lines of a row.
const INDENT: &str = "       ";

/// A token's text on one line, with visible signs for spaces.
fn shown(model: &Model, id: TokenId) -> String {
    visible(&model.text(id)).replace(' ', "·")
}

/// The most likely other tokens. They fill `room` columns of the row, and further lines if the user asked for `top` of
/// them. The first is shortened rather than left out, so that every row with a little room shows an alternative.
fn alternatives(
    model: &Model,
    s: &ScoredToken,
    top: Option<usize>,
    room: usize,
    width: usize,
) -> (String, Vec<String>) {
    let others = s.top.iter().take(top.unwrap_or(LISTED)).filter(|t| t.id != s.token.id);
    let mut lines = vec![String::new()];
    let (mut room, full) = (room, width.saturating_sub(INDENT.len()));
    for t in others {
        let (text, share) = (shown(model, t.id), percent(t.prob()));
        let before = lines.last().map_or(0, |l| l.width());
        let gap = if before == 0 { "" } else { "  " };
        let left = room.saturating_sub(before + gap.len() + share.len() + 1);
        let last = lines.len() - 1;
        if text.width() <= left || (before == 0 && left >= 3) {
            lines[last].push_str(&format!("{gap}{} {share}", shorten(&text, left)));
        } else if top.is_some() {
            room = full;
            lines.push(format!("{} {share}", shorten(&text, full.saturating_sub(share.len() + 1))));
        } else {
            break;
        }
    }
    let first = lines.remove(0);
    (first, lines)
}

/// A line with the totals of a text's tokens.
pub fn totals_line(name: &str, t: Totals) -> String {
    let text = format!(
        "{name}: {}, {:.2} bits, perplexity {:.4}, probability {}",
        count(t.tokens, "token"),
        t.bits,
        t.perplexity,
        percent(t.logprob.exp())
    );
    terminal::paragraph(&text)
}

/// The columns of watched strings in tables of data sets: their log probabilities in nats.
pub fn watch_columns(count: usize) -> impl Iterator<Item = Column> {
    (1..=count).map(|i| Column::new(format!("watch_{i}_logprob"), ColumnKind::Number))
}

/// The values of [`watch_columns`] in the JSON object of a step.
pub fn watch_values(step: &Value, count: usize) -> impl Iterator<Item = Value> {
    (0..count).map(|i| step["watch"][i]["logprob"].clone())
}
