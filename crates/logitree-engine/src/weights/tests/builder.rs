//! Writes GGUF files, correct ones and damaged ones.

use logitree_kernels::DType;

/// A metadata value, encoded with its type.
pub(super) fn u32_(n: u32) -> Vec<u8> {
    [&4u32.to_le_bytes()[..], &n.to_le_bytes()].concat()
}

pub(super) fn f32_(x: f32) -> Vec<u8> {
    [&6u32.to_le_bytes()[..], &x.to_le_bytes()].concat()
}

pub(super) fn bool_(b: u8) -> Vec<u8> {
    [&7u32.to_le_bytes()[..], &[b]].concat()
}

pub(super) fn string(s: &[u8]) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s].concat()
}

pub(super) fn str_(s: &str) -> Vec<u8> {
    [&8u32.to_le_bytes()[..], &string(s.as_bytes())].concat()
}

/// An array of `len` elements of type `of`, already encoded.
pub(super) fn array(of: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [&9u32.to_le_bytes()[..], &of.to_le_bytes(), &len.to_le_bytes(), elements].concat()
}

pub(super) fn strings(list: &[&[u8]]) -> Vec<u8> {
    array(8, list.len() as u64, &list.iter().flat_map(|s| string(s)).collect::<Vec<u8>>())
}

#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// Dimensions, fastest first, as in the file.
    pub(super) dims: Vec<u64>,
    pub(super) kind: u32,
    pub(super) offset: u64,
}

/// The parts of a file, so that a test can damage any of them.
#[derive(Clone)]
pub(super) struct Builder {
    pub(super) magic: [u8; 4],
    pub(super) version: u32,
    pub(super) tensor_count: Option<u64>,
    pub(super) metadata_count: Option<u64>,
    pub(super) metadata: Vec<(String, Vec<u8>)>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) alignment: usize,
    pub(super) data: usize,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            metadata_count: None,
            metadata: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
            data: 0,
        }
    }

    /// Sets a metadata key, replacing what it held.
    pub(super) fn with(mut self, key: &str, value: Vec<u8>) -> Builder {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.into(), value));
        self
    }

    pub(super) fn without(mut self, key: &str) -> Builder {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Appends a tensor; dimensions fastest first.
    pub(super) fn tensor(mut self, name: &str, dims: &[u64], dtype: DType) -> Builder {
        let rows: u64 = dims[1..].iter().product();
        let size = dtype.row_bytes(dims[0] as usize).unwrap() * rows as usize;
        let offset = self.data.next_multiple_of(self.alignment);
        let kind = (0..64).find(|&n| DType::from_ggml(n) == Some(dtype)).unwrap();
        self.tensors.push(Tensor { name: name.into(), dims: dims.into(), kind, offset: offset as u64 });
        self.data = offset + size;
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.metadata_count.unwrap_or(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            out.extend(string(key.as_bytes()));
            out.extend(value);
        }
        for t in &self.tensors {
            out.extend(string(t.name.as_bytes()));
            out.extend((t.dims.len() as u32).to_le_bytes());
            t.dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(t.kind.to_le_bytes());
            out.extend(t.offset.to_le_bytes());
        }
        if !self.tensors.is_empty() {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            // The data is recognisable: its byte i is i mod 251.
            out.extend((0..self.data).map(|i| (i % 251) as u8));
        }
        out
    }
}

/// Adds a mixture of 4 experts of width 32, of which 2 are used, in place of the feed-forward layers of `model` or
/// beside them.
fn mixture(mut b: Builder, arch: &str, layer: u32) -> Builder {
    let blk = |name: &str| format!("blk.{layer}.{name}");
    b = b
        .with(&format!("{arch}.expert_count"), u32_(4))
        .with(&format!("{arch}.expert_used_count"), u32_(2))
        .with(&format!("{arch}.expert_feed_forward_length"), u32_(32))
        .tensor(&blk("ffn_gate_inp.weight"), &[32, 4], DType::F32)
        .tensor(&blk("ffn_down_exps.weight"), &[32, 32, 4], DType::Q5_0);
    if arch != "gemma4" {
        return b.tensor(&blk("ffn_gate_exps.weight"), &[32, 32, 4], DType::Q8_0).tensor(
            &blk("ffn_up_exps.weight"),
            &[32, 32, 4],
            DType::Q8_0,
        );
    }
    b = b
        .tensor(&blk("ffn_gate_up_exps.weight"), &[32, 64, 4], DType::Q8_0)
        .tensor(&blk("ffn_gate_inp.scale"), &[32], DType::F32)
        .tensor(&blk("ffn_down_exps.scale"), &[4], DType::F32);
    ["pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"]
        .iter()
        .fold(b, |b, norm| b.tensor(&blk(&format!("{norm}.weight")), &[32], DType::F32))
}

