//! Reads the saves of logitloom, a page that grows trees over servers' APIs.

use super::listed::{Builder, Listed, MOST_NODES};
use crate::error::{Context, Result, fail};
use logitree_core::run::Run;
use std::collections::VecDeque;
use std::io::Read;
use struson::reader::{JsonReader, JsonStreamReader, ReaderSettings, ValueType};

type Json<R> = JsonStreamReader<R>;

/// A token as it is written in the file.
#[derive(Default)]
struct Token {
    text: Option<String>,
    logprob: Option<f64>,
    children: Vec<usize>,
}

/// Reads a save. A path of n tokens is nested 2 n levels deep, so it is read as a stream, with an explicit stack. `notes`
/// gets a sentence for everything that the file does not tell.
///
/// # Errors
/// If the file cannot be read, is no such save, or has numbers that are no log probabilities.
pub fn read(file: impl Read, notes: &mut Vec<String>) -> Result<Run> {
    let settings = ReaderSettings { max_nesting_depth: None, track_path: false, ..Default::default() };
    let mut json = JsonStreamReader::new_custom(file, settings);
    let (mut model, mut prompt, mut prefill, mut tokens) = (None, None, None, None);
    json.begin_object()?;
    while json.has_next()? {
        let name = json.next_name_owned()?;
        let mut field = || -> Result<()> {
            match name.as_str() {
                "model" | "modelName" => model = text(&mut json)?.or(model.take()),
                "prompt" => prompt = text(&mut json)?,
                "prefill" => prefill = text(&mut json)?,
                "roots" => tokens = Some(read_tokens(&mut json)?),
                _ => json.skip_value()?,
            }
            Ok(())
        };
        field().with_context(|| format!("a save of logitloom: `{name}`"))?;
    }
    json.end_object()?;
    json.consume_trailing_whitespace()?;
    let tokens = tokens.context("a save of logitloom: `roots` is missing")?;
    if prompt.is_none() {
        notes.push("the file does not have the prompt".into());
    }
    let prompt = [prompt.unwrap_or_default(), prefill.unwrap_or_default()].concat();
    build(&tokens)?.finish(prompt, model, "logitloom", notes)
}

/// A text, or null.
fn text<R: Read>(json: &mut Json<R>) -> Result<Option<String>> {
    if json.peek()? == ValueType::Null {
        json.next_null()?;
        return Ok(None);
    }
    Ok(Some(json.next_string()?))
}

fn number<R: Read>(json: &mut Json<R>) -> Result<f64> {
    let text = json.next_number_as_str()?;
    text.parse().ok().with_context(|| format!("{text} is not a number"))
}

/// Reads all tokens. Each comes after the one that it follows; the first stands for the prompt.
fn read_tokens<R: Read>(json: &mut Json<R>) -> Result<Vec<Token>> {
    let mut tokens = vec![Token::default()];
    // The tokens whose object is open, outermost first, and whether the reader is inside their `children`. Of the prompt
    // there is only the list.
    let mut open: Vec<(usize, bool)> = vec![(0, true)];
    json.begin_array()?;
    while let Some(&mut (t, ref mut in_children)) = open.last_mut() {
        if *in_children {
            if json.has_next()? {
                let child = tokens.len();
                if child == MOST_NODES {
                    fail!(Input, "more than {MOST_NODES} tokens");
                }
                tokens[t].children.push(child);
                tokens.push(Token::default());
                open.push((child, false));
                json.begin_object()?;
            } else {
                json.end_array()?;
                *in_children = false;
                if t == 0 {
                    break;
                }
            }
            continue;
        }
        if !json.has_next()? {
            json.end_object()?;
            open.pop();
            continue;
        }
        let name = json.next_name_owned()?;
        let mut field = || -> Result<()> {
            match name.as_str() {
                "text" => tokens[t].text = Some(json.next_string()?),
                "logprob" => tokens[t].logprob = Some(number(json)?),
                "children" => {
                    json.begin_array()?;
                    *in_children = true;
                }
                _ => json.skip_value()?,
            }
            Ok(())
        };
        field().with_context(|| format!("token {t}: `{name}`"))?;
    }
    Ok(tokens)
}

