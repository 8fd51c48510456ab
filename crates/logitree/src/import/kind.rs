//! Finds the kind of a file from the first lines of its content, because its name may be wrong.

use logitree_core::run::BOM;

/// The kinds of files that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run file.
    Run,
    /// The notebook's tree: one JSON object.
    Tree,
    /// The notebook's logprobs records: JSON Lines.
    Records,
    /// The answer of a server that lists log probabilities: one JSON object.
    Answer,
    /// A save of logitloom: one JSON object.
    Loom,
}

/// Number of lines that are looked at. One is not enough, as the first lines may be damaged.
const LINES: usize = 100;

/// The kind of a file that begins with these bytes. It is decided by the first JSON object that has a field which only
/// one kind of file has.
pub fn of(start: &[u8]) -> Option<Kind> {
    let start = start.strip_prefix(BOM).unwrap_or(start);
    // First try the whole beginning as one object, because an object (above all a tree) may span several lines.
    let whole = std::iter::once(start);
    whole.chain(start.split(|&b| b == b'\n').take(LINES)).find_map(of_object)
}

/// The kind of an object, from its fields. The text may end before the object does.
fn of_object(text: &[u8]) -> Option<Kind> {
    let mut at = text.trim_ascii_start().strip_prefix(b"{")?;
    loop {
        at = at.trim_ascii_start();
        let (name, rest) = string(at)?;
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let is = |first: &[u8]| value.starts_with(first);
        match name {
            b"format" if is(b"\"logitree-run\"") => return Some(Kind::Run),
            b"type"
                if ["header", "expand", "node", "stop", "end"].iter().any(|t| is(format!("\"{t}\"").as_bytes())) =>
            {
                return Some(Kind::Run);
            }
            b"choices" | b"completion_probabilities" if is(b"[") => return Some(Kind::Answer),
            // What llama-server wrote comes before the prompt that it repeats.
            b"content" if is(b"\"") => return Some(Kind::Answer),
            b"isLogitLoomTreeVersion" => return Some(Kind::Loom),
            b"roots" if is(b"[") => return Some(Kind::Loom),
            b"metadata" | b"tree" => return Some(Kind::Tree),
            // In a run the prompt is an object; in records it is a string.
            b"prompt" if is(b"{") => return Some(Kind::Run),
            b"prompt" | b"response" | b"data" => return Some(Kind::Records),
            _ => at = skip(value)?.trim_ascii_start().strip_prefix(b",")?,
        }
    }
}

/// Splits off the string at the beginning of a text. Returns its content, still escaped, and the rest.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = text.iter().position(|&b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// Skips the value at the beginning of a text; returns the rest.
fn skip(mut text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0usize;
    loop {
        match *text.first()? {
            b'"' => text = string(text)?.1,
            b'{' | b'[' => {
                depth += 1;
                text = &text[1..];
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                text = &text[1..];
            }
            b',' | b'}' | b']' if depth == 0 => return Some(text),
            _ => text = &text[1..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_fields_in_any_order_and_spacing() {
        for (start, kind) in [
            (r#"{"type":"header","format":"logitree-run""#, Some(Kind::Run)),
            (r#"{ "format" : "logitree-run", "#, Some(Kind::Run)),
            ("\u{feff}\r\n{\"version\": 1, \"engine\": \"\\\"tree\\\": {\", \"type\" : \"header\"}", Some(Kind::Run)),
            (r#"{"parameters":{"tree":[{"x":1}],"data":"}"},"model":{},"prompt":{"text":"a"}"#, Some(Kind::Run)),
            ("broken\n{\"type\":\"node\"", Some(Kind::Run)),
            ("{\n  \"metadata\": {\n    \"prompt\": \"a\"", Some(Kind::Tree)),
            (r#"{"version":2,"tree":{"text":"a""#, Some(Kind::Tree)),
            // Words in a text do not decide the kind, only names of fields do.
            (r#"{"prompt": "what is a \"logitree-run\", a \"tree\"?", "#, Some(Kind::Records)),
            ("x\n\n{\"response\": \"\"", Some(Kind::Records)),
            (r#"{"id":7,"data":["#, Some(Kind::Records)),
            (r#"{"id":"x","object":"chat.completion","choices":[{"#, Some(Kind::Answer)),
            (r#"{"index":0,"content":" \"tree\"","prompt":"a","completion_probabilities":["#, Some(Kind::Answer)),
            (r#"{"isLogitLoomTreeVersion":"logit-loom-tree-v1","prompt":"a","#, Some(Kind::Loom)),
            (r#"{"type":"other","a":[1,2"#, None),
            (r#"["prompt"]"#, None),
            ("", None),
            ("\u{feff}", None),
            ("{", None),
        ] {
            assert_eq!(of(start.as_bytes()), kind, "{start}");
        }
    }
}
