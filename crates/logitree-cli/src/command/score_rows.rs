//! What `score` finds, as JSON and as a table: of one text, and of every text of a data set.

use super::dataset::{Answer, Question};
use super::spans::{self, By, SpanOptions};
use super::steps::{step_json, watch_columns, watch_values};
use logitree::dataset::{Column, ColumnKind};
use logitree::{Given, Model, Prompt, SCORED_TOGETHER, ScoreOptions, Scored, totals_of};
use serde_json::{Map, Value, json};

/// The numbers of a scored text as a JSON object. The tokens have `top` alternatives each; without a number of them,
/// `tokens` is only how many there are.
pub fn object(
    model: &Model,
    prompt: &Prompt,
    from: Option<usize>,
    scored: &Scored,
    top: Option<usize>,
) -> Map<String, Value> {
    let Scored { tokens, watch, .. } = scored;
    let totals = totals_of(tokens);
    let entropy = tokens.iter().map(|s| s.entropy).sum::<f64>() / tokens.len().max(1) as f64;
    let listed = |top| tokens.iter().map(|s| step_json(model, s, top, watch)).collect();
    let mut object = Map::new();
    object.insert("tokens".into(), top.map_or(json!(tokens.len()), listed));
    object.insert("bos".into(), json!(prompt.bos));
    // Without BOS, the first token has no distribution before it and so no score.
    let unscored = (from.is_none() && !prompt.bos).then(|| model.token(prompt.tokens[0]));
    object.insert("first".into(), json!(unscored));
    object.insert("total_logprob".into(), json!(totals.logprob));
    object.insert("total_bits".into(), json!(totals.bits));
    object.insert("perplexity".into(), json!(totals.perplexity));
    object.insert("mean_entropy".into(), json!(entropy));
    object
}

/// The question that `score` asks about each text of a data set.
pub struct ScoreRows {
    /// Number of alternatives of each token.
    pub top: usize,
    pub watch: Vec<String>,
    /// Whether names of control tokens are these tokens.
    pub special: bool,
    /// What stands before every text and is not scored.
    pub context: Option<String>,
    pub spans: SpanOptions,
}

impl ScoreRows {
    fn given(&self, text: &str) -> Given {
        if self.special { Given::Special(text.into()) } else { Given::Text(text.into()) }
    }
}

impl Question for ScoreRows {
    /// A text as a prompt, and with a context the index of the first token that is scored.
    type Ready = (Prompt, Option<usize>);

    fn command(&self) -> &'static str {
        "score"
    }

    fn parameters(&self) -> Value {
        json!({
            "top": self.top,
            "watch": self.watch,
            "special": self.special,
            "context": self.context,
            "by": self.spans.by.map(By::name),
            "least": self.spans.least,
        })
    }

    fn batch(&self) -> (usize, usize) {
        (SCORED_TOGETHER, SCORED_TOGETHER)
    }

    fn check(&self, model: &Model) -> logitree::Result<()> {
        model.need_tokens("score")?;
        model.watch(&self.watch).map(drop)
    }

    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Self::Ready> {
        let (prompt, from) = match &self.context {
            None => (model.prepare(&self.given(text), "")?, None),
            Some(context) => {
                let (prompt, from) = model.after(&self.given(context), text)?;
                (prompt, Some(from))
            }
        };
        prompt.first_scored(from)?;
        Ok((prompt, from))
    }

    fn tokens(&self, (prompt, _): &Self::Ready) -> usize {
        prompt.tokens.len()
    }

    fn answer(&self, model: &Model, texts: &[Self::Ready], details: bool) -> logitree::Result<Option<Vec<Answer>>> {
        let listed = details || self.spans.by == Some(By::Token);
        let top = if details { self.top } else { 0 };
        let options =
            ScoreOptions { top, watch: self.watch.clone(), words: self.spans.words(), ..ScoreOptions::default() };
        let given: Vec<(&Prompt, Option<usize>)> = texts.iter().map(|(prompt, from)| (prompt, *from)).collect();
        let found = model.score_all(&given, &options)?;
        if found.iter().any(|s| s.tokens.len() < s.asked) {
            return Ok(None);
        }
        let answer = |((prompt, from), scored): ((&Prompt, Option<usize>), Scored)| {
            let mut object = object(model, prompt, from, &scored, listed.then_some(top));
            let spans = self.spans.find(model, prompt, &scored)?;
            if !spans.units.is_empty() {
                object.insert("spans".into(), spans::json(&spans.units));
            }
            Ok(Answer { json: Value::Object(object).to_string(), tokens: scored.tokens.len() })
        };
        given.into_iter().zip(found).map(answer).collect::<logitree::Result<_>>().map(Some)
    }

    fn columns(&self) -> Vec<Column> {
        use ColumnKind::{Flag, Integer, Number, Text};
        let named = |names: &[(&str, ColumnKind)]| names.iter().map(|&(n, kind)| Column::new(n, kind)).collect();
        let mut columns: Vec<Column> = match (self.spans.by, self.spans.least) {
            (None, None) => named(&[
                ("tokens", Integer),
                ("total_logprob", Number),
                ("total_bits", Number),
                ("perplexity", Number),
                ("mean_entropy", Number),
            ]),
            (Some(By::Token), None) => named(&[
                ("n", Integer),
                ("token_id", Integer),
                ("text", Text),
                ("logprob", Number),
                ("rank", Integer),
                ("entropy", Number),
                ("exactness", Text),
            ]),
            _ => named(&[
                ("n", Integer),
                ("text", Text),
                ("first", Integer),
                ("tokens", Integer),
                ("logprob", Number),
                ("bits", Number),
                ("token_logprob", Number),
                ("exact", Flag),
            ]),
        };
        if self.spans.by == Some(By::Token) && self.spans.least.is_none() {
            columns.extend(watch_columns(self.watch.len()));
        }
        columns
    }

    fn rows(&self, answer: &Value) -> Vec<Vec<Value>> {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let pick = |from: &Value, names: &[&str]| names.iter().map(|&name| from[name].clone()).collect::<Vec<_>>();
        let numbered = |(i, row): (usize, Vec<Value>)| [vec![json!(i + 1)], row].concat();
        match (self.spans.by, self.spans.least) {
            (None, None) => {
                vec![pick(answer, &["tokens", "total_logprob", "total_bits", "perplexity", "mean_entropy"])]
            }
            (Some(By::Token), None) => {
                let row = |token: &Value| {
                    let mut row = pick(token, &["id", "text", "logprob", "rank", "entropy"]);
                    row.push(token.get("exactness").cloned().unwrap_or_else(|| json!("exact")));
                    row.extend(watch_values(token, self.watch.len()));
                    row
                };
                list("tokens").iter().map(row).enumerate().map(numbered).collect()
            }
            _ => {
                let names = ["text", "first", "tokens", "logprob", "bits", "token_logprob", "exact"];
                list("spans").iter().map(|span| pick(span, &names)).enumerate().map(numbered).collect()
            }
        }
    }
}
