"""What calls give: small objects that print well, turn into tables, and can be pickled."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

from . import _html, _logitree
from ._progress import options, warn
from ._tables import Tabular, array, matrix, rows
from ._types import Mass, Path, Token

def tokens(columns: Mapping[str, Any]) -> list[Token]:
    """Tokens from the extension's columns."""
    return [Token(*row) for row in zip(columns["ids"], columns["bytes"], columns["logprobs"], columns["ranks"])]


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
    """

    __slots__ = (
        "top", "tokens", "watch", "top_p", "entropy", "varentropy", "logsumexp", "rest", "exactness", "prompt", "_logprobs", "_logits"
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
        fields |= {"logprobs": _packed(self._logprobs), "logits": _packed(self._logits)}
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
        return _numbered([[("prompt", "str", [d.prompt] * len(d.top)), *d._arrow()] for d in self._all])

    def __repr__(self) -> str:
        return "\n\n".join(f"{_html.visible(d.prompt or '')}\n{d!r}" for d in self._all)

    def _repr_html_(self) -> str:
        shown = [f"<div>{_html._code(d.prompt or '')}</div>{d._repr_html_()}" for d in self._all[:10]]
        more = len(self._all) - len(shown)
        return "<hr>".join(shown) + (f"<div>… {more} more</div>" if more > 0 else "")


def _numbered(tables: Sequence[list[tuple[str, str, Any]]]) -> _logitree.Table:
    """Tables with the same columns, one below the other, with the number of each in ``row``."""
    rows = [i for i, table in enumerate(tables) for _ in table[0][2]]
    heads = tables[0] if tables else []
    joined = [(name, kind, [v for t in tables for v in t[c][2]]) for c, (name, kind, _) in enumerate(heads)]
    return _logitree.Table([("row", "u32", rows), *joined])


def _packed(numbers: Any) -> tuple[str, bytes] | None:
    if numbers is None:
        return None
    view = memoryview(numbers)
    return view.format, view.tobytes()


def _unpacked(packed: tuple[str, bytes] | None) -> Any:
    if packed is None:
        return None
    format, data = packed
    return memoryview(data).cast("B").cast(format)  # type: ignore[call-overload]


def _distribution(fields: dict[str, Any], prompt: str | None) -> Distribution:
    whole = {n: _unpacked(fields[n]) for n in ("logprobs", "logits")}
    return Distribution({**fields, **whole}, prompt)


class Step(NamedTuple):
    """One token of a text, with what the model thought of it."""

    #: The token, its logprob in nats and its rank.
    token: Token
    #: Entropy of what could have stood here, in nats.
    entropy: float
    #: Given rather than generated.
    forced: bool
    #: The most likely tokens in its place: ids.
    top_ids: list[int]
    #: ... their texts.
    top_texts: list[str]
    #: ... their logprobs, in nats.
    top_logprobs: list[float]

    @property
    def text(self) -> str:
        """Text of the token."""
        return self.token.text

    @property
    def logprob(self) -> float:
        """Natural log of its probability."""
        return self.token.logprob


_VECTORS = ("token_ids", "logprobs", "ranks", "entropies")
_LISTS = ("bytes", "special", "exactness", "forced", "top_ids", "top_logprobs", "top_bytes")
_CODES = {"token_ids": "I", "logprobs": "d", "ranks": "I", "entropies": "d"}


class Scores(Tabular):
    """A text with what the model thought of each of its tokens.

    Attributes:
        token_ids: Ids, ``uint32[n]``; like the other arrays read-only, without a copy.
        logprobs: Natural log probabilities, ``float64[n]``.
        ranks: 1 + the number of likelier tokens, ``uint32[n]``.
        entropies: Entropies in nats, ``float64[n]``.
        token_bytes: The tokens' bytes.
        forced: Whether each was given rather than generated.
        exactness: Whether each entropy and rank is exact.
        top_ids, top_texts, top_logprobs: The most likely tokens in each place.
        watch: By watched string, its logprob at each place.
        full: Natural log probabilities of the whole vocabulary at each place, ``float32[n, vocab]``, if asked for.
        prompt: Text of the prompt; of a text that was scored, empty.
        stop: Why a generation ended (``end_token``, ``max_new_tokens``, ``context``, ``no_token``, ``interrupted``).
        interrupted: Whether Ctrl-C ended it: then it is what was done until then.
        model: Name of the model.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        *,
        prompt: str = "",
        stop: str | None = None,
        interrupted: bool = False,
        model: str = "",
    ) -> None:
        self.token_ids, self.logprobs, self.ranks, self.entropies = (array(columns[n]) for n in _VECTORS)
        self.token_bytes: list[bytes] = columns["bytes"]
        self._special: list[bool] = columns["special"]
        self.exactness: list[str] = columns["exactness"]
        self.forced: list[bool] = columns["forced"]
        self.top_ids: list[list[int]] = columns["top_ids"]
        self.top_logprobs: list[list[float]] = columns["top_logprobs"]
        self._top_bytes: list[list[bytes]] = columns["top_bytes"]
        self.watch: dict[str, list[float]] = columns["watch"]
        full = columns.get("full")
        self.full: Any = None if full is None else matrix(full, len(self))
        self.prompt, self.stop, self.interrupted, self.model = prompt, stop, interrupted, model

    @property
    def texts(self) -> list[str]:
        """Texts of the tokens; a token that is not UTF-8 by itself has replacement characters."""
        return [b.decode("utf-8", "replace") for b in self.token_bytes]

    @property
    def top_texts(self) -> list[list[str]]:
        """Texts of the most likely tokens in each place."""
        return [[b.decode("utf-8", "replace") for b in place] for place in self._top_bytes]

    @property
    def text(self) -> str:
        """The whole text, without control tokens."""
        return b"".join(b for b, s in zip(self.token_bytes, self._special) if not s).decode("utf-8", "replace")

    @property
    def surprisal(self) -> list[float]:
        """Surprisals in bits."""
        return [0.0 - float(p) / math.log(2) for p in self.logprobs]

    @property
    def total_logprob(self) -> float:
        """Natural log of the probability of all tokens together."""
        return _sum(self.logprobs)

    @property
    def total_bits(self) -> float:
        """Surprisal of all tokens together, in bits."""
        return 0.0 - self.total_logprob / math.log(2)

    @property
    def perplexity(self) -> float:
        """``exp(-mean logprob)``; NaN if there are no tokens."""
        return math.exp(-self.total_logprob / len(self)) if len(self) else math.nan

    @property
    def mean_entropy(self) -> float:
        """Mean of the entropies, in nats; NaN if there are no tokens."""
        return _sum(self.entropies) / len(self) if len(self) else math.nan

    def __len__(self) -> int:
        return len(self.token_bytes)

    def __iter__(self) -> Iterator[Step]:
        return (self._step(i) for i in range(len(self)))

    def _step(self, i: int) -> Step:
        token = Token(int(self.token_ids[i]), self.token_bytes[i], float(self.logprobs[i]), int(self.ranks[i]))
        texts = [b.decode("utf-8", "replace") for b in self._top_bytes[i]]
        return Step(token, float(self.entropies[i]), self.forced[i], self.top_ids[i], texts, self.top_logprobs[i])

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> Scores: ...
    def __getitem__(self, at: int | slice) -> Step | Scores:
        if isinstance(at, int):
            if not -len(self) <= at < len(self):
                raise IndexError(f"there is no token {at}: there are {len(self)}")
            return self._step(at % len(self))
        columns: dict[str, Any] = {n: v[at] for n, v in self._columns().items() if n not in ("watch", "full")}
        columns["watch"] = {w: v[at] for w, v in self.watch.items()}
        columns["full"] = None if self.full is None else rows(self.full, range(len(self))[at])
        return Scores(columns, prompt=self.prompt, model=self.model)

    def _columns(self) -> dict[str, Any]:
        own = {"bytes": self.token_bytes, "special": self._special, "top_bytes": self._top_bytes, "watch": self.watch}
        own["full"] = self.full
        return own | {n: getattr(self, n) for n in (*_VECTORS, *_LISTS) if n not in own and n != "special"}

    def table(self) -> _logitree.Table:
        """A row per token: position, token_id, text, bytes, logprob, prob, surprisal (bits), rank, entropy, forced, exactness,
        top_ids, top_texts, top_logprobs, and a column ``watch_N_logprob`` per watched string."""
        return _logitree.Table(self._arrow())

    def _arrow(self) -> list[tuple[str, str, Any]]:
        logprobs = [float(p) for p in self.logprobs]
        columns: list[tuple[str, str, Any]] = [
            ("position", "u32", range(1, len(self) + 1)),
            ("token_id", "u32", [int(t) for t in self.token_ids]),
            ("text", "str", self.texts),
            ("bytes", "bytes", self.token_bytes),
            ("logprob", "f64", logprobs),
            ("prob", "f64", [math.exp(p) for p in logprobs]),
            ("surprisal", "f64", self.surprisal),
            ("rank", "u32", [int(r) for r in self.ranks]),
            ("entropy", "f64", [float(e) for e in self.entropies]),
            ("forced", "bool", self.forced),
            ("exactness", "str", self.exactness),
            ("top_ids", "list[u32]", self.top_ids),
            ("top_texts", "list[str]", self.top_texts),
            ("top_logprobs", "list[f64]", self.top_logprobs),
        ]
        watched = enumerate(self.watch.values(), 1)
        return columns + [(f"watch_{i}_logprob", "f64", values) for i, values in watched]

    def stats(self) -> dict[str, Any]:
        """The numbers by the names that lm-polygraph's estimators know, as a batch of one text.

        ``greedy_texts``, ``greedy_tokens`` (ids), ``greedy_log_likelihoods`` (nats per token), ``entropy`` (nats per token);
        with ``full``, ``greedy_log_probs`` (nats, ``float32[n, vocab]``). ``MeanTokenEntropy()(scores.stats())`` works.
        """
        return ScoreTable([self]).stats()

    def record(self) -> str:
        """The line of the notebook's logprobs JSONL, with its line feed; :func:`logitree.write_jsonl` writes many."""
        top = [list(zip(b, p)) for b, p in zip(self._top_bytes, self.top_logprobs)]
        steps = list(zip(self.texts, [float(p) for p in self.logprobs], top))
        return _logitree.record(self.prompt, self.text, steps)

    def summary(self) -> str:
        """The totals in a line."""
        if not len(self):
            return "no tokens"
        text = f"{len(self)} tokens, {self.total_bits:.2f} bits, perplexity {self.perplexity:.4f}"
        text += f", mean entropy {self.mean_entropy:.4f} nats"
        forced = sum(self.forced)
        if forced:
            bits = sum(b for b, f in zip(self.surprisal, self.forced) if f)
            text += f"; {forced} forced, {bits:.2f} bits"
        return text + (f"; ended by {self.stop.replace('_', ' ')}" if self.stop else "")

    def __repr__(self) -> str:
        rows = [f"{'#':>4}  {'prob':>10}  {'logprob':>9}  {'rank':>6}  {'entropy':>7}  token"]
        for i, s in enumerate(self):
            if i == 40:
                rows.append(f"   … {len(self) - 40} more")
                break
            mark = ">" if s.forced else " "
            prob = _html.percent(math.exp(s.logprob))
            rows.append(f"{i + 1:>4}{mark} {prob:>10}  {s.logprob:>9.4f}  {s.token.rank:>6}  {s.entropy:>7.3f}  {_html.visible(s.text)}")
        return "\n".join([*rows, self.summary()])

    def _repr_html_(self) -> str:
        return _html.scores(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scores):
            return NotImplemented
        return bool(self.__reduce__()[1] == other.__reduce__()[1])

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        columns = self._columns()
        columns |= {n: memoryview(columns[n]).tobytes() for n in _VECTORS}
        columns["full"] = None if self.full is None else memoryview(self.full).tobytes()
        return _scores, (columns, self.prompt, self.stop, self.interrupted, self.model)


