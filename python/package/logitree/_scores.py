"""Texts whose tokens, words or sentences have probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from . import _html, _logitree
from ._layers import Layers, LayersTable
from ._tables import Tabular, array, matrix, numbered, rows
from ._types import Token


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


VECTORS = ("token_ids", "logprobs", "ranks", "entropies", "varentropies")
_LISTS = ("bytes", "special", "exactness", "forced", "top_ids", "top_logprobs", "top_bytes")
_CODES = {"token_ids": "I", "logprobs": "d", "ranks": "I", "entropies": "d", "varentropies": "d"}


def numbers(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The columns that are arrays, from lists."""
    import array as arrays

    return {n: memoryview(arrays.array(c, columns[n]).tobytes()).cast("B").cast(c) for n, c in _CODES.items()}  # type: ignore[call-overload]



class Forced(list[bool]):
    """Which tokens were given rather than generated, and how likely these were together."""

    def __init__(self, flags: Iterable[bool], logprobs: Sequence[float] = ()) -> None:
        super().__init__(flags)
        given = [float(p) for p, f in zip(logprobs, self) if f]
        #: Number of the tokens that were given.
        self.tokens = len(given)
        #: Natural log of their probability together.
        self.logprob = _sum(given)

    @property
    def bits(self) -> float:
        """Their surprisal together, in bits."""
        return 0.0 - self.logprob / math.log(2)

    @property
    def prob(self) -> float:
        """Their probability together."""
        return math.exp(self.logprob)

    def __reduce__(self) -> Any:
        # What Scores pickles and compares; it counts anew.
        return list, (list(self),)


