#!/usr/bin/env python3
"""llama.cpp: its own kernels at its default settings, driven as logitree drives itself.

tree     one decode per level, all open paths in one unified KV cache; softmax by numpy
decode   one token at a time, as llama-bench's tg
prefill  512 tokens, logits at the end only, as llama-bench's pp512
score    all logits of 1,000 tokens, as llama-perplexity; turning them into probabilities is not timed
prompt6k, decode6k, tree6k    the same in long contexts: a prompt, one sequence after it, open paths that share it, as
         llama-batched-bench -pps. A cache as large as the work and f16; layers with windows keep their windows alone
         where one sequence is in it, as in llama.cpp's programs (for a library, the default is all positions)
"""
import ctypes, os, time
import numpy as np
import llama_cpp as L
from workload import DECODE, Dynamic, PREFILL, PROMPT, SCORE, long_row, main, text_ids

BATCH = 2048


class State:
    def __init__(self, seq, token, position):
        self.seq, self.token, self.position = seq, token, position


def load(path):
    L.llama_backend_init()
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    load.quiet = quiet
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    vocab = L.llama_model_get_vocab(model)
    size, bos = L.llama_vocab_n_tokens(vocab), L.llama_vocab_bos(vocab)

    def context(tokens, sequences, swa_full):
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max, p.kv_unified, p.swa_full = tokens, BATCH, 512, sequences, True, swa_full
        p.n_threads = p.n_threads_batch = os.cpu_count()
        made = L.llama_init_from_model(model, p)
        if not made:
            raise SystemExit(f"no context of {tokens} tokens and {sequences} sequences")
        return made

    ctx = context(16384, 128, True)
    memory = L.llama_get_memory(ctx)
    ends = [t for t in range(size) if L.llama_vocab_is_eog(vocab, t)]

    def decode(rows, ctx=ctx):
        """rows: (token, position, seq, logits wanted)."""
        batch = L.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, seq, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = seq
        if L.llama_decode(ctx, batch) != 0:
            raise SystemExit("llama_decode failed")
        L.llama_synchronize(ctx)
        L.llama_batch_free(batch)

    def logits(i):
        return np.ctypeslib.as_array(L.llama_get_logits_ith(ctx, i), (size,))

    def tokenize(text):
        buffer = (L.llama_token * 256)()
        n = L.llama_tokenize(vocab, text.encode(), len(text.encode()), buffer, 256, True, False)
        return list(buffer[:n])

    def tree(depth):
        L.llama_memory_clear(memory, True)
        ids = tokenize(PROMPT)
        free = list(range(127, 0, -1))
        root = State(0, ids[-1], len(ids) - 1)
        decode([(t, i, 0, False) for i, t in enumerate(ids[:-1])])

        def expand(nodes):
            decode([(s.token, s.position, s.seq, True) for s in nodes])
            out = []
            for i in range(len(nodes)):
                x = logits(i)
                e = np.exp(x - x.max())
                total = e.sum()
                above = np.flatnonzero(e > Dynamic.low * total)
                above = above if len(above) else [int(x.argmax())]
                out.append(sorted(((int(t), float(e[t] / total)) for t in above), key=lambda tp: -tp[1]))
            return out

        def fork(s, tokens):
            seqs = [s.seq] + [free.pop() for _ in tokens[1:]]
            for seq in seqs[1:]:
                L.llama_memory_seq_cp(memory, s.seq, seq, -1, -1)
            return [State(seq, t, s.position + 1) for seq, t in zip(seqs, tokens)]

        def drop(s):
            L.llama_memory_seq_rm(memory, s.seq, -1, -1)
            if s.seq:
                free.append(s.seq)

        return Dynamic(depth, ends).grow(root, expand, fork, drop)

    def tg():
        L.llama_memory_clear(memory, True)
        for i in range(DECODE):
            decode([(1000 + i, i, 0, True)])
        return DECODE

    def prefill():
        L.llama_memory_clear(memory, True)
        ids = text_ids(PREFILL, size, bos)
        decode([(t, i, 0, i == PREFILL - 1) for i, t in enumerate(ids)])
        return PREFILL

    def score():
        L.llama_memory_clear(memory, True)
        decode([(t, i, 0, True) for i, t in enumerate(text_ids(SCORE, size, bos))])
        return SCORE

    def long(kind, prompt, paths, steps):
        ctx = context(prompt + paths * steps + 256, paths, False)
        memory = L.llama_get_memory(ctx)
        decode([(1000, 0, 0, True)], ctx)
        L.llama_memory_clear(memory, True)
        rows = [(t, i, 0, i == prompt - 1) for i, t in enumerate(text_ids(prompt, size, bos))]
        start = time.perf_counter()
        for i in range(0, prompt, BATCH):
            decode(rows[i:i + BATCH], ctx)
        count = prompt
        if kind != "prompt":
            for seq in range(1, paths):
                L.llama_memory_seq_cp(memory, 0, seq, -1, -1)
            start = time.perf_counter()
            for step in range(steps):
                decode([(1000 + 64 * seq + step, prompt + step, seq, True) for seq in range(paths)], ctx)
            count = paths * steps
        seconds = time.perf_counter() - start
        L.llama_free(ctx)
        return count, seconds

    def work_of(name):
        row = long_row(name)
        if row:
            return lambda: long(*row)
        # What only the first call pays for is not timed.
        if not warm:
            warm.append(tree(3))
        return short[name]

    warm = []
    short = {"tree30": lambda: tree(30), "tree200": lambda: tree(200), "decode": tg, "prefill": prefill, "score": score}
    return work_of


main(load)
