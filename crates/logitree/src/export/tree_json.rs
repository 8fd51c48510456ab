//! Writes the notebook's tree: one nested JSON object, formatted as by Python's `json.dump`.
//!
//! Trees can be thousands of levels deep, so the writer keeps a stack of its own instead of recursing.

use super::python::{float, round, string};
use logitree_core::explore::{DynamicParameters, MAX_CANDIDATES};
use logitree_core::run::Run;
use logitree_core::tree::Turn;
use logitree_core::{NodeId, Stop};
use serde_json::Value;
use std::io::{self, Write};

/// A piece of output that is still to be written. The stack has the next one last.
enum Step {
    Node(NodeId),
    Text(&'static str),
}

/// Writes the tree. Without `full_text` it is as the notebook's cleaning script leaves it.
///
/// # Errors
/// If the output cannot be written.
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
    let mut path = PathText::new(prompt);
    while let Some(step) = steps.pop() {
        match step {
            Step::Text(text) => line.push_str(text),
            Step::Node(n) => {
                let text = full_text.then(|| path.at(run, n));
                open_node(run, n, text, threshold, &mut line);
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

/// Writes a parameter, with numbers as Python writes them.
fn json_value(value: &Value, out: &mut String) {
    match value {
        Value::Number(n) if n.is_f64() => float(n.as_f64().unwrap_or(f64::NAN), out),
        Value::String(s) => string(s, true, out),
        other => out.push_str(&other.to_string()),
    }
}

/// The escaped text of the current path. Each node appends its text to its parent's, so that nothing is decoded twice.
struct PathText {
    /// The escaped text of all complete characters so far.
    escaped: String,
    /// For each depth: where its text ends in `escaped`, and the bytes of an incomplete character after it.
    ends: Vec<(usize, Vec<u8>)>,
}

impl PathText {
    fn new(prompt: &str) -> PathText {
        let mut escaped = String::new();
        escape(prompt, &mut escaped);
        PathText { ends: vec![(escaped.len(), Vec::new())], escaped }
    }

    /// The text of a node. Its parent, or a descendant of its parent, must have been asked for before. Incomplete
    /// characters become U+FFFD.
    fn at(&mut self, run: &Run, n: NodeId) -> (&str, bool) {
        let depth = run.tree.depth(n);
        if let Some(token) = run.tree.token(n) {
            self.ends.truncate(depth);
            let (end, mut bytes) = self.ends.last().cloned().unwrap_or_default();
            self.escaped.truncate(end);
            bytes.extend_from_slice(run.bytes(token));
            let mut chunks = bytes.utf8_chunks().peekable();
            let mut rest = Vec::new();
            while let Some(chunk) = chunks.next() {
                escape(chunk.valid(), &mut self.escaped);
                let broken = chunk.invalid();
                // Only an incomplete character at the end can be completed by more bytes.
                if chunks.peek().is_none() && std::str::from_utf8(broken).is_err_and(|e| e.error_len().is_none()) {
                    rest = broken.to_vec();
                } else if !broken.is_empty() {
                    escape("\u{fffd}", &mut self.escaped);
                }
            }
            self.ends.push((self.escaped.len(), rest));
        }
        (&self.escaped, self.ends.last().is_some_and(|e| !e.1.is_empty()))
    }
}

/// Escapes a text for JSON, without the quotation marks.
fn escape(text: &str, out: &mut String) {
    let start = out.len();
    string(text, true, out);
    out.remove(start);
    out.pop();
}

/// Writes a node up to the beginning of its children. `text` is the escaped text of its path, and whether an
/// incomplete character follows.
fn open_node(run: &Run, n: NodeId, text: Option<(&str, bool)>, threshold: f64, out: &mut String) {
    let tree = &run.tree;
    let prompt = &run.header.prompt.text;
    out.push_str("{\"text\": ");
    match tree.token(n) {
        Some(token) => string(&String::from_utf8_lossy(run.bytes(token)), true, out),
        None => string(prompt, true, out),
    }
    if let Some((text, broken)) = text {
        out.push_str(", \"full_text\": \"");
        out.push_str(text);
        out.push_str(if broken { "\\ufffd\"" } else { "\"" });
    }
    out.push_str(", \"prob\": ");
    float(round(tree.logprob(n).exp(), 6), out);
    out.push_str(", \"cumulative_prob\": ");
    float(round(tree.mass(n), 8), out);
    out.push_str(", \"token_id\": ");
    out.push_str(&tree.token(n).map_or("null".into(), |t| t.to_string()));
    out.push_str(&format!(", \"depth\": {}, \"is_finished\": ", tree.depth(n)));
    // As in the notebook, an end token counts as finished only if the strategy has visited it. Readers recognize the
    // others by the ids of those.
    out.push_str(if tree.turn(n) == Turn::Stopped(Stop::EndToken) { "true" } else { "false" });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import;
    use logitree_core::run::{FORMAT, Header, Model, Prompt, VERSION};
    use logitree_core::{Distribution, Exactness, TokenId, TokenStats, Tree};
    use std::collections::HashMap;

    /// A chain of `depth` tokens with a branch at every hundredth.
    fn deep(depth: u32) -> Run {
        let mut tree = Tree::default();
        let mut at = NodeId::ROOT;
        for i in 0..depth {
            let children: Vec<TokenStats> = (0..1 + u32::from(i % 100 == 0))
                .map(|c| TokenStats { id: TokenId(i % 7 + 10 * c), logprob: 0.5f64.ln(), rank: c + 1 })
                .collect();
            let top = children.clone();
            let (entropy, varentropy, logsumexp) = (0.7, 0.1, 0.0);
            let d = Distribution { logsumexp, entropy, varentropy, ..Distribution::of_list(top, Exactness::Exact) };
            at = tree.expand(at, d, &children, Some(0.1), 1).children[0];
        }
        tree.stop_node(at, Stop::EndToken);
        let texts =
            (0..20).map(|i| (TokenId(i), format!("é{i}\"").into_bytes().into())).collect::<HashMap<_, Box<[u8]>>>();
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            logitree: "0".into(),
            created: String::new(),
            model: Model::default(),
            engine: String::new(),
            prompt: Prompt { text: "deep".into(), ..Default::default() },
            strategy: "dynamic".into(),
            parameters: serde_json::from_str(
                r#"{"min_branch_threshold": 0.1, "soft_queue_limit": 30, "max_depth": 1000000}"#,
            )
            .unwrap(),
            limits: Default::default(),
            store_top: None,
            hash_logits: false,
            watch: Vec::new(),
        };
        Run { header, tree, end: None, texts, seconds: 0.0, valid_bytes: 0, torn: false }
    }

    fn text(run: &Run, full: bool) -> String {
        let mut out = Vec::new();
        write(run, full, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_format_is_the_notebooks_to_the_letter() {
        let run = deep(1);
        let want = concat!(
            r#"{"metadata": {"prompt": "deep", "parameters": {"min_branch_threshold": 0.1, "soft_queue_limit": 30, "max_depth": 1000000}}, "#,
            r#""tree": {"text": "deep", "full_text": "deep", "prob": 1.0, "cumulative_prob": 1.0, "token_id": null, "depth": 0, "is_finished": false, "#,
            r#""candidates": [{"text": "\u00e90\"", "prob": 0.5, "token_id": 0}, {"text": "\u00e910\"", "prob": 0.5, "token_id": 10}], "#,
            r#""children": [{"text": "\u00e90\"", "full_text": "deep\u00e90\"", "prob": 0.5, "cumulative_prob": 0.5, "token_id": 0, "depth": 1, "is_finished": true, "candidates": [], "children": []}, "#,
            r#"{"text": "\u00e910\"", "full_text": "deep\u00e910\"", "prob": 0.5, "cumulative_prob": 0.5, "token_id": 10, "depth": 1, "is_finished": false, "candidates": [], "children": []}]}}"#,
        );
        assert_eq!(text(&run, true), want);
    }

    #[test]
    fn full_text_is_the_paths_whole_text_at_every_node() {
        let mut run = deep(40);
        // Characters split over tokens, and bytes that are not UTF-8.
        let pieces: [&[u8]; 7] =
            [b"\xf0\x9f", b"\xa6\x99", b"\xc3", b"a\xff\xe2\x82", b"\xac\"", b"\xf0", b"\n\xed\xa0\x80"];
        for (i, bytes) in (0..).zip(pieces) {
            run.texts.insert(TokenId(i), bytes.into());
            run.texts.insert(TokenId(i + 10), pieces[(i as usize + 3) % 7].into());
        }
        let mut path = PathText::new("é");
        let mut stack = vec![NodeId::ROOT];
        while let Some(n) = stack.pop() {
            let (text, broken) = path.at(&run, n);
            let ours = format!("\"{text}{}\"", if broken { "\\ufffd" } else { "" });
            let mut whole = String::new();
            string(&format!("é{}", run.text(n)), true, &mut whole);
            assert_eq!(ours, whole, "node {}", n.0);
            stack.extend(run.tree.children(n));
        }
    }

    #[test]
    fn trees_100000_levels_deep_are_written_and_read() {
        let run = deep(100_000);
        let json = text(&run, false);
        let back = import::tree_json::read(json.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(back.tree.len(), run.tree.len());
        let deepest = |run: &Run| run.tree.nodes().map(|n| run.tree.depth(n)).max();
        assert_eq!(deepest(&back), Some(100_000));
        // A tree that was rounded once is written with the same digits again.
        assert_eq!(text(&back, false).len(), json.len());
        assert!(text(&back, false) == json);
        // The text of every path is written too; its total length is the square of the depth.
        assert!(import::tree_json::read(text(&deep(5000), true).as_bytes(), &mut Vec::new()).is_ok());
    }

    #[test]
    fn broken_trees_are_refused_with_the_field() {
        let good = text(&deep(3), false);
        let error =
            |json: &str| format!("{:#}", import::tree_json::read(json.as_bytes(), &mut Vec::new()).unwrap_err());
        assert!(error(&good.replace("\"prob\": 0.5, \"cum", "\"cum")).contains("`prob` is missing"));
        assert!(error(&good.replace("\"prob\": 0.5, \"cum", "\"prob\": 7, \"cum")).contains("not a probability"));
        assert!(error(&good.replace("\"token_id\": 10", "\"token_id\": -1")).contains("not a token id"));
        assert!(error("{\"metadata\": {}}").contains("`tree` is missing"));
        // Truncated files, and files that nest without end, are read up to the error without recursion.
        for json in [
            good[..good.len() - 3].to_string(),
            format!("{{\"tree\": {}", "{\"children\": [".repeat(200_000)),
            format!("{{\"x\": {}", "[".repeat(200_000)),
        ] {
            assert!(error(&json).contains("IncompleteDocument"), "{}", error(&json));
        }
    }
}
