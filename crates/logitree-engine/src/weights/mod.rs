//! Weight files: GGUF and safetensors behind one interface.

mod gguf;
mod safetensors;

pub use gguf::{Gguf, Value};

use crate::config::{self, Config};
use logitree_core::TokenId;
use logitree_kernels::DType;
pub(crate) use safetensors::Folder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why weights cannot be used. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {what}")]
    Format {
        /// File or folder.
        path: PathBuf,
        /// What is wrong, where, and the fix.
        what: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("{path}: tensor `{name}` is missing; the file is incomplete or of another architecture")]
    MissingTensor {
        /// File or folder.
        path: PathBuf,
        /// Its name.
        name: String,
    },
    /// A tensor that cannot be used.
    #[error("tensor `{name}`: {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
}

impl WeightsError {
    pub(crate) fn format(path: &Path, what: impl Into<String>) -> WeightsError {
        WeightsError::Format { path: path.into(), what: what.into() }
    }

    pub(crate) fn tensor(view: &TensorView<'_>, what: impl Into<String>) -> WeightsError {
        WeightsError::Tensor { name: view.name.clone(), what: what.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WeightsError {
        let path = path.to_path_buf();
        move |source| WeightsError::Io { path, source }
    }
}

/// A stored matrix `[rows, cols]`, row-major; a vector has one row.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Output features.
    pub rows: usize,
    /// Input features; contiguous.
    pub cols: usize,
    /// The bytes, as mapped.
    pub data: &'a [u8],
}

impl TensorView<'_> {
    /// Fails unless the shape is `[rows, cols]`.
    pub fn expect_shape(&self, rows: usize, cols: usize) -> Result<(), WeightsError> {
        if (self.rows, self.cols) == (rows, cols) {
            return Ok(());
        }
        Err(WeightsError::tensor(
            self,
            format!("shape is [{}, {}] but the model's configuration asks for [{rows}, {cols}]", self.rows, self.cols),
        ))
    }
}

/// What a tensor is for, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    TokenEmbedding,
    Output,
    OutputNorm,
    AttnNorm,
    Q,
    K,
    V,
    O,
    QBias,
    KBias,
    VBias,
    QNorm,
    KNorm,
    PostAttnNorm,
    FfnNorm,
    Gate,
    Up,
    Down,
    PostFfnNorm,
    RopeFactors,
}

enum Source {
    Gguf(Box<Gguf>),
    Folder(Box<Folder>),
}

/// Open weight files.
pub struct Weights {
    path: PathBuf,
    source: Source,
}

impl Weights {
    /// Opens a `.gguf` file (any part of a split one) or a folder with `config.json` and safetensors.
    pub fn open(path: &Path) -> Result<Weights, WeightsError> {
        let is_folder = std::fs::metadata(path).map_err(WeightsError::io(path))?.is_dir();
        let source = if is_folder {
            Source::Folder(Box::new(Folder::open(path)?))
        } else {
            Source::Gguf(Box::new(Gguf::open(path)?))
        };
        Ok(Weights { path: path.into(), source })
    }

