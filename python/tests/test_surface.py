"""What results know of themselves: offsets, totals, lookups, a sampler's view, tokens that are put by hand."""

from __future__ import annotations

import math
import pickle
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import logitree as lt

TEXT = "The quick 🙂 brown fox."


def test_offsets_are_characters(m: lt.Model) -> None:
    s = m.score(TEXT)
    assert s.text == TEXT and len(s.offsets) == len(s)
    whole = 0
    for (start, end), data in zip(s.offsets, s.token_bytes, strict=True):
        text = data.decode("utf-8", "replace")
        if "\ufffd" in text:
            # The tiny model has the bytes of an emoji as tokens of their own.
            assert TEXT[start:end] == "🙂"
            whole += 1
        else:
            assert TEXT[start:end] == text
    assert whole == 4 and s[2:5].offsets[0] == (0, s.offsets[2][1] - s.offsets[2][0])
    half = s[: s.token_bytes.index("🙂".encode()[:1]) + 2]
    assert half.text.endswith("\ufffd") and half.offsets[-1] == half.offsets[-2] == (len(half.text) - 1, len(half.text))
    g = m.logprobs("The", max_new_tokens=40)
    for (start, end), special in zip(g.offsets, g._special, strict=True):
        assert (start == end) == special and end <= len(g.text)


def test_offsets_of_bytes_that_are_no_text(m: lt.Model) -> None:
    from logitree._scores import _characters

    generator = np.random.default_rng(5)
    pieces = [b"a", "é".encode(), "🙂".encode(), b"\xf0\x9f", b"\x99", b"\xc3", b"\xff"]
    for _ in range(200):
        data = b"".join(pieces[i] for i in generator.integers(len(pieces), size=8))
        places = _characters(data)
        assert len(places) == len(data) and places[-1] == len(data.decode("utf-8", "replace")) - 1
        assert all(b - a in (0, 1) for a, b in zip(places, places[1:]))


def test_varentropies_are_the_distributions(m: lt.Model) -> None:
    s = m.score(TEXT)
    ids = m.prompt(TEXT).tokens
    assert s.varentropies.dtype == np.float64 and not s.varentropies.flags.writeable
    assert [m.next(ids[: i + 1]).varentropy for i in range(len(s))] == s.varentropies.tolist()
    assert pl.DataFrame(s)["varentropy"].to_list() == s.varentropies.tolist()
    g = m.logprobs("The quick", max_new_tokens=4)
    assert g.varentropies[0] == m.next("The quick").varentropy and pickle.loads(pickle.dumps(g)) == g


def test_totals_of_what_was_forced(m: lt.Model, folder: Path, cli: Callable[..., Any]) -> None:
    g = m.guide("The quick", prefix=" brown fox", join="", max_new_tokens=4)
    told = cli("guide", "The quick", "--prefix", " brown fox", "--join", "", "-m", folder, "-n", 4)["forced"]
    f = g.forced
    assert {"tokens": f.tokens, "logprob": f.logprob, "bits": f.bits, "prob": f.prob} == {n: told[n] for n in ("tokens", "logprob", "bits", "prob")}
    assert list(f) == [True] * f.tokens + [False] * 4 and f"{f.tokens} forced" in g.summary()
    again = pickle.loads(pickle.dumps(g)).forced
    assert again == f and again.bits == f.bits and g[f.tokens :].forced.tokens == 0
    none = m.score("The quick").forced
    assert (none.tokens, none.bits, none.prob) == (0, 0.0, 1.0)


def test_a_row_per_text(m: lt.Model) -> None:
    both = m.score(["The quick", TEXT])
    frame = pl.DataFrame(both.totals())
    assert frame["total_bits"].to_list() == [s.total_bits for s in both]
    assert frame["tokens"].to_list() == [len(s) for s in both] and frame["text"].to_list() == ["The quick", TEXT]


