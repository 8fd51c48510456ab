#!/usr/bin/env python3
"""How far logitree, exact and with --fast, transformers in bfloat16 and llama.cpp are from transformers in float32, on the same GGUF file.

The reference is fixtures/gguf/*.json. Compared is every listed token with a probability of at least 1e-4.

  python3 -m venv peers && peers/bin/pip install torch transformers accelerate gguf sentencepiece llama-cpp-python numpy
  peers/bin/python benches/accuracy.py MODEL.gguf fixtures/gguf/MODEL.json target/release/logitree
"""
import json, math, os, subprocess, sys
import numpy as np

model, golden, logitree = sys.argv[1:4]
prompts = json.load(open(golden, encoding="utf-8"))["prompts"]


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


def bfloat16():
    import torch
    from transformers import AutoModelForCausalLM
    d, f = os.path.split(os.path.abspath(model))
    m = AutoModelForCausalLM.from_pretrained(d, gguf_file=f, dtype=torch.bfloat16).eval()

    def rows(p):
        with torch.no_grad():
            lg = m(torch.tensor([p["input_ids"]])).logits[0].double().numpy()
        return [row_of(lg[i], r["top_ids"]) for i, r in enumerate(p["positions"])]
    return rows


def llama_cpp():
    from llama_cpp import Llama
    m = Llama(model, n_ctx=512, logits_all=True, verbose=False)

    def rows(p):
        m.reset()
        m.eval(p["input_ids"])
        return [row_of(m.scores[i], r["top_ids"]) for i, r in enumerate(p["positions"])]
    return rows


print(f"{os.path.basename(model)}\n\n| engine | logprobs | largest difference | mean | same most likely token |\n|---|---|---|---|---|")
compare("logitree", ours())
compare("logitree --fast", ours("--fast"))
compare("transformers, bfloat16", bfloat16())
compare("llama.cpp", llama_cpp())
