//! Tests of configurations, from GGUF metadata and from config.json as written by several versions of transformers.

use super::builder::*;
use super::*;
use crate::config::{Activation, Config, LayerInputs, Rope, RopeScaling, Rows, hf};
use crate::json::Fields;
use crate::weights::Role;
use logitree_kernels::DType;

pub(super) fn from_gguf(b: &Builder) -> Config {
    let (_dir, path) = file("m.gguf", &b.build());
    Weights::open(&path).unwrap().config().unwrap()
}

pub(super) fn from_json(json: serde_json::Value) -> Result<Config, WeightsError> {
    let path = Path::new("config.json");
    let config = hf::read(&Fields::new(path, json.as_object().unwrap()))?;
    config.validate(path)?;
    Ok(config)
}

fn windows(c: &Config) -> Vec<Option<usize>> {
    c.layers.iter().map(|l| l.window).collect()
}

fn plain(base: f32, dims: usize) -> Rope {
    Rope { base, dims, scaling: RopeScaling::Default }
}

#[test]
fn gemma3_gguf() {
    let c = from_gguf(&model("gemma3", 7));
    assert_eq!(windows(&c), [Some(4), Some(4), Some(4), Some(4), Some(4), None, Some(4)]);
    assert_eq!(c.layers.iter().map(|l| l.rope).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 0, 1]);
    assert_eq!(c.ropes, [plain(1e6, 16), plain(1e4, 16)]);
    let l = &c.layers[0];
    assert_eq!((c.vocab, c.hidden, l.intermediate, l.heads, l.kv_heads, l.head_dim), (8, 32, 64, 2, 1, 16));
    assert_eq!((c.attention_scale, c.embedding_scale), (0.25, 32f32.sqrt()));
    assert_eq!((c.attention_softcap, c.final_softcap), (None, None));
    assert!(c.qk_norm && c.post_norms && c.tied && !c.norm_offset && !c.rope_interleaved && !c.qkv_bias);
    assert_eq!((c.activation, c.context, c.norm_eps), (Activation::GeluTanh, 128, 1e-6));
    // Larger Gemma 3 models scale the rotary embedding of layers with full attention; newer files give the base of the
    // other embedding.
    let b = model("gemma3", 7)
        .with("gemma3.rope.scaling.type", str_("linear"))
        .with("gemma3.rope.scaling.factor", f32_(8.0))
        .with("gemma3.rope.freq_base_swa", f32_(5e3));
    let global = Rope { scaling: RopeScaling::Linear(8.0), ..plain(1e6, 16) };
    assert_eq!(from_gguf(&b).ropes, [global, plain(5e3, 16)]);
    let b = model("gemma3", 3).with("gemma3.attention.sliding_window_pattern", array(7, 3, &[0, 1, 1]));
    assert_eq!(windows(&from_gguf(&b)), [None, Some(4), Some(4)]);
}

/// A model whose heads have 32 elements, which is more than hidden / heads = 16.
fn with_wide_heads(arch: &str, layers: u32) -> Builder {
    let mut b = model(arch, layers).with(&format!("{arch}.attention.key_length"), u32_(32));
    b.data = 0;
    for t in std::mem::take(&mut b.tensors) {
        let dims = match t.name.rsplit('.').nth(1) {
            Some("attn_q") => vec![32, 64],
            Some("attn_k" | "attn_v") => vec![32, 32],
            Some("attn_output") => vec![64, 32],
            Some("attn_q_norm" | "attn_k_norm") => vec![32],
            _ => t.dims,
        };
        b = b.tensor(&t.name, &dims, DType::from_ggml(t.kind).unwrap());
    }
    b
}

#[test]
fn gemma_27b_gguf_scales_by_width_per_head() {
    // Both 27B models are recognised by their number of layers.
    for (arch, layers) in [("gemma2", 46), ("gemma3", 62)] {
        assert_eq!(from_gguf(&with_wide_heads(arch, layers)).attention_scale, 0.25);
        let by_head_size = (1.0 / 32f64.sqrt()) as f32;
        assert_eq!(from_gguf(&with_wide_heads(arch, 2)).attention_scale, by_head_size);
        let b = with_wide_heads(arch, layers).with(&format!("{arch}.attention.scale"), f32_(0.5));
        assert_eq!(from_gguf(&b).attention_scale, 0.5, "what the file says comes first");
    }
}

