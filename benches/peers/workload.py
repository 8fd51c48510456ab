"""The workloads every engine runs, and how a peer reports them.

A peer is a program `PEER.py MODEL.gguf WORKLOAD…` that loads the model once (not timed), runs each workload once and
prints one JSON line each: {"workload", "count", "seconds"}; the rate is count / seconds.

Rows of long contexts are named as in `logitree bench`: prompt6k, decode6k, tree6k (24 open paths), tree6kx5 (five), with
any number of thousand tokens.
"""
import json, re, sys, time

PROMPT = "The capital of India is"
WORKLOADS = ["tree30", "tree200", "decode", "prefill", "score"]
DECODE, PREFILL, SCORE = 64, 512, 1000
NODES, PATHS = 192, 24


def long_row(name):
    """(kind, tokens of the prompt, open paths, steps) of a row of long contexts; None for other names."""
    found = re.fullmatch(r"(prompt|decode|tree)(\d+)k(?:x(\d+))?", name)
    if not found or found[3] and found[1] != "tree":
        return None
    kind, paths = found[1], int(found[3] or PATHS) if found[1] == "tree" else 1
    steps = {"prompt": 0, "decode": DECODE, "tree": max(NODES // paths, 2)}[kind]
    return kind, 1000 * int(found[2]), paths, steps


def text_ids(count, vocab, bos):
    """A fixed walk over common tokens: only its length matters."""
    return [bos] + [1000 + (7919 * i) % min(20000, vocab - 1000) for i in range(count - 1)]


class Dynamic:
    """The default tree: breadth first, branch threshold from 0.1 to 0.5 with up to 30 open paths, five completed paths.

    `grow(expand)` calls `expand(nodes)` for everything open in a level and wants, per node, the
    probabilities above the lowest threshold, most likely first, as (token, probability).
    Nodes are (depth, state); `fork(state, tokens)` makes the children's states.
    """

    low, high, limit, completions = 0.1, 0.5, 30, 5
    level = None  # nodes per call of expand, at most

    def __init__(self, max_depth, ends):
        self.max_depth, self.ends = max_depth, set(ends)

    def grow(self, root, expand, fork, drop):
        queue, known, nodes, completed = [(0, None, root)], {}, 0, 0
        while queue and completed < self.completions:
            depth, token, state = queue[0]
            threshold = self.low + min(1.0, len(queue) / self.limit) * (self.high - self.low)
            if depth >= self.max_depth or token in self.ends:
                completed += token in self.ends
                drop(state)
                queue.pop(0)
                continue
            if id(state) not in known:
                wanted = [s for d, t, s in queue if d < self.max_depth and t not in self.ends and id(s) not in known]
                wanted = wanted[:self.level]
                known.update(zip(map(id, wanted), expand(wanted)))
            queue.pop(0)
            top = known.pop(id(state))
            nodes += 1
            children = [t for t, p in top if p > threshold] or [top[0][0]]
            queue += [(depth + 1, t, s) for t, s in zip(children, fork(state, children))]
        return nodes


def main(load):
    """`load(model)` returns a function from a workload's name to its work: function() -> count, or (count, seconds) if
    only a part of it is timed. They are called in the order asked for."""
    work_of = load(sys.argv[1])
    for name in sys.argv[2:] or WORKLOADS:
        run = work_of(name)
        start = time.perf_counter()
        count, seconds = run(), time.perf_counter() - start
        if isinstance(count, tuple):
            count, seconds = count
        print(json.dumps({"workload": name, "count": count, "seconds": seconds}), flush=True)
