"""What type checkers make of the package's use; it is checked, not run."""

from __future__ import annotations

import logitree as lt
from typing_extensions import assert_type


async def use() -> None:
    m = lt.load("gemma-3-270m", threads=2)
    d = m.next("a", 5, tokens=[1], logits=True)
    assert_type(d.top[0].logprob, float)
    assert_type(m.next(["a", "b"], watch=["c"])[0].watch["c"].prob, float)
    assert_type(m.score("a"), lt.Scores)
    assert_type(m.score(["a", "b"]), lt.ScoreTable)
    assert_type(m.score(["a"], after="b", full=True)[0], lt.Scores)
    assert_type(m.words("a", by="line")[0].logprob, float)
    assert_type(m.score("a")[0], lt.Step)
    assert_type(m.score("a")[:2], lt.Scores)
    for step in m.generate([1, 2], prefix="b"):
        assert_type(step, lt.Step)
    run = m.tree([{"role": "user", "content": "a"}], max_depth=3)
    assert_type(run, lt.Run)
    assert_type(run.export("csv"), bytes)
    assert_type(run.paths(3)[0].prob, float)
    async for level in m.explore("a"):
        assert_type(level, lt.Level)
    assert_type(await m.atree("a"), lt.Run)
    assert_type(m.answers("a", ["b"])[0].lower, float)
    assert_type(m.forks("a")[0].verdict, str)
    assert_type(bool(m.verify(run)), bool)
    c = m.compare("a", m, after="b", other_after=[{"role": "user", "content": "c"}])
    assert_type(c[0], lt.ComparedToken | lt.ComparedPiece)
    assert_type(c.summary.kl_ab.mean if c.summary else None, float | None)
    assert_type(run.compare(run)[0].change, float | None)
    assert_type(m.decide("a", ["b"])[0].entropy.upper, float | None)
    assert_type(m.attribute("a b", [" c"], by="token")[0].deltas, tuple[float, ...])
    assert_type(m.next("a", layers=True).layers, lt.Layers | None)
    assert_type(run.lens(temperature=0.7)[0].lower, float | None)
    assert_type(m.score("a").forced.bits, float)
    assert_type(m.explore("a").expand(0, steps=3), list[int])
    s = m.session()
    assert_type(s.evaluate(s.push_all(None, [2])), list[lt.Distribution])
    m.next(5)  # type: ignore[call-overload]