def _scores(columns: dict[str, Any], prompt: str, stop: str | None, interrupted: bool, model: str) -> Scores:
    vectors = {n: memoryview(columns[n]).cast(code) for n, code in _CODES.items()}  # type: ignore[call-overload]
    return Scores({**columns, **vectors}, prompt=prompt, stop=stop, interrupted=interrupted, model=model)


def _sum(numbers: Any) -> float:
    total = 0.0
    for x in numbers:
        total += float(x)
    return total


class ScoreTable(Tabular):
    """Scores of several texts; its table has the column ``row`` in front."""

    def __init__(self, scores: Sequence[Scores]) -> None:
        self._scores = list(scores)

    def __len__(self) -> int:
        return len(self._scores)

    def __iter__(self) -> Iterator[Scores]:
        return iter(self._scores)

    @overload
    def __getitem__(self, at: int) -> Scores: ...
    @overload
    def __getitem__(self, at: slice) -> ScoreTable: ...
    def __getitem__(self, at: int | slice) -> Scores | ScoreTable:
        return ScoreTable(self._scores[at]) if isinstance(at, slice) else self._scores[at]

    def stats(self) -> dict[str, Any]:
        """:meth:`Scores.stats` of all texts: a list with an item per text by each name. ``greedy_log_probs`` is there if all have ``full``."""
        stats: dict[str, Any] = {
            "greedy_texts": [s.text for s in self],
            "greedy_tokens": [[int(t) for t in s.token_ids] for s in self],
            "greedy_log_likelihoods": [[float(p) for p in s.logprobs] for s in self],
            "entropy": [[float(e) for e in s.entropies] for s in self],
        }
        if len(self) and all(s.full is not None for s in self):
            stats["greedy_log_probs"] = [s.full for s in self]
        return stats

    def table(self) -> _logitree.Table:
        """The rows of each :meth:`Scores.table`, with the text's number in ``row``."""
        return _numbered([s._arrow() for s in self._scores] or [_empty()._arrow()])

    def __repr__(self) -> str:
        return "\n".join(f"{i:>4}  {_html.visible(s.text[:50])}  {s.summary()}" for i, s in enumerate(self._scores))

    def _repr_html_(self) -> str:
        shown = [s._repr_html_() for s in self._scores[:10]]
        more = len(self._scores) - len(shown)
        return "<hr>".join(shown) + (f"<div>… {more} more</div>" if more > 0 else "")


