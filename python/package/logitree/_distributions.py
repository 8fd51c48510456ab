"""Distributions of the next token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from . import _html, _logitree
from ._layers import Layers
from ._tables import Tabular, array, numbered, packed, unpacked
from ._types import Token, tokens


class Direct(NamedTuple):
    """A text's own tokens right after a prompt."""

    text: str
    token_ids: list[int]
    #: Natural log of their probability together.
    logprob: float
    #: Rank of a text of one token.
    rank: int | None

    @property
    def prob(self) -> float:
        """Their probability together."""
        return math.exp(self.logprob)


class TopP(NamedTuple):
    """How many tokens top-p sampling keeps."""

    #: The probability that they must reach together.
    p: float
    #: The fewest most likely tokens that do.
    tokens: int
    #: Whether this is their number; otherwise, behind servers, there are at least so many.
    exact: bool

    def __str__(self) -> str:
        return f"{self.p:g}: {'' if self.exact else '≥ '}{self.tokens}"


class Distribution(Tabular):
    """What may come next, exactly; or bounds, from a server that lists only the likeliest.

    Attributes:
        top: The most likely tokens, most likely first.
        tokens: The tokens that were asked for, whatever their rank.
        watch: By watched string, its own tokens and their probability together.
        top_p: How many tokens top-p keeps, for 0.5, 0.9, 0.95 and 0.99; in a session, none.
        entropy: Mean surprisal over the whole vocabulary, in nats.
        varentropy: Variance of surprisal, in nats².
        logsumexp: Log of the sum of the exponentials of all logits; NaN where a server does not tell.
        rest: Probability of everything that is not in ``top``.
        exactness: ``exact``, ``lower_bound`` or ``retokenized``: whether entropy and ranks are exact.
        prompt: Text of the prompt, ``None`` in a session.
        layers: What each layer of the model would have predicted, if asked for.
    """

    __slots__ = (
        "top", "tokens", "watch", "top_p", "entropy", "varentropy", "logsumexp", "rest", "exactness", "prompt", "layers",
        "_logprobs", "_logits",
    )

    def __init__(self, fields: Mapping[str, Any], prompt: str | None = None) -> None:
        self.top: list[Token] = tokens(fields["top"])
        self.tokens: list[Token] = tokens(fields["tokens"])
        self.watch: dict[str, Direct] = {w[0]: Direct(*w) for w in fields.get("watch", ())}
        self.top_p: tuple[TopP, ...] = tuple(TopP(*n) for n in fields.get("top_p", ()))
        self.entropy: float = fields["entropy"]
        self.varentropy: float = fields["varentropy"]
        self.logsumexp: float = fields["logsumexp"]
        self.rest: float = fields["rest"]
        self.exactness: str = fields["exactness"]
        self.prompt = prompt
        layers = fields.get("layers")
        self.layers: Layers | None = None if layers is None else Layers(layers)
        self._logprobs = None if fields["logprobs"] is None else array(fields["logprobs"])
        self._logits = None if fields["logits"] is None else array(fields["logits"])

    def _whole(self, numbers: Any) -> Any:
        if numbers is None:
            raise ValueError("the whole vocabulary was not asked for: give `logits=True` to the call that made this")
        return numbers

    @property
    def logprobs(self) -> Any:
        """Natural log probabilities of the whole vocabulary: a read-only ``float32`` array ``[vocab]``, by token id.

        Raises:
            ValueError: they were not asked for.
        """
        return self._whole(self._logprobs)

    @property
    def logits(self) -> Any:
        """The model's own logits: a read-only ``float32`` array ``[vocab]``.

        Raises:
            ValueError: they were not asked for.
        """
        return self._whole(self._logits)

    def __getitem__(self, id: int) -> Token:
        """The token with this id, from ``tokens`` or ``top``."""
        for t in (*self.tokens, *self.top):
            if t.id == id:
                return t
        raise KeyError(f"token {id} is in neither list: ask for it with `tokens=[{id}]`")

    def logprob(self, token: int | str) -> float:
        """Natural log of the probability of a token, by its id or its text, or of a watched string.

        Raises:
            KeyError: it is not known here: with ``logits=True`` every id is.
        """
        if isinstance(token, str) and token in self.watch:
            return self.watch[token].logprob
        if not isinstance(token, str) and self._logprobs is not None:
            return float(self._logprobs[self._id(token)])
        return self._listed(token).logprob

    def rank(self, token: int | str) -> int:
        """1 + the number of likelier tokens (of equally likely ones, those with smaller ids), of a token by its id or text.

        Raises:
            KeyError: it is not known here: with ``logits=True`` that of every id is.
        """
        if isinstance(token, str) and token in self.watch:
            rank = self.watch[token].rank
            if rank is None:
                raise KeyError(f"{token!r} is several tokens, which have no rank together")
            return rank
        if isinstance(token, str) or self._logits is None:
            return self._listed(token).rank
        at, own = self._id(token), self._logits[token]
        if hasattr(self._logits, "dtype"):
            return 1 + int((self._logits > own).sum()) + int((self._logits[:at] == own).sum())
        return 1 + sum(bool(x > own or (x == own and i < at)) for i, x in enumerate(self._logits))

    def _id(self, token: int) -> int:
        size = len(self.logprobs)
        if not 0 <= token < size:
            raise KeyError(f"token {token}: the vocabulary has {size}")
        return token

    def _listed(self, token: int | str) -> Token:
        """A token from the lists; of several with the same text, the likeliest."""
        if not isinstance(token, str):
            return self[token]
        data = token.encode()
        found = [t for t in (*self.top, *self.tokens) if t.bytes == data]
        if not found:
            raise KeyError(f"{token!r} is in neither list: ask for it with `watch=[{token!r}]`")
        return min(found, key=lambda t: t.rank)

    @property
    def entropy_bits(self) -> float:
        """The entropy in bits."""
        return self.entropy / math.log(2)

    def table(self) -> _logitree.Table:
        """A row per listed token: rank, token_id, text, bytes, logprob, prob; and in every row what the distribution has: rest,
        entropy, exactness, ``top_p_P`` (tokens) and ``watch_N_logprob``."""
        return _logitree.Table(self._arrow())

    def _arrow(self) -> list[tuple[str, str, Any]]:
        n = len(self.top)
        return [
            ("rank", "u32", [t.rank for t in self.top]),
            ("token_id", "u32", [t.id for t in self.top]),
            ("text", "str", [t.text for t in self.top]),
            ("bytes", "bytes", [t.bytes for t in self.top]),
            ("logprob", "f64", [t.logprob for t in self.top]),
            ("prob", "f64", [t.prob for t in self.top]),
            ("rest", "f64", [self.rest] * n),
            ("entropy", "f64", [self.entropy] * n),
            ("exactness", "str", [self.exactness] * n),
            *((f"top_p_{t.p:g}", "u32", [t.tokens] * n) for t in self.top_p),
            *((f"watch_{i}_logprob", "f64", [w.logprob] * n) for i, w in enumerate(self.watch.values(), 1)),
        ]

    def summary(self) -> str:
        """Entropy, sizes of top-p and watched strings in a line."""
        sign = "" if self.exactness == "exact" else "≥ "
        parts = [f"entropy {sign}{self.entropy:.4f} nats, varentropy {self.varentropy:.4f} nats²"]
        if self.top_p:
            parts.append(f"top-p {', '.join(map(str, self.top_p))}")
        parts += [f"watched {_html.visible(w.text)} {_html.percent(w.prob)}" for w in self.watch.values()]
        return "; ".join(parts)

    def __repr__(self) -> str:
        rows = [f"{t.rank:>5}  {_html.percent(t.prob):>10}  {_html.visible(t.text)}" for t in self.top[:20]]
        return "\n".join([*rows, f"       {_html.percent(self.rest):>10}  all others", self.summary()])

    def _repr_html_(self) -> str:
        return _html.distribution(self)

    def __reduce__(self) -> Any:
        def listed(all: list[Token]) -> dict[str, list[Any]]:
            return {k: [t[i] for t in all] for i, k in enumerate(("ids", "bytes", "logprobs", "ranks"))}

        fields = {n: getattr(self, n) for n in ("entropy", "varentropy", "logsumexp", "rest", "exactness")}
        fields |= {"top": listed(self.top), "tokens": listed(self.tokens)}
        fields |= {"watch": [tuple(w) for w in self.watch.values()], "top_p": [tuple(t) for t in self.top_p]}
        fields |= {"logprobs": packed(self._logprobs), "logits": packed(self._logits)}
        fields["layers"] = None if self.layers is None else self.layers._fields
        return _distribution, (fields, self.prompt)


