"""Ctrl-C, threads, processes, event loops, memory, and how long an import takes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import logitree as lt

LONG = {"max_depth": 200, "min_branch_threshold": 0.001, "max_branch_threshold": 0.002, "max_completed_paths": 10**6}

INTERRUPTED = """
import os, signal, sys, threading, time, warnings
import logitree as lt
m = lt.load(sys.argv[1])
lt.options.interrupt = sys.argv[3]
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
long = dict(max_depth=200, min_branch_threshold=0.001, max_branch_threshold=0.002, max_completed_paths=10**6)
start = time.monotonic()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        run = m.tree("The quick", path=sys.argv[2], **long)
    except lt.Interrupted as e:
        run = e.result
        caught = [e]
assert run.interrupted and len(run) > 1, len(run)
assert caught, "somebody is told"
assert time.monotonic() - start < 20
assert lt.read(sys.argv[2]) == run
more = m.resume(sys.argv[2], max_nodes=len(run) + 50)
assert len(more) >= len(run) and m.verify(more)
assert m.next("The").top
print("kept", len(run))
"""


@pytest.mark.parametrize("how", ["keep", "raise"])
def test_ctrl_c_keeps_the_run(folder: Path, tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(folder), str(tmp_path / "a.run.jsonl"), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kept")


def test_ctrl_c_keeps_what_other_calls_have(gemma: lt.Model, m: lt.Model) -> None:
    def hear(_: object) -> None:
        raise KeyboardInterrupt

    text = "The quick brown fox jumps over the lazy dog. " * 60
    calls = {
        "attribute": lambda: gemma.attribute(text, " cat", progress=hear),
        "compare": lambda: gemma.compare(text, other_after="Once", progress=hear),
        "decide": lambda: gemma.decide(
            "Is the sky green?", pattern="(?i)(yes|no)", text=" Well, so", tolerance=1e-9, max_nodes=10**7, progress=hear
        ),
        "layers": lambda: gemma.score(text, layers=True, progress=hear),
        "stop": lambda: m.logprobs("The quick", max_new_tokens=100, stop="\0", progress=hear),
    }
    for name, call in calls.items():
        with pytest.warns(lt.Note, match="interrupted"):
            found = call()
        assert found.interrupted, name
    assert m.logprobs("The", max_new_tokens=3).stop


def test_what_a_listener_raises_comes_out(m: lt.Model) -> None:
    def hear(level: object) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        m.tree("The quick", progress=hear, **LONG)  # type: ignore[arg-type]
    assert m.next("The").top


def test_progress_is_heard(m: lt.Model) -> None:
    heard: list[object] = []
    run = m.tree("The quick", max_seconds=1.0, progress=heard.append, **LONG)  # type: ignore[arg-type]
    levels = [h for h in heard if isinstance(h, lt.Level)]
    nodes = [level.nodes for level in levels]
    assert nodes and nodes[-1] <= len(run) and nodes == sorted(nodes)


def test_other_threads_go_on(m: lt.Model) -> None:
    ticks, ended = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not ended.is_set():
            time.sleep(0.001)
            ticks += 1

    ticking = threading.Thread(target=tick)
    ticking.start()
    m.tree("The quick", max_seconds=1.0, **LONG)  # type: ignore[arg-type]
    ended.set()
    ticking.join()
    assert ticks >= 50


def test_threads_share_a_model(m: lt.Model) -> None:
    texts = [f"The quick brown fox number {i}" for i in range(8)]
    alone = [m.score(t).logprobs.tolist() for t in texts]
    together: list[list[float]] = [[] for _ in texts]

    def score(i: int) -> None:
        for _ in range(3):
            together[i] = m.score(texts[i]).logprobs.tolist()

    threads = [threading.Thread(target=score, args=(i,)) for i in range(len(texts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


def test_event_loops(m: lt.Model) -> None:
    async def both() -> tuple[lt.Run, int, int]:
        levels = 0

        async def watch() -> None:
            nonlocal levels
            async for _ in m.explore("The quick", max_depth=3, min_branch_threshold=0.02):
                levels += 1

        run, _ = await asyncio.gather(m.atree("The quick", max_depth=3, min_branch_threshold=0.02), watch())
        scores = await asyncio.to_thread(m.score, "The quick brown")
        return run, levels, len(scores)

    run, levels, scores = asyncio.run(both())
    assert len(run) > 1 and levels > 1 and scores > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_is_refused_at_once(m: lt.Model) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            m.next("The")
        except lt.ForkError as e:
            code = 0 if "spawn" in str(e) else 2
        finally:
            os._exit(code)
    start = time.monotonic()
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - start > 10:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(found[1]) == 0


def _total(args: tuple[lt.Model, str]) -> float:
    return args[0].score(args[1]).total_logprob


def test_spawned_processes_load_it_again(m: lt.Model) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_total, [(m, "The quick brown")]) == [m.score("The quick brown").total_logprob]


def test_memory_stays_flat(m: lt.Model) -> None:
    def once() -> None:
        # Three calls: all of them are a thousand.
        m.next("The quick", logits=True).logprobs.sum()
        m.score("The quick brown fox").table()
        m.tree("The", max_depth=2)._repr_html_()

    for _ in range(40):
        once()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(340):
        once()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 8_000, f"{grown} kB"


def test_the_import_brings_little() -> None:
    code = "import sys, logitree; print(sorted({'numpy', 'pandas', 'IPython', 'tqdm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    times = []
    for _ in range(5):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", "import logitree"], check=True)
        times.append(time.monotonic() - start)
    bare = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    bare = time.monotonic() - bare
    assert min(times) - bare < 0.3, times


def test_the_command_is_there(folder: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "logitree", *args], capture_output=True, text=True)

    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"logitree {lt.__version__}\n")
    assert run("nosuch").returncode == 2 and run("show", "nofile").returncode == 1
    started = subprocess.Popen(
        [sys.executable, "-m", "logitree", "tree", "The quick", "-m", str(folder), "-o", "-", "--max-depth", "300",
         "--min-branch-threshold", "0.001", "--max-branch-threshold", "0.002", "--max-completed-paths", "1000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert started.stdout is not None
    started.stdout.readline()
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=60)
    assert started.returncode == 130