fn build(tokens: &[Token]) -> Result<Builder> {
    let mut builder = Builder::new();
    let mut queue = VecDeque::from([(Builder::ROOT, 0)]);
    while let Some((at, t)) = queue.pop_front() {
        let children = &tokens[t].children;
        if children.is_empty() {
            continue;
        }
        let listed = |&c: &usize| -> Result<Listed> {
            let text = tokens[c].text.as_ref().with_context(|| format!("token {c}: `text` is missing"))?;
            let logprob = tokens[c].logprob.with_context(|| format!("token {c}: `logprob` is missing"))?;
            Ok(Listed { text: text.clone().into_bytes(), id: None, logprob })
        };
        let list: Vec<Listed> = children.iter().map(listed).collect::<Result<_>>()?;
        let what = format!("the tokens from {:?} on", tokens[children[0]].text.as_deref().unwrap_or_default());
        let places = builder.step(at, &list, &list, &what)?;
        queue.extend(places.into_iter().zip(children.iter().copied()));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use logitree_core::NodeId;

    #[test]
    fn a_save_is_a_tree_of_all_its_tokens() {
        let save = r#"{"isLogitLoomTreeVersion":"logit-loom-tree-v1","prompt":"Say","roots":[
            {"id":"1","text":" a","logprob":-1.2,"prob":0.3,"branchFinished":null,"children":[
                {"id":"3","text":" c","logprob":-0.1,"prob":0.9,"branchFinished":"stop","children":[]}]},
            {"id":"2","text":" b","logprob":-0.5,"prob":0.6,"branchFinished":null,"children":[]}]}"#;
        let mut notes = Vec::new();
        let run = read(save.as_bytes(), &mut notes).unwrap();
        assert_eq!((run.tree.len(), run.header.prompt.text.as_str()), (4, "Say"));
        assert!((run.tree.logprob(NodeId(1)) - -0.5).abs() < 1e-12);
        assert!((run.tree.path_logprob(NodeId(3)) - -1.3).abs() < 1e-12);
    }

    /// A save with one path of so many tokens.
    fn deep(tokens: usize) -> String {
        let open = r#"{"id":"1","text":"a","logprob":-0.1,"x":[{}],"children":["#.repeat(tokens);
        format!(r#"{{"roots":[{open}{}]}}"#, "]}".repeat(tokens))
    }

    #[test]
    fn a_path_may_be_as_long_as_texts_are() {
        let run = read(deep(20_000).as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!((run.tree.len(), run.tree.nodes().map(|n| run.tree.depth(n)).max()), (20_001, Some(20_000)));
    }

    #[test]
    fn what_is_no_save_is_refused_at_its_place() {
        let refused = |text: &str| format!("{:#}", read(text.as_bytes(), &mut Vec::new()).map(|_| ()).unwrap_err());
        // Deeper than any stack: unclosed, closed, in a field that nobody reads, and of more tokens than are built.
        let deeper = deep(MOST_NODES + 1);
        assert!(refused(&deeper).contains("more than 1048576 tokens"));
        // The place of the error is told by line and column: the names of a million objects would be megabytes.
        assert!(refused(&deeper[..deeper.len() / 4]).len() < 1000);
        assert!(!refused(&format!(r#"{{"x":{},"roots":[]"#, "[".repeat(1_000_000))).is_empty());
        assert!(
            !refused(&format!(r#"{{"x":{}{},"roots":[]"#, "[".repeat(1_000_000), "]".repeat(1_000_000))).is_empty()
        );
        for (text, why) in [
            (r#"{"prompt":"a"}"#, "`roots` is missing"),
            (r#"{"roots":[{"text":"a"}]}"#, "token 1: `logprob` is missing"),
            (r#"{"roots":[{"text":"a","logprob":-1,"children":[{"logprob":-1}]}]}"#, "token 2: `text` is missing"),
            (r#"{"roots":[{"text":7,"logprob":-1}]}"#, "token 1: `text`"),
            (r#"{"roots":{}}"#, "`roots`"),
            (r#"{"roots":[{"text":"a","logprob":-1}]} x"#, "line 0"),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
