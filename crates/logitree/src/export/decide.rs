//! Decision curves as a table and as JSON.

use super::table::Table;
use crate::{DecisionCurve, DecisionPoint, Model};
use serde_json::{Value, json};

/// What is known of a class after the first tokens of a text.
pub struct Row<'a> {
    tokens: usize,
    point: &'a DecisionPoint,
    class: &'static str,
    answer: String,
    bounds: [f64; 2],
}

/// A row for every answer and for giving none after 0, 1, 2, … tokens. `tokens` is the number of tokens of the text that
/// are given; `class` is `answer` or `no_answer`, which has an empty `answer`. Logprobs and entropies are in nats.
pub fn table<'a>(model: &'a Model, curve: &'a DecisionCurve) -> Table<'a, Row<'a>> {
    let of_point = |(tokens, point): (usize, &'a DecisionPoint)| {
        let none = point.ledger.none();
        let answers = point.ledger.bounds().into_iter().map(|b| ("answer", b.answer, [b.lower, b.upper]));
        let all = answers.chain([("no_answer", String::new(), [none, none + point.ledger.undecided()])]);
        all.map(move |(class, answer, bounds)| Row { tokens, point, class, answer, bounds })
    };
    Table::of(curve.points.iter().enumerate().flat_map(of_point))
        .column("tokens", |r| r.tokens)
        .column("token_id", |r| r.point.token.map(|t| t.id.0))
        .column("text", |r| r.point.token.map(|t| model.text(t.id)))
        .column("logprob", |r| r.point.token.map(|t| t.logprob))
        .column("class", |r| r.class)
        .column("answer", |r| r.answer.clone())
        .column("lower", |r| r.bounds[0])
        .column("upper", |r| r.bounds[1])
        .column("undecided", |r| r.point.ledger.undecided())
        .column("entropy_lower", |r| r.point.entropy.lower)
        .column("entropy_upper", |r| r.point.entropy.upper)
}

/// The curve as one JSON object: `{text, decided, tolerance, points, model, engine}`.
pub fn json(model: &Model, curve: &DecisionCurve, tolerance: f64) -> Value {
    let point = |(t, p): (usize, &DecisionPoint)| {
        let (undecided, none) = (p.ledger.undecided(), p.ledger.none());
        let answers = p.ledger.bounds().into_iter();
        let answers = answers.map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper }));
        json!({
            "tokens": t,
            "token": p.token.map(|t| model.token(t.id)),
            "logprob": p.token.map(|t| t.logprob),
            "answers": answers.collect::<Vec<_>>(),
            "no_answer": { "lower": none, "upper": (none + undecided).min(1.0) },
            "undecided": undecided,
            "entropy": { "lower": p.entropy.lower, "upper": p.entropy.upper },
            "steps": p.steps,
            "nodes": p.nodes,
            "ended_by": p.ended_by,
        })
    };
    let decided = curve.decided.as_ref().map(|(t, class)| {
        let token = curve.points[*t].token.map(|t| model.token(t.id));
        json!({ "tokens": t, "token": token, "answer": class.answer() })
    });
    json!({
        "text": curve.text,
        "decided": decided,
        "tolerance": tolerance,
        "points": curve.points.iter().enumerate().map(point).collect::<Vec<_>>(),
        "model": model.name(),
        "engine": model.engine(),
    })
}
