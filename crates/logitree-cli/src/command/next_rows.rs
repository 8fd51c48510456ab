//! What `next` finds, as JSON and as a table: of some prompts, and of every prompt of a data set.

use super::dataset::{Answer, Question};
use super::steps::{watch_columns, watch_values, watched_json};
use crate::options::FormOptions;
use logitree::dataset::{Column, ColumnKind};
use logitree::{Model, NUCLEI, NextOptions, NextToken, Prompt};
use logitree_core::run::Watch;
use serde_json::{Map, Value, json};

/// The distribution after a prompt as a JSON object: `{prompt, top, rest, entropy, entropy_bits, varentropy, exactness,
/// top_p, watch?}`.
pub fn object(model: &Model, prompt: &Prompt, next: &NextToken, watch: &[Watch]) -> Map<String, Value> {
    let d = &next.distribution;
    let top = d.top.iter().map(|t| {
        let mut object = json!(model.token(t.id));
        object["logprob"] = json!(t.logprob);
        object["prob"] = json!(t.prob());
        object["rank"] = json!(t.rank);
        object
    });
    let nuclei = next.nuclei.iter().map(|n| json!({ "p": n.mass, "tokens": n.tokens, "exact": n.exact }));
    let mut map = Map::new();
    map.insert("prompt".into(), json!(prompt.text));
    map.insert("top".into(), top.collect());
    map.insert("rest".into(), json!(d.rest()));
    map.insert("entropy".into(), json!(d.entropy));
    map.insert("entropy_bits".into(), json!(d.entropy / std::f64::consts::LN_2));
    map.insert("varentropy".into(), json!(d.varentropy));
    map.insert("exactness".into(), json!(d.exactness.name()));
    map.insert("top_p".into(), nuclei.collect());
    if !watch.is_empty() {
        let watched = watch.iter().zip(&next.watched).map(|(w, at)| watched_json(w, at));
        map.insert("watch".into(), watched.collect());
    }
    map
}

/// The question that `next` asks about each prompt of a data set.
pub struct NextRows {
    pub form: FormOptions,
    /// Number of most likely tokens to list.
    pub top: usize,
    pub watch: Vec<String>,
}

impl Question for NextRows {
    type Ready = Prompt;

    fn command(&self) -> &'static str {
        "next"
    }

    fn parameters(&self) -> Value {
        json!({ "top": self.top, "watch": self.watch, "form": self.form.json() })
    }

    fn batch(&self) -> (usize, usize) {
        (32, 2048)
    }

    fn check(&self, model: &Model) -> logitree::Result<()> {
        model.watch(&self.watch).map(drop)
    }

    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Prompt> {
        model.prepare(&self.form.given(text), "")
    }

    fn tokens(&self, prompt: &Prompt) -> usize {
        prompt.tokens.len()
    }

    fn answer(&self, model: &Model, prompts: &[Prompt], _: bool) -> logitree::Result<Option<Vec<Answer>>> {
        let options = NextOptions { top: self.top, watch: self.watch.clone(), ..NextOptions::default() };
        let (found, watch) = model.next_tokens(prompts, &options)?;
        let answer = |(prompt, next)| {
            let json = Value::Object(object(model, prompt, next, &watch)).to_string();
            Answer { json, tokens: prompt.tokens.len() }
        };
        Ok(Some(prompts.iter().zip(&found).map(answer).collect()))
    }

    fn columns(&self) -> Vec<Column> {
        use ColumnKind::{Integer, Number, Text};
        let names = [
            ("rank", Integer),
            ("token_id", Integer),
            ("text", Text),
            ("logprob", Number),
            ("prob", Number),
            ("rest", Number),
            ("entropy", Number),
            ("exactness", Text),
        ];
        let nuclei = NUCLEI.iter().map(|p| Column::new(format!("top_p_{p}"), Integer));
        let names = names.into_iter().map(|(name, kind)| Column::new(name, kind));
        names.chain(nuclei).chain(watch_columns(self.watch.len())).collect()
    }

    fn rows(&self, answer: &Value) -> Vec<Vec<Value>> {
        let row = |token: &Value| {
            let own = ["rank", "id", "text", "logprob", "prob"].map(|name| token[name].clone());
            let common = ["rest", "entropy", "exactness"].map(|name| answer[name].clone());
            let nuclei = (0..NUCLEI.len()).map(|i| answer["top_p"][i]["tokens"].clone());
            own.into_iter().chain(common).chain(nuclei).chain(watch_values(answer, self.watch.len())).collect()
        };
        answer["top"].as_array().into_iter().flatten().map(row).collect()
    }
}
