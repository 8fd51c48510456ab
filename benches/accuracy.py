#!/usr/bin/env python3
"""How far logitree, exact and with --fast, transformers in bfloat16 and llama.cpp are from transformers in float32, on the same GGUF file.

The reference is fixtures/gguf/*.json, or with --text a run of transformers over the first tokens of a file, in float32 or in float64.
Compared is every listed token with a probability of at least 1e-4.

  python3 -m venv peers && peers/bin/pip install torch transformers accelerate gguf sentencepiece llama-cpp-python numpy
  peers/bin/python benches/accuracy.py MODEL.gguf target/release/logitree fixtures/gguf/MODEL.json
  peers/bin/python benches/accuracy.py MODEL.gguf target/release/logitree --text ARCHITECTURE.md --tokens 1100 [--reference float64]
"""
import argparse, json, math, os, subprocess
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("logitree")
parser.add_argument("golden", nargs="?")
parser.add_argument("--text")
parser.add_argument("--tokens", type=int, default=1100)
parser.add_argument("--reference", default="float32", choices=["float32", "float64"])
parser.add_argument("--engines", default="f32,bf16x3,8-bit,transformers,llama.cpp")
args = parser.parse_args()
model, logitree = args.model, args.logitree


def transformers(dtype):
    import torch
    from transformers import AutoModelForCausalLM
    d, f = os.path.split(os.path.abspath(model))
    m = AutoModelForCausalLM.from_pretrained(d, gguf_file=f, dtype=getattr(torch, dtype), attn_implementation="eager").eval()

    def logits(ids):
        with torch.no_grad():
            return m(torch.tensor([ids])).logits[0].double().numpy()
    return logits


def reference(path, tokens):
    """What a golden has, of the first tokens of a text."""
    text = open(path, encoding="utf-8").read()
    from transformers import AutoTokenizer
    d, f = os.path.split(os.path.abspath(model))
    tokenizer = AutoTokenizer.from_pretrained(d, gguf_file=f)
    ids = tokenizer(text).input_ids[:tokens]
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert tokenizer(text).input_ids == ids, "the text is cut within a word: try another number of tokens"
    rows = transformers(args.reference)(ids)
    positions = []
    for x in rows:
        x = x - x.max()
        x -= math.log(np.exp(x).sum())
        top = np.argsort(-x, kind="stable")[:20]
        positions.append({"top_ids": top.tolist(), "top_logprobs": x[top].tolist()})
    return [{"prompt": text, "input_ids": ids, "positions": positions}]


prompts = reference(args.text, args.tokens) if args.text else json.load(open(args.golden, encoding="utf-8"))["prompts"]


def compare(name, logprobs_of):
    worst, total, count, argmax, positions = 0.0, 0.0, 0, 0, 0
    for p in prompts:
        rows = logprobs_of(p)
        for ref, row in zip(p["positions"], rows):
            if row is None:
                continue
            positions += 1
            argmax += row["best"] == ref["top_ids"][0]
            for i, want in zip(ref["top_ids"], ref["top_logprobs"]):
                if want >= math.log(1e-4) and i in row["logprobs"]:
                    d = abs(row["logprobs"][i] - want)
                    worst, total, count = max(worst, d), total + d, count + 1
    print(f"| {name} | {count} | {worst:.2g} | {total / count:.2g} | {100 * argmax / positions:.1f} % |", flush=True)


def row_of(logits, ids):
    x = np.asarray(logits, dtype=np.float64)
    m = x.max()
    lse = m + math.log(np.exp(x - m).sum())
    return {"best": int(x.argmax()), "logprobs": {i: float(x[i] - lse) for i in ids}}


def ours(*options):
    def rows(p):
        out = subprocess.run([logitree, "score", "-", "-m", model, "--top", "40", "--format", "json", *options],
                             input=p["prompt"] + "\n", capture_output=True, text=True, check=True).stdout
        found = [{"best": t["top"][0]["id"], "logprobs": {x["id"]: x["logprob"] for x in t["top"]}}
                 for t in json.loads(out)["tokens"]]
        return found + [None]
    return rows


def in_transformers(dtype):
    logits = transformers(dtype)

    def rows(p):
        lg = logits(p["input_ids"])
        return [row_of(lg[i], r["top_ids"]) for i, r in enumerate(p["positions"])]
    return rows


def llama_cpp():
    from llama_cpp import Llama
    longest = max(len(p["input_ids"]) for p in prompts)
    m = Llama(model, n_ctx=max(512, longest), n_batch=max(512, longest), logits_all=True, verbose=False)

    def rows(p):
        m.reset()
        m.eval(p["input_ids"])
        return [row_of(m.scores[i], r["top_ids"]) for i, r in enumerate(p["positions"])]
    return rows


print(f"{os.path.basename(model)}, {sum(len(p['input_ids']) for p in prompts)} tokens\n\n"
      "| engine | logprobs | largest difference | mean | same most likely token |\n|---|---|---|---|---|")
for engine in args.engines.split(","):
    if engine in ("f32", "bf16x3", "8-bit"):
        compare(f"logitree, {engine}", ours("--arithmetic", engine))
    elif engine == "transformers":
        for dtype in ["bfloat16"] + (["float32"] if args.reference == "float64" else []):
            compare(f"transformers, {dtype}", in_transformers(dtype))
    else:
        compare("llama.cpp", llama_cpp())
