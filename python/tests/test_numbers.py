"""The numbers are the library's, which are the reference's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import FIXTURES, safetensors

import logitree as lt

TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not care."


def test_logits_are_the_golden_ones(folder: Path) -> None:
    golden = safetensors(FIXTURES / "tiny/gemma3/golden.safetensors")
    ids, logits = golden["input_ids"].reshape(-1), golden["logits"].reshape(-1, golden["logits"].shape[-1])
    model = lt.load(folder, arithmetic="f32")
    session = model.session()
    nodes = session.push_all(None, ids)
    for node, wanted in zip(nodes, logits, strict=True):
        (d,) = session.evaluate([node], top=5, logits=True)
        assert np.abs(d.logits - wanted).max() < 1e-4
        exact = wanted.astype(np.float64) - np.log(np.exp(wanted.astype(np.float64)).sum())
        assert np.abs(d.logprobs - exact).max() < 1e-4
        assert [t.id for t in d.top] == list(np.lexsort((np.arange(len(wanted)), -d.logits))[:5])


def test_a_distribution_adds_up(m: lt.Model) -> None:
    d = m.next("The quick brown", 5, tokens=[3, 9], logits=True)
    p = np.exp(d.logprobs.astype(np.float64))
    assert abs(p.sum() - 1) < 1e-5 and d.logprobs.shape == (m.vocab_size,)
    assert abs(-(p * np.log(p)).sum() - d.entropy) < 1e-5
    assert [t.rank for t in d.top] == [1, 2, 3, 4, 5]
    assert abs(sum(t.prob for t in d.top) + d.rest - 1) < 1e-12
    assert [t.id for t in d.tokens] == [3, 9] and abs(d[9].logprob - d.logprobs[9]) < 1e-6
    with pytest.raises(ValueError, match="logits=True"):
        m.next("a").logprobs


def test_next_tokens_are_the_commands(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    prompts, watch = ["The quick brown", "To be or not", "The quick"], [" the dog", "x"]
    found = m.next(prompts, 4, watch=watch)
    args = ["next", *prompts, "-m", folder, "--top", 4, *(a for w in watch for a in ("--watch", w))]
    told = cli(*args, "-o", tmp_path / "next.csv")["prompts"]
    for d, t in zip(found, told, strict=True):
        assert (d.prompt, d.rest, d.entropy, d.entropy_bits, d.varentropy, d.exactness) == tuple(
            t[k] for k in ("prompt", "rest", "entropy", "entropy_bits", "varentropy", "exactness")
        )
        assert [x._asdict() for x in d.top_p] == t["top_p"]
        assert [(x.id, x.logprob, x.rank) for x in d.top] == [(x["id"], x["logprob"], x["rank"]) for x in t["top"]]
        assert [(w, x.logprob, x.rank) for w, x in d.watch.items()] == [
            (x["text"], x["logprob"], x.get("rank")) for x in t["watch"]
        ]
        assert d.watch["x"].logprob == m.next(d.prompt, tokens=d.watch["x"].token_ids).tokens[0].logprob
        alone = m.next(d.prompt, 4, watch=watch)
        assert (alone.top, alone.watch, alone.top_p, repr(alone)) == (d.top, d.watch, d.top_p, repr(d))
    ours, theirs = found.to_polars(), pl.read_csv(tmp_path / "next.csv")
    assert [c for c in ours.columns if c not in ("row", "bytes")] == theirs.columns
    for name in theirs.columns:
        assert ours[name].to_list() == theirs[name].to_list(), name
    assert len(found[:2]) == 2 and isinstance(found[0], lt.Distribution)


def test_the_whole_vocabulary_is_not_copied(m: lt.Model) -> None:
    d = m.next("The quick brown", logits=True)
    a, b = np.asarray(d.logprobs), np.asarray(d.logprobs)
    assert a.dtype == np.float32 and not a.flags.owndata and not a.flags.writeable
    assert a.ctypes.data == b.ctypes.data
    first = float(a[0])
    del d, b
    import gc

    gc.collect()
    assert a[0] == first
    with pytest.raises(ValueError):
        a[0] = 0.0


def test_scores_are_the_commands(m: lt.Model, folder: Path, cli: Callable[..., Any]) -> None:
    s = m.score(TEXT, watch=[" the"])
    told = cli("score", "--text", TEXT, "-m", folder, "--watch", " the")
    assert [t["logprob"] for t in told["tokens"]] == s.logprobs.tolist()
    assert [t["entropy"] for t in told["tokens"]] == s.entropies.tolist()
    assert [t["rank"] for t in told["tokens"]] == s.ranks.tolist()
    assert [[t["logprob"] for t in x["top"]] for x in told["tokens"]] == s.top_logprobs
    assert [t["watch"][0]["logprob"] for t in told["tokens"]] == s.watch[" the"]
    assert told["total_logprob"] == s.total_logprob and math.isclose(told["perplexity"], s.perplexity, rel_tol=1e-12)
    assert s.token_ids.dtype == np.uint32 and s.logprobs.dtype == np.float64 and not s.logprobs.flags.writeable


def test_generations_are_the_commands(m: lt.Model, folder: Path, cli: Callable[..., Any]) -> None:
    drawn = {"temperature": 0.8, "top_k": 20, "seed": 7}
    flags = ["--temperature", 0.8, "--top-k", 20, "--seed", 7]
    for given, args in (({}, []), (drawn, flags)):
        g = m.logprobs("The quick", max_new_tokens=12, **given)
        told = cli("logprobs", "The quick", "-m", folder, "-n", 12, *args)
        assert [t["logprob"] for t in told["tokens"]] == g.logprobs.tolist()
        assert (told["response"], told["stop"]) == (g.text, g.stop)
    g = m.guide("The quick", prefix=" brown fox", join="", max_new_tokens=4)
    told = cli("guide", "The quick", "--prefix", " brown fox", "--join", "", "-m", folder, "-n", 4)
    assert [t["logprob"] for t in told["tokens"]] == g.logprobs.tolist()
    assert sum(g.forced) == told["forced"]["tokens"]


def test_a_generation_is_live(m: lt.Model) -> None:
    g = m.generate("The quick", max_new_tokens=6)
    first = next(g)
    assert len(g.scores) == 1 and g.stop is None and g.scores[0] == first
    rest = list(g)
    whole = m.logprobs("The quick", max_new_tokens=6)
    assert [s.logprob for s in [first, *rest]] == whole.logprobs.tolist()
    assert g.scores == whole and g.run() == whole


def test_a_generation_ends_at_a_string(m: lt.Model) -> None:
    whole = m.logprobs("The quick", max_new_tokens=12)
    # Every string of the text ends it with the token that completes it, also where that string runs over tokens.
    for first in range(len(whole)):
        for end in range(first + 1, min(first + 4, len(whole)) + 1):
            string = whole[first:end].text
            if "\ufffd" in string or not string:
                continue
            shortest = next(i for i in range(len(whole) + 1) if string in whole[:i].text)
            for stop in (string, ["\0none", string]):
                made = m.logprobs("The quick", max_new_tokens=12, stop=stop)
                assert made.stop == "stop" and made.logprobs.tolist() == whole.logprobs[:shortest].tolist()
            steps = list(m.generate("The quick", max_new_tokens=12, stop=string))
            assert len(steps) == shortest
    assert m.logprobs("The quick", max_new_tokens=3, stop="nowhere").stop == "max_new_tokens"
    # What was forced does not end it.
    f = m.guide("The quick", prefix=" brown fox", max_new_tokens=3, stop="fox")
    assert f.logprobs.tolist() == m.guide("The quick", prefix=" brown fox", max_new_tokens=3).logprobs.tolist()
    for wrong, kind in (("", ValueError), (["a", ""], ValueError), ([3], TypeError)):
        with pytest.raises(kind, match="`stop`"):
            m.generate("a", stop=wrong)  # type: ignore[arg-type]


def test_a_text_after_a_prompt(m: lt.Model) -> None:
    whole, part = m.score("The quick brown fox"), m.score(" brown fox", after="The quick")
    assert 0 < len(part) < len(whole) and part.logprobs.tolist() == whole.logprobs[-len(part) :].tolist()
    assert not any(part.forced)


def test_many_texts_are_the_same_bits_as_one_by_one(m: lt.Model) -> None:
    texts = [TEXT[:i] for i in range(4, len(TEXT), 3)] + ["The end", TEXT * 3, TEXT, "The end"]
    both = m.score(texts, watch=[" the dog", "x"], full=True)
    assert len(both) == len(texts)
    for text, together in zip(texts, both):
        assert together == m.score(text, watch=[" the dog", "x"], full=True)
    after = m.score([" brown fox", " red", " brown"], after="The quick")
    assert [s.total_logprob for s in after] == [
        m.score(t, after="The quick").total_logprob for t in (" brown fox", " red", " brown")
    ]
    assert [s.prompt for s in after] == ["The quick"] * 3 and len(m.score([])) == 0


def test_the_whole_vocabulary_of_every_token(m: lt.Model) -> None:
    s = m.score(TEXT, full=True)
    assert s.full.shape == (len(s), m.vocab_size) and s.full.dtype == np.float32 and not s.full.flags.writeable
    assert np.abs(s.full[np.arange(len(s)), s.token_ids] - s.logprobs).max() < 1e-5
    p = np.exp(s.full.astype(np.float64))
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-4 and np.abs(-(p * s.full).sum(axis=1) - s.entropies).max() < 1e-4
    assert s[2:5].full.tolist() == s.full[2:5].tolist() and s[:0].full.size == 0 and m.score(TEXT).full is None
    g = m.logprobs("The quick", max_new_tokens=6, full=True)
    assert g[:].logprobs.tolist() == m.logprobs("The quick", max_new_tokens=6).logprobs.tolist()
    assert g.full.tolist()[0] == m.next("The quick", logits=True).logprobs.tolist()
    f = m.guide("The quick", prefix=" brown fox", max_new_tokens=3, full=True)
    assert np.abs(f.full[np.arange(len(f)), f.token_ids] - f.logprobs).max() < 1e-5


def test_the_names_of_lm_polygraph(m: lt.Model) -> None:
    g = m.logprobs("The quick", max_new_tokens=4, full=True)
    stats = g.stats()
    assert [np.mean(e) for e in stats["entropy"]] == [pytest.approx(g.mean_entropy)]
    assert stats["greedy_tokens"] == [g.token_ids.tolist()] and stats["greedy_texts"] == [g.text]
    assert stats["greedy_log_likelihoods"] == [g.logprobs.tolist()]
    assert stats["greedy_log_probs"][0].shape == (len(g), m.vocab_size)
    both = m.score(["The quick", "brown fox"]).stats()
    assert len(both["entropy"]) == 2 and "greedy_log_probs" not in both


def test_words_are_the_commands(m: lt.Model, folder: Path, cli: Callable[..., Any]) -> None:
    for by in ("word", "line", "sentence"):
        w = m.words(TEXT, by=by)  # type: ignore[arg-type]
        told = cli("score", "--text", TEXT, "--by", by, "-m", folder)["spans"]
        assert [(s._asdict() | {"bits": s.surprisal}) for s in w] == told
        assert "".join(s.text for s in w).endswith(TEXT)
        assert sum(s.token_logprob for s in w) == pytest.approx(m.score(TEXT).total_logprob, abs=1e-9)
        assert w.to_polars()["logprob"].to_list() == [s.logprob for s in w]
    (one,) = m.words(" brown", after="The quick")
    assert one.token_logprob == pytest.approx(m.score(" brown", after="The quick").total_logprob, abs=1e-9)
    blank = m.words("   ")
    assert sum(s.token_logprob for s in blank) == pytest.approx(m.score("   ").total_logprob, abs=1e-9)
    with pytest.raises(lt.ParameterError, match="word, line, sentence"):
        m.words(TEXT, by="chapter")  # type: ignore[arg-type]


def test_trees_are_the_commands(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    for given in (
        {"max_depth": 5, "min_branch_threshold": 0.02, "soft_queue_limit": 8, "watch": [" the"]},
        {"strategy": "best-first", "max_depth": 4, "max_nodes": 60, "store_top": "p=0.5"},
        {"strategy": "beam", "width": 3, "max_depth": 4},
        {"strategy": "sample", "samples": 20, "seed": 3, "max_depth": 4, "temperature": 1.2},
    ):
        flags: list[object] = []
        for name, value in given.items():
            for one in value if isinstance(value, list) else [value]:
                flags += [f"--{name.replace('_', '-')}", one]
        theirs, ours, grown = (tmp_path / f"{given.get('strategy')}-{i}.run.jsonl" for i in range(3))
        cli("tree", "The quick", "-m", folder, "-o", theirs, *flags)
        run = m.tree("The quick", path=grown, **given)  # type: ignore[arg-type]
        run.save(ours)
        assert _timeless(grown) == _timeless(theirs)
        # A file that is written at once has the nodes in their own order, not in that of their expansion.
        assert sorted(map(str, _timeless(ours))) == sorted(map(str, _timeless(theirs)))
        verified = m.verify(run)
        assert lt.read(ours) == run and verified and verified.confirmed and verified.other_order is None


def _timeless(path: Path) -> list[Any]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("created", None)
        line.pop("seconds", None)
    return lines


def test_a_tree_level_by_level(m: lt.Model) -> None:
    with m.explore("The quick", max_depth=4, min_branch_threshold=0.02) as growing:
        levels = list(growing)
    run = growing.finish()
    assert run._run.to_bytes()[-200:].count(b"finished") and len(run) == levels[-1].nodes
    assert len(run) == len(m.tree("The quick", max_depth=4, min_branch_threshold=0.02))
    some = m.explore("The quick", max_depth=4, min_branch_threshold=0.02)
    next(some)
    assert some.finish().interrupted and len(some.finish()) < len(run)


def test_answers_and_forks(m: lt.Model, folder: Path, cli: Callable[..., Any]) -> None:
    a = m.answers("The quick", ["brown", "red"], max_depth=3, max_nodes=500)
    told = cli("answers", "The quick", "--choices", "brown|red", "--max-depth", 3, "--max-nodes", 500, "-m", folder)
    assert [vars(x) for x in a] == told["answers"]
    assert (a.no_answer, a.undecided, a.winner, a.ended_by) == tuple(told[k] for k in ("no_answer", "undecided", "winner", "ended_by"))
    (d,) = m.direct("The quick", [" brown"])
    assert d.logprob == pytest.approx(m.score(" brown", after="The quick").total_logprob, abs=1e-12)
    f = m.forks("The quick", max_new_tokens=6, top=3)
    told = cli("forks", "The quick", "-n", 6, "--top", 3, "-m", folder)
    assert [x.gap for x in f] == [x["gap"] for x in told["forks"]] and f.text == told["text"]
    assert f[0].layers is None
    looked = m.forks("The quick", max_new_tokens=6, top=3, layers=True)
    told = cli("forks", "The quick", "-n", 6, "--top", 3, "--layers", "-m", folder)
    for one, other in zip(looked, told["forks"], strict=True):
        assert one.layers is not None and one.layers.decided == other["layers"]["decided"]
        assert one.layers.logprobs == [[t["logprob"] for t in at["tokens"]] for at in other["layers"]["layers"]]
        assert {one.token.id, one.other.id} <= {t.id for t in one.layers.tokens}


def test_a_strategy_of_ones_own_makes_the_same_tree(m: lt.Model) -> None:
    """The notebook's queue, in Python, over a session."""
    low, high, limit, deepest = 0.02, 0.3, 6, 4
    session = m.session()
    root = session.push_all(None, m.prompt("The quick").tokens)[-1]
    queue, made = [(root, 0, 0)], [(0, 0, None)]
    while queue:
        threshold = low + min(1.0, len(queue) / limit) * (high - low)
        at, node, depth = queue.pop(0)
        if depth >= deepest:
            continue
        (d,) = session.evaluate([at], top=64)
        chosen = [t for t in d.top if t.prob > threshold] or d.top[:1]
        for t in chosen:
            made.append((len(made), node, t.id))
            if t.id not in m.end_tokens:
                queue.append((session.push(at, t.id), made[-1][0], depth + 1))
    run = m.tree(
        "The quick", min_branch_threshold=low, max_branch_threshold=high, soft_queue_limit=limit, max_depth=deepest,
        max_completed_paths=10**6,
    )
    found = [(i, run.node(i)["parent"] or 0, run.node(i)["token_id"]) for i in range(len(run))]
    assert found == made


def test_the_default_model_is_near_the_reference(gemma: lt.Model) -> None:
    golden = json.loads((FIXTURES / "gguf/gemma-3-270m-q4_k_m.json").read_text())
    for prompt in golden["prompts"]:
        made = gemma.prompt(prompt["prompt"])
        assert made.tokens == prompt["input_ids"]
        d = gemma.next(made, 20)
        wanted = prompt["positions"][-1]
        assert d.entropy == pytest.approx(wanted["entropy_nats"], abs=1e-3)
        assert [t.logprob for t in d.top[:5]] == pytest.approx(wanted["top_logprobs"][:5], abs=1e-3)