#[test]
fn gemma2_and_gemma1_gguf() {
    let c = from_gguf(&model("gemma2", 4));
    assert_eq!(windows(&c), [Some(4096), None, Some(4096), None]);
    assert_eq!((c.attention_softcap, c.final_softcap), (Some(50.0), Some(30.0)));
    assert_eq!(c.ropes, [plain(1e4, 16)]);
    assert!(c.post_norms && !c.qk_norm);
    let b = model("gemma2", 2)
        .with("gemma2.attention.sliding_window", u32_(16))
        .with("gemma2.attn_logit_softcapping", f32_(5.0))
        .with("gemma2.final_logit_softcapping", f32_(0.0));
    let c = from_gguf(&b);
    assert_eq!((windows(&c), c.attention_softcap, c.final_softcap), (vec![Some(16), None], Some(5.0), None));
    let c = from_gguf(&model("gemma", 2));
    assert_eq!((windows(&c), c.post_norms, c.activation), (vec![None, None], false, Activation::GeluTanh));
}

#[test]
fn llama_and_qwen_gguf() {
    let c = from_gguf(&model("llama", 2));
    assert!(c.rope_interleaved && c.tied && !c.qk_norm && !c.qkv_bias && !c.post_norms);
    assert_eq!((c.activation, c.embedding_scale), (Activation::Silu, 1.0));
    assert_eq!((windows(&c), c.ropes), (vec![None, None], vec![plain(1e4, 16)]));
    let c = from_gguf(&model("llama", 2).with("llama.attention.sliding_window", u32_(9)));
    assert_eq!(windows(&c), [Some(9), Some(9)]);
    let c = from_gguf(&model("llama", 1).tensor("output.weight", &[32, 8], DType::F16));
    assert!(!c.tied);
    // Llama 3's factors replace the builder's data at the end of the file.
    let mut bytes = model("llama", 1).tensor("rope_freqs.weight", &[8], DType::F32).build();
    let start = bytes.len() - 32;
    let factors = [1.0f32, 1.0, 1.5, 2.0, 4.0, 8.0, 32.0, 32.0];
    bytes[start..].copy_from_slice(&factors.map(f32::to_le_bytes).concat());
    let (_dir, path) = file("m.gguf", &bytes);
    let c = Weights::open(&path).unwrap().config().unwrap();
    assert_eq!(c.ropes[0].scaling, RopeScaling::Factors(factors.to_vec()));
    bytes[start..start + 4].copy_from_slice(&0f32.to_le_bytes());
    let (_dir, path) = file("m.gguf", &bytes);
    assert!(error(&path).contains("rotary embedding: scaling by 0"));

    let c = from_gguf(&model("qwen2", 1).with("qwen2.attention.sliding_window", u32_(9)));
    assert!(c.qkv_bias && !c.qk_norm && !c.rope_interleaved);
    assert_eq!(windows(&c), [None], "Qwen's files name a window that the model does not use");
    let c = from_gguf(&model("qwen3", 1).with("qwen3.rope.freq_base", f32_(1e6)));
    assert!(c.qk_norm && !c.qkv_bias && c.ropes[0].base == 1e6);
    let b = model("qwen3", 1).with("qwen3.rope.scaling.type", str_("dynamic"));
    let (_dir, path) = file("m.gguf", &b.build());
    assert!(error(&path).contains("qwen3.rope.scaling.type: scaling `dynamic` is not supported"));
}

