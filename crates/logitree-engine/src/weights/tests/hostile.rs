//! Damaged and malicious GGUF files must give an error that says where the problem is, never a panic or an allocation
//! out of proportion to the file.

use super::builder::*;
use super::*;
use std::io::{Seek, SeekFrom, Write};

/// The error of a file built from `b`, which must contain all of `parts`.
#[track_caller]
fn refuses(b: &Builder, parts: &[&str]) {
    let (_dir, path) = file("m.gguf", &b.build());
    let message = error(&path);
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

fn base() -> Builder {
    model("gemma3", 1)
}

fn spoil(change: impl FnOnce(&mut Builder)) -> Builder {
    let mut b = base();
    change(&mut b);
    b
}

#[test]
fn the_base_of_these_tests_is_right() {
    let (_dir, path) = file("m.gguf", &base().build());
    assert!(use_all(&path).is_ok());
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = base().build();
    let (_dir, path) = file("m.gguf", &bytes);
    let f = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for len in (0..bytes.len()).rev() {
        f.set_len(len as u64).unwrap();
        let message = error(&path);
        assert!(message.contains("download it again"), "at {len}: {message}");
    }
}

#[test]
fn flipped_bits_never_panic() {
    let bytes = base().build();
    let header = bytes.len() - base().data;
    let (_dir, path) = file("m.gguf", &bytes);
    let mut f = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut put = |at: usize, byte: u8| {
        f.seek(SeekFrom::Start(at as u64)).unwrap();
        f.write_all(&[byte]).unwrap();
    };
    // Random numbers by xorshift64, the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let (mut refused, mut tried) = (0, 0);
    // Changes every byte of the header once, then pairs of bytes at random places.
    for round in 0..header + 4000 {
        let first = if round < header { round } else { next(header) };
        let second = if round < header { first } else { next(header) };
        let flips = [(first, 1u8 << next(8)), (second, 1u8 << next(8))];
        let mut changed = bytes.clone();
        flips.iter().for_each(|&(at, bit)| changed[at] ^= bit);
        flips.iter().for_each(|&(at, _)| put(at, changed[at]));
        tried += 1;
        refused += usize::from(use_all(&path).is_err());
        flips.iter().for_each(|&(at, _)| put(at, bytes[at]));
    }
    // Most changes hit the structure of the header and must be refused; the others change texts and numbers that may
    // vary.
    assert!(refused * 2 > tried, "{refused} of {tried}");
    assert!(use_all(&path).is_ok(), "the file was restored");
}

#[test]
fn other_files_are_told_apart() {
    let (_dir, path) = file("m.gguf", b"version https://git-lfs.github.com/spec/v1\n");
    assert!(error(&path).contains("is a Git LFS pointer"));
    let (_dir, path) = file("empty.gguf", b"");
    assert!(error(&path).contains("the file is empty"));
    refuses(&spoil(|b| b.version = 1), &["version: GGUF version 1 is not 2 or 3"]);
    refuses(&spoil(|b| b.version = 3u32.swap_bytes()), &["version: the file is big-endian", "convert"]);
    refuses(&spoil(|b| b.magic = *b"FUGG"), &["starts with \"FUGG\""]);
    let missing = Weights::open(Path::new("/nonexistent/m.gguf")).err().unwrap().to_string();
    assert!(missing.starts_with("/nonexistent/m.gguf: "), "{missing}");
}

#[test]
fn counts_are_bounded_by_the_file() {
    for huge in [u64::MAX, 1 << 62, 1 << 32, 1 << 20] {
        refuses(&spoil(|b| b.tensor_count = Some(huge)), &["tensor count", &huge.to_string()]);
        refuses(&spoil(|b| b.metadata_count = Some(huge)), &["metadata count", &huge.to_string()]);
        for of in 0..13 {
            let b = base().with("x", array(of, huge, &[]));
            refuses(&b, &["x: the count is", &huge.to_string()]);
        }
        let string = [&8u32.to_le_bytes()[..], &huge.to_le_bytes()].concat();
        refuses(&base().with("x", string), &["x: the count is"]);
        let in_array = array(8, 1, &huge.to_le_bytes());
        refuses(&base().with("x", in_array), &["x: the count is"]);
    }
    // The count is possible for the file's size, but does not agree with what follows.
    refuses(&spoil(|b| b.metadata_count = Some(200)), &[]);
    refuses(&spoil(|b| b.tensor_count = Some(40)), &[]);
}

#[test]
fn nesting_is_bounded() {
    let nest = |depth: usize| {
        let inner = (0..depth).fold(array(0, 1, &[7])[4..].to_vec(), |inner, _| array(9, 1, &inner)[4..].to_vec());
        [&9u32.to_le_bytes()[..], &inner].concat()
    };
    let (_dir, path) = file("m.gguf", &base().with("x", nest(3)).build());
    assert!(use_all(&path).is_ok());
    refuses(&base().with("x", nest(9)), &["x: arrays are nested more than 8 levels deep"]);
    refuses(&base().with("x", nest(50_000)), &["nested"]);
}

#[test]
fn values_are_checked() {
    refuses(&base().with("x", vec![13, 0, 0, 0]), &["x: value type 13 is unknown"]);
    refuses(&base().with("x", array(77, 1, &[0; 8])), &["x: value type 77 is unknown"]);
    refuses(&base().with("x", bool_(2)), &["x: a boolean is 2"]);
    refuses(&base().with("x", array(7, 3, &[0, 1, 9])), &["x: a boolean is neither"]);
    refuses(&spoil(|b| b.metadata.push(("a".repeat(70_000), u32_(1)))), &["metadata key", "70000 bytes"]);
    refuses(&spoil(|b| b.metadata.push(("gemma3.block_count".into(), u32_(1)))), &["gemma3.block_count: comes twice"]);
    for bad in [0, 1, 4, 7, 48, u32::MAX] {
        refuses(&base().with("general.alignment", u32_(bad)), &["general.alignment", "power of two"]);
    }
    refuses(&base().with("general.alignment", str_("32")), &["general.alignment"]);
    let mut bytes = base().build();
    // This is the first byte of the first key.
    bytes[32] = 0xff;
    let (_dir, path) = file("m.gguf", &bytes);
    assert!(error(&path).contains("not UTF-8"));
}

#[test]
fn tensors_are_checked() {
    let at = base().tensors.iter().position(|t| t.name == "blk.0.attn_q.weight").unwrap();
    let name = "tensor `blk.0.attn_q.weight`";
    let change = |f: &dyn Fn(&mut Tensor)| spoil(|b| f(&mut b.tensors[at]));
    refuses(&change(&|t| t.kind = 21), &[name, "type 21 (IQ3_S)", "Q6_K, IQ4_NL"]);
    refuses(&change(&|t| t.kind = 4242), &[name, "type 4242 (unknown)"]);
    refuses(&change(&|t| t.dims = vec![32, 0]), &[name, "dimension is zero"]);
    refuses(&change(&|t| t.dims = vec![]), &[name, "has 0 dimensions"]);
    refuses(&change(&|t| t.dims = vec![32; 5]), &[name, "has 5 dimensions"]);
    refuses(&change(&|t| t.dims = vec![32, u64::MAX]), &[name, "impossibly large"]);
    refuses(&change(&|t| t.dims = vec![1 << 40; 4]), &[name, "impossibly large"]);
    refuses(&change(&|t| t.dims = vec![31, 32]), &[name, "31 elements are not whole blocks of 32 of Q8_0"]);
    refuses(&change(&|t| t.offset = u64::MAX - 31), &[name, "past the file's end"]);
    refuses(&change(&|t| t.offset = 1 << 40), &[name, "past the file's end"]);
    refuses(&change(&|t| t.offset += 1), &[name, "not a multiple of the alignment 32"]);
    refuses(&change(&|t| t.offset -= 32), &["overlaps tensor"]);
    refuses(&change(&|t| t.offset = 0), &["overlaps tensor"]);
    refuses(&change(&|t| t.name = "blk.0.attn_k.weight".into()), &["tensor `blk.0.attn_k.weight`: comes twice"]);
    refuses(&change(&|t| t.name = "x".repeat(2000)), &["tensor table", "2000 bytes"]);
}

#[test]
fn weights_must_fit_the_metadata() {
    let change = |key: &str, n: u32| base().with(&format!("gemma3.{key}"), u32_(n));
    refuses(&change("block_count", 2), &["`blk.1.attn_norm.weight` is missing"]);
    refuses(
        &model("gemma3", 2).with("gemma3.block_count", u32_(1)),
        &["`blk.1.", "not part of a gemma3 model of 1 layers"],
    );
    refuses(&change("block_count", 0), &["number of layers: is 0"]);
    refuses(&change("block_count", u32::MAX), &["gemma3.block_count: is 4294967295, more than"]);
    refuses(&change("embedding_length", 64), &["tensor `token_embd.weight`: shape is [8, 32]", "[8, 64]"]);
    refuses(&change("feed_forward_length", 32), &["tensor `blk.0.ffn_gate.weight`: shape is [64, 32]"]);
    refuses(&change("attention.head_count", 0), &["gemma3.attention.head_count: 0 heads"]);
    refuses(&change("attention.head_count", 3), &["3 heads don't divide a hidden size of 32"]);
    refuses(&change("attention.head_count_kv", 0), &["number of key/value heads: is 0"]);
    refuses(
        &change("attention.head_count", 4).with("gemma3.attention.key_length", u32_(16)),
        &["attn_q.weight`: shape"],
    );
    refuses(&change("attention.key_length", 8), &["head size: is 8, not a multiple of 16"]);
    refuses(&change("attention.value_length", 8), &["gemma3.attention.value_length: is 8, but keys are of size 16"]);
    refuses(&change("rope.dimension_count", 18), &["rotary embedding: 18 dimensions"]);
    refuses(&change("attention.sliding_window_pattern", 0), &["sliding_window_pattern: is 0"]);
    refuses(&base().with("gemma3.rope.freq_base", f32_(f32::NAN)), &["rotary embedding: base NaN"]);
    refuses(&base().with("gemma3.attention.layer_norm_rms_epsilon", f32_(-1.0)), &["norm epsilon: is -1"]);
    refuses(&base().without("gemma3.context_length"), &["gemma3.context_length: is missing"]);
    refuses(&base().without("gemma3.attention.sliding_window"), &["gemma3.attention.sliding_window: is missing"]);
    refuses(&base().without("general.architecture"), &["general.architecture: is missing"]);
    let unknown = base().with("general.architecture", str_("mamba"));
    refuses(
        &unknown,
        &[
            "general.architecture: architecture `mamba` is not supported",
            "gemma, gemma2, gemma3, gemma4, llama, qwen2, qwen3, qwen3moe",
        ],
    );
    // An end token for which the matrices have no row is never produced; a note says so.
    let (_dir, path) = file("m.gguf", &base().with("tokenizer.ggml.eos_token_id", u32_(8)).build());
    assert!(use_all(&path).is_ok());
    let odd = base().tensor("blk.0.attn_output.bias", &[32], logitree_kernels::DType::F32);
    refuses(&odd, &["`blk.0.attn_output.bias`: is not part of a gemma3 model"]);
}
