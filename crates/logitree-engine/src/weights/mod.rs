//! Weight files: GGUF and safetensors behind one interface.
//!
//! The caller asks for a tensor by its [`Role`], and gets a [`TensorView`] whose data lies in the memory map of the
//! file.

mod experts;
mod fused;
mod gguf;
mod head;
pub(crate) mod kind;
mod map;
mod role;
mod safetensors;
#[cfg(test)]
mod tests;
mod view;

pub use crate::error::WeightsError;
pub(crate) use experts::ExpertSizes;
pub use gguf::{Array, FromValue, Gguf, Strings, Value, ValueType};
pub use map::Content;
pub(crate) use map::{is_lfs_pointer, refuse_pointer};
pub(crate) use role::ExpertMatrix;
pub use role::Role;
use safetensors::Folder;
pub use view::TensorView;

use crate::json::Fields;
use gguf::Split;
use map::Map;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Open weight files.
pub struct Weights {
    path: PathBuf,
    source: Source,
}

enum Source {
    Gguf(Box<Gguf>),
    Folder(Box<Folder>),
}

/// The source of the model's configuration.
pub(crate) enum Description<'w> {
    /// The metadata of a GGUF file.
    Metadata(&'w Gguf),
    /// The config.json of a folder.
    ConfigJson(Fields<'w>, &'w Folder),
}

impl Weights {
    /// Opens a `.gguf` file (any part of a split one), a folder with `config.json` and safetensors, or a folder with a
    /// single GGUF model. If a folder has both, the safetensors are used.
    ///
    /// # Errors
    /// If there is nothing that can be read as a model, or a folder holds several models.
    pub fn open(path: &Path) -> Result<Weights, WeightsError> {
        let is_folder = std::fs::metadata(path).map_err(WeightsError::io(path))?.is_dir();
        let source = if !is_folder {
            Source::Gguf(Box::new(Gguf::open(path)?))
        } else if Folder::is_one(path) {
            Source::Folder(Box::new(Folder::open(path)?))
        } else {
            Source::Gguf(Box::new(Gguf::open(&only_gguf(path)?)?))
        };
        Ok(Weights { path: path.into(), source })
    }

    /// The path that was given to [`Weights::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the mapped files, in the order of [`Weights::files`].
    pub fn contents(&self) -> Vec<Content<'_>> {
        let maps = match &self.source {
            Source::Gguf(g) => g.maps(),
            Source::Folder(f) => f.maps(),
        };
        maps.iter().map(Map::content).collect()
    }

    /// The files that are mapped.
    pub fn files(&self) -> &[PathBuf] {
        match &self.source {
            Source::Gguf(g) => g.files(),
            Source::Folder(f) => f.files(),
        }
    }

    /// The GGUF file with its metadata; `None` for a folder of safetensors.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Gguf(g) => Some(g),
            Source::Folder(_) => None,
        }
    }

    /// The source of the model's configuration.
    pub(crate) fn description(&self) -> Description<'_> {
        match &self.source {
            Source::Gguf(g) => Description::Metadata(g),
            Source::Folder(f) => Description::ConfigJson(f.config(), f),
        }
    }

    /// Name of a role's tensor in the file.
    pub(crate) fn name(&self, role: Role, layer: Option<usize>) -> String {
        match &self.source {
            Source::Gguf(_) => role::gguf_name(role, layer),
            Source::Folder(f) => f.name(role, layer),
        }
    }

    /// Names of the language model's tensors.
    pub(crate) fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.source {
            Source::Gguf(g) => Box::new(g.tensor_names()),
            Source::Folder(f) => Box::new(f.tensor_names()),
        }
    }

    /// Whether there is a tensor for this role; `layer` is needed if [`Role::is_per_layer`].
    pub fn has(&self, role: Role, layer: Option<usize>) -> bool {
        let name = self.name(role, layer);
        match &self.source {
            Source::Gguf(g) => g.has(&name) || self.fused_name(role, layer).is_some(),
            Source::Folder(f) => f.has(&name),
        }
    }

    /// The tensor of a role; `layer` is needed if [`Role::is_per_layer`].
    ///
    /// # Errors
    /// If there is no such tensor, or it cannot be read as a matrix.
    pub fn tensor(&self, role: Role, layer: Option<usize>) -> Result<TensorView<'_>, WeightsError> {
        if let Some(name) = self.fused_name(role, layer) {
            return self.of_fused(&name, role, layer);
        }
        self.named(&self.name(role, layer))
    }

    /// The tensor of this name.
    fn named(&self, name: &str) -> Result<TensorView<'_>, WeightsError> {
        let found = match &self.source {
            Source::Gguf(g) => g.tensor(name)?,
            Source::Folder(f) => f.tensor(name)?,
        };
        found.ok_or_else(|| WeightsError::MissingTensor { path: self.path.clone(), name: name.into() })
    }

    /// The element types of the tensors with the number of bytes of each type, largest first.
    pub fn dtypes(&self) -> Vec<(String, u64)> {
        let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
        self.each(|dtype, size, _| *bytes.entry(dtype.to_string()).or_default() += size);
        let mut list: Vec<_> = bytes.into_iter().collect();
        list.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
        list
    }

    /// Names of the element types, the one with most bytes first, such as `Q8_0 + Q5_0 + F32`.
    pub fn quantisation(&self) -> String {
        self.dtypes().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" + ")
    }

    /// Number of bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        let mut total = 0;
        self.each(|_, size, _| total += size);
        total
    }

    /// Number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        let mut total = 0;
        self.each(|_, _, elements| total += elements);
        total
    }

    fn each(&self, mut f: impl FnMut(&str, u64, u64)) {
        match &self.source {
            Source::Gguf(g) => g.each(&mut f),
            Source::Folder(s) => s.each(&mut f),
        }
    }

    /// Tells the operating system that the pages of a tensor's data are not needed for now. The data stays valid. Does
    /// nothing on systems other than Unix.
    pub fn release_pages(&self, data: &[u8]) {
        match &self.source {
            Source::Gguf(g) => g.release_pages(data),
            Source::Folder(f) => f.release_pages(data),
        }
    }
}

/// The GGUF model of a folder that holds exactly one. The parts of a split model count as one model. Files that are not
/// models, such as projectors and adapters, do not count.
fn only_gguf(folder: &Path) -> Result<PathBuf, WeightsError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(WeightsError::io(folder))? {
        let path = entry.map_err(WeightsError::io(folder))?.path();
        let later_part = Split::of(&path).is_some_and(|s| s.index > 0);
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) && !later_part {
            found.push(path);
        }
    }
    if found.len() > 1 {
        // A file that cannot be read counts as a model, because it may be the one that is meant.
        let models = |path: &&PathBuf| Gguf::open(path).map_or(true, |g| kind::other_than_model(&g).is_none());
        let models: Vec<PathBuf> = found.iter().filter(models).cloned().collect();
        // If no file is a model, one of them is returned, and opening it gives an error that says what it is.
        found = if models.is_empty() { found.split_off(found.len() - 1) } else { models };
    }
    let problem = match found.len() {
        0 => "holds neither model.safetensors (or its index) nor a .gguf file".to_string(),
        1 => return Ok(found.swap_remove(0)),
        n => format!("holds {n} models in .gguf files"),
    };
    Err(WeightsError::field(folder, "folder", problem, "give the path of a .gguf file or of a model's own folder"))
}
