#!/usr/bin/env python3
"""Writes a GGUF file with the shape of a published model and random weights, to measure speed and memory at that size where no real
one is at hand. Needs numpy and gguf.

  benches/synthetic.py q8_0|q4_k|bf16 FILE.gguf [LAYERS] [--shape gemma-2-2b|gemma-4-e2b|gemma-4-26b-a4b]
  logitree bench -m FILE.gguf --only width1,width24,width32

gemma-4-e2b has inputs of layers by token and layers that read the rows of earlier ones; with fewer LAYERS, as large a part of them
does. gemma-4-26b-a4b has 128 experts a layer, so it is best written with a few LAYERS: a sixth of them takes 3 GB in Q4_K. Where a
type's blocks do not fit a row, Q5_0 stands in, as llama.cpp has it.
"""
import argparse

import gguf
import numpy as np

Types = gguf.GGMLQuantizationType
parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["q8_0", "q4_k", "bf16"])
parser.add_argument("path")
parser.add_argument("layers", nargs="?", type=int)
parser.add_argument("--shape", default="gemma-2-2b", choices=["gemma-2-2b", "gemma-4-e2b", "gemma-4-26b-a4b"])
args = parser.parse_args()
KIND = {"q8_0": Types.Q8_0, "q4_k": Types.Q4_K, "bf16": Types.BF16}[args.kind]
rng = np.random.default_rng(1)


def random_blocks(dtype, count):
    """Valid blocks: random codes, small scales."""
    size = gguf.GGML_QUANT_SIZES[dtype][1]
    if dtype == Types.BF16:
        return (rng.standard_normal(count, dtype=np.float32) * 0.02).view(np.uint32).__rshift__(16).astype(np.uint16).view(np.uint8).reshape(count, 2)
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    half = lambda x: np.full(count, x, dtype=np.float16).view(np.uint8).reshape(count, 2)
    raw[:, 0:2] = half({Types.Q8_0: 3e-4, Types.Q5_0: 2e-3, Types.Q4_K: 1e-4}[dtype])
    if dtype == Types.Q4_K:
        raw[:, 2:4] = half(7e-4)
    return raw


POOLS = {}


