//! The notebook's tree: one nested JSON object, as Python's `json.dump` writes it.
//!
//! Trees grow thousands of levels deep, so nothing here recurses.

use super::python::{float, round, string};
use logitree_core::explore::{DynamicParameters, MAX_CANDIDATES};
use logitree_core::run::Run;
use logitree_core::{NodeId, Stop};
use serde_json::Value;
use std::io::{self, Write};

/// What is left to write, last first.
enum Step {
    Node(NodeId),
    Text(&'static str),
}

/// Writes the tree; without `full_text`, as the notebook's cleaning script leaves it.
pub fn write(run: &Run, full_text: bool, out: &mut dyn Write) -> io::Result<()> {
    let prompt = &run.header.prompt.text;
    let mut line = String::from("{\"metadata\": {\"prompt\": ");
    string(prompt, true, &mut line);
    line.push_str(", \"parameters\": {");
    for (i, (name, value)) in run.header.parameters.iter().enumerate() {
        line.push_str(if i > 0 { ", " } else { "" });
        string(name, true, &mut line);
        line.push_str(": ");
        json_value(value, &mut line);
    }
    line.push_str("}}, \"tree\": ");
    let threshold = run.header.parameters.get("candidate_threshold").and_then(Value::as_f64);
    let threshold = threshold.unwrap_or(DynamicParameters::default().candidate_threshold);

    let mut steps = vec![Step::Text("}"), Step::Node(NodeId::ROOT)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Text(text) => line.push_str(text),
            Step::Node(n) => {
                open_node(run, n, full_text, threshold, &mut line);
                steps.push(Step::Text("]}"));
                for (i, &child) in run.tree.children(n).iter().enumerate().rev() {
                    steps.push(Step::Node(child));
                    if i > 0 {
                        steps.push(Step::Text(", "));
                    }
                }
            }
        }
        if line.len() > 1 << 16 {
            out.write_all(line.as_bytes())?;
            line.clear();
        }
    }
    out.write_all(line.as_bytes())
}

/// A parameter: numbers as Python has them.
fn json_value(value: &Value, out: &mut String) {
    match value {
        Value::Number(n) if n.is_f64() => float(n.as_f64().unwrap_or(f64::NAN), out),
        Value::String(s) => string(s, true, out),
        other => out.push_str(&other.to_string()),
    }
}

/// Everything of a node up to its children.
fn open_node(run: &Run, n: NodeId, full_text: bool, threshold: f64, out: &mut String) {
    let tree = &run.tree;
    let prompt = &run.header.prompt.text;
    out.push_str("{\"text\": ");
    match tree.token(n) {
        Some(token) => string(&String::from_utf8_lossy(run.bytes(token)), true, out),
        None => string(prompt, true, out),
    }
    if full_text {
        out.push_str(", \"full_text\": ");
        string(&(prompt.clone() + &run.text(n)), true, out);
    }
    out.push_str(", \"prob\": ");
    float(round(tree.logprob(n).exp(), 6), out);
    out.push_str(", \"cumulative_prob\": ");
    float(round(tree.mass(n), 8), out);
    out.push_str(", \"token_id\": ");
    out.push_str(&tree.token(n).map_or("null".into(), |t| t.to_string()));
    out.push_str(&format!(", \"depth\": {}, \"is_finished\": ", tree.depth(n)));
    out.push_str(if tree.stop(n) == Some(Stop::EndToken) { "true" } else { "false" });
    out.push_str(", \"candidates\": [");
    let top = tree.expansion(n).map_or(&[][..], |e| &e.top);
    for (i, t) in top.iter().take(MAX_CANDIDATES).take_while(|t| t.prob() > threshold).enumerate() {
        out.push_str(if i > 0 { ", {\"text\": " } else { "{\"text\": " });
        string(&String::from_utf8_lossy(run.bytes(t.id)), true, out);
        out.push_str(", \"prob\": ");
        float(round(t.prob(), 4), out);
        out.push_str(&format!(", \"token_id\": {}}}", t.id));
    }
    out.push_str("], \"children\": [");
}
