//! Mixtures of experts and Gemma 4: errors about missing, superfluous, negative or contradicting values name them, and
//! say what to do.

use super::builder::*;
use super::configs::{from_gguf, from_json};
use super::*;
use crate::config::{Experts, FeedForward};
use logitree_kernels::DType;
use serde_json::{Value as Json, json};

#[test]
fn mixtures_of_gguf_files() {
    let c = from_gguf(&model("qwen3moe", 2));
    let experts = Experts { count: 4, used: 2, intermediate: 32, normalised: true, own_norm: false };
    assert_eq!((c.experts, c.layers[1].feed_forward), (Some(experts), FeedForward::Experts));
    let c = from_gguf(&model("gemma4", 2));
    assert_eq!(c.experts, Some(Experts { own_norm: true, ..experts }));
    assert_eq!(c.layers[0].feed_forward, FeedForward::DenseAndExperts);
}

#[test]
fn metadata_of_mixtures_is_checked() {
    let ints =
        |list: &[i32]| array(5, list.len() as u64, &list.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
    let i32_ = |n: i32| [&5u32.to_le_bytes()[..], &n.to_le_bytes()].concat();
    // `None` removes the key.
    let cases: &[(&str, &str, Option<Vec<u8>>, &str)] = &[
        ("both", "expert_used_count", None, "expert_used_count: is missing; use a file made by a current converter"),
        ("both", "expert_used_count", Some(u32_(5)), "number of experts used: is 5, expected 1 to 4"),
        ("both", "expert_used_count", Some(u32_(0)), "number of experts used: is 0, expected 1 to 4"),
        ("both", "expert_used_count", Some(i32_(-2)), "expert_used_count: is the integer -2"),
        ("both", "expert_feed_forward_length", None, "expert_feed_forward_length: is missing"),
        ("both", "expert_feed_forward_length", Some(u32_(64)), "_exps.weight`: shape is [4, "),
        ("both", "expert_feed_forward_length", Some(ints(&[32, 64])), "is 32 in one layer and 64 in another"),
        ("both", "expert_count", Some(u32_(8)), "`blk.0.ffn_gate_inp.weight`: shape is [4, 32]"),
        ("both", "expert_count", Some(str_("four")), "expert_count: is a string"),
        ("both", "expert_count", None, "expert_count: is missing or 0, but layer 0 has a router for experts"),
        ("both", "feed_forward_length", Some(i32_(-64)), "feed_forward_length: is the integer -64"),
        ("both", "attention.head_count_kv", Some(u32_(3)), "2 query heads cannot share 3 key/value heads"),
        ("gemma4", "attention.head_count_kv", Some(ints(&[1])), "head_count_kv: has 1 entries for 2 layers"),
        ("gemma4", "attention.head_count_kv", Some(ints(&[1, -1])), "head_count_kv: -1 is not a size"),
        ("gemma4", "feed_forward_length", Some(ints(&[64, 64, 64])), "feed_forward_length: has 3 entries for 2 layers"),
        ("gemma4", "feed_forward_length", None, "feed_forward_length: is missing"),
        ("gemma4", "attention.key_length_swa", None, "key_length_swa: is missing"),
        ("gemma4", "attention.key_length_swa", Some(u32_(20)), "head size: is 20, not a multiple of 16"),
        ("gemma4", "attention.value_length_swa", Some(u32_(32)), "value_length_swa: is 32, but keys are of size 16"),
        ("gemma4", "attention.sliding_window", None, "sliding_window: is missing"),
        ("gemma4", "attention.sliding_window_pattern", Some(u32_(0)), "sliding_window_pattern: is 0"),
        ("gemma4", "attention.sliding_window_pattern", Some(array(7, 1, &[1])), "has 1 entries for 2 layers"),
        ("gemma4", "attention.shared_kv_layers", Some(u32_(2)), "shared_kv_layers: is 2, but the model has 2 layers"),
        ("gemma4", "attention.shared_kv_layers", Some(i32_(-1)), "shared_kv_layers: is the integer -1"),
        ("gemma4", "embedding_length_per_layer_input", Some(u32_(16)), "`per_layer_token_embd.weight` is missing"),
        ("gemma4", "rope.freq_base", None, "rope.freq_base: is missing"),
        ("gemma4", "rope.dimension_count_swa", Some(u32_(40)), "rotary embedding: 40 dimensions of heads of 16"),
        ("gemma4", "final_logit_softcapping", Some(f32_(-30.0)), "final soft-cap: is -30, expected a positive number"),
    ];
    for (of, key, value, expected) in cases {
        for arch in ["gemma4", "qwen3moe"].into_iter().filter(|arch| ["both", arch].contains(of)) {
            let key = format!("{arch}.{key}");
            let b = model(arch, 2);
            let b = value.clone().map_or(b.clone().without(&key), |value| b.with(&key, value));
            let (_dir, path) = file("m.gguf", &b.build());
            let message = error(&path);
            assert!(message.contains(expected), "{key}: {message:?} lacks {expected:?}");
        }
    }
}

#[test]
fn tensors_of_mixtures_are_checked() {
    for arch in ["gemma4", "qwen3moe"] {
        let names: Vec<String> = model(arch, 1).tensors.into_iter().map(|t| t.name).collect();
        // Each tensor in turn is left out, then given a wrong shape. A layer without a router has no experts, and a
        // layer without a value matrix uses its keys as values, so leaving these out changes the model instead of
        // giving the usual error.
        for name in &names {
            for wrong in [None, Some(&[64u64, 7][..])] {
                let mut b = model(arch, 1);
                b.data = 0;
                for t in std::mem::take(&mut b.tensors) {
                    let dims = if t.name == *name { wrong } else { Some(&t.dims[..]) };
                    b = dims.map_or(b.clone(), |dims| b.tensor(&t.name, dims, DType::from_ggml(t.kind).unwrap()));
                }
                let (_dir, path) = file("m.gguf", &b.build());
                if (arch, name.as_str(), wrong) == ("gemma4", "blk.0.attn_v.weight", None) {
                    assert!(use_all(&path).is_ok(), "keys serve as values");
                    continue;
                }
                let message = error(&path);
                let expected = match (wrong, name.as_str()) {
                    (None, "blk.0.ffn_gate_inp.weight") => "blk.0.",
                    // Without the fused tensor, the separate tensors are expected.
                    (None, "blk.0.ffn_gate_up_exps.weight") => "blk.0.ffn_gate_exps.weight",
                    _ => name,
                };
                assert!(message.contains(expected), "{name} {wrong:?}: {message}");
            }
        }
        let more = model(arch, 1).tensor("blk.0.ffn_gate_shexp.weight", &[32, 32], DType::Q8_0);
        let (_dir, path) = file("m.gguf", &more.build());
        assert!(error(&path).contains("`blk.0.ffn_gate_shexp.weight`: is not part of a "));
    }
}

/// Fails unless each change of `good` gives an error that contains these words and names config.json. A null removes
/// the key.
fn check(good: &Json, cases: &[(&str, Json, &str)]) {
    assert!(from_json(good.clone()).is_ok());
    for (key, value, expected) in cases {
        let mut bad = good.clone();
        match value {
            Json::Null => drop(bad.as_object_mut().unwrap().remove(*key)),
            value => bad[*key] = value.clone(),
        }
        let message = from_json(bad).expect_err(key).to_string();
        assert!(message.contains(expected) && message.contains("config.json"), "{key}: {message:?} lacks {expected:?}");
    }
}

#[test]
fn config_json_of_gemma4_with_experts_is_checked() {
    let good = json!({
        "model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6, "vocab_size": 320,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 32, "sliding_window": 12,
        "num_global_key_value_heads": 1, "attention_k_eq_v": true, "hidden_size_per_layer_input": 0,
        "enable_moe_block": true, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": 32});
    check(
        &good,
        &[
            ("num_experts", Json::Null, "num_experts: is missing; download the file again"),
            ("num_experts", json!(-8), "num_experts: is -8, expected a non-negative integer"),
            ("num_experts", json!(2), "number of experts used: is 3, expected 1 to 2"),
            ("num_experts", json!(1 << 20), "number of experts: is 1048576, expected 1 to 16384"),
            ("top_k_experts", Json::Null, "top_k_experts: is missing"),
            ("top_k_experts", json!(0), "number of experts used: is 0"),
            ("top_k_experts", json!(9), "number of experts used: is 9, expected 1 to 8"),
            ("moe_intermediate_size", Json::Null, "moe_intermediate_size: is missing"),
            ("moe_intermediate_size", json!(0), "width of experts: is 0"),
            ("moe_intermediate_size", json!(1.5), "moe_intermediate_size: is 1.5"),
            ("enable_moe_block", json!("yes"), "enable_moe_block: is \"yes\", expected true or false"),
            ("num_global_key_value_heads", json!(3), "4 query heads cannot share 3 key/value heads"),
            ("num_key_value_heads", json!(0), "number of key/value heads: is 0"),
            ("sliding_window", json!(0), "window: is 0"),
            ("rope_parameters", json!({"rope_theta": 1e6}), "do not tell full_attention from sliding_attention"),
            ("hidden_activation", json!("silu"), "hidden_activation: is `silu`"),
            ("final_logit_softcapping", json!(-1), "final soft-cap: is -1"),
            ("attention_bias", json!(true), "attention_bias: is set"),
            ("quantization_config", json!({"quant_method": "mobile"}), "quantised safetensors are not supported"),
        ],
    );
}

#[test]
fn config_json_of_qwen3_moe_is_checked() {
    let good = json!({
        "model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 16,
        "num_key_value_heads": 2, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
        "mlp_only_layers": [1], "vocab_size": 320});
    check(
        &good,
        &[
            ("num_experts", json!(2), "number of experts used: is 3, expected 1 to 2"),
            ("num_experts", json!("8"), "num_experts: is \"8\""),
            ("num_local_experts", json!(16), "num_local_experts: is 16, but num_experts is 8"),
            ("num_experts_per_tok", json!(0), "number of experts used: is 0"),
            ("num_experts_per_tok", json!(-1), "num_experts_per_tok: is -1"),
            ("moe_intermediate_size", json!(0), "width of experts: is 0"),
            ("decoder_sparse_step", json!(0), "decoder_sparse_step: is 0"),
            ("mlp_only_layers", json!([3]), "mlp_only_layers: 3 is no layer"),
            ("mlp_only_layers", json!([-1]), "mlp_only_layers: -1 is no layer"),
            ("mlp_only_layers", json!(1), "mlp_only_layers: is 1, expected an array"),
            ("norm_topk_prob", json!(1), "norm_topk_prob: is 1, expected true or false"),
            ("head_dim", json!(24), "head size: is 24, not a multiple of 16"),
            ("hidden_act", json!("gelu"), "hidden_act: is `gelu`"),
        ],
    );
}