class Scores(Tabular):
    """A text with what the model thought of each of its tokens.

    Attributes:
        token_ids: Ids, ``uint32[n]``; like the other arrays read-only, without a copy.
        logprobs: Natural log probabilities, ``float64[n]``.
        ranks: 1 + the number of likelier tokens, ``uint32[n]``.
        entropies: Entropies in nats, ``float64[n]``.
        varentropies: Varentropies in nats², ``float64[n]``.
        token_bytes: The tokens' bytes.
        forced: Whether each was given rather than generated; ``.tokens``, ``.logprob``, ``.bits`` and ``.prob`` of those that
            were.
        exactness: Whether each entropy and rank is exact.
        top_ids, top_texts, top_logprobs: The most likely tokens in each place.
        watch: By watched string, its logprob at each place.
        full: Natural log probabilities of the whole vocabulary at each place, ``float32[n, vocab]``, if asked for.
        layers: What each layer of the model would have predicted at each place, if asked for; after Ctrl-C the last places
            are missing.
        prompt: Text of the prompt; of a text that was scored, empty.
        stop: Why a generation ended (``end_token``, ``max_new_tokens``, ``context``, ``no_token``, ``interrupted``, ``stop``).
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
        vectors = (array(columns[n]) for n in VECTORS)
        self.token_ids, self.logprobs, self.ranks, self.entropies, self.varentropies = vectors
        self.token_bytes: list[bytes] = columns["bytes"]
        self._special: list[bool] = columns["special"]
        self.exactness: list[str] = columns["exactness"]
        self.forced = Forced(columns["forced"], self.logprobs)
        self.top_ids: list[list[int]] = columns["top_ids"]
        self.top_logprobs: list[list[float]] = columns["top_logprobs"]
        self._top_bytes: list[list[bytes]] = columns["top_bytes"]
        self.watch: dict[str, list[float]] = columns["watch"]
        full = columns.get("full")
        self.full: Any = None if full is None else matrix(full, len(self))
        layers = columns.get("layers")
        self.layers: LayersTable | None = None if layers is None else LayersTable([Layers(f) for f in layers], self.texts)
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
    def offsets(self) -> list[tuple[int, int]]:
        """Where each token is in :attr:`text`, as characters: ``text[start:end]``. A token that is part of a character has
        the whole of it; a control token, which is not in the text, has none."""
        characters = _characters(b"".join(b for b, s in zip(self.token_bytes, self._special) if not s))
        offsets = []
        at = 0
        for data, special in zip(self.token_bytes, self._special):
            end = at if special else at + len(data)
            first = characters[at] if at < len(characters) else len(self.text)
            offsets.append((first, first if end == at else characters[end - 1] + 1))
            at = end
        return offsets

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
        columns: dict[str, Any] = {n: v[at] for n, v in self._columns().items() if n not in ("watch", "full", "layers")}
        columns["watch"] = {w: v[at] for w, v in self.watch.items()}
        columns["full"] = None if self.full is None else rows(self.full, range(len(self))[at])
        columns["layers"] = None if self.layers is None else [p._fields for p in self.layers[at]]
        return Scores(columns, prompt=self.prompt, model=self.model)

    def _columns(self) -> dict[str, Any]:
        own = {"bytes": self.token_bytes, "special": self._special, "top_bytes": self._top_bytes, "watch": self.watch}
        own["full"] = self.full
        own["layers"] = None if self.layers is None else [p._fields for p in self.layers]
        return own | {n: getattr(self, n) for n in (*VECTORS, *_LISTS) if n not in own and n != "special"}

    def table(self) -> _logitree.Table:
        """A row per token: position, token_id, text, bytes, logprob, prob, surprisal (bits), rank, entropy, varentropy, forced,
        exactness, top_ids, top_texts, top_logprobs, and a column ``watch_N_logprob`` per watched string."""
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
            ("varentropy", "f64", [float(e) for e in self.varentropies]),
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

    def to_inseq(self) -> Any:
        """An ``inseq.FeatureAttributionOutput`` without attributions, whose step scores are by the names that inseq has:
        ``probability``, ``crossentropy`` (nats) and ``entropy`` (nats); ``.show()`` draws them.

        Raises:
            ImportError: inseq is not installed.
        """
        import torch
        from inseq.data import FeatureAttributionOutput, FeatureAttributionSequenceOutput
        from inseq.utils.typing import TokenWithId

        tokens = [TokenWithId(text, int(id)) for text, id in zip(self.texts, self.token_ids)]
        logprobs = torch.tensor([float(p) for p in self.logprobs])
        entropies = torch.tensor([float(e) for e in self.entropies])
        scores = {"probability": logprobs.exp(), "crossentropy": -logprobs, "entropy": entropies}
        sequence = FeatureAttributionSequenceOutput(source=tokens, target=tokens, step_scores=scores, sequence_scores={})
        info = {"model_name": self.model, "input_texts": [self.prompt], "generated_texts": [self.text]}
        return FeatureAttributionOutput(sequence_attributions=[sequence], info=info)

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
        if self.forced.tokens:
            text += f"; {self.forced.tokens} forced, {self.forced.bits:.2f} bits"
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
        columns |= {n: memoryview(columns[n]).tobytes() for n in VECTORS}
        columns["full"] = None if self.full is None else memoryview(self.full).tobytes()
        return _scores, (columns, self.prompt, self.stop, self.interrupted, self.model)


def _scores(columns: dict[str, Any], prompt: str, stop: str | None, interrupted: bool, model: str) -> Scores:
    vectors = {n: memoryview(columns[n]).cast(code) for n, code in _CODES.items()}  # type: ignore[call-overload]
    return Scores({**columns, **vectors}, prompt=prompt, stop=stop, interrupted=interrupted, model=model)


def _characters(data: bytes) -> list[int]:
    """For each byte, the index of its character in the text, where bytes that are not UTF-8 become replacement characters."""
    places: list[int] = []
    at = character = 0
    while at < len(data):
        try:
            text, end = data[at:].decode(), len(data)
            broken = end
        except UnicodeDecodeError as e:
            text, end, broken = data[at : at + e.start].decode(), at + e.start, at + e.end
        for c in text:
            places += [character] * len(c.encode())
            character += 1
        if broken > end:
            places += [character] * (broken - end)
            character += 1
        at = broken
    return places


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

    def totals(self) -> _logitree.Table:
        """A row per text: row, text, tokens, total_logprob (nats), total_bits, perplexity, mean_entropy (nats)."""
        return _logitree.Table([
            ("row", "u32", range(len(self))),
            ("text", "str", [s.text for s in self]),
            ("tokens", "u32", [len(s) for s in self]),
            ("total_logprob", "f64", [s.total_logprob for s in self]),
            ("total_bits", "f64", [s.total_bits for s in self]),
            ("perplexity", "f64", [s.perplexity for s in self]),
            ("mean_entropy", "f64", [s.mean_entropy for s in self]),
        ])

    def table(self) -> _logitree.Table:
        """The rows of each :meth:`Scores.table`, with the text's number in ``row``."""
        return numbered([s._arrow() for s in self._scores] or [_empty()._arrow()])

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
