"""What each layer of a model would have predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _html, _logitree
from ._tables import Rows, Tabular
from ._types import tokens


def _signed(x: float) -> str:
    """A number with its sign, and with digits also where it is small, as rounding is."""
    return f"{x:+.1e}" if x and abs(x) < 5e-5 else f"{x:+.4f}"


class Layers(Tabular):
    """What each layer of a model would have predicted in one place: its final norm and output matrix after every layer.

    Lists by layer have the embedding first; ``len`` counts them.

    Attributes:
        decided: The layer from which on the model's most likely token stays the most likely one; 0 is the embedding.
        tokens: The tokens whose numbers are known at every layer, with those of the model itself: the most likely one,
            the runner-up, and those that were asked for.
        best: By layer, its most likely token.
        entropies: By layer, in nats.
        logprobs: By layer, of each of ``tokens``, in nats.
        ranks: By layer, of each of ``tokens``.
        parts: By layer, what it adds to the logit of each of ``tokens``.
        rests: What the parts do not explain of the logit of each of ``tokens``.
        logits: The logit of each of ``tokens``: the sum of its parts and its rest.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)
        self.decided: int = fields["decided"]
        self.tokens = tokens(fields["tokens"])
        self.best = tokens(fields["best"])
        self.entropies: list[float] = fields["entropies"]
        self.logprobs: list[list[float]] = fields["logprobs"]
        self.ranks: list[list[int]] = fields["ranks"]
        self.parts: list[list[float]] = fields["parts"]
        self.rests: list[float] = fields["rests"]
        self.logits: list[float] = fields["logits"]

    def __len__(self) -> int:
        return len(self.best)

    def table(self) -> _logitree.Table:
        """A row per token and layer, and one for the rest: place, layer, token_id, text, logprob, rank, part, best_id, best."""
        table: _logitree.Table = self._fields["table"]
        return table

    def summary(self) -> str:
        """The layer that decides, in a line."""
        best = _html.visible(self.best[-1].text)
        if self.decided == 0:
            return f"decided by the embedding: {best} is the most likely token after every layer"
        return f"decided by layer {self.decided}: from there on {best} stays the most likely token"

    def _listing(self, most: int) -> tuple[list[str], list[list[str]]]:
        shown = range(min(most, len(self.tokens)))
        head = ["layer", "most likely"]
        for i in shown:
            head += [_html.visible(self.tokens[i].text), "logprob", "part"]
        rows = []
        for layer, best in enumerate(self.best):
            numbers = []
            for i in shown:
                numbers += [f"#{self.ranks[layer][i]}", f"{self.logprobs[layer][i]:.4f}", f"{self.parts[layer][i]:+.4f}"]
            rows.append([str(layer), _html.visible(best.text), *numbers])
        for name, values in (("rest", self.rests), ("logit", self.logits)):
            rows.append([name, "", *(c for i in shown for c in ("", "", _signed(values[i])))])
        return head, rows

    def __repr__(self) -> str:
        return "\n".join([*_html.aligned(*self._listing(2)), self.summary()])

    def _repr_html_(self) -> str:
        head, rows = self._listing(3)
        return _html.listing(head, rows, len(rows), [self.summary()])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layers):
            return NotImplemented
        return {**self._fields, "table": None} == {**other._fields, "table": None}

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return Layers, (self._fields,)


class LayersTable(Rows[Layers]):
    """What each layer would have predicted in several places, such as the tokens of a text; see :class:`Layers`."""

    def __init__(self, places: Sequence[Layers], names: Sequence[str]) -> None:
        self._list, self.names = list(places), list(names)

    def table(self) -> _logitree.Table:
        """The rows of each :meth:`Layers.table`; ``place`` is the number of the token from 1."""
        if not self._list:
            kinds = {"place": "str", "layer": "str", "token_id": "u32", "text": "str", "logprob": "f64", "rank": "u32"}
            return _logitree.Table([(n, k, []) for n, k in (kinds | {"part": "f64", "best_id": "u32", "best": "str"}).items()])
        return _logitree.Table.join([p.table() for p in self._list])

    @property
    def decided(self) -> list[int]:
        """The layer that decides, by place."""
        return [p.decided for p in self._list]

    def _listing(self) -> list[list[str]]:
        return [
            [str(i), _html.visible(name), f"layer {p.decided}", _html.visible(p.best[-1].text), _html.percent(p.best[-1].prob)]
            for i, (name, p) in enumerate(zip(self.names, self._list), 1)
        ]

    _head = ("#", "token", "decided by", "most likely", "prob")

    def _text(self) -> list[str]:
        rows = self._listing()
        return [*_html.aligned(self._head, rows[:60]), *([f"… {len(rows) - 60} more"] if len(rows) > 60 else [])]

    def _repr_html_(self) -> str:
        return _html.listing(self._head, self._listing(), len(self), [])

    def __reduce__(self) -> Any:
        return LayersTable, (self._list, self.names)
