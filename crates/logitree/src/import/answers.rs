//! Reads the answers of servers that list log probabilities: OpenAI's chat completions and completions (vLLM and
//! others give the same), and llama-server's `/completion`.

use super::listed::{Builder, Listed};
use crate::error::{Context, Result, fail};
use logitree_core::Stop;
use logitree_core::run::Run;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;

/// OpenAI writes this for tokens that are less likely than all that it lists.
const UNLISTED: f64 = -9999.0;

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    prompt: Option<serde_json::Value>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default, alias = "probs")]
    completion_probabilities: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Choice {
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    /// Of chat completions.
    content: Option<Vec<Token>>,
    /// Of completions.
    tokens: Option<Vec<String>>,
    #[serde(default)]
    token_logprobs: Vec<Option<f64>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<List>>>,
}

/// The tokens that completions list at a position, by their texts.
type List = HashMap<String, Option<f64>>;

/// A token of chat completions or of llama-server.
#[derive(Deserialize)]
struct Token {
    #[serde(alias = "tok_str", alias = "content")]
    token: Option<String>,
    id: Option<u32>,
    bytes: Option<Vec<u8>>,
    logprob: Option<f64>,
    /// The sampler's own probability.
    prob: Option<f64>,
    #[serde(default, alias = "top_probs", alias = "probs")]
    top_logprobs: Vec<Token>,
}

impl Token {
    /// The token, if its probability is told.
    fn listed(&self) -> Option<Listed> {
        let logprob = self.logprob.or_else(|| self.prob.map(f64::ln)).filter(|l| !l.is_infinite())?;
        let text = self.bytes.clone().filter(|b| !b.is_empty());
        let text = text.unwrap_or_else(|| self.token.clone().unwrap_or_default().into_bytes());
        Some(Listed { text, id: self.id, logprob })
    }
}

/// A position of a path: the token there, and those that are listed beside it.
type Position = (Option<Listed>, Vec<Listed>);

/// Reads an answer. `notes` gets a sentence for everything that the file does not tell.
///
/// # Errors
/// If the file cannot be read, or is no such answer with log probabilities; the message has the place and the reason.
pub fn read(file: impl Read, notes: &mut Vec<String>) -> Result<Run> {
    let answer: Answer = serde_json::from_reader(file).context("the answer of a server")?;
    let mut builder = Builder::new();
    let mut very_unlikely = 0;
    let mut sampled = false;
    let prompt = match answer.prompt {
        Some(serde_json::Value::String(text)) => Some(text),
        _ => None,
    };
    let from = if answer.completion_probabilities.is_some() { "llama-server" } else { "an OpenAI answer" };
    let mut paths: Vec<(Vec<Position>, Option<String>)> = Vec::new();
    if let Some(tokens) = answer.completion_probabilities {
        sampled = tokens.iter().any(|t| t.logprob.is_none());
        paths.push((tokens.iter().map(|t| position(t, t.listed())).collect(), None));
    }
    for (i, choice) in answer.choices.into_iter().enumerate() {
        let Some(logprobs) = choice.logprobs else {
            fail!(Input, "`choices[{i}].logprobs` is missing: ask for them (`logprobs`, `top_logprobs`)");
        };
        paths.push((positions(logprobs).with_context(|| format!("`choices[{i}].logprobs`"))?, choice.finish_reason));
    }
    let mut stopped = 0;
    for (i, (path, reason)) in paths.into_iter().enumerate() {
        let mut at = Builder::ROOT;
        for (n, (chosen, top)) in path.into_iter().enumerate() {
            let Some(chosen) = chosen else {
                // With `echo`, the first token has no probability: it begins the prompt.
                if n > 0 {
                    fail!(Input, "choice {i}, token {n}: its log probability is missing");
                }
                continue;
            };
            very_unlikely += usize::from(chosen.logprob == UNLISTED);
            let what = format!("choice {i}, token {n}");
            let places = builder.step(at, &top, std::slice::from_ref(&chosen), &what)?;
            at = places.first().copied().unwrap_or(at);
        }
        match reason.as_deref() {
            Some("length") => builder.stop(at, Stop::MaxDepth),
            Some("stop") => stopped += 1,
            _ => {}
        }
    }
    if prompt.is_none() {
        notes.push("the file does not have the prompt".into());
    }
    if sampled {
        notes.push(
            "the numbers are the sampler's, after its temperature and its cuts, not the model's own (llama-server's `post_sampling_probs`)".into(),
        );
    }
    if very_unlikely > 0 {
        notes.push(format!(
            "{very_unlikely} tokens have −9999 as log probability, which says only that they are less likely than all listed"
        ));
    }
    if stopped > 0 {
        notes.push(format!(
            "{stopped} answers ended by an end token or a stop string, which is not in the file: they are left open"
        ));
    }
    builder.finish(prompt.unwrap_or_default(), answer.model, from, notes)
}

fn position(token: &Token, chosen: Option<Listed>) -> Position {
    (chosen, token.top_logprobs.iter().filter_map(Token::listed).collect())
}

