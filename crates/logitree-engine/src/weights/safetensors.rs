//! Model folders as Hugging Face publishes them: `config.json` and safetensors.

use super::{Map, Role, TensorView, WeightsError};
use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype, Metadata};
use logitree_kernels::DType;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

struct Shard {
    map: Map,
    metadata: Metadata,
    /// Where the tensors' data starts.
    data: usize,
}

/// An open model folder.
pub(crate) struct Folder {
    path: PathBuf,
    config: Value,
    shards: Vec<Shard>,
    /// Which shard holds a tensor.
    place: HashMap<String, usize>,
    /// What stands before `layers.0` in tensor names, such as `model.`.
    prefix: String,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Folder, WeightsError> {
        let config = path.join("config.json");
        if !config.exists() {
            let what = "no config.json here; a model folder has config.json, model.safetensors and tokenizer.json";
            return Err(WeightsError::format(path, what));
        }
        let config = read_json(&config)?;
        let names: Vec<String> = match path.join("model.safetensors.index.json") {
            index if index.exists() => shard_names(&index)?,
            _ => vec!["model.safetensors".into()],
        };
        let mut shards = Vec::new();
        let mut place = HashMap::new();
        for name in names {
            let map = Map::open(&path.join(&name))?;
            let (size, metadata) = SafeTensors::read_metadata(map.bytes()).map_err(|e| {
                WeightsError::format(map.path(), format!("not a sound safetensors file: {e}; download it again"))
            })?;
            for tensor in metadata.tensors().into_keys() {
                if place.insert(tensor.clone(), shards.len()).is_some() {
                    return Err(WeightsError::format(map.path(), format!("tensor `{tensor}` comes twice")));
                }
            }
            // Length of the header as u64, then the header.
            shards.push(Shard { map, metadata, data: 8 + size });
        }
        let prefix = place.keys().find_map(|name| Some(name.split_once("layers.0.")?.0.to_string()));
        let prefix =
            prefix.ok_or_else(|| WeightsError::format(path, "no tensor of a layer 0: not a language model"))?;
        Ok(Folder { path: path.into(), config, shards, place, prefix })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.shards.iter().map(|s| s.map.path().to_path_buf()).collect()
    }

    /// `config.json`.
    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    /// Another JSON file of the folder, if it is there.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>, WeightsError> {
        let path = self.path.join(name);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.place.contains_key(name)
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, WeightsError> {
        let Some(shard) = self.place.get(name).map(|&i| &self.shards[i]) else { return Ok(None) };
        let Some(info) = shard.metadata.info(name) else { return Ok(None) };
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                let what = format!("element type {other:?} is not supported; supported are F32, F16, BF16");
                return Err(WeightsError::Tensor { name: name.into(), what });
            }
        };
        let (rows, cols) = match info.shape[..] {
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => {
                let what = format!("shape {:?} is neither a vector nor a matrix", info.shape);
                return Err(WeightsError::Tensor { name: name.into(), what });
            }
        };
        let (start, end) = info.data_offsets;
        // The crate has checked the offsets against the shape and the file.
        let data = shard.map.bytes().get(shard.data + start..shard.data + end);
        let data = data.ok_or_else(|| WeightsError::format(shard.map.path(), format!("`{name}` is past the end")))?;
        Ok(Some(TensorView { name: name.into(), dtype, rows, cols, data }))
    }

    /// Sandwich norms (Gemma 2 and 3): then `post_attention_layernorm` is the norm after attention.
    pub(crate) fn has_post_norms(&self) -> bool {
        self.has(&format!("{}layers.0.pre_feedforward_layernorm.weight", self.prefix))
    }

    pub(crate) fn name_of(&self, role: Role, layer: Option<usize>) -> String {
        let name = match role {
            Role::TokenEmbedding => return format!("{}embed_tokens.weight", self.prefix),
            Role::OutputNorm => return format!("{}norm.weight", self.prefix),
            // Beside the `model.` that holds the layers.
            Role::Output => {
                let outer = self.prefix.strip_suffix("model.").unwrap_or(&self.prefix);
                return format!("{outer}lm_head.weight");
            }
            Role::RopeFactors => return "rope_freqs.weight".into(),
            Role::AttnNorm => "input_layernorm.weight",
            Role::Q => "self_attn.q_proj.weight",
            Role::K => "self_attn.k_proj.weight",
            Role::V => "self_attn.v_proj.weight",
            Role::O => "self_attn.o_proj.weight",
            Role::QBias => "self_attn.q_proj.bias",
            Role::KBias => "self_attn.k_proj.bias",
            Role::VBias => "self_attn.v_proj.bias",
            Role::QNorm => "self_attn.q_norm.weight",
            Role::KNorm => "self_attn.k_norm.weight",
            Role::PostAttnNorm => "post_attention_layernorm.weight",
            Role::FfnNorm if self.has_post_norms() => "pre_feedforward_layernorm.weight",
            Role::FfnNorm => "post_attention_layernorm.weight",
            Role::PostFfnNorm => "post_feedforward_layernorm.weight",
            Role::Gate => "mlp.gate_proj.weight",
            Role::Up => "mlp.up_proj.weight",
            Role::Down => "mlp.down_proj.weight",
        };
        format!("{}layers.{}.{name}", self.prefix, layer.unwrap_or(0))
    }

    pub(crate) fn each(&self, f: &mut dyn FnMut(DType, usize)) {
        for name in self.place.keys() {
            if let Ok(Some(t)) = self.tensor(name) {
                f(t.dtype, t.data.len());
            }
        }
    }

    pub(crate) fn release_pages(&self, data: &[u8]) {
        self.shards.iter().for_each(|s| s.map.release(data));
    }
}

fn read_json(path: &Path) -> Result<Value, WeightsError> {
    let text = std::fs::read(path).map_err(WeightsError::io(path))?;
    serde_json::from_slice(&text).map_err(|e| WeightsError::format(path, format!("not valid JSON: {e}")))
}

/// Shard files that an index names.
fn shard_names(index: &Path) -> Result<Vec<String>, WeightsError> {
    let json = read_json(index)?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| WeightsError::format(index, "no `weight_map`"))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        // A name, not a path: an index must not reach outside its folder.
        match file.as_str() {
            Some(name) if Path::new(name).file_name() == Some(name.as_ref()) => names.insert(name.to_string()),
            _ => return Err(WeightsError::format(index, format!("`weight_map.{tensor}` is not a file name: {file}"))),
        };
    }
    Ok(names.into_iter().collect())
}