class Span(NamedTuple):
    """A word, line or sentence of a text."""

    #: Its text, with the white space that belongs to it.
    text: str
    #: Index of its first token among the scored ones.
    first: int
    #: Number of its tokens.
    tokens: int
    #: Natural log of its probability; of words, corrected for the white space around them.
    logprob: float
    #: Sum of its tokens' logprobs, in nats.
    token_logprob: float
    #: Whether ``logprob`` is the unit's; not for words behind a server, which does not list whole distributions.
    exact: bool

    @property
    def surprisal(self) -> float:
        """Surprisal in bits."""
        return 0.0 - self.logprob / math.log(2)


@dataclass(frozen=True, repr=False)
class Spans(Tabular):
    """The words, lines or sentences of a text, in order."""

    spans: Sequence[Span]
    #: ``word``, ``line`` or ``sentence``.
    by: str
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    @overload
    def __getitem__(self, at: int) -> Span: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Span]: ...
    def __getitem__(self, at: int | slice) -> Span | Sequence[Span]:
        return self.spans[at]

    def table(self) -> _logitree.Table:
        """A row per span: text, first, tokens, logprob, surprisal (bits), token_logprob, exact."""
        return _logitree.Table([
            ("text", "str", [s.text for s in self.spans]),
            ("first", "u32", [s.first for s in self.spans]),
            ("tokens", "u32", [s.tokens for s in self.spans]),
            ("logprob", "f64", [s.logprob for s in self.spans]),
            ("surprisal", "f64", [s.surprisal for s in self.spans]),
            ("token_logprob", "f64", [s.token_logprob for s in self.spans]),
            ("exact", "bool", [s.exact for s in self.spans]),
        ])

    def __repr__(self) -> str:
        rows = [f"{s.first + 1:>4}  {s.tokens:>6}  {s.logprob:>9.4f}  {s.surprisal:>7.2f}  {_html.visible(s.text)}" for s in self.spans]
        return "\n".join([f"{'#':>4}  tokens    logprob     bits  {self.by}", *rows])


