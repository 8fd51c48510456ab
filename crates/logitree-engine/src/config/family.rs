//! The supported model families, and what the members of a family have in common.

use super::types::Activation;
use crate::error::WeightsError;
use crate::json::Fields;
use crate::weights::kind;
use std::path::Path;

/// A family of architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Gemma,
    Gemma2,
    Gemma3,
    Gemma4,
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Qwen3Moe,
}

/// Values of `general.architecture` in GGUF files. Mistral's files have `llama`.
const GGUF_NAMES: [(&str, Family); 8] = [
    ("gemma", Family::Gemma),
    ("gemma2", Family::Gemma2),
    ("gemma3", Family::Gemma3),
    ("gemma4", Family::Gemma4),
    ("llama", Family::Llama),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("qwen3moe", Family::Qwen3Moe),
];

/// Values of `model_type` in config.json.
const HF_NAMES: [(&str, Family); 13] = [
    ("gemma", Family::Gemma),
    ("gemma2", Family::Gemma2),
    ("gemma3", Family::Gemma3),
    ("gemma3_text", Family::Gemma3),
    ("gemma4", Family::Gemma4),
    ("gemma4_text", Family::Gemma4),
    ("gemma4_unified", Family::Gemma4),
    ("gemma4_unified_text", Family::Gemma4),
    ("llama", Family::Llama),
    ("mistral", Family::Mistral),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("qwen3_moe", Family::Qwen3Moe),
];

/// The values that transformers uses for keys missing from config.json. Multimodal models are often published with
/// nested text configurations that hold only what differs from these values.
pub(crate) struct Defaults {
    pub(crate) vocab: usize,
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Number of key/value heads; `None`: equal to the number of query heads.
    pub(crate) kv_heads: Option<usize>,
    /// Elements per head; `None`: hidden / heads.
    pub(crate) head_dim: Option<usize>,
    pub(crate) context: usize,
}

impl Family {
    /// The family that a GGUF file's `general.architecture` names.
    pub(crate) fn of_gguf(name: &str, file: &Path) -> Result<Family, WeightsError> {
        find(&GGUF_NAMES, name, file, "general.architecture")
    }

    /// The family of a config.json, and the part of it that describes the language model: multimodal models keep
    /// that in `text_config`.
    pub(crate) fn of_config<'a>(outer: &Fields<'a>) -> Result<(Family, Fields<'a>), WeightsError> {
        let text = outer.object("text_config")?.unwrap_or_else(|| outer.clone());
        let name = model_type(outer, &text)?;
        Ok((find(&HF_NAMES, name, outer.file, "model_type")?, text))
    }

    /// Whether this is one of Google's Gemma families, which use tanh-GELU and scale embeddings by √hidden.
    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Gemma4)
    }

    /// Whether the original safetensors files store norm weights as offsets from 1.
    pub(crate) fn norm_offset(self) -> bool {
        self.is_gemma() && self != Family::Gemma4
    }

    /// Whether layers with a window have a separate rotary embedding.
    pub(crate) fn has_local_rope(self) -> bool {
        matches!(self, Family::Gemma3 | Family::Gemma4)
    }

    pub(crate) fn activation(self) -> Activation {
        if self.is_gemma() { Activation::GeluTanh } else { Activation::Silu }
    }

    pub(crate) fn qk_norm(self) -> bool {
        matches!(self, Family::Gemma3 | Family::Gemma4 | Family::Qwen3 | Family::Qwen3Moe)
    }

    pub(crate) fn post_norms(self) -> bool {
        matches!(self, Family::Gemma2 | Family::Gemma3 | Family::Gemma4)
    }

    /// Multiplier of token embeddings.
    ///
    /// Gemma multiplies by √hidden. transformers keeps that number as float32 and casts it to the type of the weights
    /// (`embed_scale.to(self.weight.dtype)` in `modeling_gemma3.py`), so bfloat16 models multiply by 55.5 where √3072 =
    /// 55.4256. The reference for this engine runs in float32, so the number is not rounded here.
    pub(crate) fn embedding_scale(self, hidden: usize) -> f32 {
        if self.is_gemma() { (hidden as f64).sqrt() as f32 } else { 1.0 }
    }

    pub(crate) fn defaults(self) -> Defaults {
        let sizes = |vocab, hidden, intermediate, layers, heads| Defaults {
            vocab,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads: None,
            head_dim: None,
            context: 32768,
        };
        match self {
            Family::Gemma => Defaults {
                kv_heads: Some(16),
                head_dim: Some(256),
                context: 8192,
                ..sizes(256_000, 3072, 24576, 28, 16)
            },
            Family::Gemma2 => {
                Defaults { kv_heads: Some(4), head_dim: Some(256), context: 8192, ..sizes(256_000, 2304, 9216, 26, 8) }
            }
            Family::Gemma3 => Defaults {
                kv_heads: Some(4),
                head_dim: Some(256),
                context: 131_072,
                ..sizes(262_208, 2304, 9216, 26, 8)
            },
            Family::Gemma4 => Defaults {
                kv_heads: Some(4),
                head_dim: Some(256),
                context: 131_072,
                ..sizes(262_144, 2304, 9216, 30, 8)
            },
            Family::Llama => Defaults { context: 2048, ..sizes(32_000, 4096, 11008, 32, 32) },
            Family::Mistral => Defaults { kv_heads: Some(8), context: 131_072, ..sizes(32_000, 4096, 14336, 32, 32) },
            Family::Qwen2 => Defaults { kv_heads: Some(32), ..sizes(151_936, 4096, 22016, 32, 32) },
            Family::Qwen3Moe => Defaults { kv_heads: Some(4), ..sizes(151_936, 2048, 6144, 24, 32) },
            Family::Qwen3 => {
                Defaults { kv_heads: Some(32), head_dim: Some(128), ..sizes(151_936, 4096, 22016, 32, 32) }
            }
        }
    }
}

/// The `model_type` of the language model, or that of the whole model if the language model has none.
pub(crate) fn model_type<'a>(outer: &Fields<'a>, text: &Fields<'a>) -> Result<&'a str, WeightsError> {
    let name = text.str("model_type")?.map_or_else(|| outer.str("model_type"), |name| Ok(Some(name)))?;
    outer.require("model_type", name)
}

fn find(names: &[(&str, Family)], name: &str, file: &Path, field: &str) -> Result<Family, WeightsError> {
    names.iter().find(|(n, _)| *n == name).map(|(_, f)| *f).ok_or_else(|| match kind::of_architecture(name) {
        Some(what) => WeightsError::NotAModel { path: file.into(), field: field.into(), what },
        None => WeightsError::UnknownArchitecture {
            path: file.into(),
            field: field.into(),
            name: name.into(),
            known: names.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "),
        },
    })
}
