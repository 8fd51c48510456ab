"""What goes wrong is said in Python's own kinds, with the parameter and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import logitree as lt
from logitree import _logitree


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda m: m.next(7), TypeError, "`prompt` must be a str"),
        (lambda m: m.next(b"x"), TypeError, "not bytes"),
        (lambda m: m.next([]), TypeError, "empty"),
        (lambda m: m.next(""), ValueError, "empty"),
        (lambda m: m.next("a\0b"), ValueError, "NUL"),
        (lambda m: m.next([10**8]), ValueError, "not in the vocabulary"),
        (lambda m: m.next([-1]), ValueError, "at least 0"),
        (lambda m: m.next("a", -1), ValueError, "`k` is -1"),
        (lambda m: m.next("a", "b"), TypeError, "`k` must be an int"),
        (lambda m: m.next("a", tokens=[10**8]), ValueError, "not in the vocabulary"),
        (lambda m: m.next("word " * 100_000), ValueError, "context"),
        (lambda m: m.score(5), TypeError, "`text`"),
        (lambda m: m.score(["a", 5]), TypeError, "`text`"),
        (lambda m: m.score("a", watch="b"), TypeError, "`watch` must be a list"),
        (lambda m: m.score("a b", watch=[""]), lt.ParameterError, "watch"),
        (lambda m: m.generate("a", temperature=-1), ValueError, "temperature"),
        (lambda m: m.generate("a", temprature=1), TypeError, "temprature"),
        (lambda m: m.guide("a", ""), lt.ParameterError, "prefix"),
        (lambda m: m.guide([2, 5], "b"), lt.ParameterError, "token ids"),
        (lambda m: m.tree("a", strategy="depth-first"), ValueError, "depth-first"),
        (lambda m: m.tree("a", min_branch_threshold=2), ValueError, "min_branch_threshold"),
        (lambda m: m.tree("a", min_branch_threshold="x"), TypeError, "`min_branch_threshold` must be a number"),
        (lambda m: m.tree("a", width=3), ValueError, "width"),
        (lambda m: m.tree("a", max_nodes=0), ValueError, "`max_nodes`"),
        (lambda m: m.tree("a", store_top="many"), lt.ParameterError, "store_top"),
        (lambda m: m.tree("a", path="/nowhere/at/all"), lt.Error, "nowhere"),
        (lambda m: m.answers("a"), ValueError, "`choices` or `pattern`"),
        (lambda m: m.answers("a", []), lt.ParameterError, "choices"),
        (lambda m: m.answers("a", "ab"), TypeError, "`choices`"),
        (lambda m: m.answers("a", pattern="("), ValueError, "pattern"),
        (lambda m: m.chat([{"role": "user"}]), TypeError, "`messages`"),
        (lambda m: m.verify("x"), TypeError, "logitree.read"),
        (lambda m: m.token_bytes(10**8), ValueError, "vocabulary"),
        (lambda m: m.session().evaluate([0]), lt.ParameterError, "no node 0"),
        (lambda m: m.session().push(3, 5), lt.ParameterError, "no node 3"),
        (lambda m: m.session().release(3), lt.ParameterError, "no node 3"),
        (lambda m: m.session().push_all(None, [10**8]), ValueError, "vocabulary"),
        (lambda m: lt.load("no-such-model"), FileNotFoundError, "no-such-model"),
        (lambda m: lt.load(5), TypeError, "`model`"),
        (lambda m: lt.load(__file__), ValueError, ""),
        (lambda m: lt.load("x", threads=0), ValueError, "`threads`"),
        (lambda m: lt.load("x", api_key="y"), ValueError, "`api_key` is about servers"),
        (lambda m: lt.load(engine="http://127.0.0.1:9/v1", threads=2), ValueError, "`threads`"),
        (lambda m: lt.load(engine="http://127.0.0.1:9/v1"), ConnectionError, "127.0.0.1"),
        (lambda m: lt.load("x", arithmetic="f16"), lt.ParameterError, "f32"),
        (lambda m: lt.read("/no/such/file"), FileNotFoundError, "/no/such/file"),
        (lambda m: lt.read(b"hello"), lt.InputError, "neither"),
        (lambda m: lt.read(3), TypeError, "`source`"),
    ],
)
def test_each_says_what_is_wrong(m: lt.Model, call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=None) as caught:
        call(m)
    assert words in str(caught.value)
    assert "panicked" not in str(caught.value)
    if kind is lt.ParameterError:
        assert caught.value.parameter  # type: ignore[attr-defined]


def test_files_stay(m: lt.Model, tmp_path: Path) -> None:
    run = m.tree("The", max_depth=2)
    path = tmp_path / "a.run.jsonl"
    run.save(path)
    with pytest.raises(lt.Error, match="exists"):
        run.save(path)
    with pytest.raises(lt.ParameterError, match="tree-json"):
        run.export("xml")
    with pytest.raises(lt.ParameterError, match="no node 99999"):
        run.node(99999)
    run.save(path, force=True)
    other = lt.read(Path(__file__).resolve().parents[2] / "fixtures/runs/good.run.jsonl")
    assert isinstance(other, lt.Run)
    with pytest.raises(lt.ConflictError):
        m.verify(other)


def test_a_panic_is_one_exception(m: lt.Model) -> None:
    with pytest.raises(lt.InternalError, match="as the test asked"):
        _logitree.panic()
    assert len(m.next("The").top) == 10


def test_notes_are_warnings(m: lt.Model) -> None:
    with pytest.warns(lt.Note, match="control tokens") as caught:
        m.next("<bos> a")
    assert caught[0].filename == __file__