def _empty() -> Scores:
    columns: dict[str, Any] = {n: [] for n in _LISTS} | {"watch": {}}
    vectors = {n: memoryview(b"").cast(code) for n, code in _CODES.items()}  # type: ignore[call-overload]
    return Scores(columns | vectors)


class Run(Tabular):
    """A tree of likely continuations, with everything about how it came to be. ``len`` counts its nodes.

    Two runs are equal if their files are the same.
    """

    def __init__(self, run: _logitree.Run) -> None:
        self._run = run
        self._columns: dict[str, Any] | None = None

    @property
    def _nodes(self) -> dict[str, Any]:
        if self._columns is None:
            self._columns = self._run.nodes()
            for name in ("parent", "path_logprob", "logprob"):
                self._columns[name] = memoryview(self._columns[name])
        return self._columns

    @property
    def header(self) -> dict[str, Any]:
        """What was run: model, engine, prompt, strategy, parameters, limits (docs/run-format.md)."""
        return json.loads(self._run.header())  # type: ignore[no-any-return]

    @property
    def end(self) -> dict[str, Any] | None:
        """How it ended: reason, mass, nodes, completed paths, seconds."""
        end = self._run.end()
        return None if end is None else json.loads(end)

    @property
    def prompt(self) -> dict[str, Any]:
        """What the model was given."""
        return self.header["prompt"]  # type: ignore[no-any-return]

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end; :meth:`Model.resume` goes on with its file."""
        return self.end is None or self.end["reason"] == "interrupted"

    @property
    def mass(self) -> Mass:
        """Where the probability went."""
        return Mass(*self._run.mass())

    def __len__(self) -> int:
        return len(self._run)

    def node(self, node: int) -> dict[str, Any]:
        """Everything about a node: its token, logprobs, children, and the step that followed it.

        Raises:
            ParameterError: there is no such node.
        """
        return json.loads(self._run.node(_node(node)))  # type: ignore[no-any-return]

    def path(self, node: int) -> list[int]:
        """Token ids from behind the prompt to a node.

        Raises:
            ParameterError: there is no such node.
        """
        return self._run.path(_node(node))

    def paths(self, n: int = 10) -> list[Path]:
        """The ``n`` most likely paths, most likely first."""
        return [Path(*p) for p in self._run.paths(n)]

    def table(self) -> _logitree.Table:
        """A row per node, with the columns of the CSV export."""
        return self._run.table()

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the run file; it appears whole or not at all.

        Raises:
            Error: there is a file already and not ``force``, or it cannot be written.
        """
        self._run.save(os.fspath(path), force)

    @overload
    def export(self, format: str, path: None = None, *, full_text: bool = True, force: bool = False) -> bytes: ...
    @overload
    def export(
        self, format: str, path: str | os.PathLike[str], *, full_text: bool = True, force: bool = False
    ) -> None: ...
    def export(
        self, format: str, path: str | os.PathLike[str] | None = None, *, full_text: bool = True, force: bool = False
    ) -> bytes | None:
        """The run in another format: ``tree-json`` and ``jsonl`` (the notebook's), ``csv``, ``parquet``, ``dot``, ``text``.

        Args:
            path: File to write; without one, the bytes are returned.
            full_text: Whether tree JSON has each path's whole text.
            force: Whether an existing file may be overwritten.

        Raises:
            ParameterError: there is no such format.
            Error: there is a file already and not ``force``, or it cannot be written.
        """
        if format == "jsonl" and not any(stop == "end_token" for stop in self._nodes["stop"]):
            warn("no path is complete, so there is no record to write; csv, parquet and tree-json have all nodes")
        if path is None:
            return self._run.export(format, full_text)
        self._run.export_to(format, os.fspath(path), full_text, force)
        return None

    def report(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str | None:
        """The run with the whole web app as one HTML page: written to ``path``, or returned without one."""
        if path is None:
            return self._run.report()
        self._run.report_to(os.fspath(path), force)
        return None

    def view(self, height: int = 560) -> View:
        """The page of :meth:`report` in a frame of the notebook, with the static picture below it."""
        return View(self, height)

    def to_networkx(self) -> Any:
        """A ``networkx.DiGraph`` of the nodes with text, logprob and path_logprob.

        Raises:
            ImportError: networkx is not installed.
        """
        import networkx

        graph = networkx.DiGraph()
        columns = self._nodes
        for i, parent in enumerate(columns["parent"]):
            text = columns["bytes"][i].decode("utf-8", "replace")
            graph.add_node(i, text=text, logprob=columns["logprob"][i], path_logprob=columns["path_logprob"][i])
            if i:
                graph.add_edge(int(parent), i)
        return graph

    def summary(self) -> str:
        """Size and mass in a line."""
        mass = self.mass
        end = self.end
        return (
            f"{len(self)} nodes: {_html.percent(mass.finished)} finished, {_html.percent(mass.frontier)} open, "
            f"{_html.percent(mass.pruned)} cut" + (f"; ended by {end['reason'].replace('_', ' ')}" if end else "")
        )

    def __repr__(self) -> str:
        return self._run.drawn(5, 100).rstrip("\n")

    def _repr_html_(self) -> str:
        return _html.run(self, options.rows)

    def __eq__(self, other: object) -> bool:
        return self._run.same(other._run) if isinstance(other, Run) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _run, (self._run.to_bytes(),)


def _node(node: int) -> int:
    if isinstance(node, bool) or not hasattr(node, "__index__"):
        raise TypeError(f"`node` must be an int, not {type(node).__name__}")
    if node < 0:
        raise ValueError(f"`node` {node}: nodes are counted from 0, the root")
    return node


def _run(data: bytes) -> Run:
    run, _, _ = _logitree.read(None, data)
    assert run is not None
    return Run(run)


class View:
    """A run's page in a frame."""

    def __init__(self, run: Run, height: int) -> None:
        from html import escape

        page = escape(run._run.report(), quote=True)
        self._html = (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" title="The run as a page" '
            f'style="width:100%;height:{int(height)}px;border:1px solid #8888"></iframe>'
            f"<details><summary>without the page</summary>{run._repr_html_()}</details>"
        )
        self._text = repr(run)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


@dataclass(frozen=True)
class Answer:
    """An answer with the bounds of its probability."""

    answer: str
    #: Probability of the continuations that are known to give it.
    lower: float
    #: ... with all that is undecided.
    upper: float


@dataclass(frozen=True, repr=False)
class Answers(Tabular):
    """How likely each answer is, over all continuations, likeliest first."""

    answers: tuple[Answer, ...]
    #: Probability of continuations that give no answer.
    no_answer: float
    #: Probability of what is not decided.
    undecided: float
    #: The answer that no other can overtake, if it is known.
    winner: str | None
    #: ``tolerance``, ``winner``, ``max_seconds``, ``max_nodes``, ``exhausted`` or ``interrupted``.
    ended_by: str
    #: Steps that the model was asked for.
    steps: int
    #: Paths looked at.
    nodes: int
    seconds: float
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @overload
    def __getitem__(self, at: int) -> Answer: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Answer, ...]: ...
    def __getitem__(self, at: int | slice) -> Answer | tuple[Answer, ...]:
        return self.answers[at]

    def table(self) -> _logitree.Table:
        """A row per answer: answer, lower, upper."""
        return _logitree.Table([
            ("answer", "str", [a.answer for a in self.answers]),
            ("lower", "f64", [a.lower for a in self.answers]),
            ("upper", "f64", [a.upper for a in self.answers]),
        ])

    def summary(self) -> str:
        """What is certain, in a line."""
        won = f"{self.winner!r} is ahead for certain" if self.winner else "it is not certain which answer is ahead"
        return (
            f"{won}; no answer {_html.percent(self.no_answer)}, undecided {_html.percent(self.undecided)}; "
            f"{self.steps} steps, ended by {self.ended_by.replace('_', ' ')}"
        )

    def __repr__(self) -> str:
        rows = [f"{_html.percent(a.lower):>10}  {_html.percent(a.upper):>10}  {_html.visible(a.answer)}" for a in self.answers[:20]]
        return "\n".join([f"{'at least':>10}  {'at most':>10}  answer", *rows, self.summary()])

    def _repr_html_(self) -> str:
        return _html.answers([(a.answer, a.lower, a.upper) for a in self.answers], self.summary())


