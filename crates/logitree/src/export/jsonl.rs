//! Writes the notebook's logprobs records: one line per response.

use super::python::{float, string};
use crate::error::{Result, fail};
use logitree_core::run::Run;
use logitree_core::{NodeId, Stop, TokenStats};
use std::io::Write;

/// Number of alternatives listed for each token.
const OTHERS: usize = 5;

/// One token of a response, with the most likely tokens of its step and their texts.
pub struct RecordedToken<'a> {
    /// The token's text.
    pub text: String,
    /// The token's log probability, in nats.
    pub logprob: f64,
    /// The most likely tokens of the step: bytes, and log probabilities in nats.
    pub top: Vec<(&'a [u8], f64)>,
}

/// One record as a line, with its line feed.
pub fn record(prompt: &str, response: &str, steps: &[RecordedToken<'_>]) -> String {
    let mut out = String::from("{\"prompt\": ");
    string(prompt, false, &mut out);
    out.push_str(", \"response\": ");
    string(response, false, &mut out);
    out.push_str(", \"data\": [");
    for (i, step) in steps.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        token(&step.text, step.logprob, &mut out);
        out.push_str(", \"other_tokens\": [");
        for (j, (bytes, logprob)) in step.top.iter().enumerate() {
            out.push_str(if j > 0 { ", " } else { "" });
            token(&String::from_utf8_lossy(bytes), *logprob, &mut out);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push_str("]}\n");
    out
}

fn token(text: &str, logprob: f64, out: &mut String) {
    out.push_str("{\"token\": ");
    string(text, false, out);
    out.push_str(", \"logprob\": ");
    float(logprob, out);
    out.push_str(", \"prob\": ");
    float(logprob.exp() * 100.0, out);
}

/// Largest number of tokens of all records together. Paths that share a beginning are each written in full, so their
/// total length can be as large as the square of the number of nodes.
const MOST_TOKENS: usize = 10_000_000;

/// The leaves of the completed paths, most likely first.
fn completed(run: &Run) -> Vec<NodeId> {
    let mut leaves = run.tree.ranked_leaves();
    leaves.retain(|&n| run.tree.stop(n) == Some(Stop::EndToken));
    leaves
}

/// Writes one record per completed path, most likely first.
///
/// # Errors
/// If no path is completed, or the output cannot be written.
pub fn write(run: &Run, out: &mut dyn Write) -> Result<()> {
    let tree = &run.tree;
    let leaves = completed(run);
    if leaves.is_empty() {
        fail!(
            Input,
            "no path is complete, so there is no response to record: explore deeper, or export to csv, parquet or \
             tree-json, which have all nodes"
        );
    }
    let tokens: usize = leaves.iter().map(|&n| tree.depth(n)).sum();
    if tokens > MOST_TOKENS {
        fail!(
            Input,
            "the {} completed paths have {tokens} tokens, each with its list; the limit of this format is {MOST_TOKENS}: \
             tree-json, csv and parquet have every node once",
            leaves.len()
        );
    }
    for leaf in leaves {
        let mut path: Vec<NodeId> =
            std::iter::successors(Some(leaf), |&n| tree.parent(n)).take_while(|&n| n != NodeId::ROOT).collect();
        path.reverse();
        let steps: Vec<RecordedToken<'_>> = path
            .iter()
            .map(|&n| {
                let top = tree.parent(n).and_then(|p| tree.expansion(p)).map_or(&[][..], |e| &e.top);
                let text = tree.token(n).map(|t| String::from_utf8_lossy(run.bytes(t)).into_owned());
                RecordedToken {
                    text: text.unwrap_or_default(),
                    logprob: tree.logprob(n),
                    top: top.iter().take(OTHERS).map(|t: &TokenStats| (run.bytes(t.id), t.logprob)).collect(),
                }
            })
            .collect();
        // The end token is not part of the response's text; it is only in the data.
        let response = tree.parent(leaf).map(|n| run.text(n)).unwrap_or_default();
        out.write_all(record(&run.header.prompt.text, &response, &steps).as_bytes())?;
    }
    Ok(())
}
