//! The families against the reference implementation, on tiny random models.

mod common;

use common::*;
use logitree_core::*;
use logitree_engine::{Backend, LocalModel, SUMMATION_ORDER};
use logitree_kernels::logits_sha256;

struct Golden {
    ids: Vec<TokenId>,
    logits: Vec<f32>,
    hidden: Vec<f32>,
}

fn golden(name: &str) -> Golden {
    let bytes = std::fs::read(fixtures().join("tiny").join(name).join("golden.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data();
        data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let ids = tensors.tensor("input_ids").unwrap().data().as_chunks::<8>().0.iter();
    Golden {
        ids: ids.map(|b| TokenId(i64::from_le_bytes(*b) as u32)).collect(),
        logits: floats("logits"),
        hidden: floats("hidden_states"),
    }
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "{what}: off by {worst}");
}

#[test]
fn logits_equal_the_reference_prefilled_whole_and_token_by_token() {
    for name in TINY {
        let golden = golden(name);
        for backend in Backend::available() {
            let model = tiny(name, backend, 2);
            let vocab = model.vocab_size();
            let whole = linear(&model, &golden.ids, 3, true);
            for (i, d) in whole.iter().enumerate() {
                let want = &golden.logits[i * vocab..][..vocab];
                let logits = d.logits.as_ref().unwrap();
                assert_close(logits, want, &format!("{name} {} position {i}", backend.name()));
                assert_eq!(d.logits_sha256, Some(LogitsHash(logits_sha256(logits))));
            }
            let mut session = model.session().unwrap();
            let mut parent = None;
            for (i, &token) in golden.ids.iter().enumerate() {
                let node = session.push(parent, token).unwrap();
                let query = Query { logits: true, hash: true, ..Query::top(node, 3) };
                assert_eq!(session.evaluate(&[query]).unwrap()[0], whole[i], "{name} position {i}: other bits alone");
                parent = Some(node);
            }
        }
    }
}

#[test]
fn hidden_states_equal_the_reference_after_every_layer() {
    for name in TINY {
        let golden = golden(name);
        let model = tiny(name, Backend::detect(), 2);
        let states = model.local_session().hidden_states(&golden.ids).unwrap();
        let size = golden.ids.len() * model.config().hidden;
        assert_eq!(golden.hidden.len(), states.len() * size);
        for (layer, state) in states.iter().enumerate() {
            assert_close(state, &golden.hidden[layer * size..][..size], &format!("{name} layer {layer}"));
        }
    }
}

/// The final norm and the output matrix of a stored model, naively in f64.
fn naive_logits(name: &str, model: &LocalModel, state: &[f32], is_normed: bool) -> Vec<f64> {
    let c = model.config();
    let bytes = std::fs::read(fixtures().join("tiny").join(name).join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |names: &[&str]| -> Vec<f64> {
        let tensor = names.iter().find_map(|n| tensors.tensor(n).ok()).unwrap();
        match tensor.dtype() {
            safetensors::Dtype::BF16 => {
                let halves = tensor.data().as_chunks::<2>().0.iter();
                halves.map(|b| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))).collect()
            }
            safetensors::Dtype::F32 => {
                tensor.data().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            other => panic!("{name}: {other:?}"),
        }
    };
    let weights = floats(&["model.norm.weight", "model.language_model.norm.weight"]);
    let embedding = ["model.embed_tokens.weight", "model.language_model.embed_tokens.weight"];
    let output = if c.tied { floats(&embedding) } else { floats(&["lm_head.weight"]) };
    let x: Vec<f64> = state.iter().map(|&x| f64::from(x)).collect();
    let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (square + f64::from(c.norm_eps)).sqrt();
    let offset = if c.norm_offset { 1.0 } else { 0.0 };
    let normed: Vec<f64> =
        x.iter().zip(&weights).map(|(x, w)| if is_normed { *x } else { x * scale * (w + offset) }).collect();
    let logit = |row: &[f64]| row.iter().zip(&normed).map(|(a, b)| a * b).sum::<f64>();
    let cap = |l: f64| c.final_softcap.map_or(l, |cap| f64::from(cap) * (l / f64::from(cap)).tanh());
    output.chunks_exact(c.hidden).map(|row| cap(logit(row))).collect()
}

#[test]
fn layers_predict_what_their_hidden_states_say() {
    for name in TINY {
        let golden = golden(name);
        let model = tiny(name, Backend::detect(), 2);
        let (hidden, vocab) = (model.config().hidden, model.vocab_size());
        let mut session = model.session().unwrap();
        let nodes = session.push_all(None, &golden.ids).unwrap();
        let asked = [TokenId(3), TokenId(7)];
        let query = |&node: &NodeHandle| Query { tokens: &asked, ..Query::top(node, 4) };
        let queries: Vec<Query<'_>> = nodes.iter().map(query).collect();
        let found = session.layers(&queries).unwrap();
        let own = session.evaluate(&queries).unwrap();
        for (i, (found, own)) in found.iter().zip(&own).enumerate() {
            let layers = golden.hidden.len() / hidden / golden.ids.len();
            assert_eq!(found.layers.len(), layers);
            assert_eq!(found.tokens, [asked[0], asked[1], own.top[0].id, own.top[1].id]);
            for (layer, d) in found.layers.iter().enumerate() {
                let state = &golden.hidden[(layer * golden.ids.len() + i) * hidden..][..hidden];
                // The last of the reference's states is normed already.
                let logits = naive_logits(name, &model, state, layer == layers - 1);
                assert_eq!(logits.len(), vocab);
                let sum = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
                for t in d.tokens.iter().chain(&d.top) {
                    let want = logits[t.id.index()] - sum;
                    assert!((t.logprob - want).abs() < 1e-3, "{name} position {i} layer {layer}: {t:?}, not {want}");
                }
            }
            // The last layer is the model, to the last bit.
            let last = found.layers.last().unwrap();
            assert_eq!((&last.top, &last.tokens[..2]), (&own.top, &own.tokens[..]), "{name}");
            assert_eq!((last.entropy, last.logsumexp), (own.entropy, own.logsumexp));
            for (parts, t) in found.parts.iter().zip(&last.tokens) {
                assert_eq!(parts.parts.len(), layers);
                assert!((parts.logit - t.logprob - last.logsumexp).abs() < 1e-5);
                if model.config().final_softcap.is_none() {
                    assert!(parts.rest().abs() < 1e-4, "{name}: {parts:?}");
                }
            }
        }
        // Alone, with what came before in the cache, a node has the same bits.
        assert_eq!(session.layers(&queries[queries.len() - 1..]).unwrap()[0], found[found.len() - 1], "{name}");
        assert!(session.layers(&[Query { tokens: &[TokenId(99999)], ..query(&nodes[0]) }]).is_err());
    }
}

fn random_trees_give_the_bits_of_linear_runs(name: &str) {
    let mut rng = Rng(2024 + name.bytes().map(u64::from).sum::<u64>());
    for (backend, threads, width) in Backend::available().into_iter().flat_map(|b| [(b, 1, 1), (b, 2, 9), (b, 3, 40)]) {
        let slow = backend.name() == "scalar";
        let model = tiny(name, backend, threads);
        let prompt: Vec<TokenId> = (0..1 + rng.below(30)).map(|_| TokenId(rng.below(320) as u32)).collect();
        random_walk(&model, &mut rng, 320, &prompt, if slow { 2 } else { 6 }, width);
    }
}

/// A test for each model, so that they run side by side.
macro_rules! random_trees {
    ($($test:ident: $name:literal)+) => {
        $(
            #[test]
            fn $test() {
                random_trees_give_the_bits_of_linear_runs($name);
            }
        )+

        #[test]
        fn every_tiny_model_has_random_trees() {
            assert_eq!([$($name),+], TINY);
        }
    };
}

random_trees! {
    random_trees_of_gemma1: "gemma1"
    random_trees_of_gemma2: "gemma2"
    random_trees_of_gemma3: "gemma3"
    random_trees_of_gemma4_dense: "gemma4-dense"
    random_trees_of_gemma4_e: "gemma4-e"
    random_trees_of_gemma4_moe: "gemma4-moe"
    random_trees_of_llama: "llama"
    random_trees_of_llama_longrope: "llama-longrope"
    random_trees_of_llama_untied: "llama-untied"
    random_trees_of_llama_yarn: "llama-yarn"
    random_trees_of_mistral: "mistral"
    random_trees_of_qwen2: "qwen2"
    random_trees_of_qwen3: "qwen3"
    random_trees_of_qwen3_moe: "qwen3-moe"
    random_trees_of_qwen3_moe_raw: "qwen3-moe-raw"
}

/// A change of the order in attention or in products of f32 weights shows here. It needs a new number, and its line in the number's history and in
/// docs/run-format.md; then the hashes are those that this test finds.
#[test]
fn the_order_of_sums_is_the_one_that_its_number_says() {
    let hashes = ["gemma3", "llama"].map(|name| {
        let model = tiny(name, Backend::detect(), 2);
        // So long a text that attention has two blocks.
        let ids: Vec<TokenId> = (0..200).map(|i| TokenId(i * 37 % model.vocab_size() as u32)).collect();
        linear(&model, &ids, 1, false).pop().unwrap().logits_sha256.unwrap().to_string()
    });
    assert_eq!((SUMMATION_ORDER, hashes.each_ref().map(|h| &h[..16])), (3, ["9705d7d291e943fb", "7d83b2457cc112db"]));
}

#[test]
fn all_backends_and_thread_counts_give_the_same_bits() {
    for name in ["gemma3", "gemma2", "gemma4-e", "qwen2"] {
        let ids = golden(name).ids;
        let want = linear(&tiny(name, Backend::detect(), 1), &ids, 5, true);
        for backend in Backend::available() {
            for threads in [1, 2, 5] {
                assert_eq!(linear(&tiny(name, backend, threads), &ids, 5, true), want, "{name} {}", backend.name());
            }
        }
    }
}

#[test]
fn gguf_files_written_by_others_give_the_bits_of_safetensors() {
    // The dense one has q, k and v of its first two layers in one matrix.
    for name in ["gemma4-dense", "gemma4-e", "gemma4-moe", "qwen3-moe"] {
        let ids = golden(name).ids;
        let compute = logitree_engine::Compute::new(Backend::detect(), 2);
        let file = gguf_twin(name);
        let twin = LocalModel::load_without_tokenizer(file.path(), compute).unwrap();
        let want = linear(&tiny(name, Backend::detect(), 2), &ids, 5, true);
        assert_eq!(linear(&twin, &ids, 5, true), want, "{name}");
    }
}

#[test]
fn the_context_limit_and_foreign_tokens_are_errors_before_any_work() {
    let model = tiny("llama", Backend::detect(), 1);
    let mut session = model.session().unwrap();
    let long = vec![TokenId(5); model.context_length() + 1];
    let error = session.push_all(None, &long).unwrap_err().to_string();
    assert!(error.contains("257 tokens do not fit the model's context of 256"), "{error}");
    let nodes = session.push_all(None, &long[1..]).unwrap();
    assert!(session.push(nodes.last().copied(), TokenId(5)).is_err());
    assert!(matches!(session.push(None, TokenId(320)), Err(ModelError::UnknownToken { .. })));
    let query = Query { tokens: &[TokenId(9999)], ..Query::top(nodes[0], 1) };
    assert!(matches!(session.evaluate(&[query]), Err(ModelError::UnknownToken { .. })));
}

#[test]
fn rows_that_nobody_needs_are_reused() {
    let model = tiny("llama", Backend::detect(), 1);
    let mut session = model.local_session();
    let prompt = session.push_all(None, &[TokenId(2), TokenId(7), TokenId(9)]).unwrap();
    for i in 0..200 {
        let node = session.push(prompt.last().copied(), TokenId(i)).unwrap();
        session.evaluate(&[Query::top(node, 1)]).unwrap();
        session.release(node);
    }
    assert_eq!(session.cached_rows(), 3);
}

#[test]
fn a_session_does_not_grow_with_nodes_that_are_forgotten() {
    let model = tiny("llama", Backend::detect(), 1);
    let mut session = model.local_session();
    let prompt = session.push_all(None, &[TokenId(2), TokenId(7), TokenId(9)]).unwrap();
    let want = linear(&model, &[TokenId(2), TokenId(7), TokenId(9), TokenId(4), TokenId(5)], 5, false).pop().unwrap();
    for _ in 0..200 {
        let path = session.push_all(prompt.last().copied(), &[TokenId(4), TokenId(5)]).unwrap();
        // From the top: the upper one is part of the lower one's path as long as that is there.
        session.forget(path[0]);
        assert_eq!(session.evaluate(&[Query { hash: true, ..Query::top(path[1], 5) }]).unwrap()[0], want);
        session.forget(path[1]);
        assert_eq!((session.nodes(), session.cached_rows()), (3, 3));
        assert!(session.evaluate(&[Query::top(path[1], 1)]).is_err());
    }
}

#[test]
fn rows_made_again_for_a_descendant_go_with_it() {
    let model = tiny("llama", Backend::detect(), 1);
    let mut session = model.local_session();
    let chain = session.push_all(None, &[TokenId(2), TokenId(7), TokenId(9), TokenId(11)]).unwrap();
    session.evaluate(&[Query::top(chain[3], 1)]).unwrap();
    chain.iter().for_each(|&n| session.release(n));
    assert_eq!(session.cached_rows(), 0);
    // Asking below what was dropped computes all four rows again, for the asked node's sake alone.
    session.evaluate(&[Query::top(chain[3], 1)]).unwrap();
    assert_eq!(session.cached_rows(), 4);
    session.release(chain[3]);
    assert_eq!(session.cached_rows(), 0);
}

#[test]
fn a_chain_that_does_not_fit_adds_no_node() {
    let model = tiny("llama", Backend::detect(), 1);
    let mut session = model.session().unwrap();
    assert!(session.push_all(None, &[TokenId(1), TokenId(320)]).is_err());
    assert_eq!(session.push(None, TokenId(1)).unwrap(), NodeHandle(0));
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let from = fixtures().join("tiny/llama");
    std::fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let load = |config: &str| {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        match LocalModel::load_without_tokenizer(folder.path(), logitree_engine::Compute::new(Backend::detect(), 1)) {
            Ok(_) => panic!("loaded"),
            Err(e) => e.to_string(),
        }
    };
    let error = load(&config.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5"));
    assert!(error.contains("`model.layers.4.input_layernorm.weight` is missing"), "{error}");
    let error = load(&config.replace("\"intermediate_size\": 128", "\"intermediate_size\": 96"));
    assert!(error.contains("`model.layers.0.mlp.gate_proj.weight`: shape is [128, 64]"), "{error}");
    assert!(error.contains("asks for [96, 64]"), "{error}");
    let error = load(&config.replace("\"model_type\": \"llama\"", "\"model_type\": \"mamba\""));
    assert!(error.contains("`mamba` is not supported; supported are gemma"), "{error}");
    let error = load(&config.replace("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"));
    assert!(error.contains("cannot share"), "{error}");
    assert!(load("{").contains("not valid JSON"));
}
