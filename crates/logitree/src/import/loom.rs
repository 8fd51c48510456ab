//! Reads the saves of logitloom, a page that grows trees over servers' APIs.

use super::listed::{Builder, Listed};
use crate::error::{Context, Result};
use logitree_core::run::Run;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::Read;

#[derive(Deserialize)]
struct Save {
    #[serde(alias = "modelName")]
    model: Option<String>,
    prompt: Option<String>,
    prefill: Option<String>,
    roots: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    text: String,
    logprob: f64,
    #[serde(default)]
    children: Vec<Token>,
}

/// Reads a save. `notes` gets a sentence for everything that the file does not tell.
///
/// # Errors
/// If the file cannot be read, is no such save, or has numbers that are no log probabilities.
pub fn read(file: impl Read, notes: &mut Vec<String>) -> Result<Run> {
    let save: Save = serde_json::from_reader(file).context("a save of logitloom")?;
    let mut builder = Builder::new();
    let mut queue = VecDeque::from([(Builder::ROOT, save.roots)]);
    while let Some((at, tokens)) = queue.pop_front() {
        if tokens.is_empty() {
            continue;
        }
        let listed = |t: &Token| Listed { text: t.text.clone().into_bytes(), id: None, logprob: t.logprob };
        let list: Vec<Listed> = tokens.iter().map(listed).collect();
        let what = format!("the tokens from {:?} on", tokens.first().map_or("", |t| &t.text));
        let places = builder.step(at, &list, &list, &what)?;
        queue.extend(places.into_iter().zip(tokens.into_iter().map(|t| t.children)));
    }
    if save.prompt.is_none() {
        notes.push("the file does not have the prompt".into());
    }
    let prompt = [save.prompt.unwrap_or_default(), save.prefill.unwrap_or_default()].concat();
    builder.finish(prompt, save.model, "logitloom", notes)
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
        let deep = format!(r#"{{"roots":[{}"#, r#"{"text":"a","logprob":-0.1,"children":["#.repeat(5000));
        assert!(read(deep.as_bytes(), &mut notes).is_err());
    }
}