class DistributionTable(Tabular):
    """What may come next after several prompts; its table has the columns ``row`` and ``prompt`` in front."""

    def __init__(self, distributions: Sequence[Distribution]) -> None:
        self._all = list(distributions)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Distribution]:
        return iter(self._all)

    @overload
    def __getitem__(self, at: int) -> Distribution: ...
    @overload
    def __getitem__(self, at: slice) -> DistributionTable: ...
    def __getitem__(self, at: int | slice) -> Distribution | DistributionTable:
        return DistributionTable(self._all[at]) if isinstance(at, slice) else self._all[at]

    def table(self) -> _logitree.Table:
        """The rows of each :meth:`Distribution.table`, with the prompt and its number in ``prompt`` and ``row``."""
        return numbered([[("prompt", "str", [d.prompt] * len(d.top)), *d._arrow()] for d in self._all])

    def __repr__(self) -> str:
        return "\n\n".join(f"{_html.visible(d.prompt or '')}\n{d!r}" for d in self._all)

    def _repr_html_(self) -> str:
        shown = [f"<div>{_html._code(d.prompt or '')}</div>{d._repr_html_()}" for d in self._all[:10]]
        more = len(self._all) - len(shown)
        return "<hr>".join(shown) + (f"<div>… {more} more</div>" if more > 0 else "")


def _distribution(fields: dict[str, Any], prompt: str | None) -> Distribution:
    whole = {n: unpacked(fields[n]) for n in ("logprobs", "logits")}
    return Distribution({**fields, **whole}, prompt)
