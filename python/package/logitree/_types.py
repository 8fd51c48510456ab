"""Small values that several results have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Level(NamedTuple):
    """How far an exploration is."""

    #: Nodes of the tree, the root included.
    nodes: int
    #: Open paths.
    open: int
    #: Paths that reached an end token.
    completed: int
    #: Probability of the paths that reached an end token.
    finished: float
    #: The branch threshold now in force, a probability; ``None`` for strategies without one.
    threshold: float | None
    #: New nodes per second.
    rate: float


class Token(NamedTuple):
    """One token with what the model thinks of it."""

    #: Id in the vocabulary.
    id: int
    #: Its bytes, which need not be UTF-8; a control token has the bytes of its name.
    bytes: bytes
    #: Natural log of its probability.
    logprob: float
    #: 1 + the number of likelier tokens.
    rank: int

    @property
    def text(self) -> str:
        """Its text; bytes that are not UTF-8 become replacement characters."""
        return self.bytes.decode("utf-8", "replace")

    @property
    def prob(self) -> float:
        """Its probability."""
        import math

        return math.exp(self.logprob)


def tokens(columns: Mapping[str, Any]) -> list[Token]:
    """Tokens from the extension's columns."""
    return [Token(*row) for row in zip(columns["ids"], columns["bytes"], columns["logprobs"], columns["ranks"])]


class Path(NamedTuple):
    """A path of a tree, from the prompt to a leaf."""

    #: The leaf.
    node: int
    #: Text of the path, without the prompt.
    text: str
    #: Natural log of its probability.
    logprob: float
    #: Its tokens.
    depth: int
    #: Why it ends: ``end_token``, ``max_depth``, ``frontier``, ``pruned``, ``decided`` or ``context``.
    stop: str | None

    @property
    def prob(self) -> float:
        """Its probability."""
        import math

        return math.exp(self.logprob)


class Mass(NamedTuple):
    """Where the probability went; the three add up to 1."""

    #: Paths that reached an end token.
    finished: float
    #: Paths that could be gone on with.
    frontier: float
    #: What was cut.
    pruned: float


@dataclass(frozen=True)
class Answer:
    """An answer with the bounds of its probability."""

    answer: str
    #: Probability of the continuations that are known to give it.
    lower: float
    #: ... with all that is undecided.
    upper: float


class Bounds(NamedTuple):
    """A least and a greatest value; the greatest is ``None`` if it is not known."""

    lower: float
    upper: float | None