#[test]
fn yarn_and_longrope_gguf_are_those_of_config_json() {
    let yarn = model("qwen3", 1)
        .with("qwen3.rope.scaling.type", str_("yarn"))
        .with("qwen3.rope.scaling.factor", f32_(4.0))
        .with("qwen3.rope.scaling.original_context_length", u32_(32));
    let json = |parameters: serde_json::Value| {
        let json = serde_json::json!({"model_type": "qwen3", "num_hidden_layers": 1, "head_dim": 16,
            "max_position_embeddings": 128, "rope_parameters": parameters});
        from_json(json).unwrap()
    };
    let same = json(serde_json::json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}));
    assert_eq!(from_gguf(&yarn).ropes, same.ropes);
    // `attn_factor` is a multiplier of the model's own; `yarn_log_multiplier` cancels the growth.
    let magnitude = |b: &Builder| from_gguf(b).ropes[0].magnitude();
    let growth = (0.1 * 4f64.ln() + 1.0) as f32;
    assert_eq!(magnitude(&yarn), growth);
    assert_eq!(magnitude(&yarn.clone().with("qwen3.rope.scaling.attn_factor", f32_(0.5))), growth * 0.5);
    assert_eq!(magnitude(&yarn.with("qwen3.rope.scaling.yarn_log_multiplier", f32_(1.0))), 1.0);

    let long = model("llama", 1)
        .with("llama.rope.scaling.type", str_("longrope"))
        .with("llama.rope.scaling.attn_factor", f32_(1.19))
        .with("llama.rope.scaling.original_context_length", u32_(64));
    let (_dir, path) = file("m.gguf", &long.build());
    assert!(error(&path).contains("tensor `rope_factors_short.weight` is missing"));
    let tables = ["rope_factors_long.weight", "rope_factors_short.weight"];
    let mut bytes = tables.iter().fold(long, |b, table| b.tensor(table, &[8], DType::F32)).build();
    let start = bytes.len() - 32;
    let factors = [1.0f32, 1.0, 1.5, 2.0, 4.0, 8.0, 32.0, 32.0];
    bytes[start..].copy_from_slice(&factors.map(f32::to_le_bytes).concat());
    let (_dir, path) = file("m.gguf", &bytes);
    let weights = Weights::open(&path).unwrap();
    let c = weights.config().unwrap();
    let scaling = |magnitude| RopeScaling::Longrope { divisors: factors.to_vec(), magnitude, original_context: 64 };
    assert_eq!((&c.ropes[0].scaling, c.context), (&scaling(1.19), 64));
    assert!(weights.notes()[0].contains("its context is the 64 tokens"), "{:?}", weights.notes());
    // As in transformers, the original context may be given outside the parameters, and the factor follows from it.
    let json = serde_json::json!({"model_type": "llama", "num_hidden_layers": 1, "head_dim": 16,
        "max_position_embeddings": 256, "original_max_position_embeddings": 64,
        "rope_scaling": {"type": "su", "short_factor": factors, "long_factor": factors}});
    let c = from_json(json.clone()).unwrap();
    assert_eq!((&c.ropes[0].scaling, c.context), (&scaling((1.0 + 4f64.ln() / 64f64.ln()).sqrt() as f32), 64));
    for (key, value, expected) in [
        ("short_factor", serde_json::json!(null), "rope_scaling.short_factor: is missing"),
        ("short_factor", serde_json::json!(["1", 2]), "rope_scaling.short_factor: \"1\" is not a number"),
        ("short_factor", serde_json::json!([1, 2]), "rotary embedding: 2 factors for 8 pairs"),
        ("short_factor", serde_json::json!([1, 1, 1, 1, 1, 1, 1, -2]), "rotary embedding: scaling by -2"),
        ("original_max_position_embeddings", serde_json::json!(0), "rotary embedding: an original context of 0"),
        ("original_max_position_embeddings", serde_json::json!(-5), "original_max_position_embeddings: is -5"),
    ] {
        let mut bad = json.clone();
        bad["rope_scaling"][key] = value;
        let message = from_json(bad).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn fused_matrices_of_queries_keys_and_values_are_taken_apart() {
    // The fused tensor replaces the separate ones: 32 rows of queries, then 16 of keys and 16 of values.
    let fused = |rows: u64, bias: u64| {
        let mut b = model("qwen2", 1);
        b.data = 0;
        for t in std::mem::take(&mut b.tensors) {
            if !["attn_q", "attn_k", "attn_v"].iter().any(|name| t.name.contains(name)) {
                b = b.tensor(&t.name, &t.dims, DType::from_ggml(t.kind).unwrap());
            }
        }
        let b = b.tensor("blk.0.attn_qkv.weight", &[32, rows], DType::Q8_0);
        file("m.gguf", &b.tensor("blk.0.attn_qkv.bias", &[bias], DType::F32).build())
    };
    let (_dir, path) = fused(64, 64);
    let weights = Weights::open(&path).unwrap();
    assert!(weights.config().unwrap().qkv_bias);
    let whole = weights.gguf().unwrap().tensor("blk.0.attn_qkv.weight").unwrap().unwrap();
    for (role, first, rows) in [(Role::Q, 0, 32), (Role::K, 32, 16), (Role::V, 48, 16)] {
        let view = weights.tensor(role, Some(0)).unwrap();
        assert_eq!((view.rows, view.cols), (rows, 32));
        assert_eq!(view.data, &whole.data[first * 34..][..rows * 34]);
    }
    let bias = weights.tensor(Role::KBias, Some(0)).unwrap();
    assert_eq!((bias.rows, bias.cols, bias.data.len()), (1, 16, 64));
    for (rows, bias, expected) in [
        (65, 64, "has 65 rows for queries of 32"),
        (32, 64, "has 32 rows for queries of 32"),
        (16, 64, "has 16 rows for queries of 32"),
        (96, 64, "attn_qkv.weight`: shape is [32, 32] but the model's configuration asks for [16, 32]"),
        (64, 96, "attn_qkv.bias`: shape is [1, 32] but the model's configuration asks for [1, 16]"),
    ] {
        let (_dir, path) = fused(rows, bias);
        let message = error(&path);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn a_rope_factor_without_a_type_is_linear() {
    for arch in ["gemma", "gemma2", "gemma3", "llama", "qwen2", "qwen3"] {
        let base = model(arch, 1);
        let scaling = |b: Builder| from_gguf(&b).ropes[0].scaling.clone();
        let with = |key: &str, value| base.clone().with(&format!("{arch}.{key}"), value);
        let kind = |b: Builder, kind: &str| b.with(&format!("{arch}.rope.scaling.type"), str_(kind));
        for key in ["rope.scale_linear", "rope.scaling.factor"] {
            assert_eq!(scaling(with(key, f32_(4.0))), RopeScaling::Linear(4.0), "{arch} {key}");
            assert_eq!(scaling(with(key, u32_(4))), RopeScaling::Linear(4.0), "{arch} {key}: a whole number");
            assert_eq!(scaling(kind(with(key, f32_(4.0)), "linear")), RopeScaling::Linear(4.0), "{arch} {key}");
            assert_eq!(scaling(kind(with(key, f32_(4.0)), "none")), RopeScaling::Default, "{arch} {key}");
            assert_eq!(scaling(with(key, f32_(0.0))), RopeScaling::Default, "{arch} {key}: 0 is none");
        }
        assert_eq!(scaling(kind(base.clone(), "linear")), RopeScaling::Default, "{arch}: a factor of 1");
        // The newer key wins; Gemma 3's layers with a window have their own embedding.
        let both = with("rope.scale_linear", f32_(2.0)).with(&format!("{arch}.rope.scaling.factor"), f32_(8.0));
        assert_eq!(scaling(both.clone()), RopeScaling::Linear(8.0));
        assert!(from_gguf(&both).ropes[1..].iter().all(|r| r.scaling == RopeScaling::Default));
    }
    let b = model("llama", 1).with("llama.rope.scaling.factor", f32_(-1.0));
    let (_dir, path) = file("m.gguf", &b.build());
    assert!(error(&path).contains("scaling by -1"));
}

#[test]
fn one_number_for_every_layer_is_one_number() {
    let ints =
        |list: &[i32]| array(5, list.len() as u64, &list.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
    for arch in ["llama", "gemma3", "qwen2"] {
        let b = model(arch, 3)
            .with(&format!("{arch}.attention.head_count"), ints(&[2, 2, 2]))
            .with(&format!("{arch}.attention.head_count_kv"), ints(&[1, 1, 1]))
            .with(&format!("{arch}.feed_forward_length"), ints(&[64, 64, 64]))
            .with(&format!("{arch}.rope.freq_base"), u32_(10_000));
        let plain = model(arch, 3).with(&format!("{arch}.rope.freq_base"), f32_(1e4));
        assert_eq!(from_gguf(&b), from_gguf(&plain));
    }
    for (list, expected) in [
        (&[1, 2, 1][..], "llama.attention.head_count_kv: is 1 in one layer and 2 in another"),
        (&[1, 1], "head_count_kv: has 2 entries for 3 layers"),
        (&[-1, -1, -1], "head_count_kv: is -1"),
        (&[0, 0, 0], "number of key/value heads: is 0"),
        (&[], "head_count_kv: has 0 entries"),
    ] {
        let (_dir, path) = file("m.gguf", &model("llama", 3).with("llama.attention.head_count_kv", ints(list)).build());
        let message = error(&path);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn a_rope_factor_without_a_type_in_config_json_is_idle_and_said() {
    let json = serde_json::json!({"model_type": "llama", "rope_scaling": {"factor": 4.0}});
    assert_eq!(from_json(json.clone()).unwrap().ropes[0].scaling, RopeScaling::Default, "as in transformers");
    let path = Path::new("config.json");
    let notes = hf::notes(&Fields::new(path, json.as_object().unwrap()));
    assert!(notes[0].contains("rope_scaling has a factor but no rope_type"), "{notes:?}");
    let json = serde_json::json!({"model_type": "llama", "rope_scaling": {"factor": 4, "type": "linear"}});
    assert!(hf::notes(&Fields::new(path, json.as_object().unwrap())).is_empty());
    assert_eq!(from_json(json).unwrap().ropes[0].scaling, RopeScaling::Linear(4.0));
}

#[test]
fn end_tokens_of_gguf() {
    let ends = |b: &Builder| {
        let (_dir, path) = file("m.gguf", &b.build());
        Weights::open(&path).unwrap().end_tokens().unwrap().into_iter().map(|t| t.0).collect::<Vec<_>>()
    };
    let b = model("llama", 1).with("tokenizer.ggml.eos_token_id", u32_(7));
    assert_eq!(ends(&b.clone().with("tokenizer.ggml.eot_token_id", u32_(2))), [2, 7]);
    let minus_one = [&5u32.to_le_bytes()[..], &(-1i32).to_le_bytes()].concat();
    let b = b.with("tokenizer.ggml.eom_token_id", u32_(u32::MAX)).with("tokenizer.ggml.eot_token_id", minus_one);
    let list: Vec<u8> = [7i32, -1, 3].iter().flat_map(|n| n.to_le_bytes()).collect();
    assert_eq!(ends(&b.with("tokenizer.ggml.eos_token_ids", array(5, 3, &list))), [3, 7]);
    assert!(ends(&model("llama", 1).without("tokenizer.ggml.eos_token_id")).is_empty());
}

#[test]
fn gemma3_4b_config_json_leaves_most_to_defaults() {
    // As published on the Hub, the nested text configuration holds only what differs from the defaults.
    let c = from_json(serde_json::json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "eos_token_id": [1, 106],
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
                        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}
    }))
    .unwrap();
    assert_eq!((c.vocab, c.hidden, c.layers.len()), (262_208, 2560, 34));
    let l = &c.layers[5];
    assert_eq!((l.heads, l.kv_heads, l.head_dim, c.context), (8, 4, 256, 131_072));
    assert_eq!(c.attention_scale, 0.0625);
    assert_eq!([5, 6].map(|i| (c.layers[i].window, c.layers[i].rope)), [(None, 0), (Some(1024), 1)]);
    let global = Rope { scaling: RopeScaling::Linear(8.0), ..plain(1e6, 256) };
    assert_eq!(c.ropes, [global, plain(1e4, 256)]);
    assert!(c.tied && c.norm_offset && c.qk_norm);
}

#[test]
fn older_and_newer_rope_styles_agree() {
    let base = serde_json::json!({"model_type": "gemma3_text", "num_hidden_layers": 6, "query_pre_attn_scalar": 168});
    let with = |more: serde_json::Value| {
        let mut json = base.clone();
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_json(json).unwrap()
    };
    let old = with(serde_json::json!({"rope_theta": 2e6, "rope_local_base_freq": 20000,
        "rope_scaling": {"type": "linear", "factor": 4}, "sliding_window_pattern": 3}));
    let new = with(serde_json::json!({"_sliding_window_pattern": 3, "rope_parameters": {
        "full_attention": {"rope_theta": 2e6, "rope_type": "linear", "factor": 4.0},
        "sliding_attention": {"rope_theta": 20000.0, "rope_type": "default"}}}));
    assert_eq!(old, new);
    assert_eq!(windows(&old), [Some(4096), Some(4096), None, Some(4096), Some(4096), None]);
    assert_eq!(old.attention_scale, (1.0 / 168f64.sqrt()) as f32);
}

#[test]
fn llama_31_config_json() {
    let scaling = serde_json::json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let json = serde_json::json!({"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": scaling, "attention_bias": false, "head_dim": null});
    let c = from_json(json.clone()).unwrap();
    let l = &c.layers[0];
    assert_eq!((l.head_dim, l.kv_heads, c.tied, c.rope_interleaved), (128, 8, false, false));
    let llama3 =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
    assert_eq!(c.ropes, [Rope { base: 5e5, dims: 128, scaling: llama3 }]);
    for (key, value, expected) in [
        ("attention_bias", serde_json::json!(true), "config.json: attention_bias: is set"),
        ("mlp_bias", serde_json::json!(true), "mlp_bias: is set"),
        ("hidden_act", serde_json::json!("relu"), "hidden_act: is `relu`"),
        ("rope_scaling", serde_json::json!({"rope_type": "yarns"}), "rope_scaling.rope_type: `yarns`"),
        (
            "rope_scaling",
            serde_json::json!({"rope_type": "yarn", "factor": 4}),
            "rope_scaling.original_max_position_embeddings: is missing",
        ),
        ("rope_scaling", serde_json::json!({"rope_type": "linear"}), "rope_scaling.factor: is missing"),
        (
            "num_hidden_layers",
            serde_json::json!("many"),
            "num_hidden_layers: is \"many\", expected a non-negative integer",
        ),
        ("num_hidden_layers", serde_json::json!(1u64 << 40), "num_hidden_layers: is 1099511627776"),
        ("hidden_size", serde_json::json!(-1), "hidden_size: is -1"),
        ("num_attention_heads", serde_json::json!(0), "num_attention_heads: 0 heads"),
        ("num_key_value_heads", serde_json::json!(5), "32 query heads cannot share 5"),
        ("quantization_config", serde_json::json!({"quant_method": "gptq"}), "quantization_config"),
        ("model_type", serde_json::json!("mamba"), "architecture `mamba` is not supported"),
        ("model_type", serde_json::json!(null), "model_type: is missing"),
        ("rms_norm_eps", serde_json::json!(0), "norm epsilon"),
    ] {
        let mut bad = json.clone();
        bad[key] = value;
        let message = from_json(bad).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn windows_of_config_json() {
    let layers = |json: serde_json::Value| windows(&from_json(json).unwrap());
    let mistral = |window: serde_json::Value| serde_json::json!({"model_type": "mistral", "num_hidden_layers": 1, "sliding_window": window});
    assert_eq!(layers(mistral(serde_json::json!(16))), [Some(16)]);
    assert_eq!(layers(mistral(serde_json::Value::Null)), [None]);
    assert_eq!(layers(serde_json::json!({"model_type": "mistral", "num_hidden_layers": 1})), [Some(4096)]);
    let qwen = |on: bool| {
        serde_json::json!({"model_type": "qwen2", "num_hidden_layers": 3, "use_sliding_window": on,
        "sliding_window": 8, "max_window_layers": 2})
    };
    assert_eq!(layers(qwen(false)), [None, None, None]);
    assert_eq!(layers(qwen(true)), [None, None, Some(8)]);
    let mut listed = qwen(false);
    listed["layer_types"] = serde_json::json!(["sliding_attention", "full_attention", "full_attention"]);
    assert_eq!(layers(listed.clone()), [Some(8), None, None]);
    listed["layer_types"] = serde_json::json!(["sliding_attention"]);
    assert!(from_json(listed.clone()).unwrap_err().to_string().contains("layer_types: has 1 entries for 3 layers"));
    listed["layer_types"] = serde_json::json!(["chunked_attention", 1, 2]);
    assert!(from_json(listed).unwrap_err().to_string().contains("\"chunked_attention\" is unknown"));
}

/// A config.json of a Gemma 4 with 12 layers, as published on the Hub, where the sizes of layers with full attention
/// have separate keys.
fn gemma4(change: &[(&str, serde_json::Value)]) -> Result<Config, WeightsError> {
    let mut text = serde_json::json!({
        "model_type": "gemma4_text", "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 12,
        "num_attention_heads": 8, "num_key_value_heads": 1, "global_head_dim": 512, "num_kv_shared_layers": 5,
        "use_double_wide_mlp": true, "hidden_size_per_layer_input": 256, "final_logit_softcapping": 30.0,
        "use_bidirectional_attention": "vision"});
    change.iter().for_each(|(key, value)| text[*key] = value.clone());
    from_json(serde_json::json!({"model_type": "gemma4", "text_config": text, "vision_config": {}}))
}

#[test]
fn gemma4_config_json_as_published_and_as_transformers_saves_it() {
    let c = gemma4(&[]).unwrap();
    let shapes = |c: &Config| -> Vec<_> {
        c.layers.iter().map(|l| (l.head_dim, l.kv_heads, l.intermediate, l.window, l.rows)).collect()
    };
    let own = (256, 1, 6144, Some(512), Rows::Own);
    let mut expected = vec![own; 12];
    expected[5] = (512, 1, 6144, None, Rows::Own);
    expected[7..].fill((256, 1, 12288, Some(512), Rows::Shared(6)));
    expected[11] = (512, 1, 12288, None, Rows::Shared(5));
    assert_eq!(shapes(&c), expected);
    assert_eq!(c.layers_with_rows(), 7);
    assert_eq!(c.layer_inputs, Some(LayerInputs { size: 256, rows: 262_144 }));
    let turning = RopeScaling::Proportional { pairs: 64, factor: 1.0 };
    assert_eq!(c.ropes, [Rope { scaling: turning, ..plain(1e6, 512) }, plain(1e4, 256)]);
    assert_eq!((c.attention_scale, c.final_softcap, c.attention_softcap), (1.0, Some(30.0), None));
    assert!(c.tied && c.qk_norm && c.v_norm && c.post_norms && c.layer_scalar && !c.norm_offset);
    // transformers saves sizes for each layer, with indices that may be padded with zeros.
    let own = serde_json::json!({"05": {"head_dim": 512}, "11": {"head_dim": 512}});
    assert_eq!(gemma4(&[("per_layer_config", own), ("global_head_dim", serde_json::json!(null))]).unwrap(), c);
    // In larger models the layers with full attention have fewer key/value heads, and their keys are also values.
    let larger = gemma4(&[
        ("num_key_value_heads", serde_json::json!(4)),
        ("num_global_key_value_heads", serde_json::json!(2)),
        ("attention_k_eq_v", serde_json::json!(true)),
        ("num_kv_shared_layers", serde_json::json!(0)),
        ("hidden_size_per_layer_input", serde_json::json!(null)),
    ]);
    let larger = larger.unwrap();
    assert_eq!(shapes(&larger)[4..6], [(256, 4, 6144, Some(512), Rows::Own), (512, 2, 6144, None, Rows::KeyIsValue)]);
    assert_eq!(larger.layer_inputs, None);
}

#[test]
fn gemma4_configurations_that_contradict_themselves_are_named() {
    for (key, value, expected) in [
        ("num_kv_shared_layers", serde_json::json!(12), "num_kv_shared_layers: is 12, but the model has 12 layers"),
        ("num_kv_shared_layers", serde_json::json!(7), "is 7: no layer before them sees as much as layer 5"),
        ("num_kv_shared_layers", serde_json::json!(-1), "num_kv_shared_layers: is -1"),
        ("per_layer_config", serde_json::json!({"12": {"head_dim": 512}}), "per_layer_config.12: is no layer"),
        ("per_layer_config", serde_json::json!({"5": 512}), "per_layer_config.5: is 512"),
        (
            "per_layer_config",
            serde_json::json!({"10": {"head_dim": 512}}),
            "layer 10 is unlike layer 6, whose keys and values it reads",
        ),
        ("use_bidirectional_attention", serde_json::json!("all"), "use_bidirectional_attention: is set"),
        ("intermediate_size", serde_json::json!(1u64 << 63), "feed-forward size: is "),
        ("global_head_dim", serde_json::json!(500), "head size: is 500, not a multiple of 16"),
        ("hidden_size_per_layer_input", serde_json::json!(1 << 20), "size of a layer's input: is 1048576"),
        ("vocab_size_per_layer_input", serde_json::json!(1000), "are of 1000 tokens, but the vocabulary has 262144"),
        ("layer_types", serde_json::json!(["sliding_attention"]), "layer_types: has 1 entries for 12 layers"),
    ] {
        let error = gemma4(&[(key, value)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
}
