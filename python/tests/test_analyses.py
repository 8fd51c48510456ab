"""Comparisons, decision curves, attributions and layers are the command's, cell by cell."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import logitree as lt

TEXT = "The quick brown fox jumps over the lazy dog."


def same(ours: Any, csv: Path) -> None:
    """Whether a result's table has the cells of a CSV file, compared as text: numbers have all their digits there."""
    import csv as reader

    frame = pl.DataFrame(ours)
    with csv.open(encoding="utf-8", newline="") as file:
        head, *rows = reader.reader(file)
    assert frame.columns == head
    assert len(frame) == len(rows) > 0
    for name, column in zip(head, zip(*rows), strict=True):
        for mine, theirs in zip(frame[name], column, strict=True):
            if mine is None or isinstance(mine, str):
                assert (mine or "") == theirs, name
            else:
                assert mine == float(theirs) or (math.isnan(mine) and theirs == "NaN"), name


def well_made(thing: Any) -> None:
    """Whether a result prints, shows itself, pickles and is a table."""
    html = thing._repr_html_()
    assert len(html.encode()) <= 20_000 and html.count("<td") == html.count("</td>") > 0
    assert not re.search(r"<script|<style|<svg|class=|<[^>]* on\w+=", html), html
    assert len(repr(thing).splitlines()) > 2 and len(repr(thing)) < 20_000
    again = pickle.loads(pickle.dumps(thing))
    assert again.table() == thing.table() and repr(again) == repr(thing)
    assert pa.table(thing).num_rows == len(thing.table()) == len(thing.to_pandas())


def csv_of(cli: Callable[..., Any], path: Path, *args: object) -> Any:
    """What a command writes as JSON, and its CSV in `path`."""
    return cli(*args, "-o", path, "--force")