/// The positions of a choice, in either of OpenAI's shapes.
fn positions(logprobs: Logprobs) -> Result<Vec<Position>> {
    if let Some(tokens) = logprobs.content {
        return Ok(tokens.iter().map(|t| position(t, t.listed())).collect());
    }
    let Some(tokens) = logprobs.tokens else {
        fail!(Input, "neither `content` nor `tokens` is in it");
    };
    if logprobs.token_logprobs.len() != tokens.len() {
        fail!(Input, "{} tokens have {} log probabilities", tokens.len(), logprobs.token_logprobs.len());
    }
    let mut top = logprobs.top_logprobs.unwrap_or_default().into_iter();
    let plain = |text: String, logprob: f64| Listed { text: text.into_bytes(), id: None, logprob };
    let position = |(text, logprob): (String, Option<f64>)| -> Position {
        let list = top.next().flatten().unwrap_or_default();
        let list = list.into_iter().filter_map(|(text, l)| Some(plain(text, l.filter(|l| l.is_finite())?)));
        (logprob.map(|l| plain(text, l)), list.collect())
    };
    Ok(tokens.into_iter().zip(logprobs.token_logprobs).map(position).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use logitree_core::NodeId;
    use serde_json::json;

    fn import(value: &serde_json::Value) -> Result<(Run, Vec<String>)> {
        let mut notes = Vec::new();
        read(value.to_string().as_bytes(), &mut notes).map(|run| (run, notes))
    }

    fn text(run: &Run, n: u32) -> &[u8] {
        &run.texts[&run.tree.token(NodeId(n)).unwrap()]
    }

    /// The same run after it was written and read as a run file.
    fn again(run: &Run) -> Run {
        let mut out = Vec::new();
        logitree_core::run::write_run(run, &mut out).unwrap();
        crate::import::run(&out[..]).unwrap()
    }

    #[test]
    fn choices_of_a_chat_are_branches_and_their_bytes_are_kept() {
        let token = |text: &str, logprob: f64, top: serde_json::Value| json!({ "token": text, "bytes": text.as_bytes(), "logprob": logprob, "top_logprobs": top });
        let first =
            json!([{ "token": "A", "bytes": [65], "logprob": -0.5 }, { "token": "B", "bytes": [66], "logprob": -1.5 }]);
        let answer = json!({ "object": "chat.completion", "model": "m-1", "choices": [
            { "finish_reason": "length", "logprobs": { "content": [token("A", -0.5, first.clone()), token("\u{e9}", -0.25, json!([]))] } },
            { "finish_reason": "stop", "logprobs": { "content": [token("B", -1.5, first), token("x", -9999.0, json!([]))] } },
        ]});
        let (run, notes) = import(&answer).unwrap();
        for run in [&run, &again(&run)] {
            assert_eq!((run.tree.len(), run.header.model.name.as_str()), (5, "m-1"));
            assert_eq!((text(run, 1), text(run, 2), text(run, 3)), (&b"A"[..], &b"B"[..], "\u{e9}".as_bytes()));
            assert!((run.tree.path_logprob(NodeId(3)) - -0.75).abs() < 1e-9);
            assert_eq!(run.tree.stop(NodeId(3)), Some(Stop::MaxDepth));
        }
        let told = notes.join("\n");
        for part in [
            "does not have the prompt",
            "1 tokens have −9999",
            "1 answers ended by",
            "no token ids",
            "2 of 3 positions list no alternatives",
            "at 1 of 3 positions the list leaves out more than 1 %, at most",
        ] {
            let part = part.replace("1 %, at", "1 % of the probability, at");
            assert!(told.contains(&part), "{part}: {told}");
        }
    }

    #[test]
    fn completions_with_echo_and_llama_server_are_read() {
        let vllm = json!({ "choices": [{ "finish_reason": "length", "logprobs": { "text_offset": [0, 1, 2],
            "tokens": ["a", "b", "c"], "token_logprobs": [null, -1.0, -2.0], "top_logprobs": [null, { "b": -1.0, "d": -0.6 }, null] } }] });
        let (run, _) = import(&vllm).unwrap();
        assert_eq!((run.tree.len(), text(&run, 1), text(&run, 2)), (3, &b"b"[..], &b"c"[..]));
        let llama = json!({ "content": " x", "prompt": "Say", "completion_probabilities": [
            { "id": 7, "token": " x", "bytes": [32, 120], "logprob": -0.1, "top_logprobs": [
                { "id": 7, "token": " x", "bytes": [32, 120], "logprob": -0.1 }, { "id": 9, "token": " y", "bytes": [32, 121], "logprob": -2.4 }] }] });
        let (run, notes) = import(&llama).unwrap();
        assert_eq!((run.header.prompt.text.as_str(), run.tree.token(NodeId(1)).unwrap().0), ("Say", 7));
        assert!(notes.is_empty(), "{notes:?}");
        let sampler = json!({ "prompt": "Say", "completion_probabilities": [
            { "id": 7, "token": "x", "prob": 1.0, "top_probs": [{ "id": 7, "token": "x", "prob": 1.0 }, { "id": 8, "token": "y", "prob": 0.0 }] }] });
        assert!(import(&sampler).unwrap().1[0].contains("the numbers are the sampler's"));
    }

    #[test]
    fn what_is_no_log_probability_is_refused_at_its_place() {
        let chat = |logprob: f64, other: f64| {
            json!({ "choices": [{ "logprobs": { "content": [{ "token": "a", "logprob": logprob, "top_logprobs": [
                { "token": "a", "logprob": logprob }, { "token": "b", "logprob": other }] }] } }] })
        };
        let refused = |value: &serde_json::Value| format!("{:#}", import(value).err().unwrap());
        assert!(refused(&chat(14.25, 3.0)).contains("choice 0, token 0: `logprob` is 14.25, above 0"));
        assert!(refused(&chat(-0.1, -0.1)).contains("have a probability of 1.810 together"));
        assert!(
            refused(&json!({ "choices": [{ "message": { "content": "hi" } }] }))
                .contains("`choices[0].logprobs` is missing")
        );
        assert!(refused(&json!({ "choices": [] })).contains("no token with a log probability"));
        let hole = json!({ "choices": [{ "logprobs": { "tokens": ["a", "b"], "token_logprobs": [-1.0, null] } }] });
        assert!(refused(&hole).contains("token 1: its log probability is missing"));
    }
}