class Choice(NamedTuple):
    """A token at a fork."""

    id: int
    text: str
    #: In nats.
    logprob: float

    @property
    def prob(self) -> float:
        """Its probability."""
        return math.exp(self.logprob)


@dataclass(frozen=True)
class Fork:
    """A place where the runner-up was put, and what came of it."""

    #: Index of the token in the continuation.
    position: int
    token: Choice
    #: The most likely other token, which was put in its place.
    other: Choice
    #: Probability of the most likely token minus that of the second.
    gap: float
    #: In nats.
    entropy: float
    #: Whether it came to something else.
    flips: bool
    #: With a pattern, what it finds in the other text.
    answer: str | None
    #: Without one, after how many words of its own the other text is the original again.
    rejoins: int | None
    finished: bool
    #: The whole other continuation.
    text: str

    @property
    def verdict(self) -> str:
        """What it came to, in words."""
        if not self.finished:
            return "unfinished"
        if self.flips:
            return self.answer if self.answer is not None else "something else"
        return "the same" if not self.rejoins else f"the same after {self.rejoins} words"


@dataclass(frozen=True, repr=False)
class Forks(Tabular):
    """A continuation and where it might have gone another way, the least decided place first."""

    forks: tuple[Fork, ...]
    #: The continuation.
    text: str
    #: What the pattern finds in it.
    answer: str | None
    #: Every position: token, runner-up, gap, entropy.
    positions: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.forks)

    def __iter__(self) -> Iterator[Fork]:
        return iter(self.forks)

    @overload
    def __getitem__(self, at: int) -> Fork: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Fork, ...]: ...
    def __getitem__(self, at: int | slice) -> Fork | tuple[Fork, ...]:
        return self.forks[at]

    def table(self) -> _logitree.Table:
        """A row per fork."""
        rows = self.forks
        return _logitree.Table([
            ("position", "u32", [f.position for f in rows]),
            ("token", "str", [f.token.text for f in rows]),
            ("token_logprob", "f64", [f.token.logprob for f in rows]),
            ("other", "str", [f.other.text for f in rows]),
            ("other_logprob", "f64", [f.other.logprob for f in rows]),
            ("gap", "f64", [f.gap for f in rows]),
            ("entropy", "f64", [f.entropy for f in rows]),
            ("flips", "bool", [f.flips for f in rows]),
            ("answer", "str", [f.answer for f in rows]),
            ("rejoins", "u32", [f.rejoins for f in rows]),
            ("finished", "bool", [f.finished for f in rows]),
            ("text", "str", [f.text for f in rows]),
        ])

    def summary(self) -> str:
        """How many come to something else."""
        return f"{sum(f.flips for f in self.forks)} of {len(self.forks)} forks come to something else"

    def __repr__(self) -> str:
        rows = [
            f"{f.position + 1:>4}  {f.gap:>7.4f}  {_html.visible(f.token.text)} {_html.percent(f.token.prob)} → "
            f"{_html.visible(f.other.text)} {_html.percent(f.other.prob)}  {f.verdict}"
            for f in self.forks
        ]
        return "\n".join([_html.visible(self.text), *rows, self.summary()])

    def _repr_html_(self) -> str:
        return f"<div>{_html._code(self.text)}</div>" + _html.forks(self.forks, self.summary())


