//! Tests with the tiny reference models, and with real models if they are installed.

use super::*;
use crate::config::{Activation, Config, Rope, RopeScaling};
use crate::weights::Role;
use std::time::Instant;

fn tiny(name: &str) -> (Weights, Config) {
    let weights = Weights::open(&fixtures().join("tiny").join(name)).unwrap();
    let config = weights.config().unwrap();
    (weights, config)
}

fn rope(base: f32, dims: usize) -> Rope {
    Rope { base, dims, scaling: RopeScaling::Default }
}

#[test]
fn tiny_models_share_their_sizes() {
    // Each entry is: name, head size, whether the output matrix is separate, number of parameters.
    for (name, head_dim, untied) in [
        ("gemma1", 32, false),
        ("gemma2", 32, false),
        ("gemma3", 32, false),
        ("llama", 16, false),
        ("llama-untied", 16, true),
        ("mistral", 16, true),
        ("qwen2", 16, true),
        ("qwen3", 32, true),
    ] {
        let (w, c) = tiny(name);
        let l = &c.layers[0];
        assert_eq!((c.vocab, c.hidden, l.intermediate, l.heads, l.kv_heads), (320, 64, 128, 4, 2), "{name}");
        assert_eq!((l.head_dim, c.tied, c.context, c.norm_eps), (head_dim, !untied, 256, 1e-6), "{name}");
        assert_eq!(c.layers.len(), if name == "gemma3" { 7 } else { 4 });
        let gemma = name.starts_with("gemma");
        assert_eq!(c.norm_offset, gemma);
        assert_eq!(c.embedding_scale, if gemma { 8.0 } else { 1.0 });
        assert_eq!(c.activation, if gemma { Activation::GeluTanh } else { Activation::Silu });
        assert!(!c.rope_interleaved);
        assert_eq!(w.quantisation(), "F32");
        assert_eq!(w.bytes(), 4 * w.parameters());
        assert_eq!(w.end_tokens().unwrap().iter().map(|t| t.0).collect::<Vec<_>>(), [1]);
        assert!(w.gguf().is_none() && w.files().len() == 1);
    }
}

#[test]
fn tiny_gemmas() {
    let (_, c) = tiny("gemma1");
    assert_eq!((c.attention_scale, &c.ropes[..]), ((1.0 / 32f64.sqrt()) as f32, &[rope(1e4, 32)][..]));
    assert!(!c.post_norms && !c.qk_norm && c.layers.iter().all(|l| l.window.is_none()));
    let (_, c) = tiny("gemma2");
    assert_eq!((c.attention_softcap, c.final_softcap), (Some(5.0), Some(8.0)));
    assert_eq!(c.attention_scale, (1.0 / 24f64.sqrt()) as f32);
    assert_eq!(c.layers.iter().map(|l| l.window).collect::<Vec<_>>(), [Some(16), None, Some(16), None]);
    assert!(c.post_norms && !c.qk_norm);
    let (_, c) = tiny("gemma3");
    assert_eq!((c.attention_softcap, c.final_softcap), (None, None));
    let expected =
        [(Some(12), 1), (Some(12), 1), (Some(12), 1), (Some(12), 1), (Some(12), 1), (None, 0), (Some(12), 1)];
    assert_eq!(c.layers.iter().map(|l| (l.window, l.rope)).collect::<Vec<_>>(), expected);
    assert_eq!(c.ropes, [rope(1e6, 32), rope(1e4, 32)]);
    assert!(c.post_norms && c.qk_norm);
}