/// A complete model: hidden 32, 2 query heads and 1 key/value head of 16 elements, feed-forward 64, vocabulary 8. Gemma
/// 4 and Qwen3-MoE have experts in all layers.
pub(super) fn model(arch: &str, layers: u32) -> Builder {
    let key = |name: &str| format!("{arch}.{name}");
    let mut b = Builder::new()
        .with("general.architecture", str_(arch))
        .with(&key("block_count"), u32_(layers))
        .with(&key("context_length"), u32_(128))
        .with(&key("embedding_length"), u32_(32))
        .with(&key("feed_forward_length"), u32_(64))
        .with(&key("attention.head_count"), u32_(2))
        .with(&key("attention.head_count_kv"), u32_(1))
        .with(&key("attention.layer_norm_rms_epsilon"), f32_(1e-6))
        .with("tokenizer.ggml.tokens", strings(&[b"<pad>", b"<eos>", b"a", b"\xff\xfe", b"", b"b", b"c", b"d"]))
        .with("tokenizer.ggml.scores", array(6, 2, &[0, 0, 128, 63, 0, 0, 0, 192]))
        .with("tokenizer.ggml.eos_token_id", u32_(1))
        .tensor("token_embd.weight", &[32, 8], DType::Q8_0)
        .tensor("output_norm.weight", &[32], DType::F32);
    if arch == "gemma4" {
        b = b
            .with("gemma4.attention.key_length", u32_(16))
            .with("gemma4.attention.key_length_swa", u32_(16))
            .with("gemma4.attention.sliding_window", u32_(4))
            .with("gemma4.rope.freq_base", f32_(1e6));
    }
    if arch == "gemma3" {
        b = b.with("gemma3.attention.sliding_window", u32_(4)).with("gemma3.rope.freq_base", f32_(1e6));
    }
    for i in 0..layers {
        let blk = |name: &str| format!("blk.{i}.{name}");
        b = b
            .tensor(&blk("attn_norm.weight"), &[32], DType::F32)
            .tensor(&blk("attn_q.weight"), &[32, 32], DType::Q8_0)
            .tensor(&blk("attn_k.weight"), &[32, 16], DType::Q8_0)
            .tensor(&blk("attn_v.weight"), &[32, 16], DType::Q4_0)
            .tensor(&blk("attn_output.weight"), &[32, 32], DType::Q4_1)
            .tensor(&blk("ffn_norm.weight"), &[32], DType::F32);
        if arch != "qwen3moe" {
            b = b
                .tensor(&blk("ffn_gate.weight"), &[32, 64], DType::Q5_0)
                .tensor(&blk("ffn_up.weight"), &[32, 64], DType::Q5_1)
                .tensor(&blk("ffn_down.weight"), &[64, 32], DType::F16);
        }
        if matches!(arch, "gemma4" | "qwen3moe") {
            b = mixture(b, arch, i);
        }
        if arch == "gemma4" {
            b = b.tensor(&blk("layer_output_scale.weight"), &[1], DType::F32);
        }
        if matches!(arch, "gemma3" | "gemma4" | "qwen3" | "qwen3moe") {
            b = b.tensor(&blk("attn_q_norm.weight"), &[16], DType::F32).tensor(
                &blk("attn_k_norm.weight"),
                &[16],
                DType::F32,
            );
        }
        if matches!(arch, "gemma2" | "gemma3" | "gemma4") {
            b = b.tensor(&blk("post_attention_norm.weight"), &[32], DType::F32).tensor(
                &blk("post_ffw_norm.weight"),
                &[32],
                DType::F32,
            );
        }
        if arch == "qwen2" {
            for (name, len) in [("attn_q.bias", 32), ("attn_k.bias", 16), ("attn_v.bias", 16)] {
                b = b.tensor(&blk(name), &[len], DType::F32);
            }
        }
    }
    b
}
