#!/usr/bin/env python3
"""transformers: the notebook's algorithm, one forward pass over the whole sequence for every node, no cache.

Workloads: tree30 (tree200 would take a quarter of an hour), tree6 for machines that are slow at it, score (one pass,
every distribution), in float32; with PEER_DTYPE=bfloat16 in bfloat16.
"""
import os
import torch
from transformers import AutoModelForCausalLM
from workload import Dynamic, PROMPT, SCORE, main, text_ids


def load(path):
    folder, file = os.path.split(os.path.abspath(path))
    dtype = getattr(torch, os.environ.get("PEER_DTYPE", "float32"))
    torch.set_num_threads(os.cpu_count())
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=dtype).eval()
    vocab = model.config.get_text_config().vocab_size
    ids = [int(t) for t in os.environ["PEER_PROMPT_IDS"].split(",")]
    ends = [int(t) for t in os.environ["PEER_END_IDS"].split(",")]

    def tree(depth):
        def expand(nodes):
            path = nodes[0]
            with torch.no_grad():
                logits = model(torch.tensor([path])).logits[0, -1]
            probs, tokens = torch.softmax(logits.float(), -1).topk(10)
            return [list(zip(tokens.tolist(), probs.tolist()))]

        fork = lambda path, tokens: [path + [t] for t in tokens]
        return OneByOne(depth, ends).grow(ids, expand, fork, lambda _: None)

    def score():
        with torch.no_grad():
            logits = model(torch.tensor([text_ids(SCORE, vocab, ids[0])])).logits[0]
            for part in logits.split(50):
                torch.log_softmax(part.float(), -1)
        return SCORE

    return {"tree6": lambda: tree(6), "tree30": lambda: tree(30), "score": score}.__getitem__


class OneByOne(Dynamic):
    """The notebook looks at one node at a time."""
    level = 1


main(load)