def test_tokens_are_looked_up(m: lt.Model) -> None:
    d = m.next("The quick", 3, tokens=[7], watch=[" the dog", "x"], logits=True)
    order = sorted(range(m.vocab_size), key=lambda i: (-d.logits[i], i))
    for id in (0, 7, 9, d.top[0].id):
        assert d.logprob(id) == float(d.logprobs[id]) and d.rank(id) == order.index(id) + 1
    assert d.logprob(" the dog") == d.watch[" the dog"].logprob and d.rank("x") == d.watch["x"].rank
    few = m.next("The quick", 3, tokens=[7])
    assert few.logprob(7) == few.tokens[0].logprob and few.rank(7) == few.tokens[0].rank == d.rank(7)
    # The likeliest tokens may be half characters, which have no text.
    many = m.next("The quick", 60)
    one = next(t for t in many.top if t.text.encode() == t.bytes)
    assert many.logprob(one.text) == many.logprob(one.id) == one.logprob and many.rank(one.text) == one.rank
    for call, words in (
        (lambda: few.logprob(9), "tokens="), (lambda: few.rank("zzz"), "watch="), (lambda: d.rank(" the dog"), "several"),
        (lambda: d.logprob(10**6), "vocabulary"), (lambda: d.rank(-1), "vocabulary"),
    ):
        with pytest.raises(KeyError, match=words):
            call()


