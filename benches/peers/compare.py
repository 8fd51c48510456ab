#!/usr/bin/env python3
"""Runs logitree and its peers in turn on the same file and prints a table of ratios.

  compare.py LOGITREE MODEL.gguf [--rounds N] [--slow-rounds N] [--only NAMES] [--fast] [--backend NAME] [-o FILE.json]

Long contexts are measured only if asked for, against llama.cpp alone: --only prompt6k,decode6k,tree6k,tree6kx5
"""
import argparse, json, os, platform, statistics, subprocess, sys
from datetime import date
from workload import long_row

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = [
    ("tree30", "tree to depth 30", "nodes/s"),
    ("tree200", "tree to depth 200", "nodes/s"),
    ("decode", "one sequence, greedy", "tokens/s"),
    ("prefill", "prompt of 512 tokens", "tokens/s"),
    ("score", "1,000 tokens, every distribution", "tokens/s"),
]


def long_of(name):
    """The row of long contexts of this name, if there is one."""
    found = long_row(name)
    if not found:
        return []
    kind, prompt, paths, _ = found
    what = {"prompt": f"prompt of {prompt:,} tokens", "decode": f"one sequence after {prompt:,} tokens", "tree": f"{paths} open paths after {prompt:,} tokens"}
    return [(name, what[kind], "nodes/s" if kind == "tree" else "tokens/s")]


a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("logitree")
a.add_argument("model")
a.add_argument("--rounds", type=int, default=5)
a.add_argument("--slow-rounds", type=int, default=2, help="rounds in which the notebook's algorithm runs too")
a.add_argument("--only", help="only these rows, separated by commas: " + ", ".join(name for name, *_ in ROWS)
               + "; or of long contexts prompt6k, decode6k, tree6k, tree6kx5, with any number of thousand tokens and of paths")
a.add_argument("--fast", action="store_true", help="`logitree --fast` takes a turn too; its speed against the exact mode's comes in a line of its own")
a.add_argument("--backend", help="logitree's instruction set; the peers' is what they were compiled for")
a.add_argument("-o", "--output")
args = a.parse_args()
if not os.path.isfile(args.model):
    a.error(f"no file {args.model}: the peers need the model's path, as `logitree model pull NAME` prints it")
if args.only:
    names = args.only.split(",")
    ROWS += [row for name in dict.fromkeys(names) for row in long_of(name)]
    unknown = set(names) - {name for name, *_ in ROWS}
    if unknown:
        a.error(f"--only: no row {', '.join(sorted(unknown))}")
    ROWS = [row for row in ROWS if row[0] in names]
NAMES = [name for name, *_ in ROWS]
# Rows that the notebook's algorithm runs too, with the types of its weights.
SLOW = {"float32": [n for n in ("tree30", "score") if n in NAMES], "bfloat16": [n for n in ("tree30",) if n in NAMES]}


def output(command, **env):
    """What it prints; if it fails, its last words."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
                              env={**os.environ, **env}).stdout
    except subprocess.CalledProcessError as e:
        how = f"was ended by signal {-e.returncode}" if e.returncode < 0 else f"failed with {e.returncode}"
        raise SystemExit(f"{' '.join(command)} {how}\n{e.stderr[-2000:]}")


def logitree(*options):
    if args.backend:
        options += ("--backend", args.backend)
    found = json.loads(output([args.logitree, "bench", "-m", args.model, "--rounds", "1", "-o", "-",
                               "--only", ",".join(NAMES), *options]))
    for w in found["workloads"]:
        yield w["workload"], w["count"] / w["seconds"][0]
        if w["workload"].startswith("tree"):
            yield w["workload"] + " share", w["flops"] / w["seconds"][0] / w["peak_flops_per_second"][0]
    yield "engine", found["engine"]


def peer(script, workloads, **env):
    for line in output([sys.executable, os.path.join(HERE, script), args.model, *workloads], **env).splitlines():
        w = json.loads(line)
        yield w["workload"], w["count"] / w["seconds"]


def prompt_ids():
    """Token ids of the prompt and of the ends, as logitree has them: every engine gets the same."""
    out = output([args.logitree, "tree", "The capital of India is", "-m", args.model, "--max-depth", "1", "-o", "-"])
    header = json.loads(out.splitlines()[0])
    join = lambda ids: ",".join(str(i) for i in ids)
    return {"PEER_PROMPT_IDS": join(t["id"] for t in header["prompt"]["tokens"]), "PEER_END_IDS": join(header["model"]["end_tokens"])}


engines = {"logitree": {}, "llama.cpp": {}, "transformers f32": {}, "transformers bf16": {}, "logitree --fast": {}}
peers = ["llama.cpp", "transformers f32", "transformers bf16"]
ids = prompt_ids()


def add(engine, found):
    for key, value in found:
        engines[engine].setdefault(key, []).append(value)
    print(f"  {engine}: " + ", ".join(f"{k} {v[-1]:.3g}" for k, v in engines[engine].items() if isinstance(v[-1], float)),
          file=sys.stderr, flush=True)


for r in range(args.rounds):
    print(f"round {r + 1} of {args.rounds}", file=sys.stderr, flush=True)
    add("logitree", logitree())
    # A prompt that is longer than the model's context is left out everywhere.
    NAMES = [name for name in NAMES if name in engines["logitree"]]
    ROWS = [row for row in ROWS if row[0] in NAMES]
    if args.fast:
        add("logitree --fast", logitree("--fast"))
    add("llama.cpp", peer("llama_cpp_peer.py", NAMES))
    if r < args.slow_rounds:
        for engine, dtype in (("transformers f32", "float32"), ("transformers bf16", "bfloat16")):
            if SLOW[dtype]:
                add(engine, peer("transformers_peer.py", SLOW[dtype], PEER_DTYPE=dtype, **ids))


def cell(values):
    if not values:
        return "–"
    m = statistics.median(values)
    digits = 1 if m < 100 else 0
    return f"{m:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratio(row, faster, slower):
    """Median of the ratios of the same round."""
    r = [f / s for f, s in zip(engines[faster].get(row, []), engines[slower].get(row, []))]
    return f"{statistics.median(r):.2f} ×" if r else "–"


def cpu():
    for line in open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


print(f"{os.path.basename(args.model)}, {date.today()}, {cpu()}, {os.cpu_count()} cores; logitree: {engines['logitree']['engine'][0]}.")
print(f"Median of {args.rounds} rounds (slowest–fastest); ratios are medians over rounds, engines taking turns.\n")
print("| | logitree | " + " | ".join(f"{name} | ratio" for name in peers) + " |\n|---|---|" + "---|---|" * len(peers))
for row, name, unit in ROWS:
    cells = [f"{name}, {unit}", cell(engines["logitree"][row])]
    for peer_name in peers:
        cells += [cell(engines[peer_name].get(row, [])), ratio(row, "logitree", peer_name)]
    print("| " + " | ".join(cells) + " |")
shares = ", ".join(f"{row}: {100 * statistics.median(engines['logitree'][row + ' share']):.0f} %" for row in NAMES if row.startswith("tree"))
if shares:
    print(f"\nShare of the machine's measured f32 multiply-add peak: {shares}.")
if args.fast:
    print("\n`--fast` against the exact mode: " + ", ".join(f"{name} {ratio(name, 'logitree --fast', 'logitree')}" for name in NAMES) + ".")
if args.output:
    json.dump(engines, open(args.output, "w"), indent=1)