@dataclass(frozen=True, repr=False)
class Verification:
    """Whether a run's numbers are what the model gives now; true if all are, to the last bit."""

    identical: bool
    #: Whether every step was compared, rather than those before an interruption.
    complete: bool
    #: Steps compared.
    steps: int
    #: By kind of number, how many were compared and how many are the same bits.
    numbers: dict[str, dict[str, int]]
    #: Largest difference of a number, in its own unit.
    max_difference: float | None
    largest: dict[str, Any] | None
    first: dict[str, Any] | None
    reordered: int | None
    #: What the header or the closing line say otherwise, in sentences.
    statements: list[str]
    interrupted: bool = False

    def __bool__(self) -> bool:
        return self.identical and self.complete

    def __repr__(self) -> str:
        compared = sum(n["compared"] for n in self.numbers.values())
        if self.identical:
            text = f"{self.steps} steps, {compared} numbers: the same bits"
        else:
            text = f"{self.steps} steps, {compared} numbers: largest difference {self.max_difference}"
        return "; ".join([text, *self.statements, *([] if self.complete else ["interrupted"])])


class Record(NamedTuple):
    """A record of the notebook's logprobs JSONL."""

    prompt: str
    response: str
    #: In nats, one per token.
    logprobs: list[float]


class Records(list[Record]):
    """The records of a file."""