#[test]
fn tiny_others() {
    let (w, c) = tiny("llama");
    assert!(w.tensor(Role::Output, None).is_err(), "the embedding serves");
    assert_eq!(c.ropes, [rope(1e4, 16)]);
    let (w, c) = tiny("llama-untied");
    let scaling =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 64.0 };
    assert_eq!(c.ropes, [Rope { scaling, ..rope(1e4, 16) }]);
    w.tensor(Role::Output, None).unwrap().expect_shape(320, 64).unwrap();
    let (_, c) = tiny("mistral");
    assert!(c.layers.iter().all(|l| l.window == Some(16)));
    let (w, c) = tiny("qwen2");
    assert!(c.qkv_bias && !c.qk_norm && c.layers.iter().all(|l| l.window.is_none()));
    w.tensor(Role::KBias, Some(3)).unwrap().expect_shape(1, 32).unwrap();
    let missing = w.tensor(Role::QNorm, Some(0)).unwrap_err().to_string();
    assert!(missing.contains("tensor `model.layers.0.self_attn.q_norm.weight` is missing"), "{missing}");
    let (_, c) = tiny("qwen3");
    assert!(c.qk_norm && !c.qkv_bias);
}

/// A real model's file, or `None` with a note.
fn real(name: &str) -> Option<Weights> {
    let Some(folder) = std::env::var_os("LOGITREE_TEST_MODELS") else {
        eprintln!("skipped: LOGITREE_TEST_MODELS does not name the folder of {name}");
        return None;
    };
    let start = Instant::now();
    let weights = Weights::open(&Path::new(&folder).join(name)).unwrap();
    eprintln!("{name}: opened in {:?}", start.elapsed());
    Some(weights)
}

#[test]
fn real_gemma_3_270m() {
    let Some(w) = real("gemma-3-270m-q4_k_m.gguf") else { return };
    let c = w.config().unwrap();
    let l = &c.layers[0];
    assert_eq!((c.vocab, c.hidden, l.intermediate, l.heads, l.kv_heads), (262_144, 640, 2048, 4, 1));
    assert_eq!((l.head_dim, c.layers.len(), c.context, c.attention_scale), (256, 18, 32768, 0.0625));
    let global: Vec<usize> = (0..18).filter(|&i| c.layers[i].window.is_none()).collect();
    assert_eq!(global, [5, 11, 17]);
    assert_eq!(c.layers[0].window, Some(512));
    assert_eq!(c.ropes, [rope(1e6, 256), rope(1e4, 256)]);
    assert!(c.tied && !c.norm_offset && !c.rope_interleaved);
    // The expected numbers were computed with the Python package gguf.
    assert_eq!((w.parameters(), w.bytes()), (268_098_176, 179_824_640 + 43_591_680 + 13_271_040 + 9_676_800 + 223_744));
    assert_eq!(w.quantisation(), "Q8_0 + Q5_0 + Q4_K + Q6_K + F32");
    assert_eq!(w.end_tokens().unwrap().iter().map(|t| t.0).collect::<Vec<_>>(), [1]);
    let g = w.gguf().unwrap();
    let start = Instant::now();
    let tokens = g.strings("tokenizer.ggml.tokens").unwrap();
    let scores = g.f32s("tokenizer.ggml.scores").unwrap();
    let types = g.i64s("tokenizer.ggml.token_type").unwrap();
    eprintln!("vocabulary read in {:?}", start.elapsed());
    assert_eq!((tokens.len(), scores.len(), types.len()), (262_144, 262_144, 262_144));
    assert_eq!((tokens[1], tokens[106], tokens[2]), (&b"<eos>"[..], &b"<end_of_turn>"[..], &b"<bos>"[..]));
    assert_eq!(w.tensor(Role::K, Some(0)).unwrap().dtype.name(), "Q5_0");
}

#[test]
fn real_smollm2_135m() {
    let Some(w) = real("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let c = w.config().unwrap();
    let l = &c.layers[0];
    assert_eq!((c.vocab, c.hidden, l.intermediate, l.heads, l.kv_heads), (49_152, 576, 1536, 9, 3));
    assert_eq!((l.head_dim, c.layers.len(), c.context), (64, 30, 8192));
    assert_eq!(c.ropes, [rope(1e5, 64)]);
    assert!(c.tied && c.rope_interleaved && c.layers.iter().all(|l| l.window.is_none()));
    assert_eq!((w.quantisation().as_str(), w.parameters()), ("Q4_1 + Q8_0 + F32", 134_515_008));
    assert_eq!(w.end_tokens().unwrap().iter().map(|t| t.0).collect::<Vec<_>>(), [2]);
}
