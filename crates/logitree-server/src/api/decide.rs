//! How likely each answer is after each token of a path.

use super::task;
use super::{Answer, App};
use crate::problem::{Parameters, Place, Problem};
use crate::sse::ServerSentEvent;
use axum::extract::State;
use axum::response::Response;
use logitree::answers::Reader;
use logitree::{DecideOptions, DecisionPoint};
use logitree_core::NodeId;
use logitree_core::answers::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Largest length of the choices or the pattern, in bytes.
const ASKED: usize = 10_000;

/// What counts as an answer, and how closely to look.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Answers that the text may begin with, separated by `|`.
    #[serde(default)]
    pub choices: Option<String>,
    /// Or a regular expression: its first group (or match) in the text is the answer.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Whether answers that differ only in case or in punctuation and white space in front are the same.
    #[serde(default)]
    pub normalize: bool,
    /// After each token, explore until no bound is wider than this: 0.01 if absent.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1)]
    pub tolerance: Option<f64>,
    /// After each token, do not look further than this many tokens: 64 if absent.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    pub max_depth: Option<usize>,
    /// After each token, look at no more than this many paths: 100000 if absent.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1_000_000)]
    pub max_nodes: Option<usize>,
}

impl Asked {
    fn reader(&self) -> Answer<Reader> {
        let asked = match (&self.choices, &self.pattern) {
            (Some(asked), None) | (None, Some(asked)) => asked,
            _ => return Err(Problem::bad("give either `choices` or `pattern`")),
        };
        if asked.len() > ASKED {
            return Err(Problem::bad(format!("{} bytes of answers: {ASKED} at most", asked.len())));
        }
        Ok(Reader::of(self.choices.as_deref(), self.pattern.as_deref(), self.normalize)?)
    }

    fn options(&self) -> Answer<DecideOptions> {
        let default = DecideOptions::default();
        let tolerance = self.tolerance.unwrap_or(default.tolerance);
        let max_depth = self.max_depth.unwrap_or(default.max_depth);
        let max_nodes = self.max_nodes.unwrap_or(default.max_nodes);
        if !(0.0..=1.0).contains(&tolerance) {
            return Err(Problem::bad("`tolerance` is a probability, 0 to 1"));
        }
        if !(1..=1000).contains(&max_depth) || !(1..=1_000_000).contains(&max_nodes) {
            return Err(Problem::bad("`max_depth` is 1 to 1000, `max_nodes` 1 to 1000000"));
        }
        Ok(DecideOptions { tolerance, max_depth, max_nodes, ..default })
    }
}

/// How likely each answer is after each token of the path to a node, as server-sent events
///
/// `progress` events say in words what is being done, `note` events what the user should know. `point` events have the
/// bounds after the first tokens of the path, from its end to its beginning: `tokens` is their number, `answers` have
/// `lower` and `upper` bounds, as has `no_answer`; `undecided` is the probability that is not known to belong to any, and
/// `ended_by` says why looking ended. At last comes an `end` event with `decided`: the number of `tokens` after which the
/// text was decided, and the `answer` (null if it is that there is none); or a `failed` event with a problem. The work
/// ends when the client hangs up.
#[utoipa::path(get, path = "/api/v1/runs/{id}/nodes/{node}/decide",
    params(("id" = String, Path, description = "Id of the run"), ("node" = u32, Path, description = "The node"), Asked),
    responses((status = 200, content_type = "text/event-stream", body = ServerSentEvent), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn decide(
    State(app): State<App>,
    Place((id, node)): Place<(String, u32)>,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Response> {
    app.model()?.need_tokens("`decide`")?;
    app.run(&id)?;
    if node == 0 {
        return Err(Problem::bad("the path to node 0 is the prompt alone: there is no text to follow"));
    }
    let (reader, options) = (asked.reader()?, asked.options()?);
    task::stream(&app, "deciding", vec![(id, NodeId(node))], move |model, mut tokens, teller| {
        let Some(tokens) = tokens.pop() else { return Ok(()) };
        let mut each = |t: usize, found: &DecisionPoint| teller.tell("point", &point(t, found));
        let curve = model.decide_tokens(tokens.prompt, Some(tokens.path), &reader, &options, &mut each)?;
        let decided = curve.decided.map(|(tokens, verdict)| {
            let answer = if let Verdict::Answer(answer) = verdict { Some(answer) } else { None };
            json!({ "tokens": tokens, "answer": answer })
        });
        teller.tell("end", &json!({ "decided": decided }));
        Ok(())
    })
    .await
}

fn point(tokens: usize, found: &DecisionPoint) -> Value {
    let (undecided, none) = (found.ledger.undecided(), found.ledger.none());
    let bounds = found.ledger.bounds().into_iter();
    let answers = bounds.map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper })).collect::<Vec<_>>();
    json!({
        "tokens": tokens,
        "answers": answers,
        "no_answer": { "lower": none, "upper": (none + undecided).min(1.0) },
        "undecided": undecided,
        "ended_by": found.ended_by,
    })
}
