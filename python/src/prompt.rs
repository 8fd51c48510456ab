//! Prompts: the texts that a model continues.

use crate::error;
use logitree::Given;
use logitree_core::run::Message;
use logitree_engine::chat::Arguments;
use pyo3::prelude::*;

/// A prompt as the tokens that the model goes on from.
#[pyclass(frozen, module = "logitree._logitree")]
pub struct Prompt {
    /// The prompt's tokens.
    pub prompt: logitree::Prompt,
    /// The text or conversation that the tokens were made from, if any.
    pub given: Option<Given>,
}

impl Prompt {
    /// The text that the prompt was made from, for functions that split it into tokens again.
    ///
    /// # Errors
    /// If the prompt was made from tokens.
    pub fn text(&self, py: Python<'_>, what: &str) -> PyResult<&Given> {
        self.given.as_ref().ok_or_else(|| {
            let message =
                format!("`prompt` is token ids, and {what} splits prompt and text together: give it as a text");
            error::parameter(py, "prompt", message)
        })
    }
}

/// A conversation from `(role, content)` pairs and the template's arguments in JSON.
pub fn conversation(py: Python<'_>, messages: Vec<(String, String)>, arguments: &str) -> PyResult<Given> {
    let arguments: Arguments = serde_json::from_str(arguments)
        .map_err(|e| error::parameter(py, "template_args", format!("`template_args`: {e}")))?;
    let messages = messages.into_iter().map(|(role, content)| Message::new(role, content)).collect();
    Ok(Given::Chat(messages, arguments))
}

#[pymethods]
impl Prompt {
    #[getter]
    #[pyo3(name = "text")]
    fn own_text(&self) -> &str {
        &self.prompt.text
    }

    #[getter]
    fn tokens(&self) -> Vec<u32> {
        self.prompt.tokens.iter().map(|t| t.0).collect()
    }

    #[getter]
    fn bos(&self) -> bool {
        self.prompt.bos
    }

    #[getter]
    fn messages(&self) -> Vec<(String, String)> {
        self.prompt.messages.iter().map(|m| (m.role.clone(), m.content.clone())).collect()
    }
}
