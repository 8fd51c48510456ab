//! What `logprobs` finds for every prompt of a data set: the notebook's records, or a table of tokens.

use super::dataset::{Answer, Question};
use super::steps::{record_steps, step_json, top_bytes, watch_columns, watch_values};
use crate::options::FormOptions;
use logitree::dataset::{Column, ColumnKind};
use logitree::export::jsonl;
use logitree::{GenerateOptions, Model, Prompt};
use serde_json::{Value, json};

/// The question that `logprobs` asks about each prompt of a data set.
pub struct GenerateRows {
    pub form: FormOptions,
    pub options: GenerateOptions,
}

/// Largest number of texts that are generated together. Wider batches are hardly faster.
const TOGETHER: usize = 32;

impl Question for GenerateRows {
    type Ready = Prompt;

    fn command(&self) -> &'static str {
        "logprobs"
    }

    fn parameters(&self) -> Value {
        let GenerateOptions { max_new_tokens, top, sampler, seed, watch, .. } = &self.options;
        json!({
            "max_new_tokens": max_new_tokens,
            "top": top,
            "temperature": sampler.temperature,
            "top_k": sampler.top_k,
            "top_p": sampler.top_p,
            "min_p": sampler.min_p,
            "seed": seed,
            "watch": watch,
            "form": self.form.json(),
        })
    }

    fn batch(&self) -> (usize, usize) {
        (TOGETHER, 16_384)
    }

    fn check(&self, model: &Model) -> logitree::Result<()> {
        self.options.sampler.check()?;
        model.watch(&self.options.watch).map(drop)
    }

    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Prompt> {
        model.prepare(&self.form.given(text), "")
    }

    fn tokens(&self, prompt: &Prompt) -> usize {
        prompt.tokens.len()
    }

    fn answer(&self, model: &Model, prompts: &[Prompt], details: bool) -> logitree::Result<Option<Vec<Answer>>> {
        let Some(found) = model.generate_all(prompts, &self.options)? else { return Ok(None) };
        let watch = model.watch(&self.options.watch)?;
        let top = self.options.top;
        let answer = |(prompt, made): (&Prompt, logitree::Generated)| {
            let steps = &made.tokens;
            let response = model.text_of(steps.iter().map(|s| s.token.id));
            let json = if details {
                let texts = top_bytes(model, steps);
                let record = jsonl::record(&prompt.text, &response, &record_steps(model, steps, top, &texts));
                let open = record.trim_end().strip_suffix('}').unwrap_or_default();
                format!("{open}, \"stop\": {}}}", json!(made.stop))
            } else {
                let tokens: Vec<Value> = steps.iter().map(|s| step_json(model, s, 0, &watch)).collect();
                json!({ "tokens": tokens, "stop": made.stop }).to_string()
            };
            Answer { json, tokens: prompt.tokens.len() + steps.len() }
        };
        Ok(Some(prompts.iter().zip(found).map(answer).collect()))
    }

    fn columns(&self) -> Vec<Column> {
        use ColumnKind::{Integer, Number, Text};
        let names = [
            ("n", Integer),
            ("token_id", Integer),
            ("text", Text),
            ("logprob", Number),
            ("rank", Integer),
            ("entropy", Number),
            ("exactness", Text),
            ("stop", Text),
        ];
        let names = names.into_iter().map(|(name, kind)| Column::new(name, kind));
        names.chain(watch_columns(self.options.watch.len())).collect()
    }

    fn rows(&self, answer: &Value) -> Vec<Vec<Value>> {
        let row = |(i, token): (usize, &Value)| {
            let own = ["id", "text", "logprob", "rank", "entropy"].map(|name| token[name].clone());
            let exactness = token.get("exactness").cloned().unwrap_or_else(|| json!("exact"));
            let watched = watch_values(token, self.options.watch.len());
            let front = std::iter::once(json!(i + 1)).chain(own);
            front.chain([exactness, answer["stop"].clone()]).chain(watched).collect()
        };
        answer["tokens"].as_array().into_iter().flatten().enumerate().map(row).collect()
    }
}
