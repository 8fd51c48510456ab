//! What the forward pass needs to know about a model, whatever family it is of.

mod family;
mod gemma4;
mod gguf;
mod gguf_keys;
mod gguf_rope;
pub(crate) mod hf;
mod hf_rope;
mod rope;
mod tensors;
mod types;
mod validate;

pub use rope::{Rope, RopeScaling};
pub use types::{Activation, Config, Experts, FeedForward, LayerConfig, LayerInputs, Rows};

use crate::error::WeightsError;
use crate::json::{Fields, read_object};
use crate::weights::{Description, Role, Weights};
use logitree_core::TokenId;
use std::path::Path;

/// Ids that end a generation, as `config.json` and `generation_config.json` of a folder name them; no weights are needed.
///
/// # Errors
/// If a file is not readable, or names what is no id.
pub fn end_tokens_of(folder: &Path) -> Result<Vec<TokenId>, WeightsError> {
    let path = folder.join("config.json");
    let config = if path.exists() { read_object(&path)? } else { Default::default() };
    hf::end_tokens(&Fields::new(&path, &config), folder)
}

/// The configuration in a folder's `config.json`, checked as far as that goes without weights.
///
/// # Errors
/// If the file is not readable, or describes no model that the engine runs.
pub fn of_folder(folder: &Path) -> Result<Config, WeightsError> {
    let path = folder.join("config.json");
    let config = hf::read(&Fields::new(&path, &read_object(&path)?))?;
    config.validate(&path)?;
    Ok(config)
}

/// What weight files say about their model. The files themselves know only names and shapes.
impl Weights {
    /// The model's configuration, after checking that the engine can run it and that every tensor it asks for is
    /// there in the right shape.
    ///
    /// # Errors
    /// If the files describe no model that the engine runs, or not the one whose weights they hold.
    pub fn config(&self) -> Result<Config, WeightsError> {
        let (config, file) = match self.description() {
            Description::Metadata(gguf) => (gguf::read(gguf)?, gguf.path()),
            Description::ConfigJson(json, folder) => {
                let mut config = hf::read(&json)?;
                if config.tied {
                    config.tied = folder.can_be_tied();
                } else {
                    folder.require_embedding()?;
                }
                (config, json.file)
            }
        };
        config.validate(file)?;
        tensors::check(self, &config)?;
        Ok(config)
    }

    /// Ids that the file names as end of generation, sorted; empty if it names none. They may lie beyond the rows of the
    /// output matrix, and are never produced then.
    ///
    /// # Errors
    /// If a file names what is no id, or is not readable.
    pub fn end_tokens(&self) -> Result<Vec<TokenId>, WeightsError> {
        match self.description() {
            Description::Metadata(gguf) => gguf::end_tokens(gguf),
            Description::ConfigJson(json, _) => hf::end_tokens(&json, self.path()),
        }
    }

    /// What in the files is not as it seems, and what was made of it: sentences for whoever chose the model.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let config = match self.description() {
            Description::Metadata(gguf) => gguf::read(gguf),
            Description::ConfigJson(json, _) => hf::read(&json),
        };
        let is_longrope = |rope: &Rope| matches!(rope.scaling, RopeScaling::Longrope { .. });
        if let Ok(config) = config.as_ref()
            && config.ropes.iter().any(is_longrope)
        {
            notes.push(format!(
                "the model has rotary factors for short and for long texts (longrope): it is run with the former, so its \
                 context is the {} tokens that they are for",
                config.context
            ));
        }
        let Description::ConfigJson(json, folder) = self.description() else { return notes };
        // A value of another type is reported when the configuration is asked for.
        if hf::tied(&json).unwrap_or(false) && !folder.can_be_tied() {
            notes.push(format!(
                "config.json ties the output matrix to the embeddings, but {} is stored and differs from them: it is used, \
                 as transformers does",
                self.name(Role::Output, None)
            ));
        }
        notes.extend(folder.note());
        notes.extend(hf::notes(&json));
        notes
    }
}