def test_a_run_through_a_sampler(m: lt.Model, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.run.jsonl"
    run = m.tree("The quick", max_depth=4, min_branch_threshold=0.02, path=path)
    for sampler in ({}, {"temperature": 0.7}, {"top_k": 3, "top_p": 0.9}, {"repetition_penalty": 1.3, "top_k": 2}, {"typical_p": 0.2}):
        flags = [str(x) for name, value in sampler.items() for x in (f"--{name.replace('_', '-')}", value)]
        told = cli("lens", path, "--paths", 1000, *flags)
        lens = run.lens(**sampler)  # type: ignore[arg-type]
        assert [(p.node, p.text, p.before, p.lower, p.upper) for p in lens] == [
            (p["node"], p["text"], p["before"], *(p["after_bounds"] or (None, None))) for p in told["paths"]
        ]
        for name in ("finished", "frontier", "pruned", "unknown"):
            assert list(getattr(lens, name)) == told["after_bounds"][name]
        assert (lens.kept, lens.cut, lens.bounded) == tuple(told[n] for n in ("tokens_kept", "tokens_cut", "steps_with_bounds"))
        assert [n for n, _ in lens.short] == [s["node"] for s in told["lists_too_short"]]
        assert pl.DataFrame(lens)["lower"].to_list() == [p.lower for p in lens]
        again = pickle.loads(pickle.dumps(lens))
        assert list(again) == list(lens) and again.sampler == sampler and repr(again) == repr(lens)
        assert "<script" not in lens._repr_html_() and len(lens._repr_html_().encode()) <= 20_000
        if sampler.get("top_k") == 3:
            seen = cli("lens", path, "--node", 0, *flags)["tokens"]
            assert [(t.id, t.before, [t.lower, t.upper]) for t in lens.node(0)] == [
                (t["id"], t["before"], t["after_bounds"]) for t in seen
            ]
    clear = run.lens()
    assert math.isclose(clear.frontier.lower, run.mass.frontier)
    assert all(p.lower == p.upper and math.isclose(p.before, p.upper or 0.0) for p in clear)
    for wrong in ({"temperature": -1}, {"top_p": 2}, {"top_k": -1}, {"repetition_penalty": 0}, {"min_p": math.nan}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            run.lens(**wrong)  # type: ignore[arg-type]
    leaf = run.paths(1)[0].node
    with pytest.raises(lt.ParameterError, match="not expanded"):
        clear.node(leaf)


def test_tokens_are_put_by_hand(m: lt.Model, tmp_path: Path) -> None:
    path = tmp_path / "a.run.jsonl"
    greedy = [int(t) for t in m.logprobs("The quick", max_new_tokens=3).token_ids]
    rare = m.next("The quick", m.vocab_size).top[-1].id
    with m.explore("The quick", max_depth=3, min_branch_threshold=0.05, path=path) as growing:
        next(growing)
        mine = growing.expand(0, rare, steps=3)
        here = growing.so_far
        assert len(mine) == 3 and here.path(mine[0]) == [rare] and here.node(mine[2])["parent"] == mine[1]
        assert here.path(mine[2])[1:] == [int(t) for t in m.logprobs([*m.prompt("The quick").tokens, rare], max_new_tokens=2).token_ids]
        on = growing.expand(0, steps=3)
        assert growing.so_far.path(on[-1]) == greedy
        assert growing.expand(0, rare) == mine[:1]
        for level in growing:
            assert level.finished == growing.so_far.mass.finished and level.nodes == len(growing.so_far)
        for call, words in (
            (lambda: growing.expand(10**6), "nodes 0 to"), (lambda: growing.expand(0, 10**8), "vocabulary"),
            (lambda: growing.expand(0, steps=0), "`steps`"), (lambda: growing.expand(-1), "`node`"),
        ):
            with pytest.raises(ValueError, match=words):
                call()
        run = growing.finish()
        assert growing.so_far is run
        with pytest.raises(lt.ConflictError, match="at its end"):
            growing.expand(0)
    assert lt.read(path) == run and m.verify(run)
    # What is put by hand leaves the strategy's own tree as it is.
    plain = m.tree("The quick", max_depth=3, min_branch_threshold=0.05)
    own = {tuple(plain.path(i)) for i in range(len(plain))}
    assert own < {tuple(run.path(i)) for i in range(len(run))}


def test_an_exploration_is_stopped_from_another_thread(m: lt.Model) -> None:
    endless: dict[str, Any] = {"max_depth": 200, "min_branch_threshold": 0.001, "max_branch_threshold": 0.002, "max_completed_paths": 10**6}
    growing = m.explore("The quick", **endless)
    threading.Timer(0.3, growing.stop).start()
    run = growing.run()
    assert run.interrupted and len(run) > 1
    growing = m.explore("The quick", **endless)
    for i, _ in enumerate(growing):
        assert i < 3
        if i == 2:
            growing.stop()
    assert growing.so_far.end is None and len(growing.finish()) > 1


def test_inseq_takes_scores(m: lt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    s = m.score(TEXT)
    if "inseq" not in sys.modules:
        _stand_in(monkeypatch)
    out = s.to_inseq()
    (sequence,) = out.sequence_attributions
    assert [(t.token, t.id) for t in sequence.target] == list(zip(s.texts, s.token_ids.tolist(), strict=True))
    assert [float(p) for p in sequence.step_scores["crossentropy"]] == pytest.approx((-s.logprobs).tolist(), rel=1e-6)
    assert [float(p) for p in sequence.step_scores["probability"]] == pytest.approx(np.exp(s.logprobs).tolist(), rel=1e-6)
    assert [float(p) for p in sequence.step_scores["entropy"]] == pytest.approx(s.entropies.tolist(), rel=1e-6)


def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules with the names and the arguments of torch and inseq 0.7.1, which are 3 GB."""
    def record(*names: str) -> Any:
        def init(self: Any, *args: Any, **named: Any) -> None:
            self.__dict__.update(zip(names, args), **named)
            assert set(self.__dict__) <= set(names)

        return type("Stand", (), {"__init__": init})

    torch, inseq, data, utils, typing = (
        types.ModuleType(n) for n in ("torch", "inseq", "inseq.data", "inseq.utils", "inseq.utils.typing")
    )
    torch.tensor = lambda values: np.asarray(values, np.float32).view(Array)  # type: ignore[attr-defined]
    data.FeatureAttributionSequenceOutput = record("source", "target", "step_scores", "sequence_scores")  # type: ignore[attr-defined]
    data.FeatureAttributionOutput = record("sequence_attributions", "step_attributions", "info")  # type: ignore[attr-defined]
    typing.TokenWithId = record("token", "id")  # type: ignore[attr-defined]
    for module in (torch, inseq, data, utils, typing):
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Array(np.ndarray):  # type: ignore[type-arg]
    """An array with the method of tensors that is used."""

    def exp(self) -> Any:
        return np.exp(self)
