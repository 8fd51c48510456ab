"""Results print, become tables, pickle, and show themselves."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import logitree as lt

TEXT = "The quick brown fox. <b>&amp;</span><script>alert(1)</script> jumps"


@pytest.fixture(scope="module")
def run(m: lt.Model) -> lt.Run:
    return m.tree("The quick", max_depth=4, min_branch_threshold=0.02, watch=[" the"])


def test_tables_are_taken_as_they_are(m: lt.Model, run: lt.Run, tmp_path: Path) -> None:
    run.export("csv", tmp_path / "a.csv")
    csv = pl.read_csv(tmp_path / "a.csv")
    frame = pl.DataFrame(run)
    assert frame.columns == csv.columns and len(frame) == len(csv) == len(run)
    for name in ("logprob", "path_prob", "entropy", "watch_1_logprob"):
        assert frame[name].to_list() == csv[name].to_list()
    assert pa.table(run).num_rows == len(run) == len(run.to_pandas()) == len(run.to_polars())
    parquet = tmp_path / "a.parquet"
    run.export("parquet", parquet)
    assert pl.read_parquet(parquet)["state"].to_list() == frame["state"].to_list()
    s = m.score(TEXT)
    f = pl.DataFrame(s)
    assert f["logprob"].to_list() == s.logprobs.tolist() and f["top_ids"].to_list() == s.top_ids
    assert f["bytes"].to_list() == s.token_bytes and isinstance(s.to_pandas(), pd.DataFrame)
    both = m.score(["The quick", "brown fox jumps"])
    assert pl.DataFrame(both)["row"].to_list() == [0] * len(both[0]) + [1] * len(both[1])
    assert len(pl.DataFrame(m.score([]))) == 0
    assert pl.DataFrame(m.answers("The", ["a", "b"], max_depth=2)).columns == ["answer", "lower", "upper"]
    assert len(pl.DataFrame(m.forks("The quick", max_new_tokens=4, top=2))) == 2
    assert pl.DataFrame(m.next("The", 3))["rank"].to_list() == [1, 2, 3]
    words = pl.DataFrame(m.vocabulary())
    assert len(words) == m.vocab_size and words["bytes"][5] == m.token_bytes(5)


def test_everything_pickles(m: lt.Model, run: lt.Run) -> None:
    s = m.score(TEXT, watch=["x"])
    again = pickle.loads(pickle.dumps(s))
    assert again == s and again.logprobs.tolist() == s.logprobs.tolist() and not again.logprobs.flags.writeable
    f = pickle.loads(pickle.dumps(m.score(TEXT, full=True)))
    assert f == m.score(TEXT, full=True) != s and f.full.shape == (len(s), m.vocab_size)
    assert pickle.loads(pickle.dumps(run)) == run
    d = m.next("The", logits=True, watch=["a"])
    e = pickle.loads(pickle.dumps(d))
    assert e.top == d.top and e.watch == d.watch and e.top_p == d.top_p and np.array_equal(e.logprobs, d.logprobs)
    a = m.answers("The", ["a", "b"], max_depth=2)
    assert pickle.loads(pickle.dumps(a)) == a
    assert pickle.loads(pickle.dumps(m)) is m


def test_pictures_need_nothing(m: lt.Model, run: lt.Run) -> None:
    shown = [run, m.score(TEXT), m.score(TEXT * 3), m.next("The", 100), m.answers("The", ["a", "b"], max_depth=2)]
    shown += [m.forks("The quick", max_new_tokens=4, top=2), m.score(["a b", "c d"])]
    for thing in shown:
        html = thing._repr_html_()
        assert len(html.encode()) <= 20_000
        assert not re.search(r"<script|<style|<svg|class=|<[^>]* on\w+=", html), html
        assert repr(thing) and len(repr(thing)) < 20_000
        # The tiny model's tokens are single letters, so that nothing else could tell whether texts are escaped.
        assert "&lt;" in html or not isinstance(thing, lt.Scores)
    colours = set(re.findall(r"background-color:([^;\"]+)", shown[1]._repr_html_()))
    assert len(colours) > 3
    bare = re.sub(r' style="[^"]*"', "", run._repr_html_())
    for row in re.findall(r"<tr>.*?</tr>", bare)[2:8]:
        assert "%" in row and "<code>" in row


def test_a_long_text_is_cut(gemma: lt.Model) -> None:
    s = gemma.score("The quick brown fox jumps over the lazy dog. Nobody knows why & nobody <asks>. " * 30)
    assert len(s) > 500 and len(s._repr_html_().encode()) <= 20_000 and len(repr(s)) < 20_000


def test_a_page_in_a_frame(run: lt.Run) -> None:
    html = run.view(400)._repr_html_()
    assert html.startswith("<iframe srcdoc=") and 'sandbox="allow-scripts allow-downloads"' in html and "400px" in html
    page = run.report()
    assert page is not None and page.startswith("<!doctype html>")


def test_a_run_says_what_it_is(m: lt.Model, run: lt.Run, tmp_path: Path) -> None:
    assert run.header["strategy"] == "dynamic" and run.header["parameters"]["max_depth"] == 4
    assert abs(sum(run.mass) - 1) < 1e-9
    assert run.end is not None and run.end["nodes"] == len(run)
    best = run.paths(1)[0]
    assert run.node(best.node)["path_logprob"] == best.logprob and len(run.path(best.node)) == best.depth
    assert run.export("tree-json").startswith(b"{") and b"digraph" in run.export("dot")
    with pytest.raises(lt.InputError, match="no path is complete"):
        run.export("jsonl")
    again = lt.read(run.export("tree-json"))
    assert isinstance(again, lt.Run) and len(again) == len(run)
    lt.write_jsonl(tmp_path / "r.jsonl", [m.logprobs("The quick", max_new_tokens=3)])
    records = lt.read(tmp_path / "r.jsonl")
    assert isinstance(records, lt.Records) and len(records[0].logprobs) == 3


def test_scores_are_sliced(m: lt.Model) -> None:
    s = m.score(TEXT)
    part = s[2:5]
    assert len(part) == 3 and part.texts == s.texts[2:5] and part[0] == s[2] and s[-1] == s[len(s) - 1]
    with pytest.raises(IndexError):
        s[len(s)]
