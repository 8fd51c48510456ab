//! What `answers` finds, as JSON and as a table: of one prompt, and of every prompt of a data set.

use super::dataset::{Answer, Question};
use crate::options::FormOptions;
use logitree::answers::{AnswerOptions, Answers, AnswersEnd, Reader};
use logitree::dataset::{Column, ColumnKind};
use logitree::{Model, Prompt};
use serde_json::{Map, Value, json};

/// The bounds of the answers as a JSON object. No winner is named among the `alone` choice.
pub fn object(found: &Answers, alone: bool) -> Map<String, Value> {
    let Answers { ledger, steps, nodes, seconds, ended_by } = found;
    let bounds = ledger.bounds();
    let winner = ledger.winner().filter(|_| !alone);
    let answers: Vec<_> =
        bounds.iter().map(|b| json!({ "answer": b.answer, "lower": b.lower, "upper": b.upper })).collect();
    let mut map = Map::new();
    map.insert("answers".into(), json!(answers));
    map.insert("no_answer".into(), json!(ledger.none()));
    map.insert("undecided".into(), json!(ledger.undecided()));
    map.insert("winner".into(), json!(winner.map(|w| w.answer)));
    map.insert("ended_by".into(), json!(ended_by));
    map.insert("steps".into(), json!(steps));
    map.insert("nodes".into(), json!(nodes));
    map.insert("seconds".into(), json!(seconds));
    map
}

/// The texts of choices as they follow a prompt. In plain text a space stands between prompt and answer, so one is added
/// if the prompt does not end with one.
pub fn direct_texts(names: &[String], prompt: &str, chat: bool) -> Vec<String> {
    let space = if prompt.ends_with(char::is_whitespace) || chat { "" } else { " " };
    names.iter().map(|n| format!("{space}{n}")).collect()
}

/// Each choice's own text right after the prompt, most likely first: `{text, tokens, logprob, share}`.
pub fn direct(model: &Model, prompt: &Prompt, names: &[String], chat: bool) -> logitree::Result<Vec<Value>> {
    let texts = direct_texts(names, &prompt.text, chat);
    let scored = model.direct(prompt, &texts)?;
    let total: f64 = scored.iter().map(|(_, w)| w.logprob.exp()).sum();
    let mut rows: Vec<(&String, usize, f64)> =
        texts.iter().zip(&scored).map(|(t, (ids, w))| (t, ids.len(), w.logprob)).collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    let row =
        |(t, n, l): (&String, usize, f64)| json!({ "text": t, "tokens": n, "logprob": l, "share": l.exp() / total });
    Ok(rows.into_iter().map(row).collect())
}

/// The question that `answers` asks about each prompt of a data set.
pub struct AnswersRows {
    pub form: FormOptions,
    pub reader: Reader,
    /// What the reader was made from, as the user gave it.
    pub asked: Value,
    pub options: AnswerOptions,
    /// Whether each choice's own text is scored instead of exploring.
    pub direct: bool,
}

impl Question for AnswersRows {
    type Ready = Prompt;

    fn command(&self) -> &'static str {
        "answers"
    }

    fn parameters(&self) -> Value {
        let AnswerOptions { tolerance, max_depth, max_time, max_nodes, batch } = self.options;
        json!({
            "asked": self.asked,
            "direct": self.direct,
            "tolerance": tolerance,
            "max_depth": max_depth,
            "max_seconds": max_time.as_secs_f64(),
            "max_nodes": max_nodes,
            "batch": batch,
            "form": self.form.json(),
        })
    }

    fn batch(&self) -> (usize, usize) {
        // A search fills batches by itself.
        (1, usize::MAX)
    }

    fn check(&self, _: &Model) -> logitree::Result<()> {
        Ok(())
    }

    fn prepare(&self, model: &Model, text: &str) -> logitree::Result<Prompt> {
        model.prepare(&self.form.given(text), "")
    }

    fn tokens(&self, prompt: &Prompt) -> usize {
        prompt.tokens.len()
    }

    fn answer(&self, model: &Model, prompts: &[Prompt], _: bool) -> logitree::Result<Option<Vec<Answer>>> {
        let mut answers = Vec::new();
        let names = self.reader.names();
        for prompt in prompts {
            let (map, steps) = if self.direct {
                let found = direct(model, prompt, &names, self.form.chat)?;
                (json!({ "answers": found }), 0)
            } else {
                let found = model.answers(prompt, &self.reader, &self.options)?;
                if found.ended_by == AnswersEnd::Interrupted {
                    return Ok(None);
                }
                (Value::Object(object(&found, names.len() == 1)), found.steps)
            };
            answers.push(Answer { json: map.to_string(), tokens: prompt.tokens.len() + steps });
        }
        Ok(Some(answers))
    }

    fn columns(&self) -> Vec<Column> {
        use ColumnKind::{Flag, Integer, Number, Text};
        let names: &[(&str, ColumnKind)] = match self.direct {
            true => &[("text", Text), ("tokens", Integer), ("logprob", Number), ("share", Number)],
            false => &[
                ("answer", Text),
                ("lower", Number),
                ("upper", Number),
                ("winner", Flag),
                ("no_answer", Number),
                ("undecided", Number),
                ("ended_by", Text),
                ("steps", Integer),
                ("nodes", Integer),
            ],
        };
        names.iter().map(|&(name, kind)| Column::new(name, kind)).collect()
    }

    fn rows(&self, found: &Value) -> Vec<Vec<Value>> {
        let row = |answer: &Value| match self.direct {
            true => ["text", "tokens", "logprob", "share"].map(|name| answer[name].clone()).to_vec(),
            false => {
                let own = ["answer", "lower", "upper"].map(|name| answer[name].clone());
                let winner = json!(found["winner"] == answer["answer"]);
                let common = ["no_answer", "undecided", "ended_by", "steps", "nodes"].map(|name| found[name].clone());
                own.into_iter().chain([winner]).chain(common).collect()
            }
        };
        let rows: Vec<Vec<Value>> = found["answers"].as_array().into_iter().flatten().map(row).collect();
        // A text in which a pattern found nothing has a row, too.
        if rows.is_empty() { vec![row(&json!({}))] } else { rows }
    }
}