    /// The path it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that are mapped.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::Gguf(g) => g.files(),
            Source::Folder(f) => f.files(),
        }
    }

    /// The GGUF file's metadata, if it is one.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Gguf(g) => Some(g),
            Source::Folder(_) => None,
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Gguf(_) => None,
            Source::Folder(f) => Some(f.path()),
        }
    }

    /// The model's configuration.
    pub fn config(&self) -> Result<Config, WeightsError> {
        let config = match &self.source {
            Source::Gguf(g) => config::gguf::read(g)?,
            Source::Folder(f) => config::hf::read(f)?,
        };
        config::check(&config, &self.path)?;
        Ok(config)
    }

    /// Ids that the metadata names as end of generation.
    pub fn end_tokens(&self) -> Result<Vec<TokenId>, WeightsError> {
        match &self.source {
            Source::Gguf(g) => Ok(config::gguf::end_tokens(g)),
            Source::Folder(f) => config::hf::end_tokens(f),
        }
    }

    /// The tensor of a role, of a layer for those that come once per layer.
    pub fn tensor(&self, role: Role, layer: Option<usize>) -> Result<TensorView<'_>, WeightsError> {
        let name = match &self.source {
            Source::Gguf(_) => gguf_name(role, layer),
            Source::Folder(f) => f.name_of(role, layer),
        };
        let found = match &self.source {
            Source::Gguf(g) => g.tensor(&name),
            Source::Folder(f) => f.tensor(&name)?,
        };
        found.ok_or_else(|| WeightsError::MissingTensor { path: self.path.clone(), name })
    }

    /// Element types with their bytes, most bytes first.
    pub fn dtypes(&self) -> Vec<(DType, u64)> {
        let mut bytes: BTreeMap<&str, (DType, u64)> = BTreeMap::new();
        self.each(|dtype, size, _| bytes.entry(dtype.name()).or_insert((dtype, 0)).1 += size);
        let mut list: Vec<_> = bytes.into_values().collect();
        list.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
        list
    }

    /// Summary of the element types, such as `Q8_0 + Q5_0 + F32`.
    pub fn quantisation(&self) -> String {
        self.dtypes().iter().map(|(d, _)| d.name()).collect::<Vec<_>>().join(" + ")
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        let mut total = 0;
        self.each(|_, size, _| total += size);
        total
    }

    /// Number of stored weights.
    pub fn parameters(&self) -> u64 {
        let mut total = 0;
        self.each(|_, _, elements| total += elements);
        total
    }

    fn each(&self, mut f: impl FnMut(DType, u64, u64)) {
        let mut f = |dtype: DType, bytes: usize| {
            f(dtype, bytes as u64, (bytes / dtype.block_bytes() * dtype.block_len()) as u64);
        };
        match &self.source {
            Source::Gguf(g) => g.each(&mut f),
            Source::Folder(s) => s.each(&mut f),
        }
    }

    /// Tells the system that a tensor's pages will not be read again soon.
    pub fn release_pages(&self, view: &TensorView<'_>) {
        match &self.source {
            Source::Gguf(g) => g.release_pages(view.data),
            Source::Folder(f) => f.release_pages(view.data),
        }
    }
}

fn gguf_name(role: Role, layer: Option<usize>) -> String {
    let name = match role {
        Role::TokenEmbedding => "token_embd.weight",
        Role::Output => "output.weight",
        Role::OutputNorm => "output_norm.weight",
        Role::AttnNorm => "attn_norm.weight",
        Role::Q => "attn_q.weight",
        Role::K => "attn_k.weight",
        Role::V => "attn_v.weight",
        Role::O => "attn_output.weight",
        Role::QBias => "attn_q.bias",
        Role::KBias => "attn_k.bias",
        Role::VBias => "attn_v.bias",
        Role::QNorm => "attn_q_norm.weight",
        Role::KNorm => "attn_k_norm.weight",
        Role::PostAttnNorm => "post_attention_norm.weight",
        Role::FfnNorm => "ffn_norm.weight",
        Role::Gate => "ffn_gate.weight",
        Role::Up => "ffn_up.weight",
        Role::Down => "ffn_down.weight",
        Role::PostFfnNorm => "post_ffw_norm.weight",
        Role::RopeFactors => "rope_freqs.weight",
    };
    layer.map_or_else(|| name.to_string(), |i| format!("blk.{i}.{name}"))
}

/// A read-only map of a whole file.
pub(crate) struct Map {
    path: PathBuf,
    map: memmap2::Mmap,
}

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let file = std::fs::File::open(path).map_err(WeightsError::io(path))?;
        if file.metadata().map_err(WeightsError::io(path))?.len() == 0 {
            return Err(WeightsError::format(path, "the file is empty; download it again"));
        }
        // SAFETY: the map is read-only. Should another program change the file meanwhile, weights change
        // with it, and one that truncates it ends this process: the price of mapping, shared by all
        // engines that do. All offsets were checked against the length when the file was opened.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(WeightsError::io(path))?;
        Ok(Map { path: path.into(), map })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// If `data` lies in this map, tells the system that it is no longer needed.
    pub(crate) fn release(&self, data: &[u8]) {
        let start = (data.as_ptr() as usize).wrapping_sub(self.map.as_ptr() as usize);
        if start < self.map.len() && data.len() <= self.map.len() - start {
            #[cfg(unix)]
            {
                // SAFETY: the map is read-only and backed by a file: dropped pages are read again on demand.
                #[allow(unsafe_code)]
                // The advice is only that: failure costs memory, not correctness.
                let _ =
                    unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, data.len()) };
            }
        }
    }
}
