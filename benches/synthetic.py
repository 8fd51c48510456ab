#!/usr/bin/env python3
"""Writes a GGUF file with the shape of gemma-2-2b (26 layers, 2304 wide, 256,000 tokens) and random weights, to measure
speed and memory at that size where no real one is at hand. Needs numpy and gguf.

  benches/synthetic.py q8_0|q4_k|bf16 FILE.gguf [LAYERS]
  logitree bench -m FILE.gguf --only width1,width24,width32
"""
import sys
import gguf
import numpy as np

kind, path = sys.argv[1:3]
LAYERS = int(sys.argv[3]) if len(sys.argv) > 3 else 26
HIDDEN, FFN, HEADS, KV, DIM, VOCAB = 2304, 9216, 8, 4, 256, 256_000
rng = np.random.default_rng(1)
types = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_k": gguf.GGMLQuantizationType.Q4_K, "bf16": gguf.GGMLQuantizationType.BF16}
dtype = types[kind]
block, size = gguf.GGML_QUANT_SIZES[dtype]


def random_blocks(count):
    """Valid blocks: random codes, small scales."""
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if kind == "bf16":
        return (rng.standard_normal(count, dtype=np.float32) * 0.02).view(np.uint32).__rshift__(16).astype(np.uint16).view(np.uint8).reshape(count, 2)
    half = lambda x: np.full(count, x, dtype=np.float16).view(np.uint8).reshape(count, 2)
    raw[:, 0:2] = half(3e-4)
    if kind == "q4_k":
        raw[:, 0:2], raw[:, 2:4] = half(1e-4), half(7e-4)
    return raw


POOL = random_blocks((64 << 20) // size)
w = gguf.GGUFWriter(path, "gemma2")
w.add_name(f"synthetic gemma-2-2b shape, {kind}")
w.add_context_length(8192)
w.add_embedding_length(HIDDEN)
w.add_block_count(LAYERS)
w.add_feed_forward_length(FFN)
w.add_head_count(HEADS)
w.add_head_count_kv(KV)
w.add_key_length(DIM)
w.add_value_length(DIM)
w.add_layer_norm_rms_eps(1e-6)
w.add_attn_logit_softcapping(50.0)
w.add_final_logit_softcapping(30.0)
w.add_sliding_window(4096)
tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
tokens += [chr(c) for c in range(0x20, 0x7F)] + ["\u2581"]
tokens += [f"\u2581w{i}" for i in range(VOCAB - len(tokens))]
w.add_tokenizer_model("llama")
w.add_token_list(tokens)
w.add_token_scores([-float(i) for i in range(VOCAB)])
w.add_token_types([3, 3, 3, 2] + [6] * 256 + [1] * (VOCAB - 260))
w.add_bos_token_id(2)
w.add_eos_token_id(1)
w.add_unk_token_id(3)


def matrix(name, rows, cols):
    count = rows * cols // block
    start = int(rng.integers(0, len(POOL)))
    data = np.take(POOL, np.arange(start, start + count) % len(POOL), axis=0).reshape(rows, -1)
    w.add_tensor(name, data, raw_dtype=dtype)


def norm(name, n):
    w.add_tensor(name, np.ones(n, dtype=np.float32))


matrix("token_embd.weight", VOCAB, HIDDEN)
norm("output_norm.weight", HIDDEN)
for i in range(LAYERS):
    p = f"blk.{i}."
    for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        norm(f"{p}{name}.weight", HIDDEN)
    matrix(p + "attn_q.weight", HEADS * DIM, HIDDEN)
    matrix(p + "attn_k.weight", KV * DIM, HIDDEN)
    matrix(p + "attn_v.weight", KV * DIM, HIDDEN)
    matrix(p + "attn_output.weight", HIDDEN, HEADS * DIM)
    matrix(p + "ffn_gate.weight", FFN, HIDDEN)
    matrix(p + "ffn_up.weight", FFN, HIDDEN)
    matrix(p + "ffn_down.weight", HIDDEN, FFN)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
