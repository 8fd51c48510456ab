"""Runs as a sampler would see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import _html, _logitree
from ._tables import Rows
from ._types import Bounds


class SeenPath(NamedTuple):
    """A path of a run, to a leaf."""

    #: The leaf.
    node: int
    #: Text of the path, without the prompt.
    text: str
    #: Its probability in the model's own distribution.
    before: float
    #: Bounds of its probability for the sampler, equal where it is known; ``None`` where nothing bounds it.
    lower: float | None
    upper: float | None


class SeenToken(NamedTuple):
    """A listed token of a step."""

    id: int
    #: Its bytes, which need not be UTF-8.
    bytes: bytes
    #: Its probability in the model's own distribution.
    before: float
    #: Bounds of its probability for the sampler: equal where it is known, 0 where it is cut.
    lower: float
    upper: float

    @property
    def text(self) -> str:
        """Its text; bytes that are not UTF-8 become replacement characters."""
        return self.bytes.decode("utf-8", "replace")


#: The settings that change nothing, in the extension's order.
_CLEAR = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repetition_penalty": 1.0}


class Lens(Rows[SeenPath]):
    """A run through a sampler: its paths, the likeliest for the sampler first. No model was run.

    A run has the likeliest tokens of each step, and the probability of the rest; where these do not determine what a
    sampler makes of a token, there are bounds.

    Attributes:
        sampler: The settings that are not the defaults.
        finished, frontier, pruned, unknown: Bounds of the probability of paths that reached an end token, of those that
            could be gone on with, of what was cut, and of what nothing bounds.
        kept, cut: Listed tokens that are certainly kept, and cut.
        bounded: Steps whose tokens have bounds that differ.
        short: Steps whose list is too short for bounds: node, and why.
    """

    def __init__(self, run: _logitree.Run, sampler: Mapping[str, Any]) -> None:
        self._run = run
        self.sampler = {name: value for name, value in sampler.items() if value != _CLEAR[name]}
        self._native = _logitree.Lens(*(_CLEAR | self.sampler).values())
        paths, figures = self._native.view(run)
        self._list = [SeenPath(node, text, before, *(after or (None, None))) for node, text, before, after in paths]
        self.finished = Bounds(*figures["finished"])
        self.frontier = Bounds(*figures["frontier"])
        self.pruned = Bounds(*figures["pruned"])
        self.unknown = Bounds(*figures["unknown"])
        self.kept: int = figures["kept"]
        self.cut: int = figures["cut"]
        self.bounded: int = figures["bounded"]
        self.short: list[tuple[int, str]] = figures["short"]

    def node(self, node: int) -> list[SeenToken]:
        """The listed tokens of the step after a node, 0 for the prompt.

        Raises:
            ParameterError: there is no such node, it was not expanded, or its list is too short for bounds.
        """
        if isinstance(node, bool) or not hasattr(node, "__index__"):
            raise TypeError(f"`node` must be an int, not {type(node).__name__}")
        if node < 0:
            raise ValueError(f"`node` {node}: nodes are counted from 0, the root")
        return [SeenToken(*t) for t in self._native.look(self._run, node)]

    def table(self) -> _logitree.Table:
        """A row per path: node, text, before, lower, upper."""
        rows = self._list
        return _logitree.Table([
            ("node", "u32", [r.node for r in rows]),
            ("text", "str", [r.text for r in rows]),
            ("before", "f64", [r.before for r in rows]),
            ("lower", "f64", [r.lower for r in rows]),
            ("upper", "f64", [r.upper for r in rows]),
        ])

    def totals(self) -> list[str]:
        """Where the probability goes, a line each."""
        lines = [
            f"{name} {_html.between(bounds)}"
            for name, bounds in (
                ("finished", self.finished), ("frontier", self.frontier), ("pruned", self.pruned), ("not known", self.unknown)
            )
        ]
        lines.append(f"{self.kept} of the listed tokens kept, {self.cut} cut")
        if self.bounded:
            lines.append(f"in {self.bounded} steps the listed tokens give bounds: a larger `store_top` makes them tighter")
        if self.short:
            lines.append(f"{len(self.short)} steps are not known, the first at node {self.short[0][0]}: {self.short[0][1]}")
        return lines

    _head = ("before", "after", "path")

    def _cells(self, row: SeenPath) -> list[str]:
        after = "not known" if row.lower is None else _html.between((row.lower, row.upper))
        return [_html.percent(row.before), after, _html.visible(row.text)[-80:]]

    def _text(self) -> list[str]:
        shown = [self._cells(r) for r in self._list[:20]]
        more = [f"… {len(self) - len(shown)} more"] if len(shown) < len(self) else []
        return [*_html.aligned(self._head, shown), *more, *self.totals()]

    def _repr_html_(self) -> str:
        return _html.listing(self._head, [self._cells(r) for r in self._list[:40]], len(self), self.totals())

    def __reduce__(self) -> Any:
        return _lens, (self._run.to_bytes(), self.sampler)


def _lens(run: bytes, sampler: dict[str, Any]) -> Lens:
    made, _, _ = _logitree.read(None, run)
    assert made is not None
    return Lens(made, sampler)