def matrix(w, name, rows, cols, experts=None, dtype=KIND):
    if cols % gguf.GGML_QUANT_SIZES[dtype][0] != 0:
        dtype = Types.Q5_0
    block, size = gguf.GGML_QUANT_SIZES[dtype]
    if dtype not in POOLS:
        POOLS[dtype] = random_blocks(dtype, (64 << 20) // size)
    pool = POOLS[dtype]
    count = (experts or 1) * rows * cols // block
    start = int(rng.integers(0, len(pool)))
    data = np.take(pool, np.arange(start, start + count) % len(pool), axis=0)
    w.add_tensor(name, data.reshape((experts, rows, -1) if experts else (rows, -1)), raw_dtype=dtype)


def vector(w, name, n, value=1.0):
    w.add_tensor(name, np.full(n, value, dtype=np.float32))


def tokenizer(w, vocab):
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens += [chr(c) for c in range(0x20, 0x7F)] + ["\u2581"]
    tokens += [f"\u2581w{i}" for i in range(vocab - len(tokens))]
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([-float(i) for i in range(vocab)])
    w.add_token_types([3, 3, 3, 2] + [6] * 256 + [1] * (vocab - 260))
    w.add_bos_token_id(2)
    w.add_eos_token_id(1)
    w.add_unk_token_id(3)


def common(w, layers, hidden, heads, context, dim):
    w.add_name(f"synthetic {args.shape} shape, {args.kind}")
    w.add_context_length(context)
    w.add_embedding_length(hidden)
    w.add_block_count(layers)
    w.add_head_count(heads)
    w.add_key_length(dim)
    w.add_value_length(dim)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_final_logit_softcapping(30.0)


def block(w, p, hidden, q, kv, ffn):
    for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        vector(w, f"{p}{name}.weight", hidden)
    matrix(w, p + "attn_q.weight", q, hidden)
    for name in kv:
        matrix(w, f"{p}{name}.weight", kv[name], hidden)
    matrix(w, p + "attn_output.weight", hidden, q)
    matrix(w, p + "ffn_gate.weight", ffn, hidden)
    matrix(w, p + "ffn_up.weight", ffn, hidden)
    matrix(w, p + "ffn_down.weight", hidden, ffn)


def gemma2():
    layers, hidden, ffn, heads, kv, dim, vocab = args.layers or 26, 2304, 9216, 8, 4, 256, 256_000
    w = gguf.GGUFWriter(args.path, "gemma2")
    common(w, layers, hidden, heads, 8192, dim)
    w.add_feed_forward_length(ffn)
    w.add_head_count_kv(kv)
    w.add_attn_logit_softcapping(50.0)
    w.add_sliding_window(4096)
    tokenizer(w, vocab)
    matrix(w, "token_embd.weight", vocab, hidden)
    vector(w, "output_norm.weight", hidden)
    for i in range(layers):
        block(w, f"blk.{i}.", hidden, heads * dim, {"attn_k": kv * dim, "attn_v": kv * dim}, ffn)
    return w


def gemma4(default, hidden, ffn, heads, kv, window, every, inputs=0, shared=0.0, experts=None):
    """`kv`: heads of layers with a window, and of the others; `shared`: part of the layers; `experts`: (count, used, width)."""
    layers, vocab, dims = args.layers or default, 262_144, (256, 512)
    shared = round(layers * shared)
    full = [(i + 1) % every == 0 for i in range(layers)]
    w = gguf.GGUFWriter(args.path, "gemma4")
    common(w, layers, hidden, heads, 131_072, dims[1])
    widths = [ffn * 2 if i >= layers - shared else ffn for i in range(layers)]
    w.add_feed_forward_length(widths if shared else ffn)
    w.add_head_count_kv([kv[f] for f in full])
    for key, n in [("key_length_swa", dims[0]), ("value_length_swa", dims[0]), ("shared_kv_layers", shared)]:
        w.add_uint32(f"gemma4.attention.{key}", n)
    w.add_sliding_window(window)
    w.add_array("gemma4.attention.sliding_window_pattern", [not f for f in full])
    w.add_uint32("gemma4.embedding_length_per_layer_input", inputs)
    w.add_rope_freq_base(1e6)
    w.add_float32("gemma4.rope.freq_base_swa", 1e4)
    w.add_rope_dimension_count(dims[1])
    w.add_uint32("gemma4.rope.dimension_count_swa", dims[0])
    if experts:
        w.add_expert_count(experts[0])
        w.add_expert_used_count(experts[1])
        w.add_expert_feed_forward_length(experts[2])
    tokenizer(w, vocab)
    matrix(w, "token_embd.weight", vocab, hidden)
    vector(w, "output_norm.weight", hidden)
    w.add_tensor("rope_freqs.weight", np.array([1.0] * 64 + [1e30] * 192, dtype=np.float32))
    if inputs:
        matrix(w, "per_layer_token_embd.weight", vocab, layers * inputs)
        matrix(w, "per_layer_model_proj.weight", layers * inputs, hidden, dtype=Types.BF16)
        vector(w, "per_layer_proj_norm.weight", inputs)
    for i in range(layers):
        p, dim, rows = f"blk.{i}.", dims[full[i]], kv[full[i]] * dims[full[i]]
        own = {"attn_k": rows} if i < layers - shared else {}
        if own and not (experts and full[i]):
            own["attn_v"] = rows
        block(w, p, hidden, heads * dim, own, widths[i])
        vector(w, p + "attn_q_norm.weight", dim)
        if own:
            vector(w, p + "attn_k_norm.weight", dim)
        vector(w, p + "layer_output_scale.weight", 1)
        if inputs:
            matrix(w, p + "inp_gate.weight", inputs, hidden)
            matrix(w, p + "proj.weight", hidden, inputs)
            vector(w, p + "post_norm.weight", hidden)
        if experts:
            count, _, width = experts
            w.add_tensor(p + "ffn_gate_inp.weight", rng.standard_normal((count, hidden), dtype=np.float32))
            vector(w, p + "ffn_gate_inp.scale", hidden)
            vector(w, p + "ffn_down_exps.scale", count)
            for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
                vector(w, f"{p}{name}.weight", hidden)
            matrix(w, p + "ffn_gate_up_exps.weight", 2 * width, hidden, count)
            matrix(w, p + "ffn_down_exps.weight", hidden, width, count)
    return w


if args.shape == "gemma-2-2b":
    w = gemma2()
elif args.shape == "gemma-4-e2b":
    w = gemma4(35, 1536, 6144, 8, (1, 1), 512, 5, inputs=256, shared=20 / 35)
else:
    w = gemma4(30, 2816, 2112, 16, (8, 2), 1024, 6, experts=(128, 8, 704))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
