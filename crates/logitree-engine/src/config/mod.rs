//! The configuration of a model, read from GGUF metadata or config.json into the same form for all families.

mod attention;
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

/// Ids that end a generation according to a folder's `config.json` and `generation_config.json`. No weights are needed.
///
/// # Errors
/// If a file is not readable, or gives something that is not a token id.
pub fn end_tokens_of(folder: &Path) -> Result<Vec<TokenId>, WeightsError> {
    let path = folder.join("config.json");
    let config = if path.exists() { read_object(&path)? } else { Default::default() };
    hf::end_tokens(&Fields::new(&path, &config), folder)
}

/// The configuration in a folder's `config.json`, with all checks that are possible without weights.
///
/// # Errors
/// If the file is not readable, or describes a model that the engine cannot run.
pub fn of_folder(folder: &Path) -> Result<Config, WeightsError> {
    let path = folder.join("config.json");
    let config = hf::read(&Fields::new(&path, &read_object(&path)?))?;
    config.validate(&path)?;
    Ok(config)
}

/// What weight files say about their model. The other parts of [`Weights`] know only names and shapes of tensors.
impl Weights {
    /// The model's configuration. It is checked that the engine can run it, and that every tensor that it needs is
    /// there in the right shape.
    ///
    /// # Errors
    /// If the engine cannot run the described model, or the weights belong to a different one.
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

    /// Ids that end a generation according to the files, sorted; empty if the files give none. An id may be larger than
    /// the number of rows of the output matrix; then it is never produced.
    ///
    /// # Errors
    /// If a file gives something that is not a token id, or is not readable.
    pub fn end_tokens(&self) -> Result<Vec<TokenId>, WeightsError> {
        match self.description() {
            Description::Metadata(gguf) => gguf::end_tokens(gguf),
            Description::ConfigJson(json, _) => hf::end_tokens(&json, self.path()),
        }
    }

    /// Sentences for the user about contradictions in the files, and how they were resolved.
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
        // A value of the wrong type is ignored here, because reading the configuration reports it.
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
