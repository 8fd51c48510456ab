//! Finds the chat template in a model folder.

use super::ChatError;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;

/// The template's source, if the folder has one.
pub(super) fn of_folder(folder: &Path) -> Result<Option<String>, ChatError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = read(&path)? {
        let source = String::from_utf8(bytes).map_err(|e| ChatError::File {
            path,
            field: "contents",
            problem: format!("not UTF-8: {e}"),
        })?;
        return Ok(Some(source));
    }
    for name in ["tokenizer_config.json", "chat_template.json"] {
        let path = folder.join(name);
        let Some(bytes) = read(&path)? else { continue };
        let problem = |field, problem| ChatError::File { path: path.clone(), field, problem };
        let json: Value = serde_json::from_slice(&bytes).map_err(|e| problem("contents", e.to_string()))?;
        match json.get("chat_template") {
            None | Some(Value::Null) => {}
            Some(template) => return pick(template).map(Some).map_err(|e| problem("chat_template", e)),
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ChatError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(ChatError::Read { path: path.to_owned(), reason }),
    }
}

/// Reads a template from JSON: a string, or a list of `{name, template}`, of which the one named `default` is used.
fn pick(template: &Value) -> Result<String, String> {
    if let Some(source) = template.as_str() {
        return Ok(source.to_owned());
    }
    let list = template.as_array().ok_or("neither a string nor a list of {name, template}")?;
    let named = |entry: &&Value| entry.get("name").is_some_and(|n| n == "default");
    let default = list.iter().find(named).ok_or_else(|| {
        let names: Vec<&str> = list.iter().filter_map(|e| e.get("name")?.as_str()).take(20).collect();
        format!("no template is named `default`, only: {}", names.join(", "))
    })?;
    let source = default.get("template").and_then(Value::as_str);
    source.map(str::to_owned).ok_or_else(|| "the entry `default` has no `template`".to_owned())
}
