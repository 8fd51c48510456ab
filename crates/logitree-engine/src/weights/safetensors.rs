//! Folders with `config.json` and safetensors files, as Hugging Face transformers saves models.

use super::map::Map;
use super::role::{ExpertMatrix, HfNaming, Role};
use super::view::TensorView;
use crate::error::{DAMAGED, WeightsError};
use crate::json::{Fields, read_object};
use logitree_kernels::DType;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map as JsonMap, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An open model folder.
pub(crate) struct Folder {
    path: PathBuf,
    config_path: PathBuf,
    config: JsonMap<String, Value>,
    stored: Shards,
    naming: HfNaming,
    /// Whether the stored embedding and output matrices are equal; computed when it is first needed.
    pub(super) equal_heads: OnceLock<bool>,
}

/// The weight files of a folder, and the tensors in them.
#[derive(Default)]
struct Shards {
    maps: Vec<Map>,
    files: Vec<PathBuf>,
    tensors: BTreeMap<String, Tensor>,
}

struct Tensor {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Folder {
    /// Whether a folder contains safetensors weights.
    pub(super) fn is_one(path: &Path) -> bool {
        path.join(WHOLE).exists() || path.join(INDEX).exists()
    }

    /// Opens `config.json` and `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub(super) fn open(path: &Path) -> Result<Folder, WeightsError> {
        let config_path = path.join("config.json");
        let config = read_object(&config_path)?;
        let mut stored = Shards::default();
        // As in transformers, a whole file is preferred: an index beside it is a left-over.
        if path.join(WHOLE).exists() {
            stored.add(&path.join(WHOLE))?;
        } else {
            stored.add_indexed(path, &path.join(INDEX))?;
        }
        let naming = HfNaming::detect(&stored.tensors);
        Ok(Folder { path: path.into(), config_path, config, stored, naming, equal_heads: OnceLock::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn maps(&self) -> &[Map] {
        &self.stored.maps
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.stored.files
    }

    /// `config.json`.
    pub(crate) fn config(&self) -> Fields<'_> {
        Fields::new(&self.config_path, &self.config)
    }

    /// Name of a role's tensor. If only the output matrix is stored, its name is also that of the embedding matrix.
    pub(super) fn name(&self, role: Role, layer: Option<usize>) -> String {
        let name = self.own_name(role, layer);
        let output = (role == Role::TokenEmbedding && !self.has(&name)).then(|| self.own_name(Role::Output, None));
        output.filter(|output| self.has(output)).unwrap_or(name)
    }

    /// Name of a role's tensor, whether or not it is stored.
    pub(super) fn own_name(&self, role: Role, layer: Option<usize>) -> String {
        self.naming.name(role, layer)
    }

    /// A sentence for the user about files that are not used; `None` if there are none.
    pub(crate) fn note(&self) -> Option<String> {
        let both = self.path.join(WHOLE).exists() && self.path.join(INDEX).exists();
        both.then(|| format!("{WHOLE} is used; {INDEX} beside it is not, as in transformers"))
    }

    /// Name of one expert's matrix, in folders that store each matrix as a tensor of its own.
    pub(super) fn expert_name(&self, layer: usize, expert: usize, matrix: ExpertMatrix) -> String {
        self.naming.expert_name(layer, expert, matrix)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.stored.tensors.contains_key(name)
    }

    /// Names of the language model's tensors.
    pub(super) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        let (decoder, head) = (self.naming.decoder, format!("{}lm_head.", self.naming.head));
        self.stored
            .tensors
            .keys()
            .map(String::as_str)
            .filter(move |name| name.starts_with(decoder) || name.starts_with(&head))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, WeightsError> {
        let Some((name, t)) = self.stored.tensors.get_key_value(name) else { return Ok(None) };
        let shard = &self.stored.maps[t.shard];
        let dtype = match t.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                let problem =
                    format!("element type {other:?} is not supported; use a model in F32, F16 or BF16, or a GGUF file");
                return Err(WeightsError::Tensor { path: shard.path().into(), name: name.clone(), problem });
            }
        };
        TensorView::new(shard.path(), name, dtype, &t.shape, &shard.bytes()[t.bytes.clone()]).map(Some)
    }

    /// Calls `f` with the element type, bytes and number of elements of every tensor.
    pub(super) fn each(&self, f: &mut dyn FnMut(&str, u64, u64)) {
        for t in self.stored.tensors.values() {
            // The product of a shape cannot overflow, because the header was checked.
            f(&format!("{:?}", t.dtype), t.bytes.len() as u64, t.shape.iter().product::<usize>() as u64);
        }
    }

    pub(super) fn release_pages(&self, data: &[u8]) {
        self.stored.maps.iter().for_each(|s| s.release(data));
    }
}

impl Shards {
    fn add_indexed(&mut self, folder: &Path, index: &Path) -> Result<(), WeightsError> {
        let object = read_object(index)?;
        let fields = Fields::new(index, &object);
        let map = fields.require("weight_map", fields.object("weight_map")?)?;
        let mut shards = BTreeSet::new();
        for (tensor, file) in map.iter() {
            // Only a plain file name is accepted, because an index must not refer to files outside its folder.
            match file.as_str() {
                Some(name) if Path::new(name).file_name() == Some(name.as_ref()) => shards.insert(name),
                _ => return Err(map.error(tensor, format!("{file} is not a file name"), DAMAGED)),
            };
        }
        for shard in shards {
            self.add(&folder.join(shard))?;
        }
        for (tensor, file) in map.iter() {
            let place = self.tensors.get(tensor).map(|t| &self.files[t.shard]);
            if place.and_then(|p| p.file_name()) != file.as_str().map(AsRef::as_ref) {
                return Err(map.error(tensor, format!("the tensor is not in {file}"), DAMAGED));
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &Path) -> Result<(), WeightsError> {
        let map = Map::open(file)?;
        // The library checks the header's length, that offsets agree with shapes, and that tensors fill the file
        // without gaps or overlaps.
        let (header, metadata) = SafeTensors::read_metadata(map.bytes())
            .map_err(|e| WeightsError::field(file, "safetensors header", e.to_string(), DAMAGED))?;
        let data = 8 + header;
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let (shard, bytes) = (self.maps.len(), data + start..data + end);
            if map.bytes().get(bytes.clone()).is_none() {
                return Err(WeightsError::field(file, format!("tensor `{name}`"), "lies past the file's end", DAMAGED));
            }
            let tensor = Tensor { shard, dtype: info.dtype, shape: info.shape.clone(), bytes };
            if self.tensors.insert(name.clone(), tensor).is_some() {
                let problem = "is in another shard too";
                return Err(WeightsError::field(file, format!("tensor `{name}`"), problem, DAMAGED));
            }
        }
        self.maps.push(map);
        self.files.push(file.into());
        Ok(())
    }
}
