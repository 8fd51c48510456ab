//! Tests of folders of safetensors, correct and damaged ones.

use super::*;
use crate::weights::Role;
use std::collections::BTreeMap;

/// A copy of a tiny model's folder.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures().join("tiny").join(name)).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
    }
    dir
}

fn open_error(dir: &Path) -> String {
    Weights::open(dir).and_then(|w| w.config()).expect_err("this folder is wrong").to_string()
}

/// Rewrites a folder's model.safetensors with renamed tensors, in two shards with an index.
fn shard(dir: &Path, rename: impl Fn(&str) -> String) {
    let whole = std::fs::read(dir.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let mut map = BTreeMap::new();
    for i in 0..2 {
        let file = format!("model-0000{}-of-00002.safetensors", i + 1);
        let mut names = tensors.names();
        names.sort();
        let part: Vec<_> = names.iter().skip(i).step_by(2).map(|n| (rename(n), tensors.tensor(n).unwrap())).collect();
        map.extend(part.iter().map(|(name, _)| (name.clone(), file.clone())));
        std::fs::write(dir.join(file), safetensors::serialize(part, None).unwrap()).unwrap();
    }
    std::fs::remove_file(dir.join("model.safetensors")).unwrap();
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn shards_and_prefixes_hold_the_same_model() {
    let whole = Weights::open(&fixtures().join("tiny/gemma3")).unwrap();
    for prefix in ["model.", "language_model.model.", "model.language_model.", ""] {
        let dir = copy("gemma3");
        shard(dir.path(), |name| format!("{prefix}{}", name.strip_prefix("model.").unwrap()));
        let sharded = Weights::open(dir.path()).unwrap();
        assert_eq!(sharded.files().len(), 2);
        assert_eq!(sharded.config().unwrap(), whole.config().unwrap());
        for role in [Role::PostAttnNorm, Role::FfnNorm, Role::Q, Role::Down] {
            let (a, b) = (whole.tensor(role, Some(3)).unwrap(), sharded.tensor(role, Some(3)).unwrap());
            assert_eq!((a.rows, a.cols, a.data), (b.rows, b.cols, b.data), "{role:?} under {prefix:?}");
        }
    }
}

#[test]
fn the_same_name_means_different_norms() {
    let names = |model: &str| {
        let w = Weights::open(&fixtures().join("tiny").join(model)).unwrap();
        let name = |role| w.tensor(role, Some(0)).map(|t| t.name.rsplit('.').nth(1).unwrap().to_string()).ok();
        [name(Role::PostAttnNorm), name(Role::FfnNorm), name(Role::PostFfnNorm)]
    };
    let own = |s: &str| Some(s.to_string());
    for model in ["gemma2", "gemma3"] {
        let expected = ["post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"];
        assert_eq!(names(model), expected.map(own));
    }
    for model in ["gemma1", "llama", "mistral", "qwen2", "qwen3"] {
        assert_eq!(names(model), [None, own("post_attention_layernorm"), None], "{model}");
    }
}

#[test]
fn an_index_cannot_reach_outside_or_lie() {
    for (file, expected) in [
        ("../../etc/passwd", "weight_map.lm_head.weight: \"../../etc/passwd\" is not a file name"),
        ("..", "is not a file name"),
        ("/dev/zero", "is not a file name"),
        ("missing.safetensors", "missing.safetensors: "),
    ] {
        let dir = copy("llama-untied");
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let index = serde_json::json!({"weight_map": {"lm_head.weight": file}}).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        let message = open_error(dir.path());
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    let dir = copy("llama");
    std::fs::rename(dir.path().join("model.safetensors"), dir.path().join("m.safetensors")).unwrap();
    let index = serde_json::json!({"weight_map": {"ghost": "m.safetensors"}}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    assert!(open_error(dir.path()).contains("weight_map.ghost: the tensor is not in \"m.safetensors\""));
}

#[test]
fn damaged_safetensors_are_refused() {
    let dir = copy("llama");
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let f = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for len in (0..header).chain((header..bytes.len()).step_by(997)).rev() {
        f.set_len(len as u64).unwrap();
        let message = open_error(dir.path());
        assert!(message.contains("model.safetensors: ") && message.contains("download"), "at {len}: {message}");
    }
    for huge in [u64::MAX, 1 << 62, 100_000_001, bytes.len() as u64] {
        let mut bad = bytes.clone();
        bad[..8].copy_from_slice(&huge.to_le_bytes());
        std::fs::write(&path, bad).unwrap();
        assert!(open_error(dir.path()).contains("safetensors header"));
    }
    // A flipped bit in the header gives an error or does no harm. (A bit in a name makes a tensor go missing.)
    let mut state = 88172645463325252u64;
    for _ in 0..600 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut bad = bytes.clone();
        bad[state as usize % header] ^= 1 << (state >> 60 & 7);
        std::fs::write(&path, bad).unwrap();
        let _ = use_all(dir.path());
    }
}

#[test]
fn config_json_is_checked() {
    let dir = copy("qwen3");
    let path = dir.path().join("config.json");
    let good = std::fs::read_to_string(&path).unwrap();
    for (text, expected) in [
        ("", "not valid JSON: "),
        ("[1]", "an array instead of an object"),
        (&good[..good.len() / 2], "not valid JSON: "),
        (&"[".repeat(100_000), "not valid JSON: "),
        (&good.replace("\"hidden_size\": 64", "\"hidden_size\": 128"), "embed_tokens.weight`: shape is [320, 64]"),
        (&good.replace("\"qwen3\"", "\"llama\""), "k_norm.weight`: is not part of a llama model"),
        (&good.replace("\"qwen3\"", "\"gemma2\""), "hidden_act: is `silu`, but the architecture is known with gelu"),
        (
            &good.replace("\"qwen3\"", "\"gemma2\"").replace("silu", "gelu").replace("\"sliding_window\": null,", ""),
            "layernorm.weight` is missing",
        ),
        (&good.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 3"), "layer_types: has 4 entries for 3"),
    ] {
        std::fs::write(&path, text).unwrap();
        let message = open_error(dir.path());
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(open_error(dir.path()).contains("config.json: "));
}

#[test]
fn element_types_other_than_floats_are_named() {
    let dir = copy("llama");
    let path = dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    // The new type has the same size, so the header stays consistent.
    let at = bytes.windows(3).position(|w| w == b"F32").unwrap();
    bytes[at..at + 3].copy_from_slice(b"I32");
    std::fs::write(&path, bytes).unwrap();
    let message = open_error(dir.path());
    assert!(message.contains("element type I32 is not supported"), "{message}");
}

#[test]
fn a_folder_must_hold_one_model() {
    let dir = tempfile::tempdir().unwrap();
    assert!(open_error(dir.path()).contains("holds neither model.safetensors"));
    std::fs::write(dir.path().join("a.gguf"), super::builder::model("llama", 1).build()).unwrap();
    assert_eq!(Weights::open(dir.path()).unwrap().files(), [dir.path().join("a.gguf")]);
    std::fs::copy(dir.path().join("a.gguf"), dir.path().join("b.gguf")).unwrap();
    assert!(open_error(dir.path()).contains("holds 2 models in .gguf files"));
}

#[test]
fn end_tokens_are_united() {
    let dir = copy("gemma3");
    let ends = || Weights::open(dir.path()).unwrap().end_tokens().map(|t| t.iter().map(|t| t.0).collect::<Vec<_>>());
    assert_eq!(ends().unwrap(), [1]);
    let generation = dir.path().join("generation_config.json");
    std::fs::write(&generation, r#"{"eos_token_id": [106, 1]}"#).unwrap();
    assert_eq!(ends().unwrap(), [1, 106]);
    for (bad, expected) in [("[-1]", "-1 is not a token id"), ("\"x\"", "\"x\" is not a token id")] {
        std::fs::write(&generation, format!(r#"{{"eos_token_id": {bad}}}"#)).unwrap();
        assert!(ends().unwrap_err().to_string().contains(expected));
    }
    // The id is beyond the matrix's rows, as if a token had been added to the tokenizer only. A note says that it is
    // never produced.
    std::fs::write(&generation, r#"{"eos_token_id": 320}"#).unwrap();
    assert_eq!(ends().unwrap(), [1, 320]);
    std::fs::remove_file(&generation).unwrap();
    assert_eq!(ends().unwrap(), [1]);
}

/// Writes a folder's model.safetensors anew, from its tensors by name.
fn rewrite(dir: &Path, change: impl FnOnce(&mut BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)>)) {
    let path = dir.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let own = |(name, t): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))
    };
    let mut map: BTreeMap<_, _> = tensors.tensors().into_iter().map(own).collect();
    change(&mut map);
    let views = map.iter().map(|(name, (dtype, shape, data))| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_stored_head_decides_whether_a_tied_model_is_tied() {
    // The rule holds for any names of tensors, and for Llama as well as Gemma, which is tied by default.
    for model in ["llama", "gemma3"] {
        let embedding = "model.embed_tokens.weight";
        let open = |dir: &Path| {
            let weights = Weights::open(dir).unwrap();
            let tied = weights.config().unwrap().tied;
            (weights.notes().len(), tied, weights)
        };
        // Equal matrices count as one, also if the copy has another element type.
        let dir = copy(model);
        rewrite(dir.path(), |t| drop(t.insert("lm_head.weight".into(), t[embedding].clone())));
        assert!(matches!(open(dir.path()), (0, true, _)), "{model}");
        // Matrices that differ in one bit count as two.
        rewrite(dir.path(), |t| t.get_mut("lm_head.weight").unwrap().2[7] ^= 1);
        let (notes, tied, weights) = open(dir.path());
        assert!(notes == 1 && !tied, "{model}");
        assert!(weights.notes()[0].contains("lm_head.weight is stored and differs"), "{:?}", weights.notes());
        // A separate output matrix of another shape is used, so its wrong shape is an error.
        rewrite(dir.path(), |t| {
            let head = t.get_mut("lm_head.weight").unwrap();
            head.1[0] -= 1;
            head.2.truncate(319 * 64 * 4);
        });
        assert!(open_error(dir.path()).contains("lm_head.weight`: shape is [319, 64]"));
        // If only the output matrix is stored, it is also the embedding matrix.
        let dir = copy(model);
        rewrite(dir.path(), |t| {
            let head = t.remove(embedding).unwrap();
            t.insert("lm_head.weight".into(), head);
        });
        let (notes, tied, weights) = open(dir.path());
        assert!(notes == 0 && tied, "{model}");
        assert_eq!(weights.tensor(Role::TokenEmbedding, None).unwrap().name, "lm_head.weight");
    }
    // An untied model needs the embedding matrix.
    let dir = copy("llama-untied");
    rewrite(dir.path(), |t| drop(t.remove("model.embed_tokens.weight")));
    assert!(open_error(dir.path()).contains("`model.embed_tokens.weight` is missing"));
}

#[test]
fn a_whole_file_comes_before_a_left_over_index() {
    let dir = copy("llama");
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"weight_map": {"model.norm.weight": "absent-00001-of-00001.safetensors"}}"#).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    assert_eq!(weights.files(), [dir.path().join("model.safetensors")]);
    assert!(weights.notes()[0].contains("model.safetensors.index.json beside it is not"), "{:?}", weights.notes());
    assert_eq!(weights.config().unwrap(), Weights::open(&fixtures().join("tiny/llama")).unwrap().config().unwrap());
}

#[test]
fn what_git_left_in_place_of_a_file_is_called_so() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for name in ["model.safetensors", "config.json"] {
        let dir = copy("llama");
        std::fs::write(dir.path().join(name), pointer).unwrap();
        let message = open_error(dir.path());
        assert!(
            message.contains(name) && message.contains("Git LFS pointer") && message.contains("git lfs pull"),
            "{message}"
        );
    }
    let (_dir, path) = file("m.gguf", pointer.as_bytes());
    assert!(error(&path).contains("Git LFS pointer"));
}

#[test]
fn what_comes_beside_a_model_is_no_second_model() {
    use super::builder::*;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, b: &Builder| std::fs::write(dir.path().join(name), b.build()).unwrap();
    let norm = |b: Builder| b.tensor("v.norm.weight", &[32], logitree_kernels::DType::F32);
    let arch = |name: &str| norm(Builder::new().with("general.architecture", str_(name)));
    write("model.gguf", &model("gemma3", 1));
    write("mmproj-model.gguf", &arch("clip"));
    write("imatrix.gguf", &Builder::new().with("general.type", str_("imatrix")));
    write("lora.gguf", &model("llama", 1).with("general.type", str_("adapter")));
    write("draft.gguf", &arch("gemma4-assistant"));
    assert_eq!(Weights::open(dir.path()).unwrap().files(), [dir.path().join("model.gguf")]);
    for (b, expected) in [
        (arch("clip"), "general.architecture: this is the image or audio projector"),
        (arch("bert"), "this is an encoder"),
        (arch("llada"), "this is a diffusion model"),
        (arch("eagle3"), "this is a draft head"),
        (model("llama", 1).with("general.type", str_("mmproj")), "general.type: this is the image"),
        (model("qwen3", 1).with("qwen3.pooling_type", u32_(3)), "qwen3.pooling_type: this is a model of embeddings"),
        (model("llama", 1).with("llama.attention.causal", bool_(0)), "llama.attention.causal: this is an encoder"),
        (Builder::new().with("general.architecture", str_("llama")), "this is a vocabulary without weights"),
    ] {
        let (_dir, path) = file("m.gguf", &b.build());
        let message = error(&path);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    // If none of the files is a model, the error describes one of them.
    std::fs::remove_file(dir.path().join("model.gguf")).unwrap();
    assert!(open_error(dir.path()).contains("this is "));
    let config = copy("llama");
    std::fs::write(config.path().join("config.json"), r#"{"model_type": "t5gemma"}"#).unwrap();
    assert!(open_error(config.path()).contains("model_type: this is an encoder"));
}