def test_a_text_after_two_prompts(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    c = m.compare(TEXT, after="Once upon a time", other_after="Yesterday, ")
    told = csv_of(cli, path, "compare", folder, "--text", TEXT, "--context-a", "Once upon a time", "--context-b", "Yesterday, ")
    same(c, path)
    assert c.by == "token" and c.summary is not None and not c.interrupted
    assert [(t.token_id, t.logprob_a, t.logprob_b, t.kl_ab, t.js) for t in c] == [
        (t["id"], *t["logprob"], t["kl_ab"], t["js"]) for t in told["tokens"]
    ]
    s, summary = c.summary, told["summary"]
    assert [e._asdict() for e in s.perplexity] == summary["perplexity"]
    for name in ("perplexity_ratio", "kl_ab", "kl_ba", "js", "agreement", "prob_change"):
        assert getattr(s, name)._asdict() == summary[name]
    assert (s.tokens, list(s.logprob), s.rms_prob_change, s.first_flip) == tuple(
        summary[n] for n in ("tokens", "logprob", "rms_prob_change", "first_flip")
    )
    assert s.kl_ab.mean > 0 and c.logprob == s.logprob
    well_made(c)
    own = m.compare(TEXT)
    assert own.summary is not None and own.summary.kl_ab.max == 0.0 and len(own) > len(TEXT) / 4
    one = m.compare(TEXT[:1])
    assert one.summary is not None and math.isnan(one.summary.kl_ab.error) and pickle.loads(pickle.dumps(one)).summary
    alone = m.compare(TEXT, after="Once", other_after="")
    assert alone[0].logprob_a != alone[0].logprob_b  # type: ignore[union-attr]


def test_a_text_under_another_arithmetic_and_vocabulary(
    m: lt.Model, folder: Path, gemma: lt.Model, cli: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    rough = lt.load(gemma.name, arithmetic="8-bit")
    c = gemma.compare(TEXT, rough)
    csv_of(cli, path, "compare", gemma.name, "--arithmetic-b", "8-bit", "--text", TEXT)
    same(c, path)
    assert (c.a, c.b) == (gemma.name, gemma.name) and any(t.logprob_a != t.logprob_b for t in c)
    well_made(c)
    c = m.compare(TEXT, gemma)
    told = csv_of(cli, path, "compare", folder, gemma.name, "--text", TEXT)
    same(c, path)
    assert c.by == "piece" and c.summary is None and c.bits_per_byte is not None
    assert (c.bytes, list(c.logprob), list(c.bits_per_byte)) == tuple(told[n] for n in ("bytes", "logprob", "bits_per_byte"))
    assert c.bits_per_byte[0] > c.bits_per_byte[1] and "bits per byte" in repr(c)
    well_made(c)


@pytest.mark.parametrize(("prompt", "places"), [("The quick", {"both", "a"}), ("A quick", {"a", "b"})])
def test_two_runs(m: lt.Model, cli: Callable[..., Any], tmp_path: Path, prompt: str, places: set[str]) -> None:
    files = [tmp_path / f"{name}.run.jsonl" for name in "ab"]
    a = m.tree("The quick", max_depth=4, min_branch_threshold=0.02, path=files[0])
    b = m.tree(prompt, max_depth=3, min_branch_threshold=0.03, path=files[1])
    c = a.compare(b)
    told = csv_of(cli, tmp_path / "a.csv", "compare", *files)
    same(c, tmp_path / "a.csv")
    assert (c.same_ids, c.shared, list(c.only), list(c.only_mass), c.moved) == (
        told["same_ids"], told["shared"], [told["only_a"], told["only_b"]], told["only_mass"], told["moved"]
    )
    assert c.fork is not None and list(c.fork.node) == told["fork"]["node"] and c.fork.text == told["fork"]["text"]
    for ours, theirs in zip((c.fork.next_a, c.fork.next_b), told["fork"]["next"], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours._asdict() == theirs | {"token": ours.token} and ours.text.endswith(ours.token)
    assert {r.place for r in c} == places and len(c) == c.shared - 1 + sum(c.only)
    well_made(c)
    own = a.compare(a)
    assert own.moved == 0.0 and own.fork is None and own.only == (0, 0)
    with pytest.raises(TypeError, match="`other`"):
        a.compare("b")  # type: ignore[arg-type]


def test_decision_curves(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    asked: Sequence[tuple[dict[str, Any], list[object]]] = (
        ({"choices": ["a", "b", "t"], "max_new_tokens": 4, "max_depth": 3}, ["--choices", "a|b|t", "-n", 4, "--max-depth", 3]),
        (
            {"pattern": "([a-h])", "text": " brown fox", "max_nodes": 200, "tolerance": 0.1},
            ["--pattern", "([a-h])", "--text", " brown fox", "--max-nodes", 200, "--tolerance", 0.1],
        ),
    )
    for given, args in asked:
        d = m.decide("The quick", **given)
        told = csv_of(cli, path, "decide", "The quick", "-m", folder, *args)
        same(d, path)
        assert (d.text, d.tolerance, len(d)) == (told["text"], told["tolerance"], len(told["points"]))
        assert d.decided == (told["decided"] and told["decided"]["tokens"])
        assert d.winner == (told["decided"] and told["decided"]["answer"])
        for ours, theirs in zip(d, told["points"], strict=True):
            assert [a.__dict__ for a in ours.answers] == theirs["answers"]
            assert (ours.tokens, ours.steps, ours.nodes, ours.ended_by) == tuple(
                theirs[n] for n in ("tokens", "steps", "nodes", "ended_by")
            )
            assert ours.entropy._asdict() == theirs["entropy"] and ours.no_answer._asdict() == theirs["no_answer"]
            assert (ours.token_id, ours.logprob) == (theirs["token"] and theirs["token"]["id"], theirs["logprob"])
        assert "decided" in d.summary()
        well_made(d)
    with pytest.raises(ValueError, match="either `choices` or `pattern`"):
        m.decide("a")
    with pytest.raises(ValueError, match="`tolerance`"):
        m.decide("a", ["b"], tolerance=2)
    with pytest.raises(lt.ParameterError, match="token ids"):
        m.decide([2, 5, 6], ["b"])


def test_attributions(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    path, prompt = tmp_path / "a.csv", "The quick brown fox. It jumps!"
    for by in ("token", "word", "sentence"):
        for replacement in (None, "cat"):
            a = m.attribute(prompt, " over", by=by, replacement=replacement)  # type: ignore[arg-type]
            args = ["attribute", prompt, "-m", folder, "--continuation", " over", "--by", by]
            told = csv_of(cli, path, *args, *(["--replace-with", replacement] if replacement else []))
            same(a, path)
            assert [t._asdict() for t in a.texts] == told["texts"]
            assert [(p.part, p.message, p.prompt_tokens) for p in a] == [
                (p["part"], p["message"], p["prompt_tokens"]) for p in told["parts"]
            ]
            assert [p.deltas[0] for p in a] == [p["texts"][0]["delta"] for p in told["parts"]]
            well_made(a)
    both = m.attribute(prompt, [" over", " the dog"])
    csv_of(cli, path, "attribute", prompt, "-m", folder, "--choices", "over|the dog")
    same(both, path)
    assert [len(p.logprobs) for p in both] == [2] * 6
    well_made(both)
    for call, words in (
        (lambda: m.attribute(prompt, "x", by="chapter"), "token, word, line"),  # type: ignore[arg-type]
        (lambda: m.attribute(prompt, []), "`continuation`"),
        (lambda: m.attribute(prompt, "x", by="turn"), "conversation"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_layers(m: lt.Model, folder: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    d = m.next("The quick", 3, watch=[" the"], layers=True)
    told = csv_of(cli, path, "next", "The quick", "-m", folder, "--top", 3, "--watch", " the", "--layers")["prompts"][0]["layers"]
    assert d.layers is not None
    same(d.layers, path)
    matches(d.layers, told)
    assert d.layers.tokens[0] == d.top[0] and d.layers.best[-1].id == d.top[0].id
    assert d.layers.entropies[-1] == d.entropy and m.next("The quick").layers is None
    well_made(d.layers)
    assert pickle.loads(pickle.dumps(d)).layers == d.layers
    s = m.score(TEXT, watch=["x"], layers=True)
    told = csv_of(cli, path, "score", "--text", TEXT, "-m", folder, "--watch", "x", "--layers")
    assert s.layers is not None and len(s.layers) == len(s)
    same(s.layers, path)
    for ours, theirs in zip(s.layers, told["tokens"], strict=True):
        matches(ours, theirs["layers"])
    well_made(s.layers)
    again = pickle.loads(pickle.dumps(s))
    assert again == s and again.layers.decided == s.layers.decided
    part = s[3:5].layers
    assert part is not None and list(part) == list(s.layers)[3:5] and part.names == s.texts[3:5]
    empty = s[:0].layers
    assert empty is not None and len(empty.table()) == 0 and empty.table().names == s.layers.table().names
    both = m.score(["The quick", TEXT], layers=True)
    assert both[1].layers is not None and list(both[1].layers)[0] == m.score(TEXT, layers=True).layers[0]  # type: ignore[index]
    several = m.next(["The quick", "To be"], layers=True)
    assert [d.layers == m.next(d.prompt, layers=True).layers for d in several] == [True, True]


def matches(layers: lt.Layers, told: dict[str, Any]) -> None:
    """Whether a look into the layers is what the command tells."""
    assert layers.decided == told["decided"] and len(layers) == len(told["layers"])
    assert [(t.id, logit, rest) for t, logit, rest in zip(layers.tokens, layers.logits, layers.rests)] == [
        (t["id"], t["logit"], t["rest"]) for t in told["tokens"]
    ]
    for i, layer in enumerate(told["layers"]):
        assert (layers.best[i].id, layers.best[i].logprob) == (layer["best"]["id"], layer["best"]["logprob"])
        numbers = list(zip(layers.logprobs[i], layers.ranks[i], layers.parts[i]))
        assert numbers == [(t["logprob"], t["rank"], t["part"]) for t in layer["tokens"]]


def test_tables_below_each_other(m: lt.Model) -> None:
    a, b = m.score("The quick").table(), m.score("brown").table()
    both = lt.Table.join([a, b])
    assert len(both) == len(a) + len(b) and pl.DataFrame(both)["rank"].to_list()[: len(a)] == pl.DataFrame(a)["rank"].to_list()
    assert pickle.loads(pickle.dumps(both)).columns() == both.columns() and pickle.loads(pickle.dumps(a)) == a != b
    with pytest.raises(lt.ParameterError, match="different columns"):
        lt.Table.join([a, m.vocabulary()])
    with pytest.raises(lt.ParameterError, match="none to join"):
        lt.Table.join([])
